/**
 * The search for the fastest settings of one release on the processor: threads first, then whether
 * idle threads spin, then the level of graph optimisation. The settings of a round are compared with
 * the best so far by runs that alternate, so that whatever else the machine does hits both.
 *
 * Invariants: what stands is kept unless another is faster by more than a tenth, and not by the noise
 * of a busy machine (a sign test over the pairs of runs); every contender was proved with the golden vectors before its speed counts; the search ends within its budget, but for
 * the comparison under way. Opening sessions and the clock are the caller's.
 */
import type { Problem, Result } from '../../../shared/kernel/result.ts'
import type { TunedOptions } from '../model-session.ts'

/** Settings of a session on the processor; the key `graph` is absent for `all`. */
export interface ProcessorSettings extends TunedOptions {
  readonly threads: number
}

/** A session that gave the golden outputs. */
export interface Contender {
  /** @returns milliseconds of one run. */
  run(): Promise<number>
  release(): Promise<void>
}

export interface TuningBench {
  readonly threadsMax: number
  readonly budgetMs: number
  readonly nowMs: () => number
  /** Loads and proves; what is wrong in these settings comes back as a problem. */
  open(settings: ProcessorSettings): Promise<Result<Contender>>
}

export interface Trial {
  readonly options: string
  readonly outcome: 'chosen' | 'passed' | 'refused' | 'skipped'
  readonly steadyMsP50: number | null
  readonly reason: string
}

export interface Tuning {
  readonly settings: ProcessorSettings
  readonly budgetMs: number
  readonly spentMs: number
  /** What was tried, in order; the first is the default. */
  readonly tried: readonly Trial[]
}

export const DEFAULT_SETTINGS: ProcessorSettings = { threads: 1 }

/** Budget where somebody waits for an application to start. */
export const APPLICATION_TUNING_MS = 2_000

/** What is chosen must be so many times as fast as what it replaces. */
const GAIN_MIN = 1.1
const PAIRS_MIN = 5
const PAIRS_MAX = 100
/** Most time for one comparison. */
const COMPARISON_MS_MAX = 1_500
/** Between these counts the choice is not worth the time. */
const THREAD_COUNTS = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]

interface Best {
  readonly settings: ProcessorSettings
  readonly contender: Contender
}

/** @returns a problem when the default settings themselves cannot be opened. */
export async function tuneSettings(bench: TuningBench): Promise<Result<Tuning>> {
  const startedAtMs = bench.nowMs()
  const leftMs = (): number => bench.budgetMs - (bench.nowMs() - startedAtMs)
  const opened = await bench.open(DEFAULT_SETTINGS)
  if (!opened.ok) return opened
  let best: Best = { settings: DEFAULT_SETTINGS, contender: opened.value }
  const trials = new Map<ProcessorSettings, Trial>()
  try {
    await best.contender.run()
    const defaultMs = await best.contender.run()
    trials.set(best.settings, trialOf(best.settings, 'passed', defaultMs, 'the default'))
    for (const round of ROUNDS) {
      const settings = round(best.settings, bench.threadsMax)
      best = await playRound(bench, best, settings, leftMs, trials)
    }
  } finally {
    await best.contender.release()
  }
  const tried = [...trials].map(([settings, trial]) =>
    settings === best.settings ? { ...trial, outcome: 'chosen' as const } : trial,
  )
  const spentMs = bench.nowMs() - startedAtMs
  return { ok: true, value: { settings: best.settings, budgetMs: bench.budgetMs, spentMs, tried } }
}

/** Each round names what is tried against the best of the round before. */
const ROUNDS: readonly ((best: ProcessorSettings, threadsMax: number) => ProcessorSettings[])[] = [
  (best, threadsMax) => {
    const counts = THREAD_COUNTS.filter((count) => count < threadsMax)
    const all = threadsMax > 1 ? [...counts, threadsMax] : []
    return all.map((threads) => ({ ...best, threads }))
  },
  // A session of one thread has nobody who could spin.
  (best) => (best.threads > 1 ? [{ ...best, spinning: true }] : []),
  (best) => (['extended', 'basic', 'disabled'] as const).map((graph) => ({ ...best, graph })),
]

