/**
 * Everything of ours that reads bytes from strangers, with honest inputs and a judge of changed ones:
 * `refused`, `same` (it means exactly what was signed: a blank more, another spelling) or `accepted`,
 * which must never be. A throw is a crash. For a bounded test, and for `npm run bench -- fuzz`.
 */
import { createPacketGuard } from '../../controller/broker/packet-guard.ts'
import { fromUtf8, utf8 } from '../../shared/kernel/bytes.ts'
import type { Prng } from '../../shared/kernel/prng.ts'
import { type Result, unwrap } from '../../shared/kernel/result.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { openMessage, sealMessage } from '../../shared/protocol/frame.ts'
import { acceptAssignment, signAssignment } from '../../shared/signing/assignment.ts'
import { mintDeviceJwt, verifyDeviceJwt } from '../../shared/signing/device-jwt.ts'
import { checkEnrolment, signEnrolment } from '../../shared/signing/enrolment.ts'
import { envelopeBytes } from '../../shared/signing/envelope.ts'
import { type Checking, checkSync } from '../../shared/signing/keys.ts'
import { acceptTime, signTime } from '../../shared/signing/signed-time.ts'
import { runTufSync } from '../../shared/signing/tuf/effects.ts'
import { findTarget } from '../../shared/signing/tuf/search.ts'
import { buildFacts } from '../fixtures/rollout-builders.ts'
import { buildAssignment, deviceKey, director, nowMs } from '../shared/signing/build-assignment.ts'
import {
  delegationTo,
  TestClient,
  TestRepository,
  targetOf,
  withBareMeta,
} from '../shared/signing/tuf/build-repository.ts'
import { parserSubjects, reportMessage, telemetryMessage } from './fuzz-parsers.ts'
import { keys } from './publisher.ts'

export type FuzzVerdict = 'refused' | 'same' | 'accepted'

export interface FuzzSubject {
  readonly name: string
  readonly honest: readonly Uint8Array[]
  /** @param origin index into `honest` of what was changed. */
  readonly judge: (bytes: Uint8Array, origin: number) => FuzzVerdict
}

/** A few bytes changed, left out, put in or said twice; sometimes cut short or blown up. */
export function mutate(honest: Uint8Array, random: Prng): Uint8Array {
  const bytes = [...honest]
  const times = 1 + random.below(4)
  for (let i = 0; i < times; i++) {
    const at = random.below(bytes.length + 1)
    const count = 1 + random.below(random.chance(0.1) ? 200 : 3)
    const some = Array.from({ length: count }, () => random.below(256))
    const kinds = [
      () => bytes.splice(at, count, ...some),
      () => bytes.splice(at, count),
      () => bytes.splice(at, 0, ...some),
      () => bytes.splice(at, 0, ...bytes.slice(at, at + count)),
      () => bytes.splice(at, 0, ...bracketsOf(random, count)),
      () => bytes.splice(at),
    ]
    // Cutting is rare, since little is left to look at.
    kinds[random.chance(0.1) ? 5 : random.below(5)]!()
  }
  return Uint8Array.from(bytes)
}

const bracketsOf = (random: Prng, count: number): number[] =>
  Array.from({ length: count * 50 }, () => '[{"\\,:0e-'.charCodeAt(random.below(9)))

/** By comparing what the judge came to: honest and changed must mean the same. */
function checkedBy<T>(
  name: string,
  honest: Uint8Array,
  check: (bytes: Uint8Array) => Checking<Result<T>>,
): FuzzSubject {
  const outcome = (bytes: Uint8Array) => checkSync(check(bytes), nodeVerifier)
  const expected = JSON.stringify(unwrap(outcome(honest)))
  return {
    name,
    honest: [honest],
    judge(bytes) {
      const result = outcome(bytes)
      if (!result.ok) return 'refused'
      return JSON.stringify(result.value) === expected ? 'same' : 'accepted'
    },
  }
}

/** A whole update with one file changed, without listed hashes, so that it meets the signatures. */
function metadata(): FuzzSubject {
  const repository = new TestRepository((model) => {
    model.delegations = [delegationTo('A')]
    model.delegated.set('A', { version: 1, targets: [targetOf('x')], delegations: [] })
    model.twist.timestamp = withBareMeta('snapshot.json', 1)
    model.twist.snapshot = (signed) =>
      withBareMeta('A.json', 1)(withBareMeta('targets.json', 1)(signed))
  })
  repository.nextRoot()
  const names = [...repository.files.keys()].filter((name) => name !== '1.root.json')
  const outcome = (): { found: string } | undefined => {
    const client = new TestClient(repository)
    const trusted = client.refresh()
    if (typeof trusted === 'string') return undefined
    const found = runTufSync(findTarget(trusted, 'x'), client.ports)
    if (!found.ok) return undefined
    const { path, file, roles } = found.value
    return { found: JSON.stringify([path, file.length, [...file.hashes], roles]) }
  }
  const expected = outcome()
  return {
    name: 'TUF metadata',
    honest: names.map((name) => repository.files.get(name)!),
    judge(bytes, origin) {
      const name = names[origin]!
      const honest = repository.files.get(name)!
      repository.files.set(name, bytes)
      try {
        const seen = outcome()
        if (seen === undefined) return 'refused'
        return seen.found === expected?.found ? 'same' : 'accepted'
      } finally {
        repository.files.set(name, honest)
      }
    },
  }
}

