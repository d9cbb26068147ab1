/**
 * Requests of an application that wait for one of few connections to its model host. Invariants: the
 * line has a length, beyond which it refuses at once; nobody waits past his deadline, or after he
 * gave up; a connection that is given back goes to whoever waits next.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Priority } from '../data-plane.ts'
import { createWaitingLines } from './plane/waiting-lines.ts'

export interface ConnectionLine {
  /**
   * @returns what gives the connection back, to be called once.
   * Errors: `infer.overloaded` at once, `infer.deadline`, `infer.cancelled`.
   */
  enter(patience: LinePatience): Promise<Result<() => void>>
}

interface LinePatience {
  readonly priority: Priority | undefined
  /** Until the deadline. */
  readonly leftMs: number
  readonly signal: AbortSignal | undefined
}

interface Waiter {
  readonly priority: Priority
  readonly settle: (result: Result<() => void>) => void
}

/** @param lengthMax requests that wait, beside those that have a connection. */
export function createConnectionLine(connectionsMax: number, lengthMax: number): ConnectionLine {
  const lines = createWaitingLines<Waiter>()
  let taken = 0

  function leave(): void {
    const next = lines.take()
    if (next === undefined) taken -= 1
    else next.settle(ok(leave))
  }

  return {
    enter({ priority = 'normal', leftMs, signal }) {
      if (signal?.aborted) return Promise.resolve(refuseCancelled())
      if (!(leftMs > 0)) return Promise.resolve(refuseExpired())
      if (taken < connectionsMax) {
        taken += 1
        return Promise.resolve(ok(leave))
      }
      if (lines.length() >= lengthMax) return Promise.resolve(refuseFull(lengthMax))
      return new Promise((resolve) => {
        const giveUp = (result: Result<never>): void => {
          lines.takeMates((other) => other === waiter)
          waiter.settle(result)
        }
        const onAbort = (): void => giveUp(refuseCancelled())
        const timer = setTimeout(() => giveUp(refuseExpired()), leftMs)
        const waiter: Waiter = {
          priority,
          settle: (result) => {
            clearTimeout(timer)
            signal?.removeEventListener('abort', onAbort)
            resolve(result)
          },
        }
        signal?.addEventListener('abort', onAbort, { once: true })
        lines.push(waiter)
      })
    },
  }
}

export function refuseExpired(): Result<never> {
  return refuse('infer.deadline', 'The deadline passed before the answer came.', {
    next: 'send less at a time, or give a longer deadline',
  })
}

export function refuseCancelled(): Result<never> {
  return refuse('infer.cancelled', 'Nobody waits for this answer any more.')
}

function refuseFull(lengthMax: number): Result<never> {
  return refuse('infer.overloaded', 'More requests wait than this runtime takes.', {
    expected: `at most ${lengthMax} that wait for a connection to the model host`,
    next: 'send less at a time, or raise queueLengthMax',
  })
}
