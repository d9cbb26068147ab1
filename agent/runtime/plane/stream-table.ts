/**
 * Streams: requests that belong together, as a client of a model with state sends them. The state is
 * the client's, it travels in tensors; what is kept here is which release began the stream, so that
 * state of one version never reaches another, also across a swap.
 *
 * Invariants: a pinned release is held, so its session lives as long as a stream needs it; a stream
 * that nobody used for `IDLE_MS_MAX` has ended; at most `STREAMS_MAX` are open, and who ended is
 * remembered, as many, so that the next request of it is told why. All is lost with the host.
 */
import { ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import { isSameVersion } from '../../../shared/model/names.ts'
import type { InferRequest, StreamPart } from '../../data-plane.ts'
import type { LiveRelease } from './live-release.ts'
import type { Draw } from './model-route.ts'

export interface StreamTable {
  /** What answers a request that goes on with its stream. Errors: `stream.unknown`, `.version_gone`. */
  pinned(request: InferRequest, part: StreamPart): Result<Draw>
  /**
   * Around a request: `draw` answers it, and from a start on all that follow.
   * @returns what must be called when it is answered. Errors: `stream.too_many`.
   */
  enter(model: string, part: StreamPart, draw: Draw): Result<() => void>
  /** No stream may go on with this release, or with this model. */
  endOf(isGone: (live: LiveRelease) => boolean): void
  /** Ends those that nobody uses. */
  endIdle(): void
  releases(): ReadonlySet<LiveRelease>
}

interface Stream {
  readonly arm: Draw['arm']
  readonly live: LiveRelease
  lastAtMs: number
  pending: number
}

const STREAMS_MAX = 1_024
/** As long as a person hesitates; a session of a former version may be kept for it. */
const IDLE_MS_MAX = 60_000

export function createStreamTable(nowMs: () => number): StreamTable {
  /** The one that was used longest ago stands first. */
  const open = new Map<string, Stream>()
  const gone = new Map<string, string>()

  function end(key: string, why?: string): void {
    const stream = open.get(key)
    if (stream === undefined) return
    open.delete(key)
    stream.live.letGo()
    if (why === undefined) return
    const [oldest] = gone.keys()
    if (gone.size >= STREAMS_MAX && oldest !== undefined) gone.delete(oldest)
    gone.set(key, why)
  }

  function endIdle(): void {
    const atMs = nowMs()
    for (const [key, { lastAtMs, pending }] of open) {
      if (atMs - lastAtMs <= IDLE_MS_MAX) break
      if (pending === 0) end(key, `nothing came for ${IDLE_MS_MAX / 1000} s`)
    }
  }

  function begin(key: string, { arm, live }: Draw): Result<Stream> {
    end(key)
    gone.delete(key)
    endIdle()
    if (open.size >= STREAMS_MAX) return tooMany()
    live.hold()
    const stream = { arm, live, lastAtMs: nowMs(), pending: 0 }
    open.set(key, stream)
    return ok(stream)
  }

  return {
    endIdle,
    pinned({ model, version }, { id }) {
      endIdle()
      const stream = open.get(keyOf(model, id))
      if (stream === undefined) return notOpen(id, gone.get(keyOf(model, id)))
      const { arm, live } = stream
      if (version === undefined || isSameVersion(version, live.version)) {
        return ok({ arm, live, recorder: undefined })
      }
      return refuse('infer.unknown_version', 'This stream began on another version.', {
        expected: live.version,
        found: version.slice(0, 64),
      })
    },
    enter(model, part, draw) {
      const key = keyOf(model, part.id)
      const entered = part.start ? begin(key, draw) : ok(open.get(key))
      if (!entered.ok) return entered
      const stream = entered.value
      // Between its admission and this moment nothing else ran, so a stream that goes on is open.
      if (stream === undefined) return notOpen(part.id, undefined)
      stream.pending += 1
      stream.lastAtMs = nowMs()
      open.delete(key)
      open.set(key, stream)
      stream.live.hold()
      return ok(() => {
        stream.pending -= 1
        stream.lastAtMs = nowMs()
        if (part.end && open.get(key) === stream) end(key)
        stream.live.letGo()
      })
    },
    endOf(isGone) {
      for (const [key, { live }] of open) {
        if (isGone(live)) end(key, `version ${live.version} was taken out of service`)
      }
    },
    releases: () => new Set([...open.values()].map(({ live }) => live)),
  }
}

const keyOf = (model: string, id: string): string => `${model}/${id}`

function notOpen(id: string, why: string | undefined): Result<never> {
  const next = 'begin a new one with sequence_start and fresh state'
  const found = id.slice(0, 64)
  if (why === undefined) {
    return refuse('stream.unknown', 'No such stream is open here.', {
      expected: 'sequence_start on the first request; the model host may have restarted since',
      ...{ found, next },
    })
  }
  return refuse('stream.version_gone', 'This stream was ended.', { found: why, next })
}

function tooMany(): Result<never> {
  return refuse('stream.too_many', 'Too many streams are open.', {
    expected: `at most ${STREAMS_MAX}, each ended with sequence_end`,
    next: `try again in ${IDLE_MS_MAX / 1000} s`,
  })
}
