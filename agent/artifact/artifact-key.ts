/**
 * The key that a device encrypts its artifacts with. It is random, made once, and lies in the home
 * wrapped by a key file or by a passphrase (`artifact-key.json`), so that a wrong one is told at
 * once and not by a model that cannot be opened.
 *
 * What it protects: whoever has the disk but neither key file nor passphrase has no model. A key file
 * on that same disk therefore protects from nothing but a copy of the other files.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { z } from 'zod'
import { fromUtf8, utf8 } from '../../shared/kernel/bytes.ts'
import { ProblemError } from '../../shared/kernel/result.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { deriveKey, SCRYPT_LOG2_COST } from '../../shared/node/key-files.ts'

export type ArtifactSecret =
  /** Made on the first start where there is none, unless it is a credential: those are given. */
  | { readonly kind: 'key-file'; readonly path: string; readonly isCredential?: boolean }
  | { readonly kind: 'passphrase'; readonly passphrase: string; readonly log2Cost?: number }

const base64 = z.base64().max(1_024)
const wrapped = { salt: base64, nonce: base64, tag: base64, ciphertext: base64 }
const recordSchema = z.discriminatedUnion('protection', [
  z.strictObject({
    ...{ schema: z.literal('linnet.artifact-key.v1'), ...wrapped },
    protection: z.literal('key-file'),
  }),
  z.strictObject({
    ...{ schema: z.literal('linnet.artifact-key.v1'), ...wrapped },
    protection: z.literal('passphrase'),
    /** scrypt (RFC 7914), r = 8, p = 1. */
    log2Cost: z.int().min(10).max(20),
  }),
])
type KeyRecord = z.infer<typeof recordSchema>

const RECORD_BYTES_MAX = 16_384
const SECRET_BYTES_MIN = 32
const PASSPHRASE_CHARS_MIN = 8
const SECRET_BYTES_MAX = 4_096
const KEY_BYTES = 32
const ALGORITHM = 'aes-256-gcm'
const GCM = { authTagLength: 16 } as const

/**
 * The artifact key; undefined where artifacts lie as they are.
 * @param recordPath of the wrapped key, which also says that this device encrypts
 * @param onMade told of a key file that was not there and is now: it may be on the wrong volume
 * @throws ProblemError `artifact.encrypted` (and no secret was given), `artifact.key_wrong`,
 *   `artifact.key_missing`, `artifact.key_permissions`, `artifact.key_malformed`,
 *   `artifact.passphrase_short`
 */
export async function openArtifactKey(
  recordPath: string,
  secret: ArtifactSecret | undefined,
  onMade: (path: string) => void = () => undefined,
): Promise<Uint8Array | undefined> {
  const record = await readRecord(recordPath)
  if (secret === undefined) {
    if (record === undefined) return undefined
    throw new ProblemError({
      code: 'artifact.encrypted',
      message: 'The artifacts of this device are encrypted.',
      expected: `--encrypt-artifacts with the ${named(record.protection)} of the first start`,
      found: 'no such option',
      next: `give it; or delete artifacts/ and ${recordPath} to fetch everything again in plain`,
    })
  }
  if (record !== undefined) return unwrapKey(record, secret)
  if (secret.kind === 'passphrase' && secret.passphrase.length < PASSPHRASE_CHARS_MIN) {
    throw new ProblemError({
      code: 'artifact.passphrase_short',
      message: 'The passphrase is too short.',
      expected: `at least ${PASSPHRASE_CHARS_MIN} characters`,
    })
  }
  const key = randomBytes(KEY_BYTES)
  const fresh = await wrapKey(key, secret, onMade)
  await writeFileAtomic(recordPath, `${JSON.stringify(fresh, null, 2)}\n`, { mode: 0o600 })
  return key
}

async function readRecord(path: string): Promise<KeyRecord | undefined> {
  const bytes = await readFileBounded(path, RECORD_BYTES_MAX)
  if (bytes === undefined) return undefined
  const record = recordSchema.safeParse(parse(fromUtf8(bytes)))
  if (record.success) return record.data
  throw new ProblemError({
    code: 'artifact.key_malformed',
    message: `${path} is not a wrapped artifact key.`,
    next: `restore it, or delete it and artifacts/ to fetch everything again`,
  })
}

