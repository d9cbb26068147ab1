/**
 * Loads a release from its file on a Node device. Invariant: the bytes that were hashed are the bytes
 * that ONNX Runtime parses (one buffer, no path that could change in between). An optimised file is
 * loaded only while it is the one that the agent's signed record names.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Problem, unwrap } from '../../shared/kernel/result.ts'
import { readArtifact } from '../artifact/artifact-cipher.ts'
import type { HostRelease } from './host/host-protocol.ts'
import type { ModelSession, SessionOptions } from './model-session.ts'
import { loadSession } from './onnx-session.ts'
import { type LiveRelease, liveRelease, loadFailed, warmUp } from './plane/live-release.ts'
import { optimisedSettings } from './qualify/tune-settings.ts'

/**
 * Errors (thrown): `artifact.missing`, `artifact.digest`, `runtime.load_failed`.
 * @param artifactKey opens the files, where they are encrypted
 * @param onOptimisedRefused told when the optimised file is not used, and why; the artifact is then
 */
export async function loadRelease(
  release: HostRelease,
  artifactKey?: Uint8Array,
  onOptimisedRefused?: (problem: Problem) => void,
): Promise<LiveRelease> {
  const session = await loadWarmSession(release, artifactKey, onOptimisedRefused)
  return liveRelease(release, session, setImmediate)
}

/** As above, for who decides itself how long the session lives. */
export async function loadWarmSession(
  release: HostRelease,
  artifactKey?: Uint8Array,
  onOptimisedRefused: (problem: Problem) => void = () => undefined,
): Promise<ModelSession> {
  const { variant } = release.resolved
  const session =
    (await loadOptimised(release, artifactKey, onOptimisedRefused)) ??
    (await loadSource(release, artifactKey))
  await nextTurn()
  if (release.goldenPath !== null) {
    const golden = unwrap(await readArtifact(release.goldenPath, variant.golden, artifactKey))
    await warmUp(session, golden, () => nextTurn())
  }
  return session
}

async function loadSource(release: HostRelease, key?: Uint8Array): Promise<ModelSession> {
  const { modelPath, resolved } = release
  const bytes = unwrap(await readArtifact(modelPath, resolved.variant.artifact, key))
  return loadSession(bytes, optionsOf(release)).catch((cause: unknown) => {
    throw loadFailed(cause)
  })
}

/** @returns undefined when there is none that may be used. */
async function loadOptimised(
  release: HostRelease,
  key: Uint8Array | undefined,
  onRefused: (problem: Problem) => void,
): Promise<ModelSession | undefined> {
  const { optimised } = release
  if (optimised === null || optimised === undefined) return undefined
  const bytes = await readArtifact(optimised.path, optimised, key)
  if (!bytes.ok) return void onRefused({ ...bytes.error, next: 'it is made again' })
  const options = { ...optionsOf(release), ...optimisedSettings(release) }
  return loadSession(bytes.value, options).catch((cause: unknown) => {
    onRefused(loadFailed(cause).problem)
    return undefined
  })
}

function optionsOf({ provider, threads, spinning, graph, layout }: HostRelease): SessionOptions {
  return { provider, threads, spinning, graph, layout: layout ?? undefined }
}
