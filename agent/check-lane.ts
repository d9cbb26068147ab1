/**
 * Checks assignments, the newest only. What could not be checked for now (release metadata out of
 * reach, a clock that is not set yet) is tried again until a newer one arrives: the broker does not
 * repeat a retained message.
 */

import { err } from '../shared/kernel/result.ts'
import { attackOf } from '../shared/model/attack.ts'
import { backoffMs } from '../shared/update/job.ts'
import type { DeviceEffect, DeviceEvent } from '../shared/update/state.ts'
import { isTransient, unexpected } from './failures.ts'
import type { Clock, Log, Trust } from './ports.ts'

type CheckEffect = Extract<DeviceEffect, { kind: 'checkAssignment' }>

export interface CheckLane {
  check(effect: CheckEffect): void
  close(): void
}

export interface CheckPorts {
  readonly trust: Trust
  readonly clock: Clock
  readonly log: Log
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** What a wrong clock refuses is right once the clock is. */
const CLOCK_CODES: ReadonlySet<string> = new Set(['assignment.not_yet_valid', 'assignment.expired'])

export function createCheckLane(
  { trust, clock, log, random }: CheckPorts,
  dispatch: (event: DeviceEvent) => void,
): CheckLane {
  let newest = 0
  /** The newest assignment that was refused aloud. */
  let told = 0
  let cancelRetry = (): void => undefined

  async function attempt(effect: CheckEffect, ticket: number, times: number): Promise<void> {
    const checked = await trust
      .checkAssignment(effect.envelope, effect.order, effect.serving)
      .catch((cause) => err(unexpected(cause)))
    if (ticket !== newest) return
    if (checked.ok) {
      const { assignment, digest, isNew } = checked.value
      if (isNew) dispatch({ kind: 'assignmentAccepted', assignment, digest })
      return
    }
    const problem = checked.error
    const mayPass = isTransient(problem) || CLOCK_CODES.has(problem.code)
    // Told of once for each assignment, also where it is tried again.
    const isWorthTelling = !isTransient(problem) || attackOf(problem) !== undefined
    if (isWorthTelling && told !== newest) dispatch({ kind: 'assignmentRefused', problem })
    if (isWorthTelling) told = newest
    if (!mayPass) return
    log.warn('the assignment cannot be checked for now', { code: problem.code })
    const delayMs = backoffMs(times) * (0.5 + random() / 2)
    cancelRetry = clock.after(delayMs, () => void attempt(effect, ticket, times + 1))
  }

  return {
    check(effect) {
      newest += 1
      cancelRetry()
      void attempt(effect, newest, 1)
    },
    close() {
      newest += 1
      cancelRetry()
    },
  }
}
