/**
 * What a device must not forget of its trust: the newest time that its director signed, and which of
 * its releases the publishers have withdrawn. One small file beside the release records.
 *
 * Invariant: within one epoch of the director the time only rises. Another epoch starts anew, since a
 * thief of the former key may have signed any time. A file that is lost costs only what it knew.
 */
import { type TrustRecord, trustRecordSchema } from '../../shared/model/release-record.ts'
import type { ReleaseRef } from '../../shared/update/state.ts'
import type { SmallFiles } from '../ports.ts'

export const TRUST_FILE = 'trust.json'
const REVOKED_MAX = 256
const NOTHING: TrustRecord = { directorEpoch: 0, floorMs: 0, revoked: [] }

type Release = Pick<ReleaseRef, 'target' | 'sha256'>

export class TrustMemory {
  readonly #files: SmallFiles
  #loaded: Promise<void> | undefined
  #record = NOTHING

  constructor(files: SmallFiles) {
    this.#files = files
  }

  /** Must have resolved before anything is asked here. */
  load(): Promise<void> {
    this.#loaded ??= this.#read()
    return this.#loaded
  }

  get floorMs(): number {
    return this.#record.floorMs
  }

  isRevoked({ target, sha256 }: Release): boolean {
    return this.#record.revoked.some((one) => one.target === target && one.sha256 === sha256)
  }

  /** A time that the director of this epoch signed. */
  async raiseFloor(directorEpoch: number, atMs: number): Promise<void> {
    const isNewEpoch = directorEpoch > this.#record.directorEpoch
    if (!isNewEpoch && atMs <= this.#record.floorMs) return
    const floorMs = isNewEpoch ? atMs : Math.max(this.#record.floorMs, atMs)
    await this.#write({ ...this.#record, directorEpoch, floorMs })
  }

  /** A director that replaced another one has signed no time yet. @returns whether it did. */
  async enterEpoch(directorEpoch: number): Promise<boolean> {
    if (directorEpoch <= this.#record.directorEpoch) return false
    await this.#write({ ...this.#record, directorEpoch, floorMs: 0 })
    return true
  }

  async setRevoked(release: Release, isRevoked: boolean): Promise<void> {
    if (this.isRevoked(release) === isRevoked) return
    const { target, sha256 } = release
    const others = this.#record.revoked.filter((one) => one.target !== target)
    const revoked = isRevoked ? [...others, { target, sha256 }].slice(-REVOKED_MAX) : others
    await this.#write({ ...this.#record, revoked })
  }

  async #read(): Promise<void> {
    const text = await this.#files.read(TRUST_FILE).catch(() => undefined)
    this.#record = parse(text) ?? NOTHING
  }

  /** In force at once; a disk that is full makes it forget at the next start. */
  async #write(record: TrustRecord): Promise<void> {
    this.#record = record
    await this.#files.write(TRUST_FILE, JSON.stringify(record)).catch(() => undefined)
  }
}

function parse(text: string | undefined): TrustRecord | undefined {
  try {
    return text === undefined ? undefined : trustRecordSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
