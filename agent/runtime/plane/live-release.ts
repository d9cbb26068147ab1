/**
 * A release whose session is loaded and warm, the same for every engine. Invariant: the session is
 * released only when no request holds it. Reading and checking its files is left to the loaders.
 */
import { ProblemError, type Result } from '../../../shared/kernel/result.ts'
import { type RowAxis, rowAxisOf } from '../../../shared/model/batch.ts'
import { decodeGolden } from '../../../shared/model/golden.ts'
import { goldenValue } from '../../../shared/model/golden-compare.ts'
import type { Feature, Manifest, Variant } from '../../../shared/model/manifest.ts'
import type { ExecutionProvider } from '../../../shared/model/profile.ts'
import { type WindowShape, windowShape } from '../../../shared/sketch/window.ts'
import type { BatchSettings } from '../batch-settings.ts'
import type { HostRelease } from '../host/host-protocol.ts'
import type { ModelSession } from '../model-session.ts'

export interface LiveRelease {
  readonly sha256: string
  readonly model: string
  readonly version: string
  readonly variant: Variant
  readonly manifest: Manifest
  readonly provider: ExecutionProvider
  readonly session: ModelSession
  /** Null: each request runs by itself. */
  readonly batching: BatchSettings | null
  /** Undefined: each request is one row. */
  readonly rowAxis: RowAxis | undefined
  readonly shape: WindowShape
  /** In the order of the window's features. */
  readonly features: readonly Feature[]
  /** Requests hold it from the draw to the answer; routes hold it while it stands in a slot. */
  hold(): void
  letGo(): void
  /** Absent where sessions stay in memory for as long as they are held. */
  readonly residence?: Residence
}

/** A session that may leave the memory while nobody uses it (residency.ts). */
export interface Residence {
  /** Between the two the session stays. */
  enter(): void
  leave(): void
  /** The same release, whose optimised file may have been made again. */
  follow(release: HostRelease): void
  /** Undefined when it is in memory. Errors: `infer.not_ready`. */
  wake(deadlineAtMs: number): Promise<Result<undefined>> | undefined
}

const WARM_UP_RUNS = 2

/** @param defer runs a task in a later turn of the event loop. */
export function liveRelease(
  release: HostRelease,
  session: ModelSession,
  defer: (task: () => void) => void,
): LiveRelease {
  const { manifest, variant, release: ref } = release.resolved
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
    batching: release.batching ?? null,
    rowAxis: provedRowAxis(release.batching ?? null) ?? rowAxisOf(manifest),
    shape: windowShape(manifest),
    features,
    ...holding(session, defer),
  }
}

/** Where requests are put together, rows are counted along the same axis. */
function provedRowAxis(batching: BatchSettings | null): RowAxis | undefined {
  for (const [input, axis] of Object.entries(batching?.layout.inputs ?? {})) {
    if (axis !== null) return { input, axis }
  }
  return undefined
}

/** Whoever loads a release tells what failed in these words. */
export function loadFailed(cause: unknown): ProblemError {
  return new ProblemError(
    {
      code: 'runtime.load_failed',
      message: 'ONNX Runtime cannot load this model.',
      found: (cause instanceof Error ? cause.message : String(cause)).slice(0, 400),
    },
    { cause },
  )
}

/**
 * The first runs allocate and choose kernels; no request should pay for that.
 * @param golden the bytes of the golden vectors. Errors (thrown): `golden.malformed`.
 */
export async function warmUp(
  session: ModelSession,
  golden: Uint8Array,
  nextTurn: () => Promise<unknown>,
): Promise<void> {
  // Without any, a model that nobody signed was taken as it is: qualification has decided that.
  const vectors = decodeGolden(golden, true)
  if (!vectors.ok) throw new ProblemError(vectors.error)
  const inputs = vectors.value[0]?.inputs.map(goldenValue)
  if (inputs === undefined) return
  for (let i = 0; i < WARM_UP_RUNS; i++) {
    await session.run(inputs)
    await nextTurn()
  }
}

/** Starts held once, by whoever loaded it. */
function holding(
  session: ModelSession,
  defer: (task: () => void) => void,
): Pick<LiveRelease, 'hold' | 'letGo'> {
  let holders = 1
  return {
    hold: () => {
      holders += 1
    },
    letGo: () => {
      holders -= 1
      // In a turn of its own: a run that was issued just before would be rejected.
      if (holders === 0) defer(() => void session.release().catch(() => undefined))
    },
  }
}
