/**
 * Brings a folder of artifacts that lie there as they are under the device's key. Invariants: at every
 * moment each artifact is whole under its name, plain or sealed, and the blocks of a plain one have a
 * name until they are written over; a start that was killed in between is finished by the next one.
 * What is no right artifact is dropped: it will be fetched again.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, link, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { syncFolder } from '../../shared/node/atomic-file.ts'
import { DIGEST, PART } from './artifact-store.ts'
import { sealedFiles } from './sealed-files.ts'
import { isSealed } from './sealed-format.ts'

const SEALING = '.sealing'
/** A second name of a plain file that is being sealed, until it is written over. */
const FORMER = '.plain'
/** Whole, or as a killed start left it. */
const OPTIMISED = /\.onnx(\.new)?$/
/** What a killed writer left beside a file (`writeFileAtomic`): nobody reads it. */
const TORN = /^\..+\.[0-9a-f]{12}\.tmp$/
const PIECE_BYTES = 262_144

/** @returns how many artifacts were sealed now. */
export async function sealStore(folder: string, key: Uint8Array): Promise<number> {
  let sealed = 0
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name)
    const isPart = TORN.test(name) || isDigestWith(PART, name)
    if (isDigestWith(SEALING, name)) await rm(path, { force: true })
    else if (isPart) await dropPlain(path)
    else if (DIGEST.test(name) && (await isInPlain(path))) {
      if (await sealFile(folder, name, key)) sealed += 1
      else await dropPlain(path)
    }
  }
  // What has its name still here is sealed by now, or gone.
  for (const name of await readdir(folder).catch(() => [])) {
    if (isDigestWith(FORMER, name)) await dropPlain(join(folder, name))
  }
  await syncFolder(folder).catch(() => undefined)
  return sealed
}

const isDigestWith = (ending: string, name: string): boolean =>
  name.endsWith(ending) && DIGEST.test(name.slice(0, -ending.length))

async function isInPlain(path: string): Promise<boolean> {
  const file = await open(path, 'r')
  try {
    return !isSealed(await pieceAt(file, 0, 8))
  } finally {
    await file.close()
  }
}

/**
 * Optimised model files that lie in plain somewhere under `folder`: they are made from artifacts, so
 * they are dropped and made again.
 */
export async function dropPlainModels(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    if (!entry.isFile() || !(OPTIMISED.test(entry.name) || TORN.test(entry.name))) continue
    await dropPlain(join(entry.parentPath, entry.name))
  }
}

/** @returns false when the file is not what its name says. */
async function sealFile(folder: string, sha256: string, key: Uint8Array): Promise<boolean> {
  const path = join(folder, sha256)
  const temporary = `${path}${SEALING}`
  const plain = await open(path, 'r+')
  try {
    const { size } = await plain.stat()
    const isRight = size > 0 && (await sealInto(temporary, plain, sha256, key))
    if (!isRight) {
      await rm(temporary, { force: true })
      return false
    }
    const former = `${path}${FORMER}`
    await rm(former, { force: true })
    // Where there are no links, only a kill between here and the end leaves blocks without a name.
    await link(path, former).catch(() => undefined)
    await syncFolder(folder)
    await rename(temporary, path)
    await syncFolder(folder)
    await overwrite(plain)
    await rm(former, { force: true })
    return true
  } finally {
    await plain.close()
  }
}

/** @returns whether the plaintext had this digest. */
async function sealInto(
  temporary: string,
  plain: FileHandle,
  sha256: string,
  key: Uint8Array,
): Promise<boolean> {
  const { size } = await plain.stat()
  const part = await sealedFiles(key).openPart(temporary, { file: sha256, sha256, length: size })
  const hash = createHash('sha256')
  try {
    await part.restart()
    for (let position = 0; position < size; position += PIECE_BYTES) {
      const piece = await pieceAt(plain, position, PIECE_BYTES)
      hash.update(piece)
      await part.append(piece)
    }
    await part.sync()
  } finally {
    await part.close()
  }
  return hash.digest('hex') === sha256
}

/**
 * Written over before it loses its name: whenever this is killed, the next start finds it. What is
 * sealed stays, unless it is torn.
 */
async function dropPlain(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    if (!isSealed(await pieceAt(file, 0, 8))) await overwrite(file)
    else if (!TORN.test(basename(path))) return
  } finally {
    await file.close()
  }
  await rm(path, { force: true })
}

/**
 * Where the file system writes in place. On flash, and on file systems that copy on write, remains
 * may last until their blocks are reused.
 */
async function overwrite(file: FileHandle): Promise<void> {
  const { size } = await file.stat()
  const nothing = new Uint8Array(PIECE_BYTES)
  for (let position = 0; position < size; position += PIECE_BYTES) {
    await file.write(nothing, 0, Math.min(PIECE_BYTES, size - position), position)
  }
  await file.datasync()
}

async function pieceAt(file: FileHandle, position: number, bytes: number): Promise<Uint8Array> {
  const buffer = Buffer.alloc(bytes)
  const { bytesRead } = await file.read(buffer, 0, bytes, position)
  return buffer.subarray(0, bytesRead)
}
