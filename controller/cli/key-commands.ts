/**
 * `linnet key`: the offline keys, and the first root, which ties them to the controller's online
 * ones.
 */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { loadSigner, readPublicKey, writeKeyFile } from '../../shared/node/key-files.ts'
import { generatePrivateKey } from '../../shared/node/signer-node.ts'
import { keyId, type PublicKey } from '../../shared/signing/keys.ts'
import { directorOf } from '../../shared/signing/tuf/director.ts'
import type { Root } from '../../shared/signing/tuf/metadata.ts'
import { rootMetadata, signRole } from '../../shared/signing/tuf/publish.ts'
import { textFacts } from '../../shared/view/text-table.ts'
import { type CommonOptions, type Context, openContext, withCommonOptions } from './context.ts'
import { whole } from './device-commands.ts'
import { addDelegate, delegationFacts } from './key-delegate.ts'
import { ROOT_LIFETIME_MS, type RotateOptions, rotateKeys } from './key-rotate.ts'
import { askNewPassphrase, askPassphrase } from './passphrase.ts'
import { type PublisherFolder, publisherFolder } from './publisher-folder.ts'
import { readRoles } from './signed-roles.ts'
import { parseRoot } from './trusted-root.ts'

const ROOT_BYTES_MAX = 1_048_576

interface KeyOptions extends CommonOptions {
  readonly out?: string
}

export function keyCommands(): Command {
  const key = new Command('key')
  withCommonOptions(key.command('new'))
    .description('makes root and publisher keys, signs the first root and uploads it')
    .option('--out <folder>', 'where the keys go (default: keys under --home)')
    .addHelpText(
      'after',
      `
The keys are encrypted with a passphrase: LINNET_PASSPHRASE, or asked for. Keep them off the
controller's machine: whoever has them and the passphrase decides what devices may run. Run again
after a failed upload, it goes on with the same keys.

Examples:
  linnet key new
  linnet key new --out /media/stick/linnet-keys
`,
    )
    .action((options: KeyOptions) => newKeys(openContext(options), options))
  withCommonOptions(key.command('show'))
    .description('key ids, and the fingerprint of the root')
    .option('--out <folder>', 'where the keys are (default: keys under --home)')
    .addHelpText('after', '\nExamples:\n  linnet key show --json\n')
    .action((options: KeyOptions) => showKeys(openContext(options), options))
  addRotate(key)
  withCommonOptions(key.command('publisher'))
    .description('makes a further publisher key on this machine; prints its public half')
    .option('--out <folder>', 'where the key goes (default: keys under --home)')
    .addHelpText(
      'after',
      `
The public half goes to who holds the root key: linnet key rotate --add-publisher FILE.

Examples:
  linnet key publisher > bob.json
`,
    )
    .action((options: KeyOptions) => newPublisher(openContext(options), options))
  addDelegate(key)
  return key
}

function addRotate(key: Command): void {
  const several = (text: string, before: readonly string[]) => [...before, text]
  withCommonOptions(key.command('rotate'))
    .description('signs the next root: other keys, publishers or threshold, a later expiry')
    .option('--out <folder>', 'where the keys are (default: keys under --home)')
    .option('--director', 'a new director key and epoch: whoever stole the old one is out')
    .option('--snapshot', 'a new snapshot key')
    .option('--timestamp', 'a new timestamp key')
    .option('--root', 'a new root key')
    .option('--publisher', 'a new key of this publisher; the targets are signed again')
    .option('--add-publisher <file>', 'public key of a further publisher', several, [])
    .option(
      '--remove-publisher <keyid>',
      'a publisher who signs no more, by key id or how it begins',
      several,
      [],
    )
    .option('--threshold <n>', 'publishers who must sign', whole)
    .addHelpText(
      'after',
      `
Without options only the expiry is renewed.

Examples:
  linnet key rotate --director --snapshot --timestamp
  linnet key rotate --add-publisher bob.json --threshold 2
`,
    )
    .action(async (options: KeyOptions & RotateOptions) => {
      const context = openContext(options)
      const rotated = await rotateKeys(context, foldersOf(context, options), options)
      context.show(rotated, ({ rootVersion, directorEpoch }) =>
        textFacts([
          ['root version', String(rootVersion)],
          ['director epoch', String(directorEpoch)],
        ]),
      )
    })
}

/** Errors (thrown): `key.exists`. */
async function newPublisher(context: Context, options: KeyOptions): Promise<void> {
  const { publisherKey } = foldersOf(context, options)
  const there = await stat(publisherKey).catch(() => undefined)
  if (there !== undefined) {
    throw new ProblemError({
      code: 'key.exists',
      message: 'There is a publisher key here already.',
      found: publisherKey,
      next: 'linnet key show',
    })
  }
  const passphrase = await askNewPassphrase()
  await writeKeyFile(publisherKey, generatePrivateKey('ed25519'), { passphrase })
  const { keytype, scheme, keyval } = await readPublicKey(publisherKey)
  context.terminal.print(JSON.stringify({ keytype, scheme, keyval }))
}

async function newKeys(context: Context, options: KeyOptions): Promise<void> {
  const folder = foldersOf(context, options)
  const { client, terminal } = context
  const online = unwrap(await client.call('onlineKeys', {}))
  const before = await readFileBounded(folder.root, ROOT_BYTES_MAX)
  if (before === undefined) {
    const passphrase = (await keysExist(folder))
      ? await askPassphrase('Passphrase: ')
      : await makeKeys(folder)
    await signFirstRoot(folder, passphrase, online.keys)
  }
  const root = (await readFileBounded(folder.root, ROOT_BYTES_MAX))!
  const { version } = unwrap(await client.call('rootPut', {}, root))
  terminal.say(`Root version ${version} is in place.`)
  const facts = await keyFacts(context, folder)
  context.show({ ...facts, fleet: online.fleet, rootVersion: version }, () => factsText(facts))
}

