import { describe, expect, it } from 'vitest'
import { toHex } from '../../../shared/kernel/bytes.ts'
import { nobleSigner, nobleVerifier } from '../../../shared/signing/verifier-noble.ts'
import { bytesOf, describeVerifier, rfc8032Vectors } from '../../contract/verifier.contract.ts'

describeVerifier('@noble/curves', nobleVerifier)

describe('nobleSigner', () => {
  it.each(rfc8032Vectors)('makes the key and signature of RFC 8032 $name', (vector) => {
    const signer = nobleSigner(bytesOf(vector.seed))
    expect(signer.key.keyval.public).toBe(vector.publicKey)
    expect(toHex(signer.sign(bytesOf(vector.message)))).toBe(vector.signature)
  })
})
