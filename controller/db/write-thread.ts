/**
 * The controller's side of the write worker. Invariant: every promise settles: by the worker's
 * answer, or refused when the worker dies, which makes the next write start a new one. At most
 * `WRITES_MAX` writes wait; more are refused, since whoever sends them must wait for one before.
 */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { ProblemError } from '../../shared/kernel/result.ts'
import { programAt } from '../../shared/node/program.ts'
import type { DatabaseAddress } from './connection.ts'
import type { Statement } from './statements.ts'
import type { WriteReply, WriteRequest } from './write-worker.ts'

const WRITES_MAX = 16

interface Pending {
  readonly resolve: () => void
  readonly reject: (cause: ProblemError) => void
}

export interface WriteThread {
  /** @throws ProblemError `store.write_failed`, `store.overloaded`, `store.closed` */
  write(statements: readonly Statement[]): Promise<void>
  close(): Promise<void>
}

export function createWriteThread(address: DatabaseAddress): WriteThread {
  const pending = new Map<number, Pending>()
  let worker: Worker | undefined
  let lastId = 0
  let closed = false

  function start(): Worker {
    const started = startWorker({ ...address })
    started.on('message', settle)
    started.on('error', (cause) => abandon(started, `the write thread failed: ${cause.message}`))
    started.on('exit', () => abandon(started, 'the write thread ended'))
    return started
  }

  function settle({ id, error }: WriteReply): void {
    const waiting = pending.get(id)
    pending.delete(id)
    if (error === undefined) waiting?.resolve()
    else waiting?.reject(writeFailed(error))
  }

  function abandon(which: Worker, reason: string): void {
    if (worker !== which) return
    worker = undefined
    for (const waiting of pending.values()) waiting.reject(writeFailed(reason))
    pending.clear()
  }

  function send(statements?: readonly Statement[]): Promise<void> {
    worker ??= start()
    const id = ++lastId
    const request: WriteRequest = statements === undefined ? { id } : { id, statements }
    return new Promise((resolve, reject) => {
      pending.set(id, { resolve, reject })
      worker?.postMessage(request)
    })
  }

  return {
    async write(statements) {
      if (closed) throw problem('store.closed', 'The store is closed.')
      if (pending.size >= WRITES_MAX) {
        throw problem('store.overloaded', `${WRITES_MAX} writes are waiting.`)
      }
      await send(statements)
    },
    async close() {
      if (closed) return
      closed = true
      const last = worker
      if (last === undefined) return
      const ended = new Promise<void>((resolve) => last.once('exit', () => resolve()))
      await send()
      await ended
    },
  }
}

/** tsx registers itself in main threads only, so from source the thread does it first. */
function startWorker(workerData: DatabaseAddress): Worker {
  const { file } = programAt(import.meta.url, './write-worker')
  if (file.endsWith('.js')) return new Worker(file, { workerData })
  const load = (url: URL): string => `import(${JSON.stringify(url.href)})`
  const tsx = load(new URL('./dist/esm/api/index.mjs', packageOf('tsx')))
  const boot = `${tsx}.then((tsx) => tsx.register()).then(() => ${load(pathToFileURL(file))})`
  return new Worker(boot, { eval: true, workerData })
}

function packageOf(name: string): URL {
  return pathToFileURL(createRequire(import.meta.url).resolve(`${name}/package.json`))
}

function writeFailed(reason: string): ProblemError {
  return problem('store.write_failed', `The database did not take the batch: ${reason}`)
}

function problem(code: string, message: string): ProblemError {
  return new ProblemError({ code, message })
}
