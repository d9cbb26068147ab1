import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../shared/kernel/bytes.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import { decodeMessage, encodeMessage, type MessageOf } from '../../../shared/protocol/codec.ts'
import type { Telemetry } from '../../../shared/protocol/messages.ts'
import { reportOf } from '../../../shared/update/report.ts'
import { initialDeviceState } from '../../../shared/update/state.ts'
import { aQualification, aSha } from '../../fixtures/device-builders.ts'
import { anyWindow } from '../../fixtures/sketch-builders.ts'

const stamp = { boot: 'boot-1', seq: 7 }
const problem = { code: 'x.y', message: 'Something.', found: 'this' }

const MESSAGES: { [K in keyof MessageOf]: MessageOf[K] } = {
  presence: { status: 'online', boot: 'boot-1', sinceMs: 1_700_000_000_000 },
  report: {
    ...stamp,
    atMs: 1_700_000_000_000,
    report: reportOf(initialDeviceState()),
    qualifications: [
      aQualification(aSha('x'), { loadMs: 0.25 }),
      // All that a device may add to it.
      aQualification(aSha('y'), {
        ...{ peakMb: 64.5, sessionMb: 12.5, cut: 'The model ended the process.' },
        tuning: {
          ...{ budgetMs: 20_000, spentMs: 1_500.5 },
          tried: [
            { options: 'threads=2', outcome: 'skipped', steadyMsP50: null, reason: 'no time' },
          ],
        },
        optimised: {
          ...{ kept: true, reason: 'loads twice as fast', sha256: aSha('z'), length: 512 },
          ...{ loadMs: 1.5, sourceLoadMs: 3 },
        },
      }),
    ],
  },
  notice: {
    ...stamp,
    notice: { kind: 'rolled_back', atMs: 5, subject: 'motor@1.0.0', problem },
  },
  ack: { fleet: 'plant', device: 'press-1', boot: 'boot-1', stored: [1, 2, 3] },
  telemetry: {
    ...stamp,
    model: 'motor',
    generation: 3,
    rollout: { id: 'r1', wave: 2 },
    share: 100_000,
    startedAtMs: 1_700_000_000_000,
    durationMs: 60_000,
    arms: [
      {
        arm: 'baseline',
        version: '1.0.0',
        variant: 'fp32',
        window: fc.sample(anyWindow(), { seed: 1, numRuns: 1 })[0]!,
      },
    ],
  },
}
const KINDS = Object.keys(MESSAGES) as (keyof MessageOf)[]
const codeOf = (result: { ok: boolean; error?: { code: string } }) => result.error?.code ?? 'ok'

describe('every message', () => {
  it.each(KINDS)('%s survives CBOR and JSON alike', (kind) => {
    const message = MESSAGES[kind]
    for (const form of ['cbor', 'json'] as const) {
      expect(unwrap(decodeMessage(kind, encodeMessage(kind, message, form)))).toEqual(message)
    }
  })

  it.each(KINDS)('%s is shorter in CBOR', (kind) => {
    const [cbor, json] = [
      encodeMessage(kind, MESSAGES[kind]),
      encodeMessage(kind, MESSAGES[kind], 'json'),
    ]
    expect(cbor.length).toBeLessThan(0.75 * json.length)
  })

  it.each(KINDS)('%s is told from every other kind', (kind) => {
    for (const other of KINDS) {
      if (other === kind) continue
      for (const form of ['cbor', 'json'] as const) {
        const decoded = decodeMessage(other, encodeMessage(kind, MESSAGES[kind], form))
        expect(codeOf(decoded)).toMatch(/^message\.(malformed|too_large)$/)
      }
    }
  })

  it.each(KINDS)('%s is refused when any byte is missing at the end', (kind) => {
    const bytes = encodeMessage(kind, MESSAGES[kind])
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeMessage(kind, bytes.subarray(0, length)).ok).toBe(false)
    }
  })
})

describe('telemetry', () => {
  const withWindow = (window: Telemetry['arms'][number]['window']): Telemetry => ({
    ...MESSAGES.telemetry,
    arms: [{ ...MESSAGES.telemetry.arms[0]!, window }],
  })

  it('survives with any window', () => {
    fc.assert(
      fc.property(anyWindow(), (window) => {
        const message = withWindow(window)
        const decoded = decodeMessage('telemetry', encodeMessage('telemetry', message))
        expect(decoded).toEqual({ ok: true, value: message })
      }),
      { numRuns: 60, seed: 7 },
    )
  })

  it('with counts that contradict each other is refused in both forms', () => {
    const window = { ...MESSAGES.telemetry.arms[0]!.window, nBad: { latency: 1_000_000 } }
    for (const form of ['cbor', 'json'] as const) {
      const bytes = encodeMessage('telemetry', withWindow(window), form)
      expect(codeOf(decodeMessage('telemetry', bytes))).toBe('window.inconsistent')
    }
  })

  it('needs no more than 400 bytes for a window of twenty requests', () => {
    const windows = fc.sample(anyWindow(), { seed: 3, numRuns: 50 })
    const sizes = windows.map((window) => encodeMessage('telemetry', withWindow(window)).length)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(400)
  })
})

describe('hostile bytes', () => {
  it('are refused with a code, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...KINDS), (bytes, kind) => {
        expect(codeOf(decodeMessage(kind, bytes))).toMatch(/^(message|window|counts)\./)
      }),
      { numRuns: 1_000, seed: 11 },
    )
  })

  it('made from a message by changing one byte never throw', () => {
    for (const kind of KINDS) {
      const bytes = encodeMessage(kind, MESSAGES[kind])
      for (let i = 0; i < bytes.length; i++) {
        for (const change of [0xff, 0x1f, 0x80]) {
          const mutated = Uint8Array.from(bytes)
          mutated[i] = mutated[i]! ^ change
          expect(typeof decodeMessage(kind, mutated).ok).toBe('boolean')
        }
      }
    }
  })

  it.each([
    ['a map', [0xa1, 0x01, 0x02]],
    ['a tag that defines a record', [0xd9, 0xdf, 0xff, 0x82, 0x81, 0x61, 0x61, 0x01]],
    ['a tag that refers back', [0xd8, 0x1d, 0x00]],
    ['an array of indefinite length', [0x9f, 0x01, 0xff]],
    ['an array that claims 2^32 items', [0x9a, 0xff, 0xff, 0xff, 0xff]],
    ['a string that claims 2^31 bytes', [0x5a, 0x7f, 0xff, 0xff, 0xff]],
    ['an integer beyond 2^53', [0x1b, 0x40, 0, 0, 0, 0, 0, 0, 0]],
    ['undefined', [0xf7]],
    ['two documents', [0x80, 0x80]],
    ['nothing', []],
    ['forty levels', [...Array.from({ length: 40 }, () => 0x81), 0x01]],
  ])('%s is refused', (_, bytes) => {
    expect(codeOf(decodeMessage('ack', Uint8Array.from(bytes)))).toBe('message.malformed')
  })

  it('larger than a message may be is refused unread', () => {
    expect(codeOf(decodeMessage('ack', new Uint8Array(10_000)))).toBe('message.too_large')
  })

  it('JSON with a field too many, or nested deeply, is refused', () => {
    const extra = utf8(JSON.stringify({ ...MESSAGES.ack, more: 1 }))
    expect(codeOf(decodeMessage('ack', extra))).toBe('message.malformed')
    const deep = utf8(`{"a":${'['.repeat(50)}${']'.repeat(50)}}`)
    expect(codeOf(decodeMessage('ack', deep))).toBe('message.malformed')
  })
})
