import { describe, expect, it } from 'vitest'
import { toHex } from '../../../shared/kernel/bytes.ts'
import { tweetnaclSigner } from '../../../shared/signing/signer-tweetnacl.ts'
import { bytesOf, rfc8032Vectors } from '../../contract/verifier.contract.ts'

describe('Signing with tweetnacl', () => {
  it.each(rfc8032Vectors)('makes the key and signature of RFC 8032 $name', (vector) => {
    const signer = tweetnaclSigner(bytesOf(vector.seed))
    expect(signer.key.keyval.public).toBe(vector.publicKey)
    expect(toHex(signer.sign(bytesOf(vector.message)))).toBe(vector.signature)
  })
})
