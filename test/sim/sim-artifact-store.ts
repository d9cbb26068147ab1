/**
 * The agent's `ArtifactStore` on a simulated disk: resumes, hashes what it has, and names a file only
 * when its digest held, in the order of the real store (write, sync, rename, sync of the folder).
 */
import type { ArtifactStore } from '../../agent/ports.ts'
import { concatBytes } from '../../shared/kernel/bytes.ts'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { Artifact } from '../../shared/model/manifest.ts'
import type { Disk } from './disk.ts'
import type { Power } from './power.ts'
import type { Sabotage } from './sabotage.ts'
import type { SimHttp } from './sim-http.ts'

const WRITE_MS = 2

export function createSimArtifactStore(
  disk: Disk,
  power: Power,
  http: SimHttp,
  sabotage: Sabotage,
): ArtifactStore {
  async function fetchOnce(artifact: Artifact, url: string): Promise<Result<undefined>> {
    const { sha256, length } = artifact
    const had = disk.parts.get(sha256)?.bytes ?? new Uint8Array()
    const from = had.length > length ? 0 : had.length
    power.boundary('fetch: request')
    const download = await http.get(url, from)
    if (!download.ok) return download
    disk.checkRoom()
    const bytes = concatBytes(had.subarray(0, from), download.value.bytes)
    disk.parts.set(sha256, { bytes, syncedBytes: from })
    await power.effect('fetch: write', WRITE_MS)
    if (!download.value.whole) return refuse('net.interrupted', 'The download ended early.')
    if (sha256Hex(bytes) !== sha256) {
      disk.parts.delete(sha256)
      return refuse('artifact.digest', `${artifact.file} is not the file that was signed.`)
    }
    disk.parts.set(sha256, { bytes, syncedBytes: bytes.length })
    await power.effect('fetch: sync', WRITE_MS)
    disk.parts.delete(sha256)
    disk.artifacts.set(sha256, bytes)
    await power.effect('fetch: rename', WRITE_MS)
    return ok()
  }

  async function fetchSafely(artifact: Artifact, url: string): Promise<Result<undefined>> {
    try {
      return await fetchOnce(artifact, url)
    } catch (cause) {
      return refuse('disk.full', cause instanceof Error ? cause.message : String(cause))
    }
  }

  return {
    async fetch(artifact, url) {
      const held = disk.artifacts.get(artifact.sha256)
      if (held !== undefined && sha256Hex(held) === artifact.sha256) return ok()
      const first = await fetchSafely(artifact, url)
      if (first.ok || first.error.code !== 'artifact.digest') return first
      return fetchSafely(artifact, url)
    },
    async read(sha256) {
      await power.effect('verify: read', WRITE_MS)
      const bytes = disk.artifacts.get(sha256)
      if (bytes === undefined) return refuse('artifact.missing', 'The artifact is not here.')
      if (sha256Hex(bytes) === sha256) return ok(bytes)
      return refuse('artifact.digest', 'The file on disk is not the one that was verified.')
    },
    path: (sha256) => sha256,
    async collectGarbage(keep) {
      power.boundary('collect garbage')
      if (!power.life.alive) return
      for (const name of [...disk.artifacts.keys(), ...disk.parts.keys()]) {
        if (keep.has(name) && sabotage.greedyGarbage !== true) continue
        disk.artifacts.delete(name)
        disk.parts.delete(name)
      }
    },
  }
}
