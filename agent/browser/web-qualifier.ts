/**
 * One proof in a worker of its own, from the page's side: give it the files, wait for its answer, and
 * turn whatever else happens into a problem. A browser offers no limit on a worker's memory; one that
 * takes too much ends by itself, and that is an answer as well.
 */
import { err, ok, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Artifact } from '../../shared/model/manifest.ts'
import type { ExecutionProvider } from '../../shared/model/profile.ts'
import type { HostExit } from '../runtime/host/host-process.ts'
import type {
  Passed,
  QualifierAnswer,
  QualifierTask,
} from '../runtime/qualify/qualifier-protocol.ts'
import { webnnMissing } from './webnn.ts'
import { startWorkerLife } from './worker-life.ts'
import type { EngineChoice } from './worker-protocol.ts'

export type ReadArtifact = (
  sha256: string,
  lengthMax: number,
) => Promise<Result<Uint8Array<ArrayBuffer>>>

export interface WebProofOptions {
  readonly script: URL
  readonly engine: EngineChoice
  /** Why there is no webgpu here; empty where there is. */
  readonly gpuMissing: string
  readonly readArtifact: ReadArtifact
  readonly timeMsMax: number
  readonly signal: AbortSignal
}

/** More threads are taken only if they gain this much: each may be kept waiting by the system. */
const GAIN_MIN = 1.1

/** Errors: `artifact.missing`, `qualify.crashed`, `qualify.timeout`, `qualify.cancelled`. */
export async function proveInWorker(
  task: QualifierTask,
  options: WebProofOptions,
): Promise<Result<QualifierAnswer>> {
  if (options.signal.aborted) return cancelled()
  const missing = missingProvider(task, options)
  if (missing !== undefined) return ok({ outcome: 'unavailable', reason: missing })
  const read = ({ sha256, length }: Artifact) => options.readArtifact(sha256, length)
  const model = await read(task.variant.artifact)
  if (!model.ok) return ok({ outcome: 'inadmissible', problem: model.error })
  const golden = await read(task.variant.golden)
  if (!golden.ok) return ok({ outcome: 'inadmissible', problem: golden.error })
  const prove = (threads: number) =>
    runProof(task, model.value.slice(), golden.value.slice(), {
      ...options,
      // Whatever the provider, the build that the host has.
      engine: { gpu: options.engine.gpu, threads },
    })
  const single = await prove(1)
  // Threads serve what runs on the processor.
  const isThreaded = task.provider === 'wasm' && options.engine.threads > 1
  if (!isThreaded || !single.ok || single.value.outcome !== 'passed') return single
  const threaded = await prove(options.engine.threads)
  if (!threaded.ok || threaded.value.outcome !== 'passed') return single
  const gain = single.value.measured.steadyMsP50 / threaded.value.measured.steadyMsP50
  return gain >= GAIN_MIN ? threaded : single
}

function missingProvider(
  { provider }: QualifierTask,
  { gpuMissing }: WebProofOptions,
): string | undefined {
  const reasons: Partial<Record<ExecutionProvider, string>> = {
    wasm: '',
    webgpu: gpuMissing,
    webnn: webnnMissing(),
  }
  const missing = reasons[provider] ?? 'browsers have wasm, webgpu and webnn'
  return missing === '' ? undefined : `not available: ${missing}`
}

function runProof(
  task: QualifierTask,
  model: Uint8Array<ArrayBuffer>,
  golden: Uint8Array<ArrayBuffer>,
  { script, engine, timeMsMax, signal }: WebProofOptions,
): Promise<Result<QualifierAnswer>> {
  return new Promise((resolve) => {
    let proof: Passed | undefined
    const settle = (result: Result<QualifierAnswer>): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
      resolve(result)
      life.kill()
    }
    const stop = (): void => settle(cancelled())
    const life = startWorkerLife({
      script,
      first: { kind: 'prove', order: { engine, task, model, golden } },
      hangMs: timeMsMax,
      loadMsMax: timeMsMax,
      onMessage: (message) => {
        if (message.kind !== 'proved') return
        if (message.isLast || message.answer.outcome !== 'passed') settle(ok(message.answer))
        else proof = message.answer
      },
      onExit: (exit) => settle(cutShort(proof, crashed(exit))),
    })
    const timer = setTimeout(() => settle(cutShort(proof, timedOut(timeMsMax))), timeMsMax)
    signal.addEventListener('abort', stop, { once: true })
  })
}

/** What was proved before the worker ended, holds. */
function cutShort(proof: Passed | undefined, cut: Problem): Result<QualifierAnswer> {
  return proof === undefined ? err(cut) : ok({ ...proof, cut })
}

function cancelled(): Result<never> {
  return refuse('qualify.cancelled', 'The qualification was cancelled.')
}

function timedOut(timeMsMax: number): Problem {
  return {
    code: 'qualify.timeout',
    message: 'The model did not finish its qualification in time.',
    expected: `at most ${timeMsMax} ms`,
  }
}

function crashed({ signal }: HostExit): Problem {
  return {
    code: 'qualify.crashed',
    message: 'The model broke the worker in which it was tried.',
    found: signal ?? 'no reason given',
  }
}
