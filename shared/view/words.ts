/**
 * Times, counts and shares as words. Everything relative takes `nowMs`; nothing here has a clock.
 */

const UNITS: readonly (readonly [ms: number, unit: string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
]

/** `4 min`, `2 h 5 min`, `3 d`: the two largest units that say something. */
export function duration(ms: number): string {
  const size = Math.max(0, ms)
  const first = UNITS.findIndex(([unitMs]) => size >= unitMs)
  if (first < 0) return '0 s'
  const [unitMs, unit] = UNITS[first]!
  const text = `${Math.floor(size / unitMs)} ${unit}`
  const next = UNITS[first + 1]
  // Seconds beside minutes matter to who waits; minutes beside days to nobody.
  if (next === undefined || first === 0 || size >= 10 * unitMs) return text
  const rest = Math.floor((size % unitMs) / next[0])
  return rest === 0 ? text : `${text} ${rest} ${next[1]}`
}

export function ago(atMs: number | null, nowMs: number): string {
  if (atMs === null) return 'never'
  return nowMs - atMs < 1_000 ? 'just now' : `${duration(nowMs - atMs)} ago`
}

/** `1 device`, `1,204 devices`. */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${grouped(n)} ${n === 1 ? one : many}`
}

export function grouped(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** A share of 1 in percent, with as many digits as it takes to tell it from its limit. */
export function percent(share: number | null): string {
  if (share === null) return 'no data'
  const value = share * 100
  const digits = value === 0 || Math.abs(value) >= 10 ? 0 : Math.abs(value) >= 1 ? 1 : 2
  return `${Number(value.toFixed(digits))} %`
}

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB'] as const

export function bytes(n: number): string {
  const step = Math.min(3, n < 1 ? 0 : Math.floor(Math.log10(n) / 3))
  const value = n / 1_000 ** step
  return `${step > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${BYTE_UNITS[step]}`
}
