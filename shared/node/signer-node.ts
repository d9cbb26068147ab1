/**
 * Key pairs and signers with node:crypto. Where private keys are kept is left to `key-files.ts`.
 */
import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto'
import { assert } from '../kernel/assert.ts'
import { fromHex, toHex } from '../kernel/bytes.ts'
import { ed25519Key, type PublicKey, type Scheme, type SyncSigner } from '../signing/keys.ts'

const RSA_MODULUS_BITS = 3_072
const ED25519_PKCS8_PREFIX = fromHex('302e020100300506032b657004220420')!

export function generatePrivateKey(scheme: Scheme): KeyObject {
  switch (scheme) {
    case 'ed25519':
      return generateKeyPairSync('ed25519').privateKey
    case 'ecdsa-sha2-nistp256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    case 'rsassa-pss-sha256':
      return generateKeyPairSync('rsa', { modulusLength: RSA_MODULUS_BITS }).privateKey
  }
}

/** @param seed the 32 secret bytes of RFC 8032. */
export function ed25519PrivateKey(seed: Uint8Array): KeyObject {
  assert(seed.length === 32, 'an Ed25519 seed has 32 bytes')
  const key = Buffer.concat([ED25519_PKCS8_PREFIX, seed])
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' })
}

export function nodeSigner(privateKey: KeyObject): SyncSigner {
  const key = publicKeyOf(privateKey)
  if (key.scheme === 'ed25519') return { key, sign: (message) => sign(null, message, privateKey) }
  if (key.scheme === 'ecdsa-sha2-nistp256') {
    return { key, sign: (message) => sign('sha256', message, privateKey) }
  }
  const padding = constants.RSA_PKCS1_PSS_PADDING
  const saltLength = constants.RSA_PSS_SALTLEN_DIGEST
  return {
    key,
    sign: (message) => sign('sha256', message, { key: privateKey, padding, saltLength }),
  }
}

function publicKeyOf(privateKey: KeyObject): PublicKey {
  const publicKey = createPublicKey(privateKey)
  if (privateKey.asymmetricKeyType === 'ed25519') {
    const spki = publicKey.export({ format: 'der', type: 'spki' })
    return ed25519Key(toHex(spki.subarray(-32)))
  }
  const pem = publicKey.export({ format: 'pem', type: 'spki' }).toString()
  const elliptic = privateKey.asymmetricKeyType === 'ec'
  return {
    keytype: elliptic ? 'ecdsa' : 'rsa',
    scheme: elliptic ? 'ecdsa-sha2-nistp256' : 'rsassa-pss-sha256',
    keyval: { public: pem },
  }
}
