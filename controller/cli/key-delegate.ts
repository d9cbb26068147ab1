/**
 * `linnet key delegate` and `undelegate`: what other keys than those of targets may sign. A model of
 * its own, whose owner then needs nobody else for a release; or staging for all models, from where
 * the signatures of two bring a release to production. Targets are signed here, offline.
 */
import { rm } from 'node:fs/promises'
import type { Command } from 'commander'
import { ProblemError, toProblem } from '../../shared/kernel/result.ts'
import { nameSchema } from '../../shared/model/names.ts'
import { writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { keyId, keyIdentity, type PublicKey } from '../../shared/signing/keys.ts'
import { modelRole, withDelegation, withoutDelegation } from '../../shared/signing/tuf/delegate.ts'
import type { Delegation } from '../../shared/signing/tuf/delegations.ts'
import { type DelegationPlan, targetsMetadata } from '../../shared/signing/tuf/publish.ts'
import { PRODUCTION_ROLE, STAGING_ROLE } from '../../shared/signing/tuf/release-target.ts'
import { confirm } from './confirm.ts'
import { type CommonOptions, type Context, openContext, withCommonOptions } from './context.ts'
import { whole } from './device-commands.ts'
import { readPublic } from './key-rotate.ts'
import {
  type PublisherFolder,
  publisherFolder,
  readSignedTargets,
  type SignedTargets,
} from './publisher-folder.ts'
import { withCountersOf } from './release-counters.ts'
import { publishRoles, waitingText } from './release-publish.ts'
import { signInto, TARGETS_LIFETIME_MS } from './release-sign.ts'
import {
  holdsKeyOf,
  nextOf,
  readRoles,
  type SignedRoles,
  signaturesOn,
  versionAfter,
} from './signed-roles.ts'
import { newestRoot } from './trusted-root.ts'

interface DelegateOptions extends CommonOptions {
  readonly model?: string
  readonly staging?: boolean
  readonly key: readonly string[]
  readonly threshold?: number
  readonly terminating?: boolean
  readonly offline?: boolean
  readonly out?: string
}

type UndelegateOptions = Pick<DelegateOptions, 'model' | 'staging' | 'offline' | 'out'> &
  CommonOptions & { readonly yes?: boolean }

export function addDelegate(key: Command): void {
  const several = (text: string, before: readonly string[]) => [...before, text]
  withCommonOptions(key.command('delegate'))
    .description('lets other keys sign one model, or splits staging from production')
    .option('--model <name>', 'the model whose releases the keys may sign')
    .option('--staging', 'releases begin in staging; two publishers bring them to production')
    .option('--key <file>', 'public key, as linnet key publisher prints it', several, [])
    .option('--threshold <n>', 'how many of the keys must sign (1; production: 2)', whole)
    .option('--terminating', 'nobody after these keys is asked for the model')
    .option('--out <folder>', 'where the keys are (default: keys under --home)')
    .option('--offline', 'only sign; publish later')
    .addHelpText(
      'after',
      `
Run again to give a role other keys; what they sign then comes with it. With --staging the keys are
those of the root's publishers, and those given.

Examples:
  linnet key delegate --model camera --key bob.json
  linnet key delegate --model camera --key bob.json --key eve.json --threshold 2
  linnet key delegate --staging --key bob.json
`,
    )
    .action(async (options: DelegateOptions) => {
      const context = openContext(options)
      const folder = publisherFolder(context.home, options.out)
      const plans = await plansOf(folder, options)
      const roles = ['targets', ...plans.map(({ name }) => name)]
      await orAsBefore(folder, roles, () => changeTargets(context, folder, options, plans))
    })
  withCommonOptions(key.command('undelegate'))
    .description('takes the right to sign back; what was signed with it is revoked')
    .option('--model <name>', 'the model that was delegated')
    .option('--staging', 'staging and production')
    .option('--out <folder>', 'where the keys are (default: keys under --home)')
    .option('--offline', 'only sign; publish later')
    .option('--yes', 'ask nothing')
    .addHelpText('after', '\nExamples:\n  linnet key undelegate --model camera\n')
    .action(async (options: UndelegateOptions) => {
      const context = openContext(options)
      const folder = publisherFolder(context.home, options.out)
      await orAsBefore(folder, ['targets'], () => undelegate(context, folder, options))
    })
}

/** What the controller refused must not be in what is signed next; what it did not hear of may. */
async function orAsBefore(
  folder: PublisherFolder,
  roles: readonly string[],
  change: () => Promise<void>,
): Promise<void> {
  const paths = roles.map((role) => (role === 'targets' ? folder.targets : folder.role(role)))
  const before = await Promise.all(paths.map(readSignedTargets))
  try {
    await change()
  } catch (cause) {
    if (toProblem(cause, 'cli.failed').code === 'controller.unreachable') throw cause
    for (const [at, path] of paths.entries()) {
      const signed = before[at]
      if (signed === undefined) await rm(path, { force: true })
      else await writeFileAtomic(path, signed.bytes)
    }
    throw cause
  }
}

/** Errors (thrown): `cli.usage`, `key.malformed`, `key.threshold`, `trust.no_root`. */
async function plansOf(
  folder: PublisherFolder,
  options: DelegateOptions,
): Promise<DelegationPlan[]> {
  const names = namesOf(options)
  const given = await Promise.all(options.key.map(readPublic))
  const { terminating = false } = options
  if (options.model !== undefined) {
    const threshold = options.threshold ?? 1
    const paths = [`${options.model}/*/*`]
    return [{ name: names[0]!, paths, terminating, ...enough(given, threshold) }]
  }
  const publishers = [...(await newestRoot(folder)).root.roles.targets.keys.values()]
  const keys = distinct([...publishers, ...given])
  const paths = ['*/*/*']
  return [
    { name: PRODUCTION_ROLE, paths, terminating: false, ...enough(keys, options.threshold ?? 2) },
    { name: STAGING_ROLE, paths, terminating: false, ...enough(keys, 1) },
  ]
}

function namesOf({ model, staging }: Pick<DelegateOptions, 'model' | 'staging'>): string[] {
  if ((model === undefined) === (staging === undefined)) {
    throw new ProblemError({
      code: 'cli.usage',
      message: 'What is delegated?',
      expected: 'either --model NAME or --staging',
      found: model === undefined ? 'neither' : 'both',
    })
  }
  if (model === undefined) return [PRODUCTION_ROLE, STAGING_ROLE]
  if (nameSchema.safeParse(model).success) return [modelRole(model)]
  throw new ProblemError({
    code: 'cli.usage',
    message: 'This is no name of a model.',
    expected: 'a lower-case name of [a-z0-9_-], up to 63 characters',
    found: model,
  })
}

const distinct = (keys: readonly PublicKey[]) => [
  ...new Map(keys.map((key) => [keyIdentity(key), key])).values(),
]

function enough(given: readonly PublicKey[], threshold: number) {
  const keys = distinct(given)
  if (keys.length >= threshold) return { keys, threshold }
  throw new ProblemError({
    code: 'key.threshold',
    message: 'More signatures would be needed than there are keys.',
    expected: `at least ${threshold} different keys`,
    found: `${keys.length}: ${keys.map((key) => keyId(key).slice(0, 12)).join(', ')}`,
    next: 'on another machine: linnet key publisher > bob.json; then --key bob.json here',
  })
}

/**
 * Signs the next targets, and of the delegated roles what this machine's key can: an empty one where
 * there is none, so that searches find it, else the present one where its new keys did not sign it.
 * What then lacks signatures is not published: devices would refuse all that the role has signed.
 */
async function changeTargets(
  context: Context,
  folder: PublisherFolder,
  { offline = false }: DelegateOptions,
  plans: readonly DelegationPlan[],
): Promise<void> {
  const expiresMs = Date.now() + TARGETS_LIFETIME_MS
  const roles = await readRoles(context, folder, offline)
  const empty = targetsMetadata({ version: 0, expiresMs, targets: [] })
  const base = roles.newest.get('targets')?.signed ?? empty
  // Several changes are one version.
  const version = versionAfter(roles, 'targets')
  const signed = plans.reduce((before, plan) => withDelegation(before, plan, expiresMs), base)
  await signInto(folder, 'targets', { ...signed, version })
  const changed = ['targets']
  const short: string[] = []
  for (const { name, keys, threshold } of plans) {
    const keySet = { keys: new Map(keys.map((key) => [keyId(key), key])), threshold }
    const before = roles.published.get(name)
    const isSigned = before !== undefined && signaturesOn(before.bytes, keySet) >= threshold
    if (isSigned || !(await holdsKeyOf(keySet, folder))) continue
    await signInto(folder, name, nextOf(roles, name, keySet, { expiresMs }))
    changed.push(name)
    // What never had metadata waits at the controller; what has some would be refused by devices.
    if (threshold > 1 && before !== undefined) short.push(name)
  }
  for (const role of short) context.terminal.say(`${role} needs the other new keys as well:`)
  await finish(context, folder, changed, offline || short.length > 0, {
    delegated: plans.map(({ name }) => name),
    cosign: short,
  })
}

async function undelegate(
  context: Context,
  folder: PublisherFolder,
  options: UndelegateOptions,
): Promise<void> {
  const { offline = false, yes = false } = options
  const names = namesOf(options)
  const roles = await readRoles(context, folder, offline)
  const targets = roles.newest.get('targets')
  const there = names.filter((name) => roles.delegations.some((role) => role.name === name))
  if (targets === undefined || there.length === 0) throw notDelegated(names, roles.delegations)
  const lost = releasesIn(roles, there)
  const question = `Revokes ${lost.length === 0 ? 'no release' : lost.join(', ')}.`
  await confirm(context, question, yes)
  const expiresMs = Date.now() + TARGETS_LIFETIME_MS
  const version = versionAfter(roles, 'targets')
  const signed = there.reduce((before, name) => {
    const gone = roles.newest.get(name)?.targets.targets ?? new Map()
    return withCountersOf(withoutDelegation(before, name, expiresMs), gone)
  }, targets.signed)
  await signInto(folder, 'targets', { ...signed, version })
  await finish(context, folder, ['targets'], offline, { undelegated: there, revoked: lost })
}

function notDelegated(names: readonly string[], delegations: readonly Delegation[]): ProblemError {
  return new ProblemError({
    code: 'delegation.unknown',
    message: `Targets do not delegate to ${names.join(' or ')}.`,
    expected: delegations.map(({ name }) => name).join(', ') || 'no delegation',
    found: names.join(', '),
    next: 'linnet key show',
  })
}

function releasesIn({ newest }: SignedRoles, names: readonly string[]): string[] {
  const paths = names.flatMap((name) => [...(newest.get(name)?.targets.targets.keys() ?? [])])
  return [...new Set(paths.map((path) => path.split('/').slice(0, 2).join('@')))]
}

async function finish(
  context: Context,
  folder: PublisherFolder,
  changed: readonly string[],
  offline: boolean,
  done: Record<string, readonly string[]>,
): Promise<void> {
  const files = new Map<string, SignedTargets>()
  for (const role of changed) {
    const path = role === 'targets' ? folder.targets : folder.role(role)
    files.set(role, (await readSignedTargets(path))!)
  }
  const targetsVersion = files.get('targets')?.targets.version
  const sent = offline ? undefined : await publishRoles(context, folder, files)
  const waiting = sent?.waiting ?? []
  context.show({ targetsVersion, ...done, published: !offline, waiting }, () =>
    [
      `Signed targets version ${targetsVersion}.`,
      ...Object.entries(done).flatMap(([what, names]) =>
        names.length === 0 ? [] : [`${what}: ${names.join(', ')}`],
      ),
      ...waiting.map((role) => waitingText(role)),
      ...(offline
        ? [`next: ${(done.cosign ?? []).map(cosignText).join('')}linnet release publish`]
        : []),
    ].join('\n'),
  )
}

const cosignText = (role: string) =>
  `copy publisher/ to the other machine; there: linnet release cosign --role ${role}; then `

/** Role, keys, threshold and paths, for people. */
export function delegationFacts(delegations: readonly Delegation[]) {
  return delegations.map(({ name, keySet, paths, terminating }) => ({
    role: name,
    paths: [...paths],
    threshold: keySet.threshold,
    keys: [...keySet.keys.keys()],
    terminating,
  }))
}
