/**
 * ONNX Runtime Web inside a worker. Two builds, each with its own WebAssembly file beside this script:
 * the plain one, and one that also has the WebGPU and WebNN providers and suspends WebAssembly stacks
 * (JSPI) while they work; measured, it is smaller than the older way (17 against 27 MB) and its wasm
 * provider runs as fast as the plain build's, where the older one takes almost twice as long.
 *
 * Invariants: the engine does one thing at a time (create, run, release), because the module is not
 * re-entrant while a stack is suspended; when the module aborts, whoever started the worker is told,
 * since no session in it can be trusted any more.
 */
import type { Env, InferenceSession, TensorConstructor } from 'onnxruntime-web'
import type { ExecutionProvider } from '../../shared/model/profile.ts'
import {
  fromOrt,
  type ModelSession,
  type SessionOptions,
  specsOf,
  toOrt,
} from '../runtime/model-session.ts'
import { createTurns } from '../runtime/qualify/in-turn.ts'
import type { ProofEngine } from '../runtime/qualify/prove-session.ts'
import type { EngineChoice } from './worker-protocol.ts'

/** What both builds export, as far as it is used here. */
interface OrtModule {
  readonly env: Env
  readonly InferenceSession: {
    create(bytes: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession>
  }
  readonly Tensor: TensorConstructor
}

export interface WebEngine extends ProofEngine {
  readonly threads: number
}

/** @param onAbort told once, when the WebAssembly module broke. */
export async function loadEngine(
  { gpu, threads }: EngineChoice,
  onAbort: (cause: unknown) => void,
): Promise<WebEngine> {
  const memories = rememberMemories()
  const ort: OrtModule = gpu
    ? await import('onnxruntime-web/jspi')
    : await import('onnxruntime-web/wasm')
  ort.env.wasm.wasmPaths = new URL('./', import.meta.url).href
  ort.env.wasm.numThreads = threads
  ort.env.logLevel = 'fatal'
  const inTurn = tellingAborts(createTurns(), onAbort)
  return {
    threads,
    runtimeVersion: ort.env.versions.web ?? 'unknown',
    reference: 'wasm',
    loadSession: (bytes, options) => createSession(ort, bytes, options, inTurn),
    memory: () => {
      // WebAssembly memory never shrinks, so what it takes now is what it took at most.
      const takenMb = memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0) / 2 ** 20
      return { residentMb: takenMb, peakMb: takenMb }
    },
  }
}

type Turns = ReturnType<typeof createTurns>

function tellingAborts(inTurn: Turns, onAbort: (cause: unknown) => void): Turns {
  return (task) =>
    inTurn(async () => {
      try {
        return await task()
      } catch (cause) {
        if (isAbort(cause)) onAbort(cause)
        throw cause
      }
    })
}

/** A trap or an abort of the module, as against an error that ONNX Runtime returned. */
function isAbort(cause: unknown): boolean {
  if (cause instanceof WebAssembly.RuntimeError) return true
  return cause instanceof Error && /\bAborted\(/.test(cause.message)
}

async function createSession(
  ort: OrtModule,
  bytes: Uint8Array,
  options: SessionOptions,
  inTurn: Turns,
): Promise<ModelSession> {
  const session = await inTurn(() =>
    ort.InferenceSession.create(bytes, {
      executionProviders: [providerOptions(options)],
      logSeverityLevel: 4,
    }),
  )
  return {
    ...specsOf(session, bytes),
    run(inputs, outputs) {
      const feeds = Object.fromEntries(inputs.map((each) => [each.name, toOrt(each, ort.Tensor)]))
      return inTurn(async () => {
        const fetched =
          outputs === undefined ? await session.run(feeds) : await session.run(feeds, outputs)
        return Object.entries(fetched).map(([name, value]) => fromOrt(name, value))
      })
    },
    release: () => inTurn(() => session.release()),
  }
}

function providerOptions({
  provider,
  layout,
}: SessionOptions): InferenceSession.ExecutionProviderConfig {
  // Left to itself it takes the processor, which wasm is there for.
  if (provider === 'webnn') return { name: 'webnn', deviceType: 'gpu' }
  if (provider !== 'webgpu') return provider satisfies ExecutionProvider
  return layout === undefined ? 'webgpu' : { name: 'webgpu', preferredLayout: layout }
}

/**
 * ONNX Runtime does not tell how much memory its module has. This worker belongs to it alone, so
 * noting each memory that is made here gives the figure.
 */
function rememberMemories(): readonly WebAssembly.Memory[] {
  const memories: WebAssembly.Memory[] = []
  WebAssembly.Memory = class extends WebAssembly.Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      super(descriptor)
      memories.push(this)
    }
  }
  return memories
}
