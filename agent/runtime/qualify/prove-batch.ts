/**
 * May requests of this release run together, and does it pay on this device? Each batch must give
 * every request what it gets by itself, within the variant's tolerance, whatever its companions are;
 * of what is right, a size is chosen only where it gains.
 *
 * Runs where a model may do harm, after everything else was proved: whatever happens here, the
 * release serves, one request at a time. Invariant: ends within `BUDGET_MS` and one run.
 */
import { ok, type Problem, type Result, refuse, toProblem } from '../../../shared/kernel/result.ts'
import type { Batching } from '../../../shared/model/device.ts'
import type { GoldenVector } from '../../../shared/model/golden.ts'
import { compareOutputs } from '../../../shared/model/golden-compare.ts'
import type { Manifest, Tolerance } from '../../../shared/model/manifest.ts'
import type { TensorValue } from '../../../shared/model/tensor-value.ts'
import type { BatchSettings } from '../batch-settings.ts'
import type { ModelSession } from '../model-session.ts'
import { type BatchAxes, rowsOf, splitOutputs, stackInputs } from '../plane/stack-batch.ts'
import { badCompanions, findOutputAxes, proposeInputAxes, trialRequests } from './batch-trial.ts'
import type { ProofBench } from './prove-optimised.ts'
import type { Passed } from './qualifier-protocol.ts'
import type { ProcessorSettings } from './tune-settings.ts'

export interface BatchProof {
  readonly record: Batching
  /** Null: each request runs by itself. */
  readonly settings: BatchSettings | null
}

export interface BatchTrial {
  readonly manifest: Pick<Manifest, 'inputs' | 'outputs'>
  readonly tolerance: Tolerance
  readonly vectors: readonly GoldenVector[]
  /** The clock of the measurements; absent: the process's own. */
  readonly nowMs?: () => number
}

/** Requests in one run. */
const SIZES = [2, 4, 8, 16, 32] as const
const ROWS_MAX = 64
/** Requests run together only if that gains so much over one by one. */
const GAIN_MIN = 1.1
/** The smallest size that comes so near to the fastest is taken: it keeps requests together less. */
const NEAR = 1.02
const BUDGET_MS = 2_000
/** So many rounds of measurements, or for so long. */
const ROUNDS_MAX = 60
const ROUNDS_MIN = 3
const MEASURE_MS_MAX = 600

/** The same for a file that passed; what was known before is told first, for this may be the end. */
export async function tryBatching(
  { task, model, vectors, engine }: ProofBench,
  settings: ProcessorSettings,
  passed: Passed,
  tell: (answer: Passed) => void,
): Promise<Passed> {
  if (task.batching === undefined) return passed
  tell(passed)
  const { manifest, provider } = task
  const { tolerance } = task.variant
  const layout = task.layout ?? undefined
  const session = await engine.loadSession(model, { ...settings, provider, layout })
  try {
    return { ...passed, batching: await proveBatching(session, { manifest, tolerance, vectors }) }
  } finally {
    await session.release()
  }
}

interface Bench {
  readonly session: ModelSession
  readonly tolerance: Tolerance
  readonly inputAxes: BatchAxes
  readonly outputAxes: BatchAxes
  readonly requests: readonly (readonly TensorValue[])[]
  /** What each request gives by itself. */
  readonly answers: readonly (readonly TensorValue[])[]
  readonly rows: number
  readonly nowMs: () => number
}

type Tried = Batching['tried'][number]

export async function proveBatching(session: ModelSession, trial: BatchTrial): Promise<BatchProof> {
  const nowMs = trial.nowMs ?? (() => performance.now())
  const endMs = nowMs() + BUDGET_MS
  const prepared = await prepare(session, trial, nowMs, endMs).catch(failed)
  if (!prepared.ok) return none(prepared.error, [])
  const bench = prepared.value
  const right: Proved[] = []
  for (const size of SIZES) {
    // Half of the time is for the measurements.
    if (size * bench.rows > ROWS_MAX || nowMs() > endMs - BUDGET_MS / 2) break
    const found = await proveSize(bench, size).catch(failed)
    const rows = size * bench.rows
    if (!found.ok) return none(found.error, [{ rows, ...WRONG }])
    right.push({ size, differenceMax: found.value })
  }
  const measured = await measure(bench, right, endMs).catch(failed)
  return measured.ok ? chosen(bench, measured.value) : none(measured.error, [])
}

/** A size that gives each request its own answer. */
interface Proved {
  readonly size: number
  readonly differenceMax: number
}

interface Measured {
  readonly singleMs: number
  readonly sizes: readonly (Proved & { readonly ms: number })[]
}

const WRONG = { msPerRequest: null, differenceMax: null }

function chosen({ rows, inputAxes, outputAxes }: Bench, { singleMs, sizes }: Measured): BatchProof {
  const tried = sizes.map(({ size, ms, differenceMax }) => ({
    ...{ rows: size * rows, msPerRequest: ms, differenceMax },
  }))
  const leastMs = Math.min(...sizes.map(({ ms }) => ms))
  const best = sizes.find(({ ms }) => ms <= leastMs * NEAR)
  const gain = best === undefined ? 0 : singleMs / best.ms
  if (best === undefined || gain < GAIN_MIN) {
    const found = best === undefined ? 'nothing in time' : `${gain.toFixed(2)} times as fast`
    const error = problem('batch.gain', `at least ${GAIN_MIN} times as fast`, found)
    return none(error, tried, singleMs)
  }
  const rowsMax = best.size * rows
  return {
    record: { chosen: rowsMax, reason: '', singleMs, tried },
    settings: { rowsMax, layout: { inputs: inputAxes, outputs: outputAxes } },
  }
}

