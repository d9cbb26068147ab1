/**
 * Following something that changes: on a terminal the text is repainted, elsewhere what changed is
 * printed. A controller that restarts is waited for; what cannot be reached for a minute is an
 * error.
 */
import { ProblemError, toProblem } from '../../shared/kernel/result.ts'
import type { Context } from './context.ts'

const POLL_MS = 1_000
const UNREACHABLE_MAX_MS = 60_000

export interface WatchLimits<T> {
  /** Ends the watch by itself. */
  readonly until?: (data: T) => boolean
  readonly timeoutMs?: number
}

/**
 * @returns the last data. Errors (thrown): `cli.timeout`, `controller.unreachable` after a minute,
 * any other at once.
 */
export async function watch<T>(
  context: Context,
  load: () => Promise<T>,
  text: (data: T) => string,
  limits: WatchLimits<T> = {},
): Promise<T> {
  const { terminal, json } = context
  let shown = ''
  for await (const data of changes(context, load, limits)) {
    const state = JSON.stringify(data)
    // Ages grow by themselves: on a terminal they are repainted, in a log they are no change.
    if (terminal.isTerminal && !json) terminal.repaint(text(data))
    else if (state !== shown) terminal.print(json ? state : text(data))
    shown = state
    if (limits.until?.(data)) return data
  }
  throw new Error('a watch ends by its data or by an error')
}

/** Polls, bounded in time; talks once when the controller is away. */
export async function* changes<T>(
  { terminal }: Context,
  load: () => Promise<T>,
  { timeoutMs }: Pick<WatchLimits<T>, 'timeoutMs'>,
): AsyncGenerator<T> {
  const startedMs = Date.now()
  let awaySinceMs: number | undefined
  for (;;) {
    try {
      yield await load()
      if (awaySinceMs !== undefined) terminal.say('The controller answers again.')
      awaySinceMs = undefined
    } catch (cause) {
      if (toProblem(cause, '').code !== 'controller.unreachable') throw cause
      if (awaySinceMs === undefined) terminal.say('The controller does not answer; waiting for it.')
      awaySinceMs ??= Date.now()
      if (Date.now() - awaySinceMs > UNREACHABLE_MAX_MS) throw cause
    }
    if (timeoutMs !== undefined && Date.now() - startedMs > timeoutMs) {
      throw new ProblemError({
        code: 'cli.timeout',
        message: 'It is not over within the time given.',
        expected: `an end within ${timeoutMs / 1000} s`,
        next: 'the rollout goes on; give --timeout more seconds to wait longer',
      })
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}
