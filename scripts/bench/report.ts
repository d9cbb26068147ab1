/** What a benchmark finds: figures, each beside the limit that the product promises. */
import { assert } from '../../shared/kernel/assert.ts'

export interface Figure {
  readonly case: string
  readonly metric: string
  /** The median over the rounds. */
  readonly value: number
  /** Null where no limit is promised: the figure is for reading. */
  readonly limit: number | null
  /** The limit is a least value; else a greatest one. */
  readonly atLeast?: boolean
  readonly min: number
  readonly max: number
}

export interface BenchReport {
  readonly bench: string
  readonly results: readonly Figure[]
}

/** @param values one for each round; at least one: nothing measured meets no limit. */
export function figure(
  name: Pick<Figure, 'case' | 'metric' | 'limit' | 'atLeast'>,
  values: readonly number[],
): Figure {
  assert(values.length > 0, `nothing was measured: ${name.case}, ${name.metric}`)
  const sorted = values.toSorted((a, b) => a - b)
  const rounded = (value: number | undefined): number => Number((value ?? 0).toPrecision(4))
  return {
    ...name,
    value: rounded(median(sorted)),
    min: rounded(sorted[0]),
    max: rounded(sorted.at(-1)),
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  if (sorted.length % 2 === 1) return sorted[middle] ?? 0
  return ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

export function isMet({ value, limit, atLeast }: Figure): boolean {
  if (limit === null) return true
  return atLeast === true ? value >= limit : value <= limit
}
