/**
 * What every program that the agent starts and watches does about its end: it lives no longer than
 * the agent, and leaves when the agent says so. The other side is watched-child.ts.
 */

/** To be called by the program's composition root, once. */
export function endWithAgent(): void {
  process.on('disconnect', () => process.exit(0))
  // It may have gone while this program was read; nobody is told of that any more.
  if (!process.connected) process.exit(0)
  // The agent decides when to end; a Ctrl-C in a terminal reaches the whole group.
  process.on('SIGINT', () => undefined)
}
