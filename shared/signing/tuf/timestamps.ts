/** Times as metadata write them: ISO 8601 in UTC (clause 4.2.1). Pure: no clock is read. */

const FORM = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:Z|([+-])(\d\d):(\d\d))$/

/**
 * Milliseconds since 1970; undefined for anything but a real date and time. Fractions are dropped;
 * offsets occur in the wild and are understood.
 */
export function parseTime(text: string): number | undefined {
  const match = FORM.exec(text)
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  if (month < 1 || month > 12 || day < 1 || day > daysOf(year, month)) return undefined
  if (hour > 23 || minute > 59 || second > 59 || year < 1000) return undefined
  const offsetMinutes = Number(match[8] ?? 0) * 60 + Number(match[9] ?? 0)
  const sign = match[7] === '-' ? -1 : 1
  return Date.UTC(year, month - 1, day, hour, minute, second) - sign * offsetMinutes * 60_000
}

function daysOf(year: number, month: number): number {
  if (month !== 2) return [4, 6, 9, 11].includes(month) ? 30 : 31
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
}

/**
 * `YYYY-MM-DDTHH:MM:SSZ`, the second that has begun. Civil date from days (proleptic Gregorian).
 */
export function formatTime(timeMs: number): string {
  const seconds = Math.floor(timeMs / 1000)
  const days = Math.floor(seconds / 86_400)
  const [year, month, day] = civilDate(days)
  const rest = seconds - days * 86_400
  const two = (n: number): string => String(n).padStart(2, '0')
  const date = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`
  const time = [Math.floor(rest / 3_600), Math.floor(rest / 60) % 60, rest % 60].map(two).join(':')
  return `${date}T${time}Z`
}

/** Counts 400-year eras from 0000-03-01, so that the leap day ends a year. */
function civilDate(days: number): [number, number, number] {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const leapDays = Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100)
  const dayOfYear = dayOfEra - (365 * yearOfEra + leapDays)
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  return [yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day]
}
