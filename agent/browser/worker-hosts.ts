/**
 * Keeps a model host's worker alive, one life after the other. ONNX Runtime Web has one pool of threads
 * for each worker, so a plan with a release that was proved with more threads needs another worker: it
 * is started beside the old one, and takes over when it serves; the old one answers what it has.
 *
 * Invariants: at any time at most one worker takes requests; a retired worker ends after `drainMs`;
 * whatever a worker had when it ended is told by `onLost`.
 */
import type { Result } from '../../shared/kernel/result.ts'
import type { HostExit } from '../runtime/host/host-process.ts'
import type { HostPlan } from '../runtime/host/host-protocol.ts'
import type { ReadArtifact } from './web-qualifier.ts'
import { startWorkerLife, type WorkerLife } from './worker-life.ts'
import type { FromWorker, ToWorker, WorkerHostOptions } from './worker-protocol.ts'

export interface WorkerHostsOptions {
  readonly script: URL
  readonly host: Omit<WorkerHostOptions, 'engine' | 'incarnation'>
  readonly gpu: boolean
  readonly hangMs: number
  readonly loadMsMax: number
  readonly drainMs: number
  readonly readArtifact: ReadArtifact
  /** The worker that takes requests is ready for the plan. */
  readonly onReady: () => void
  readonly onMessage: (message: FromWorker) => void
  /** A worker ended with these requests under way. */
  readonly onLost: (requestIds: readonly number[]) => void
  /** A worker that serves or should ended; @returns how long to wait before the next life. */
  readonly onExit: (exit: HostExit) => number
}

interface Host {
  readonly threads: number
  readonly life: WorkerLife
  readonly pending: Set<number>
  isReady: boolean
}

const CLOSE_MS_MAX = 5_000

export class WorkerHosts {
  readonly #options: WorkerHostsOptions
  #incarnation = 0
  #current: Host
  /** Started for a plan that needs more threads; takes over when it serves. */
  #next: Host | undefined
  #newestPlan: HostPlan | undefined
  #onClosed: (() => void) | undefined

  constructor(options: WorkerHostsOptions) {
    this.#options = options
    this.#current = this.#start(1)
  }

  /** @returns false while no worker takes requests. */
  send(message: ToWorker, moved?: Transferable[]): boolean {
    const { isReady, life, pending } = this.#current
    if (!isReady) return false
    if (message.kind === 'request') pending.add(message.id)
    life.send(message, moved)
    return true
  }

  /** Brings a plan to a worker with enough threads. */
  sendPlan(plan: HostPlan): void {
    this.#newestPlan = plan
    const threads = threadsOf(plan)
    const fitting = [this.#next, this.#current].find((host) => host && host.threads >= threads)
    if (fitting !== undefined) {
      if (fitting.isReady) fitting.life.send({ kind: 'plan', plan })
      return
    }
    const outdated = this.#next
    this.#next = undefined
    outdated?.life.kill()
    this.#next = this.#start(threads)
  }

  restart(): void {
    this.#current.life.kill()
  }

  async close(): Promise<void> {
    const { isReady, life } = this.#current
    await new Promise<void>((resolve) => {
      this.#onClosed = resolve
      this.#next?.life.kill()
      setTimeout(resolve, isReady ? CLOSE_MS_MAX : 0)
      life.send({ kind: 'close' })
    })
    life.kill()
  }

  #start(threads: number): Host {
    this.#incarnation += 1
    const { script, gpu, hangMs, loadMsMax, host: common } = this.#options
    const options = { ...common, engine: { gpu, threads }, incarnation: this.#incarnation }
    const life = startWorkerLife({
      script,
      first: { kind: 'host', options },
      hangMs,
      loadMsMax,
      onMessage: (message) => this.#take(host, message),
      onExit: (exit) => this.#ended(host, exit),
    })
    const host: Host = { threads, life, pending: new Set(), isReady: false }
    return host
  }

  #take(host: Host, message: FromWorker): void {
    if (message.kind === 'need') void this.#provide(host, message.sha256, message.length)
    else if (message.kind === 'closed') this.#onClosed?.()
    else if (message.kind === 'ready') {
      host.isReady = true
      if (host === this.#current) this.#options.onReady()
      else if (this.#newestPlan) host.life.send({ kind: 'plan', plan: this.#newestPlan })
    } else {
      if (message.kind === 'served' && host === this.#next) this.#takeOver(host)
      if (message.kind === 'response') host.pending.delete(message.id)
      this.#options.onMessage(message)
    }
  }

  #takeOver(host: Host): void {
    const retired = this.#current
    this.#current = host
    this.#next = undefined
    // What it has is answered or late by then.
    setTimeout(() => retired.life.kill(), this.#options.drainMs)
  }

  #ended(host: Host, exit: HostExit): void {
    host.isReady = false
    this.#options.onLost([...host.pending])
    if (this.#onClosed !== undefined) {
      if (host === this.#current) this.#onClosed()
    } else if (host === this.#next || host === this.#current) {
      const isCurrent = host === this.#current
      if (!isCurrent) this.#next = undefined
      const delayMs = this.#options.onExit(exit)
      setTimeout(() => this.#restart(isCurrent ? host : undefined), delayMs)
    }
  }

  /** The next life of the worker that took requests; one that died on its way up is tried again. */
  #restart(host: Host | undefined): void {
    if (this.#onClosed !== undefined) return
    if (host !== undefined) this.#current = this.#start(host.threads)
    else this.#options.onReady()
  }

  async #provide({ life }: Host, sha256: string, length: number): Promise<void> {
    const bytes: Result<Uint8Array<ArrayBuffer>> = await this.#options.readArtifact(sha256, length)
    life.send({ kind: 'artifact', sha256, bytes }, bytes.ok ? [bytes.value.buffer] : [])
  }
}

function threadsOf({ models }: HostPlan): number {
  const releases = models.flatMap(({ current, candidate }) => [current, candidate])
  return Math.max(1, ...releases.map((release) => release?.threads ?? 1))
}
