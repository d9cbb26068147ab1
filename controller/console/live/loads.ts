/**
 * One function for each thing that can be asked for. Each answers with the changes to the store, to
 * be applied together with the others of its turn, or with undefined when it must be asked again.
 */
import type { Problem, Result } from '../../../shared/kernel/result.ts'
import { client } from './client.ts'
import * as store from './store.ts'

type Apply = () => void
export type Load = () => Promise<Apply | undefined>

export const loadSession: Load = async () => {
  const answer = await client.call('session', {})
  if (answer.ok) {
    return () => {
      store.session.value = answer.value
      store.access.value = 'in'
    }
  }
  return () => {
    store.accessProblem.value = answer.error
    if (isSignedOut(answer.error)) store.access.value = 'out'
    else if (store.access.peek() !== 'in') store.access.value = 'unreachable'
  }
}

export const loadHealth: Load = async () =>
  applied(await client.call('health', {}), (health) => {
    store.health.value = health
  })

export const loadDevices: Load = async () =>
  applied(await client.call('deviceList', {}), ({ devices }) => {
    store.devices.value = devices
  })

export const loadReleases: Load = async () =>
  applied(await client.call('releaseList', {}), ({ releases }) => {
    store.releases.value = releases
  })

export const loadRollouts: Load = async () =>
  applied(await client.call('rolloutList', {}), ({ rollouts }) => {
    store.rollouts.value = rollouts
  })

export const loadDevice =
  (device: string): Load =>
  async () =>
    applied(await client.call('deviceShow', { params: { device } }), (found) => {
      store.devices.value = replace(store.devices.peek(), found, (d) => d.device)
    })

export const loadRollout =
  (id: string): Load =>
  async () =>
    applied(await client.call('rolloutShow', { params: { id } }), (found) => {
      store.rollouts.value = replace(store.rollouts.peek(), found, (r) => r.id)
    })

export const loadDecisions =
  (id: string): Load =>
  async () =>
    applied(await client.call('rolloutDecisions', { params: { id } }), ({ decisions }) => {
      store.decisions.value = new Map(store.decisions.peek()).set(id, decisions)
    })

function applied<T>(answer: Result<T>, apply: (value: T) => void): Apply | undefined {
  if (answer.ok) return () => apply(answer.value)
  const { error } = answer
  if (isSignedOut(error)) return signOut
  // What is gone stays as it was last seen; what could not be answered is asked again.
  return error.code.endsWith('not_found') || error.code.includes('unknown') ? () => {} : undefined
}

function signOut(): void {
  store.access.value = 'out'
}

function isSignedOut(problem: Problem): boolean {
  return problem.code.startsWith('auth.') && problem.code !== 'auth.role'
}

/** The list with this item in place of the one with its key, or at the end. */
function replace<T>(list: readonly T[], item: T, keyOf: (item: T) => string): readonly T[] {
  const at = list.findIndex((other) => keyOf(other) === keyOf(item))
  return at < 0 ? [...list, item] : list.with(at, item)
}
