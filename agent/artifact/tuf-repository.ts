/**
 * Verified releases and assignments, on the TUF client of shared/signing. No node: imports, so that
 * the browser uses the same.
 *
 * Invariants: a manifest is parsed only after its length and hashes were those that the publishers
 * signed; a release is given out only if artifact, manifest, model, profile and counters fit
 * together; without fresh metadata only what this device has verified before may be assigned.
 */
import { utf8 } from '../../shared/kernel/bytes.ts'
import { ok, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Assignment } from '../../shared/model/assignment.ts'
import { MANIFEST_FILE, targetPath } from '../../shared/model/manifest.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import type { ReleaseTarget } from '../../shared/model/release-target.ts'
import { openMessage } from '../../shared/protocol/frame.ts'
import type { Ack } from '../../shared/protocol/messages.ts'
import { formatTopic } from '../../shared/protocol/topics.ts'
import {
  type AcceptedAssignment,
  acceptAssignment,
  type VerifiedTargets,
} from '../../shared/signing/assignment.ts'
import { checkAsync } from '../../shared/signing/keys.ts'
import type { TufPorts } from '../../shared/signing/tuf/effects.ts'
import { checkReleaseTarget, verifiedTargets } from '../../shared/signing/tuf/release-target.ts'
import type { FoundTarget } from '../../shared/signing/tuf/search.ts'
import { releaseOf } from '../../shared/update/slots.ts'
import type { AssignmentOrder, ReleaseRef, Review } from '../../shared/update/state.ts'
import type { CheckedAssignment, Repository, ResolvedRelease, SmallFiles, Trust } from '../ports.ts'
import { ReleaseCache } from './release-cache.ts'
import {
  checkManifest,
  type FetchTarget,
  fetchManifest,
  requireSameRole,
} from './release-manifest.ts'
import { ReleaseMetadata } from './release-metadata.ts'
import { ReleaseStanding } from './release-standing.ts'
import { TrustMemory } from './trust-memory.ts'
import { type TimeServer, type TimeSource, TrustedTime } from './trusted-time.ts'

export interface TufRepositoryOptions {
  readonly tuf: TufPorts
  readonly fetchTarget: FetchTarget
  readonly targetsUrl: string
  readonly cache: SmallFiles
  readonly fleet: string
  readonly device: string
  /** Fingerprint of the device's key. */
  readonly deviceKey: string
  readonly profile: FirmwareProfile
  /** Takes releases that are not proven yet. */
  readonly staging: boolean
  readonly clock: TimeSource
  readonly time?: TimeServer | undefined
}

/** What a newer root or newer targets could change. */
const STALE: readonly string[] = [
  'assignment.signature',
  'assignment.epoch',
  'assignment.snapshot',
  'assignment.target_mismatch',
]

export class TufRepository implements Repository, Trust {
  readonly #options: TufRepositoryOptions
  readonly #metadata: ReleaseMetadata
  readonly #cache: ReleaseCache
  readonly #standing: ReleaseStanding
  readonly #time: TrustedTime
  #onRefusedTime: (problem: Problem) => void = () => undefined

