import { describe, expect, it } from 'vitest'
import { toHex } from '../../../shared/kernel/bytes.ts'
import { tweetnaclSigner, tweetnaclVerifier } from '../../../shared/signing/verifier-tweetnacl.ts'
import { bytesOf, describeVerifier, rfc8032Vectors } from '../../contract/verifier.contract.ts'

describeVerifier('tweetnacl', tweetnaclVerifier)

describe('tweetnaclSigner', () => {
  it.each(rfc8032Vectors)('makes the key and signature of RFC 8032 $name', (vector) => {
    const signer = tweetnaclSigner(bytesOf(vector.seed))
    expect(signer.key.keyval.public).toBe(vector.publicKey)
    expect(toHex(signer.sign(bytesOf(vector.message)))).toBe(vector.signature)
  })
})
