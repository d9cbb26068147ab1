/**
 * Qualification of one release on this device, whatever the engine: the execution providers of the
 * profile are tried in its order, each where it may die, until one passes (or all, and the fastest
 * of those that pass is chosen); the record tells what was tried and why not.
 *
 * Invariant: what is chosen was proved with the golden vectors in exactly the settings it will have.
 */
import { err, ok, type Problem, type Result, refuse } from '../../../shared/kernel/result.ts'
import type { Qualification } from '../../../shared/model/device.ts'
import type { ExecutionProvider, FirmwareProfile } from '../../../shared/model/profile.ts'
import type { ResolvedRelease } from '../../ports.ts'
import type { BatchChoice } from '../batch-settings.ts'
import type { RunSettings } from '../run-settings.ts'
import { shortReason } from './admission.ts'
import { type Confirmed, confirmTuning, type ProcessorWishes } from './confirm-tuning.ts'
import type { Measured, Passed, QualifierAnswer, QualifierTask } from './qualifier-protocol.ts'
import { describeSettings, type ProcessorSettings } from './tune-settings.ts'

export interface QualifyOptions {
  readonly profile: FirmwareProfile
  readonly artifactPath: (sha256: string) => string | undefined
  /** Proves one configuration where it may die; a death comes back as a problem. */
  readonly prove: (task: QualifierTask) => Promise<Result<QualifierAnswer>>
  /** `fastest`: all providers are tried, and of those that pass the fastest is chosen. */
  readonly choose: 'first' | 'fastest'
  /** What is asked beyond a proof in the default settings, on the processor; absent: nothing. */
  readonly onProcessor?: ProcessorWishes
  /** Whether it is tried, on every provider, to run requests together. */
  readonly batching: BatchChoice
  /** Told after each attempt, for whoever watches. */
  readonly onAttempt?: (attempt: Attempt, measured: Measured | undefined) => void
}

export interface Qualified {
  readonly qualification: Qualification
  readonly settings: RunSettings
  /** The optimised model file that was kept. */
  readonly optimised: { readonly sha256: string; readonly length: number } | null
}

export type Attempt = Qualification['attempts'][number]
interface Configuration {
  readonly provider: ExecutionProvider
  readonly layout: 'NCHW' | 'NHWC' | null
}
interface Tried {
  readonly configuration: Configuration
  readonly attempt: Attempt
  readonly passed: Passed | undefined
}

const ATTEMPTS_MAX = 16
/** What a report takes. */
const TRIALS_MAX = 24

/**
 * Errors: `artifact.*`, `admission.*`, `golden.malformed`, `qualify.crashed`, `qualify.timeout`,
 * `qualify.memory`, `qualify.cancelled`, `qualify.load_failed`, `qualify.run_failed`,
 * `qualify.golden_mismatch`, `qualify.no_provider`.
 */
export async function qualifyRelease(
  release: ResolvedRelease,
  options: QualifyOptions,
): Promise<Result<Qualified>> {
  const task = taskFor(release, options)
  if (!task.ok) return task
  const tried: Tried[] = []
  let last: Problem | undefined
  for (const configuration of configurations(options.profile)) {
    if (isSettled(tried, options.choose, configuration.provider)) continue
    const wishes = configuration.provider === 'cpu' ? options.onProcessor : {}
    const answer = await answerTo({ ...task.value, ...configuration, ...wishes }, options)
    if (answer.outcome === 'inadmissible') return err(answer.problem)
    const attempt = attemptOf(configuration, answer)
    const passed = answer.outcome === 'passed' ? answer : undefined
    tried.push({ configuration, attempt, passed })
    options.onAttempt?.(attempt, passed?.measured)
    if (answer.outcome === 'refused') last = answer.problem
    if (last?.code === 'qualify.cancelled') break
  }
  const best = fastest(tried)
  if (best?.passed === undefined || last?.code === 'qualify.cancelled') {
    return refused(
      tried.map(({ attempt }) => attempt),
      last,
    )
  }
  const { configuration } = best
  const final = await confirmTuning({ ...task.value, ...configuration }, best.passed, {
    prove: (tuned) => answerTo(tuned, options),
    wishes: configuration.provider === 'cpu' ? (options.onProcessor ?? {}) : {},
  })
  if (!final.ok) return final
  const attempts = tried.map(({ attempt, configuration: own }) =>
    own === configuration ? chosenAttempt(attempt, own, final.value.settings) : attempt,
  )
  return ok(qualifiedOf(release, configuration, attempts, final.value))
}

/** Another layout is for a provider that is there and wrong. */
function isSettled(
  tried: readonly Tried[],
  choose: QualifyOptions['choose'],
  provider: ExecutionProvider,
): boolean {
  const hasPassed = ({ passed }: Tried): boolean => passed !== undefined
  if (choose === 'first' && tried.some(hasPassed)) return true
  const own = tried.filter(({ configuration }) => configuration.provider === provider)
  return own.some((one) => hasPassed(one) || one.attempt.outcome === 'unavailable')
}

