/**
 * What devices send, from the queue to the ledger: for each message signature, schema, duplicate
 * check, and what it means (ingest-handlers.ts). Acknowledged after the commit, and only what was
 * taken over or can never be.
 *
 * Invariants: a payload is decoded only after its signature held; a (boot, seq) is taken over at most
 * once; whatever is refused is counted by code and sampled to the log, and never stops the next.
 */
import { ok, type Problem, type Result, toProblem } from '../shared/kernel/result.ts'
import { CODECS, decodeMessage, type MessageOf } from '../shared/protocol/codec.ts'
import { openFrame, openMessage } from '../shared/protocol/frame.ts'
import { checkSync, type SyncVerifier } from '../shared/signing/keys.ts'
import type { Audit } from './audit.ts'
import type { BrokerMessage } from './broker/broker.ts'
import { createTally } from './broker/tally.ts'
import type { StoredDevice } from './db/store.ts'
import type { IngestHandlers, Taken } from './ingest-handlers.ts'
import type { Ledger } from './ledger.ts'
import { isMember } from './membership.ts'
import { createMessageQueue, type Queued, type UpKind } from './message-queue.ts'
import type { Log } from './ports.ts'
import { createSeenLog } from './seen-log.ts'
import type { Director } from './signing/director.ts'
import type { Turns } from './turns.ts'

interface IngestCounts {
  readonly received: number
  readonly merged: number
  readonly duplicates: number
  readonly refused: Readonly<Record<string, number>>
  readonly queued: number
}

export interface Ingest {
  /** Takes a message over or drops it; never throws, never waits. */
  receive(message: BrokerMessage): void
  /** Works off up to `messagesMax` messages; acknowledgements go out with the turn. */
  drain(messagesMax: number, nowMs: number): Promise<void>
  counts(): IngestCounts
}

export interface IngestParts {
  readonly fleet: string
  readonly ledger: Ledger
  readonly turns: Turns
  readonly audit: Audit
  readonly director: Director
  readonly verifier: SyncVerifier
  readonly handlers: IngestHandlers
  readonly log: Log
  /** Development only: frames without a signature are taken for their topic's device. */
  readonly allowUnsigned: boolean
}

export function createIngest(parts: IngestParts): Ingest {
  const { fleet, log, handlers } = parts
  const tally = createTally(log, 'message refused')
  const queue = createMessageQueue(fleet)
  const seen = createSeenLog(parts.ledger)
  let received = 0
  let merged = 0
  let duplicates = 0

  async function work(queued: Queued, acks: Acknowledgements, nowMs: number): Promise<void> {
    const row = parts.ledger.rows.devices.get(queued.device)
    if (row === undefined) return tally.add('ingest.unknown_device', { device: queued.device })
    if (!isMember(row)) return tally.add('ingest.revoked', { device: queued.device })
    const opened = open(queued, row, parts)
    if (!opened.ok) return refused(opened.error, queued, nowMs)
    if (opened.value.kind === 'presence') {
      handlers.presence(row, opened.value.message, nowMs)
      merged++
      return
    }
    const { boot, seq } = opened.value.message
    if (seen.has(queued.device, boot, seq)) {
      // Said again, because the first answer may have been lost.
      acks.add(queued.device, boot, seq)
      duplicates++
      return
    }
    const taken = await handlers.take(row, opened.value, nowMs)
    seen.note(queued.device, boot, seq, nowMs)
    acks.add(queued.device, boot, seq)
    if (taken.ok) merged++
    else refused(taken.error, queued, nowMs)
  }

  function refused(problem: Problem, { device, kind, topic }: Queued, nowMs: number): void {
    const { code, found } = problem
    if (code === 'frame.signature') {
      const entry = { actor: device, action: 'message', resource: topic, outcome: code }
      parts.audit.refused(entry, nowMs)
    }
    tally.add(code, { device, kind, found: found?.slice(0, 200) })
  }

  return {
    receive(message) {
      received++
      const problem = queue.push(message)
      if (problem !== undefined) tally.add(problem.code, { topic: message.topic.slice(0, 120) })
    },
    async drain(messagesMax, nowMs) {
      const acks = createAcknowledgements()
      for (const queued of queue.take(messagesMax)) {
        try {
          await work(queued, acks, nowMs)
        } catch (cause) {
          // Not acknowledged, so the device sends it again; the next message must not wait for it.
          log.error({ problem: toProblem(cause, 'ingest.failed') }, 'message failed')
          tally.add('ingest.failed')
        }
      }
      for (const { device, boot, stored } of acks.list()) {
        const messages = parts.director.acknowledge(device, boot, stored)
        for (const message of messages) parts.turns.send(message)
      }
    },
    counts: () => ({
      received,
      merged,
      duplicates,
      refused: tally.counts(),
      queued: queue.size(),
    }),
  }
}

/** A message whose signature and schema hold. */
type Opened = { readonly kind: 'presence'; readonly message: MessageOf['presence'] } | Taken

/** Errors: `frame.*`, `message.*`, `window.*`. */
function open(queued: Queued, row: StoredDevice, parts: IngestParts): Result<Opened> {
  const { kind, device, topic, payload } = queued
  const address = { fleet: parts.fleet, device, topic }
  if (parts.allowUnsigned) {
    const frame = openFrame(payload, CODECS[kind].bytesMax)
    if (frame.ok && frame.value.signature.length === 0) {
      return tagged(kind, decodeMessage(kind, frame.value.payload))
    }
  }
  const message = checkSync(openMessage(kind, payload, address, row.publicKey), parts.verifier)
  return tagged(kind, message)
}

/** The cast ties kind and message together, which `openMessage` did by its type parameter. */
function tagged(kind: UpKind, message: Result<MessageOf[UpKind]>): Result<Opened> {
  return message.ok ? ok({ kind, message: message.value } as Opened) : message
}

interface Acknowledgements {
  add(device: string, boot: string, seq: number): void
  list(): { device: string; boot: string; stored: number[] }[]
}

function createAcknowledgements(): Acknowledgements {
  const byBoot = new Map<string, { device: string; boot: string; stored: number[] }>()
  return {
    add(device, boot, seq) {
      const key = `${device}/${boot}`
      const known = byBoot.get(key) ?? { device, boot, stored: [] }
      known.stored.push(seq)
      byBoot.set(key, known)
    },
    list: () => [...byBoot.values()],
  }
}
