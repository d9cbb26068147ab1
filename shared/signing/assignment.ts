/**
 * Signing an assignment, and the device's decision whether to take one. Invariant: an assignment is
 * accepted only if signature, device, device key, order, validity and the match with the verified
 * targets all hold; each refusal has its own code. What the device then does is the update
 * machine's matter, and whether a release suits it is `checkReleaseTarget`'s.
 */
import { ok, type Problem, type Result, refuse } from '../kernel/result.ts'
import { sha256Hex } from '../kernel/sha256.ts'
import { type AssignedSlot, type Assignment, assignmentSchema } from '../model/assignment.ts'
import { isSignedBy, type KeySet, openEnvelope, signEnvelope } from './envelope.ts'
import type { Checking, Envelope, SyncSigner } from './keys.ts'

export const ASSIGNMENT_BYTES_MAX = 65_536
const LIMITS = { bytesMax: ASSIGNMENT_BYTES_MAX, depthMax: 8, valuesMax: 4_096 }

/** How far the director's clock may be ahead of the device's. */
export const CLOCK_SKEW_MS_MAX = 300_000

/** The director's keys as root (`x-linnet`) names them. */
export interface TrustedDirector extends KeySet {
  readonly directorEpoch: number
}

/** What the device remembers of the last assignment it accepted. */
export interface LastSeenAssignment {
  readonly directorEpoch: number
  readonly generation: number
  /** As returned in `AcceptedAssignment`. */
  readonly digest: string
}

/** Targets that the TUF client verified; `find` gives undefined for an unknown path. */
export interface VerifiedTargets {
  readonly snapshotVersion: number
  find(target: string): { readonly sha256: string; readonly length: number } | undefined
}

export interface AssignmentInput {
  /** The envelope as received. */
  readonly bytes: Uint8Array
  readonly director: TrustedDirector
  readonly identity: { readonly fleet: string; readonly device: string; readonly deviceKey: string }
  readonly lastSeen?: LastSeenAssignment | undefined
  /** max(device clock, newest verified `issuedAt`). */
  readonly nowMs: number
  /** Omitted only before the first refresh; then nothing may be started on its account. */
  readonly targets?: VerifiedTargets | undefined
}

export interface AcceptedAssignment {
  /** `unchanged`: the very assignment that was accepted last; nothing to do. */
  readonly outcome: 'accepted' | 'unchanged'
  readonly assignment: Assignment
  /** SHA-256 of the canonical form of `signed`. */
  readonly digest: string
}

/** Code `json.not_canonical` when the assignment holds what canonical JSON cannot. */
export function signAssignment(
  assignment: Assignment,
  signers: readonly SyncSigner[],
): Result<Envelope<Assignment>> {
  return signEnvelope(assignment, signers)
}

/**
 * Codes: `assignment.too_large`, `.malformed`, `.signature`, `.device`, `.device_key`, `.epoch`,
 * `.generation`, `.not_yet_valid`, `.expired`, `.snapshot`, `.target_mismatch`.
 */
export function* acceptAssignment(input: AssignmentInput): Checking<Result<AcceptedAssignment>> {
  const opened = openEnvelope(input.bytes, LIMITS)
  if (!opened.ok) return refuseForm(opened.error)
  if (!(yield* isSignedBy(opened.value, input.director))) {
    return refuse('assignment.signature', 'The assignment is not signed by the director.', {
      expected: `${input.director.threshold} of ${[...input.director.keys.keys()].join(', ')}`,
      found: opened.value.signatures.map(({ keyid }) => keyid).join(', ') || 'no signature',
    })
  }
  const parsed = assignmentSchema.safeParse(opened.value.signed)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const found = `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`
    return refuse('assignment.malformed', 'The assignment has not the expected form.', { found })
  }
  const assignment = parsed.data
  const digest = sha256Hex(opened.value.signedBytes)
  const flaw =
    wrongDevice(assignment, input) ??
    wrongOrder(assignment, digest, input) ??
    wrongTime(assignment, input.nowMs) ??
    wrongTargets(assignment, input.targets)
  if (flaw !== undefined) return { ok: false, error: flaw }
  const { lastSeen } = input
  const same =
    lastSeen?.directorEpoch === assignment.directorEpoch &&
    lastSeen.generation === assignment.generation
  return ok({ outcome: same ? 'unchanged' : 'accepted', assignment, digest })
}

