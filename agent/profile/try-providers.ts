/**
 * Which execution providers work here: each runs a two-by-two model in a qualifier process of its own,
 * since a driver that is half there may end the process that asks for it. What answers right is there;
 * whether it is right for a real model is what qualification finds out.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeGolden } from '../../shared/model/golden.ts'
import type { Manifest } from '../../shared/model/manifest.ts'
import type { ExecutionProvider } from '../../shared/model/profile.ts'
import { bytesOf } from '../../shared/model/tensor-value.ts'
import { encodeModel } from '../../shared/onnx/graph-writer.ts'
import { shortReason } from '../runtime/qualify/admission.ts'
import { runQualifier } from '../runtime/qualify/qualifier-process.ts'
import type { QualifierTask } from '../runtime/qualify/qualifier-protocol.ts'

export interface ProviderFinding {
  readonly provider: ExecutionProvider
  readonly available: boolean
  /** Why not; empty where it is. */
  readonly reason: string
}

const TIME_MS_MAX = 60_000
const MEMORY_MB_MAX = 4_096

/** @param providers each once. */
export async function tryProviders(
  providers: readonly ExecutionProvider[],
): Promise<ProviderFinding[]> {
  const folder = await mkdtemp(join(tmpdir(), 'linnet-providers-'))
  try {
    const task = await writeTrial(folder)
    const findings: ProviderFinding[] = []
    for (const provider of providers) findings.push(await tryOne({ ...task, provider }))
    return findings
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function tryOne(task: QualifierTask): Promise<ProviderFinding> {
  const { signal } = new AbortController()
  const limits = { timeMsMax: TIME_MS_MAX, memoryMbMax: MEMORY_MB_MAX, signal }
  const answer = await runQualifier(task, limits)
  const { provider } = task
  if (!answer.ok) return { provider, available: false, reason: shortReason(answer.error) }
  switch (answer.value.outcome) {
    case 'passed':
      return { provider, available: true, reason: '' }
    case 'unavailable':
      return { provider, available: false, reason: answer.value.reason }
    default:
      return { provider, available: false, reason: shortReason(answer.value.problem) }
  }
}

/** y = x W for W = [[1, 2], [3, 4]]: [1, 1] gives [4, 6]. */
async function writeTrial(folder: string): Promise<Omit<QualifierTask, 'provider'>> {
  const x = { name: 'x', datatype: 'FP32' as const, shape: [1, 2] }
  const y = { ...x, name: 'y' }
  const w = { name: 'w', datatype: 'FP32' as const, shape: [2, 2] }
  const model = encodeModel({
    ...{ irVersion: 8, opsets: [{ domain: '', version: 13 }], producer: 'linnet' },
    graph: {
      ...{ name: 'trial', inputs: [x], outputs: [y] },
      initializers: [{ ...w, data: Float32Array.of(1, 2, 3, 4) }],
      nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
    },
  })
  const golden = encodeGolden([
    {
      inputs: [{ ...x, data: bytesOf(Float32Array.of(1, 1)) }],
      outputs: [{ ...y, data: bytesOf(Float32Array.of(4, 6)) }],
    },
  ])
  const [modelPath, goldenPath] = [join(folder, 'trial.onnx'), join(folder, 'trial.golden')]
  await Promise.all([writeFile(modelPath, model), writeFile(goldenPath, golden)])
  const variant = {
    ...{ name: 'fp32', precision: 'fp32' as const, profiles: [] },
    artifact: artifactOf('trial.onnx', model),
    golden: artifactOf('trial.golden', golden),
    tolerance: { absolute: 1e-3, relative: 1e-3 },
  }
  const manifest: Manifest = {
    ...{ schema: 'linnet.manifest.v1', model: 'trial', version: '1.0.0', createdAtMs: 0 },
    ...{ inputs: [x], outputs: [y], finiteInputs: [], variants: [variant], features: [] },
    ...{ reference: [], classes: null, lineage: {}, evaluation: {}, description: '' },
    serviceLevels: {
      ...{ latencyMsMax: 60_000, latencyBadShareMax: 1, errorRateMax: 1, qualityDropMax: 1 },
    },
  }
  const limits = {
    ...{ artifactBytesMax: model.length, sessionMemoryMb: MEMORY_MB_MAX },
    ...{ threadsMax: 1, diskMb: 1 },
  }
  return { manifest, variant, modelPath, goldenPath, layout: null, limits }
}

function artifactOf(file: string, bytes: Uint8Array) {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return { file, sha256, length: bytes.length }
}
