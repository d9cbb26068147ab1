/**
 * Single documents as bad as the limits let them be: everything else was refused by its size. Each is
 * read as a client reads it, and says what came of it; what it costs is measured by
 * `npm run bench -- fuzz`.
 */
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { utf8 } from '../../shared/kernel/bytes.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { decodeMessage } from '../../shared/protocol/codec.ts'
import { openEnvelope } from '../../shared/signing/envelope.ts'
import { loadRoot } from '../../shared/signing/tuf/client.ts'
import { runTufSync } from '../../shared/signing/tuf/effects.ts'
import { defaultTufLimits, jsonLimits } from '../../shared/signing/tuf/limits.ts'
import { readTargets } from '../../shared/signing/tuf/metadata.ts'

export interface HostileDocument {
  readonly name: string
  /** `ok`, a number of things found, or the code of the refusal. */
  readonly outcome: string
  readonly read: () => string
}

const BYTES_MAX = defaultTufLimits.targetsBytesMax
const { valuesMax: VALUES_MAX } = jsonLimits(BYTES_MAX)
const ROOM = BYTES_MAX - 300
const PATH = 'a'.repeat(192)

const listOf = (count: number, item: (i: number) => string): string =>
  Array.from({ length: Math.floor(count) }, (_, i) => item(i)).join(',')
/** Different, and in no order. */
const shuffled = (i: number): number => (i * 7_919) % 99_991

function json(name: string, body: string, outcome = 'ok'): HostileDocument {
  const bytes = utf8(`{"signed":{"a":${body}},"signatures":[]}`)
  return {
    ...{ name: `a targets file of ${name}`, outcome },
    read: () => codeOf(openEnvelope(bytes, jsonLimits(BYTES_MAX))),
  }
}

function targets(name: string, body: string, outcome: string): HostileDocument {
  const common = '"_type":"targets","spec_version":"1.0.31","version":1'
  const rest = `"expires":"2030-01-01T00:00:00Z",${body}`
  const bytes = utf8(`{"signed":{${common},${rest}},"signatures":[]}`)
  return {
    ...{ name: `targets with ${name}`, outcome },
    read() {
      const opened = openEnvelope(bytes, jsonLimits(BYTES_MAX))
      const read = opened.ok ? readTargets(opened.value.signed) : opened
      if (!read.ok) return read.error.code
      return `${read.value.delegations?.rolesFor(PATH).length ?? read.value.targets.size}`
    },
  }
}

const delegating = (roles: string): string =>
  `"targets":{},"delegations":{"keys":{},"roles":${roles}}`
const role = (i: number, trust: string): string =>
  `{"name":"r${i}","keyids":[],"threshold":1,"terminating":false,${trust}}`
const patterns = (count: number, pattern: string): string =>
  delegating(`[${role(0, `"paths":[${listOf(count, () => `"${pattern}"`)}]`)}]`)

const TEXTS: readonly HostileDocument[] = [
  json('numbers', `[${listOf(VALUES_MAX - 10, () => '1')}]`),
  json('numbers with exponents', `[${listOf(VALUES_MAX - 10, () => '1e15')}]`),
  json('strings', `[${listOf(VALUES_MAX - 10, () => '"\\"2345678901234567890"')}]`),
  json(
    'names in no order',
    `{${listOf(VALUES_MAX - 10, (i) => `"${shuffled(i).toString(36)}":1`)}}`,
  ),
  json('numbers as names', `{${listOf(VALUES_MAX - 10, (i) => `"${9_999_999 - i * 97}":1`)}}`),
  json('one name', `{${listOf(VALUES_MAX - 10, () => '"__proto__":1')}}`),
  json('a string of quotes', `"${'\\"'.repeat(ROOM / 2)}"`),
  json('a string of quotes and line ends', `"${'\\n\\"'.repeat(ROOM / 4)}"`),
  json('a string of birds', `"${'\u{1F426}'.repeat(ROOM / 4)}\\""`),
  json('lone halves', `"${'\\ud800'.repeat(ROOM / 6)}"`, 'json.not_canonical'),
  json('too many values', `[${'[],'.repeat(ROOM / 3)}1]`, 'json.too_many'),
  json('nested brackets', '['.repeat(ROOM), 'json.too_deep'),
]

