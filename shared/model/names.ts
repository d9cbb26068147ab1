/**
 * The names of things, as they may appear in topics, paths and file names. Everything that takes a
 * name from outside checks it here, so that no name can climb out of a folder or a topic.
 */
import { z } from 'zod'

/** Fleet, device, rollout, cohort: safe as one MQTT level and as one path segment. */
export const idSchema = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected [A-Za-z0-9_-]{1,64}')

/** Model, variant and profile names: lower case, as in file names. */
export const nameSchema = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9_-]{0,62}$/,
    'expected a lower-case name of [a-z0-9_-], up to 63 characters',
  )

/** `MAJOR.MINOR.PATCH`, each below 10^6, no leading zeros. */
export const versionSchema = z
  .string()
  .regex(/^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})$/, 'expected MAJOR.MINOR.PATCH')

export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hex digits')

/** Milliseconds since 1970, as every time in Linnet. */
export const timeMsSchema = z.int().min(0).max(8.64e15)

/** A count that travels: a non-negative safe integer. */
export const countSchema = z.int().min(0)

/** Parts per million: canonical JSON has no fractions. */
export const ppmSchema = z.int().min(0).max(1_000_000)

/** `motor-vibration@1.1.0`: how people and logs name a release. */
export function releaseName(release: { model: string; version: string }): string {
  return `${release.model}@${release.version}`
}

/** Orders versions by their three numbers; negative when `a` is older. */
export function compareVersions(a: string, b: string): number {
  const left = a.split('.').map(Number)
  const right = b.split('.').map(Number)
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** Whether a version that was asked for is this one: Triton's whole numbers stand for `N.0.0`. */
export function isSameVersion(asked: string, version: string): boolean {
  return asked === version || withThreeNumbers(asked) === withThreeNumbers(version)
}

const withThreeNumbers = (version: string): string =>
  /^\d+$/.test(version) ? `${version}.0.0` : version

/** The question that a signed time answers; never the same twice. */
export const timeNonceSchema = z.string().regex(/^[0-9a-f]{32,128}$/)
