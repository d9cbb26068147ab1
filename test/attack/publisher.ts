/**
 * The honest side of the attack suite: a fleet's release repository with thresholds, delegations and
 * a director, and the files that its publishers signed. An attacker gets whichever of its keys the
 * row says.
 */
import { utf8 } from '../../shared/kernel/bytes.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { Assignment } from '../../shared/model/assignment.ts'
import type { ReleaseTarget } from '../../shared/model/release-target.ts'
import { keyId } from '../../shared/signing/keys.ts'
import { releaseTargets, type TargetEntry } from '../../shared/signing/tuf/publish.ts'
import { aManifest } from '../agent/memory-ports.ts'
import { anAssignment, aSlot } from '../fixtures/device-builders.ts'
import { signerNumber } from '../shared/signing/build-assignment.ts'
import {
  dayMs,
  delegationTo,
  startMs,
  TestRepository,
} from '../shared/signing/tuf/build-repository.ts'

export const keys = {
  root: signerNumber(11),
  timestamp: signerNumber(12),
  snapshot: signerNumber(13),
  publisherA: signerNumber(14),
  publisherB: signerNumber(16),
  director: signerNumber(20),
  nextDirector: signerNumber(21),
  camera: signerNumber(30),
  staging: signerNumber(31),
  device: signerNumber(40),
  otherDevice: signerNumber(41),
  thief: signerNumber(66),
}

export const PROFILE = 'raspberry-pi-5'

/** The slot of a release, as an assignment names it. */
export type Slot = ReturnType<typeof aSlot>

export class Publisher {
  readonly repository: TestRepository
  /** By path below the targets URL. */
  readonly blobs = new Map<string, Uint8Array>()
  /** What assignments can name, by `model@version`. */
  readonly slots = new Map<string, Slot>()

  constructor() {
    const proven = [
      ...this.make({ version: '1.0.0', releaseCounter: 2 }),
      ...this.make({ version: '1.1.0', releaseCounter: 3 }),
      ...this.make({ version: '1.2.0', releaseCounter: 4 }),
      ...this.make({ version: '0.9.0', releaseCounter: 1, minCounter: 2 }),
      ...this.make({ version: '1.3.0', releaseCounter: 5, profiles: ['jetson-orin-nano'] }),
    ]
    const unproven = this.make({ version: '2.0.0', releaseCounter: 9 })
    const promoted = this.make({ version: '1.9.0', releaseCounter: 6 })
    const camera = this.make({ model: 'camera', version: '1.0.0', releaseCounter: 1 })
    this.repository = new TestRepository((model) => {
      const soon = startMs + 2 * dayMs
      model.expiresMs = { root: soon, timestamp: soon, snapshot: soon, targets: soon }
      model.signers.targets = [keys.publisherA, keys.publisherB]
      model.thresholds.targets = 2
      model.targets = proven
      model.director = { keys: [keys.director.key], threshold: 1, directorEpoch: 1 }
      model.delegations = [
        delegationTo('camera', { paths: ['camera/*/*'], signers: [keys.camera] }),
        delegationTo('production', {
          ...{ paths: ['*/*/*'], threshold: 2 },
          signers: [keys.publisherA, keys.publisherB],
        }),
        delegationTo('staging', { paths: ['*/*/*'], signers: [keys.staging] }),
      ]
      model.delegated.set('camera', { version: 1, targets: camera, delegations: [] })
      model.delegated.set('production', { version: 1, targets: promoted, delegations: [] })
      model.delegated.set('staging', { version: 1, targets: unproven, delegations: [] })
    })
  }

  /** Files and targets of a release; signing them is the caller's. */
  make(
    about: Partial<ReleaseTarget> & { version: string },
    content = `model ${about.version}`,
  ): TargetEntry[] {
    const facts: ReleaseTarget = {
      ...{ model: 'motor', profiles: [], releaseCounter: 1, minCounter: 0, ...about },
    }
    const { model, version } = facts
    const [bytes, golden] = [utf8(content), utf8(`golden ${version}`)]
    const sha256 = sha256Hex(bytes)
    const manifest = aManifest({ model, version, sha256 })
    const variant = manifest.variants[0]!
    variant.artifact.length = bytes.length
    variant.golden = { ...variant.golden, sha256: sha256Hex(golden), length: golden.length }
    const all = {
      'fp32.onnx': bytes,
      'fp32.golden': golden,
      'manifest.json': utf8(JSON.stringify(manifest)),
    }
    const files = Object.entries(all).map(([file, body]) => {
      const digest = sha256Hex(body)
      this.blobs.set(`${model}/${version}/${digest}.${file}`, body)
      return { file, sha256: digest, length: body.length }
    })
    const target = `${model}/${version}/fp32.onnx`
    const slot = aSlot('current', version, { model, target, sha256, length: bytes.length })
    this.slots.set(`${model}@${version}`, slot)
    return [...releaseTargets(facts, files)]
  }

  slot(name: string, change: Partial<Slot> = {}): Slot {
    return { ...this.slots.get(name)!, ...change }
  }

  /** What the director would sign for the device now. */
  assignment(
    generation: number,
    slots: readonly Slot[],
    change: Partial<Assignment> = {},
  ): Assignment {
    const directorEpoch = this.repository.model.director!.directorEpoch
    return anAssignment(generation, slots, {
      ...{ deviceKey: keyId(keys.device.key), directorEpoch },
      ...{ issuedAt: startMs, expiresAt: startMs + 365 * dayMs },
      ...change,
    })
  }

  /** Takes a release out of the signed targets. */
  revoke(version: string): void {
    this.repository.next((model) => {
      model.targets = model.targets.filter(({ path }) => !path.startsWith(`motor/${version}/`))
    })
  }
}
