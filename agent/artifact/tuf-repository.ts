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
import {
  MANIFEST_BYTES_MAX,
  MANIFEST_FILE,
  type Manifest,
  manifestSchema,
  targetPath,
} from '../../shared/model/manifest.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import type { ReleaseTarget } from '../../shared/model/release-target.ts'
import { chooseVariant } from '../../shared/model/variant-choice.ts'
import { openMessage } from '../../shared/protocol/frame.ts'
import type { Ack } from '../../shared/protocol/messages.ts'
import { formatTopic } from '../../shared/protocol/topics.ts'
import {
  type AcceptedAssignment,
  acceptAssignment,
  type VerifiedTargets,
} from '../../shared/signing/assignment.ts'
import { parseJson } from '../../shared/signing/canonical-json.ts'
import { checkAsync } from '../../shared/signing/keys.ts'
import type { TrustedSet } from '../../shared/signing/tuf/client.ts'
import { type FetchReply, runTufAsync, type TufPorts } from '../../shared/signing/tuf/effects.ts'
import {
  checkReleaseTarget,
  newestMinCounter,
  STAGING_ROLE,
  verifiedTargets,
} from '../../shared/signing/tuf/release-target.ts'
import { type FoundTarget, findTarget } from '../../shared/signing/tuf/search.ts'
import { targetUrlPath } from '../../shared/signing/tuf/store-layout.ts'
import { checkFile } from '../../shared/signing/tuf/target-file.ts'
import { releaseOf } from '../../shared/update/slots.ts'
import type { AssignmentOrder, ReleaseRef, Review } from '../../shared/update/state.ts'
import type { CheckedAssignment, Repository, ResolvedRelease, SmallFiles, Trust } from '../ports.ts'
import { ReleaseCache } from './release-cache.ts'
import { ReleaseMetadata } from './release-metadata.ts'
import { TrustMemory } from './trust-memory.ts'
import { type TimeServer, TrustedTime } from './trusted-time.ts'

export interface TufRepositoryOptions {
  readonly tuf: TufPorts
  /** A small file below the targets URL; never more than `bytesMax` bytes. */
  readonly fetchTarget: (path: string, bytesMax: number) => Promise<FetchReply>
  readonly targetsUrl: string
  readonly cache: SmallFiles
  readonly fleet: string
  readonly device: string
  /** Fingerprint of the device's key. */
  readonly deviceKey: string
  readonly profile: FirmwareProfile
  /** Takes releases that are not proven yet. */
  readonly staging: boolean
  readonly nowMs: () => number
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
  readonly #memory: TrustMemory
  readonly #time: TrustedTime

