/**
 * Artifacts in the browser, named by their SHA-256. A download is hashed while it arrives and kept in
 * memory until it is whole (a model must fit there anyway); what a failed attempt left is used by the
 * next one of this visit.
 *
 * Invariants: a file gets its name only after its digest held; never more than the signed length is
 * taken; the files together stay within `bytesMax`.
 */
import { concatBytes } from '../../shared/kernel/bytes.ts'
import { ok, type Result, refuse, toProblem } from '../../shared/kernel/result.ts'
import { createSha256, type Sha256 } from '../../shared/kernel/sha256.ts'
import type { Artifact } from '../../shared/model/manifest.ts'
import { type RetrievalLimits, receiveRange } from '../artifact/http-range.ts'
import type { ArtifactStore } from '../ports.ts'
import { digestOf } from './digest.ts'
import type { WebFiles } from './web-files.ts'

export interface WebArtifactOptions {
  readonly files: WebFiles
  readonly bytesMax: number
  readonly retrieval: RetrievalLimits
  readonly onProgress?: (artifact: Artifact, receivedBytes: number) => void
}

export interface WebArtifactStore extends ArtifactStore {
  read(sha256: string, lengthMax: number): Promise<Result<Uint8Array<ArrayBuffer>>>
}

interface Partial {
  chunks: Uint8Array[]
  hash: Sha256
  received: number
}

const fresh = (): Partial => ({ chunks: [], hash: createSha256(), received: 0 })

export function createWebArtifactStore(options: WebArtifactOptions): WebArtifactStore {
  const { files, retrieval } = options
  /** At most one: the agent fetches one file at a time. */
  let kept: { readonly sha256: string; readonly partial: Partial } | undefined

  async function download(
    artifact: Artifact,
    url: string,
    signal: AbortSignal,
  ): Promise<Result<undefined>> {
    const partial = kept?.sha256 === artifact.sha256 ? kept.partial : fresh()
    kept = { sha256: artifact.sha256, partial }
    const tell = (): void => options.onProgress?.(artifact, partial.received)
    tell()
    if (partial.received < artifact.length) {
      const received = await receiveRange(
        { url, from: partial.received, length: artifact.length, limits: retrieval, signal },
        {
          restart: async () => void Object.assign(partial, fresh()),
          async take(chunk) {
            partial.chunks.push(chunk)
            partial.hash.update(chunk)
            partial.received += chunk.length
            tell()
          },
        },
      )
      if (!received.ok) return received
    }
    kept = undefined
    const found = partial.hash.digestHex()
    if (found !== artifact.sha256) return refuseDigest(artifact, found)
    return write(files, artifact, concatBytes(...partial.chunks) as Uint8Array<ArrayBuffer>)
  }

  return {
    async fetch(artifact, url, signal) {
      const sizes = await files.sizes()
      if (sizes.get(artifact.sha256) === artifact.length) {
        const bytes = await files.read(artifact.sha256)
        if (bytes !== undefined && (await digestOf(bytes)) === artifact.sha256) return ok()
      }
      const room = await roomFor(artifact, sizes, options.bytesMax)
      if (!room.ok) return room
      const first = await download(artifact, url, signal)
      if (first.ok || first.error.code !== 'artifact.digest') return first
      // What was resumed may have begun with another file's bytes: once more, from the beginning.
      return download(artifact, url, signal)
    },
    async read(sha256, lengthMax) {
      const bytes = await files.read(sha256)
      if (bytes === undefined || bytes.length > lengthMax) {
        return refuse('artifact.missing', `The artifact ${sha256.slice(0, 12)} is not here.`)
      }
      const found = await digestOf(bytes)
      if (found === sha256) return ok(bytes)
      return refuse('artifact.digest', 'The stored file is not the one that was verified.', {
        expected: sha256,
        found,
      })
    },
    /** Workers ask the page for bytes by digest. */
    path: (sha256) => sha256,
    async collectGarbage(keep) {
      for (const name of (await files.sizes()).keys()) {
        if (!keep.has(name)) await files.remove(name)
      }
    },
  }
}

/** Errors: `disk.write`. */
async function write(
  files: WebFiles,
  { sha256 }: Artifact,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Result<undefined>> {
  try {
    await files.write(sha256, bytes)
    return ok()
  } catch (cause) {
    return refuse('disk.write', 'The browser cannot store the artifact.', {
      found: toProblem(cause, 'disk.write').message,
    })
  }
}

async function roomFor(
  artifact: Artifact,
  sizes: ReadonlyMap<string, number>,
  bytesMax: number,
): Promise<Result<undefined>> {
  const used = [...sizes].reduce((sum, [name, n]) => sum + (name === artifact.sha256 ? 0 : n), 0)
  const estimate = await navigator.storage?.estimate?.().catch(() => undefined)
  const free = (estimate?.quota ?? Infinity) - (estimate?.usage ?? 0)
  if (used + artifact.length <= bytesMax && artifact.length <= free) return ok()
  return refuse('artifact.no_room', `There is no room for ${artifact.file}.`, {
    expected: `at most ${bytesMax} bytes of artifacts, ${free} free in this browser`,
    found: `${used} bytes used, ${artifact.length} asked`,
    next: 'clear the data of other pages, or assign fewer releases',
  })
}

function refuseDigest({ file, sha256 }: Artifact, found: string): Result<never> {
  return refuse('artifact.digest', `${file} is not the file that was signed.`, {
    expected: sha256,
    found,
    next: 'attack: arbitrary software; check the artifact server and what lies between',
  })
}
