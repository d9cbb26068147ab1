/**
 * Performs effects one after the other, in the order in which the machine gave them, so that
 * `persist` is durable before what follows it.
 *
 * Bounded by coalescing: a waiting effect of a kind that only its newest instance matters for is
 * replaced by that, so at most one of each waits, beside notices, which the spool bounds. A `persist`
 * or `serve` that fails is tried again with back-off, and nothing overtakes it: what served goes on
 * serving meanwhile.
 */
import { backoffMs } from '../shared/update/job.ts'
import type { DeviceEffect } from '../shared/update/state.ts'
import type { DiskWatch } from './disk-watch.ts'
import type { Clock, Log } from './ports.ts'

/** Each of them tells all of its kind. */
const NEWEST_ONLY: ReadonlySet<DeviceEffect['kind']> = new Set([
  'persist',
  'serve',
  'collectGarbage',
  'report',
  'checkAssignment',
])
/** Worth waiting for; of the others a failure is only logged. */
const RETRIED: ReadonlySet<DeviceEffect['kind']> = new Set(['persist', 'serve'])
/** Room on the disk comes back without a word: it is looked for more often than a network. */
const DISK_RETRY_MS = 3_000

export interface EffectLane {
  push(effects: readonly DeviceEffect[]): void
  /** Resolves when nothing waits. */
  idle(): Promise<void>
  close(): void
}

export function createEffectLane(
  perform: (effect: DeviceEffect) => Promise<void>,
  ports: {
    readonly clock: Clock
    readonly log: Log
    readonly random: () => number
    /** Told how writes of the state end. */
    readonly disk?: DiskWatch
  },
): EffectLane {
  let queue: DeviceEffect[] = []
  let draining: Promise<void> | undefined
  let closed = false
  let wake = (): void => undefined

  function pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = ports.clock.after(delayMs, resolve)
      wake = () => {
        cancel()
        resolve()
      }
    })
  }

  async function performOne(effect: DeviceEffect): Promise<void> {
    for (let attempt = 1; !closed; attempt++) {
      try {
        await perform(effect)
        if (effect.kind === 'persist') ports.disk?.wrote()
        return
      } catch (cause) {
        const isDisk = effect.kind === 'persist' && ports.disk?.failed(cause) === true
        const reason = cause instanceof Error ? cause.message : String(cause)
        if (!isDisk) ports.log.warn('an effect failed', { kind: effect.kind, attempt, reason })
        if (!RETRIED.has(effect.kind)) return
        // A newer one of its kind stands for this one too.
        if (queue.some(({ kind }) => kind === effect.kind)) return
        const delayMs = isDisk ? DISK_RETRY_MS : backoffMs(attempt)
        await pause(delayMs * (0.5 + ports.random() / 2))
      }
    }
  }

  async function drain(): Promise<void> {
    for (let next = queue.shift(); next !== undefined && !closed; next = queue.shift()) {
      await performOne(next)
    }
    draining = undefined
  }

  return {
    push(effects) {
      for (const effect of effects) {
        if (NEWEST_ONLY.has(effect.kind)) queue = queue.filter(({ kind }) => kind !== effect.kind)
        queue.push(effect)
      }
      // Draining nothing would end before it is known to have begun, and never begin again.
      if (queue.length > 0 && !closed) draining ??= drain()
    },
    async idle() {
      while (draining !== undefined) await draining
    },
    close() {
      closed = true
      queue = []
      wake()
    },
  }
}
