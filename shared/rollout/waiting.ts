/** What a wave that is not decided waits for, in one or two sentences with numbers. */
import { missingSentence } from '../judge/missing.ts'
import { isGuardTrip } from './guard-trips.ts'
import { unheardOf, unsettledOf } from './settled.ts'
import type { RolloutEvent, TargetedDevice } from './state.ts'

type Observed = Extract<RolloutEvent, { readonly kind: 'observed' }>

const NAMED_MAX = 4

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
    const whom = all === 1 ? 'its only device' : `the first of ${all} devices`
    return `waiting for ${whom} to serve it.${follow}${troubles(devices)}`
  }
  const evidence = verdict === null ? '; no evidence yet.' : `. ${missingSentence(verdict)}`
  const head = `${serving} of ${plural(all, 'device')} ${all === 1 ? 'serves' : 'serve'} it`
  const still =
    verdict?.decision === 'promote' ? beforeItPasses(devices, minSeconds) : unsettledWords(devices)
  return `${head}${evidence}${still}${follow}${troubles(devices)}`
}

/** What a wave within its limits still waits for. */
function beforeItPasses(devices: readonly TargetedDevice[], minSeconds: number): string {
  const unsettled = unsettledWords(devices)
  const unheard = unheardOf(devices)
  if (unheard.length > 0) {
    const who =
      unheard.length === 1
        ? `The device that this wave added (${unheard[0]?.device}) has not`
        : `None of the ${unheard.length} devices that this wave added has`
    return `${unsettled} ${who} counted a request of it yet.`
  }
  return unsettled === '' ? ` It may go on ${minSeconds} s after the wave began.` : unsettled
}

function unsettledWords(devices: readonly TargetedDevice[]): string {
  const unsettled = unsettledOf(devices)
  if (unsettled.length === 0) return ''
  const installing = unsettled.filter(({ candidate }) => candidate === 'installing').length
  const absent = unsettled.length - installing
  const words = [
    installing > 0 &&
      `${plural(installing, 'device')} still ${installing === 1 ? 'installs' : 'install'} it`,
    absent > 0 && `${plural(absent, 'device')} ${absent === 1 ? 'has' : 'have'} not begun`,
  ].filter((word) => word !== false)
  const names =
    unsettled.length > NAMED_MAX ? '' : ` (${unsettled.map((d) => d.device).join(', ')})`
  return ` ${words.join(', ')}${names}.`
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