function assignment(): FuzzSubject {
  const targets = { snapshotVersion: 9, find: () => ({ sha256: 'ab'.repeat(32), length: 1_000 }) }
  const { slots, fleet, device } = buildAssignment()
  const found = { sha256: slots[0]!.sha256, length: slots[0]!.length }
  const honest = envelopeBytes(unwrap(signAssignment(buildAssignment(), [director])))
  return checkedBy('assignments', honest, (bytes) =>
    acceptAssignment({
      ...{ bytes, nowMs, identity: { fleet, device, deviceKey } },
      director: { keys: directorKeys, threshold: 1, directorEpoch: 3 },
      targets: { ...targets, find: () => found },
    }),
  )
}

const directorKeys = new Map(
  unwrap(signAssignment(buildAssignment(), [director])).signatures.map(({ keyid }) => [
    keyid,
    director.key,
  ]),
)

function token(): FuzzSubject {
  const claims = { fleet: 'plant', device: 'd1', use: 'mqtt' as const, nowMs }
  const jti = 'a'.repeat(20)
  const text = mintDeviceJwt({ ...claims, lifetimeMs: 60_000, jti }, keys.device) as string
  return checkedBy('device tokens', utf8(text), (bytes) =>
    verifyDeviceJwt({ ...claims, token: fromUtf8(bytes) ?? '', key: keys.device.key }),
  )
}

function frame(): FuzzSubject {
  const address = { fleet: 'plant', device: 'd1', topic: 'ln1/plant/d/d1/up/state' }
  const message = { status: 'online', boot: 'b', sinceMs: 1 } as const
  const honest = sealMessage('presence', message, address, keys.device) as Uint8Array
  return checkedBy('frames', honest, (bytes) =>
    openMessage('presence', bytes, address, keys.device.key),
  )
}

function signedMessage(kind: 'telemetry' | 'report'): FuzzSubject {
  const topic = `ln1/plant/d/d1/up/${kind}`
  const address = { fleet: 'plant', device: 'd1', topic }
  const message = kind === 'telemetry' ? telemetryMessage : reportMessage
  const honest = sealMessage(kind, message, address, keys.device) as Uint8Array
  return checkedBy(`signed ${kind} messages`, honest, (bytes) =>
    openMessage(kind, bytes, address, keys.device.key),
  )
}

function enrolment(): FuzzSubject {
  const request = { fleet: 'plant', device: 'd1', token: 't', nonce: '00'.repeat(16) }
  const signed = signEnrolment({ ...request, facts: buildFacts() }, keys.device)
  return checkedBy('enrolments', envelopeBytes(unwrap(signed)), checkEnrolment)
}

function time(): FuzzSubject {
  const question = { fleet: 'plant', device: 'd1', nonce: '11'.repeat(16) }
  const signed = signTime({ ...question, timeMs: nowMs }, [director])
  const keySet = { keys: directorKeys, threshold: 1 }
  return checkedBy('signed times', envelopeBytes(unwrap(signed)), (bytes) =>
    acceptTime(bytes, keySet, question),
  )
}

/** Not signed: what passes must only be within the limits. */
function packets(): FuzzSubject {
  const limits = { connectBytesMax: 4_096, packetBytesMax: 262_144 }
  const connect = Uint8Array.of(0x10, 14, 0, 4, 77, 81, 84, 84, 4, 2, 0, 60, 0, 2, 100, 49)
  return {
    name: 'MQTT packets',
    honest: [connect],
    judge(bytes) {
      const answer = createPacketGuard(limits).admit(bytes)
      if ('refused' in answer) return 'refused'
      return answer.bytes <= limits.connectBytesMax ? 'same' : 'accepted'
    },
  }
}

/** Made when asked for: keys and repositories take a while. */
export function fuzzSubjects(): FuzzSubject[] {
  const signed = [metadata(), assignment(), token(), frame(), enrolment(), time()]
  const told = [signedMessage('telemetry'), signedMessage('report')]
  return [...signed, ...told, packets(), ...parserSubjects()]
}
