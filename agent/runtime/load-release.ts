/**
 * Loads a release from its file on a Node device. Invariant: the bytes that were hashed are the bytes
 * that ONNX Runtime parses (one buffer, no path that could change in between).
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ProblemError } from '../../shared/kernel/result.ts'
import type { HostRelease } from './host-protocol.ts'
import { type LiveRelease, liveRelease, loadFailed, warmUp } from './live-release.ts'
import { loadSession } from './onnx-session.ts'

/** Errors (thrown): `artifact.missing`, `artifact.digest`, `runtime.load_failed`. */
export async function loadRelease(release: HostRelease): Promise<LiveRelease> {
  const { variant } = release.resolved
  const bytes = await readVerified(release.modelPath, variant.artifact.sha256)
  const session = await loadSession(bytes, {
    provider: release.provider,
    threads: release.threads,
    layout: release.layout ?? undefined,
  }).catch((cause: unknown) => {
    throw loadFailed(cause)
  })
  await nextTurn()
  if (release.goldenPath !== null) {
    const golden = await readVerified(release.goldenPath, variant.golden.sha256)
    await warmUp(session, golden, () => nextTurn())
  }
  return liveRelease(release, session, setImmediate)
}

async function readVerified(path: string, sha256: string): Promise<Uint8Array> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ProblemError(
      { code: 'artifact.missing', message: 'An artifact cannot be read.', found: path },
      { cause },
    )
  })
  const found = createHash('sha256').update(bytes).digest('hex')
  if (found === sha256) return bytes
  throw new ProblemError({
    code: 'artifact.digest',
    message: 'An artifact on this device is not the one that was signed.',
    expected: sha256,
    found,
    next: 'the agent fetches it again',
  })
}
