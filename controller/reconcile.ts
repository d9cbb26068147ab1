/**
 * The only writer of rollout state. It gathers the world, lets the pure `reconcile` decide, and
 * carries the decisions into the ledger: rollouts, records, signed assignments, and the messages that
 * go out once they are stored.
 */

import { utf8 } from '../shared/kernel/bytes.ts'
import type { Problem, Result } from '../shared/kernel/result.ts'
import { releaseName } from '../shared/model/names.ts'
import type { FirmwareProfile } from '../shared/model/profile.ts'
import { formatTopic } from '../shared/protocol/topics.ts'
import type { DesiredModel } from '../shared/rollout/desired.ts'
import { type Decision, decisionsOf, reconcile } from '../shared/rollout/reconcile.ts'
import { isFinal, type Rollout, type RolloutEvent } from '../shared/rollout/state.ts'
import { type RolloutStep, step } from '../shared/rollout/step.ts'
import type { Issue, Issuing, World, WorldDevice } from '../shared/rollout/world.ts'
import type { Audit } from './audit.ts'
import type { Changes } from './changes.ts'
import type { StoredRelease } from './db/store.ts'
import type { Evidence } from './evidence.ts'
import type { Ledger } from './ledger.ts'
import { isMember } from './membership.ts'
import type { PresenceTracker } from './presence.ts'
import type { Director } from './signing/director.ts'
import type { Repository } from './signing/repository.ts'
import type { Turns } from './turns.ts'

export interface ReconcilerOptions {
  /** An assignment is renewed at half of its life. */
  readonly assignmentLifetimeMs: number
  readonly windowMs: number
  readonly issuesPerTurnMax: number
  /** A pulse asks devices to look again within this time. */
  readonly pulseJitterMs: number
}

export interface Reconciler {
  /** One pass. @returns true when more assignments wait than one pass issues. */
  run(nowMs: number): boolean
  /** A person's command, decided at once. Errors: `rollout.not_allowed`. */
  command(
    rollout: Rollout,
    event: Extract<RolloutEvent, { kind: 'command' }>,
    nowMs: number,
  ): Result<RolloutStep>
  /** What every device should run, as of the last pass. */
  desired(): ReadonlyMap<string, readonly DesiredModel[]>
  /** Why a device is not given what it should run, as of the last pass; few have an entry. */
  unfit(): ReadonlyMap<string, readonly Problem[]>
  world(): World
  /** Every assignment as the database has it, for a broker that may have lost them. */
  publishAll(): void
}

export interface ReconcilerParts {
  readonly fleet: string
  readonly ledger: Ledger
  readonly evidence: Evidence
  readonly presence: PresenceTracker
  readonly profiles: ReadonlyMap<string, FirmwareProfile>
  readonly repository: Repository
  readonly director: Director
  readonly turns: Turns
  readonly changes: Changes
  readonly audit: Audit
  readonly options: ReconcilerOptions
  /** Tells consumers of a decision. */
  readonly onDecision: (rollout: Rollout, decision: Decision) => void
}

export function createReconciler(parts: ReconcilerParts): Reconciler {
  const { ledger, evidence, audit, changes, turns, fleet } = parts
  let desired: ReadonlyMap<string, readonly DesiredModel[]> = new Map()
  let unfit: ReadonlyMap<string, readonly Problem[]> = new Map()

  function record(rollout: Rollout, decisions: readonly Decision[]): void {
    ledger.put('rollouts', rollout)
    moveStage(ledger, rollout, parts.repository.unproven())
    turns.afterCommit(() => changes.note('rollout', rollout.id))
    for (const decision of decisions) {
      const { actor, action, atMs, reason } = decision.record
      ledger.put('decisions', { id: ledger.nextId('decision'), ...decision })
      const metadata = { sentence: reason.sentence.slice(0, 500), inputs: decision.inputsDigest }
      const resource = `rollout/${rollout.id}`
      audit.append({ actor, action, resource, outcome: reason.code, metadata }, atMs)
      parts.onDecision(rollout, decision)
      turns.afterCommit(() => changes.note('decision', rollout.id))
    }
  }

  function issue(issued: readonly Issue[]): void {
    const cohorts = new Set<string>()
    for (const one of issued) {
      const row = parts.director.sign(one)
      ledger.put('assignments', row)
      publish(row)
      turns.afterCommit(() => changes.note('device', row.device))
      for (const cohort of [one.formerCohort, row.cohort]) if (cohort !== null) cohorts.add(cohort)
    }
    for (const cohort of cohorts) {
      const payload = utf8(JSON.stringify({ jitterMs: parts.options.pulseJitterMs }))
      const topic = formatTopic('dn/pulse', { fleet, cohort })
      turns.send({ topic, payload, qos: 0, retain: false })
    }
  }

  function publish({ device, envelope }: { device: string; envelope: string }): void {
    const topic = formatTopic('dn/desired', { fleet, device })
    turns.send({ topic, payload: envelope, qos: 1, retain: true })
  }

  function noteUnfit(found: ReadonlyMap<string, readonly Problem[]>): void {
    const codes = (problems: readonly Problem[] = []) => problems.map(({ code }) => code).join()
    for (const device of new Set([...unfit.keys(), ...found.keys()])) {
      if (codes(unfit.get(device)) !== codes(found.get(device))) {
        turns.afterCommit(() => changes.note('device', device))
      }
    }
    unfit = found
  }

  return {
    run(nowMs) {
      const result = reconcile(gather(parts), nowMs)
      desired = result.desired
      noteUnfit(result.problems)
      for (const rollout of result.rollouts) {
        const decisions = result.decisions.filter(
          ({ record: { rollout: id } }) => id === rollout.id,
        )
        record(rollout, decisions)
      }
      issue(result.issues)
      return result.more
    },
    command(rollout, event, nowMs) {
      const stepped = step(rollout, event, nowMs)
      if (!stepped.ok || stepped.value.records.length === 0) return stepped
      const { counts } = evidence.ofWave(rollout.id, rollout.wave)
      record(stepped.value.rollout, decisionsOf(stepped.value.records, counts))
      return stepped
    },
    desired: () => desired,
    unfit: () => unfit,
    world: () => gather(parts),
    publishAll() {
      for (const row of ledger.rows.assignments.values()) {
        const device = ledger.rows.devices.get(row.device)
        if (device !== undefined && isMember(device)) publish(row)
      }
    },
  }
}

