import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../shared/kernel/bytes.ts'
import { nodeVerifier } from '../../../shared/node/verifier-node.ts'
import {
  type FrameParts,
  frameMessageBytes,
  signFrame,
  verifyFrame,
} from '../../../shared/signing/frame.ts'
import { checkSync } from '../../../shared/signing/keys.ts'
import { signerNumber } from './build-assignment.ts'

const parts: FrameParts = {
  type: 'telemetry',
  fleet: 'plant',
  device: 'motor-1',
  topic: 'ln1/plant/d/motor-1/up/telemetry',
  payload: Uint8Array.of(1, 2, 3),
}
const signer = signerNumber(4)

describe('a signed frame', () => {
  it('holds for exactly its type, fleet, device, topic and payload', () => {
    const signature = signFrame(signer, parts)
    const holds = (changed: Partial<FrameParts>) =>
      checkSync(verifyFrame(signer.key, { ...parts, ...changed }, signature), nodeVerifier)
    expect(holds({})).toBe(true)
    expect(holds({ type: 'report' })).toBe(false)
    expect(holds({ fleet: 'lab' })).toBe(false)
    expect(holds({ device: 'motor-2' })).toBe(false)
    expect(holds({ topic: 'ln1/plant/d/motor-1/up/report' })).toBe(false)
    expect(holds({ payload: Uint8Array.of(1, 2) })).toBe(false)
  })

  it('does not hold for another key', () => {
    const signature = signFrame(signerNumber(5), parts)
    expect(checkSync(verifyFrame(signer.key, parts, signature), nodeVerifier)).toBe(false)
  })

  it('signs these bytes: each part after its length, the domain first', () => {
    const bytes = frameMessageBytes({ ...parts, type: 't', fleet: 'f', device: 'd', topic: 'x' })
    expect(toHex(bytes)).toBe(
      `0000000e${toHex(new TextEncoder().encode('linnet/frame/1'))}` +
        '0000000174000000016600000001640000000178' +
        '00000003010203',
    )
  })

  it('gives different bytes for different frames, however text moves between the parts', () => {
    const text = fc.string({ maxLength: 3, unit: fc.constantFrom('a', 'b', '\0') })
    const frame = fc.record({
      type: text,
      fleet: text,
      device: text,
      topic: text,
      payload: fc.uint8Array({ maxLength: 3 }),
    })
    fc.assert(
      fc.property(frame, frame, (a, b) => {
        const same = JSON.stringify(a) === JSON.stringify(b)
        expect(toHex(frameMessageBytes(a)) === toHex(frameMessageBytes(b))).toBe(same)
      }),
    )
  })
})
