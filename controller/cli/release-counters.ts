/**
 * Release counters: a device never goes back to a release with a lower one. Invariant: a counter is
 * given once, also when its release was revoked, so the highest of each model stays in the metadata
 * that listed it, under the publisher's signature.
 */
import { isJsonObject, type JsonObject, member } from '../../shared/signing/canonical-json.ts'
import { LINNET_FIELD } from '../../shared/signing/tuf/director.ts'
import type { Targets } from '../../shared/signing/tuf/metadata.ts'
import type { SignedTargets } from './publisher-folder.ts'

type Listed = Targets['targets']

/** Over all roles, since another key may sign: of what is listed, and of what was. 0: none yet. */
export function highestCounter(
  { published, newest }: Record<'published' | 'newest', ReadonlyMap<string, SignedTargets>>,
  model: string,
): number {
  return [...published.values(), ...newest.values()].reduce((highest, { signed, targets }) => {
    const counters = countersOf(targets.targets)
    return Math.max(highest, counters.get(model) ?? 0, keptIn(signed).get(model) ?? 0)
  }, 0)
}

/** The metadata with the counters of what they list no more. */
export function withCountersOf(signed: JsonObject, gone: Listed): JsonObject {
  const kept = keptIn(signed)
  for (const [model, counter] of countersOf(gone)) {
    kept.set(model, Math.max(counter, kept.get(model) ?? 0))
  }
  if (kept.size === 0) return signed
  const before = member(signed, LINNET_FIELD)
  const field = { ...(isJsonObject(before) && before), counters: Object.fromEntries(kept) }
  return { ...signed, [LINNET_FIELD]: field }
}

/** What was listed in these metadata once. */
function keptIn(signed: JsonObject): Map<string, number> {
  const field = member(signed, LINNET_FIELD)
  const counters = isJsonObject(field) ? member(field, 'counters') : undefined
  const entries = isJsonObject(counters) ? Object.entries(counters) : []
  return new Map(entries.flatMap(([model, n]) => (isCounter(n) ? [[model, n]] : [])))
}

function countersOf(listed: Listed): Map<string, number> {
  const counters = new Map<string, number>()
  for (const [path, { custom }] of listed) {
    const [model = ''] = path.split('/')
    const counter = (custom as { releaseCounter?: unknown } | undefined)?.releaseCounter
    if (isCounter(counter)) counters.set(model, Math.max(counter, counters.get(model) ?? 0))
  }
  return counters
}

function isCounter(value: unknown): value is number {
  return Number.isSafeInteger(value)
}
