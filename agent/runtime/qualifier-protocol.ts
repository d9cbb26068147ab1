/**
 * What the agent asks of a qualifier process and what comes back: one process proves one release on
 * one execution provider with one set of options, and ends.
 */
import type { Problem } from '../../shared/kernel/result.ts'
import type { Manifest, Variant } from '../../shared/model/manifest.ts'
import type { ExecutionProvider, FirmwareProfile } from '../../shared/model/profile.ts'

export interface QualifierTask {
  readonly manifest: Manifest
  readonly variant: Variant
  readonly modelPath: string
  readonly goldenPath: string
  readonly provider: ExecutionProvider
  readonly layout: 'NCHW' | 'NHWC' | null
  readonly limits: FirmwareProfile['limits']
}

export interface Measured {
  readonly runtimeVersion: string
  readonly goldenDifferenceMax: number | null
  readonly threads: number
  readonly loadMs: number
  readonly firstRunMs: number
  readonly steadyMsP50: number
  readonly steadyMsP95: number
  readonly residentMb: number
}

export type QualifierAnswer =
  | { readonly outcome: 'passed'; readonly measured: Measured }
  /** The provider is not there: no driver, no library, not in this build. */
  | { readonly outcome: 'unavailable'; readonly reason: string }
  /** The file itself is not acceptable; no other provider can help. */
  | { readonly outcome: 'inadmissible'; readonly problem: Problem }
  | {
      readonly outcome: 'refused'
      readonly problem: Problem
      readonly goldenDifferenceMax: number | null
    }
