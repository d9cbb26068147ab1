/**
 * Telemetry consumers: they connect with a bearer token as their password. Invariant: no connection
 * outlives its token by more than `CHECK_MS`; each token's first login since the start is recorded
 * (a consumer on a bad line comes back all the time).
 */
import type { Identity } from '../../shared/protocol/access.ts'
import type { Actor } from '../application.ts'
import type { Clock } from '../ports.ts'
import type { Broker } from './broker.ts'

export const CHECK_MS = 5_000
/** Twice as many tokens as there may be; past it first logins are recorded anew. */
const RECORDED_MAX = 1_024
const TOKEN = /^lnt_[\w-]{1,128}$/

export interface ConsumerAccessOptions {
  readonly fleet: string
  readonly clock: Pick<Clock, 'after'>
  /** Who holds this secret, if it admits anybody now. */
  admit(secret: string): Actor | undefined
  onLogin(actor: Actor, clientId: string): void
}

export interface ConsumerAccess {
  /** @returns undefined for what is no consumer's password. */
  identify(password: Uint8Array | undefined): Identity | undefined
  /** Ends connections whose tokens have ended. @returns how to stop looking. */
  watch(broker: Pick<Broker, 'onPresence' | 'disconnect'>): () => void
}

export function createConsumerAccess(options: ConsumerAccessOptions): ConsumerAccess {
  const { fleet, clock, admit, onLogin } = options
  /** An identity is made at each login and lives as long as its connection. */
  const secrets = new WeakMap<Identity, string>()
  /** By client id. */
  const connected = new Map<string, string>()
  const recorded = new Set<string>()

  function record(clientId: string, secret: string): void {
    const actor = admit(secret)
    if (actor === undefined || recorded.has(actor.name)) return
    if (recorded.size >= RECORDED_MAX) recorded.clear()
    recorded.add(actor.name)
    onLogin(actor, clientId)
  }

  return {
    identify(password) {
      const secret = Buffer.from(password ?? []).toString('utf8')
      if (!TOKEN.test(secret) || admit(secret) === undefined) return undefined
      const identity: Identity = { kind: 'consumer', fleet }
      secrets.set(identity, secret)
      return identity
    },
    watch(broker) {
      broker.onPresence(({ kind, clientId, identity }) => {
        const secret = secrets.get(identity)
        if (secret === undefined) return
        if (kind === 'disconnected') return void connected.delete(clientId)
        connected.set(clientId, secret)
        record(clientId, secret)
      })
      let cancel = clock.after(CHECK_MS, check)
      function check(): void {
        for (const [clientId, secret] of connected) {
          if (admit(secret) === undefined) void broker.disconnect(clientId, 'token_ended')
        }
        cancel = clock.after(CHECK_MS, check)
      }
      return () => cancel()
    },
  }
}