/** The fastest of a round takes the place of the best, if it gains enough. */
async function playRound(
  bench: TuningBench,
  best: Best,
  round: readonly ProcessorSettings[],
  leftMs: () => number,
  trials: Map<ProcessorSettings, Trial>,
): Promise<Best> {
  let winner = best
  let winnerGain = 0
  for (const settings of round) {
    if (leftMs() <= 0) {
      trials.set(settings, trialOf(settings, 'skipped', null, 'the time for tuning was over'))
      continue
    }
    const opened = await bench.open(settings)
    if (!opened.ok) {
      trials.set(settings, trialOf(settings, 'refused', null, wordsOf(opened.error)))
      continue
    }
    const compared = await compareContenders(best.contender, opened.value, leftMs)
    trials.set(settings, trialOfComparison(settings, best.settings, compared))
    if (compared !== undefined && isFaster(compared) && compared.gain > winnerGain) {
      if (winner !== best) await winner.contender.release()
      winner = { settings, contender: opened.value }
      winnerGain = compared.gain
    } else {
      await opened.value.release()
    }
  }
  if (winner !== best) await best.contender.release()
  return winner
}

/** For a file that ONNX Runtime wrote: what it holds was optimised already. */
export const optimisedSettings = (settings: ProcessorSettings): ProcessorSettings => ({
  ...settings,
  graph: 'disabled',
})

export function sameSettings(a: ProcessorSettings, b: ProcessorSettings): boolean {
  return describeSettings(a) === describeSettings(b)
}

export interface Compared {
  readonly bestMs: number
  readonly otherMs: number
  /** Median of the ratios of neighbouring runs: above 1 the other is faster. */
  readonly gain: number
  readonly pairs: number
  /** Pairs in which the other gained enough. */
  readonly wins: number
}

/** Half of the pairs and two standard deviations more: by chance one comparison of forty says so. */
function isFaster({ wins, pairs }: Compared): boolean {
  return wins >= pairs / 2 + Math.sqrt(pairs)
}

/**
 * Runs that alternate, so that whatever else the machine does hits both.
 * @returns undefined when the time left does not suffice for a fair comparison.
 */
export async function compareContenders(
  best: Contender,
  other: Contender,
  leftMs: () => number,
): Promise<Compared | undefined> {
  // The first runs allocate; they tell how long a pair takes.
  const pairMs = (await best.run()) + (await other.run())
  if (pairMs * PAIRS_MIN > leftMs()) return undefined
  const sliceMs = Math.min(COMPARISON_MS_MAX, leftMs())
  const deadlineMs = leftMs() - sliceMs
  const pairs: { bestMs: number; otherMs: number }[] = []
  while (pairs.length < PAIRS_MAX) {
    const isBestFirst = pairs.length % 2 === 0
    const first = await (isBestFirst ? best : other).run()
    const second = await (isBestFirst ? other : best).run()
    pairs.push(
      isBestFirst ? { bestMs: first, otherMs: second } : { bestMs: second, otherMs: first },
    )
    if (pairs.length >= PAIRS_MIN && leftMs() < deadlineMs) break
  }
  const ratios = pairs.map(({ bestMs, otherMs }) => bestMs / otherMs)
  return {
    bestMs: median(pairs.map(({ bestMs }) => bestMs)),
    otherMs: median(pairs.map(({ otherMs }) => otherMs)),
    gain: median(ratios),
    pairs: ratios.length,
    wins: ratios.filter((ratio) => ratio > GAIN_MIN).length,
  }
}

function trialOfComparison(
  settings: ProcessorSettings,
  best: ProcessorSettings,
  compared: Compared | undefined,
): Trial {
  if (compared === undefined) {
    return trialOf(settings, 'skipped', null, 'the time left did not suffice for a comparison')
  }
  const { bestMs, otherMs, gain, wins, pairs } = compared
  const times = `${otherMs.toFixed(2)} ms against ${bestMs.toFixed(2)} ms of ${describeSettings(best)}`
  const counted = `over ${GAIN_MIN} in ${wins} of ${pairs} pairs`
  const reason = `${gain.toFixed(2)} times as fast, ${counted}: ${times}`
  return trialOf(settings, 'passed', otherMs, reason)
}

function trialOf(
  settings: ProcessorSettings,
  outcome: Trial['outcome'],
  steadyMsP50: number | null,
  reason: string,
): Trial {
  return { options: describeSettings(settings), outcome, steadyMsP50, reason: reason.slice(0, 200) }
}

/** `threads=2 spinning graph=basic`; what is not said is the default. */
export function describeSettings({ threads, spinning, graph }: ProcessorSettings): string {
  const options = [`threads=${threads}`]
  if (spinning === true) options.push('spinning')
  if (graph !== undefined && graph !== 'all') options.push(`graph=${graph}`)
  return options.join(' ')
}

function wordsOf({ message, found }: Problem): string {
  return found === undefined ? message : `${message} Found ${found}`
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
