/**
 * Loads a release from its file on a Node device. Invariant: the bytes that were hashed are the bytes
 * that ONNX Runtime parses (one buffer, no path that could change in between).
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { unwrap } from '../../shared/kernel/result.ts'
import { readArtifact } from '../artifact/artifact-cipher.ts'
import type { HostRelease } from './host-protocol.ts'
import { type LiveRelease, liveRelease, loadFailed, warmUp } from './live-release.ts'
import { loadSession } from './onnx-session.ts'

/**
 * Errors (thrown): `artifact.missing`, `artifact.digest`, `runtime.load_failed`.
 * @param artifactKey opens the files, where they are encrypted
 */
export async function loadRelease(
  release: HostRelease,
  artifactKey?: Uint8Array,
): Promise<LiveRelease> {
  const { variant } = release.resolved
  const bytes = unwrap(await readArtifact(release.modelPath, variant.artifact, artifactKey))
  const session = await loadSession(bytes, {
    provider: release.provider,
    threads: release.threads,
    layout: release.layout ?? undefined,
  }).catch((cause: unknown) => {
    throw loadFailed(cause)
  })
  await nextTurn()
  if (release.goldenPath !== null) {
    const golden = unwrap(await readArtifact(release.goldenPath, variant.golden, artifactKey))
    await warmUp(session, golden, () => nextTurn())
  }
  return liveRelease(release, session, setImmediate)
}
