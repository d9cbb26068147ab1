/**
 * The device's key in a browser: Ed25519, else P-256, made by WebCrypto and not extractable, so that
 * not even this page can read it out. Without a secure context there is no WebCrypto: then a seed for
 * it lies in the records, and `protection` says so.
 */

import { assert } from '../../shared/kernel/assert.ts'
import { toBase64, toHex } from '../../shared/kernel/bytes.ts'
import { ecdsaDerFromRaw } from '../../shared/signing/ecdsa-encoding.ts'
import { ed25519Key, type PublicKey, type Signer } from '../../shared/signing/keys.ts'
import { tweetnaclSigner } from '../../shared/signing/signer-tweetnacl.ts'
import type { Records } from './records.ts'

export interface DeviceKey {
  readonly signer: Signer
  readonly protection: 'not extractable' | 'readable by this page'
}

const KEY = 'key'

/** Made on the first call; durable before it is used where the records are. */
export async function openDeviceKey(records: Records): Promise<DeviceKey> {
  const stored = await records.get('device', KEY)
  if (stored instanceof Uint8Array) return fromSeed(stored)
  if (isKeyPair(stored)) return fromPair(stored)
  const made = await makePair()
  if (made === undefined) {
    const seed = crypto.getRandomValues(new Uint8Array(32))
    await records.put('device', KEY, seed)
    return fromSeed(seed)
  }
  await records.put('device', KEY, made)
  return fromPair(made)
}

async function makePair(): Promise<CryptoKeyPair | undefined> {
  if (globalThis.crypto?.subtle === undefined) return undefined
  for (const algorithm of ['Ed25519', { name: 'ECDSA', namedCurve: 'P-256' }] as const) {
    try {
      const pair = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])
      if ('privateKey' in pair) return pair
    } catch {
      // This browser does not know the algorithm.
    }
  }
  return undefined
}

function isKeyPair(value: unknown): value is CryptoKeyPair {
  return (
    typeof value === 'object' &&
    value !== null &&
    'privateKey' in value &&
    value.privateKey instanceof CryptoKey
  )
}

function fromSeed(seed: Uint8Array): DeviceKey {
  return { signer: tweetnaclSigner(seed), protection: 'readable by this page' }
}

async function fromPair({ privateKey, publicKey }: CryptoKeyPair): Promise<DeviceKey> {
  const isEd25519 = privateKey.algorithm.name === 'Ed25519'
  const key: PublicKey = isEd25519
    ? ed25519Key(toHex(new Uint8Array(await crypto.subtle.exportKey('raw', publicKey))))
    : await p256Key(publicKey)
  const algorithm = isEd25519 ? 'Ed25519' : { name: 'ECDSA', hash: 'SHA-256' }
  const sign = async (message: Uint8Array): Promise<Uint8Array> => {
    const bytes = message as Uint8Array<ArrayBuffer>
    const signature = new Uint8Array(await crypto.subtle.sign(algorithm, privateKey, bytes))
    if (isEd25519) return signature
    const der = ecdsaDerFromRaw(signature)
    assert(der !== undefined, 'WebCrypto gives 64 bytes for P-256')
    return der
  }
  return { signer: { key, sign }, protection: 'not extractable' }
}

async function p256Key(publicKey: CryptoKey): Promise<PublicKey> {
  const spki = new Uint8Array(await crypto.subtle.exportKey('spki', publicKey))
  const lines = toBase64(spki).match(/.{1,64}/g) ?? []
  const pem = ['-----BEGIN PUBLIC KEY-----', ...lines, '-----END PUBLIC KEY-----', ''].join('\n')
  return { keytype: 'ecdsa', scheme: 'ecdsa-sha2-nistp256', keyval: { public: pem } }
}