const foldersOf = (context: Context, { out }: KeyOptions): PublisherFolder =>
  publisherFolder(context.home, out === undefined ? undefined : resolve(out))

/** Errors (thrown): `key.incomplete` where only one of the two is there. */
async function keysExist(folder: PublisherFolder): Promise<boolean> {
  const found = await Promise.all(
    [folder.rootKey, folder.publisherKey].map((path) =>
      stat(path).then(
        () => path,
        () => undefined,
      ),
    ),
  )
  const there = found.filter((path) => path !== undefined)
  if (there.length === 1) {
    throw new ProblemError({
      code: 'key.incomplete',
      message: 'One of the two keys is missing.',
      expected: `${folder.rootKey} and ${folder.publisherKey}`,
      found: there[0] ?? '',
      next: 'restore it, or give another folder with --out',
    })
  }
  return there.length === 2
}

async function makeKeys(folder: PublisherFolder): Promise<string> {
  const passphrase = await askNewPassphrase()
  for (const path of [folder.rootKey, folder.publisherKey]) {
    await writeKeyFile(path, generatePrivateKey('ed25519'), { passphrase })
  }
  return passphrase
}

type OnlineKey = { readonly role: string; readonly key: PublicKey }

async function signFirstRoot(
  folder: PublisherFolder,
  passphrase: string,
  online: readonly OnlineKey[],
): Promise<void> {
  const role = (name: string) => {
    const keys = online.filter((entry) => entry.role === name).map(({ key }) => key)
    return { keys, threshold: 1 }
  }
  const signer = await loadSigner(folder.rootKey, passphrase)
  const root = rootMetadata({
    version: 1,
    expiresMs: Date.now() + ROOT_LIFETIME_MS,
    roles: {
      root: { keys: [signer.key], threshold: 1 },
      targets: { keys: [await readPublicKey(folder.publisherKey)], threshold: 1 },
      snapshot: role('snapshot'),
      timestamp: role('timestamp'),
    },
    director: { ...role('director'), directorEpoch: 1 },
  })
  const { bytes } = unwrap(signRole('root', root, [signer]))
  await writeFileAtomic(folder.root, bytes)
}

interface KeyFacts {
  /** null where it lies on another publisher's machine. */
  readonly rootKey: string | null
  readonly publisherKey: string
  /** SHA-256 of the first root: what a device is given to trust. */
  readonly rootFingerprint: string | null
  readonly rootVersion: number | null
  readonly rootExpiresAtMs: number | null
  readonly directorEpoch: number | null
  /** Every publisher's key id, and how many of them must sign. */
  readonly publishers: readonly string[]
  readonly threshold: number | null
  /** What else than the publishers' keys may sign; in order of priority. */
  readonly delegations: ReturnType<typeof delegationFacts>
}

const NO_ROOT_FACTS = {
  ...{ rootVersion: null, rootExpiresAtMs: null, directorEpoch: null },
  ...{ publishers: [], threshold: null },
}

function rootFacts(root: Root) {
  const { keys, threshold } = root.roles.targets
  return {
    rootVersion: root.version,
    rootExpiresAtMs: root.expiresMs,
    directorEpoch: unwrap(directorOf(root)).directorEpoch,
    publishers: [...keys.keys()],
    threshold,
  }
}

async function rootKeyId({ rootKey }: PublisherFolder): Promise<string | null> {
  const there = await stat(rootKey).catch(() => undefined)
  return there === undefined ? null : keyId(await readPublicKey(rootKey))
}

async function keyFacts(context: Context, folder: PublisherFolder): Promise<KeyFacts> {
  const { delegations } = await readRoles(context, folder, true)
  const root = await readFileBounded(folder.root, ROOT_BYTES_MAX)
  return {
    delegations: delegationFacts(delegations),
    rootKey: await rootKeyId(folder),
    publisherKey: keyId(await readPublicKey(folder.publisherKey)),
    rootFingerprint: root === undefined ? null : sha256Hex(root),
    ...(root === undefined ? NO_ROOT_FACTS : rootFacts(parseRoot(root))),
  }
}

async function showKeys(context: Context, options: KeyOptions): Promise<void> {
  const facts = await keyFacts(context, foldersOf(context, options))
  context.show(facts, factsText)
}

function factsText(facts: KeyFacts): string {
  const { rootExpiresAtMs: expiresAtMs, rootVersion, directorEpoch, threshold } = facts
  const known: [string, string][] =
    expiresAtMs === null
      ? []
      : [
          ['root version', `${rootVersion}, until ${new Date(expiresAtMs).toISOString()}`],
          ['director epoch', String(directorEpoch)],
          ['publishers', `${threshold} of ${facts.publishers.length} must sign`],
          ...facts.publishers.map((id): [string, string] => ['', id]),
        ]
  return textFacts([
    ['root key', facts.rootKey ?? 'not on this machine'],
    ['publisher key', facts.publisherKey],
    ['root', facts.rootFingerprint ?? 'not signed yet: linnet key new'],
    ...known,
    ...facts.delegations.flatMap(({ role, paths, threshold: needed, keys, terminating }) => [
      [
        role,
        `${paths.join(' ')}, ${needed} of ${keys.length} must sign${terminating ? ', alone' : ''}`,
      ] as const,
      ...keys.map((id) => ['', id] as const),
    ]),
  ])
}
