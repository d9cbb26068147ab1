/**
 * Proves one release on one provider, inside the qualifier process: admission, load, golden vectors,
 * measurements. Everything that refuses comes back as a value; what kills the process is told by its
 * parent.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { env, listSupportedBackends } from 'onnxruntime-node'
import { ok, type Result, refuse, toProblem } from '../../shared/kernel/result.ts'
import { decodeGolden, GOLDEN_BYTES_MAX, type GoldenVector } from '../../shared/model/golden.ts'
import type { Artifact } from '../../shared/model/manifest.ts'
import { admit } from './admission.ts'
import { loadSession } from './onnx-session.ts'
import { type ProofEngine, proveSession } from './prove-session.ts'
import type { QualifierAnswer, QualifierTask } from './qualifier-protocol.ts'

const engine: ProofEngine = {
  runtimeVersion: env.versions.node ?? 'unknown',
  reference: 'cpu',
  loadSession,
  residentMb: () => process.memoryUsage.rss() / 2 ** 20,
}
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
  const single = await proveSession(task, model, vectors, 1, engine)
  const threadsMax = Math.min(task.limits.threadsMax, 4)
  if (single.outcome !== 'passed' || threadsMax < 2) return single
  const threaded = await proveSession(task, model, vectors, threadsMax, engine)
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
