/**
 * Does a model file that ONNX Runtime wrote after its optimisations pay on this device? It loads
 * faster, and it can be a thousand times as large. Runs in the qualifier process, since such a file is
 * made by running the model's graph through the optimiser.
 *
 * Invariant: a file is kept only when it gave the golden outputs from the very bytes whose digest is
 * told. Who vouches for those bytes from then on is the agent (qualification-record.ts).
 */
import { createHash } from 'node:crypto'
import { readFile, rm, stat } from 'node:fs/promises'
import { err, ok, type Result, toProblem } from '../../../shared/kernel/result.ts'
import type { GoldenVector } from '../../../shared/model/golden.ts'
import { shortReason } from './admission.ts'
import { openContender, type ProofEngine } from './prove-session.ts'
import type { OptimisedTrial, QualifierTask } from './qualifier-protocol.ts'
import { compareContenders, optimisedSettings, type ProcessorSettings } from './tune-settings.ts'

export interface ProofBench {
  readonly task: QualifierTask
  readonly model: Uint8Array
  readonly vectors: readonly GoldenVector[]
  readonly engine: ProofEngine
}

/** Loading must become so many times as fast, and so many milliseconds shorter. */
const LOAD_GAIN_MIN = 1.25
const LOAD_SAVED_MS_MIN = 5
const LOADS = 3
/** Running may not become slower than noise. */
const RUN_GAIN_MIN = 0.9
const COMPARE_MS_MAX = 2_000

/** The file at `path` is left only when it is to be kept. */
export async function tryOptimised(
  bench: ProofBench,
  settings: ProcessorSettings,
  { path, bytesMax }: NonNullable<QualifierTask['optimised']>,
): Promise<OptimisedTrial> {
  const trial = await judge(bench, settings, path, bytesMax).catch((cause: unknown) =>
    notKept(`it could not be made: ${toProblem(cause, 'optimised').message}`),
  )
  if (!trial.kept) await rm(path, { force: true })
  return trial
}

async function judge(
  bench: ProofBench,
  settings: ProcessorSettings,
  path: string,
  bytesMax: number,
): Promise<OptimisedTrial> {
  const { model, engine, task } = bench
  const { provider } = task
  const saved = await engine.loadSession(model, { ...settings, provider, saveTo: path })
  await saved.release()
  const { size } = await stat(path)
  if (size > bytesMax) {
    return { ...notKept(`it has ${size} bytes, ${bytesMax} are allowed`), length: size }
  }
  const bytes = await readFile(path)
  const sha256 = digestOf(bytes)
  const isRight = await runsAsWell(bench, settings, bytes)
  if (!isRight.ok) return { ...notKept(shortReason(isRight.error)), sha256, length: bytes.length }
  const { loadMs, sourceLoadMs } = await compareLoads(bench, settings, bytes)
  const figures = { sha256, length: bytes.length, loadMs, sourceLoadMs }
  const gain = sourceLoadMs / loadMs
  const reason = `loads ${gain.toFixed(2)} times as fast: ${loadMs.toFixed(1)} ms, the source ${sourceLoadMs.toFixed(1)} ms`
  const kept = gain >= LOAD_GAIN_MIN && sourceLoadMs - loadMs >= LOAD_SAVED_MS_MIN
  return { ...figures, kept, reason: kept ? reason : `${reason}; that does not pay` }
}

/** Golden outputs, and no slower runs. */
async function runsAsWell(
  { task, model, vectors, engine }: ProofBench,
  settings: ProcessorSettings,
  bytes: Uint8Array,
): Promise<Result<undefined>> {
  const optimised = await openContender(task, bytes, vectors, optimisedSettings(settings), engine)
  if (!optimised.ok) return optimised
  const source = await openContender(task, model, vectors, settings, engine)
  if (!source.ok) return source
  const endMs = performance.now() + COMPARE_MS_MAX
  const leftMs = (): number => endMs - performance.now()
  const compared = await compareContenders(source.value, optimised.value, leftMs)
  await source.value.release()
  await optimised.value.release()
  if (compared === undefined || compared.gain >= RUN_GAIN_MIN) return ok()
  const message = `it runs ${compared.gain.toFixed(2)} times as fast as the source`
  return err({ code: 'qualify.optimised_slow', message })
}

/** As a host loads: the digest of the bytes, then the session; loads alternate. */
async function compareLoads(
  { task, model, engine }: ProofBench,
  settings: ProcessorSettings,
  optimised: Uint8Array,
): Promise<{ loadMs: number; sourceLoadMs: number }> {
  const { provider } = task
  const load = async (bytes: Uint8Array, with_: ProcessorSettings): Promise<number> => {
    const startMs = performance.now()
    digestOf(bytes)
    const session = await engine.loadSession(bytes, { ...with_, provider })
    const loadMs = performance.now() - startMs
    await session.release()
    return loadMs
  }
  const source: number[] = []
  const other: number[] = []
  for (let i = 0; i < LOADS; i++) {
    source.push(await load(model, settings))
    other.push(await load(optimised, optimisedSettings(settings)))
  }
  const middle = (times: number[]): number => times.toSorted((a, b) => a - b)[LOADS >> 1] ?? 0
  return { loadMs: middle(other), sourceLoadMs: middle(source) }
}

function notKept(reason: string): OptimisedTrial {
  return {
    kept: false,
    reason: reason.slice(0, 200),
    sha256: '',
    length: 0,
    loadMs: null,
    sourceLoadMs: null,
  }
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
