import { constants, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../shared/kernel/bytes.ts'
import {
  ed25519PrivateKey,
  generatePrivateKey,
  nodeSigner,
} from '../../../shared/node/signer-node.ts'
import { nodeVerifier } from '../../../shared/node/verifier-node.ts'
import { ecdsaDerFromRaw, ecdsaRawFromDer } from '../../../shared/signing/ecdsa-encoding.ts'
import type { PublicKey, Scheme } from '../../../shared/signing/keys.ts'
import { tweetnaclSigner } from '../../../shared/signing/signer-tweetnacl.ts'
import { nobleVerifier } from '../../../shared/signing/verifier-noble.ts'
import { describeVerifier } from '../../contract/verifier.contract.ts'

describeVerifier('node:crypto', nodeVerifier)

const message = utf8('what is signed')
const schemes: Scheme[] = ['ed25519', 'ecdsa-sha2-nistp256', 'rsassa-pss-sha256']
const signers = new Map(schemes.map((scheme) => [scheme, nodeSigner(generatePrivateKey(scheme))]))

describe('node:crypto with the three schemes', () => {
  it.each(schemes)('verifies what it signed with %s, and nothing else', (scheme) => {
    const { key, sign: signWith } = signers.get(scheme)!
    const signature = signWith(message)
    expect(key.scheme).toBe(scheme)
    expect(nodeVerifier.verify(key, message, signature)).toBe(true)
    expect(nodeVerifier.verify(key, utf8('something else'), signature)).toBe(false)
    for (const other of schemes) {
      expect(nodeVerifier.verify({ ...key, scheme: other }, message, signature)).toBe(
        other === scheme,
      )
    }
  })

  it('agrees with tweetnacl and @noble/curves on Ed25519', () => {
    const seed = new Uint8Array(32).fill(7)
    const node = nodeSigner(ed25519PrivateKey(seed))
    const nacl = tweetnaclSigner(seed)
    expect(node.key).toEqual(nacl.key)
    expect(Buffer.from(node.sign(message))).toEqual(Buffer.from(nacl.sign(message)))
    expect(nobleVerifier.verify(node.key, message, node.sign(message))).toBe(true)
  })

  it('accepts the key type that older repositories give to ECDSA keys', () => {
    const { key, sign: signWith } = signers.get('ecdsa-sha2-nistp256')!
    const named = { ...key, keytype: 'ecdsa-sha2-nistp256' }
    expect(nodeVerifier.verify(named, message, signWith(message))).toBe(true)
  })

  it('accepts P-256 points in hex, and RSA PKCS #1 v1.5, from repositories of others', () => {
    const { key, sign: signWith } = signers.get('ecdsa-sha2-nistp256')!
    const der = createPublicKey(key.keyval.public).export({ format: 'der', type: 'spki' })
    const point = { ...key, keyval: { public: der.subarray(-65).toString('hex') } }
    expect(nodeVerifier.verify(point, message, signWith(message))).toBe(true)
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const pkcs1 = pemKey('rsa', 'rsa-pkcs1v15-sha256', pemOf(privateKey))
    const signature = sign('sha256', message, privateKey)
    expect(nodeVerifier.verify(pkcs1, message, signature)).toBe(true)
    const pss = { ...pkcs1, scheme: 'rsassa-pss-sha256' }
    expect(nodeVerifier.verify(pss, message, signature)).toBe(false)
  })

  it('accepts RSA-PSS salts of the digest length and the longest, and no other', () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const key = pemKey(
      'rsa',
      'rsassa-pss-sha256',
      publicKey.export({ format: 'pem', type: 'spki' }),
    )
    const padding = constants.RSA_PKCS1_PSS_PADDING
    const verdicts = [0, 20, 32, 48, 222].map((saltLength) => {
      const signature = sign('sha256', message, { key: privateKey, padding, saltLength })
      return nodeVerifier.verify(key, message, signature)
    })
    expect(verdicts).toEqual([false, false, true, false, true])
  })

  it('refuses RSA keys below 2,048 bits and curves other than P-256', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
    const padding = constants.RSA_PKCS1_PSS_PADDING
    const weakKey = pemKey('rsa', 'rsassa-pss-sha256', pemOf(weak))
    const weakSignature = sign('sha256', message, { key: weak, padding, saltLength: 32 })
    expect(nodeVerifier.verify(weakKey, message, weakSignature)).toBe(false)
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
    const p384Key = pemKey('ecdsa', 'ecdsa-sha2-nistp256', pemOf(p384))
    expect(nodeVerifier.verify(p384Key, message, sign('sha256', message, p384))).toBe(false)
  })

  it('refuses a private key where a public one belongs', () => {
    const privateKey = generatePrivateKey('ecdsa-sha2-nistp256')
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' })
    const signature = sign('sha256', message, privateKey)
    const key = pemKey('ecdsa', 'ecdsa-sha2-nistp256', pem)
    expect(nodeVerifier.verify(key, message, signature)).toBe(false)
  })

  it('never accepts a signature with a changed byte', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...schemes),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (scheme, at, change) => {
          const { key, sign: signWith } = signers.get(scheme)!
          const signature = Uint8Array.from(signWith(message))
          signature[at % signature.length]! ^= change
          expect(nodeVerifier.verify(key, message, signature)).toBe(false)
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('the two forms of a P-256 signature', () => {
  it('convert into each other without loss', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), (raw) => {
        const der = ecdsaDerFromRaw(raw)!
        expect(ecdsaRawFromDer(der)).toEqual(raw)
      }),
    )
  })

  it('are one to one: no second DER form is read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 73 }), (der) => {
        const raw = ecdsaRawFromDer(der)
        if (raw !== undefined) expect(ecdsaDerFromRaw(raw)).toEqual(der)
      }),
    )
    const { sign: signWith } = signers.get('ecdsa-sha2-nistp256')!
    const der = Uint8Array.from(signWith(message))
    expect(ecdsaDerFromRaw(ecdsaRawFromDer(der)!)).toEqual(der)
    expect(ecdsaRawFromDer(Uint8Array.of(...der, 0))).toBeUndefined()
  })
})

function pemKey(keytype: string, scheme: string, pem: string | Buffer): PublicKey {
  return { keytype, scheme, keyval: { public: pem.toString() } }
}

function pemOf(privateKey: Parameters<typeof createPublicKey>[0]): string {
  return createPublicKey(privateKey).export({ format: 'pem', type: 'spki' }).toString()
}
