/** Qualification on Node: each attempt in a process of its own, the first provider that passes wins. */
import type { Result } from '../../shared/kernel/result.ts'
import type { ResolvedRelease } from '../ports.ts'
import { runQualifier } from './qualifier-process.ts'
import { type Qualified, type QualifyOptions, qualifyRelease } from './qualify-release.ts'

export interface QualifyInProcessOptions extends Pick<QualifyOptions, 'profile' | 'artifactPath'> {
  readonly timeMsMax: number
  readonly signal: AbortSignal
}

/** What Node and ONNX Runtime need before any session, beside the profile's session memory. */
const PROCESS_MB = 256

/** Errors: those of `qualifyRelease`. */
export function qualifyInProcess(
  release: ResolvedRelease,
  { profile, artifactPath, timeMsMax, signal }: QualifyInProcessOptions,
): Promise<Result<Qualified>> {
  const memoryMbMax = PROCESS_MB + profile.limits.sessionMemoryMb
  return qualifyRelease(release, {
    profile,
    artifactPath,
    prove: (task) => runQualifier(task, { timeMsMax, memoryMbMax, signal }),
    choose: 'first',
  })
}
