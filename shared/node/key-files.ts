/**
 * Private keys on disk: a JSON file, mode 0600, with the public half readable. Keys that people use
 * are encrypted with a passphrase (scrypt, RFC 7914; AES-256-GCM); a key that a service must load
 * unattended (device key, director key) is not, and the file says so. Invariant: the public half is
 * authenticated with the private one, so neither can be swapped. Backups are left to people.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  type KeyObject,
  randomBytes,
  scrypt,
} from 'node:crypto'
import { assert } from '../kernel/assert.ts'
import { fromUtf8 } from '../kernel/bytes.ts'
import { ProblemError } from '../kernel/result.ts'
import { type KeyFile, keyFileSchema } from '../model/key-file.ts'
import { keyId, type PublicKey, type SyncSigner } from '../signing/keys.ts'
import { readFileBounded, writeFileAtomic } from './atomic-file.ts'
import { nodeSigner } from './signer-node.ts'

const KEY_FILE_BYTES_MAX = 65_536
/** 2^17 with r = 8 takes 128 MiB and about 0.4 s; more than 2^20 is refused, less than 2^10 too. */
export const SCRYPT_LOG2_COST = 17
const SCRYPT_R = 8

export interface KeyFileOptions {
  /** Absent: stored unencrypted, for services that start unattended. */
  readonly passphrase?: string | undefined
  /** Cost of guessing the passphrase; lower only in tests. */
  readonly log2Cost?: number
}

/** Writes the key (mode 0600), replacing what was there at once. */
export async function writeKeyFile(
  path: string,
  privateKey: KeyObject,
  options: KeyFileOptions = {},
): Promise<PublicKey> {
  const { key } = nodeSigner(privateKey)
  const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' })
  const { passphrase, log2Cost = SCRYPT_LOG2_COST } = options
  const file: KeyFile = {
    schema: 'linnet.key.v1',
    keyid: keyId(key),
    key,
    private:
      passphrase === undefined
        ? { protection: 'none', pkcs8: pkcs8.toString('base64') }
        : await encrypt(pkcs8, key, passphrase, log2Cost),
  }
  await writeFileAtomic(path, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 })
  return key
}

/** @throws ProblemError `key_file.missing`, `.malformed`, `.mismatch`. */
export async function readPublicKey(path: string): Promise<PublicKey> {
  return (await readKeyFile(path)).key
}

/**
 * @throws ProblemError `key_file.missing`, `.malformed`, `.mismatch`, `.passphrase_needed`,
 *   `.passphrase`.
 */
export async function loadSigner(path: string, passphrase?: string): Promise<SyncSigner> {
  const file = await readKeyFile(path)
  const signer = signerFrom(await privateBytes(file, path, passphrase), path)
  if (keyId(signer.key) !== file.keyid) throw mismatch(path)
  return signer
}

async function readKeyFile(path: string): Promise<KeyFile> {
  const bytes = await readFileBounded(path, KEY_FILE_BYTES_MAX)
  if (bytes === undefined) {
    const message = `There is no key file ${path}.`
    throw new ProblemError({ code: 'key_file.missing', message, next: 'linnet key new' })
  }
  const parsed = keyFileSchema.safeParse(jsonOrUndefined(fromUtf8(bytes)))
  if (!parsed.success) throw malformed(path)
  if (keyId(parsed.data.key) !== parsed.data.keyid) throw mismatch(path)
  return parsed.data
}

function jsonOrUndefined(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

function signerFrom(pkcs8: Buffer, path: string): SyncSigner {
  try {
    return nodeSigner(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }))
  } catch {
    throw malformed(path)
  }
}

async function privateBytes(file: KeyFile, path: string, passphrase?: string): Promise<Buffer> {
  const stored = file.private
  if (stored.protection === 'none') return Buffer.from(stored.pkcs8, 'base64')
  if (passphrase === undefined) {
    const message = `The key in ${path} is encrypted.`
    throw new ProblemError({ code: 'key_file.passphrase_needed', message })
  }
  const secret = await deriveKey(passphrase, Buffer.from(stored.salt, 'base64'), stored.log2Cost)
  try {
    const decipher = createDecipheriv('aes-256-gcm', secret, Buffer.from(stored.nonce, 'base64'), {
      authTagLength: 16,
    })
    decipher.setAAD(Buffer.from(keyId(file.key)))
    decipher.setAuthTag(Buffer.from(stored.tag, 'base64'))
    return Buffer.concat([decipher.update(stored.ciphertext, 'base64'), decipher.final()])
  } catch (cause) {
    const message = `The passphrase does not open ${path}, or the file was changed.`
    throw new ProblemError({ code: 'key_file.passphrase', message }, { cause })
  }
}

async function encrypt(
  pkcs8: Buffer,
  key: PublicKey,
  passphrase: string,
  log2Cost: number,
): Promise<KeyFile['private']> {
  assert(passphrase.length > 0, 'an empty passphrase protects nothing')
  const salt = randomBytes(32)
  const nonce = randomBytes(12)
  const secret = await deriveKey(passphrase, salt, log2Cost)
  const cipher = createCipheriv('aes-256-gcm', secret, nonce, { authTagLength: 16 })
  cipher.setAAD(Buffer.from(keyId(key)))
  const ciphertext = Buffer.concat([cipher.update(pkcs8), cipher.final()])
  return {
    protection: 'scrypt+aes-256-gcm',
    log2Cost,
    salt: salt.toString('base64'),
    nonce: nonce.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
    ciphertext: ciphertext.toString('base64'),
  }
}

/** scrypt (RFC 7914) with r = 8, p = 1; 32 bytes. */
export function deriveKey(passphrase: string, salt: Buffer, log2Cost: number): Promise<Buffer> {
  const cost = 2 ** log2Cost
  const options = { N: cost, r: SCRYPT_R, p: 1, maxmem: 128 * cost * SCRYPT_R + 1_048_576 }
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize('NFC'), salt, 32, options, (error, secret) => {
      if (error === null) resolve(secret)
      else reject(error)
    })
  })
}

function malformed(path: string): ProblemError {
  return new ProblemError({ code: 'key_file.malformed', message: `${path} is not a key file.` })
}

function mismatch(path: string): ProblemError {
  const message = `The parts of the key file ${path} do not belong together.`
  return new ProblemError({ code: 'key_file.mismatch', message })
}
