/**
 * A real data plane whose sessions are functions: the whole path of a request without ONNX Runtime,
 * child processes or sockets.
 */

import type { BatchSettings } from '../../../agent/runtime/batch-settings.ts'
import type { HostModel } from '../../../agent/runtime/host/host-protocol.ts'
import type { ModelSession } from '../../../agent/runtime/model-session.ts'
import { createHostPlane, type HostPlane } from '../../../agent/runtime/plane/host-plane.ts'
import type { LiveRelease } from '../../../agent/runtime/plane/live-release.ts'
import { createModelRoute } from '../../../agent/runtime/plane/model-route.ts'
import type { Problem } from '../../../shared/kernel/result.ts'
import { rowAxisOf } from '../../../shared/model/batch.ts'
import type { Manifest } from '../../../shared/model/manifest.ts'
import type { TensorSpec } from '../../../shared/model/tensor.ts'
import type { TensorValue } from '../../../shared/model/tensor-value.ts'
import { windowShape } from '../../../shared/sketch/window.ts'

export type Compute = (inputs: readonly TensorValue[]) => readonly TensorValue[] | Promise<never>

export interface LiveOptions {
  readonly version?: string
  readonly inputs?: readonly TensorSpec[]
  readonly outputs?: readonly TensorSpec[]
  readonly manifest?: Partial<Manifest>
  readonly batching?: BatchSettings
}

/** How often a session was released, to see that none leaks and none goes twice. */
export interface BuiltLive extends LiveRelease {
  released(): number
}

const F32 = (name: string, shape: (number | string)[]): TensorSpec => ({
  name,
  datatype: 'FP32',
  shape,
})

export const SCORES = (low: number, high: number): TensorValue[] => [
  { name: 'scores', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(low, high) },
]

export function buildLive(compute: Compute, options: LiveOptions = {}): BuiltLive {
  const {
    version = '1.0.0',
    inputs = [F32('x', ['n', 2])],
    outputs = [F32('scores', ['n', 2])],
  } = options
  const manifest = {
    schema: 'linnet.manifest.v1',
    model: 'tiny',
    version,
    createdAtMs: 0,
    inputs: [...inputs],
    outputs: [...outputs],
    finiteInputs: [],
    variants: [],
    features: [],
    reference: [],
    classes: { tensor: 'scores', names: ['low', 'high'] },
    serviceLevels: {
      latencyMsMax: 1_000,
      latencyBadShareMax: 0.05,
      errorRateMax: 0.01,
      qualityDropMax: 0.05,
    },
    lineage: {},
    evaluation: {},
    description: '',
    ...options.manifest,
  } satisfies Manifest as Manifest
  const digest = version.replaceAll('.', '').padStart(64, '0')
  const artifact = { file: 'fp32.onnx', sha256: digest, length: 1 }
  let released = 0
  let holders = 1
  const session: ModelSession = {
    inputs,
    outputs,
    run: async (tensors, wanted) => {
      // ONNX Runtime's binding computes in a later turn of the loop as well.
      await new Promise((resolve) => setImmediate(resolve))
      const computed = await compute(tensors)
      return computed.filter(({ name }) => wanted === undefined || wanted.includes(name))
    },
    release: async () => {
      released += 1
    },
  }
  return {
    sha256: digest,
    model: 'tiny',
    version,
    variant: {
      name: 'fp32',
      precision: 'fp32',
      profiles: [],
      artifact,
      golden: artifact,
      tolerance: { absolute: 0, relative: 0 },
    },
    manifest,
    provider: 'cpu',
    session,
    batching: options.batching ?? null,
    rowAxis: rowAxisOf(manifest),
    shape: windowShape(manifest),
    features: manifest.features,
    hold: () => {
      holders += 1
    },
    letGo: () => {
      holders -= 1
      if (holders === 0) void session.release()
    },
    released: () => released,
  }
}

export interface BuiltPlane extends HostPlane {
  /** Puts these releases in force. */
  put(
    current: LiveRelease,
    more?: Partial<Pick<HostModel, 'trafficShare' | 'shadow'>> & {
      candidate?: LiveRelease
      previous?: LiveRelease
      generation?: number
    },
  ): void
  readonly broke: { version: string; problem: Problem }[]
}

export function buildPlane(
  limits: {
    queueLengthMax?: number
    deadlineMsMax?: number
    nowMs?: () => number
    mark?: (live: LiveRelease | null) => void
  } = {},
): BuiltPlane {
  const broke: { version: string; problem: Problem }[] = []
  const plane = createHostPlane({
    nowMs: limits.nowMs ?? (() => performance.now()),
    deadlineMsMax: limits.deadlineMsMax ?? 5_000,
    queueLengthMax: limits.queueLengthMax ?? 64,
    mark: limits.mark ?? (() => undefined),
    defer: (task) => void setImmediate(task),
    onBroke: ({ version }, problem) => void broke.push({ version, problem }),
  })
  return {
    ...plane,
    broke,
    put(current, { candidate, previous, generation = 1, trafficShare = 0, shadow = 0 } = {}) {
      const model: HostModel = {
        ...{ model: 'tiny', current: null, candidate: null, previous: null, rollout: null },
        ...{ trafficShare, shadow },
      }
      const route = createModelRoute({
        ...{ model, generation, seed: 'test', current, wallClockMs: Date.now },
        candidate: candidate ?? null,
        previous: previous ?? null,
      })
      plane.swap(new Map([['tiny', route]]))
    },
  }
}
