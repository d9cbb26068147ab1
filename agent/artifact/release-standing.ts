/**
 * Which releases still stand: what verified metadata told of withdrawals and of counters, remembered
 * for good. Whoever cuts the network afterwards can bring nothing back.
 *
 * Invariants: all that a refresh brought is noted before anybody decides on it, also of releases that
 * this device was never assigned; a role that cannot be had says nothing. What serves already is not
 * stopped by its successor, and falling back within the device is not asked of here.
 */
import { ok, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import { type Assignment, parseTarget } from '../../shared/model/assignment.ts'
import type { TrustedTargets } from '../../shared/signing/tuf/client.ts'
import { runTufAsync, type TufPorts } from '../../shared/signing/tuf/effects.ts'
import { newestMinCounter, STAGING_ROLE } from '../../shared/signing/tuf/release-target.ts'
import { type FoundTarget, findTarget, findUnder } from '../../shared/signing/tuf/search.ts'
import { releaseOf, sameRelease } from '../../shared/update/slots.ts'
import type { ReleaseRef, Review } from '../../shared/update/state.ts'
import type { ReleaseCache } from './release-cache.ts'
import type { TrustMemory } from './trust-memory.ts'

export interface StandingParts {
  readonly tuf: TufPorts
  readonly cache: ReleaseCache
  readonly memory: TrustMemory
  /** Takes releases that are not proven yet. */
  readonly staging: boolean
}

export class ReleaseStanding {
  readonly #parts: StandingParts

  constructor(parts: StandingParts) {
    this.#parts = parts
  }

  /** What verified metadata tell of the releases on this device, and of others of their models. */
  async learn(trusted: TrustedTargets): Promise<void> {
    const { tuf, cache, memory } = this.#parts
    await memory.load()
    for (const release of await cache.releases()) {
      const found = await runTufAsync(findTarget(trusted, release.target), tuf)
      if (found.ok) await memory.setRevoked(release, !this.#stands(release, found.value))
      else if (found.error.code === 'tuf.target_unknown') await memory.setRevoked(release, true)
      await this.learnCounter(trusted, release.target)
    }
  }

  /**
   * Raises the least counter of a model by all its releases in roles that may list `target`.
   * @returns the least counter that its releases need by now.
   */
  async learnCounter(trusted: TrustedTargets, target: string): Promise<number> {
    const { tuf, cache, staging } = this.#parts
    const { model } = parseTarget(target)
    const known = await runTufAsync(findUnder(trusted, target, `${model}/`), tuf)
    await cache.raiseMinCounter(model, newestMinCounter(known, { model, staging }))
    return cache.minCounter(model)
  }

  /**
   * What is known to be withdrawn or superseded is not taken, not even from this very device; but
   * what already serves here may be superseded and stay.
   * Errors: `release.revoked`, `release.superseded`.
   */
  async requireCurrent(
    { slots }: Pick<Assignment, 'slots'>,
    serving: readonly ReleaseRef[],
  ): Promise<Result<undefined>> {
    const { cache, memory } = this.#parts
    for (const slot of slots) {
      const release = releaseOf(slot)
      if (memory.isRevoked(release)) {
        return refuse('release.revoked', `The publishers have withdrawn ${slot.target}.`)
      }
      const counter = (await cache.record(release))?.releaseCounter
      const counterMin = await cache.minCounter(slot.model)
      if (counter === undefined || counter >= counterMin) continue
      if (serving.some((one) => sameRelease(one, release))) continue
      return refuse('release.superseded', `The publishers have superseded ${slot.target}.`, {
        expected: `a release counter of at least ${counterMin}`,
        found: `${counter}`,
      })
    }
    return ok()
  }

  /**
   * Looks each release up by itself: one that is gone must not hide the others. A delegated role that
   * has expired says nothing of its releases any more, as expired targets do.
   */
  async revokedAmong(
    releases: readonly ReleaseRef[],
    find: (paths: readonly string[]) => Promise<Result<readonly FoundTarget[]>>,
  ): Promise<{ revoked: Review['revoked']; expired: Problem | null }> {
    const { cache, memory } = this.#parts
    const revoked: Review['revoked'][number][] = []
    let expired: Problem | null = null
    for (const release of releases) {
      const found = await find([release.target])
      if (!found.ok && found.error.code === 'tuf.expired') expired = found.error
      const isKnown = found.ok || found.error.code === 'tuf.target_unknown'
      if (!isKnown) continue
      const isRevoked = !found.ok || !this.#stands(release, found.value[0]!)
      await memory.setRevoked(release, isRevoked)
      if (!isRevoked) continue
      const { onRevoked = 'serve' } = (await cache.record(release)) ?? {}
      revoked.push({ target: release.target, sha256: release.sha256, onRevoked })
    }
    return { revoked, expired }
  }

  /**
   * Still signed for this device? Whoever may sign for staging alone could list there what production
   * no longer does, and so hide from production devices that it was withdrawn.
   */
  #stands(release: Pick<ReleaseRef, 'sha256'>, { file, roles }: FoundTarget): boolean {
    const isForUs = this.#parts.staging || !roles.includes(STAGING_ROLE)
    return isForUs && file.hashes.get('sha256') === release.sha256
  }
}
