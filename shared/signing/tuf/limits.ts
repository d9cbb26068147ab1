/** Limits of the client: what a repository may make it download, parse and visit. */
import type { JsonLimits } from '../canonical-json.ts'

export interface TufLimits {
  /** W of clause 5.3.3. */
  readonly rootBytesMax: number
  /** Y of clause 5.3.3: how many roots one update may follow. */
  readonly rootRotationsMax: number
  /** X of clause 5.4.1. */
  readonly timestampBytesMax: number
  /** Y of clause 5.5.1, where the timestamp gives no length. */
  readonly snapshotBytesMax: number
  /** Z of clause 5.6.1, where the snapshot gives no length. */
  readonly targetsBytesMax: number
  /** Roles that one search may visit (clause 5.6.7.1). */
  readonly rolesVisitedMax: number
}

export const defaultTufLimits: TufLimits = {
  rootBytesMax: 524_288,
  rootRotationsMax: 1_024,
  timestampBytesMax: 65_536,
  snapshotBytesMax: 1_048_576,
  targetsBytesMax: 1_048_576,
  rolesVisitedMax: 32,
}

/**
 * Deep enough for custom data; enough values for a snapshot of 2^14 bins (TAP 15), or for 2,700
 * targets of a release, 12 values each. Larger fleets delegate. The worst file within these limits
 * is refused in 50 ms.
 */
export function jsonLimits(bytesMax: number): JsonLimits {
  return { bytesMax, depthMax: 32, valuesMax: 33_000 }
}
