/**
 * Turns: what changed is stored in one batch, and only then told. A turn is the rows that wait in
 * the ledger, the messages that follow from them, and whoever waits for the commit.
 *
 * Invariant: a message of a turn is published after its batch is committed, never before. A turn
 * that cannot be stored stays and is tried again with what has come since; whoever waits is told so.
 * At most `MESSAGES_MAX` messages wait for the broker: acknowledgements and hints beyond are dropped
 * (devices send again), assignments are not, since there is one per device at most.
 */
import { ProblemError, toProblem } from '../shared/kernel/result.ts'
import type { Broker, OutgoingMessage } from './broker/broker.ts'
import type { Store, StoreChange } from './db/store.ts'
import type { Ledger } from './ledger.ts'
import type { Log } from './ports.ts'

const MESSAGES_MAX = 50_000

interface Waiter {
  readonly resolve: () => void
  readonly reject: (cause: ProblemError) => void
}

export interface Turns {
  /** Publishes once the rows that wait now are stored. */
  send(message: OutgoingMessage): void
  /** Runs once the rows that wait now are stored. */
  afterCommit(task: () => void): void
  /** Resolves once the rows that wait now are stored. @throws ProblemError `store.unavailable` */
  committed(): Promise<void>
  /** One turn. @returns false when the batch could not be stored; it is kept. */
  run(): Promise<boolean>
  /** The last batch could not be stored. */
  failing(): boolean
  dropped(): number
}

export function createTurns(parts: {
  readonly ledger: Ledger
  readonly store: Store
  readonly broker: Broker
  readonly log: Log
  /** Asked for when somebody waits. */
  readonly wake: () => void
}): Turns {
  const { ledger, store, broker, log, wake } = parts
  let messages: OutgoingMessage[] = []
  let tasks: (() => void)[] = []
  let waiters: Waiter[] = []
  /** The batch that failed last. */
  let held: StoreChange[] = []
  let failing = false
  let storing = false
  let dropped = 0
  /** Retained messages that the broker did not take, by topic. */
  const unpublished = new Map<string, OutgoingMessage>()

  async function publish(message: OutgoingMessage): Promise<void> {
    try {
      await broker.publish(message)
      unpublished.delete(message.topic)
    } catch (cause) {
      const { code } = toProblem(cause, 'broker.publish_failed')
      if (message.retain) unpublished.set(message.topic, message)
      else dropped++
      log.debug({ code, topic: message.topic }, 'message not published')
    }
  }

  async function tell(batch: readonly OutgoingMessage[]): Promise<void> {
    const again = [...unpublished.values()]
    for (const message of [...again, ...batch]) await publish(message)
  }

  async function storeBatch(changes: readonly StoreChange[], waiting: readonly Waiter[]) {
    try {
      if (changes.length > 0) await store.write(changes)
      return true
    } catch (cause) {
      const { code, message } = toProblem(cause, 'store.write_failed')
      if (!failing) log.error({ code, rows: changes.length }, message)
      const problem = new ProblemError({
        code: 'store.unavailable',
        message: 'The change is not stored yet; the controller goes on trying.',
        found: message,
      })
      for (const waiter of waiting) waiter.reject(problem)
      return false
    }
  }

  return {
    send(message) {
      if (messages.length < MESSAGES_MAX || message.retain) messages.push(message)
      else dropped++
    },
    afterCommit: (task) => void tasks.push(task),
    committed() {
      if (!storing && held.length + ledger.waiting() === 0) return Promise.resolve()
      wake()
      return new Promise((resolve, reject) => waiters.push({ resolve, reject }))
    },
    async run() {
      const changes = [...held, ...ledger.take()]
      const turn = { messages, tasks, waiters }
      held = []
      messages = []
      tasks = []
      waiters = []
      storing = true
      const stored = await storeBatch(changes, turn.waiters)
      storing = false
      failing = !stored
      if (!stored) {
        held = changes
        messages = [...turn.messages, ...messages]
        tasks = [...turn.tasks, ...tasks]
        return false
      }
      ledger.settle(changes)
      for (const waiter of turn.waiters) waiter.resolve()
      for (const task of turn.tasks) task()
      await tell(turn.messages)
      return true
    },
    failing: () => failing,
    dropped: () => dropped,
  }
}
