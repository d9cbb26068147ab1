/**
 * One session of ONNX Runtime on Node. Invariants: `load` and `run` are synchronous native calls and
 * block the event loop, so this is imported only by processes that may block or die (model host,
 * qualifier); `release` must not be called while a run is queued, which the caller's reference count
 * ensures.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { fromOrt, type ModelSession, type SessionOptions, specsOf, toOrt } from './model-session.ts'

/** Loads from the very buffer that the caller hashed; no path that could change in between. */
export async function loadSession(
  bytes: Uint8Array,
  options: SessionOptions,
): Promise<ModelSession> {
  const session = await InferenceSession.create(bytes, {
    executionProviders: [providerOptions(options)],
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    logSeverityLevel: 4,
    graphOptimizationLevel: options.graph ?? 'all',
    ...(options.saveTo === undefined ? {} : { optimizedModelFilePath: options.saveTo }),
    // Idle threads that spin take the CPU from the other processes of a small device.
    extra: { session: { intra_op: { allow_spinning: options.spinning === true ? '1' : '0' } } },
  })
  return {
    ...specsOf(session, bytes),
    async run(inputs, outputs) {
      // Without a prototype: an input may be called `__proto__`.
      const feeds: Record<string, Tensor> = Object.create(null)
      for (const input of inputs) feeds[input.name] = toOrt(input, Tensor)
      const fetched =
        outputs === undefined ? await session.run(feeds) : await session.run(feeds, outputs)
      return Object.entries(fetched).map(([name, value]) => fromOrt(name, value as Tensor))
    },
    release: () => session.release(),
  }
}

function providerOptions({
  provider,
  layout,
}: SessionOptions): InferenceSession.ExecutionProviderConfig {
  if (provider === 'webgpu' && layout !== undefined)
    return { name: 'webgpu', preferredLayout: layout }
  return provider
}
