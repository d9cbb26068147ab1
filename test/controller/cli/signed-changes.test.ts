/** What a publisher is asked to sign: all of it is shown, and what this program does not know is refused. */
import { describe, expect, test } from 'vitest'
import { parseTargets, type SignedTargets } from '../../../controller/cli/publisher-folder.ts'
import { changesOf, requireKnownForm } from '../../../controller/cli/signed-changes.ts'
import { utf8 } from '../../../shared/kernel/bytes.ts'
import { toProblem } from '../../../shared/kernel/result.ts'
import { generatePrivateKey, nodeSigner } from '../../../shared/node/signer-node.ts'
import type { JsonObject } from '../../../shared/signing/canonical-json.ts'
import { envelopeBytes } from '../../../shared/signing/envelope.ts'
import { keyId } from '../../../shared/signing/keys.ts'
import {
  delegationsOf,
  releaseTargets,
  targetsMetadata,
} from '../../../shared/signing/tuf/publish.ts'

const [bob, thief] = [
  nodeSigner(generatePrivateKey('ed25519')),
  nodeSigner(generatePrivateKey('ed25519')),
]
const bobId = keyId(bob.key)
const custom = { model: 'motor', profiles: ['press'], releaseCounter: 1, minCounter: 0 }
const files = ['manifest.json', 'fp32.onnx'].map((file, at) => ({
  ...{ file, length: 10 + at, sha256: String(at).repeat(64) },
}))
const base = targetsMetadata({
  ...{ version: 1, expiresMs: 4_000_000_000_000 },
  targets: releaseTargets({ ...custom, version: '1.0.0' }, files),
})
const camera = { name: 'model-camera', paths: ['camera/*/*'], terminating: false, threshold: 1 }
const delegating = { ...base, delegations: delegationsOf([{ ...camera, keys: [bob.key] }]) }

const asSigned = (signed: JsonObject): SignedTargets =>
  parseTargets(envelopeBytes({ signed, signatures: [] }))
const next = (signed: JsonObject, change: JsonObject = {}) => ({ ...signed, version: 2, ...change })
const changes = (before: JsonObject, after: JsonObject) =>
  changesOf(asSigned(before), asSigned(after))

/** The metadata with one fact of the artifact changed. */
function withFact(fact: JsonObject): JsonObject {
  const text = JSON.parse(JSON.stringify(base)) as { targets: Record<string, { custom: object }> }
  Object.assign(text.targets['motor/1.0.0/fp32.onnx']!.custom, fact)
  return next(text as unknown as JsonObject)
}

function refusal(role: string, signed: JsonObject): string | undefined {
  try {
    requireKnownForm(role, asSigned(signed).signed)
    return undefined
  } catch (cause) {
    return toProblem(cause, 'failed').code
  }
}

describe('what is shown', () => {
  test('of a new version of the same: nothing but version and expiry', () => {
    expect(changes(base, next(base, { expires: '2099-01-01T00:00:00Z' }))).toEqual({
      ...{ changes: ['changes nothing but version and expiry'], difference: [] },
    })
  })

  test.each<[string, JsonObject]>([
    ['the profiles', { profiles: [] }],
    ['the release counter', { releaseCounter: 9 }],
    ['the least counter', { minCounter: 999 }],
    ['what a device does when it is revoked', { onRevoked: 'stop' }],
  ])('%s of a file that is not the manifest', (_, fact) => {
    const shown = changes(base, withFact(fact))
    expect(shown.changes).toEqual(['changes motor@1.0.0'])
    expect(shown.difference.map((line) => line.slice(0, 31))).toEqual([
      '- target motor/1.0.0/fp32.onnx ',
      '+ target motor/1.0.0/fp32.onnx ',
    ])
    expect(shown.difference[1]).toContain(JSON.stringify(fact).slice(1, -1))
    expect(refusal('targets', withFact(fact))).toBeUndefined()
  })

  test('a new release file by file, with length, hash and facts', () => {
    const empty = { ...base, targets: {} }
    const shown = changes(empty, next(base))
    expect(shown.changes).toEqual(['adds motor@1.0.0'])
    expect(shown.difference).toHaveLength(2)
    for (const { file, sha256, length } of files) {
      const line = shown.difference.find((text) => text.startsWith(`+ target motor/1.0.0/${file} `))
      expect(line).toContain(`"length":${length}`)
      expect(line).toContain(sha256)
      expect(line).toContain('"minCounter":0')
    }
    expect(changes(base, next(empty)).changes).toEqual(['revokes motor@1.0.0'])
  })

  test('another key under the same id, by the fingerprint that is its own; nobody signs it', () => {
    const swapped = next({
      ...delegating,
      delegations: { ...delegating.delegations, keys: { [bobId]: { ...thief.key } } },
    } as unknown as JsonObject)
    const shown = changes(delegating, swapped)
    expect(shown.changes).toEqual([
      `delegates camera/*/* to model-camera: 1 of ${keyId(thief.key)}`,
    ])
    expect(shown.difference).toHaveLength(2)
    expect(refusal('targets', swapped)).toBe('key.id_mismatch')
  })

  test('an order of delegations that is another: it decides who is asked first', () => {
    const two = delegationsOf([
      { ...camera, keys: [bob.key] },
      { ...camera, name: 'model-pump', paths: ['pump/*/*'], keys: [thief.key] },
    ])
    const turned = { ...two, roles: [...(two.roles as JsonObject[])].reverse() }
    const shown = changes({ ...base, delegations: two }, next(base, { delegations: turned }))
    expect(shown.changes).toEqual(['changes no release, but more than the expiry'])
    expect(shown.difference).toHaveLength(4)
  })
})

describe('nobody signs', () => {
  const keys = { [keyId(thief.key)]: { ...thief.key } } as unknown as JsonObject
  const keyids = [keyId(thief.key)]
  const succinct = { keyids, threshold: 1, bit_length: 1, name_prefix: 'bin' }

  test('a delegation in any role but targets', () => {
    expect(refusal('targets', delegating)).toBeUndefined()
    expect(refusal('production', base)).toBeUndefined()
    expect(refusal('production', delegating)).toBe('release.unknown_form')
    expect(refusal('production', { ...base, delegations: { keys: {}, roles: [] } })).toBe(
      'release.unknown_form',
    )
  })

  test.each<[string, JsonObject]>([
    ['succinct roles', { delegations: { keys, succinct_roles: succinct } }],
    [
      'succinct roles beside others',
      { delegations: { keys, roles: [], succinct_roles: succinct } },
    ],
    [
      'a role trusted by hash prefixes',
      {
        delegations: {
          keys,
          roles: [
            { name: 'x', keyids, threshold: 1, terminating: false, path_hash_prefixes: [''] },
          ],
        },
      },
    ],
    ['a field that nobody knows', { more: 1 }],
    [
      'a target that is no file of a release',
      { targets: { odd: { length: 1, hashes: { sha256: 'a'.repeat(64) } } } },
    ],
  ])('%s', (_, change) => {
    expect(refusal('targets', next(base, change))).toBe('release.unknown_form')
  })

  test('a field that a reader would pass over', () => {
    const text = JSON.stringify({ signed: base, signatures: [] })
    const odd = text.replace('"version":1', '"version":1,"__proto__":{"x":1}')
    const { signed } = parseTargets(utf8(odd))
    expect(() => requireKnownForm('targets', signed)).toThrow()
  })
})
