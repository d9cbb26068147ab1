/**
 * Requests that arrive on a schedule, whether or not earlier ones were answered (an open loop): the
 * wait of a stalled server shows in full. Each goes over a connection that is free, or a new one.
 */
import { connect, type Socket } from 'node:net'
import { onAnswers } from './load.ts'

export interface ArrivalOptions {
  readonly port: number
  readonly request: Buffer
  readonly everyMs: number
}

export interface Arrivals {
  /** Resolves after so many further answers. */
  answers(count: number): Promise<void>
  /** The times since the last call, in ms from the scheduled arrival to the answer. */
  take(): number[]
  end(): Promise<ArrivalCounts>
}

export interface ArrivalCounts {
  readonly sent: number
  /** Requests that got an answer. */
  readonly answered: number
  readonly failed: number
  /** Answers beyond the first of a request. */
  readonly again: number
}

const DRAIN_MS = 30_000
const LATE_MS = 200

export function arrivals({ port, request, everyMs }: ArrivalOptions): Arrivals {
  const free: Socket[] = []
  const pending = new Map<Socket, number>()
  let times: number[] = []
  let [sent, answered, failed, again] = [0, 0, 0, 0]
  let waiting: { readonly at: number; readonly resolve: () => void }[] = []

  function open(): Socket {
    const socket = connect({ host: '127.0.0.1', port })
    socket.setNoDelay(true)
    onAnswers(socket, (status) => {
      const startMs = pending.get(socket)
      if (startMs === undefined) {
        again += 1
        return
      }
      pending.delete(socket)
      free.push(socket)
      answered += 1
      if (status !== 200) failed += 1
      times.push(performance.now() - startMs)
      for (const { at, resolve } of waiting) if (answered >= at) resolve()
      waiting = waiting.filter(({ at }) => answered < at)
    })
    socket.on('error', () => {
      failed += 1
    })
    return socket
  }

  let dueMs = performance.now()
  const timer = setInterval(() => {
    for (; dueMs <= performance.now(); dueMs += everyMs) {
      const socket = free.pop() ?? open()
      pending.set(socket, dueMs)
      socket.write(request)
      sent += 1
    }
  }, 1)

  return {
    answers: (count) => new Promise((resolve) => waiting.push({ at: answered + count, resolve })),
    take: () => {
      const taken = times
      times = []
      return taken
    },
    async end() {
      clearInterval(timer)
      const endMs = performance.now() + DRAIN_MS
      while (answered < sent && performance.now() < endMs) {
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      // An answer too many may come after the last one that was due.
      await new Promise((resolve) => setTimeout(resolve, LATE_MS))
      for (const socket of [...free, ...pending.keys()]) socket.destroy()
      return { sent, answered, failed, again }
    },
  }
}
