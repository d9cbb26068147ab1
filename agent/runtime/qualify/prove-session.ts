/**
 * The proof of one release on one execution provider, whatever the engine: load, golden vectors,
 * measurements. Runs where a model may do harm: in a qualifier process or a worker.
 */
import { err, ok, type Problem, type Result, toProblem } from '../../../shared/kernel/result.ts'
import type { GoldenVector } from '../../../shared/model/golden.ts'
import { compareWithGolden, goldenValue } from '../../../shared/model/golden-compare.ts'
import type { ExecutionProvider } from '../../../shared/model/profile.ts'
import type { ModelSession, SessionOptions } from '../model-session.ts'
import { loadProblem } from './load-problem.ts'
import type { ProcessMemory } from './process-memory.ts'
import type { Measured, QualifierAnswer, QualifierTask, Refused } from './qualifier-protocol.ts'
import type { Contender, ProcessorSettings } from './tune-settings.ts'

export type ProofTask = Pick<QualifierTask, 'variant' | 'provider' | 'layout'>

export interface ProofEngine {
  readonly runtimeVersion: string
  /** The provider that every model must load on. */
  readonly reference: ExecutionProvider
  loadSession(model: Uint8Array, options: SessionOptions): Promise<ModelSession>
  /** Memory that the engine takes now, and took at most; null where the system does not tell. */
  memory(): ProcessMemory
}

/** Steady state is measured over so many runs, or for so long. */
const STEADY_RUNS_MAX = 200
const STEADY_RUNS_MIN = 5
const STEADY_MS_MAX = 1_000

/**
 * Loads, compares every golden vector and measures, with exactly these settings. What refuses comes
 * back as a value; a model that ends the process or never ends is for the caller to notice.
 */
export async function proveSession(
  task: ProofTask,
  model: Uint8Array,
  vectors: readonly GoldenVector[],
  settings: ProcessorSettings,
  engine: ProofEngine,
): Promise<QualifierAnswer> {
  const beforeMb = engine.memory().residentMb
  const startMs = performance.now()
  let session: ModelSession
  try {
    session = await engine.loadSession(model, sessionOptions(task, settings))
  } catch (cause) {
    return loadFailure(task, cause, engine)
  }
  const loadMs = performance.now() - startMs
  try {
    const checked = await checkGolden(session, vectors, task)
    if ('outcome' in checked) return checked
    const sessionMb = grownMb(beforeMb, engine.memory().residentMb)
    const steady = await measureSteady(session, vectors)
    // A record made with another version of the runtime would prove nothing.
    const { runtimeVersion } = engine
    const { threads } = settings
    const measured: Measured = {
      ...{ runtimeVersion, threads, loadMs, ...engine.memory(), ...sessionMb },
      ...checked,
      ...steady,
    }
    return { outcome: 'passed', measured }
  } catch (cause) {
    const problem = withCode('qualify.run_failed', 'The model fails on its golden inputs.', cause)
    return { outcome: 'refused', problem, goldenDifferenceMax: null }
  } finally {
    await session.release()
  }
}

/** What the session and its first runs took; nothing where the system does not tell. */
function grownMb(beforeMb: number | null, afterMb: number | null): Pick<Measured, 'sessionMb'> {
  if (beforeMb === null || afterMb === null) return {}
  return { sessionMb: Math.max(0, afterMb - beforeMb) }
}

/**
 * The same proof without the measurements: a session that gave the golden outputs in these settings,
 * kept open for comparisons. Errors: `qualify.load_failed`, `qualify.golden_mismatch`,
 * `qualify.run_failed`.
 */
export async function openContender(
  task: ProofTask,
  model: Uint8Array,
  vectors: readonly GoldenVector[],
  settings: ProcessorSettings,
  engine: ProofEngine,
): Promise<Result<Contender>> {
  let session: ModelSession | undefined
  try {
    session = await engine.loadSession(model, sessionOptions(task, settings))
    const checked = await checkGolden(session, vectors, task)
    if (!('outcome' in checked)) return ok(contenderOf(session, vectors))
    await session.release()
    return err(checked.problem)
  } catch (cause) {
    await session?.release()
    if (session === undefined) return err(loadProblem(cause))
    return err(withCode('qualify.run_failed', 'The model fails on its golden inputs.', cause))
  }
}

function contenderOf(session: ModelSession, vectors: readonly GoldenVector[]): Contender {
  const inputs = vectors[0]?.inputs.map(goldenValue) ?? []
  return {
    async run() {
      const startMs = performance.now()
      await session.run(inputs)
      return performance.now() - startMs
    },
    release: () => session.release(),
  }
}

function sessionOptions(
  { provider, layout }: ProofTask,
  settings: ProcessorSettings,
): SessionOptions {
  return { ...settings, provider, layout: layout ?? undefined }
}

/** On the engine's reference a model that does not load is wrong; elsewhere it may not be usable. */
function loadFailure(
  { provider }: ProofTask,
  cause: unknown,
  engine: ProofEngine,
): QualifierAnswer {
  const problem = loadProblem(cause)
  if (provider !== engine.reference) {
    return {
      outcome: 'unavailable',
      reason: `not available: ${problem.found ?? problem.message}`.slice(0, 300),
    }
  }
  return { outcome: 'refused', problem, goldenDifferenceMax: null }
}

async function checkGolden(
  session: ModelSession,
  vectors: readonly GoldenVector[],
  { variant }: ProofTask,
): Promise<Refused | Pick<Measured, 'firstRunMs' | 'goldenDifferenceMax'>> {
  let firstRunMs = 0
  let goldenDifferenceMax: number | null = null
  for (const [i, vector] of vectors.entries()) {
    const startMs = performance.now()
    const outputs = await session.run(vector.inputs.map(goldenValue))
    if (i === 0) firstRunMs = performance.now() - startMs
    const compared = compareWithGolden(outputs, vector.outputs, variant.tolerance)
    if (compared.differenceMax !== null) {
      goldenDifferenceMax = Math.max(goldenDifferenceMax ?? 0, compared.differenceMax)
    }
    if (compared.passed) continue
    const problem: Problem = {
      code: 'qualify.golden_mismatch',
      message: `The model gives wrong results on this device (golden vector ${i + 1}).`,
      expected: `within ${variant.tolerance.absolute} + ${variant.tolerance.relative} relative`,
      found: compared.reason.slice(0, 300),
    }
    return { outcome: 'refused', problem, goldenDifferenceMax }
  }
  return { firstRunMs, goldenDifferenceMax }
}

async function measureSteady(
  session: ModelSession,
  vectors: readonly GoldenVector[],
): Promise<Pick<Measured, 'steadyMsP50' | 'steadyMsP95'>> {
  if (vectors.length === 0) return { steadyMsP50: 0, steadyMsP95: 0 }
  const inputs = vectors[0]?.inputs.map(goldenValue) ?? []
  const times: number[] = []
  const startMs = performance.now()
  while (times.length < STEADY_RUNS_MAX) {
    const runMs = performance.now()
    await session.run(inputs)
    times.push(performance.now() - runMs)
    if (times.length >= STEADY_RUNS_MIN && performance.now() - startMs > STEADY_MS_MAX) break
  }
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.floor(share * (times.length - 1))] ?? 0
  return { steadyMsP50: at(0.5), steadyMsP95: at(0.95) }
}

function withCode(code: string, message: string, cause: unknown): Problem {
  const inner = toProblem(cause, code)
  if (inner.code !== code) return inner
  return { code, message, found: inner.message.replaceAll(/\s+/g, ' ').slice(0, 280) }
}
