/**
 * The attackers, as data: who each is, what he can do and does, and what the device must call it.
 * What runs must not change and service must go on in every row; device.test.ts holds that.
 */

import type { Assignment } from '../../shared/model/assignment.ts'
import type { AttackKind } from '../../shared/model/attack.ts'
import { keyId } from '../../shared/signing/keys.ts'
import { dayMs, startMs } from '../shared/signing/tuf/build-repository.ts'
import { type AttackedDevice, serve, signed } from './attacked-device.ts'
import { keys, type Publisher } from './publisher.ts'

export interface Attacker {
  readonly who: string
  readonly does: string
  readonly kind: AttackKind
  readonly code: string
  /** What the device refuses beside it, since the attacker needs it to say something. */
  readonly provokes?: string
  readonly act: (device: AttackedDevice, publisher: Publisher) => Promise<void>
  /** The generation that an honest assignment takes afterwards. */
  readonly nextGeneration?: number
}

const online = 'the controller, its database and all online keys'
const network = 'the network'

/** Has the device look for newer metadata, by an assignment that needs them. */
async function lookBy(device: AttackedDevice, publisher: Publisher): Promise<void> {
  await device.look()
  await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')], { minSnapshot: 2 }))
}

const assigning =
  (name: string, change: Partial<Assignment> = {}, slotChange = {}): Attacker['act'] =>
  (device, publisher) =>
    device.assign(publisher.assignment(2, [publisher.slot(name, slotChange)], change))

export const CONTROLLER_ROWS: readonly Attacker[] = [
  {
    ...{ who: online, does: 'assigns a file that no publisher signed' },
    ...{ kind: 'wrong_assignment', code: 'assignment.target_mismatch' },
    act: assigning('motor@1.1.0', {}, { sha256: '66'.repeat(32) }),
  },
  {
    ...{ who: online, does: 'assigns a signed file of another model' },
    ...{ kind: 'wrong_assignment', code: 'assignment.target_mismatch' },
    act: assigning('camera@1.0.0', {}, { model: 'motor' }),
  },
  {
    ...{ who: online, does: 'assigns an unproven release' },
    ...{ kind: 'wrong_assignment', code: 'release.unproven', nextGeneration: 3 },
    act: assigning('motor@2.0.0'),
  },
  {
    ...{ who: online, does: 'assigns a release for another profile' },
    ...{ kind: 'wrong_assignment', code: 'release.profile', nextGeneration: 3 },
    act: assigning('motor@1.3.0'),
  },
  {
    ...{ who: online, does: 'assigns a release that was superseded when it was signed' },
    ...{ kind: 'rollback', code: 'release.superseded', nextGeneration: 3 },
    act: assigning('motor@0.9.0'),
  },
  {
    ...{ who: online, does: 'signs targets of its own and a snapshot that lists them' },
    ...{ kind: 'arbitrary_software', code: 'tuf.signature' },
    async act(device, publisher) {
      const forged = publisher.make({ version: '6.6.6', releaseCounter: 99 })
      publisher.repository.next((model) => {
        model.targets = [...forged]
        model.signers.targets = [keys.thief, keys.snapshot, keys.timestamp]
      })
      await device.assign(publisher.assignment(2, [publisher.slot('motor@6.6.6')]))
    },
  },
  {
    ...{ who: online, does: 'signs a newer snapshot that lists older targets' },
    ...{ kind: 'rollback', code: 'tuf.rollback' },
    async act(device, publisher) {
      publisher.repository.next()
      await device.look()
      publisher.repository.next((model) => {
        model.versions.targets = 1
      })
      await device.look()
    },
  },
  {
    ...{ who: online, does: 'signs a newer timestamp for an older snapshot' },
    ...{ kind: 'rollback', code: 'tuf.rollback' },
    async act(device, publisher) {
      publisher.repository.next()
      await device.look()
      publisher.repository.next((model) => {
        model.versions.snapshot = 1
      })
      await device.look()
    },
  },
  {
    ...{ who: online, does: 'makes itself the root' },
    ...{ kind: 'arbitrary_software', code: 'tuf.signature' },
    async act(device, publisher) {
      publisher.repository.nextRoot((model) => {
        model.signers.root = [keys.thief]
        model.oldRootSigners = [keys.snapshot, keys.timestamp, keys.director]
      })
      await device.look()
      publisher.repository.files.delete('2.root.json')
    },
  },
  {
    ...{ who: 'the database', does: 'gives the device an assignment that it had before' },
    ...{ kind: 'rollback', code: 'assignment.generation', nextGeneration: 3 },
    async act(device, publisher) {
      const [old, now] = ['motor@1.1.0', 'motor@1.0.0'].map((name) => [publisher.slot(name)])
      await device.assign(publisher.assignment(2, now!))
      await device.assign(publisher.assignment(1, old!))
    },
  },
  {
    ...{ who: 'the database', does: 'edits a stored assignment' },
    ...{ kind: 'wrong_assignment', code: 'assignment.signature' },
    async act(device, publisher) {
      const envelope = signed(
        publisher.assignment(2, [publisher.slot('motor@1.0.0')]),
        keys.director,
      )
      await device.deliver(envelope.replace('"generation":2', '"generation":9'))
    },
  },
  {
    ...{ who: 'another device', does: 'passes on what was assigned to it' },
    ...{ kind: 'wrong_assignment', code: 'assignment.device' },
    act: assigning('motor@1.1.0', {
      device: 'press-2',
      deviceKey: keyId(keys.otherDevice.key),
    }),
  },
  {
    ...{ who: 'another device', does: 'takes the name of this one' },
    ...{ kind: 'wrong_assignment', code: 'assignment.device_key' },
    act: assigning('motor@1.1.0', { deviceKey: keyId(keys.otherDevice.key) }),
  },
  {
    ...{ who: 'another device', does: 'signs an assignment with its own key' },
    ...{ kind: 'wrong_assignment', code: 'assignment.signature' },
    act: (device, publisher) =>
      device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')]), keys.otherDevice),
  },
]

