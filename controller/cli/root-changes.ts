/**
 * What one root changes against another, for people who bring it into force or take it back. Keys are
 * told by the id that is made from them, since a root may name them as it likes. Versions and expiry
 * always differ and are told elsewhere.
 */
import type { KeySet } from '../../shared/signing/envelope.ts'
import { keyId } from '../../shared/signing/keys.ts'
import { directorOf } from '../../shared/signing/tuf/director.ts'
import type { Root } from '../../shared/signing/tuf/metadata.ts'

/** One line for each key that comes or goes, each threshold and the director's epoch. */
export function rootChanges(before: Root, after: Root): string[] {
  const [old, next] = [before, after].map(setsOf) as [Sets, Sets]
  const lines = [...next].flatMap(([role, set]) => setChanges(role, old.get(role), set))
  const epochs = [before, after].map((root) => {
    const director = directorOf(root)
    return director.ok ? director.value.directorEpoch : 0
  })
  if (epochs[0] !== epochs[1]) lines.push(`~ epoch of the director ${epochs.join(' to ')}`)
  return lines
}

type Sets = ReadonlyMap<string, KeySet>

function setsOf(root: Root): Sets {
  const director = directorOf(root)
  const sets: [string, KeySet][] = Object.entries(root.roles)
  return new Map(director.ok ? [...sets, ['director', director.value]] : sets)
}

function setChanges(role: string, before: KeySet | undefined, after: KeySet): string[] {
  const idsOf = (set: KeySet | undefined) => [...(set?.keys.values() ?? [])].map(keyId)
  const [old, next] = [idsOf(before), idsOf(after)]
  const lines = [
    ...next.filter((id) => !old.includes(id)).map((id) => `+ key of ${role} ${id}`),
    ...old.filter((id) => !next.includes(id)).map((id) => `- key of ${role} ${id}`),
  ]
  if (before?.threshold !== after.threshold) {
    lines.push(`~ signatures of ${role} ${before?.threshold ?? 0} to ${after.threshold}`)
  }
  return lines
}
