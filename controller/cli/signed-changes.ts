/**
 * What a publisher is shown before he adds his signature. Invariants: metadata that hold anything
 * this program does not know are refused, and the difference covers the whole of the signed part, so
 * that a signature never covers what was not shown. Only version and expiry are told apart from it.
 */
import { z } from 'zod'
import { assert } from '../../shared/kernel/assert.ts'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { ProblemError } from '../../shared/kernel/result.ts'
import { releaseTargetSchema } from '../../shared/model/release-target.ts'
import {
  canonicalBytes,
  isJsonObject,
  type Json,
  type JsonObject,
  member,
} from '../../shared/signing/canonical-json.ts'
import { keyId, type PublicKey } from '../../shared/signing/keys.ts'
import { LINNET_FIELD } from '../../shared/signing/tuf/director.ts'
import type { Targets } from '../../shared/signing/tuf/metadata.ts'
import type { SignedTargets } from './publisher-folder.ts'

/** Nothing that a terminal would not show as it is. */
const printable = z.string().regex(/^[\x20-\x7e]{1,512}$/)
const digest = z.string().regex(/^[0-9a-f]{64}$/)
const count = z.int().min(0)
const modelName = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/)
const releasePath = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,62}\/\d+\.\d+\.\d+\/[\x21-\x2e\x30-\x7e]+$/)

const keySchema = z.strictObject({
  keytype: printable,
  scheme: printable,
  keyval: z.strictObject({ public: z.string() }),
})
const roleSchema = z.strictObject({
  name: printable,
  keyids: z.array(digest),
  threshold: count.min(1),
  paths: z.array(printable),
  terminating: z.boolean(),
})
/** As `targetsMetadata` writes them; whatever else TUF allows here, no publisher of ours signs. */
const anySchema = z.strictObject({
  _type: z.literal('targets'),
  spec_version: printable,
  version: count,
  expires: printable,
  targets: z.record(
    releasePath,
    z.strictObject({
      length: count,
      hashes: z.strictObject({ sha256: digest }),
      custom: releaseTargetSchema,
    }),
  ),
  /** Of what was listed once: release-counters.ts. */
  [LINNET_FIELD]: z.strictObject({ counters: z.record(modelName, count) }).optional(),
})
const delegatedSchema = anySchema.extend({ delegations: z.never().optional() })
const targetsSchema = anySchema.extend({
  delegations: z
    .strictObject({ keys: z.record(digest, keySchema), roles: z.array(roleSchema) })
    .optional(),
})

/**
 * Only targets delegate, and a key stands under the id that is made from it. Errors (thrown):
 * `release.unknown_form`, `key.id_mismatch`.
 */
export function requireKnownForm(role: string, signed: JsonObject): void {
  const schema: z.ZodType<Known> = role === 'targets' ? targetsSchema : delegatedSchema
  const parsed = schema.safeParse(signed)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw unknownForm(role, `${issue?.path.join('.').slice(0, 200)} ${issue?.message}`)
  }
  // A reader may pass over what it cannot name, such as `__proto__`.
  if (textOf(parsed.data) !== textOf(signed)) throw unknownForm(role, 'fields left over')
  for (const [id, key] of Object.entries(parsed.data.delegations?.keys ?? {})) {
    if (keyId(key) === id) continue
    throw new ProblemError({
      code: 'key.id_mismatch',
      message: 'A key stands under the id of another one.',
      expected: keyId(key),
      found: id,
      next: NEXT,
    })
  }
}

interface Known {
  readonly delegations?: { readonly keys: Readonly<Record<string, PublicKey>> } | undefined
}

const NEXT = 'sign nothing; ask who signed first, and compare'

function unknownForm(role: string, found: string): ProblemError {
  return new ProblemError({
    code: 'release.unknown_form',
    message: `These ${role} hold something that no publisher signs here.`,
    expected: role === 'targets' ? 'releases and delegations' : 'releases, and no delegations',
    found: found.replaceAll(/[^\x20-\x7e]/g, '?'),
    next: NEXT,
  })
}

export interface Changes {
  /** In words, release by release and role by role. */
  readonly changes: readonly string[]
  /** Every part of what is signed that is not as before: `-` before, `+` now; canonical JSON. */
  readonly difference: readonly string[]
}

