/**
 * The spool's journal as a file of lines, `<crc32> <record>`. Invariant: a record is durable when
 * `append` resolves; a line that was not written whole fails its checksum and is left out, and the
 * next append starts on a line of its own.
 */
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { readFileBounded, syncFolder, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import type { SpoolStore } from '../ports.ts'

/** The spool's own limit is far below; a larger file is not ours. */
const JOURNAL_BYTES_MAX = 128 * 1024 * 1024

export interface FileSpoolStore extends SpoolStore {
  close(): Promise<void>
}

export function createFileSpoolStore(path: string): FileSpoolStore {
  let file: FileHandle | undefined

  async function opened(): Promise<FileHandle> {
    if (file !== undefined) return file
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    file = await open(path, 'a', 0o600)
    await syncFolder(dirname(path))
    return file
  }

  async function close(): Promise<void> {
    await file?.close()
    file = undefined
  }

  return {
    async load() {
      const bytes = await readFileBounded(path, JOURNAL_BYTES_MAX)
      return bytes === undefined ? [] : splitLines(bytes).flatMap(recordOf)
    },
    async append(records) {
      const handle = await opened()
      // The leading line break ends whatever a crash left unfinished.
      await handle.appendFile(`\n${records.map(lineOf).join('')}`)
      await handle.datasync()
    },
    async replace(records) {
      await close()
      await writeFileAtomic(path, records.map(lineOf).join(''), { mode: 0o600 })
    },
    close,
  }
}

function lineOf(record: string): string {
  return `${checksum(record)} ${record}\n`
}

function recordOf(line: Uint8Array): string[] {
  const text = fromUtf8(line)
  if (text === undefined || text.length < 10) return []
  const record = text.slice(9)
  return text.slice(0, 8) === checksum(record) ? [record] : []
}

function checksum(record: string): string {
  return crc32(record).toString(16).padStart(8, '0')
}

/** By bytes, so that one damaged line does not make the whole file invalid text. */
function splitLines(bytes: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = []
  let start = 0
  for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
    if (end > start) lines.push(bytes.subarray(start, end))
    start = end + 1
  }
  if (start < bytes.length) lines.push(bytes.subarray(start))
  return lines
}
