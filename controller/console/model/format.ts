/** Numbers and times that only a screen shows; the rest is shared/view/words.ts. */

const MINUTE = 60
const HOUR = 3_600
const DAY = 86_400

/** A span as a clock: "04:12", "1:30:00", and from a day on "2 d 04:00:00". */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const two = (value: number) => String(value).padStart(2, '0')
  const rest = `${two(Math.floor((seconds % HOUR) / MINUTE))}:${two(seconds % MINUTE)}`
  if (seconds < HOUR) return rest
  const days = seconds >= DAY ? `${Math.floor(seconds / DAY)} d ` : ''
  return `${days}${two(Math.floor((seconds % DAY) / HOUR))}:${rest}`
}

/** "2026-03-04 14:03:22" in the viewer's time zone. */
export function moment(ms: number): string {
  const d = new Date(ms)
  const two = (value: number) => String(value).padStart(2, '0')
  const day = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`
  return `${day} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`
}

/** The first digits of a digest; the whole is in the title. */
export function shortDigest(sha256: string): string {
  return sha256.slice(0, 12)
}
