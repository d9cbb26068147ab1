/** A folder of small text files, each replaced whole. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { makeFolder, readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import type { SmallFiles } from '../ports.ts'

const FILE_BYTES_MAX = 4 * 1024 * 1024

export function createSmallFiles(folder: string): SmallFiles {
  return {
    async read(name) {
      const bytes = await readFileBounded(join(folder, name), FILE_BYTES_MAX)
      return bytes === undefined ? undefined : fromUtf8(bytes)
    },
    async write(name, text) {
      await makeFolder(folder, { mode: 0o700 })
      await writeFileAtomic(join(folder, name), text, { mode: 0o600 })
    },
    names: () => readdir(folder).catch(() => []),
    remove: (name) => rm(join(folder, name), { force: true }),
  }
}
