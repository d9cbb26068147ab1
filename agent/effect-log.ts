/** One line in the device's log for what a person would want to know of an effect. */
import { releaseName } from '../shared/model/names.ts'
import type { DeviceEffect } from '../shared/update/state.ts'
import type { Log } from './ports.ts'

export function logEffect(log: Log, effect: DeviceEffect): void {
  switch (effect.kind) {
    case 'serve': {
      const slots = effect.models.flatMap(({ current, candidate }) => [current, candidate])
      const releases = slots.flatMap((release) => (release === null ? [] : [releaseName(release)]))
      log.info('serving', { generation: effect.generation, releases: releases.join(', ') })
      return
    }
    case 'resolve':
      log.info('bringing a release here', { release: releaseName(effect.release) })
      return
    case 'notify': {
      const { kind, subject, problem } = effect.notice
      log.warn(kind, { subject, code: problem.code, reason: problem.message, found: problem.found })
      return
    }
    default:
      return
  }
}
