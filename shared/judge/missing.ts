/** What a verdict that holds still lacks, for each profile and unit, and in one sentence. */
import { whole } from './sentence.ts'
import type { Verdict, VerdictReason } from './verdict.ts'

const LISTED_MAX = 4

/** The most of one unit that any metric of one profile (`*`: all together) still lacks. */
export interface Missing {
  readonly profile: string
  /** null where more data would not decide it. */
  readonly needed: VerdictReason['needed']
}

/** All together first, then profiles by name; what no data would decide stands as well. */
export function missingOf({ reasons }: Pick<Verdict, 'reasons'>): Missing[] {
  const most = new Map<string, Missing>()
  for (const { outcome, metric, profile, needed } of reasons) {
    if (outcome !== 'undecided' || metric === 'freshness') continue
    const key = `${profile} ${needed?.unit ?? ''}`
    const known = most.get(key)?.needed?.count ?? 0
    if (needed === null || needed.count > known) most.set(key, { profile, needed })
  }
  return [...most].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, missing]) => missing)
}

/** The verdict's own sentence, and what is missing besides that. */
export function missingSentence(verdict: Pick<Verdict, 'sentence' | 'reasons'>): string {
  const head = verdict.reasons.find(({ sentence }) => sentence === verdict.sentence)
  const others = missingOf(verdict).filter(
    ({ profile, needed }) =>
      profile !== head?.profile ||
      needed?.unit !== head.needed?.unit ||
      (needed?.count ?? 0) > (head.needed?.count ?? 0),
  )
  if (others.length === 0) return verdict.sentence
  const listed = others.slice(0, LISTED_MAX).map(missingWords)
  const left = others.length - listed.length
  const rest = left === 0 ? '' : ` and ${left} more`
  return `${verdict.sentence} Missing besides: ${listed.join(', ')}${rest}.`
}

/** `about 49 more requests of raspberry-pi-5`. */
export function missingWords({ profile, needed }: Missing): string {
  const where = profile === '*' ? 'all profiles together' : profile
  if (needed === null) return `more distance from a limit than ${where} can show`
  const unit = needed.count === 1 ? needed.unit.slice(0, -1) : needed.unit
  return `about ${whole(needed.count)} more ${unit}${profile === '*' ? '' : ` of ${profile}`}`
}