function refuseForm(problem: Problem): Result<never> {
  const large = problem.code === 'json.too_large'
  return refuse(large ? 'assignment.too_large' : 'assignment.malformed', problem.message, {
    ...(problem.expected === undefined ? {} : { expected: problem.expected }),
    ...(problem.found === undefined ? {} : { found: problem.found }),
  })
}

function wrongDevice(assignment: Assignment, { identity }: AssignmentInput): Problem | undefined {
  if (assignment.fleet !== identity.fleet || assignment.device !== identity.device) {
    return {
      code: 'assignment.device',
      message: 'The assignment is for another device.',
      expected: `${identity.fleet}/${identity.device}`,
      found: `${assignment.fleet}/${assignment.device}`,
    }
  }
  if (assignment.deviceKey === identity.deviceKey) return undefined
  return {
    code: 'assignment.device_key',
    message: 'The assignment is for another key of this device.',
    expected: identity.deviceKey,
    found: assignment.deviceKey,
  }
}

/** A new epoch forgets the generations of the one before: a thief may have signed the largest. */
function wrongOrder(
  { directorEpoch, generation }: Assignment,
  digest: string,
  { director, lastSeen }: AssignmentInput,
): Problem | undefined {
  const epochMin = Math.max(director.directorEpoch, lastSeen?.directorEpoch ?? 0)
  if (directorEpoch !== director.directorEpoch || directorEpoch < epochMin) {
    return {
      code: 'assignment.epoch',
      message: 'The assignment belongs to another epoch of the director.',
      expected: `${epochMin}`,
      found: `${directorEpoch}`,
    }
  }
  if (lastSeen === undefined || lastSeen.directorEpoch < directorEpoch) return undefined
  if (generation > lastSeen.generation) return undefined
  if (generation === lastSeen.generation && digest === lastSeen.digest) return undefined
  return {
    code: 'assignment.generation',
    message: 'The assignment is older than the accepted one, or differs at the same generation.',
    expected: `more than ${lastSeen.generation}`,
    found: `${generation}`,
  }
}

function wrongTime({ issuedAt, expiresAt }: Assignment, nowMs: number): Problem | undefined {
  if (issuedAt > nowMs + CLOCK_SKEW_MS_MAX) {
    return {
      code: 'assignment.not_yet_valid',
      message: 'The assignment was issued in the future, as this device sees it.',
      expected: `issued at most at ${nowMs + CLOCK_SKEW_MS_MAX} ms`,
      found: `${issuedAt} ms`,
    }
  }
  if (expiresAt > nowMs) return undefined
  return {
    code: 'assignment.expired',
    message: 'The assignment has expired.',
    expected: `valid after ${nowMs} ms`,
    found: `${expiresAt} ms`,
  }
}

function wrongTargets(
  assignment: Assignment,
  targets: VerifiedTargets | undefined,
): Problem | undefined {
  if (targets === undefined) return undefined
  if (targets.snapshotVersion < assignment.minSnapshot) {
    return {
      code: 'assignment.snapshot',
      message: 'The assignment asks for newer release metadata than this device has verified.',
      expected: `snapshot ${assignment.minSnapshot} or newer`,
      found: `snapshot ${targets.snapshotVersion}`,
      next: 'refresh the release metadata and check the assignment again',
    }
  }
  const wrong = assignment.slots.find((slot) => !matches(slot, targets))
  if (wrong === undefined) return undefined
  const signed = targets.find(wrong.target)
  return {
    code: 'assignment.target_mismatch',
    message: `The assignment names a release that the publishers did not sign: ${wrong.target}.`,
    expected: signed === undefined ? 'a signed target' : `${signed.sha256} (${signed.length} B)`,
    found: `${wrong.sha256} (${wrong.length} B)`,
  }
}

function matches(slot: AssignedSlot, targets: VerifiedTargets): boolean {
  if (!slot.target.startsWith(`${slot.model}/`)) return false
  const signed = targets.find(slot.target)
  return signed?.sha256 === slot.sha256 && signed.length === slot.length
}
