/** Figures as people read them. */
const UNITS = ['B', 'kB', 'MB'] as const

export function bytesText(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`
}

export function msText(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`
  return `${ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2)} ms`
}

export function percentText(share: number): string {
  return `${(100 * share).toFixed(0)} %`
}

export function differenceText(difference: number | null): string {
  if (difference === null) return '–'
  if (difference === 0) return '0'
  return difference < 0.001 ? difference.toExponential(1) : difference.toFixed(3)
}

/** The first digits of a digest. */
export function shortDigest(hex: string): string {
  return `${hex.slice(0, 8)}…${hex.slice(-4)}`
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
}