  constructor(options: TufRepositoryOptions) {
    this.#options = options
    const { tuf, staging } = options
    this.#cache = new ReleaseCache(options.cache)
    const memory = new TrustMemory(options.cache)
    this.#standing = new ReleaseStanding({ tuf, staging, cache: this.#cache, memory })
    this.#metadata = new ReleaseMetadata(
      tuf,
      () => this.#time.nowMs(),
      (trusted) => this.#standing.learn(trusted),
    )
    const director = () => this.#metadata.director()
    this.#time = new TrustedTime(
      {
        ...{ ...options, verifier: tuf.verifier, director },
        targetsExpireMs: () => this.#metadata.targetsExpireMs,
        followRoots: () => this.#metadata.followRoots(),
        onRefused: (problem) => this.#onRefusedTime(problem),
      },
      memory,
    )
  }

  async resolve(release: ReleaseRef): Promise<Result<ResolvedRelease>> {
    const time = await this.#settle()
    if (!time.ok) return time
    const { model, version } = release
    const manifestPath = targetPath(model, version, MANIFEST_FILE)
    const found = await this.#metadata.findFresh([release.target, manifestPath])
    if (!found.ok) return found
    const [artifact, manifestTarget] = found.value
    const signed = await this.#checkTarget(release, artifact!)
    if (!signed.ok) return signed
    const mixed = requireSameRole(artifact!, manifestTarget!)
    if (!mixed.ok) return mixed
    const manifest = await fetchManifest(manifestTarget!, this.#options.fetchTarget)
    if (!manifest.ok) return manifest
    const resolved = checkManifest(release, manifest.value, this.#options.profile)
    if (resolved.ok) await this.#cache.put(resolved.value, signed.value)
    return resolved
  }

  installed(release: ReleaseRef): Promise<Result<ResolvedRelease>> {
    return this.#cache.get(release)
  }

  artifactUrl({ model, version }: ReleaseRef, { sha256, file }: { sha256: string; file: string }) {
    return `${this.#options.targetsUrl}/${model}/${version}/${sha256}.${file}`
  }

  companions(artifacts: ReadonlySet<string>): Promise<readonly string[]> {
    return this.#cache.goldenOf(artifacts)
  }

  collectGarbage(keep: ReadonlySet<string>): Promise<void> {
    return this.#cache.keepOnly(keep)
  }

  async checkAssignment(
    envelope: string,
    order: AssignmentOrder,
    serving: readonly ReleaseRef[],
  ): Promise<Result<CheckedAssignment>> {
    const time = await this.#settle()
    if (!time.ok) return time
    let first = await this.#accept(envelope, order, undefined)
    if (!first.ok && first.error.code === 'assignment.not_yet_valid' && (await this.#time.ask())) {
      first = await this.#accept(envelope, order, undefined)
    }
    if (!first.ok && !STALE.includes(first.error.code)) return first
    if (!first.ok) {
      const refreshed = await this.#renew()
      // A forged assignment must not be taken for a network that is down.
      if (!refreshed.ok) return first
    }
    const signed = first.ok ? first : await this.#accept(envelope, order, undefined)
    if (!signed.ok) return signed
    const { assignment, digest, outcome } = signed.value
    await this.#time.learn(assignment.directorEpoch, assignment.issuedAt)
    if (outcome === 'unchanged') return ok({ assignment, digest, isNew: false })
    const allowed = await this.#standing.requireCurrent(assignment, serving)
    if (!allowed.ok) return allowed
    const targets = await this.#targetsOf(assignment)
    if (!targets.ok) return targets
    // A refresh on the way here may have told that some no longer stand.
    const stillAllowed = await this.#standing.requireCurrent(assignment, serving)
    if (!stillAllowed.ok) return stillAllowed
    const checked = await this.#accept(envelope, order, targets.value)
    return checked.ok ? ok({ assignment, digest, isNew: true }) : checked
  }

  async review(
    releases: readonly ReleaseRef[],
  ): Promise<{ review: Review; problem: Problem | null }> {
    const refreshed = await this.#renew()
    const director = await this.#metadata.director()
    const directorEpoch = director.ok ? director.value.directorEpoch : 0
    if (refreshed.ok) {
      const find = (paths: readonly string[]) => this.#metadata.find(paths)
      const { revoked, expired } = await this.#standing.revokedAmong(releases, find)
      return { review: { directorEpoch, frozen: expired, revoked }, problem: expired }
    }
    const problem = refreshed.error
    const isFrozen = problem.code === 'tuf.expired' || this.#metadata.hasExpired()
    const frozen = isFrozen ? { ...problem, code: 'tuf.expired' } : null
    return { review: { directorEpoch, frozen, revoked: [] }, problem }
  }

  async openAck(frame: Uint8Array): Promise<Result<Ack>> {
    const director = await this.#metadata.director()
    if (!director.ok) return director
    const { fleet, device, tuf } = this.#options
    const address = { fleet, device, topic: formatTopic('dn/ack', { fleet, device }) }
    let refusal: Result<never> = refuse('frame.signature', 'The root names no director key.')
    for (const key of director.value.keys.values()) {
      const opened = await checkAsync(openMessage('ack', frame, address, key), tuf.verifier)
      if (!opened.ok) {
        refusal = opened
        continue
      }
      if (opened.value.fleet === fleet && opened.value.device === device) return opened
      return refuse('ack.device', 'The acknowledgement is for another device.')
    }
    return refusal
  }

  onRefusedTime(handler: (problem: Problem) => void): void {
    this.#onRefusedTime = handler
  }

  /** For tokens and stamps; see trusted-time.ts. */
  claimedMs(): number {
    return this.#time.claimedMs()
  }

  /** Asks the director for the time, at most once a minute. @returns whether it told. */
  async askTime(): Promise<boolean> {
    // The answer counts no further than what was verified in the life before is valid.
    await this.#metadata.recall()
    return this.#time.ask()
  }

  /** Before any check: what was trusted in the life before, and what time it is. */
  async #settle(): Promise<Result<undefined>> {
    await this.#metadata.recall()
    return this.#time.settle()
  }

  /**
   * A look at newer metadata. A thief's time may let it fail although it brought the root that shuts
   * him out: the new director's epoch counts from the moment that its root is kept.
   */
  async #renew(): Promise<Result<unknown>> {
    const refresh = async () => {
      const time = await this.#settle()
      return time.ok ? this.#metadata.refresh() : time
    }
    const refreshed = await refresh()
    const director = await this.#metadata.director()
    const isNewEpoch = director.ok && (await this.#time.enterEpoch(director.value.directorEpoch))
    return isNewEpoch && !refreshed.ok ? refresh() : refreshed
  }

  async #accept(
    envelope: string,
    order: AssignmentOrder,
    targets: VerifiedTargets | undefined,
  ): Promise<Result<AcceptedAssignment>> {
    const director = await this.#metadata.director()
    if (!director.ok) return director
    const { fleet, device, deviceKey, tuf } = this.#options
    const checking = acceptAssignment({
      bytes: utf8(envelope),
      director: director.value,
      identity: { fleet, device, deviceKey },
      lastSeen: order.generation < 0 ? undefined : order,
      nowMs: this.#time.nowMs(),
      targets,
    })
    return checkAsync(checking, tuf.verifier)
  }

  /**
   * The signed targets that an assignment names. When the repository is out of reach or its metadata
   * have expired, releases that were verified on this device before still count.
   */
  async #targetsOf({ slots, minSnapshot }: Assignment): Promise<Result<VerifiedTargets>> {
    const paths = [...new Set(slots.map((slot) => slot.target))]
    const isOld = this.#metadata.snapshotVersion < minSnapshot
    const refreshed = isOld ? await this.#metadata.refresh() : ok()
    const found = refreshed.ok ? await this.#metadata.findFresh(paths) : refreshed
    if (found.ok) return ok(verifiedTargets(this.#metadata.snapshotVersion, found.value))
    if (found.error.code === 'tuf.target_unknown') {
      return ok(verifiedTargets(this.#metadata.snapshotVersion, []))
    }
    for (const slot of slots) {
      const known = await this.#cache.get(releaseOf(slot))
      if (!known.ok) return found
    }
    return ok({
      snapshotVersion: minSnapshot,
      find: (target) => slots.find((slot) => slot.target === target),
    })
  }

  async #checkTarget(release: ReleaseRef, target: FoundTarget): Promise<Result<ReleaseTarget>> {
    const { sha256, length, model } = release
    const { file } = target
    if (file.hashes.get('sha256') !== sha256 || file.length !== length) {
      return refuse('trust.target_mismatch', 'The publishers signed another file of this name.', {
        expected: `${file.hashes.get('sha256')} (${file.length} B)`,
        found: `${sha256} (${length} B)`,
      })
    }
    const { profile, staging } = this.#options
    const { trusted } = this.#metadata
    // Where this is the first release of its model here, no refresh has learned of the others.
    if (trusted !== undefined) await this.#standing.learnCounter(trusted, release.target)
    const minCounterSeen = await this.#cache.minCounter(model)
    const constraints = { model, profile: profile.name, staging, minCounterSeen }
    const suits = checkReleaseTarget(target, constraints)
    if (!suits.ok) return suits
    await this.#cache.raiseMinCounter(model, suits.value.minCounter)
    return suits
  }
}
