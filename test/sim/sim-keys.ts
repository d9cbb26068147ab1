/**
 * Keys from names. `cheap` stands in for Ed25519 where thousands of devices sign every minute: a
 * digest over key and message behind the same interfaces. It holds against damage and mistakes, not
 * against an attacker, since anybody can compute it; `real` is Ed25519 by node:crypto.
 */
import { createHash } from 'node:crypto'
import { toHex } from '../../shared/kernel/bytes.ts'
import { sha256 } from '../../shared/kernel/sha256.ts'
import { ed25519PrivateKey, nodeSigner } from '../../shared/node/signer-node.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { ed25519Key, type SyncSigner, type SyncVerifier } from '../../shared/signing/keys.ts'

export type SignatureKind = 'cheap' | 'real'

export function signerNamed(name: string, kind: SignatureKind): SyncSigner {
  const secret = sha256(`linnet-sim/key/${name}`)
  if (kind === 'real') return nodeSigner(ed25519PrivateKey(secret))
  const key = ed25519Key(toHex(secret))
  return { key, sign: (message) => cheapSignature(key.keyval.public, message) }
}

export function verifierOf(kind: SignatureKind): SyncVerifier {
  return kind === 'real' ? nodeVerifier : cheapVerifier
}

const cheapVerifier: SyncVerifier = {
  verify: (key, message, signature) =>
    cheapSignature(key.keyval.public, message).equals(Buffer.from(signature)),
}

/** 64 bytes, as Ed25519 has. */
function cheapSignature(publicHex: string, message: Uint8Array): Buffer {
  return createHash('sha512').update(publicHex).update(message).digest()
}
