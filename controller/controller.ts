/**
 * The controller: everything wired, and the tick that moves it. A tick works off messages, reconciles
 * what changed, stores one batch and tells what follows from it; ticks never overlap.
 *
 * Invariant: all state is in the store; a controller that was killed goes on where its last batch
 * ended, and publishes what the database says before anything else.
 */
import { randomBytes } from 'node:crypto'
import { ProblemError, toProblem } from '../shared/kernel/result.ts'
import type { FirmwareProfile } from '../shared/model/profile.ts'
import type { ControllerState } from '../shared/protocol/messages.ts'
import { formatTopic } from '../shared/protocol/topics.ts'
import { keyId, type SyncVerifier } from '../shared/signing/keys.ts'
import type { Application } from './application.ts'
import { createAudit, noteCutTrail } from './audit.ts'
import type { Broker } from './broker/broker.ts'
import { createChanges } from './changes.ts'
import { createConsumers } from './consumers.ts'
import { createContributions } from './contributions.ts'
import { createApplication } from './create-application.ts'
import type { Store } from './db/store.ts'
import { createDeviceAccess, createDeviceProof, type DeviceAccess } from './device-access.ts'
import { createEnrolmentDesk } from './enrolment.ts'
import { createEvidence } from './evidence.ts'
import { createIngest } from './ingest.ts'
import { createIngestHandlers } from './ingest-handlers.ts'
import { createLedger, type Ledger } from './ledger.ts'
import { createMembershipDesk } from './membership.ts'
import { createNoticeLimits } from './notice-limits.ts'
import type { Clock, Log } from './ports.ts'
import { createPresenceTracker } from './presence.ts'
import { createReconciler, type ReconcilerOptions } from './reconcile.ts'
import type { Blobs } from './signing/blobs.ts'
import { createDirector } from './signing/director.ts'
import type { OnlineKeys } from './signing/online-keys.ts'
import { openRepository } from './signing/repository.ts'
import { createTick } from './tick.ts'
import { createTicker, type Ticker } from './ticker.ts'
import { createTurns } from './turns.ts'
import { createWindowCells } from './window-cells.ts'

/** Told to devices when the controller goes: they come back spread over this time. */
const RETRY_AFTER_MS = 5_000

export interface ControllerOptions {
  readonly fleet: string
  readonly version: string
  /** Its life is the caller's: open before, close after `stop`. */
  readonly store: Store
  readonly blobs: Blobs
  readonly keys: OnlineKeys
  readonly verifier: SyncVerifier
  readonly profiles: ReadonlyMap<string, FirmwareProfile>
  readonly clock: Clock
  readonly log: Log
  /** Called once, with the way to tell devices from others; `stop` closes it. */
  readonly openBroker: (authenticateDevice: DeviceAccess) => Promise<Broker>
  /** Told to devices when they enrol. */
  readonly urls: { readonly mqttUrl: string; readonly wsUrl: string }
  readonly tickMs?: number
  readonly reconcile?: Partial<ReconcilerOptions>
  /** Development only. */
  readonly allowUnsigned?: boolean
  /** `approve`: a token alone admits nobody, an operator has to as well. */
  readonly enrolment?: 'token' | 'approve'
  readonly randomSecret?: () => string
  /** Of the n-th rollout; different each time, since a restored database counts again. */
  readonly rolloutId?: (number: number) => string
}

export interface Controller {
  readonly application: Application
  readonly broker: Broker
  /** Ticks on the clock, and publishes what the database says. */
  start(): Promise<void>
  /** One tick, for tests and simulation that do not `start`. */
  tick(): Promise<void>
  /** Works off what came, stores and tells it, says `offline`, closes the broker. */
  stop(): Promise<void>
}

const RECONCILE_DEFAULTS: ReconcilerOptions = {
  assignmentLifetimeMs: 14 * 86_400_000,
  windowMs: 60_000,
  issuesPerTurnMax: 500,
  pulseJitterMs: 2_000,
}

/** @throws ProblemError `fleet.mismatch` when the database is of another fleet */
export async function createController(options: ControllerOptions): Promise<Controller> {
  const parts = await assemble(options)
  const { clock, log } = options
  const { ticker, turns, broker, ingest, reconciler } = parts
  const epoch = `e${clock.nowMs().toString(36)}`
  const sayState = (status: ControllerState['status']): Promise<void> => {
    const state: ControllerState = { status, epoch, retryAfterMs: RETRY_AFTER_MS }
    const topic = formatTopic('c/state', { fleet: options.fleet })
    const payload = JSON.stringify(state)
    return broker.publish({ topic, payload, qos: 1, retain: true }).catch((cause: unknown) => {
      log.warn({ problem: toProblem(cause, 'broker.publish_failed') }, 'state not published')
    })
  }

  return {
    application: parts.application,
    broker,
    async start() {
      reconciler.publishAll()
      await sayState('online')
      ticker.start()
    },
    tick: () => ticker.tick(),
    async stop() {
      await ticker.stop()
      while (ingest.counts().queued > 0 && !turns.failing()) await ticker.tick()
      await ticker.tick()
      await sayState('offline')
      await broker.close()
    },
  }
}

