/**
 * Which models one host alone answers for. A limit to how often a model is asked is the device's, and
 * each host counts by itself: several would let through as many times the limit.
 */
import { ratePolicyOf } from '../plane/rate-limit.ts'
import { releasesAnswering } from '../plane/route-slots.ts'
import type { HostModel, HostRelease } from './host-protocol.ts'

type Release = { readonly resolved: Pick<HostRelease['resolved'], 'manifest'> }
type Slots = { readonly [slot in 'current' | 'candidate' | 'previous']: Release | null } & {
  readonly others?: readonly Release[]
}

/** Also where `previous` has a limit: it answers as soon as a host's guard has stopped `current`. */
export function pinnedModels(models: readonly (Pick<HostModel, 'model'> & Slots)[]): string[] {
  const limited = models.filter(({ current, candidate, previous, others = [] }) => {
    const after = releasesAnswering({ current: previous, candidate, others })
    const releases = [...releasesAnswering({ current, candidate, others }), ...after]
    return ratePolicyOf(releases.map(({ resolved }) => resolved.manifest)) !== undefined
  })
  return limited.map(({ model }) => model)
}
