/**
 * Requests from the page to the model host's worker, in the shapes of `fetch`. Invariants: each is
 * answered exactly once, or rejected as soon as its signal is aborted; when the host dies, those
 * under way are refused at once; at most `PENDING_MAX` wait, more are refused.
 */
import type { Problem } from '../../shared/kernel/result.ts'
import { refusalResponse } from '../serve/refusal.ts'
import type { ToWorker, WireRequest, WireResponse } from './worker-protocol.ts'

/** Like `fetch`, for the local API: paths begin with `/v2`. */
export type LocalFetch = (path: string, init?: LocalFetchInit) => Promise<Response>

export interface LocalFetchInit {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Bytes are copied: the caller keeps its buffer. */
  readonly body?: string | Uint8Array<ArrayBuffer>
  /** Aborted while the request waits, it is not run; a run that has begun cannot be stopped. */
  readonly signal?: AbortSignal
}

export interface LocalRequests {
  readonly fetch: LocalFetch
  answered(id: number, response: WireResponse): void
  /** Their host is gone. */
  fail(ids: readonly number[], problem: Problem): void
}

const PENDING_MAX = 1_024
const NOT_READY: Problem = {
  code: 'infer.not_ready',
  message: 'The model host is still starting.',
  next: 'try again in 1 s',
}
const TOO_MANY: Problem = {
  code: 'infer.overloaded',
  message: 'Too many requests wait for the model host.',
  expected: `at most ${PENDING_MAX}`,
  next: 'try again in 1 s',
}

/** @param send gives false while there is no host that listens. */
export function createLocalRequests(
  send: (message: ToWorker, moved: Transferable[]) => boolean,
): LocalRequests {
  /** Until the host answered, also what nobody waits for: it takes a place there. */
  const pending = new Map<number, (response: Response) => void>()
  let lastId = 0
  return {
    fetch(path, init = {}) {
      const { signal } = init
      if (signal?.aborted) return Promise.reject(signal.reason)
      if (pending.size >= PENDING_MAX) return Promise.resolve(refusalResponse(TOO_MANY))
      const request = wireRequest(path, init)
      lastId += 1
      const id = lastId
      return new Promise((resolve, reject) => {
        const leave = (): void => {
          send({ kind: 'cancel', id }, [])
          reject(signal?.reason)
        }
        const settle = (response: Response): void => {
          pending.delete(id)
          signal?.removeEventListener('abort', leave)
          resolve(response)
        }
        pending.set(id, settle)
        signal?.addEventListener('abort', leave, { once: true })
        const moved = request.body === null ? [] : [request.body.buffer]
        if (send({ kind: 'request', id, request }, moved)) return
        settle(refusalResponse(NOT_READY))
      })
    },
    answered(id, { status, headers, body }) {
      const list = headers.map(([name, value]): [string, string] => [name, value])
      pending.get(id)?.(new Response(body, { status, headers: list }))
    },
    fail(ids, problem) {
      for (const id of ids) pending.get(id)?.(refusalResponse(problem))
    },
  }
}

function wireRequest(path: string, { method, headers, body }: LocalFetchInit): WireRequest {
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body?.slice()
  return {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    path,
    headers: Object.entries(headers ?? {}),
    body: bytes ?? null,
  }
}
