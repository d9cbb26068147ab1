/**
 * What the embedded broker lets through, decided message by message from the injected rules and the
 * table of topics. Pure: no connection is touched here.
 */

import type { Problem, Result } from '../../shared/kernel/result.ts'
import { type Identity, mayPublish, maySubscribe } from '../../shared/protocol/access.ts'
import { parseTopic } from '../../shared/protocol/topics.ts'
import type { OutgoingMessage, Transport } from './broker.ts'

export interface Credentials {
  readonly clientId: string
  readonly username: string | undefined
  readonly password: Uint8Array | undefined
  readonly transport: Transport
}

/** Who may connect, and what they may do then. Only `authenticate` may look at anything outside. */
export interface AccessPolicy {
  authenticate(credentials: Credentials): Promise<Result<Identity>>
  mayPublish(identity: Identity, topic: string): Result<undefined>
  maySubscribe(identity: Identity, filter: string): Result<undefined>
}

/** The rules of shared/protocol/access.ts with the given way to authenticate. */
export function createAccessPolicy(authenticate: AccessPolicy['authenticate']): AccessPolicy {
  return { authenticate, mayPublish, maySubscribe }
}

export interface IncomingMessage {
  readonly topic: string
  readonly payload: Uint8Array | string
  readonly retain: boolean
  readonly qos: number
}

/** Why a message or a last will must not pass, or undefined. */
export function refuseMessage(
  policy: AccessPolicy,
  identity: Identity,
  message: IncomingMessage,
): Problem | undefined {
  const allowed = policy.mayPublish(identity, message.topic)
  if (!allowed.ok) return allowed.error
  const row = parseTopic(message.topic)?.row
  if (row === undefined) {
    return { code: 'access.topic_unknown', message: 'This is not a topic of Linnet.' }
  }
  const bytes = byteLength(message.payload)
  if (bytes > row.bytesMax) {
    return {
      code: 'message.payload_too_large',
      message: 'The payload is larger than this topic allows.',
      expected: `at most ${row.bytesMax} bytes`,
      found: `${bytes} bytes`,
    }
  }
  if (message.retain && !row.retain) {
    return { code: 'message.retain_refused', message: 'Nothing is retained on this topic.' }
  }
  return undefined
}

/**
 * MQTT 3.1.1 section 3.1.4: a second client with the same id ends the first. Here only the same
 * identity may do that, so that nobody throws a device out under its name; a device, whose id is
 * its own by enrolment, may also take it back from a consumer that chose the same.
 */
export function mayTakeOver(holder: Identity, newcomer: Identity): boolean {
  if (newcomer.kind === 'device') {
    if (holder.kind === 'device') {
      return holder.fleet === newcomer.fleet && holder.device === newcomer.device
    }
    return holder.kind === 'consumer'
  }
  if (newcomer.kind === 'consumer') {
    return holder.kind === 'consumer' && holder.fleet === newcomer.fleet
  }
  return holder.kind === 'controller'
}

/** Why one of our own messages is none: a bug of the caller, the same with every broker. */
export function refuseOutgoing(message: OutgoingMessage): Problem | undefined {
  const { topic, payload } = message
  const row = parseTopic(topic)?.row
  if (row === undefined) {
    return { code: 'broker.topic_unknown', message: 'This is not a topic of Linnet.', found: topic }
  }
  const bytes = byteLength(payload)
  if (bytes <= row.bytesMax) return undefined
  return {
    code: 'broker.payload_too_large',
    message: `The payload for ${topic} is too large.`,
    expected: `at most ${row.bytesMax} bytes`,
    found: `${bytes} bytes`,
  }
}

function byteLength(payload: Uint8Array | string): number {
  return typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length
}
