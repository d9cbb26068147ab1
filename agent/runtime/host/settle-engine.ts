/**
 * Has ONNX Runtime allocate what it needs for itself, once, with a model of a single node: what later
 * loads take is then theirs alone (the first session of a process brings some 27 MB of its own).
 */
import { encodeModel } from '../../../shared/onnx/graph-writer.ts'
import { loadSession } from '../onnx-session.ts'

export async function settleEngine(): Promise<void> {
  const f32 = { datatype: 'FP32' as const, shape: [1] }
  const model = encodeModel({
    ...{ irVersion: 8, opsets: [{ domain: '', version: 13 }], producer: 'linnet' },
    graph: {
      name: 'settle',
      inputs: [{ name: 'x', ...f32 }],
      outputs: [{ name: 'y', ...f32 }],
      initializers: [],
      nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
    },
  })
  const session = await loadSession(model, { provider: 'cpu', threads: 1 })
  await session.run([{ name: 'x', ...f32, data: Float32Array.of(0) }])
  await session.release()
}
