/** Qualification on Node: each attempt in a process of its own, the first provider that passes wins. */
import { availableParallelism } from 'node:os'
import type { Result } from '../../shared/kernel/result.ts'
import type { ResolvedRelease } from '../ports.ts'
import type { BatchChoice } from './batch-settings.ts'
import { runQualifier } from './qualifier-process.ts'
import type { QualifierTask } from './qualifier-protocol.ts'
import { type Qualified, type QualifyOptions, qualifyRelease } from './qualify-release.ts'
import type { ProcessorSettings } from './tune-settings.ts'

export interface QualifyInProcessOptions extends Pick<QualifyOptions, 'profile' | 'artifactPath'> {
  readonly timeMsMax: number
  /** Time to look for faster settings, beyond the proof; 0, the default: none. */
  readonly tuningMs?: number
  readonly signal: AbortSignal
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
export function qualifyInProcess(
  release: ResolvedRelease,
  options: QualifyInProcessOptions,
): Promise<Result<Qualified>> {
  const { profile, artifactPath, artifactKey, timeMsMax, tuningMs = 0, signal } = options
  const { settings, optimised } = options
  const memoryMbMax = PROCESS_MB + profile.limits.sessionMemoryMb
  const limits = { timeMsMax, memoryMbMax, signal }
  const threadsMax = Math.min(profile.limits.threadsMax, availableParallelism())
  return qualifyRelease(release, {
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
}
