/**
 * Whether a wave has seen its own devices: a verdict over requests of devices that earlier waves
 * brought in says nothing of those that this one did.
 *
 * Invariant: what is offline neither holds a wave up nor counts for it.
 */
import type { TargetedDevice } from './state.ts'

/** Online devices that neither serve the candidate nor have failed to. */
export function unsettledOf(devices: readonly TargetedDevice[]): TargetedDevice[] {
  return devices.filter(
    ({ online, candidate }) => online && (candidate === 'absent' || candidate === 'installing'),
  )
}

/**
 * The devices that this wave brought in and that serve, if none of them has counted for it yet. Empty
 * also where the wave added none that could.
 */
export function unheardOf(devices: readonly TargetedDevice[]): TargetedDevice[] {
  const added = devices.filter(({ isAdded }) => isAdded === true)
  if (added.some(({ hasCounted }) => hasCounted === true)) return []
  return added.filter(({ online, candidate }) => online && candidate === 'serving')
}

export function hasSettled(devices: readonly TargetedDevice[]): boolean {
  return unsettledOf(devices).length === 0 && unheardOf(devices).length === 0
}