async function assemble(options: ControllerOptions) {
  const { fleet, store, clock, log, verifier, keys, profiles } = options
  const stored = await store.load()
  const ledger = createLedger(stored)
  claimFleet(ledger, fleet)
  const startedAtMs = clock.nowMs()
  const audit = createAudit(ledger, stored.auditHash, stored.lastIds.audit)
  const access = createDeviceAccess({ fleet, ledger, verifier, audit, startedAtMs })
  const broker = await options.openBroker(access)
  const turns = createTurns({ ledger, store, broker, log, wake: () => ticker.wake() })
  const changes = createChanges(startedAtMs)
  const consumers = createConsumers(fleet)
  const repository = openRepository({ ledger, keys, verifier })
  if (keys.next() === undefined) await keys.keep()
  const director = createDirector(fleet, () => keys.signers().director)
  const presence = createPresenceTracker(ledger, startedAtMs)
  const cells = createWindowCells({ ledger, store })
  const evidence = createEvidence(
    await Promise.all(
      stored.rollouts.map(async (rollout) => ({
        rollout,
        counts: await store.countsOf(rollout.id),
      })),
    ),
  )
  const contributions = createContributions(ledger)
  for (const { device, revokedAtMs } of stored.devices) {
    if (revokedAtMs !== null) contributions.withdraw(device, evidence)
  }
  const base = {
    ...{ fleet, ledger, turns, audit, changes, repository, presence, evidence, clock },
    ...{ contributions, noticeLimits: createNoticeLimits(ledger) },
  }
  const handlers = createIngestHandlers({
    ...base,
    cells,
    onNotice: (device, notice) => turns.send(consumers.noticed(device, notice)),
  })
  const allowUnsigned = options.allowUnsigned ?? false
  const ingest = createIngest({ ...base, director, verifier, handlers, log, allowUnsigned })
  const reconciler = createReconciler({
    ...base,
    profiles,
    director,
    options: { ...RECONCILE_DEFAULTS, ...options.reconcile },
    onDecision: (rollout, decision) => {
      const message = consumers.decided(rollout, decision)
      if (message !== undefined) turns.send(message)
      log.info({ ...decision.record, verdict: undefined }, 'decision')
    },
  })
  const randomSecret = options.randomSecret ?? (() => randomBytes(32).toString('base64url'))
  const needsApproval = options.enrolment === 'approve'
  const admission = { verifier, profiles, randomSecret, needsApproval }
  const enrolment = createEnrolmentDesk({ ...base, ...admission })
  const membership = createMembershipDesk({ ...base, broker })
  const signAuditHead = (nowMs: number) => {
    const { timestamp } = keys.signers()
    audit.signHead(fleet, timestamp, keyId(timestamp.key), nowMs)
  }
  await noteCutTrail(audit, store, startedAtMs)
  signAuditHead(startedAtMs)
  const { version, urls, blobs } = options
  const application = createApplication({
    ...{ ...base, store, broker, blobs, ingest, enrolment, membership, reconciler, keys },
    ...{ version, urls, startedAtMs, signAuditHead },
    rolloutId: options.rolloutId ?? ((number) => `r${number}-${randomSuffix()}`),
    deviceProof: createDeviceProof({ fleet, ledger, verifier, startedAtMs }),
  })
  const parts = {
    ...{ ...base, log, broker, cells, consumers, ingest, reconciler, application },
    signAuditHead,
  }
  const ticker: Ticker = createTicker(clock, options.tickMs ?? 200, createTick(parts))
  broker.onMessage((message) => ingest.receive(message))
  return { ...parts, ticker }
}

/** Five characters to read out, of 32 kinds: no two rollouts of a restored database are mixed up. */
function randomSuffix(): string {
  return [...randomBytes(5)].map((byte) => SUFFIX_CHARACTERS[byte % 32]).join('')
}

const SUFFIX_CHARACTERS = 'abcdefghijkmnpqrstuvwxyz23456789'

/** One database is one fleet: the first controller that opens it says which. */
function claimFleet(ledger: Ledger, fleet: string): void {
  const known = ledger.rows.fleet.get('fleet')?.value
  if (known === undefined) ledger.put('fleet', { key: 'fleet', value: fleet })
  if (known === undefined || known === fleet) return
  throw new ProblemError({
    code: 'fleet.mismatch',
    message: 'This database belongs to another fleet.',
    expected: known,
    found: fleet,
    next: 'start with the fleet of the database, or with another LINNET_HOME',
  })
}