/** Against what is published. Errors (thrown): `release.not_next`. */
export function changesOf(before: SignedTargets | undefined, next: SignedTargets): Changes {
  const { version } = next.targets
  if (before !== undefined && version !== before.targets.version + 1) {
    throw new ProblemError({
      code: 'release.not_next',
      message: 'These targets are not made from the ones that are published.',
      expected: `version ${before.targets.version + 1}`,
      found: `version ${version}`,
      next: 'linnet release sign, again, on the machine of the first publisher',
    })
  }
  const [old, now] = [partsOf(before?.signed ?? {}), partsOf(next.signed)]
  const difference = [...new Set([...old.keys(), ...now.keys()])].flatMap((part) => {
    const [was, is] = [old.get(part), now.get(part)]
    if (was === is) return []
    return [
      ...(was === undefined ? [] : [`- ${part} ${was}`]),
      ...(is === undefined ? [] : [`+ ${part} ${is}`]),
    ]
  })
  const changes = [
    ...releaseChanges(before?.targets, next.targets),
    ...delegationChanges(before?.targets, next.targets),
  ]
  if (difference.length === 0) return { changes: [NOTHING], difference }
  return {
    changes: changes.length > 0 ? changes : ['changes no release, but more than the expiry'],
    difference,
  }
}

const NOTHING = 'changes nothing but version and expiry'

/** All that is signed but version and expiry, in parts that each have a name; none is left out. */
function partsOf(signed: JsonObject): Map<string, string> {
  const { version: _, expires: __, targets, delegations, ...rest } = signed
  const { keys, roles, ...others } = isJsonObject(delegations) ? delegations : {}
  const listed = Array.isArray(roles) ? (roles as readonly Json[]) : []
  const parts: readonly (readonly [string, Json | undefined])[] = [
    ...Object.entries(rest),
    ...named('target ', targets),
    ...named('key ', keys),
    ...listed.map((role, at) => [`delegation ${at + 1}`, role] as const),
    ['delegations', isJsonObject(delegations) ? others : undefined],
  ]
  return new Map(
    parts.flatMap(([part, value]) => (value === undefined ? [] : [[part, textOf(value)]])),
  )
}

function named(prefix: string, value: Json | undefined): (readonly [string, Json])[] {
  const entries = isJsonObject(value) ? Object.entries(value) : []
  return entries.map(([name, part]) => [`${prefix}${name}`, part] as const)
}

function textOf(value: unknown): string {
  const bytes = canonicalBytes(value)
  assert(bytes.ok, 'what came in an envelope has a canonical form')
  return fromUtf8(bytes.value) ?? ''
}

function releaseChanges(before: Targets | undefined, next: Targets): string[] {
  const releases = (targets: Targets | undefined) => {
    const files = new Map<string, string>()
    for (const [path] of [...(targets?.targets ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const name = path.split('/').slice(0, 2).join('@')
      const listed = member(targets?.signed ?? {}, 'targets')
      const file = isJsonObject(listed) ? (member(listed, path) ?? null) : null
      files.set(name, `${files.get(name) ?? ''}${path} ${textOf(file)}\n`)
    }
    return files
  }
  const [old, now] = [releases(before), releases(next)]
  const changed = [...now].filter(([name, files]) => old.get(name) !== files)
  const gone = [...old.keys()].filter((name) => !now.has(name))
  return [
    ...changed.map(([name]) => `${old.has(name) ? 'changes' : 'adds'} ${name}`),
    ...gone.map((name) => `revokes ${name}`),
  ]
}

/** Who may sign what else, where that is not as before. */
function delegationChanges(before: Targets | undefined, next: Targets): string[] {
  const texts = (targets: Targets | undefined) =>
    new Map(
      (targets?.delegations?.roles ?? []).map(({ name, keySet, paths, terminating }) => {
        // Made from the key: under which id it stands is what somebody said.
        const keys = [...keySet.keys.values()].map(keyId).join(' ')
        const how = `${keySet.threshold} of ${keys}${terminating ? ', alone' : ''}`
        return [name, `delegates ${paths.join(' ')} to ${name}: ${how}`]
      }),
    )
  const [old, now] = [texts(before), texts(next)]
  const gone = [...old.keys()].filter((name) => !now.has(name))
  return [
    ...[...now].flatMap(([name, text]) => (old.get(name) === text ? [] : [text])),
    ...gone.map((name) => `takes the delegation to ${name} back`),
  ]
}
