/**
 * A release whose session is loaded. Invariants: the bytes that were hashed are the bytes that ONNX
 * Runtime parses (one buffer, no path); the session is released only when no request holds it.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ProblemError } from '../../shared/kernel/result.ts'
import { decodeGolden } from '../../shared/model/golden.ts'
import { goldenValue } from '../../shared/model/golden-compare.ts'
import type { Feature, Manifest, Variant } from '../../shared/model/manifest.ts'
import type { ExecutionProvider } from '../../shared/model/profile.ts'
import { type WindowShape, windowShape } from '../../shared/sketch/window.ts'
import type { HostRelease } from './host-protocol.ts'
import { loadSession, type ModelSession } from './onnx-session.ts'

export interface LiveRelease {
  readonly sha256: string
  readonly model: string
  readonly version: string
  readonly variant: Variant
  readonly manifest: Manifest
  readonly provider: ExecutionProvider
  readonly session: ModelSession
  readonly shape: WindowShape
  /** In the order of the window's features. */
  readonly features: readonly Feature[]
  /** Requests hold it from the draw to the answer; routes hold it while it stands in a slot. */
  hold(): void
  letGo(): void
}

const WARM_UP_RUNS = 2

/** Errors (thrown): `artifact.missing`, `artifact.digest`, `runtime.load_failed`. */
export async function loadRelease(release: HostRelease): Promise<LiveRelease> {
  const { manifest, variant, release: ref } = release.resolved
  const bytes = await readVerified(release.modelPath, variant.artifact.sha256)
  const session = await loadSession(bytes, {
    provider: release.provider,
    threads: release.threads,
    layout: release.layout ?? undefined,
  }).catch((cause: unknown) => {
    throw new ProblemError(
      {
        code: 'runtime.load_failed',
        message: 'ONNX Runtime cannot load this model.',
        found: (cause instanceof Error ? cause.message : String(cause)).slice(0, 400),
      },
      { cause },
    )
  })
  await nextTurn()
  await warmUp(session, release.goldenPath, variant.golden.sha256)
  const features = manifest.reference.flatMap(({ feature }) =>
    manifest.features.filter(({ name }) => name === feature),
  )
  return {
    sha256: ref.sha256,
    model: manifest.model,
    version: manifest.version,
    variant,
    manifest,
    provider: release.provider,
    session,
    shape: windowShape(manifest),
    features,
    ...holding(session),
  }
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

/** The first runs allocate and choose kernels; no request should pay for that. */
async function warmUp(session: ModelSession, path: string | null, sha256: string): Promise<void> {
  if (path === null) return
  const vectors = decodeGolden(await readVerified(path, sha256))
  if (!vectors.ok) throw new ProblemError(vectors.error)
  const inputs = vectors.value[0]?.inputs.map(goldenValue) ?? []
  for (let i = 0; i < WARM_UP_RUNS; i++) {
    await session.run(inputs)
    await nextTurn()
  }
}

/** Starts held once, by whoever loaded it. */
function holding(session: ModelSession): Pick<LiveRelease, 'hold' | 'letGo'> {
  let holders = 1
  return {
    hold: () => {
      holders += 1
    },
    letGo: () => {
      holders -= 1
      // In a turn of its own: a run that was issued just before would be rejected.
      if (holders === 0) setImmediate(() => void session.release().catch(() => undefined))
    },
  }
}
