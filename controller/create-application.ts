/** The application over the controller's parts: what HTTP calls. Decisions are made in the parts. */
import type { HealthResource } from '../shared/api/resources.ts'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import { MANIFEST_FILE, targetPath } from '../shared/model/manifest.ts'
import { releaseName } from '../shared/model/names.ts'
import { envelopeBytes } from '../shared/signing/envelope.ts'
import { keyId } from '../shared/signing/keys.ts'
import { signTime } from '../shared/signing/signed-time.ts'
import type { WalkedRole } from '../shared/signing/tuf/walk.ts'
import type { Application } from './application.ts'
import type { Broker } from './broker/broker.ts'
import type { Store, StoredDevice, StoredRelease, StoredToken } from './db/store.ts'
import type { DeviceProof } from './device-access.ts'
import { type EnrolmentDesk, tokenId } from './enrolment.ts'
import type { Evidence } from './evidence.ts'
import type { Ingest } from './ingest.ts'
import { isMember, type MembershipDesk, requireMember } from './membership.ts'
import type { PresenceTracker } from './presence.ts'
import { createPublishing, type PublishingParts } from './publishing.ts'
import type { Reconciler } from './reconcile.ts'
import { deviceResource, releaseResource } from './resources.ts'
import { createRolloutDesk } from './rollouts.ts'
import { ONLINE_ROLES, type OnlineKeys, type OnlineSigners } from './signing/online-keys.ts'

/** Notices shown of one device. */
const NOTICES_MAX = 50
/** Newest notices of the fleet that a list of all devices looks through. */
const NOTICES_LISTED_MAX = 2_000

export interface ApplicationParts extends PublishingParts {
  readonly fleet: string
  readonly version: string
  readonly startedAtMs: number
  readonly store: Store
  readonly broker: Broker
  readonly ingest: Ingest
  readonly enrolment: EnrolmentDesk
  readonly membership: MembershipDesk
  readonly keys: OnlineKeys
  readonly evidence: Evidence
  readonly presence: PresenceTracker
  readonly reconciler: Reconciler
  readonly deviceProof: DeviceProof
  readonly rolloutId: (number: number) => string
  readonly urls: { readonly mqttUrl: string; readonly wsUrl: string }
}

export function createApplication(parts: ApplicationParts): Application {
  const { ledger, changes, keys, repository } = parts
  const shownRelease = (row: StoredRelease) => {
    const path = targetPath(row.model, row.version, MANIFEST_FILE)
    return releaseResource(ledger, row, repository.found().get(path)?.role.name)
  }
  return {
    health: async () => health(parts),
    ...auditTrail(parts),
    ...devices(parts),
    ...createPublishing(parts),
    onlineKeys: async () => shownKeys(keys.signers()),
    async prepareOnlineKeys(roles, actor) {
      const next = await keys.prepare(roles)
      const entry = { actor: actor.name, action: 'create', resource: 'online-keys' }
      const metadata = { roles: roles.join() }
      parts.audit.append({ ...entry, outcome: 'done', metadata }, parts.clock.nowMs())
      await parts.turns.committed()
      return shownKeys(next)
    },
    async listReleases(model) {
      const rows = [...ledger.rows.releases.values()]
      return rows
        .filter((row) => model === undefined || row.model === model)
        .toSorted((a, b) => b.publishedAtMs - a.publishedAtMs)
        .map(shownRelease)
    },
    async getRelease(model, version) {
      const row = ledger.rows.releases.get(releaseName({ model, version }))
      if (row !== undefined) return ok(shownRelease(row))
      return refuse('release.not_found', `There is no release ${model}@${version}.`, {
        next: `linnet release list ${model}`,
      })
    },
    ...createRolloutDesk(parts),
    subscribe: (sinceId, onChange) => changes.subscribe(sinceId, onChange),
  }
}

function shownKeys(signers: OnlineSigners) {
  return ONLINE_ROLES.map((role) => {
    const { key } = signers[role]
    return { role, keyId: keyId(key), key }
  })
}

function health(parts: ApplicationParts): HealthResource {
  const { ledger, ingest, broker, presence, repository, turns } = parts
  const { received, merged, duplicates, refused } = ingest.counts()
  const [root, roles = []] = [repository.root(), repository.roles()?.roles]
  const { clients, refused: refusedByBroker } = broker.stats()
  return {
    status: turns.failing() ? 'degraded' : 'ok',
    fleet: parts.fleet,
    version: parts.version,
    startedAtMs: parts.startedAtMs,
    devices: {
      enrolled: [...ledger.rows.devices.values()].filter(isMember).length,
      online: presence.online(),
    },
    messages: { received, merged, duplicates, refused: { ...refused } },
    broker: { clients, refused: { ...refusedByBroker } },
    rootVersion: root?.version ?? null,
    ...(root !== undefined && { rootExpiresAtMs: root.expiresMs }),
    ...(roles.length > 0 && expiryOf(roles)),
  }
}

