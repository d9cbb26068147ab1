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
  end(): Promise<{ sent: number; answered: number; failed: number }>
}

const DRAIN_MS = 30_000

export function arrivals({ port, request, everyMs }: ArrivalOptions): Arrivals {
  const free: Socket[] = []
  const pending = new Map<Socket, number>()
  let times: number[] = []
  let [sent, answered, failed] = [0, 0, 0]
  let waiting: { readonly at: number; readonly resolve: () => void }[] = []

  function open(): Socket {
    const socket = connect({ host: '127.0.0.1', port })
    socket.setNoDelay(true)
    onAnswers(socket, (status) => {
      const startMs = pending.get(socket)
      pending.delete(socket)
      free.push(socket)
      answered += 1
      if (status !== 200) failed += 1
      if (startMs !== undefined) times.push(performance.now() - startMs)
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
      for (const socket of [...free, ...pending.keys()]) socket.destroy()
      return { sent, answered, failed }
    },
  }
}
