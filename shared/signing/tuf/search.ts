/**
 * Finding targets through delegations (clause 5.6.7): a pre-order depth-first search in order of
 * priority. Several paths share what one search has loaded. Invariant: a role counts for a path
 * only under the keys of the role that delegated to it, along a chain that trusts each link for
 * that path.
 */
import { ok, type Result } from '../../kernel/result.ts'
import { type TrustedTargets, updateTargets } from './client.ts'
import type { Delegation } from './delegations.ts'
import type { Tuf } from './effects.ts'
import type { Targets } from './metadata.ts'
import { refuseTuf } from './problems.ts'
import type { TargetFile } from './target-file.ts'

export interface FoundTarget {
  readonly path: string
  readonly file: TargetFile
  /** Who vouches for it: `targets`, then each delegated role down to the one that lists it. */
  readonly roles: readonly string[]
}

/** Code `tuf.target_unknown`, or what was wrong with a delegated role that the search needed. */
export function* findTarget(trusted: TrustedTargets, path: string): Tuf<Result<FoundTarget>> {
  const found = yield* findTargets(trusted, [path])
  if (!found.ok) return found
  return ok(found.value[0]!)
}

/** All of `paths`, in their order, or the first refusal. */
export function* findTargets(
  trusted: TrustedTargets,
  paths: readonly string[],
): Tuf<Result<readonly FoundTarget[]>> {
  const cache: RoleCache = new Map()
  const found: FoundTarget[] = []
  for (const path of paths) {
    const result = yield* searchFor(path, trusted, cache)
    if (!result.ok) return result
    found.push(result.value)
  }
  return ok(found)
}

/**
 * What the roles that may list `like` say of other paths under `prefix`, for each path as a search
 * finds it. A role that cannot be had now is passed over: it tells nothing.
 */
export function* findUnder(
  trusted: TrustedTargets,
  like: string,
  prefix: string,
): Tuf<readonly FoundTarget[]> {
  const cache: RoleCache = new Map()
  const pending: Visit[] = [{ chain: ['targets'], delegation: undefined }]
  const visited = new Set<string>()
  const paths = new Set<string>()
  for (let visit = pending.pop(); visit !== undefined; visit = pending.pop()) {
    const name = visit.chain.at(-1)!
    if (visited.has(name) || visited.size > trusted.limits.rolesVisitedMax) continue
    visited.add(name)
    const role = yield* loadRole(visit, trusted, cache)
    if (!role.ok) continue
    for (const path of role.value.targets.keys()) if (path.startsWith(prefix)) paths.add(path)
    for (const delegation of role.value.delegations?.rolesFor(like) ?? []) {
      pending.push({ chain: [...visit.chain, delegation.name], delegation })
    }
  }
  const found: FoundTarget[] = []
  for (const path of paths) {
    const target = yield* searchFor(path, trusted, cache)
    if (target.ok) found.push(target.value)
  }
  return found
}

/** By chain of roles: another delegator may name other keys for the same role. */
type RoleCache = Map<string, Targets>

interface Visit {
  readonly chain: readonly string[]
  /** Undefined for the top-level role, which is loaded already. */
  readonly delegation: Delegation | undefined
}

function* searchFor(
  path: string,
  trusted: TrustedTargets,
  cache: RoleCache,
): Tuf<Result<FoundTarget>> {
  let pending: Visit[] = [{ chain: ['targets'], delegation: undefined }]
  const visited = new Set<string>()
  for (let visit = pending.pop(); visit !== undefined; visit = pending.pop()) {
    // 5.6.7.1: each role once, so that cycles end; at most so many roles.
    const name = visit.chain.at(-1)!
    if (visited.has(name)) continue
    if (visited.size > trusted.limits.rolesVisitedMax) break
    visited.add(name)
    const role = yield* loadRole(visit, trusted, cache)
    if (!role.ok) return role
    const file = role.value.targets.get(path)
    if (file !== undefined) return ok({ path, file, roles: visit.chain })
    // 5.6.7.2: the delegations in order of appearance, before those that wait already.
    const next: Visit[] = []
    for (const delegation of role.value.delegations?.rolesFor(path) ?? []) {
      next.push({ chain: [...visit.chain, delegation.name], delegation })
      // 5.6.7.2.1: a terminating delegation is the last that is looked at.
      if (!delegation.terminating) continue
      pending = []
      break
    }
    pending.push(...next.reverse())
  }
  return refuseTuf('tuf.target_unknown', `Nobody trusted signed a target ${path.slice(0, 200)}.`)
}

function* loadRole(visit: Visit, trusted: TrustedTargets, cache: RoleCache): Tuf<Result<Targets>> {
  if (visit.delegation === undefined) return ok(trusted.targets)
  const key = JSON.stringify(visit.chain)
  const cached = cache.get(key)
  if (cached !== undefined) return ok(cached)
  const loaded = yield* updateTargets(visit.chain.at(-1)!, visit.delegation.keySet, trusted)
  if (loaded.ok) cache.set(key, loaded.value)
  return loaded
}
