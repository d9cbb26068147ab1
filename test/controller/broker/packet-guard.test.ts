import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createPacketGuard, type PacketGuard } from '../../../controller/broker/packet-guard.ts'
import { connectPacket, header, publishPacket } from './broker-fixture.ts'

const limits = { connectBytesMax: 4096, packetBytesMax: 256 * 1024 }
const connect = connectPacket({ clientId: 'dev' })

function acceptedGuard(): PacketGuard {
  const guard = createPacketGuard(limits)
  guard.admit(connect)
  guard.accept()
  return guard
}

describe('the packet guard', () => {
  it('lets a CONNECT through and holds what comes behind it until it is accepted', () => {
    const guard = createPacketGuard(limits)
    const early = publishPacket('t', 'x')
    expect(guard.admit(Buffer.concat([connect, early]))).toEqual({ bytes: connect.length })
    expect(guard.admit(early)).toEqual({ bytes: 0 })
    guard.accept()
    expect(guard.admit(early)).toEqual({ bytes: early.length })
  })

  it('refuses a CONNECT of more than 4 KB by its header alone', () => {
    const fits = createPacketGuard(limits)
    expect(fits.admit(header(0x10, 4096 - 3))).toEqual({ bytes: 3 })
    const tooLarge = createPacketGuard(limits)
    expect(tooLarge.admit(header(0x10, 4096 - 2))).toEqual({ refused: 'packet_too_large' })
  })

  it('refuses a packet of more than 256 KB after it, by its header alone', () => {
    const fits = acceptedGuard()
    expect(fits.admit(header(0x30, 256 * 1024 - 4))).toEqual({ bytes: 4 })
    const tooLarge = acceptedGuard()
    expect(tooLarge.admit(header(0x30, 256 * 1024 - 3))).toEqual({ refused: 'packet_too_large' })
  })

  it('refuses what does not start with a CONNECT', () => {
    const first = (bytes: Uint8Array) => createPacketGuard(limits).admit(bytes)
    expect(first(Buffer.from('GET / HTTP/1.1'))).toEqual({ refused: 'not_mqtt' })
    expect(first(Buffer.from([0x16, 3, 1]))).toEqual({ refused: 'not_mqtt' })
    expect(first(publishPacket('t', 'x'))).toEqual({ refused: 'not_mqtt' })
    expect(first(Buffer.from([0x11]))).toEqual({ refused: 'not_mqtt' })
  })

  it('refuses a remaining length of more than four bytes', () => {
    const endless = Buffer.from([0x10, 0x80, 0x80, 0x80, 0x80, 1])
    expect(createPacketGuard(limits).admit(endless)).toEqual({ refused: 'malformed' })
  })

  it('decides the same however the stream is cut', () => {
    const lengths = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 8 })
    const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(lengths, cuts, fc.boolean(), (sizes, steps, endsTooLarge) => {
        const packets = sizes.map((size) => publishPacket('topic', 'x'.repeat(size)))
        const tail = endsTooLarge ? [header(0x30, 300 * 1024)] : []
        const stream = Buffer.concat([...packets, ...tail])
        const whole = acceptedGuard().admit(stream)
        const guard = acceptedGuard()
        let passed = 0
        let refused: string | undefined
        for (let at = 0, i = 0; at < stream.length && refused === undefined; i++) {
          const chunk = stream.subarray(at, at + steps[i % steps.length]!)
          const decision = guard.admit(chunk)
          if ('refused' in decision) refused = decision.refused
          else passed += decision.bytes
          at += chunk.length
        }
        expect(refused).toBe(endsTooLarge ? 'packet_too_large' : undefined)
        if ('bytes' in whole) expect(passed).toBe(whole.bytes)
        else expect(whole.refused).toBe(refused)
      }),
    )
  })
})
