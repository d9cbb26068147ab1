/**
 * Builders for the signing tests: keys from numbers, and an assignment that a device would accept.
 */
import { unwrap } from '../../../shared/kernel/result.ts'
import type { Assignment } from '../../../shared/model/assignment.ts'
import { ed25519PrivateKey, nodeSigner } from '../../../shared/node/signer-node.ts'
import {
  type AssignmentInput,
  signAssignment,
  type VerifiedTargets,
} from '../../../shared/signing/assignment.ts'
import { envelopeBytes } from '../../../shared/signing/envelope.ts'
import { keyId, type SyncSigner } from '../../../shared/signing/keys.ts'

/** The same signer for the same number. */
export function signerNumber(n: number): SyncSigner {
  return nodeSigner(ed25519PrivateKey(new Uint8Array(32).fill(n)))
}

export const director = signerNumber(1)
const deviceSigner = signerNumber(2)
export const deviceKey = keyId(deviceSigner.key)
export const nowMs = 1_790_000_000_000

const target = 'motor/1.1.0/fp32.onnx'
const sha256 = 'ab'.repeat(32)

export function buildAssignment(changes: Partial<Assignment> = {}): Assignment {
  return {
    _type: 'assignment',
    specVersion: '1',
    fleet: 'plant',
    device: 'motor-1',
    deviceKey,
    directorEpoch: 3,
    generation: 7,
    minSnapshot: 4,
    issuedAt: nowMs - 1_000,
    expiresAt: nowMs + 86_400_000,
    cohort: null,
    slots: [
      { slot: 'current', model: 'motor', target, sha256, length: 900, trafficShare: 0, shadow: 0 },
    ],
    telemetry: { windowMs: 60_000 },
    rollout: [],
    ...changes,
  }
}

export function signedBytes(
  changes: Partial<Assignment> = {},
  signers: readonly SyncSigner[] = [director],
): Uint8Array {
  return envelopeBytes(unwrap(signAssignment(buildAssignment(changes), signers)))
}

export function targetsWith(
  found: { sha256: string; length: number } | undefined,
): VerifiedTargets {
  return { snapshotVersion: 4, find: (path) => (path === target ? found : undefined) }
}

export function buildInput(changes: Partial<AssignmentInput> = {}): AssignmentInput {
  return {
    bytes: signedBytes(),
    director: {
      directorEpoch: 3,
      threshold: 1,
      keys: new Map([[keyId(director.key), director.key]]),
    },
    identity: { fleet: 'plant', device: 'motor-1', deviceKey },
    nowMs,
    targets: targetsWith({ sha256, length: 900 }),
    ...changes,
  }
}
