/**
 * The clock of a program, in Node and in browsers alike. Invariant: no delay is ever shortened to
 * nothing, which `setTimeout` does beyond 2^31-1 ms, and setting the wall clock moves no delay.
 */
const TIMER_MS_MAX = 2 ** 31 - 1

export const systemClock = {
  /** Since 1970; people and networks set it, also back. */
  nowMs: (): number => Date.now(),
  /** Only ever grows, at the pace of time; means nothing to anybody else. */
  monotonicMs: (): number => performance.now(),
  /** Runs `task` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, task: () => void): () => void {
    let leftMs = delayMs
    let timer: ReturnType<typeof setTimeout>
    const wait = (): void => {
      const partMs = Math.min(leftMs, TIMER_MS_MAX)
      leftMs -= partMs
      timer = setTimeout(leftMs > 0 ? wait : task, partMs)
    }
    wait()
    return () => clearTimeout(timer)
  },
}