  constructor(options: TufRepositoryOptions) {
    this.#options = options
    this.#metadata = new ReleaseMetadata(
      options.tuf,
      () => this.#time.nowMs(),
      (trusted) => this.#noteRevoked(trusted),
    )
    this.#cache = new ReleaseCache(options.cache)
    this.#memory = new TrustMemory(options.cache)
    const director = () => this.#metadata.director()
    this.#time = new TrustedTime(
      {
        ...{ ...options, verifier: options.tuf.verifier, director },
        targetsExpireMs: () => this.#metadata.targetsExpireMs,
      },
      this.#memory,
    )
  }

  async resolve(release: ReleaseRef): Promise<Result<ResolvedRelease>> {
    const time = await this.#time.settle()
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
    const manifest = await this.#fetchManifest(manifestTarget!)
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
  ): Promise<Result<CheckedAssignment>> {
    const time = await this.#time.settle()
    if (!time.ok) return time
    let first = await this.#accept(envelope, order, undefined)
    if (!first.ok && first.error.code === 'assignment.not_yet_valid' && (await this.#time.ask())) {
      first = await this.#accept(envelope, order, undefined)
    }
    if (!first.ok && !STALE.includes(first.error.code)) return first
    if (!first.ok) {
      const refreshed = await this.#metadata.refresh()
      // A forged assignment must not be taken for a network that is down.
      if (!refreshed.ok) return first
    }
    const signed = first.ok ? first : await this.#accept(envelope, order, undefined)
    if (!signed.ok) return signed
    const { assignment, digest, outcome } = signed.value
    await this.#time.learn(assignment.directorEpoch, assignment.issuedAt)
    if (outcome === 'unchanged') return ok({ assignment, digest, isNew: false })
    const allowed = await this.#requireCurrent(assignment)
    if (!allowed.ok) return allowed
    const targets = await this.#targetsOf(assignment)
    if (!targets.ok) return targets
    const checked = await this.#accept(envelope, order, targets.value)
    return checked.ok ? ok({ assignment, digest, isNew: true }) : checked
  }

  async review(
    releases: readonly ReleaseRef[],
  ): Promise<{ review: Review; problem: Problem | null }> {
    const time = await this.#time.settle()
    let refreshed = time.ok ? await this.#metadata.refresh() : time
    const director = await this.#metadata.director()
    const directorEpoch = director.ok ? director.value.directorEpoch : 0
    // A thief's time may have let a refresh fail that brought the root which shuts him out.
    const isNewEpoch = await this.#time.enterEpoch(directorEpoch)
    if (isNewEpoch && !refreshed.ok) {
      const again = await this.#time.settle()
      refreshed = again.ok ? await this.#metadata.refresh() : again
    }
    if (refreshed.ok) {
      const { revoked, expired } = await this.#revokedAmong(releases)
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

  /** What is known to be withdrawn or superseded is not taken, not even from this very device. */
  async #requireCurrent({ slots }: Pick<Assignment, 'slots'>): Promise<Result<undefined>> {
    for (const slot of slots) {
      const release = releaseOf(slot)
      if (this.#memory.isRevoked(release)) {
        return refuse('release.revoked', `The publishers have withdrawn ${slot.target}.`)
      }
      const counter = (await this.#cache.record(release))?.releaseCounter
      const counterMin = await this.#cache.minCounter(slot.model)
      if (counter === undefined || counter >= counterMin) continue
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
  async #revokedAmong(
    releases: readonly ReleaseRef[],
  ): Promise<{ revoked: Review['revoked']; expired: Problem | null }> {
    const revoked: Review['revoked'][number][] = []
    let expired: Problem | null = null
    for (const release of releases) {
      const found = await this.#metadata.find([release.target])
      if (!found.ok && found.error.code === 'tuf.expired') expired = found.error
      const isKnown = found.ok || found.error.code === 'tuf.target_unknown'
      if (!isKnown) continue
      const isRevoked = !found.ok || !this.#stands(release, found.value[0]!)
      await this.#memory.setRevoked(release, isRevoked)
      if (!isRevoked) continue
      const { onRevoked = 'serve' } = (await this.#cache.record(release)) ?? {}
      revoked.push({ target: release.target, sha256: release.sha256, onRevoked })
    }
    return { revoked, expired }
  }

  /**
   * What the newest targets no longer list of this device's releases is remembered before anything is
   * decided on them: whoever cuts the network afterwards cannot bring it back.
   */
  async #noteRevoked(trusted: TrustedSet): Promise<void> {
    await this.#memory.load()
    for (const release of await this.#cache.releases()) {
      const found = await runTufAsync(findTarget(trusted, release.target), this.#options.tuf)
      if (found.ok) await this.#memory.setRevoked(release, !this.#stands(release, found.value))
      else if (found.error.code === 'tuf.target_unknown') {
        await this.#memory.setRevoked(release, true)
      }
    }
  }

  /**
   * Still signed for this device? Whoever may sign for staging alone could list there what production
   * no longer does, and so hide from production devices that it was withdrawn.
   */
  #stands(release: Pick<ReleaseRef, 'sha256'>, { file, roles }: FoundTarget): boolean {
    const isForUs = this.#options.staging || !roles.includes(STAGING_ROLE)
    return isForUs && file.hashes.get('sha256') === release.sha256
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
    // A refresh on the way here may have told that some are withdrawn.
    const allowed = await this.#requireCurrent({ slots })
    if (!allowed.ok) return allowed
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
    // Also of releases that this device was never assigned.
    const known = await this.#metadata.releasesOf(model, release.target)
    await this.#cache.raiseMinCounter(model, newestMinCounter(known, { model, staging }))
    const minCounterSeen = await this.#cache.minCounter(model)
    const constraints = { model, profile: profile.name, staging, minCounterSeen }
    const suits = checkReleaseTarget(target, constraints)
    if (!suits.ok) return suits
    await this.#cache.raiseMinCounter(model, suits.value.minCounter)
    return suits
  }

  async #fetchManifest({ path, file }: FoundTarget): Promise<Result<Manifest>> {
    const urlPath = targetUrlPath(path, file, true)
    if (urlPath === undefined || file.length > MANIFEST_BYTES_MAX) {
      return refuse('release.manifest', 'The manifest has an impossible path or size.')
    }
    const reply = await this.#options.fetchTarget(urlPath, file.length)
    if (reply.kind === 'failed') return { ok: false, error: reply.problem }
    if (reply.kind === 'absent') return refuse('net.http', `There is no ${path} at the controller.`)
    const right = checkFile(reply.bytes, file, path)
    if (!right.ok) return right
    return parseManifest(reply.bytes)
  }
}

/** Nobody's manifest speaks for somebody else's artifact. */
function requireSameRole(artifact: FoundTarget, manifest: FoundTarget): Result<undefined> {
  const [expected, found] = [artifact, manifest].map(({ roles }) => roles.join(' > '))
  if (expected === found) return ok()
  return refuse('trust.target_mismatch', 'Manifest and artifact were signed by different roles.', {
    expected,
    found,
  })
}

function parseManifest(bytes: Uint8Array): Result<Manifest> {
  const limits = { bytesMax: MANIFEST_BYTES_MAX, depthMax: 16, valuesMax: 200_000 }
  const json = parseJson(bytes, limits)
  if (!json.ok) return refuse('release.manifest', json.error.message)
  const manifest = manifestSchema.safeParse(json.value)
  if (manifest.success) return ok(manifest.data)
  const [issue] = manifest.error.issues
  return refuse('release.manifest', 'The manifest has not the expected form.', {
    found: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
    next: 'update the agent, or create the release again',
  })
}

function checkManifest(
  release: ReleaseRef,
  manifest: Manifest,
  profile: FirmwareProfile,
): Result<ResolvedRelease> {
  const variant = manifest.variants.find(({ name }) => name === release.variant)
  const { artifact } = variant ?? {}
  const flaw: Omit<Problem, 'message'> | undefined =
    manifest.model !== release.model || manifest.version !== release.version
      ? { code: 'release.model', found: `${manifest.model}@${manifest.version}` }
      : artifact?.sha256 !== release.sha256 || artifact.length !== release.length
        ? { code: 'release.variant', found: artifact?.sha256 ?? 'no such variant' }
        : undefined
  if (variant === undefined || flaw !== undefined) {
    const expected = `${release.target} with ${release.sha256}`
    const message = 'Manifest and assignment do not belong together.'
    return { ok: false, error: { code: 'release.variant', ...flaw, message, expected } }
  }
  const suits = chooseVariant({ ...manifest, variants: [variant] }, profile)
  return suits.ok ? ok({ release, manifest, variant }) : suits
}
