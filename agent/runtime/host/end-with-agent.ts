/**
 * What every program that the agent starts and watches does about its end: it lives no longer than
 * the agent, and leaves when the agent says so. The other side is watched-child.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'

/** Requests under way get this long when the agent says so; less than it waits for this process. */
const CLOSE_MS_MAX = 4_000

/** To be called by the program's composition root, once. */
export function endWithAgent(): void {
  process.on('disconnect', () => process.exit(0))
  // It may have gone while this program was read; nobody is told of that any more.
  if (!process.connected) process.exit(0)
  // The agent decides when to end; a Ctrl-C in a terminal reaches the whole group.
  process.on('SIGINT', () => undefined)
}

/**
 * The end that the agent asked for. `lastWords` are sent whatever becomes of `close`: somebody may
 * never let go of a connection. They have left before this process has.
 */
export async function endInOrder(
  close: () => Promise<void>,
  lastWords: () => void = () => undefined,
): Promise<void> {
  await Promise.race([close(), sleep(CLOSE_MS_MAX)])
  lastWords()
  // Messages go out in order: when this one is written, all are.
  process.send?.({ kind: 'beat' }, undefined, undefined, () => process.exit(0))
}
