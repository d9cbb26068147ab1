/** Tasks that must not run beside each other: one after the other, in the order in which they came. */

export function createTurns(): <T>(task: () => Promise<T>) => Promise<T> {
  let turn: Promise<unknown> = Promise.resolve()
  return (task) => {
    const done = turn.then(task)
    turn = done.catch(() => undefined)
    return done
  }
}
