/**
 * Qualification records of this device: in memory, and with the device's key on the disk as well, so
 * that a restart does not prove again what still holds. Without a key (`linnet serve`, applications)
 * nothing is kept: a record that anybody could write proves nothing.
 *
 * Invariant: what `find` gives was kept by this process, or its signature and all that it is bound to
 * were checked in this process.
 */
import { mkdirSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ok, type Result } from '../../../shared/kernel/result.ts'
import { readFileBounded, writeFileAtomic } from '../../../shared/node/atomic-file.ts'
import { nodeVerifier } from '../../../shared/node/verifier-node.ts'
import type { SyncSigner } from '../../../shared/signing/keys.ts'
import type { ResolvedRelease } from '../../ports.ts'
import { proofName } from '../proof-subject.ts'
import type { RunSettings } from '../run-settings.ts'
import {
  bindingOf,
  noRecord,
  openRecord,
  type QualificationRecord,
  RECORD_BYTES_MAX,
  type Surroundings,
  sealRecord,
} from './qualification-record.ts'

export interface RecordStore {
  /** Codes `record.missing`, `record.malformed`, `record.signature`, `record.outdated`. */
  find(release: ResolvedRelease): Promise<Result<QualificationRecord>>
  /** What `find` gave or `keep` took in this process. */
  known(release: ResolvedRelease): QualificationRecord | undefined
  keep(
    release: ResolvedRelease,
    record: Omit<QualificationRecord, 'binding'>,
  ): Promise<QualificationRecord>
  /** How a release runs by its record, with the place of its optimised model file. */
  settings(record: QualificationRecord): RunSettings
  /** The path of that file, whether it is there or not: each proof has its own. */
  optimisedPath(release: ResolvedRelease): string
}

export interface RecordStoreOptions {
  readonly directory: string
  readonly surroundings: Surroundings
  /** The device's own; absent: records last as long as the process. */
  readonly signer?: SyncSigner | undefined
}

/** Releases that are remembered; the oldest goes first, and is proved again when it comes back. */
const RECORDS_MAX = 256
/** Of the disk that releases may take, so much more for optimised files; the oldest go first. */
const OPTIMISED_DISK_SHARE = 0.25
const SUFFIX = '.json'

export function createRecordStore(options: RecordStoreOptions): RecordStore {
  const { directory, surroundings, signer } = options
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  /** By what was proved; what lies around it (machine, versions) is compared, not looked up. */
  const known = new Map<string, QualificationRecord>()
  const pathOf = (name: string): string => join(directory, `${name}${SUFFIX}`)
  const optimisedPathOf = (binding: QualificationRecord['binding']): string =>
    join(directory, `${proofName(binding)}.onnx`)

  function remember(record: QualificationRecord): void {
    putBounded(known, proofName(record.binding), record)
  }

  async function store(record: QualificationRecord, by: SyncSigner): Promise<void> {
    const sealed = await sealRecord(record, by)
    if (!sealed.ok) return
    await writeFileAtomic(pathOf(proofName(record.binding)), sealed.value, { mode: 0o600 })
    const diskBytes = surroundings.profile.limits.diskMb * 2 ** 20
    const any = Number.POSITIVE_INFINITY
    await removeOldest(directory, SUFFIX, { files: RECORDS_MAX, bytes: any })
    await removeOldest(directory, '.onnx', { files: any, bytes: diskBytes * OPTIMISED_DISK_SHARE })
  }

  return {
    optimisedPath: (release) => optimisedPathOf(bindingOf(release, surroundings)),
    known: (release) => known.get(proofName(bindingOf(release, surroundings))),
    async find(release) {
      const binding = bindingOf(release, surroundings)
      const found = known.get(proofName(binding))
      if (found !== undefined) return ok(found)
      if (signer === undefined) return noRecord()
      const path = pathOf(proofName(binding))
      const bytes = await readFileBounded(path, RECORD_BYTES_MAX).catch(() => undefined)
      if (bytes === undefined) return noRecord()
      const record = openRecord(bytes, binding, { key: signer.key, verifier: nodeVerifier })
      if (record.ok) remember(record.value)
      return record
    },
    async keep(release, { qualification, settings, optimised }) {
      const binding = bindingOf(release, surroundings)
      const record = { binding, qualification, settings, optimised }
      remember(record)
      if (signer === undefined) return record
      // What cannot be kept lasts until the restart, and is then proved again, which is told.
      await store(record, signer).catch(() => undefined)
      return record
    },
    settings({ binding, settings, optimised }) {
      if (optimised === null) return { ...settings, optimised: null }
      return { ...settings, optimised: { path: optimisedPathOf(binding), ...optimised } }
    },
  }
}

function putBounded<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > RECORDS_MAX && oldest !== undefined) map.delete(oldest)
}

/** The newest stay, up to so many files and so many bytes. */
async function removeOldest(
  directory: string,
  suffix: string,
  max: { readonly files: number; readonly bytes: number },
): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(suffix))
  const found = await Promise.all(
    names.map(async (name) => ({ name, ...(await sizeOf(join(directory, name))) })),
  )
  let files = 0
  let bytes = 0
  for (const { name, size } of found.toSorted((a, b) => b.mtimeMs - a.mtimeMs)) {
    files += 1
    bytes += size
    if (files > max.files || bytes > max.bytes) await rm(join(directory, name), { force: true })
  }
}

const sizeOf = (path: string): Promise<{ readonly size: number; readonly mtimeMs: number }> =>
  stat(path).catch(() => ({ size: 0, mtimeMs: 0 }))