/** The role that expires first, and when. */
function expiryOf(roles: readonly WalkedRole[]) {
  const [first] = roles.toSorted((a, b) => a.targets.expiresMs - b.targets.expiresMs)
  return { targetsExpireAtMs: first!.targets.expiresMs, expiringRole: first!.name }
}

function auditTrail({
  audit,
  turns,
  clock,
  store,
}: ApplicationParts): Pick<Application, 'record' | 'recordRefusal' | 'audit'> {
  return {
    async record(entry) {
      audit.append(entry, clock.nowMs())
      await turns.committed()
    },
    recordRefusal: (entry) => audit.refused(entry, clock.nowMs()),
    async audit(after, limit) {
      // The head may name rows of the batch under way.
      const head = audit.head()
      await turns.committed()
      const newest = async () => (await store.audit(limit)).toReversed()
      return {
        entries: await (after === undefined ? newest() : store.auditAfter(after, limit)),
        head,
      }
    },
  }
}

type DeviceOperations = Pick<
  Application,
  | 'createEnrolmentToken'
  | 'enrolmentTokens'
  | 'revokeEnrolmentToken'
  | 'enrol'
  | 'revokeDevice'
  | 'approveDevice'
  | 'listDevices'
  | 'getDevice'
  | 'proveDevice'
  | 'assignmentOf'
  | 'timeFor'
>

function devices(parts: ApplicationParts): DeviceOperations {
  const { membership } = parts
  const committed = async <T>(result: Result<T>): Promise<Result<T>> => {
    await turns.committed()
    return result
  }
  const { ledger, enrolment, turns, clock, changes, store, fleet, reconciler, presence } = parts
  const shown = (row: StoredDevice, notices: Awaited<ReturnType<Store['noticesOf']>>) =>
    deviceResource(ledger, row, {
      fleet,
      desired: reconciler.desired().get(row.device) ?? [],
      unfit: reconciler.unfit().get(row.device),
      lastSeenMs: presence.lastSeenMs(row.device),
      notices: notices.slice(0, NOTICES_MAX).map(({ notice }) => notice),
    })
  const unknown = (device: string) =>
    refuse('device.not_found', `There is no device ${device.slice(0, 64)}.`, {
      next: 'linnet device list',
    })

  return {
    async createEnrolmentToken(options, actor) {
      const created = enrolment.createToken(options, actor, clock.nowMs())
      if (created.ok) await turns.committed()
      return created
    },
    enrolmentTokens: async () =>
      enrolment
        .tokens(clock.nowMs())
        .map((token) => ({ id: tokenId(token), ...shownToken(token) })),
    revokeEnrolmentToken: (id, actor) => committed(enrolment.revokeToken(id, actor, clock.nowMs())),
    revokeDevice: (device, note, actor) =>
      committed(membership.revoke(device, note, actor, clock.nowMs())),
    approveDevice: (device, actor) => committed(membership.approve(device, actor, clock.nowMs())),
    async enrol(body) {
      const enrolled = enrolment.enrol(body, clock.nowMs())
      await turns.committed()
      if (!enrolled.ok) return enrolled
      const { device } = enrolled.value
      changes.note('device', device)
      return ok({ fleet, device, ...parts.urls })
    },
    async listDevices() {
      const newest = await store.noticesOf(undefined, NOTICES_LISTED_MAX)
      return [...ledger.rows.devices.values()].map((row) =>
        shown(
          row,
          newest.filter(({ device }) => device === row.device),
        ),
      )
    },
    async getDevice(device) {
      const row = ledger.rows.devices.get(device)
      if (row === undefined) return unknown(device)
      return ok(shown(row, await store.noticesOf(device, NOTICES_MAX)))
    },
    proveDevice: (device, token) => parts.deviceProof(device, token, clock.nowMs()),
    async assignmentOf(device) {
      const row = ledger.rows.devices.get(device)
      if (row === undefined) return unknown(device)
      const member = requireMember(row)
      if (!member.ok) return member
      const assignment = ledger.stored.assignments.get(device)
      if (assignment !== undefined) return ok(assignment.envelope)
      return refuse('assignment.none', 'Nothing is assigned to this device yet.')
    },
    async timeFor(device, nonce) {
      if (!ledger.rows.devices.has(device)) return unknown(device)
      const time = { fleet, device, nonce, timeMs: clock.nowMs() }
      const signed = signTime(time, [parts.keys.signers().director])
      return signed.ok ? ok(envelopeBytes(signed.value)) : signed
    },
  }
}

function shownToken(token: StoredToken) {
  const { usesLeft, expiresAtMs, labels, staging, createdBy, createdAtMs } = token
  return { usesLeft, expiresAtMs, labels, staging, createdBy, createdAtMs }
}
