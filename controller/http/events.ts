/**
 * Changes as server-sent events (WHATWG HTML, clause 9.2). Event ids are change ids, so a client
 * that comes back with Last-Event-ID gets what it missed, as far as the application still has it.
 *
 * Invariants: a client whose token or session was revoked hears nothing after the next heartbeat; a
 * slow client costs at most `QUEUE_MAX` waiting events, then its connection is cut and it resumes
 * when it can; at most `CLIENTS_MAX` clients, a further one is told to come back.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Application, Change } from '../application.ts'

const QUEUE_MAX = 256
const CLIENTS_MAX = 128
/** Less than the idle limits of usual proxies; the console calls a stream stale after three. */
const HEARTBEAT_MS = 10_000
const RETRY_MS = 2_000

export interface EventStreams {
  /**
   * Errors: `events.overloaded`, `events.stopping`.
   * @param isAdmitted whether the credentials of the request still hold.
   */
  open(request: Request, isAdmitted: () => boolean): Result<Response>
  size(): number
  /** Ends all streams and takes no more. */
  close(): void
}

export function createEventStreams(application: Pick<Application, 'subscribe'>): EventStreams {
  const streams = new Set<() => void>()
  let stopping = false
  return {
    open(request, isAdmitted) {
      if (stopping) return refuse('events.stopping', 'The controller is stopping.')
      if (streams.size >= CLIENTS_MAX) {
        return refuse('events.overloaded', 'Too many listeners.', {
          expected: `at most ${CLIENTS_MAX}`,
        })
      }
      const headers = {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      }
      if (request.method === 'HEAD') return ok(new Response(null, { headers }))
      const stream = changeStream(application, lastEventId(request), streams, isAdmitted)
      return ok(new Response(stream, { headers }))
    },
    size: () => streams.size,
    close() {
      stopping = true
      for (const end of streams) end()
    },
  }
}

function lastEventId(request: Request): number | undefined {
  const header = request.headers.get('last-event-id') ?? ''
  return /^\d{1,15}$/.test(header) ? Number(header) : undefined
}

function changeStream(
  application: Pick<Application, 'subscribe'>,
  sinceId: number | undefined,
  streams: Set<() => void>,
  isAdmitted: () => boolean,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  let release = () => {}
  return new ReadableStream<Uint8Array>(
    {
      start(stream) {
        let unsubscribe = () => {}
        let open = true
        release = () => {
          open = false
          clearInterval(heartbeat)
          unsubscribe()
          streams.delete(end)
        }
        const end = () => {
          if (!open) return
          release()
          stream.close()
        }
        const send = (text: string) => {
          if (!open) return
          if ((stream.desiredSize ?? 0) <= 0) {
            release()
            stream.error(new Error('the client reads too slowly'))
          } else {
            stream.enqueue(encoder.encode(text))
          }
        }
        const beat = () => (isAdmitted() ? send(':\n\n') : end())
        const heartbeat = setInterval(beat, HEARTBEAT_MS)
        heartbeat.unref()
        streams.add(end)
        send(`retry: ${RETRY_MS}\n:\n\n`)
        unsubscribe = application.subscribe(sinceId, (change) => send(eventText(change)))
        // A resume that overflowed at once has released before there was anything to unsubscribe.
        if (!open) unsubscribe()
      },
      cancel: () => release(),
    },
    new CountQueuingStrategy({ highWaterMark: QUEUE_MAX }),
  )
}

function eventText(change: Change): string {
  return `id: ${change.id}\nevent: ${change.kind}\ndata: ${JSON.stringify(change)}\n\n`
}
