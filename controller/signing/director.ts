/**
 * What the director's key signs: assignments and acknowledgements. Which assignment a device gets is
 * decided by the reconciler; a device takes it only if the publishers signed the release as well.
 */

import { assert } from '../../shared/kernel/assert.ts'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { sealMessage } from '../../shared/protocol/frame.ts'
import { formatTopic } from '../../shared/protocol/topics.ts'
import type { Issue } from '../../shared/rollout/world.ts'
import { signAssignment } from '../../shared/signing/assignment.ts'
import { envelopeBytes } from '../../shared/signing/envelope.ts'
import type { SyncSigner } from '../../shared/signing/keys.ts'
import type { OutgoingMessage } from '../broker/broker.ts'
import type { StoredAssignment } from '../db/store.ts'

/** Sequence numbers in one acknowledgement. */
const STORED_MAX = 256

export interface Director {
  sign(issue: Issue): StoredAssignment
  /** One message for up to 256 numbers; they must be committed. */
  acknowledge(device: string, boot: string, stored: readonly number[]): OutgoingMessage[]
}

/** @param signerNow the director's key, which a new root may change */
export function createDirector(fleet: string, signerNow: () => SyncSigner): Director {
  return {
    sign({ assignment, wantedDigest }) {
      const { device, directorEpoch, generation, cohort, issuedAt, expiresAt } = assignment
      const envelope = fromUtf8(envelopeBytes(unwrap(signAssignment(assignment, [signerNow()]))))
      assert(envelope !== undefined, 'an envelope is JSON text')
      return {
        device,
        directorEpoch,
        generation,
        wantedDigest,
        cohort,
        issuedAtMs: issuedAt,
        expiresAtMs: expiresAt,
        envelope,
      }
    },
    acknowledge(device, boot, stored) {
      const topic = formatTopic('dn/ack', { fleet, device })
      const messages: OutgoingMessage[] = []
      for (let i = 0; i < stored.length; i += STORED_MAX) {
        const part = stored.slice(i, i + STORED_MAX)
        const ack = { fleet, device, boot, stored: part }
        const payload = sealMessage('ack', ack, { fleet, device, topic }, signerNow())
        messages.push({ topic, payload, qos: 0, retain: false })
      }
      return messages
    },
  }
}