function gather({ fleet, ledger, evidence, presence, profiles, ...parts }: ReconcilerParts): World {
  const rollouts = [...ledger.rows.rollouts.values()]
  const running = rollouts.filter((rollout) => !isFinal(rollout))
  const releases = [...ledger.rows.releases.values()].filter(({ stage }) => stage !== 'archived')
  const devices = [...ledger.rows.devices.values()].filter(isMember).map(
    ({ device, deviceKey, facts }): WorldDevice => ({
      device,
      deviceKey,
      facts,
      online: presence.isOnline(device),
      report: ledger.rows.deviceStates.get(device)?.report ?? null,
      issued: ledger.rows.assignments.get(device) ?? null,
    }),
  )
  const counted = countedBy(ledger)
  return {
    fleet,
    devices,
    rollouts,
    releases: new Map(releases.map((row) => [releaseName(row), row.manifest])),
    unproven: parts.repository.unproven(),
    profiles,
    evidence: new Map(
      running.map((rollout) => {
        const countedBy = counted.get(rollout.id) ?? new Set<string>()
        return [rollout.id, { ...evidence.ofWave(rollout.id, rollout.wave), countedBy }]
      }),
    ),
    staleAfterMs: Math.max(60_000, 5 * parts.options.windowMs),
    issuing: issuingOf(parts.repository, parts.options),
  }
}

/** By rollout: the devices that have counted its candidate in the wave that it is in. */
function countedBy(ledger: Ledger): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const { rollout: id, device, counts: rows } of ledger.rows.contributions.values()) {
    const rollout = ledger.rows.rollouts.get(id)
    if (rollout === undefined || isFinal(rollout)) continue
    const hasCounted = rows.some(
      ({ wave, version, counts }) =>
        wave === rollout.wave &&
        version === rollout.spec.candidate &&
        counts.requests + counts.shadowCompared > 0,
    )
    if (hasCounted) found.set(id, (found.get(id) ?? new Set()).add(device))
  }
  return found
}

function issuingOf(repository: Repository, options: ReconcilerOptions): Issuing | null {
  const director = repository.director()
  if (director === undefined) return null
  return {
    directorEpoch: director.directorEpoch,
    minSnapshot: repository.snapshotVersion(),
    lifetimeMs: options.assignmentLifetimeMs,
    windowMs: options.windowMs,
    issuesMax: options.issuesPerTurnMax,
  }
}

/**
 * Stages are moved by rollouts: staging once one has started, production once one was promoted, but
 * never before the release's publishers have brought it there.
 */
function moveStage(ledger: Ledger, { spec, state }: Rollout, unproven: ReadonlySet<string>): void {
  const { model, candidate: version } = spec
  const row = ledger.rows.releases.get(releaseName({ model, version }))
  if (row === undefined || row.stage === 'archived') return
  const after = stageAfter(row.stage, state)
  const stage = after === 'production' && unproven.has(releaseName(row)) ? 'staging' : after
  if (stage !== row.stage) ledger.put('releases', { ...row, stage })
}

function stageAfter(stage: StoredRelease['stage'], state: Rollout['state']) {
  if (state === 'promoted') return 'production'
  if (state === 'rolled_back' || state === 'aborted') return 'registered'
  return stage === 'registered' && state === 'running' ? 'staging' : stage
}