/** Serves a changed file in the place of the honest one. */
function changing(role: string, change: (bytes: Uint8Array) => Uint8Array): Attacker['act'] {
  return async (device, publisher) => {
    publisher.repository.next()
    const honest = device.network
    device.network = {
      ...honest,
      metadata: (path, bytesMax) => {
        const bytes = publisher.repository.files.get(path)
        const isIt = path === `${role}.json` || path.endsWith(`.${role}.json`)
        return serve(isIt && bytes !== undefined ? change(bytes) : bytes, bytesMax)
      },
    }
    await lookBy(device, publisher)
  }
}

const endless = (bytes: Uint8Array): Uint8Array => {
  const long = new Uint8Array(20_000_000).fill(0x20)
  long.set(bytes)
  return long
}

export const NETWORK_ROWS: readonly Attacker[] = [
  {
    ...{ who: network, does: 'replays an older timestamp' },
    ...{ kind: 'rollback', code: 'tuf.rollback' },
    async act(device, publisher) {
      const old = publisher.repository.files.get('timestamp.json')!
      publisher.repository.next()
      await device.look()
      const honest = device.network
      device.network = {
        ...honest,
        metadata: (path, bytesMax) =>
          path === 'timestamp.json' ? serve(old, bytesMax) : honest.metadata(path, bytesMax),
      }
      await device.look()
    },
  },
  {
    ...{ who: network, does: 'freezes the metadata until they expire' },
    ...{ kind: 'freeze', code: 'tuf.expired' },
    async act(device, publisher) {
      await device.pass(3 * dayMs)
      await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')]))
      publisher.repository.next((model) => {
        const later = startMs + 90 * dayMs
        model.expiresMs = { root: later, timestamp: later, snapshot: later, targets: later }
      })
      publisher.repository.nextRoot()
    },
  },
  {
    ...{ who: network, does: 'mixes an older snapshot with a newer timestamp' },
    ...{ kind: 'mix_and_match', code: 'tuf.mix_and_match' },
    async act(device, publisher) {
      const old = publisher.repository.files.get('1.snapshot.json')!
      await changing('snapshot', () => old)(device, publisher)
    },
  },
  {
    ...{ who: network, does: 'cuts the timestamp short' },
    ...{ kind: 'arbitrary_software', code: 'json.malformed' },
    act: changing('timestamp', (bytes) => bytes.subarray(0, bytes.length - 40)),
  },
  {
    ...{ who: network, does: 'cuts the targets short' },
    ...{ kind: 'mix_and_match', code: 'tuf.mix_and_match' },
    act: changing('targets', (bytes) => bytes.subarray(0, bytes.length - 40)),
  },
  ...['timestamp', 'snapshot', 'targets'].map(
    (role): Attacker => ({
      ...{ who: network, does: `sends a ${role} file without end` },
      ...{ kind: 'endless_data', code: 'tuf.endless_data' },
      act: changing(role, endless),
    }),
  ),
  {
    ...{ who: network, does: 'sends one byte a second' },
    ...{ kind: 'slow_retrieval', code: 'tuf.slow_retrieval' },
    async act(device) {
      // What `fetchBounded` says of such a server; live-strangers.test.ts has a real one.
      const problem = { code: 'tuf.slow_retrieval', message: 'The download is too slow.' }
      const honest = device.network
      device.network = { ...honest, metadata: () => ({ kind: 'failed', problem }) }
      await device.look()
    },
  },
  {
    ...{ who: network, does: 'sends nested brackets for a timestamp' },
    ...{ kind: 'endless_data', code: 'json.too_deep' },
    act: changing('timestamp', () => new Uint8Array(60_000).fill(0x5b)),
  },
  {
    ...{ who: network, does: 'sends another artifact than the signed one' },
    ...{ kind: 'arbitrary_software', code: 'artifact.digest', nextGeneration: 3 },
    act: swappingArtifact((bytes) => bytes.map((byte) => byte ^ 1)),
  },
  {
    ...{ who: network, does: 'sends a longer artifact than the signed one' },
    ...{ kind: 'endless_data', code: 'artifact.length', nextGeneration: 3 },
    act: swappingArtifact((bytes) => new Uint8Array(bytes.length * 10)),
  },
  {
    ...{ who: network, does: 'sends another manifest than the signed one' },
    ...{ kind: 'mix_and_match', code: 'tuf.mix_and_match', nextGeneration: 3 },
    act: swappingArtifact((bytes) => bytes.map((byte) => byte ^ 1), 'manifest.json'),
  },
  {
    ...{ who: 'the broker', does: 'makes up an assignment' },
    ...{ kind: 'wrong_assignment', code: 'assignment.malformed' },
    act: (device) => device.deliver('{"signed":{},"signatures":1}'),
  },
  {
    ...{ who: 'the broker', does: 'sends an assignment without end' },
    ...{ kind: 'endless_data', code: 'assignment.too_large' },
    act: (device) => device.deliver(' '.repeat(70_000)),
  },
  {
    ...{ who: 'the broker', does: 'keeps back assignments until the last has run out' },
    ...{ kind: 'freeze', code: 'assignment.expired' },
    act: assigning('motor@1.1.0', { issuedAt: 1_000, expiresAt: startMs - 1 }),
  },
  {
    ...{ who: 'the broker', does: 'forges acknowledgements' },
    ...{ kind: 'arbitrary_software', code: 'frame.signature' },
    provokes: 'wrong_assignment assignment.malformed',
    async act(device) {
      // Something is told that nobody acknowledges but he.
      device.network = { ...device.network, acknowledges: false }
      await device.deliver('{}')
      const before = device.agent.spoolSize().entries
      const all = Array.from({ length: 100 }, (_, seq) => seq)
      await device.acknowledge('boot-1', all, keys.thief)
      const { entries } = device.agent.spoolSize()
      if (before === 0 || entries < before) throw new Error(`${entries} of ${before} are left`)
    },
  },
  {
    ...{ who: 'the broker', does: 'asks for metadata that the repository does not have' },
    ...{ kind: 'freeze', code: 'assignment.snapshot' },
    act: assigning('motor@1.1.0', { minSnapshot: 1_000_000 }),
  },
]

function swappingArtifact(
  change: (bytes: Uint8Array) => Uint8Array,
  file = 'fp32.onnx',
): Attacker['act'] {
  return async (device, publisher) => {
    const honest = device.network
    device.network = {
      ...honest,
      blob: (path) => {
        const bytes = honest.blob(path)
        return bytes !== undefined && path.endsWith(file) ? change(bytes) : bytes
      },
    }
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.2.0')]))
  }
}
