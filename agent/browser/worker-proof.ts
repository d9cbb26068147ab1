/**
 * One proof inside a worker that is thrown away after it: admission, load, golden vectors, figures. The
 * files came by transfer and are hashed here, before any parser sees them.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { decodeGolden } from '../../shared/model/golden.ts'
import type { Artifact } from '../../shared/model/manifest.ts'
import { admit } from '../runtime/qualify/admission.ts'
import { tryBatching } from '../runtime/qualify/prove-batch.ts'
import { proveSession } from '../runtime/qualify/prove-session.ts'
import type { QualifierAnswer } from '../runtime/qualify/qualifier-protocol.ts'
import { digestOf } from './digest.ts'
import { loadEngine } from './web-engine.ts'
import type { ProofOrder } from './worker-protocol.ts'

export async function proveOrder(
  { task, model, golden, engine: choice }: ProofOrder,
  onAbort: (cause: unknown) => void,
  tell: (answer: QualifierAnswer) => void,
): Promise<QualifierAnswer> {
  const files = [
    await checkArtifact(model, task.variant.artifact),
    await checkArtifact(golden, task.variant.golden),
  ]
  for (const file of files) if (!file.ok) return { outcome: 'inadmissible', problem: file.error }
  const vectors = decodeGolden(golden)
  if (!vectors.ok) return { outcome: 'inadmissible', problem: vectors.error }
  const admitted = admit(model, task.manifest, task.variant, task.limits)
  if (!admitted.ok) return { outcome: 'inadmissible', problem: admitted.error }
  const engine = await loadEngine(choice, onAbort)
  const settings = { threads: engine.threads }
  const proof = await proveSession(task, model, vectors.value, settings, engine)
  if (proof.outcome !== 'passed') return proof
  return tryBatching({ task, model, vectors: vectors.value, engine }, settings, proof, tell)
}

/** Errors: `artifact.digest`. */
export async function checkArtifact(
  bytes: Uint8Array<ArrayBuffer>,
  artifact: Artifact,
): Promise<Result<undefined>> {
  const found = await digestOf(bytes)
  if (found === artifact.sha256) return ok()
  return refuse('artifact.digest', 'An artifact on this device is not the one that was signed.', {
    expected: artifact.sha256,
    found,
    next: 'the agent fetches it again',
  })
}
