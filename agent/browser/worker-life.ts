/**
 * One life of a worker, seen from the page: start it, pass messages, notice that it stands still or
 * broke, and tell once how it ended. A run inside WebAssembly cannot be interrupted, so a worker that
 * hangs is terminated.
 */
import type { Problem } from '../../shared/kernel/result.ts'
import { createBeatWatch } from '../runtime/host/beat-watch.ts'
import type { HostExit } from '../runtime/host/host-process.ts'
import type { FromWorker, ToWorker } from './worker-protocol.ts'

export interface WorkerLife {
  send(message: ToWorker, moved?: Transferable[]): void
  /** Ends it from outside. */
  kill(): void
}

export interface WorkerLifeOptions {
  readonly script: URL
  readonly first: ToWorker
  readonly hangMs: number
  readonly loadMsMax: number
  readonly onMessage: (message: FromWorker) => void
  readonly onExit: (exit: HostExit) => void
}

const CHECK_MS = 250

export function startWorkerLife(options: WorkerLifeOptions): WorkerLife {
  const { hangMs, loadMsMax } = options
  const worker = new Worker(options.script, { type: 'module', name: 'linnet-models' })
  const watch = createBeatWatch({ hangMs, loadMsMax, checkMs: CHECK_MS }, performance.now())
  let running: string | undefined
  let isStarting = true
  let isOver = false
  // Its script and the WebAssembly file come over the network: that takes as long as a load may.
  watch.loading('starting')

  const timer = setInterval(() => {
    if (watch.isStill(performance.now())) end({ code: null, signal: null, hung: true })
  }, CHECK_MS)

  function end(how: Pick<HostExit, 'code' | 'signal' | 'hung'>): void {
    if (isOver) return
    isOver = true
    clearInterval(timer)
    worker.terminate()
    options.onExit({ ...how, running, loading: isStarting ? undefined : watch.loadingNow() })
  }

  worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
    if (isOver) return
    watch.beat(performance.now())
    if (data.kind === 'ready') {
      isStarting = false
      watch.loading(null)
    }
    if (data.kind === 'loading') watch.loading(data.sha256)
    if (data.kind === 'running') running = data.sha256 ?? undefined
    if (data.kind === 'crashed') end({ code: 1, signal: describe(data.problem), hung: false })
    else options.onMessage(data)
  }
  worker.onerror = (event) => {
    end({ code: 1, signal: event.message?.slice(0, 200) ?? 'worker error', hung: false })
  }
  worker.postMessage(options.first)

  return {
    send(message, moved = []) {
      if (!isOver) worker.postMessage(message, moved)
    },
    kill: () => end({ code: null, signal: 'SIGTERM', hung: false }),
  }
}

function describe({ message, found }: Problem): string {
  return `${message} ${found ?? ''}`.trim().slice(0, 200)
}
