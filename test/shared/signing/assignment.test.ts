import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../shared/kernel/bytes.ts'
import { nodeVerifier } from '../../../shared/node/verifier-node.ts'
import {
  type AcceptedAssignment,
  ASSIGNMENT_BYTES_MAX,
  type AssignmentInput,
  acceptAssignment,
  CLOCK_SKEW_MS_MAX,
} from '../../../shared/signing/assignment.ts'
import { checkAsync, checkSync, keyId } from '../../../shared/signing/keys.ts'
import {
  buildAssignment,
  buildInput,
  director,
  nowMs,
  signedBytes,
  signerNumber,
  targetsWith,
} from './build-assignment.ts'

function verdict(changes: Partial<AssignmentInput> = {}): string {
  const result = checkSync(acceptAssignment(buildInput(changes)), nodeVerifier)
  return result.ok ? result.value.outcome : result.error.code
}

function accepted(changes: Partial<AssignmentInput> = {}): AcceptedAssignment {
  const result = checkSync(acceptAssignment(buildInput(changes)), nodeVerifier)
  if (!result.ok) throw new Error(result.error.code)
  return result.value
}

describe('a device takes an assignment', () => {
  it('that the director signed for it', () => {
    expect(accepted().assignment).toEqual(buildAssignment())
  })

  it('whatever the spacing and order of the fields', () => {
    const { signed, signatures } = JSON.parse(new TextDecoder().decode(signedBytes()))
    const reversed = Object.fromEntries(Object.entries(signed).reverse())
    const bytes = utf8(JSON.stringify({ signatures, signed: reversed }, null, 3))
    expect(verdict({ bytes })).toBe('accepted')
  })

  it('with a verifier that has only promises', async () => {
    const later = {
      verify: async (...args: Parameters<typeof nodeVerifier.verify>) =>
        nodeVerifier.verify(...args),
    }
    const result = await checkAsync(acceptAssignment(buildInput()), later)
    expect(result).toMatchObject({ ok: true, value: { outcome: 'accepted' } })
  })

  it('before it has verified targets, since then nothing is started on its account', () => {
    expect(verdict({ targets: undefined })).toBe('accepted')
  })

  it('again as unchanged, and a newer generation as accepted', () => {
    const lastSeen = { directorEpoch: 3, generation: 7, digest: accepted().digest }
    expect(verdict({ lastSeen })).toBe('unchanged')
    expect(verdict({ lastSeen, bytes: signedBytes({ generation: 8 }) })).toBe('accepted')
  })

  it('of a new epoch, although a thief signed the largest generation of the old one', () => {
    const lastSeen = { directorEpoch: 2, generation: Number.MAX_SAFE_INTEGER, digest: '' }
    expect(verdict({ lastSeen })).toBe('accepted')
  })

  it('only if enough directors signed', () => {
    const second = signerNumber(9)
    const keys = new Map([director, second].map(({ key }) => [keyId(key), key]))
    const both = { directorEpoch: 3, threshold: 2, keys }
    expect(verdict({ director: both })).toBe('assignment.signature')
    expect(verdict({ director: both, bytes: signedBytes({}, [director, second]) })).toBe('accepted')
  })
})

