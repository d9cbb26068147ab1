/** Qualification on Node: each attempt in a process of its own, the first provider that passes wins. */
import { ok, type Result } from '../../../shared/kernel/result.ts'
import type { ResolvedRelease } from '../../ports.ts'
import type { BatchChoice } from '../batch-settings.ts'
import { capThreads, usableCores } from '../host/usable-cores.ts'
import { runQualifier } from './qualifier-process.ts'
import type { QualifierTask } from './qualifier-protocol.ts'
import { type Qualified, type QualifyOptions, qualifyRelease } from './qualify-release.ts'
import type { ProcessorSettings } from './tune-settings.ts'

export interface QualifyInProcessOptions extends Pick<QualifyOptions, 'profile' | 'artifactPath'> {
  readonly timeMsMax: number
  /** Time to look for faster settings, beyond the proof; 0, the default: none. */
  readonly tuningMs?: number
  readonly signal: AbortSignal
  /** Model hosts that share the cores; default 1. */
  readonly hosts?: number
  /** Proved exactly so on the processor, where that was found before. */
  readonly settings?: ProcessorSettings
  /** Where an optimised model file is tried; absent: none. */
  readonly optimised?: QualifierTask['optimised']
  /** Default: auto. */
  readonly batching?: BatchChoice
  /** Opens the artifacts, where they are encrypted. */
  readonly artifactKey?: Uint8Array | undefined
}

/** What Node and ONNX Runtime need before any session, beside the profile's session memory. */
const PROCESS_MB = 256

/** Errors: those of `qualifyRelease`. */
export async function qualifyInProcess(
  release: ResolvedRelease,
  options: QualifyInProcessOptions,
): Promise<Result<Qualified>> {
  const { profile, artifactPath, artifactKey, timeMsMax, tuningMs = 0, signal } = options
  const { settings, optimised } = options
  const memoryMbMax = PROCESS_MB + profile.limits.sessionMemoryMb
  const limits = { timeMsMax, memoryMbMax, signal }
  const { threadsMax, reason } = capThreads(profile, usableCores(), options.hosts ?? 1)
  const proof = await qualifyRelease(release, {
    profile,
    artifactPath,
    prove: (task) => runQualifier({ ...task, ...(artifactKey && { artifactKey }) }, limits),
    choose: 'first',
    batching: options.batching ?? 'auto',
    onProcessor: {
      ...(tuningMs > 0 && { tuning: { budgetMs: tuningMs, threadsMax } }),
      ...(settings && { settings }),
      ...(optimised && { optimised }),
    },
  })
  return proof.ok && reason !== undefined ? ok(withoutMore(proof.value, profile, reason)) : proof
}

/** More threads, which the profile allows, were not tried, and why. */
function withoutMore(
  qualified: Qualified,
  { limits }: QualifyOptions['profile'],
  reason: string,
): Qualified {
  const { tuning } = qualified.qualification
  if (tuning === undefined) return qualified
  const trial = { options: `threads=${limits.threadsMax}`, outcome: 'skipped' as const }
  const tried = [...tuning.tried, { ...trial, steadyMsP50: null, reason }]
  return {
    ...qualified,
    qualification: { ...qualified.qualification, tuning: { ...tuning, tried } },
  }
}
