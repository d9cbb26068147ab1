/**
 * Qualification of one release on this device, whatever the engine: the execution providers of the
 * profile are tried in its order, each where it may die, until one passes (or all, and the fastest
 * of those that pass is chosen); the record tells what was tried and why not.
 */
import { err, ok, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Qualification } from '../../shared/model/device.ts'
import type { ExecutionProvider, FirmwareProfile } from '../../shared/model/profile.ts'
import type { ResolvedRelease } from '../ports.ts'
import { shortReason } from './admission.ts'
import type { RunSettings } from './host-plan.ts'
import type { Measured, QualifierAnswer, QualifierTask } from './qualifier-protocol.ts'

export interface QualifyOptions {
  readonly profile: FirmwareProfile
  readonly artifactPath: (sha256: string) => string | undefined
  /** Proves one configuration where it may die; a death comes back as a problem. */
  readonly prove: (task: QualifierTask) => Promise<Result<QualifierAnswer>>
  /** `fastest`: all providers are tried, and of those that pass the fastest is chosen. */
  readonly choose: 'first' | 'fastest'
  /** Told after each attempt, for whoever watches. */
  readonly onAttempt?: (attempt: Attempt, measured: Measured | undefined) => void
}

export interface Qualified {
  readonly qualification: Qualification
  readonly settings: RunSettings
}

export type Attempt = Qualification['attempts'][number]
interface Configuration {
  readonly provider: ExecutionProvider
  readonly layout: 'NCHW' | 'NHWC' | null
}
interface Tried {
  readonly configuration: Configuration
  readonly attempt: Attempt
  readonly measured: Measured | undefined
}

const ATTEMPTS_MAX = 16

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
    const answer = await answerTo({ ...task.value, ...configuration }, options)
    if (answer.outcome === 'inadmissible') return err(answer.problem)
    const attempt = attemptOf(configuration, answer)
    const measured = answer.outcome === 'passed' ? answer.measured : undefined
    tried.push({ configuration, attempt, measured })
    options.onAttempt?.(attempt, measured)
    if (answer.outcome === 'refused') last = answer.problem
    if (last?.code === 'qualify.cancelled') break
  }
  const best = fastest(tried)
  const attempts = tried.map(({ attempt, configuration }) =>
    attempt.outcome === 'passed' && configuration === best?.configuration
      ? { ...attempt, outcome: 'chosen' as const }
      : attempt,
  )
  if (best?.measured === undefined || last?.code === 'qualify.cancelled') {
    return refused(attempts, last)
  }
  const { provider, layout } = best.configuration
  const qualification = recordOf(release, provider, attempts, best.measured)
  return ok({ qualification, settings: { threads: best.measured.threads, layout } })
}

/** Another layout is for a provider that is there and wrong. */
function isSettled(
  tried: readonly Tried[],
  choose: QualifyOptions['choose'],
  provider: ExecutionProvider,
): boolean {
  const hasPassed = ({ measured }: Tried): boolean => measured !== undefined
  if (choose === 'first' && tried.some(hasPassed)) return true
  const own = tried.filter(({ configuration }) => configuration.provider === provider)
  return own.some((one) => hasPassed(one) || one.attempt.outcome === 'unavailable')
}

function fastest(tried: readonly Tried[]): Tried | undefined {
  return tried
    .filter(({ measured }) => measured !== undefined)
    .toSorted((a, b) => a.measured!.steadyMsP50 - b.measured!.steadyMsP50)[0]
}

function taskFor(
  { manifest, variant }: ResolvedRelease,
  { artifactPath, profile }: QualifyOptions,
): Result<Omit<QualifierTask, keyof Configuration>> {
  const modelPath = artifactPath(variant.artifact.sha256)
  const goldenPath = artifactPath(variant.golden.sha256)
  if (modelPath === undefined || goldenPath === undefined) {
    return refuse('artifact.missing', 'A file of this release is not on the device.', {
      expected: 'model and golden vectors',
    })
  }
  return ok({ manifest, variant, modelPath, goldenPath, limits: profile.limits })
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

function recordOf(
  { release }: ResolvedRelease,
  chosen: ExecutionProvider,
  attempts: Attempt[],
  measured: Measured,
): Qualification {
  const { goldenDifferenceMax: _, ...figures } = measured
  return { sha256: release.sha256, chosen, attempts, ...figures }
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