describe('a device refuses an assignment', () => {
  const lastSeen = { directorEpoch: 3, generation: 7, digest: 'another' }
  const other = signerNumber(9)

  it.each<[string, string, Partial<AssignmentInput>]>([
    ['signed by somebody else', 'assignment.signature', { bytes: signedBytes({}, [other]) }],
    ['not signed', 'assignment.signature', { bytes: signedBytes({}, []) }],
    ['for another fleet', 'assignment.device', { bytes: signedBytes({ fleet: 'lab' }) }],
    ['for another device', 'assignment.device', { bytes: signedBytes({ device: 'motor-2' }) }],
    [
      'for a former key of it',
      'assignment.device_key',
      { bytes: signedBytes({ deviceKey: 'cd'.repeat(32) }) },
    ],
    ['of an older epoch', 'assignment.epoch', { bytes: signedBytes({ directorEpoch: 2 }) }],
    ['of an unknown epoch', 'assignment.epoch', { bytes: signedBytes({ directorEpoch: 4 }) }],
    [
      'of an epoch it has left',
      'assignment.epoch',
      { lastSeen: { ...lastSeen, directorEpoch: 4 } },
    ],
    [
      'of a lower generation',
      'assignment.generation',
      { lastSeen, bytes: signedBytes({ generation: 6 }) },
    ],
    ['that differs at the same generation', 'assignment.generation', { lastSeen }],
    ['that has expired', 'assignment.expired', { bytes: signedBytes({ expiresAt: nowMs }) }],
    [
      'from the future',
      'assignment.not_yet_valid',
      { bytes: signedBytes({ issuedAt: nowMs + CLOCK_SKEW_MS_MAX + 1 }) },
    ],
    [
      'that needs newer release metadata',
      'assignment.snapshot',
      { bytes: signedBytes({ minSnapshot: 5 }) },
    ],
    [
      'of a release that the publishers did not sign',
      'assignment.target_mismatch',
      { targets: targetsWith(undefined) },
    ],
    [
      'of other bytes than the publishers signed',
      'assignment.target_mismatch',
      { targets: targetsWith({ sha256: 'ef'.repeat(32), length: 900 }) },
    ],
    [
      'of another length than the publishers signed',
      'assignment.target_mismatch',
      { targets: targetsWith({ sha256: 'ab'.repeat(32), length: 901 }) },
    ],
    [
      'that puts the release of one model into the slot of another',
      'assignment.target_mismatch',
      { bytes: signedBytes({ slots: [{ ...buildAssignment().slots[0]!, model: 'pump' }] }) },
    ],
    ['that is too large', 'assignment.too_large', { bytes: utf8(' '.repeat(65_537)) }],
    ['that is no JSON', 'assignment.malformed', { bytes: utf8('{') }],
    ['that is no envelope', 'assignment.malformed', { bytes: utf8('{"signed":{}}') }],
    ['that is empty', 'assignment.malformed', { bytes: utf8('') }],
    [
      'with a field that it does not know',
      'assignment.malformed',
      { bytes: signedBytes({ extra: 1 } as object) },
    ],
  ])('%s', (_, code, changes) => {
    expect(verdict(changes)).toBe(code)
  })

  it('never verifies more signatures than the envelope may hold', () => {
    const { signed, signatures } = JSON.parse(new TextDecoder().decode(signedBytes()))
    const many = Array.from({ length: 33 }, (_, i) => ({ ...signatures[0], keyid: `${i}` }))
    const bytes = utf8(JSON.stringify({ signed, signatures: many }))
    expect(verdict({ bytes })).toBe('assignment.malformed')
  })

  it('reads nothing of what is not signed: a malformed one is first of all not signed', () => {
    expect(verdict({ bytes: utf8('{"signed":{"a":1},"signatures":[]}') })).toBe(
      'assignment.signature',
    )
  })
})

describe('a mutated assignment', () => {
  const bytes = signedBytes()
  const expected = accepted()

  it('never becomes another accepted one, and never throws', () => {
    const mutation = fc.oneof(
      fc.record({ kind: fc.constant('set'), at: fc.nat(), byte: fc.nat(255) }),
      fc.record({ kind: fc.constant('cut'), at: fc.nat(), byte: fc.nat(40) }),
      fc.record({ kind: fc.constant('insert'), at: fc.nat(), byte: fc.nat(255) }),
    )
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 3 }), (mutations) => {
        const list = [...bytes]
        for (const { kind, at, byte } of mutations) {
          if (kind === 'set') list[at % list.length] = byte
          else if (kind === 'cut') list.splice(at % list.length, byte)
          else list.splice(at % list.length, 0, byte)
        }
        const input = buildInput({ bytes: Uint8Array.from(list) })
        const result = checkSync(acceptAssignment(input), nodeVerifier)
        if (result.ok) expect(result.value).toEqual(expected)
      }),
      { numRuns: 2_000 },
    )
    expect(bytes.length).toBeLessThan(ASSIGNMENT_BYTES_MAX)
  })
})
