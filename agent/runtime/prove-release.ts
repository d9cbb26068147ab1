/**
 * Proves one release on one provider, inside the qualifier process: admission, load, golden vectors,
 * measurements. Everything that refuses comes back as a value; what kills the process is told by its
 * parent.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { env, listSupportedBackends } from 'onnxruntime-node'
import { ok, type Problem, type Result, refuse, toProblem } from '../../shared/kernel/result.ts'
import { decodeGolden, GOLDEN_BYTES_MAX, type GoldenVector } from '../../shared/model/golden.ts'
import { compareWithGolden, goldenValue } from '../../shared/model/golden-compare.ts'
import type { Artifact } from '../../shared/model/manifest.ts'
import { admit } from './admission.ts'
import { loadSession, type ModelSession } from './onnx-session.ts'
import type { Measured, QualifierAnswer, QualifierTask } from './qualifier-protocol.ts'

/** Steady state is measured over so many runs, or for so long. */
const STEADY_RUNS_MAX = 200
const STEADY_RUNS_MIN = 5
const STEADY_MS_MAX = 1_000
/** More threads are taken only if they gain this much. */
const GAIN_MIN = 1.1

export async function proveRelease(task: QualifierTask): Promise<QualifierAnswer> {
  const missing = missingBackend(task)
  if (missing !== undefined) return { outcome: 'unavailable', reason: missing }
  const files = await readFiles(task)
  if (!files.ok) return { outcome: 'inadmissible', problem: files.error }
  const { model, vectors } = files.value
  const admitted = admit(model, task.manifest, task.variant, task.limits)
  if (!admitted.ok) return { outcome: 'inadmissible', problem: admitted.error }
  const single = await proveWith(task, model, vectors, 1)
  const threadsMax = Math.min(task.limits.threadsMax, 4)
  if (single.outcome !== 'passed' || threadsMax < 2) return single
  const threaded = await proveWith(task, model, vectors, threadsMax)
  if (threaded.outcome !== 'passed') return single
  const gain = single.measured.steadyMsP50 / threaded.measured.steadyMsP50
  return gain >= GAIN_MIN ? threaded : single
}

async function readFiles(
  task: QualifierTask,
): Promise<Result<{ model: Uint8Array; vectors: readonly GoldenVector[] }>> {
  const { artifact, golden } = task.variant
  const model = await readArtifact(task.modelPath, artifact)
  if (!model.ok) return model
  const bytes = await readArtifact(task.goldenPath, golden)
  if (!bytes.ok) return bytes
  if (bytes.value.length > GOLDEN_BYTES_MAX) {
    return refuse('golden.malformed', 'The golden vectors are too large.')
  }
  const vectors = decodeGolden(bytes.value)
  return vectors.ok ? ok({ model: model.value, vectors: vectors.value }) : vectors
}

/** Errors: `artifact.missing`, `artifact.digest`. */
async function readArtifact(path: string, artifact: Artifact): Promise<Result<Uint8Array>> {
  try {
    const bytes = await readFile(path)
    const found = createHash('sha256').update(bytes).digest('hex')
    if (found === artifact.sha256) return ok(bytes)
    return refuse('artifact.digest', 'An artifact on this device is not the one that was signed.', {
      expected: artifact.sha256,
      found,
    })
  } catch (cause) {
    return refuse('artifact.missing', 'An artifact cannot be read.', {
      found: toProblem(cause, 'artifact.missing').message.slice(0, 300),
    })
  }
}

/** Which providers this build of ONNX Runtime has is known without trying. */
function missingBackend({ provider }: QualifierTask): string | undefined {
  const backends = listSupportedBackends().map(({ name }) => name)
  if (backends.includes(provider)) return undefined
  return `not available: ONNX Runtime for Node on ${process.platform} has ${backends.join(', ')}`
}

async function proveWith(
  task: QualifierTask,
  model: Uint8Array,
  vectors: readonly GoldenVector[],
  threads: number,
): Promise<QualifierAnswer> {
  const { provider, layout } = task
  const startMs = performance.now()
  let session: ModelSession
  try {
    session = await loadSession(model, { provider, threads, layout: layout ?? undefined })
  } catch (cause) {
    return loadFailure(task, cause)
  }
  const loadMs = performance.now() - startMs
  try {
    const checked = await checkGolden(session, vectors, task)
    if ('outcome' in checked) return checked
    const steady = await measureSteady(session, vectors)
    const residentMb = process.memoryUsage.rss() / 2 ** 20
    // A record made with another version of the runtime would prove nothing.
    const runtimeVersion = env.versions.node ?? 'unknown'
    const measured: Measured = {
      runtimeVersion,
      threads,
      loadMs,
      residentMb,
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

/** On cpu a model that does not load is wrong; elsewhere the provider may just not be usable. */
function loadFailure({ provider }: QualifierTask, cause: unknown): QualifierAnswer {
  const problem = withCode('qualify.load_failed', 'ONNX Runtime cannot load this model.', cause)
  if (provider !== 'cpu') {
    return { outcome: 'unavailable', reason: `not available: ${problem.found}`.slice(0, 300) }
  }
  return { outcome: 'refused', problem, goldenDifferenceMax: null }
}

async function checkGolden(
  session: ModelSession,
  vectors: readonly GoldenVector[],
  { variant }: QualifierTask,
): Promise<QualifierAnswer | Pick<Measured, 'firstRunMs' | 'goldenDifferenceMax'>> {
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
