/**
 * The page's requests inside the worker: each is put to the local API and answered exactly once, and
 * one that the page gave up before it ran is not run.
 */
import { toProblem } from '../../shared/kernel/result.ts'
import type { InferenceApi } from '../serve/inference-api.ts'
import { refusalResponse } from '../serve/refusal.ts'
import type { FromWorker, WireRequest } from './worker-protocol.ts'

/** Sends with the buffers moved, not copied. */
export type Post = (message: FromWorker, moved?: readonly Transferable[]) => void

export interface WorkerRequests {
  take(id: number, request: WireRequest): void
  /** The page does not wait any more; of a request that is not here, nothing. */
  cancel(id: number): void
}

export function createWorkerRequests(api: InferenceApi, post: Post): WorkerRequests {
  /** Requests that are not answered; the page limits how many. */
  const underWay = new Map<number, { isGone: boolean }>()

  async function answer(id: number, { method, path, headers, body }: WireRequest): Promise<void> {
    const caller = { isGone: false }
    underWay.set(id, caller)
    const list = headers.map(([name, value]): [string, string] => [name, value])
    const init = { method, headers: list }
    const request = new Request(
      new URL(path, 'http://localhost'),
      body === null ? init : { ...init, body },
    )
    // Whatever happens, the page gets an answer.
    const response = await Promise.resolve(api(request, () => caller.isGone)).catch(
      (cause: unknown) => refusalResponse(toProblem(cause, 'infer.failed')),
    )
    const bytes = new Uint8Array(await response.arrayBuffer())
    underWay.delete(id)
    const { status } = response
    post(
      { kind: 'response', id, response: { status, headers: [...response.headers], body: bytes } },
      [bytes.buffer],
    )
  }

  return {
    take: (id, request) => void answer(id, request),
    cancel(id) {
      const caller = underWay.get(id)
      if (caller !== undefined) caller.isGone = true
    },
  }
}
