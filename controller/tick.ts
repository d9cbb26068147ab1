/**
 * What one tick does, in order: messages, presence, rollouts, the minute's chores; then one batch to
 * the store, and what follows from it to the broker.
 */
import { toProblem } from '../shared/kernel/result.ts'
import { isFinal } from '../shared/rollout/state.ts'
import type { Consumers } from './consumers.ts'
import type { Contributions } from './contributions.ts'
import type { Evidence } from './evidence.ts'
import type { Ingest } from './ingest.ts'
import type { Ledger } from './ledger.ts'
import type { NoticeLimits } from './notice-limits.ts'
import type { Clock, Log } from './ports.ts'
import type { PresenceTracker } from './presence.ts'
import type { Reconciler } from './reconcile.ts'
import type { Repository } from './signing/repository.ts'
import type { Turns } from './turns.ts'
import type { WindowCells } from './window-cells.ts'

const MINUTE_MS = 60_000
/** Messages between two commits: about 30 ms of signatures and schemas, then others get a turn. */
const MESSAGES_PER_TURN_MAX = 64
/** Reconciles are at least so far apart, and the more devices the further: 10,000 take 0.2 s. */
const RECONCILE_GAP_MS = 400
const RECONCILE_GAP_MS_PER_DEVICE = 0.1
/** While something runs, time alone can decide. */
const RECONCILE_RUNNING_MS = 1_000
const RECONCILE_IDLE_MS = 60_000
const WINDOWS_KEPT_MINUTES = 30 * 24 * 60
/** Windows of a minute arrive until so long after it. */
const AGGREGATE_DELAY_MS = 15_000

export interface TickParts {
  readonly clock: Clock
  readonly log: Log
  readonly ledger: Ledger
  readonly turns: Turns
  readonly ingest: Ingest
  readonly presence: PresenceTracker
  readonly evidence: Evidence
  readonly reconciler: Reconciler
  readonly repository: Repository
  readonly cells: WindowCells
  readonly consumers: Consumers
  readonly contributions: Contributions
  readonly noticeLimits: NoticeLimits
  readonly signAuditHead: (nowMs: number) => void
}

/** @returns a function that says whether another tick should follow at once */
export function createTick(parts: TickParts): () => Promise<boolean> {
  const { clock, log, turns, ingest, presence } = parts
  const reconcileIfDue = createReconcileSchedule(parts)
  const chores = createChores(parts)

  return async () => {
    try {
      // What cannot be stored must not pile up: messages wait in their bounded queue.
      if (!turns.failing()) await ingest.drain(MESSAGES_PER_TURN_MAX, clock.nowMs())
      presence.tick(clock.nowMs())
      const more = reconcileIfDue(clock.nowMs())
      chores(clock.nowMs())
      const stored = await turns.run()
      return stored && (more || ingest.counts().queued > 0)
    } catch (cause) {
      log.error({ problem: toProblem(cause, 'controller.tick_failed') }, 'tick failed')
      return false
    }
  }
}

/** @returns true when more assignments wait */
function createReconcileSchedule(parts: TickParts): (nowMs: number) => boolean {
  const { ledger, evidence, reconciler } = parts
  let lastMs = Number.NEGATIVE_INFINITY
  let seen = -1
  let rollouts = ''

  return (nowMs) => {
    const revision = ledger.revision() + evidence.revision()
    const open = [...ledger.rows.rollouts.values()].filter((rollout) => !isFinal(rollout))
    const states = open.map(({ id, state, wave }) => `${id}/${state}/${wave}`).join()
    const everyMs = open.length > 0 ? RECONCILE_RUNNING_MS : RECONCILE_IDLE_MS
    const gapMs = RECONCILE_GAP_MS + RECONCILE_GAP_MS_PER_DEVICE * ledger.rows.devices.size
    const isDue =
      states !== rollouts ||
      nowMs - lastMs >= everyMs ||
      // Somebody set the clock back.
      nowMs < lastMs ||
      (revision !== seen && nowMs - lastMs >= gapMs)
    if (!isDue) return false
    const more = reconciler.run(nowMs)
    lastMs = more ? Number.NEGATIVE_INFINITY : nowMs
    seen = ledger.revision() + evidence.revision()
    rollouts = states
    return more
  }
}

/** Once a minute: signatures that grow old, consumers' aggregates, windows that nobody asks for. */
function createChores(parts: TickParts): (nowMs: number) => void {
  const { repository, cells, consumers, turns, ledger, clock } = parts
  const minuteOf = (nowMs: number) => Math.floor((nowMs - AGGREGATE_DELAY_MS) / MINUTE_MS)
  let minute = minuteOf(clock.nowMs())

  return (nowMs) => {
    const current = minuteOf(nowMs)
    if (current === minute) return
    const finished = current - 1
    minute = current
    repository.refresh(nowMs)
    parts.contributions.forgetFinished()
    parts.signAuditHead(nowMs)
    for (const message of consumers.aggregates(finished, cells.ofMinute(finished))) {
      turns.send(message)
    }
    if (current % 60 !== 0) return
    remind(parts, nowMs)
    ledger.forget({ forgetWindowsBeforeMinute: current - WINDOWS_KEPT_MINUTES })
    parts.noticeLimits.forget(nowMs)
  }
}

const REMIND_TARGETS_MS = 7 * 24 * 60 * MINUTE_MS

/** Offline roles cannot be signed here; whoever reads logs is told long before they expire. */
function remind({ repository, log }: TickParts, nowMs: number): void {
  for (const { name, targets } of repository.roles()?.roles ?? []) {
    if (targets.expiresMs - nowMs > REMIND_TARGETS_MS) continue
    const days = Math.floor((targets.expiresMs - nowMs) / (24 * 60 * MINUTE_MS))
    const next = `linnet release sign --renew --role ${name}`
    log.warn({ next }, `the signed ${name} metadata expire in ${days} days`)
  }
}
