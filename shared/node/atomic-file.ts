/**
 * Files that are either the old or the new content, whenever the power goes. Invariant: a reader
 * never sees half a file. Which files, and what they mean, is left to others.
 */
import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { ProblemError } from '../kernel/result.ts'

/**
 * Writes a temporary file beside, fsync, rename, fsync of the folder (which is made if missing).
 */
export async function writeFileAtomic(
  path: string,
  bytes: Uint8Array | string,
  options: { readonly mode?: number } = {},
): Promise<void> {
  const folder = dirname(path)
  await makeFolder(folder)
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    const file = await open(temporary, 'wx', options.mode ?? 0o644)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw cause
  }
  await syncFolder(folder)
}

/** With whatever lies above it, durably: a file in a folder whose name is lost is lost, too. */
export async function makeFolder(
  folder: string,
  options: { readonly mode?: number } = {},
): Promise<void> {
  const first = await mkdir(folder, { ...options, recursive: true })
  if (first === undefined) return
  const top = dirname(resolve(first))
  for (let made = resolve(folder); made !== top && made !== dirname(made); made = dirname(made)) {
    await syncFolder(dirname(made))
  }
}

/** Makes a rename or removal in `folder` durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * @returns undefined when there is no such file.
 * @throws ProblemError `file.too_large`, however the file grows while it is read.
 */
export async function readFileBounded(
  path: string,
  bytesMax: number,
): Promise<Uint8Array | undefined> {
  const file = await openIfThere(path)
  if (file === undefined) return undefined
  try {
    const buffer = Buffer.alloc(Math.min((await file.stat()).size, bytesMax) + 1)
    let length = 0
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length)
      if (bytesRead === 0) return new Uint8Array(buffer.buffer, buffer.byteOffset, length)
      length += bytesRead
    }
    throw new ProblemError({
      code: 'file.too_large',
      message: `The file ${path} is too large, or grew while it was read.`,
      expected: `at most ${bytesMax} bytes`,
    })
  } finally {
    await file.close()
  }
}

/** For reading; undefined where there is no such file. */
export async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw cause
  }
}
