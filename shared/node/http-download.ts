/**
 * Downloads from servers that are not trusted: a limit on bytes, a deadline for the whole, and a
 * least throughput, so that neither endless data nor one byte a second holds a device up. What the
 * bytes are worth is for others to verify. Needs nothing but `fetch`, so browsers use it too.
 */
import { concatBytes } from '../kernel/bytes.ts'
import { type Problem, toProblem } from '../kernel/result.ts'
import type { FetchReply } from '../signing/tuf/effects.ts'

export interface DownloadLimits {
  readonly bytesMax: number
  /** For the whole download. */
  readonly deadlineMs: number
  /** Over each window. */
  readonly bytesPerSecondMin: number
  /** Absent: ten seconds. */
  readonly windowMs?: number
  /** Who asks, where the server wants to know. */
  readonly headers?: Readonly<Record<string, string>>
}

const WINDOW_MS = 10_000
/** A browser must ask for the newest metadata each time; Node's types lack the field. */
const UNCACHED = { cache: 'no-store' } as const
const ABSENT_STATUSES: readonly number[] = [403, 404, 410]

export type DownloadOutcome =
  | { readonly kind: 'complete' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'failed'; readonly problem: Problem; readonly status?: number }

/**
 * Hands the body to `take`, chunk by chunk and in order; never more than `bytesMax` bytes. Codes:
 * `tuf.endless_data`, `tuf.slow_retrieval`, `tuf.unavailable`.
 */
export async function download(
  url: string,
  limits: DownloadLimits,
  take: (chunk: Uint8Array) => void | Promise<void>,
): Promise<DownloadOutcome> {
  const watch = watchThroughput(limits)
  try {
    const { headers = {} } = limits
    const how = { ...UNCACHED, redirect: 'follow' as const, headers: { ...headers } }
    const response = await fetch(url, { ...how, signal: watch.signal })
    if (ABSENT_STATUSES.includes(response.status)) {
      await response.body?.cancel()
      return { kind: 'absent' }
    }
    if (!response.ok || response.body === null) {
      await response.body?.cancel()
      return refusedWith(response.status, url)
    }
    let length = 0
    for await (const chunk of response.body) {
      length += chunk.length
      if (length > limits.bytesMax) return tooMany(url, limits.bytesMax)
      watch.count(chunk.length)
      await take(chunk)
    }
    return { kind: 'complete' }
  } catch (cause) {
    const slow = watch.problem()
    if (slow !== undefined) return { kind: 'failed', problem: slow }
    return { kind: 'failed', problem: toProblem(causeOf(cause), 'tuf.unavailable') }
  } finally {
    watch.stop()
  }
}

/** A whole small file in memory. */
export async function fetchBounded(url: string, limits: DownloadLimits): Promise<FetchReply> {
  const chunks: Uint8Array[] = []
  const outcome = await download(url, limits, (chunk) => void chunks.push(chunk))
  if (outcome.kind !== 'complete') return outcome
  return { kind: 'fetched', bytes: concatBytes(...chunks) }
}

interface Watch {
  readonly signal: AbortSignal
  count(bytes: number): void
  problem(): Problem | undefined
  stop(): void
}

function watchThroughput({
  deadlineMs,
  bytesPerSecondMin,
  windowMs = WINDOW_MS,
}: DownloadLimits): Watch {
  const controller = new AbortController()
  let problem: Problem | undefined
  let windowBytes = 0
  const giveUp = (message: string): void => {
    problem = { code: 'tuf.slow_retrieval', message }
    controller.abort()
  }
  const deadline = setTimeout(() => giveUp(`Not complete after ${deadlineMs} ms.`), deadlineMs)
  const windows = setInterval(() => {
    const bytesPerSecond = (1000 * windowBytes) / windowMs
    if (bytesPerSecond < bytesPerSecondMin) giveUp(`Only ${bytesPerSecond} bytes a second.`)
    windowBytes = 0
  }, windowMs)
  return {
    signal: controller.signal,
    count: (bytes) => {
      windowBytes += bytes
    },
    problem: () => problem,
    stop: () => {
      clearTimeout(deadline)
      clearInterval(windows)
    },
  }
}

/** `fetch` hides the reason (refused, unknown host) one level down. */
function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? error.cause : error
}

function tooMany(url: string, bytesMax: number): DownloadOutcome {
  const problem = {
    code: 'tuf.endless_data',
    message: `${url} sends more than it may.`,
    expected: `at most ${bytesMax} bytes`,
  }
  return { kind: 'failed', problem }
}

function refusedWith(status: number, url: string): DownloadOutcome {
  const problem = { code: 'tuf.unavailable', message: `${url} answered ${status}.` }
  return { kind: 'failed', problem, status }
}
