/**
 * One HTTP download, from a given byte on, from a server that is not trusted: never more bytes than
 * signed (endless data), a deadline for the whole and a least throughput (slow retrieval). What the
 * bytes are worth is the caller's to verify.
 */
import { ok, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import { diskProblem } from '../disk-watch.ts'

export interface RetrievalLimits {
  /** For one attempt, plus what `bytesPerSecondMin` grants for its length. */
  readonly deadlineMs: number
  /** Over each window of `windowMs`. */
  readonly bytesPerSecondMin: number
  readonly windowMs: number
}

export interface RangeRequest {
  readonly url: string
  readonly from: number
  /** Of the whole file. */
  readonly length: number
  readonly limits: RetrievalLimits
  readonly signal: AbortSignal
}

/** A browser would keep a second copy, and offer a damaged one again; Node's types lack the field. */
const UNCACHED = { cache: 'no-store' } as const

export interface RangeSink {
  /** The server sends the whole file instead of the rest: forget what there is. */
  restart(): Promise<void>
  take(chunk: Uint8Array): Promise<void>
}

/**
 * Errors, all worth another try but the first two: `artifact.length` (more than signed, or a server
 * that says so), `artifact.unavailable` (a client error, 404 after its back-off included, is the
 * caller's), `net.http`, `net.interrupted`, `net.slow`, `net.aborted`.
 */
export async function receiveRange(
  request: RangeRequest,
  sink: RangeSink,
): Promise<Result<undefined>> {
  const watch = watchRetrieval(request)
  try {
    const response = await fetch(request.url, {
      signal: watch.signal,
      redirect: 'follow',
      ...UNCACHED,
      // Compressed bytes are not the signed bytes.
      headers: { 'accept-encoding': 'identity', range: `bytes=${request.from}-` },
    })
    const start = startOf(response, request)
    if (!start.ok || response.body === null) {
      await response.body?.cancel()
      return start.ok ? refuse('net.http', 'The answer has no body.') : start
    }
    if (start.value === 0 && request.from > 0) await sink.restart()
    let received = start.value
    for await (const chunk of response.body) {
      received += chunk.length
      if (received > request.length) return tooLong(request)
      watch.count(chunk.length)
      await sink.take(chunk)
    }
    if (received === request.length) return ok()
    return refuse('net.interrupted', 'The download ended early.', {
      expected: `${request.length} bytes`,
      found: `${received} bytes`,
    })
  } catch (cause) {
    const problem = watch.problem()
    if (problem !== undefined) return { ok: false, error: problem }
    const root = rootCause(cause)
    const { code, message } = root
    const full = code === 'ENOSPC' || code === 'EDQUOT' ? diskProblem(root) : undefined
    if (full !== undefined) return { ok: false, error: full }
    return refuse(request.signal.aborted ? 'net.aborted' : 'net.interrupted', message)
  } finally {
    watch.stop()
  }
}

/** Where the body begins: at the byte asked for, or at 0 when the server knows no ranges. */
function startOf(response: Response, { from, url, length }: RangeRequest): Result<number> {
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '')
  if (response.status === 200) return ok(0)
  if (response.status === 206 && range !== null) {
    const total = range[2] === '*' ? length : Number(range[2])
    if (total > length) {
      return refuse('artifact.length', 'The server offers another file than the signed one.', {
        expected: `${length} bytes`,
        found: `${total} bytes`,
        next: 'attack: endless data or arbitrary software; check the artifact server',
      })
    }
    if (Number(range[1]) === from) return ok(from)
  }
  return refuse('net.http', `${url} answered ${response.status}.`, {
    expected: `200, or 206 from byte ${from}`,
    found: `${response.status} ${response.headers.get('content-range') ?? ''}`.trim(),
  })
}

function tooLong({ length }: RangeRequest): Result<never> {
  return refuse('artifact.length', 'The server sends more than was signed.', {
    expected: `${length} bytes`,
    found: 'more',
    next: 'attack: endless data; check the artifact server and what lies between',
  })
}

function watchRetrieval({ limits, length, signal }: RangeRequest) {
  const controller = new AbortController()
  let problem: Problem | undefined
  let bytes = 0
  const slow = (found: string): void => {
    problem = {
      code: 'net.slow',
      message: 'The download is too slow.',
      expected: `${limits.bytesPerSecondMin} bytes a second`,
      found,
      next: 'attack: slow retrieval, or a bad line',
    }
    controller.abort()
  }
  const totalMs = limits.deadlineMs + (1_000 * length) / limits.bytesPerSecondMin
  const deadline = setTimeout(() => slow(`not complete after ${totalMs} ms`), totalMs)
  const windows = setInterval(() => {
    const perSecond = (1_000 * bytes) / limits.windowMs
    bytes = 0
    if (perSecond < limits.bytesPerSecondMin) slow(`${perSecond} bytes a second`)
  }, limits.windowMs)
  return {
    signal: AbortSignal.any([controller.signal, signal]),
    count: (received: number) => {
      bytes += received
    },
    problem: () => problem,
    stop: () => {
      clearTimeout(deadline)
      clearInterval(windows)
    },
  }
}

/** `fetch` hides the reason (refused, unknown host) one level down. */
function rootCause(cause: unknown): { code: string; message: string } {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
  const code = inner instanceof Error && 'code' in inner ? String(inner.code) : ''
  return { code, message: inner instanceof Error ? inner.message : String(inner) }
}
