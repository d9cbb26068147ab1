/**
 * The client workflow as data: a generator yields what it needs and a driver answers, at once or
 * later. So one implementation serves Node, browsers and simulation. The generator alone decides;
 * a driver only performs.
 */
import { assert } from '../../kernel/assert.ts'
import type { Problem } from '../../kernel/result.ts'
import {
  after,
  type Checking,
  type SyncVerifier,
  type Verifier,
  type VerifyEffect,
} from '../keys.ts'

type TufEffect =
  /** Reads the trusted file of a role; answered by `loaded`. */
  | { readonly kind: 'load'; readonly role: string }
  /** `path` is relative to the metadata base URL and URL-encoded; answered by a `FetchReply`. */
  | { readonly kind: 'fetch'; readonly path: string; readonly bytesMax: number }
  /** Makes these bytes the trusted file of a role, durably; answered by `done`. */
  | { readonly kind: 'persist'; readonly role: string; readonly bytes: Uint8Array }
  /** Deletes the trusted file of a role; answered by `done`. */
  | { readonly kind: 'forget'; readonly role: string }
  /** Answered by a boolean. */
  | VerifyEffect

export type FetchReply =
  | { readonly kind: 'fetched'; readonly bytes: Uint8Array }
  /** The server says that there is no such file. */
  | { readonly kind: 'absent' }
  /**
   * Anything else, for example too many bytes (`tuf.endless_data`) or no connection; `status` where an
   * HTTP server answered with it.
   */
  | { readonly kind: 'failed'; readonly problem: Problem; readonly status?: number }

type TufReply =
  | boolean
  | FetchReply
  | { readonly kind: 'loaded'; readonly bytes: Uint8Array | undefined }
  | { readonly kind: 'done' }

/** A workflow under way. */
export type Tuf<T> = Generator<TufEffect, T, TufReply>

type Awaitable<T> = T | Promise<T>

/** Where a client keeps its trusted files and gets new ones. */
export interface TufPorts {
  readonly verifier: Verifier
  load(role: string): Awaitable<Uint8Array | undefined>
  readonly fetch: (path: string, bytesMax: number) => Awaitable<FetchReply>
  persist(role: string, bytes: Uint8Array): Awaitable<void>
  forget(role: string): Awaitable<void>
}

/** The same where everything answers at once: simulation, tests. */
export interface SyncTufPorts extends TufPorts {
  readonly verifier: SyncVerifier
  load(role: string): Uint8Array | undefined
  readonly fetch: (path: string, bytesMax: number) => FetchReply
  persist(role: string, bytes: Uint8Array): void
  forget(role: string): void
}

export async function runTufAsync<T>(workflow: Tuf<T>, ports: TufPorts): Promise<T> {
  let step = workflow.next()
  while (!step.done) step = workflow.next(await perform(step.value, ports))
  return step.value
}

export function runTufSync<T>(workflow: Tuf<T>, ports: SyncTufPorts): T {
  let step = workflow.next()
  while (!step.done) {
    const reply = perform(step.value, ports)
    assert(!(reply instanceof Promise), 'synchronous ports answer at once')
    step = workflow.next(reply)
  }
  return step.value
}

const DONE: TufReply = { kind: 'done' }

function perform(effect: TufEffect, ports: TufPorts): Awaitable<TufReply> {
  const { fetch: fetchPath } = ports
  switch (effect.kind) {
    case 'load':
      return after(ports.load(effect.role), (bytes): TufReply => ({ kind: 'loaded', bytes }))
    case 'fetch':
      return fetchPath(effect.path, effect.bytesMax)
    case 'persist':
      return after(ports.persist(effect.role, effect.bytes), () => DONE)
    case 'forget':
      return after(ports.forget(effect.role), () => DONE)
    case 'verify':
      return ports.verifier.verify(effect.key, effect.message, effect.signature)
  }
}

export function* load(role: string): Tuf<Uint8Array | undefined> {
  const reply = yield { kind: 'load', role }
  assert(typeof reply === 'object' && reply.kind === 'loaded', 'load is answered by loaded')
  return reply.bytes
}

export function* fetchFile(path: string, bytesMax: number): Tuf<FetchReply> {
  const reply = yield { kind: 'fetch', path, bytesMax }
  assert(typeof reply === 'object', 'fetch is not answered by a verdict')
  assert(reply.kind !== 'loaded' && reply.kind !== 'done', 'fetch is answered by a FetchReply')
  return reply
}

export function* persist(role: string, bytes: Uint8Array): Tuf<void> {
  yield { kind: 'persist', role, bytes }
}

export function* forget(role: string): Tuf<void> {
  yield { kind: 'forget', role }
}

/** Runs a check of signatures inside a workflow. */
export function* checked<T>(checking: Checking<T>): Tuf<T> {
  let step = checking.next()
  while (!step.done) {
    const reply = yield step.value
    assert(typeof reply === 'boolean', 'verify is answered by a verdict')
    step = checking.next(reply)
  }
  return step.value
}
