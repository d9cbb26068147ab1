import { describe, expect, it } from 'vitest'
import { unwrap } from '../../../shared/kernel/result.ts'
import { encodeMessage } from '../../../shared/protocol/codec.ts'
import { encodeFrame, openFrame, openMessage, sealMessage } from '../../../shared/protocol/frame.ts'
import { formatTopic } from '../../../shared/protocol/topics.ts'
import { checkSync } from '../../../shared/signing/keys.ts'
import { tweetnaclSigner } from '../../../shared/signing/signer-tweetnacl.ts'
import { nobleVerifier } from '../../../shared/signing/verifier-noble.ts'

const device = { fleet: 'plant', device: 'press-1' }
const address = { ...device, topic: formatTopic('up/state', device) }
const presence = { status: 'online', boot: 'b', sinceMs: 5 } as const
const signer = tweetnaclSigner(new Uint8Array(32).fill(1))
const stranger = tweetnaclSigner(new Uint8Array(32).fill(2))

type Address = typeof address
const open = (bytes: Uint8Array, at: Address = address, key = signer.key) =>
  checkSync(openMessage('presence', bytes, at, key), nobleVerifier)
const codeOf = (result: { ok: boolean; error?: { code: string } }) => result.error?.code ?? 'ok'

describe('a signed frame', () => {
  it.each(['cbor', 'json'] as const)('in %s opens to the message that was sealed', (form) => {
    const bytes = sealMessage('presence', presence, address, signer, form)
    expect(open(bytes)).toEqual({ ok: true, value: presence })
  })

  it('as JSON can be written by hand: a payload text and a signature', () => {
    const bytes = sealMessage('presence', presence, address, signer, 'json')
    const frame: unknown = JSON.parse(new TextDecoder().decode(bytes))
    expect(frame).toMatchObject({ payload: JSON.stringify(presence) })
  })

  it('is refused on another topic, from another device, fleet or key, or as another kind', () => {
    const bytes = sealMessage('presence', presence, address, signer)
    expect(codeOf(open(bytes, { ...address, topic: `${address.topic}2` }))).toBe('frame.signature')
    expect(codeOf(open(bytes, { ...address, device: 'press-2' }))).toBe('frame.signature')
    expect(codeOf(open(bytes, { ...address, fleet: 'other' }))).toBe('frame.signature')
    expect(codeOf(open(bytes, address, stranger.key))).toBe('frame.signature')
    const asNotice = checkSync(openMessage('notice', bytes, address, signer.key), nobleVerifier)
    expect(codeOf(asNotice)).toBe('frame.signature')
  })

  it('is refused when any byte of the payload changed', () => {
    const bytes = sealMessage('presence', presence, address, signer)
    for (let i = 0; i < bytes.length - 64; i++) {
      const mutated = Uint8Array.from(bytes)
      mutated[i] = mutated[i]! ^ 1
      expect(open(mutated).ok).toBe(false)
    }
  })
})

describe('an unsigned frame', () => {
  it('never passes for a signed one, and can still be read where that is allowed', () => {
    const payload = encodeMessage('presence', presence)
    const bytes = encodeFrame({ payload, signature: new Uint8Array(0) })
    const opened = open(bytes)
    expect(opened).toMatchObject({ error: { code: 'frame.signature', found: 'no signature' } })
    expect(unwrap(openFrame(bytes, 1_024)).payload).toEqual(payload)
  })
})

describe('what is no frame', () => {
  it.each([
    ['nothing', new Uint8Array(0)],
    [
      'another version',
      encodeFrame({ payload: new Uint8Array(3), signature: new Uint8Array(0) }).fill(2, 1, 2),
    ],
    ['JSON without a signature', new TextEncoder().encode('{"payload":"x"}')],
    ['a signature that is no base64', new TextEncoder().encode('{"payload":"x","sig":"?"}')],
  ])('%s is refused', (_, bytes) => {
    expect(codeOf(openFrame(bytes, 1_024))).toBe('frame.malformed')
  })

  it('too large is refused unread', () => {
    expect(codeOf(openFrame(new Uint8Array(5_000), 1_024))).toBe('frame.too_large')
  })
})
