/**
 * All roles that top-level targets delegate to, each verified as the client verifies it, in the order
 * in which a search meets them: for who serves or signs metadata and wants to know what clients will
 * make of them. Finding one target is `search.ts`.
 */
import { ok, type Result } from '../../kernel/result.ts'
import { type TrustedTargets, updateTargets } from './client.ts'
import type { Delegation } from './delegations.ts'
import type { Tuf } from './effects.ts'
import type { Targets } from './metadata.ts'
import { refuseTuf } from './problems.ts'

export interface WalkedRole {
  readonly name: string
  /** The way to it: `targets` first, itself last. */
  readonly chain: readonly string[]
  /** Undefined for `targets`, which root names. */
  readonly delegation: Delegation | undefined
  readonly targets: Targets
  /** Whether every link of the chain trusts this role for the path. */
  readonly trustsPath: (path: string) => boolean
}

export interface Walk {
  readonly roles: readonly WalkedRole[]
  /** Delegated, but not in the repository yet: a search that comes to one of them fails. */
  readonly missing: readonly (Pick<WalkedRole, 'name' | 'trustsPath'> & {
    readonly delegation: Delegation
    /** How many of `roles` a search meets before it. */
    readonly before: number
  })[]
}

/** Many models, each with a role of its own; a search for one target meets few of them. */
const ROLES_MAX = 1_024

/** Each role once. Errors: those of the first role that a client would refuse. */
export function* walkRoles(trusted: TrustedTargets): Tuf<Result<Walk>> {
  const first = { name: 'targets', chain: ['targets'], delegation: undefined }
  const roles: WalkedRole[] = [{ ...first, targets: trusted.targets, trustsPath: () => true }]
  const missing: Walk['missing'][number][] = []
  const pending: [WalkedRole, Delegation][] = []
  const push = (role: WalkedRole) =>
    pending.unshift(
      ...(role.targets.delegations?.roles ?? []).map((to): [WalkedRole, Delegation] => [role, to]),
    )
  push(roles[0]!)
  const seen = new Set(['targets'])
  for (let visit = pending.shift(); visit !== undefined; visit = pending.shift()) {
    const [by, delegation] = visit
    const { name } = delegation
    if (seen.has(name) || seen.size > ROLES_MAX) {
      return refuseTuf('tuf.malformed', 'The delegations are too many, or name a role twice.', {
        expected: `at most ${ROLES_MAX} roles, each once`,
        found: name.slice(0, 80),
      })
    }
    seen.add(name)
    const trustsPath = (path: string) => by.trustsPath(path) && delegation.trustsPath(path)
    if (!trusted.snapshot.meta.has(`${name}.json`)) {
      missing.push({ name, delegation, trustsPath, before: roles.length })
      continue
    }
    const targets = yield* updateTargets(name, delegation.keySet, trusted)
    if (!targets.ok) return targets
    const role = {
      ...{ name, delegation, trustsPath },
      chain: [...by.chain, name],
      targets: targets.value,
    }
    roles.push(role)
    push(role)
  }
  return ok({ roles, missing })
}
