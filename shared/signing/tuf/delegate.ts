/**
 * Who else may sign what: changes of the delegations in targets metadata (clause 4.5), as data to be
 * signed. Invariant: what is proven is looked for before what is not, `model-*` before `production`
 * before `staging`, so that whoever holds a later role's key never covers an earlier one's target.
 * Unknown fields stay; keys that no role names any more leave.
 */
import { isJsonObject, type Json, type JsonObject, member } from '../canonical-json.ts'
import type { DelegationPlan } from './publish.ts'
import { delegationsOf, nextTargets } from './publish.ts'
import { PRODUCTION_ROLE, STAGING_ROLE } from './release-target.ts'

/** The role whose keys sign the releases of one model. */
export function modelRole(model: string): string {
  return `model-${model}`
}

/** The next version, with this delegation added, or in the place of the one of its name. */
export function withDelegation(
  signed: JsonObject,
  plan: DelegationPlan,
  expiresMs: number,
): JsonObject {
  const before = read(signed)
  const made = read({ delegations: delegationsOf([plan]) })
  const isKept = before.roles.some((role) => nameOf(role) === plan.name)
  const roles = isKept
    ? before.roles.map((role) => (nameOf(role) === plan.name ? made.roles[0]! : role))
    : [...before.roles, ...made.roles]
  return next(signed, { ...before, keys: { ...before.keys, ...made.keys }, roles }, expiresMs)
}

/** The next version without the role: what it signed is no longer listed. */
export function withoutDelegation(signed: JsonObject, name: string, expiresMs: number): JsonObject {
  const before = read(signed)
  const roles = before.roles.filter((role) => nameOf(role) !== name)
  return next(signed, { ...before, roles }, expiresMs)
}

interface Read {
  /** All that `delegations` holds, unknown fields included. */
  readonly object: JsonObject
  readonly keys: JsonObject
  readonly roles: readonly JsonObject[]
}

function read(signed: JsonObject): Read {
  const found = member(signed, 'delegations')
  const object = isJsonObject(found) ? found : {}
  const keys = member(object, 'keys')
  const roles = member(object, 'roles')
  return {
    object,
    keys: isJsonObject(keys) ? keys : {},
    roles: Array.isArray(roles) ? (roles as readonly Json[]).filter(isJsonObject) : [],
  }
}

function next(signed: JsonObject, { object, keys, roles }: Read, expiresMs: number): JsonObject {
  const later = nextTargets(signed, { expiresMs })
  if (roles.length === 0) {
    const { delegations: _, ...alone } = later
    return alone
  }
  const named = new Set(roles.flatMap(keyidsOf))
  const kept = Object.fromEntries(Object.entries(keys).filter(([keyid]) => named.has(keyid)))
  const ordered = roles.toSorted((a, b) => rankOf(nameOf(a)) - rankOf(nameOf(b)))
  return { ...later, delegations: { ...object, keys: kept, roles: ordered } }
}

function rankOf(name: string): number {
  return [PRODUCTION_ROLE, STAGING_ROLE].indexOf(name)
}

function nameOf(role: JsonObject): string {
  const name = member(role, 'name')
  return typeof name === 'string' ? name : ''
}

function keyidsOf(role: JsonObject): string[] {
  const keyids = member(role, 'keyids')
  if (!Array.isArray(keyids)) return []
  return (keyids as readonly Json[]).filter((keyid) => typeof keyid === 'string')
}
