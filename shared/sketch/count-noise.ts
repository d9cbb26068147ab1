/**
 * Noise on the counts that could tell what single requests held: bins of features, predicted classes,
 * confidences, confusion. A release's signed policy states epsilon, the most that all of them together
 * tell of one request (Dwork & Roth 2014, definition 2.4: the probability of any output changes at
 * most by exp(epsilon) when one request is replaced by another one with the same outcome).
 *
 * Why this way: a request stands once in each table, so replacing it moves one count from a cell to
 * another, sensitivity 2 in a table, and the tables share epsilon equally (basic composition, ibid.
 * theorem 3.14). The two-sided geometric mechanism is the discrete Laplace one and gives whole counts;
 * for a single count no other is of more use to anybody (Ghosh, Roughgarden & Sundararajan 2009). It
 * is drawn with whole numbers alone (Canonne, Kamath & Steinke 2020, algorithms 1 and 2), since
 * rounded logarithms leak (Mironov 2012). What follows it, clamping and moments, uses nothing but the
 * noised counts and exact totals that are told anyway, so it costs no epsilon.
 *
 * Invariant: what a verdict rests on (requests, errors, slow ones, labels, comparisons) stays exact;
 * these and the latencies are outside the promise. Noise is drawn once for an interval: drawn again
 * for the same counts it would average out.
 */
import { assert } from '../kernel/assert.ts'
import type { FeatureReference, Manifest } from '../model/manifest.ts'
import { confusionCells } from './confusion.ts'
import { binnedMoments, type FeatureCounts } from './feature-bins.ts'
import type { Window } from './window.ts'

/** Uniform over the 32-bit numbers, from a source that nobody can foretell. */
export type RandomUint32 = () => number

export interface CountNoise {
  /** Of one request, over all tables. */
  readonly epsilon: number
  /** The window's features, in its order. */
  readonly features: readonly FeatureReference[]
}

/** What a policy means for one release; for people. */
export interface NoiseFacts {
  readonly epsilon: number
  readonly tables: number
  readonly epsilonPerTable: number
  /** Standard deviation of the noise on one count, before clamping. */
  readonly countDeviation: number
}

/** A replaced request leaves one cell and enters another. */
const SENSITIVITY = 2
/** Epsilon counts in thousandths, rounded down. */
const PARTS = 1_000

export function noiseFacts(
  manifest: Pick<Manifest, 'reference' | 'classes' | 'disclosure'>,
): NoiseFacts | undefined {
  const epsilon = manifest.disclosure?.countNoise?.epsilon
  if (epsilon === undefined) return undefined
  const classCount = manifest.classes?.names.length ?? 0
  const confusion = confusionCells(classCount) > 0 ? 1 : 0
  const tables = manifest.reference.length + (classCount > 0 ? 2 : 0) + confusion
  if (tables === 0) return { epsilon, tables, epsilonPerTable: 0, countDeviation: 0 }
  const decay = Math.exp(-epsilon / (SENSITIVITY * tables))
  const countDeviation = Math.sqrt(2 * decay) / (1 - decay)
  return { epsilon, tables, epsilonPerTable: epsilon / tables, countDeviation }
}

/** The window as it may leave the device; pure but for the numbers that it draws. */
export function withCountNoise(window: Window, noise: CountNoise, uint32: RandomUint32): Window {
  const { outputs, labels, n } = window
  const draw = noiseSource(noise.epsilon, tablesOf(window), uint32)
  return {
    ...window,
    features: window.features.map((counts, i) =>
      noisedFeature(counts, noise.features[i]!, n, draw),
    ),
    outputs: {
      ...outputs,
      classCounts: noisedRow(outputs.classCounts, n, draw),
      confidenceBins:
        outputs.classCounts.length === 0
          ? outputs.confidenceBins
          : noisedRow(outputs.confidenceBins, n, draw),
    },
    labels: { ...labels, confusion: noisedRow(labels.confusion, labels.labelled, draw) },
  }
}

function tablesOf({ features, outputs, labels }: Window): number {
  const classes = outputs.classCounts.length === 0 ? 0 : 2
  return features.length + classes + (labels.confusion.length === 0 ? 0 : 1)
}

/** Moments are those of the noised bins. */
function noisedFeature(
  counts: FeatureCounts,
  reference: FeatureReference,
  n: number,
  draw: () => number,
): FeatureCounts {
  const row = noisedRow([...counts.bins, counts.missing, counts.invalid], n, draw)
  const bins = row.slice(0, -2)
  const [missing = 0, invalid = 0] = row.slice(-2)
  return { bins, missing, invalid, ...binnedMoments(bins, reference) }
}

/** Whole counts from 0 on, together at most `total`, as a window must have them. */
function noisedRow(counts: readonly number[], total: number, draw: () => number): number[] {
  const noised = counts.map((count) => Math.max(0, count + draw()))
  const sum = noised.reduce((all, count) => all + count, 0)
  return sum <= total ? noised : noised.map((count) => Math.floor((count * total) / sum))
}

/** Draws from P(z) proportional to exp(-|z| epsilon / (2 tables)). */
function noiseSource(epsilon: number, tables: number, uint32: RandomUint32): () => number {
  const over = Math.floor(epsilon * PARTS)
  const under = PARTS * SENSITIVITY * Math.max(1, tables)
  assert(over > 0, 'epsilon is at least a thousandth')
  const common = greatestDivisor(over, under)
  return () => discreteLaplace(over / common, under / common, uint32)
}

/** P(z) proportional to exp(-|z| over / under), for whole numbers from 1 on. */
export function discreteLaplace(over: number, under: number, uint32: RandomUint32): number {
  for (;;) {
    const rest = uniform(under, uint32)
    if (!isExp(rest, under, uint32)) continue
    let wholes = 0
    while (isExp(1, 1, uint32)) wholes += 1
    const size = Math.floor((rest + under * wholes) / over)
    const isNegative = uniform(2, uint32) === 1
    // Or 0 would come twice as often.
    if (isNegative && size === 0) continue
    return isNegative ? -size : size
  }
}

/** True with probability exp(-part / whole), for 0 <= part <= whole. */
function isExp(part: number, whole: number, uint32: RandomUint32): boolean {
  let k = 1
  while (uniform(whole * k, uint32) < part) k += 1
  return k % 2 === 1
}

function uniform(below: number, uint32: RandomUint32): number {
  assert(below >= 1 && below <= 2 ** 32, 'a draw from 32 bits')
  const limit = 2 ** 32 - (2 ** 32 % below)
  for (;;) {
    const drawn = uint32()
    if (drawn < limit) return drawn % below
  }
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b)
}
