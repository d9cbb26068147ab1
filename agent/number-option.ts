/** Numbers as command lines give them. */

/** @returns null where nothing was given, undefined for what is no number over 0 up to `most`. */
export function numberOver0(text: string | undefined, most: number): number | null | undefined {
  if (text === undefined) return null
  const number = Number(text)
  return number > 0 && number <= most ? number : undefined
}

/** A year: models asked less often than that have no use. */
export const IDLE_UNLOAD_S_MAX = 31_536_000