function fastest(tried: readonly Tried[]): Tried | undefined {
  return tried
    .filter(({ passed }) => passed !== undefined)
    .toSorted((a, b) => a.passed!.measured.steadyMsP50 - b.passed!.measured.steadyMsP50)[0]
}

function taskFor(
  { manifest, variant, unproved }: ResolvedRelease,
  { artifactPath, profile, batching }: QualifyOptions,
): Result<Omit<QualifierTask, keyof Configuration>> {
  const modelPath = artifactPath(variant.artifact.sha256)
  const goldenPath = artifactPath(variant.golden.sha256)
  if (modelPath === undefined || goldenPath === undefined) {
    return refuse('artifact.missing', 'A file of this release is not on the device.', {
      expected: 'model and golden vectors',
    })
  }
  const { limits } = profile
  const wanted = batching === 'auto' ? { batching: true as const } : {}
  const reason = unproved === undefined ? {} : { unproved }
  return ok({ manifest, variant, modelPath, goldenPath, limits, ...wanted, ...reason })
}

/** The default layout of webgpu is wrong for some models; its alternative is tried second. */
function configurations({ executionProviders }: FirmwareProfile): Configuration[] {
  const plain = { layout: null }
  return executionProviders
    .flatMap((provider): Configuration[] =>
      provider === 'webgpu'
        ? [
            { provider, ...plain },
            { provider, layout: 'NCHW' },
          ]
        : [{ provider, ...plain }],
    )
    .slice(0, ATTEMPTS_MAX)
}

/** A process that died is an answer as well. */
async function answerTo(task: QualifierTask, options: QualifyOptions): Promise<QualifierAnswer> {
  const answer = await options.prove(task)
  if (answer.ok) return answer.value
  return { outcome: 'refused', problem: answer.error, goldenDifferenceMax: null }
}

function attemptOf({ provider, layout }: Configuration, answer: QualifierAnswer): Attempt {
  const options = layout === null ? '' : `preferredLayout=${layout}`
  const base = { provider, options, goldenDifferenceMax: null }
  switch (answer.outcome) {
    case 'passed': {
      const { goldenDifferenceMax, threads } = answer.measured
      const named = [options, `threads=${threads}`].filter((text) => text !== '').join(' ')
      return { ...base, options: named, outcome: 'passed', reason: '', goldenDifferenceMax }
    }
    case 'unavailable':
      return { ...base, outcome: 'unavailable', reason: answer.reason.slice(0, 300) }
    case 'inadmissible':
      return { ...base, outcome: 'refused', reason: shortReason(answer.problem) }
    case 'refused': {
      const { problem, goldenDifferenceMax } = answer
      return { ...base, outcome: 'refused', reason: shortReason(problem), goldenDifferenceMax }
    }
  }
}

function chosenAttempt(
  attempt: Attempt,
  { layout }: Configuration,
  settings: ProcessorSettings,
): Attempt {
  const options = layout === null ? [] : [`preferredLayout=${layout}`]
  const named = [...options, describeSettings(settings)].join(' ')
  return { ...attempt, outcome: 'chosen', options: named }
}

function qualifiedOf(
  { release }: ResolvedRelease,
  { provider, layout }: Configuration,
  attempts: Attempt[],
  { passed, settings, tuning, cut }: Confirmed,
): Qualified {
  const { goldenDifferenceMax: _, residentMb, ...figures } = passed.measured
  const { optimised, batching } = passed
  const tried = (tuning?.tried ?? []).map((trial) => ({ ...trial })).slice(0, TRIALS_MAX)
  const qualification: Qualification = {
    ...{ sha256: release.sha256, chosen: provider, attempts, ...figures },
    residentMb: residentMb ?? 0,
    ...(tuning && { tuning: { budgetMs: tuning.budgetMs, spentMs: tuning.spentMs, tried } }),
    ...(optimised && { optimised }),
    ...(batching && { batching: batching.record }),
    ...(cut && { cut: shortReason(cut) }),
  }
  const run = { ...settings, layout, batching: batching?.settings ?? null }
  const file = optimised?.kept ? { sha256: optimised.sha256, length: optimised.length } : null
  return { qualification, settings: run, optimised: file }
}

/** The problem of the provider that came nearest; the others are named beside it. */
function refused(attempts: readonly Attempt[], last: Problem | undefined): Result<never> {
  const tried = attempts.map(({ provider, options, outcome, reason }) =>
    [provider, options, outcome, reason].filter((text) => text !== '').join(' '),
  )
  if (last !== undefined && attempts.length === 1) return err(last)
  return refuse(
    last?.code ?? 'qualify.no_provider',
    last?.message ?? 'No execution provider of the profile is available on this device.',
    {
      expected: last?.expected ?? 'a provider that reproduces the golden outputs',
      found: tried.join('; ').slice(0, 500),
    },
  )
}
