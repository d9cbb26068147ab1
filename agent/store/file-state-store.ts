/**
 * The durable state as one JSON file, the pointer that activates slots. Each save replaces it whole
 * (temporary file, fsync, rename, fsync of the folder), and the file before stays as `.previous`.
 *
 * Invariant: whenever the power goes, `load` gives the state of the last save that returned, or of
 * the one under way. A file that cannot be read is kept aside for whoever wants to know why, and the
 * previous one is used; it is at most one save old, and the signed assignment brings the rest.
 */
import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { durableSchema } from '../../shared/update/durable-schema.ts'
import type { DurableState } from '../../shared/update/state.ts'
import type { Log, StateStore } from '../ports.ts'

const STATE_BYTES_MAX = 4 * 1024 * 1024

export function createFileStateStore(path: string, log: Log): StateStore {
  const previous = `${path}.previous`

  async function read(file: string): Promise<DurableState | undefined> {
    const bytes = await readFileBounded(file, STATE_BYTES_MAX)
    if (bytes === undefined) return undefined
    const durable = parse(bytes)
    if (durable !== undefined) return durable
    const aside = join(dirname(file), `${basename(file)}.corrupt`)
    await rename(file, aside)
    log.warn('the device state cannot be read; the one before is used', { kept: aside })
    return undefined
  }

  /** What a power cut left of saves that did not come to their end. */
  async function sweep(): Promise<void> {
    const leftover = new RegExp(`^\\.${basename(path)}\\.[0-9a-f]+\\.tmp$`)
    const names = await readdir(dirname(path)).catch(() => [])
    for (const name of names) {
      if (leftover.test(name)) await rm(join(dirname(path), name), { force: true })
    }
  }

  return {
    async load() {
      await sweep()
      return (await read(path)) ?? (await read(previous))
    },
    async save(durable) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      // A hard copy first: between the two the newer file is still in its place. On a full disk half a
      // copy must not take the place of a whole one.
      await copyFile(path, `${previous}.tmp`).then(
        () => rename(`${previous}.tmp`, previous),
        async (cause) => {
          await rm(`${previous}.tmp`, { force: true })
          ignoreMissing(cause)
        },
      )
      await writeFileAtomic(path, `${JSON.stringify(durable)}\n`, { mode: 0o600 })
    },
  }
}

function parse(bytes: Uint8Array): DurableState | undefined {
  try {
    return durableSchema.safeParse(JSON.parse(fromUtf8(bytes) ?? '')).data
  } catch {
    return undefined
  }
}

function ignoreMissing(cause: unknown): void {
  if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return
  throw cause
}
