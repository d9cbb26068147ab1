/**
 * How far a rollout is with going back: who still serves the candidate, and why.
 *
 * Invariant: it ends. Whoever serves the candidate when the time is over is named and stays assigned
 * what it should go back to, as an offline device does; one device never locks a model.
 */
import type { Reason, Rollout, TargetedDevice } from './state.ts'
import { plural } from './waiting.ts'

/** So long a rollback waits for devices that are online. */
export const RETREAT_SECONDS_MAX = 600

const NAMED_MAX = 8

interface Look {
  readonly retreat: NonNullable<Rollout['retreat']>
  readonly reason: Reason
  readonly isOver: boolean
}

/** One look at the devices; the first one fixes since when and why. */
export function lookBack(
  rollout: Rollout,
  devices: readonly TargetedDevice[],
  nowMs: number,
): Look {
  const retreat = rollout.retreat ?? { sinceMs: nowMs, reason: rollout.reason }
  const { candidate } = rollout.spec
  const serving = devices.filter((device) => device.candidate === 'serving')
  const keeping = serving.filter(({ keeps }) => keeps === true)
  const leaving = serving.filter(({ keeps }) => keeps !== true)
  const holding = leaving.filter(({ online }) => online)
  const away = leaving.length - holding.length
  const isLate = nowMs - retreat.sinceMs >= RETREAT_SECONDS_MAX * 1_000
  const sentences = [
    retreat.reason.sentence,
    holding.length > 0 && holdouts(holding, devices.length, candidate, isLate),
    away > 0 && `${plural(away, 'offline device')} will follow.`,
    keeping.length > 0 &&
      `${plural(keeping.length, 'device')} ${keeping.length === 1 ? 'keeps' : 'keep'} ` +
        `${candidate}: there is no other release to go back to.`,
  ].filter((sentence) => sentence !== false)
  const reason = { code: retreat.reason.code, sentence: sentences.join(' ') }
  return { retreat, reason, isOver: holding.length === 0 || isLate }
}

function holdouts(
  holding: readonly TargetedDevice[],
  all: number,
  candidate: string,
  isLate: boolean,
): string {
  const names = holding
    .slice(0, NAMED_MAX)
    .map(({ device, backFailureCode: code }) =>
      code === undefined ? device : `${device} (${code})`,
    )
  const rest = holding.length - names.length
  const who = `${names.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`
  const serve = holding.length === 1 ? 'serves' : 'serve'
  const still = `${holding.length} of ${plural(all, 'device')} still ${serve} ${candidate}`
  return isLate
    ? `After ${RETREAT_SECONDS_MAX} s ${still}, and will follow: ${who}.`
    : `${still}: ${who}.`
}