/** Errors: `batch.layout`, `batch.slow`, and whatever a run throws. */
async function prepare(
  session: ModelSession,
  { manifest, tolerance, vectors }: BatchTrial,
  nowMs: () => number,
  endMs: number,
): Promise<Result<Bench>> {
  const proposed = proposeInputAxes(manifest.inputs)
  if (!proposed.ok) return proposed
  const inputAxes = proposed.value
  const requests = trialRequests(vectors, inputAxes)
  const [first] = requests
  const rows = first === undefined ? undefined : rowsOf(first, inputAxes)
  if (first === undefined || rows === undefined) {
    return { ok: false, error: problem('batch.layout', 'inputs with one number of rows', 'others') }
  }
  const answers: (readonly TensorValue[])[] = []
  for (const inputs of requests) {
    answers.push(await session.run(inputs))
    if (nowMs() > endMs) return { ok: false, error: tooSlow() }
  }
  const stacked = await session.run(stackInputs(requests.slice(0, 2), inputAxes))
  const [answer = []] = answers
  const axes = findOutputAxes(answer, rows, stacked, 2 * rows, manifest.outputs)
  if (!axes.ok) return axes
  const outputAxes = axes.value
  return ok({ session, tolerance, inputAxes, outputAxes, requests, answers, rows, nowMs })
}

/** @returns the largest difference. Errors: `batch.wrong`, and whatever a run throws. */
async function proveSize(bench: Bench, size: number): Promise<Result<number>> {
  const { requests, answers, inputAxes } = bench
  const members = membersOf(bench, size)
  const compared = await compareRun(
    bench,
    members,
    members.map((_, i) => answers[i % answers.length]),
    `in a batch of ${size}`,
  )
  if (!compared.ok) return compared
  for (const { name, inputs } of badCompanions(requests[0]!, inputAxes)) {
    const quiet = await compareRun(
      bench,
      members.with(0, inputs),
      members.map((_, i) => (i === 0 ? undefined : answers[i % answers.length])),
      `beside a request ${name}`,
    )
    if (!quiet.ok) return quiet
  }
  return compared
}

function membersOf({ requests }: Bench, size: number): readonly (readonly TensorValue[])[] {
  return Array.from({ length: size }, (_, i) => requests[i % requests.length]!)
}

/**
 * @param expected of each request; undefined: whatever it is.
 * @returns the largest difference. Errors: `batch.wrong`.
 */
async function compareRun(
  bench: Bench,
  requests: readonly (readonly TensorValue[])[],
  expected: readonly (readonly TensorValue[] | undefined)[],
  where: string,
): Promise<Result<number>> {
  const outputs = await runTogether(bench, requests)
  let differenceMax = 0
  for (const [i, own] of expected.entries()) {
    if (own === undefined) continue
    const found = outputs?.[i] ?? []
    const compared = compareOutputs(found, own, bench.tolerance)
    differenceMax = Math.max(differenceMax, compared.differenceMax ?? 0)
    if (compared.passed) continue
    return {
      ok: false,
      error: problem('batch.wrong', 'as by itself', `${where}: ${compared.reason}`),
    }
  }
  return ok(differenceMax)
}

async function runTogether(
  { session, inputAxes, outputAxes, rows }: Bench,
  requests: readonly (readonly TensorValue[])[],
): Promise<readonly (readonly TensorValue[])[] | undefined> {
  const outputs = await session.run(stackInputs(requests, inputAxes))
  return splitOutputs(
    outputs,
    requests.map(() => rows),
    outputAxes,
  )
}

/**
 * Single runs and batches of all sizes take turns, and of each the quarter counts that the machine
 * disturbed least: a long run is more often interrupted than a short one.
 */
async function measure(
  bench: Bench,
  right: readonly Proved[],
  endMs: number,
): Promise<Result<Measured>> {
  const { nowMs } = bench
  const singles: number[] = []
  const times = right.map((proved) => ({ proved, ms: [] as number[] }))
  const untilMs = Math.min(endMs, nowMs() + MEASURE_MS_MAX)
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const inputs = bench.requests[round % bench.requests.length]!
    // After a large batch the first single run finds the caches cold; a stream of them does not.
    await bench.session.run(inputs)
    const startMs = nowMs()
    await bench.session.run(inputs)
    singles.push(nowMs() - startMs)
    for (const { proved, ms } of times) {
      const beforeMs = nowMs()
      await runTogether(bench, membersOf(bench, proved.size))
      ms.push((nowMs() - beforeMs) / proved.size)
    }
    if (round + 1 >= ROUNDS_MIN && nowMs() > untilMs) break
  }
  const sizes = times.map(({ proved, ms }) => ({ ...proved, ms: lowerQuartile(ms) }))
  return ok({ singleMs: lowerQuartile(singles), sizes })
}

function lowerQuartile(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 2] ?? 0
}

function none({ found, message }: Problem, tried: readonly Tried[], singleMs = 0): BatchProof {
  const reason = (found ?? message).replaceAll(/\s+/g, ' ').slice(0, 300)
  return { record: { chosen: 1, reason, singleMs, tried: [...tried] }, settings: null }
}

function failed(cause: unknown): Result<never> {
  const { message } = toProblem(cause, 'batch.failed')
  return refuse('batch.failed', 'The model cannot run requests together.', { found: message })
}

function tooSlow(): Problem {
  return problem('batch.slow', `trials within ${BUDGET_MS} ms`, 'one request takes too long')
}

function problem(code: string, expected: string, found: string): Problem {
  return { code, message: 'Requests of this model run one by one.', expected, found }
}
