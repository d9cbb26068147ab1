/** What a wave that is not decided waits for, in one or two sentences with numbers. */
import { missingSentence } from '../judge/missing.ts'
import { isGuardTrip } from './guard-trips.ts'
import type { RolloutEvent, TargetedDevice } from './state.ts'

type Observed = Extract<RolloutEvent, { readonly kind: 'observed' }>

/** Lower case and without the wave's number, which the caller puts in front. */
export function waitingFor({ devices, verdict }: Observed, minSeconds: number): string {
  const all = devices.length
  if (all === 0) return 'no device is targeted yet.'
  if (devices.every(({ online }) => !online)) {
    const who = all === 1 ? 'its only device is' : `all its ${all} devices are`
    return `${who} offline; it goes on when one returns.${troubles(devices)}`
  }
  const serving = devices.filter(({ candidate }) => candidate === 'serving').length
  const follow = offlineWords(devices)
  if (serving === 0) {
    return `waiting for the first of ${plural(all, 'device')} to serve it.${follow}${troubles(devices)}`
  }
  const evidence =
    verdict?.decision === 'promote'
      ? `${verdict.sentence} It may go on ${minSeconds} s after the wave began.`
      : (verdict && missingSentence(verdict)) || 'no evidence yet.'
  return `${serving} of ${plural(all, 'device')} ${all === 1 ? 'serves' : 'serve'} it; ${evidence}${follow}${troubles(devices)}`
}

function offlineWords(devices: readonly TargetedDevice[]): string {
  const waiting = devices.filter(({ candidate, online }) => candidate === 'absent' && !online)
  return waiting.length === 0 ? '' : ` ${plural(waiting.length, 'offline device')} will follow.`
}

/** What has failed so far without deciding the wave. */
function troubles(devices: readonly TargetedDevice[]): string {
  const tripped = devices.filter(isGuardTrip)
  const failed = devices.filter((device) => device.candidate === 'failed' && !isGuardTrip(device))
  const tell = (group: readonly TargetedDevice[], what: string): string => {
    if (group.length === 0) return ''
    const codes = [...new Set(group.map(({ failureCode }) => failureCode ?? 'unknown'))].toSorted()
    return ` ${plural(group.length, 'device')} ${what} (${codes.join(', ')}).`
  }
  return `${tell(failed, 'did not install it')}${tell(tripped, 'took it out of service by local guard')}`
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