function parse(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

async function wrapKey(
  key: Uint8Array,
  secret: ArtifactSecret,
  onMade: (path: string) => void,
): Promise<KeyRecord> {
  const salt = randomBytes(32)
  const nonce = randomBytes(12)
  const protection =
    secret.kind === 'key-file'
      ? { protection: secret.kind }
      : { protection: secret.kind, log2Cost: secret.log2Cost ?? SCRYPT_LOG2_COST }
  const wrapping = await wrappingKey(protection, salt, secret, onMade)
  const cipher = createCipheriv(ALGORITHM, wrapping, nonce, GCM).setAAD(aad(protection))
  const ciphertext = Buffer.concat([cipher.update(key), cipher.final()])
  return {
    schema: 'linnet.artifact-key.v1',
    ...protection,
    salt: salt.toString('base64'),
    nonce: nonce.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
    ciphertext: ciphertext.toString('base64'),
  }
}

async function unwrapKey(record: KeyRecord, secret: ArtifactSecret): Promise<Uint8Array> {
  if (record.protection !== secret.kind) throw wrongKey(record, `a ${named(secret.kind)}`)
  const salt = Buffer.from(record.salt, 'base64')
  const wrapping = await wrappingKey(record, salt, secret)
  try {
    const nonce = Buffer.from(record.nonce, 'base64')
    const decipher = createDecipheriv(ALGORITHM, wrapping, nonce, GCM).setAAD(aad(record))
    decipher.setAuthTag(Buffer.from(record.tag, 'base64'))
    return Buffer.concat([decipher.update(record.ciphertext, 'base64'), decipher.final()])
  } catch {
    throw wrongKey(record, 'another one, or a record that was changed')
  }
}

function wrongKey({ protection }: KeyRecord, found: string): ProblemError {
  return new ProblemError({
    code: 'artifact.key_wrong',
    message: 'This does not open the artifacts of the device.',
    expected: `the ${named(protection)} of the first start`,
    found,
    next: 'give the right one; nothing was changed',
  })
}

const named = (kind: ArtifactSecret['kind']): string => kind.replace('-', ' ')

function aad(record: Pick<KeyRecord, 'protection'> & { log2Cost?: number }): Uint8Array {
  return utf8(`linnet.artifact-key.v1 ${record.protection} ${record.log2Cost ?? ''}`)
}

async function wrappingKey(
  { log2Cost }: Pick<KeyRecord, 'protection'> & { readonly log2Cost?: number },
  salt: Buffer,
  secret: ArtifactSecret,
  onMade?: (path: string) => void,
): Promise<Buffer> {
  if (secret.kind === 'passphrase') {
    return deriveKey(secret.passphrase, salt, log2Cost ?? SCRYPT_LOG2_COST)
  }
  const content = await readKeyFile(secret, onMade)
  return Buffer.from(hkdfSync('sha256', content, salt, 'linnet artifact key file v1', KEY_BYTES))
}

/** @param onMade present where a file that is missing may be made. */
async function readKeyFile(
  { path, isCredential = false }: Extract<ArtifactSecret, { kind: 'key-file' }>,
  onMade?: (path: string) => void,
): Promise<Uint8Array> {
  const found = await readSecretFile(path, isCredential)
  if (found === undefined && onMade !== undefined && !isCredential) {
    const made = `${randomBytes(KEY_BYTES).toString('base64url')}\n`
    await writeFileAtomic(path, made, { mode: 0o600 })
    onMade(path)
    return utf8(made)
  }
  if (found === undefined) {
    throw new ProblemError({
      code: 'artifact.key_missing',
      message: `There is no key file ${path}, and the artifacts of this device are encrypted.`,
      next: isCredential
        ? 'LoadCredential= or LoadCredentialEncrypted= in the unit of the service'
        : 'mount the volume it lies on, or give --artifact-key-file',
    })
  }
  if (found.length >= SECRET_BYTES_MIN) return found
  throw new ProblemError({
    code: 'artifact.key_malformed',
    message: `The key file ${path} is too short.`,
    expected: `at least ${SECRET_BYTES_MIN} random bytes`,
    found: `${found.length} bytes`,
  })
}

/**
 * A file that only its owner may read. A systemd credential also has bits for its group: for a service
 * with `User=` the system gives it 0440, owned by root, with an access list for that user alone, and
 * the group's bits are then the mask of that list. Its folder is closed to everybody else.
 * @returns undefined when there is none.
 * @throws ProblemError `artifact.key_permissions`, `file.too_large`
 */
export async function readSecretFile(
  path: string,
  isCredential = false,
): Promise<Uint8Array | undefined> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw cause
  })
  if (file === undefined) return undefined
  try {
    const { mode } = await file.stat()
    // Windows has no such bits.
    const others = process.platform === 'win32' ? 0 : mode & (isCredential ? 0o037 : 0o077)
    if (others !== 0) {
      throw new ProblemError({
        code: 'artifact.key_permissions',
        message: `Others than its owner may read ${path}.`,
        expected: isCredential ? 'mode 0400 or 0440' : 'mode 0600 or 0400',
        found: `mode 0${(mode & 0o777).toString(8)}`,
        next: `chmod 600 ${path}`,
      })
    }
    const buffer = Buffer.alloc(SECRET_BYTES_MAX)
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
