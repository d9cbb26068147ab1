/**
 * Brings a folder of artifacts that lie there as they are under the device's key. Invariant: at every
 * moment each artifact is whole under its name, plain or sealed; a start that was killed in between
 * is finished by the next one. What is no right artifact is dropped: it will be fetched again.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from '../../shared/node/atomic-file.ts'
import { DIGEST, PART } from './artifact-store.ts'
import { sealedFiles } from './sealed-files.ts'
import { isSealed } from './sealed-format.ts'

const SEALING = '.sealing'
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
    const isLeftover = name.endsWith(SEALING) && DIGEST.test(name.slice(0, -SEALING.length))
    const isPart =
      TORN.test(name) || (name.endsWith(PART) && DIGEST.test(name.slice(0, -PART.length)))
    if (isLeftover) await rm(path, { force: true })
    else if (isPart || DIGEST.test(name)) {
      const file = await open(path, 'r+')
      try {
        if (isSealed(await pieceAt(file, 0, 8))) continue
        if (!isPart && (await sealFile(folder, name, file, key))) sealed += 1
        else await rm(path, { force: true })
        await syncFolder(folder)
        await overwrite(file)
      } finally {
        await file.close()
      }
    }
  }
  return sealed
}

/**
 * Optimised model files that lie in plain somewhere under `folder`: they are made from artifacts, so
 * they are dropped and made again.
 */
export async function dropPlainModels(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    if (!entry.isFile() || !(OPTIMISED.test(entry.name) || TORN.test(entry.name))) continue
    const path = join(entry.parentPath, entry.name)
    const file = await open(path, 'r+')
    try {
      if (isSealed(await pieceAt(file, 0, 8))) continue
      await rm(path)
      await overwrite(file)
    } finally {
      await file.close()
    }
  }
}

/** @returns false when the file is not what its name says. */
async function sealFile(
  folder: string,
  sha256: string,
  plain: FileHandle,
  key: Uint8Array,
): Promise<boolean> {
  const { size } = await plain.stat()
  const temporary = join(folder, `${sha256}${SEALING}`)
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
  const isRight = size > 0 && hash.digest('hex') === sha256
  if (isRight) await rename(temporary, join(folder, sha256))
  else await rm(temporary, { force: true })
  return isRight
}

/**
 * The plaintext has no name any more; its blocks are written over where the file system writes in
 * place. On flash, and on file systems that copy on write, remains may last until they are reused.
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