const DIGEST = 'ab'.repeat(32)
const TARGETS = VALUES_MAX / 5
const LISTS: readonly HostileDocument[] = [
  targets(
    'as many files as fit',
    `"targets":{${listOf(TARGETS - 10, (i) => `"m/${i}":{"length":1,"hashes":{"sha256":"${DIGEST}"}}`)}}`,
    `${TARGETS - 10}`,
  ),
  targets('patterns of stars', patterns(128, '*a'.repeat(255)), '0'),
  targets(
    'patterns that nearly match',
    patterns(340, `*${'a'.repeat(96)}b*${'a'.repeat(90)}c`),
    '0',
  ),
  targets('patterns of open brackets', patterns(128, '['.repeat(510)), '0'),
  targets('a pattern without end', patterns(1, '['.repeat(ROOM - 500)), 'tuf.malformed'),
  targets('patterns without end', patterns(4_000, '*a'.repeat(100)), 'tuf.malformed'),
  targets(
    'roles by hash',
    delegating(`[${listOf(3_000, (i) => role(i, '"path_hash_prefixes":["zz","zz","zz"]'))}]`),
    '0',
  ),
]

/** A root that lists one key under many names, each with a signature that does not hold. */
function signedByMany(name: string, publicKeys: readonly string[]): HostileDocument {
  const keyids = publicKeys.map((_, i) => `key-${i}`)
  const keys = publicKeys.map((text, i) => [
    `key-${i}`,
    { keytype: 'rsa', scheme: 'rsassa-pss-sha256', keyval: { public: text } },
  ])
  const all = { keyids, threshold: keyids.length }
  const signed = {
    ...{ _type: 'root', spec_version: '1.0.31', version: 1, expires: '2030-01-01T00:00:00Z' },
    keys: Object.fromEntries(keys),
    roles: { root: all, timestamp: all, snapshot: all, targets: all },
  }
  const signatures = keyids.map((keyid) => ({ keyid, sig: '5a'.repeat(512) }))
  const bytes = utf8(JSON.stringify({ signed, signatures }))
  const nothing = { fetch: () => ({ kind: 'absent' as const }), persist() {}, forget() {} }
  return {
    ...{ name: `a root with ${name}`, outcome: 'tuf.signature' },
    read: () =>
      codeOf(runTufSync(loadRoot(), { ...nothing, verifier: nodeVerifier, load: () => bytes })),
  }
}

const SIGNATURES = 32
/** Spaced in other ways, so that none is parsed already. */
const spaced = (pem: string) =>
  Array.from({ length: SIGNATURES }, (_, i) =>
    pem.replace('KEY-----\n', `KEY-----\n${' '.repeat(i)}`),
  )

function rsaPem(bits: number): string {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: bits })
  return publicKey.export({ type: 'spki', format: 'pem' }).toString()
}

/** An exponent as long as the modulus: a check costs what signing does. */
function rsaPemWithLongExponent(): string {
  const { n } = createPublicKey(rsaPem(2_048)).export({ format: 'jwk' })
  const e = Buffer.alloc(255, 0xff).toString('base64url')
  const key = createPublicKey({ key: { kty: 'RSA', n: n!, e }, format: 'jwk' })
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

const report = (slots: string): string =>
  `{"boot":"b","seq":1,"atMs":1,"qualifications":[],"report":{"slots":[${slots}]}}`
const message = (name: string, text: string): HostileDocument => ({
  ...{ name: `a report of ${name}`, outcome: 'message.malformed' },
  read: () => codeOf(decodeMessage('report', utf8(text))),
})

/** Made when asked for: RSA keys take a while. */
export function hostileDocuments(): readonly HostileDocument[] {
  return [
    ...TEXTS,
    ...LISTS,
    signedByMany('signatures of RSA-4096', spaced(rsaPem(4_096))),
    signedByMany('RSA keys of a long exponent', spaced(rsaPemWithLongExponent())),
    signedByMany(
      'keys that are none',
      spaced(`-----BEGIN PUBLIC KEY-----\n${'A'.repeat(8_000)}\n`),
    ),
    message('fields that nobody knows', `{${listOf(5_500, (i) => `"k${i}":1`)}}`),
    message('empty slots', report(listOf(20_000, () => '{}'))),
  ]
}

function codeOf(result: { ok: true } | { ok: false; error: { code: string } }): string {
  return result.ok ? 'ok' : result.error.code
}
