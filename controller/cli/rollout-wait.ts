/** Waiting for a rollout: a line for every change, and an exit code that says how it ended. */
import type { RolloutResource } from '../../shared/api/resources.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import type { RolloutCommand } from '../../shared/rollout/state.ts'
import { isEnded, rolloutLine } from '../../shared/view/rollout-view.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit-codes.ts'
import { changes } from './watch.ts'

export interface WaitOptions {
  readonly wait?: boolean
  readonly timeout?: number
}

/** No rollout has so much to say; a reason that names devices might. */
const LINES_MAX = 200

/** What counts as success depends on what was asked for; for the others it is the promotion. */
const GOALS: Partial<Record<RolloutCommand, readonly RolloutResource['state'][]>> = {
  rollback: ['rolled_back'],
  abort: ['aborted'],
  deny: ['aborted'],
  approve: ['ready'],
  pause: ['paused'],
}

/** Sets the exit code to 3 when it ended otherwise than was asked for. */
export async function followRollout(
  context: Context,
  first: RolloutResource,
  options: WaitOptions,
  command: RolloutCommand,
): Promise<void> {
  const goals = GOALS[command] ?? ['promoted']
  const params = { id: first.id }
  const load = async () => unwrap(await context.client.call('rolloutShow', { params }))
  const limits = options.timeout === undefined ? {} : { timeoutMs: options.timeout * 1_000 }
  const told = new Set<string>()
  for await (const rollout of changes(context, load, limits)) {
    const line = rolloutLine(rollout, Date.now())
    // The counts in the reason change with every poll; what it waits for is told once a wave.
    const head = `${line.status.glyph} ${line.status.word}, wave ${line.wave}`
    const topic = `${head}: ${line.reason.replaceAll(/\d+/g, '#')}`
    if (!told.has(topic) && told.size < LINES_MAX) {
      context.terminal.say(`${context.terminal.paint(line.status.tone, head)}: ${line.reason}`)
    }
    told.add(topic)
    if (goals.includes(rollout.state)) return context.show(rollout, resultText)
    if (isEnded(rollout)) {
      process.exitCode = EXIT.rolloutFailed
      return context.show(rollout, resultText)
    }
  }
}

function resultText(rollout: RolloutResource): string {
  const { totals, reason } = rollout
  const { canaryRequests, canaryBad } = totals
  const requests = `${canaryRequests} requests by the candidate, ${canaryBad} of them bad`
  return `${rollout.id} ${rollout.state.replaceAll('_', ' ')}: ${reason.sentence} (${requests})`
}
