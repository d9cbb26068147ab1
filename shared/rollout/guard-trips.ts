/**
 * Devices that took the candidate out of service by themselves (the local guard, or a host that it
 * crashed again and again) as evidence: they send no more canary requests, so counts alone would
 * leave their profile undecided for ever.
 *
 * Invariant: one device never rolls back others that serve the candidate well, since one broken
 * device is more likely than a broken release; the only device of its profile does, since nobody
 * else can tell.
 */
import type { Reason, Rollout, TargetedDevice } from './state.ts'

const IN_SERVICE_CODES = ['guard.', 'host.'] as const

/** It installed the candidate, served it, and stopped it. */
export function isGuardTrip({ candidate, failureCode }: TargetedDevice): boolean {
  return (
    candidate === 'failed' && IN_SERVICE_CODES.some((prefix) => failureCode?.startsWith(prefix))
  )
}

/**
 * Over all devices of the wave and over those of each profile that serve the candidate, can still
 * come to it or stopped it: more than `guardTripShareMax` and at least two, or the only one.
 */
export function tooManyGuardTrips(
  { spec, wave }: Pick<Rollout, 'spec' | 'wave'>,
  devices: readonly TargetedDevice[],
): Reason | undefined {
  const judged = devices.filter(
    (device) =>
      isGuardTrip(device) ||
      device.candidate === 'serving' ||
      (device.candidate !== 'failed' && device.online),
  )
  const profiles = [...new Set(judged.map(({ profile }) => profile))].toSorted()
  const scopes = [
    { name: `wave ${wave + 1}`, members: judged },
    ...profiles.map((name) => ({ name, members: judged.filter((d) => d.profile === name) })),
  ]
  for (const { name, members } of scopes) {
    const tripped = members.filter(isGuardTrip)
    const isOver = tripped.length > spec.guardTripShareMax * members.length
    if (!isOver || (tripped.length < 2 && members.length > 1)) continue
    const codes = [...new Set(tripped.map(({ failureCode }) => failureCode))].toSorted()
    const which =
      members.length === 1
        ? `The only device of ${name}`
        : `${tripped.length} of ${members.length} devices of ${name}`
    return {
      code: 'guard_trips',
      sentence: `${which} took it out of service by local guard (${codes.join(', ')}).`,
    }
  }
  return undefined
}
