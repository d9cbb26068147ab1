/**
 * What the device learned from verified metadata about the releases it has, so that it serves and
 * falls back without any network. One small text for each release, named by its artifact's digest
 * and its target path.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import {
  countersSchema,
  type ReleaseRecord,
  readReleaseRecord,
} from '../../shared/model/release-record.ts'
import type { ReleaseTarget } from '../../shared/model/release-target.ts'
import type { ReleaseRef } from '../../shared/update/state.ts'
import type { ResolvedRelease, SmallFiles } from '../ports.ts'
import { TRUST_FILE } from './trust-memory.ts'

const COUNTERS = 'counters.json'
/** Not about one release. */
const LASTING: readonly string[] = [COUNTERS, TRUST_FILE]

export class ReleaseCache {
  readonly #files: SmallFiles

  constructor(files: SmallFiles) {
    this.#files = files
  }

  /** @param signed what the publishers signed about the target. */
  async put(
    { release, manifest }: ResolvedRelease,
    { onRevoked, releaseCounter }: ReleaseTarget,
  ): Promise<void> {
    const record: ReleaseRecord = {
      schema: 'linnet.release-record.v2',
      ...{ target: release.target, manifest, releaseCounter },
      ...(onRevoked && { onRevoked }),
    }
    await this.#files.write(nameOf(release), JSON.stringify(record))
  }

  /** Errors: `release.not_on_device`. */
  async get(release: ReleaseRef): Promise<Result<ResolvedRelease>> {
    const manifest = (await this.record(release))?.manifest
    const variant = manifest?.variants.find(({ name }) => name === release.variant)
    if (manifest !== undefined && variant?.artifact.sha256 === release.sha256) {
      return ok({ release, manifest, variant })
    }
    return refuse('release.not_on_device', `What was signed about ${release.target} is not here.`, {
      next: 'the device fetches the release again',
    })
  }

  /** What was signed about a release that is on this device. */
  async record(release: ReleaseRef): Promise<ReleaseRecord | undefined> {
    return readReleaseRecord(parse(await this.#files.read(nameOf(release))))
  }

  /** The releases that are on this device: digest and target path of each artifact. */
  async releases(): Promise<readonly Pick<ReleaseRef, 'sha256' | 'target'>[]> {
    const found: Pick<ReleaseRef, 'sha256' | 'target'>[] = []
    for (const name of await this.#files.names()) {
      if (LASTING.includes(name)) continue
      const target = readReleaseRecord(parse(await this.#files.read(name)))?.target
      if (target !== undefined) found.push({ sha256: name.slice(0, 64), target })
    }
    return found
  }

  /** The golden vectors of the variants that are these artifacts. */
  async goldenOf(artifacts: ReadonlySet<string>): Promise<readonly string[]> {
    const digests: string[] = []
    for (const name of await this.#files.names()) {
      if (!artifacts.has(name.slice(0, 64))) continue
      const record = readReleaseRecord(parse(await this.#files.read(name)))
      const variants = record?.manifest.variants ?? []
      const own = variants.filter(({ artifact }) => artifacts.has(artifact.sha256))
      digests.push(...own.map(({ golden }) => golden.sha256))
    }
    return digests
  }

  async keepOnly(artifacts: ReadonlySet<string>): Promise<void> {
    for (const name of await this.#files.names()) {
      const digest = name.slice(0, 64)
      if (!LASTING.includes(name) && !artifacts.has(digest)) await this.#files.remove(name)
    }
  }

  /** The largest `minCounter` of a model that was ever verified here. */
  async minCounter(model: string): Promise<number> {
    return (await this.#counters())[model] ?? 0
  }

  async raiseMinCounter(model: string, minCounter: number): Promise<void> {
    const counters = await this.#counters()
    if (minCounter <= (counters[model] ?? 0)) return
    await this.#files.write(COUNTERS, JSON.stringify({ ...counters, [model]: minCounter }))
  }

  async #counters(): Promise<Readonly<Record<string, number>>> {
    return countersSchema.safeParse(parse(await this.#files.read(COUNTERS))).data ?? {}
  }
}

function nameOf({ sha256, target }: ReleaseRef): string {
  return `${sha256}.${sha256Hex(target).slice(0, 16)}.json`
}

function parse(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}
