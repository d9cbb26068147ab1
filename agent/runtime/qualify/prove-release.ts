/**
 * Proves one release on one provider, inside the qualifier process: admission, load, golden vectors,
 * measurements. Everything that refuses comes back as a value; what kills the process is told by its
 * parent.
 */
import { env, listSupportedBackends } from 'onnxruntime-node'
import { ok, type Problem, type Result, refuse } from '../../../shared/kernel/result.ts'
import { decodeGolden, GOLDEN_BYTES_MAX, type GoldenVector } from '../../../shared/model/golden.ts'
import { readArtifact } from '../../artifact/artifact-cipher.ts'
import { settleEngine } from '../host/settle-engine.ts'
import { loadSession } from '../onnx-session.ts'
import { admit } from './admission.ts'
import { memoryOf } from './process-memory.ts'
import { tryBatching } from './prove-batch.ts'
import { type ProofBench, tryOptimised } from './prove-optimised.ts'
import { openContender, type ProofEngine, proveSession } from './prove-session.ts'
import type { Passed, QualifierAnswer, QualifierTask } from './qualifier-protocol.ts'
import {
  DEFAULT_SETTINGS,
  type ProcessorSettings,
  sameSettings,
  tuneSettings,
} from './tune-settings.ts'

const engine: ProofEngine = {
  runtimeVersion: env.versions.node ?? 'unknown',
  reference: 'cpu',
  loadSession,
  memory: () => memoryOf('self'),
}

/** @param tell hears what is known before more is tried that might end this process. */
export async function proveRelease(
  task: QualifierTask,
  tell: (answer: QualifierAnswer) => void,
): Promise<QualifierAnswer> {
  const missing = missingBackend(task)
  if (missing !== undefined) return { outcome: 'unavailable', reason: missing }
  const files = await readFiles(task)
  if (!files.ok) return { outcome: 'inadmissible', problem: files.error }
  const { model, vectors } = files.value
  const admitted = admit(model, task.manifest, task.variant, task.limits)
  if (!admitted.ok) return { outcome: 'inadmissible', problem: admitted.error }
  const blind = nothingToCompare(task, vectors)
  if (blind !== undefined) return { outcome: 'refused', problem: blind, goldenDifferenceMax: null }
  await settleEngine()
  const settings = task.settings ?? DEFAULT_SETTINGS
  const proof = await proveSession(task, model, vectors, settings, engine)
  if (proof.outcome !== 'passed' || vectors.length === 0) return proof
  const bench = { task, model, vectors, engine }
  const tuned = task.tuning === undefined ? proof : await tune(bench, proof, tell)
  // Settings that were only compared are proved by a process of their own, which then does this.
  const stays = tuned.tuning === undefined || sameSettings(tuned.tuning.settings, settings)
  if (!stays) return tuned
  return tryBatching(bench, settings, await optimise(bench, settings, tuned, tell), tell)
}

async function optimise(
  bench: ProofBench,
  settings: ProcessorSettings,
  passed: Passed,
  tell: (answer: QualifierAnswer) => void,
): Promise<Passed> {
  const { optimised } = bench.task
  if (optimised === undefined) return passed
  tell(passed)
  return { ...passed, optimised: await tryOptimised(bench, settings, optimised) }
}

/** The figures of the proof were taken before: sessions that are compared do not count in them. */
async function tune(
  { task, model, vectors, engine }: ProofBench,
  proof: Passed,
  tell: (answer: QualifierAnswer) => void,
): Promise<Passed> {
  const { budgetMs = 0, threadsMax = 1 } = task.tuning ?? {}
  tell(proof)
  const tuned = await tuneSettings({
    ...{ budgetMs, threadsMax, nowMs: () => performance.now() },
    open: (settings) => openContender(task, model, vectors, settings, engine),
  })
  return tuned.ok ? { ...proof, tuning: tuned.value } : { ...proof, cut: tuned.error }
}

async function readFiles(
  task: QualifierTask,
): Promise<Result<{ model: Uint8Array; vectors: readonly GoldenVector[] }>> {
  const { artifact, golden } = task.variant
  const model = await readArtifact(task.modelPath, artifact, task.artifactKey)
  if (!model.ok) return model
  const bytes = await readArtifact(task.goldenPath, golden, task.artifactKey)
  if (!bytes.ok) return bytes
  if (bytes.value.length > GOLDEN_BYTES_MAX) {
    return refuse('golden.malformed', 'The golden vectors are too large.')
  }
  const vectors = decodeGolden(bytes.value, task.unproved !== undefined)
  return vectors.ok ? ok({ model: model.value, vectors: vectors.value }) : vectors
}

/** The reference needs no other to be compared with; every other provider does. */
function nothingToCompare(
  { provider, unproved }: QualifierTask,
  vectors: readonly GoldenVector[],
): Problem | undefined {
  if (vectors.length > 0 || provider === engine.reference) return undefined
  return {
    code: 'qualify.unproved',
    message: `Nothing tells whether ${provider} is right: no input is known that the model takes.`,
    ...(unproved === undefined ? {} : { found: unproved }),
    next: 'say with an input specification which inputs it takes, or put test_data_set_0 beside it',
  }
}

/** Which providers this build of ONNX Runtime has is known without trying. */
function missingBackend({ provider }: QualifierTask): string | undefined {
  const backends = listSupportedBackends().map(({ name }) => name)
  if (backends.includes(provider)) return undefined
  return `not available: ONNX Runtime for Node on ${process.platform} has ${backends.join(', ')}`
}
