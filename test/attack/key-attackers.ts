/** Attackers who have some keys of the publishers, one row each: what they do and how it is named. */

import { fromUtf8, utf8 } from '../../shared/kernel/bytes.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { TargetEntry } from '../../shared/signing/tuf/publish.ts'
import { delegationTo } from '../shared/signing/tuf/build-repository.ts'
import type { Attacker } from './attackers.ts'
import { keys, type Publisher } from './publisher.ts'

/** The files fit together, but for what the manifest says that it is about. */
const foreignManifest = (what: 'model' | 'version', other: string): Attacker => ({
  ...{ who: 'the publishers, who were given a wrong file,' },
  does: `sign the manifest of another ${what} under the name of a release`,
  ...{ kind: 'wrong_assignment', code: 'release.model', nextGeneration: 3 },
  async act(device, publisher) {
    const path = 'motor/1.2.0/manifest.json'
    const { targets } = publisher.repository.model
    const honest = targets.find((entry) => entry.path === path)!
    const blob = publisher.blobs.get(`motor/1.2.0/${honest.sha256}.manifest.json`)!
    const bytes = utf8(JSON.stringify({ ...JSON.parse(fromUtf8(blob)!), [what]: other }))
    const sha256 = sha256Hex(bytes)
    publisher.blobs.set(`motor/1.2.0/${sha256}.manifest.json`, bytes)
    const foreign = { ...honest, sha256, length: bytes.length }
    publisher.repository.next((model) => {
      model.targets = targets.map((entry) => (entry === honest ? foreign : entry))
    })
    const slots = [publisher.slot('motor@1.2.0')]
    await device.assign(publisher.assignment(2, slots, { minSnapshot: 2 }))
  },
})

export const KEY_ROWS: readonly Attacker[] = [
  foreignManifest('model', 'camera'),
  foreignManifest('version', '1.1.0'),
  {
    ...{ who: 'one publisher key below the threshold, with all online keys' },
    does: 'signs targets with a release of its own',
    ...{ kind: 'arbitrary_software', code: 'tuf.signature' },
    async act(device, publisher) {
      const forged = publisher.make({ version: '6.6.6', releaseCounter: 99 })
      publisher.repository.next((model) => {
        model.targets = [...model.targets, ...forged]
        model.signers.targets = [keys.publisherA, keys.thief]
      })
      await device.assign(publisher.assignment(2, [publisher.slot('motor@6.6.6')]))
    },
  },
  {
    ...{ who: 'the key of a delegated model, with all online keys' },
    does: 'signs a release of another model',
    ...{ kind: 'wrong_assignment', code: 'assignment.target_mismatch' },
    async act(device, publisher) {
      const forged = publisher.make({ version: '6.6.6', releaseCounter: 99 })
      publisher.repository.next((model) => {
        const camera = model.delegated.get('camera')!
        const targets = [...camera.targets, ...forged]
        model.delegated.set('camera', { ...camera, version: 2, targets })
      })
      await device.assign(publisher.assignment(2, [publisher.slot('motor@6.6.6')]))
    },
  },
  {
    ...{ who: 'the key of a delegated model, with all online keys' },
    does: 'delegates to itself what it was not given',
    ...{ kind: 'wrong_assignment', code: 'assignment.target_mismatch' },
    async act(device, publisher) {
      const forged = publisher.make({ version: '6.6.6', releaseCounter: 99 })
      publisher.repository.next((model) => {
        const camera = model.delegated.get('camera')!
        const wider = delegationTo('wider', { paths: ['*/*/*'], signers: [keys.thief] })
        model.delegated.set('camera', { ...camera, version: 2, delegations: [wider] })
        model.delegated.set('wider', { version: 1, targets: [...forged], delegations: [] })
        // The top-level targets stay as the publishers signed them.
        model.versions.targets -= 1
      })
      await device.assign(publisher.assignment(2, [publisher.slot('motor@6.6.6')]))
    },
  },
  {
    ...{ who: 'the key of staging, with all online keys' },
    does: 'signs a release of its own and assigns it to a production device',
    ...{ kind: 'wrong_assignment', code: 'release.unproven', nextGeneration: 3 },
    async act(device, publisher) {
      const forged = publisher.make({ version: '6.6.6', releaseCounter: 99 })
      stage(publisher, (targets) => [...targets, ...forged])
      await device.assign(publisher.assignment(2, [publisher.slot('motor@6.6.6')]))
    },
  },
  {
    ...{ who: 'the key of staging, with all online keys' },
    does: 'signs other bytes for a release that production has',
    ...{ kind: 'wrong_assignment', code: 'assignment.target_mismatch' },
    async act(device, publisher) {
      const forged = publisher.make({ version: '1.9.0', releaseCounter: 99 }, 'malicious')
      stage(publisher, (targets) => [...targets, ...forged])
      await device.assign(publisher.assignment(2, [publisher.slot('motor@1.9.0')]))
    },
  },
  {
    ...{ who: 'one key of production below the threshold, with all online keys' },
    does: 'promotes an unproven release alone',
    ...{ kind: 'arbitrary_software', code: 'tuf.signature' },
    async act(device, publisher) {
      publisher.repository.next((model) => {
        const production = model.delegated.get('production')!
        const targets = [...production.targets, ...model.delegated.get('staging')!.targets]
        model.delegated.set('production', { ...production, version: 2, targets })
        model.delegations = model.delegations.map((delegation) =>
          delegation.name === 'production'
            ? { ...delegation, signers: [keys.publisherA, keys.staging] }
            : delegation,
        )
      })
      const slots = [publisher.slot('motor@2.0.0')]
      await device.assign(publisher.assignment(2, slots, { minSnapshot: 2 }))
    },
  },
  {
    ...{ who: 'the key of a retired root' },
    does: 'signs the next root',
    ...{ kind: 'arbitrary_software', code: 'tuf.signature' },
    async act(device, publisher) {
      publisher.repository.nextRoot((model) => {
        model.signers.root = [keys.camera]
      })
      await device.look()
      publisher.repository.nextRoot((model) => {
        model.signers.root = [keys.thief]
        model.oldRootSigners = [keys.root]
      })
      await device.look()
      publisher.repository.files.delete('3.root.json')
    },
  },
]

/** The next version of what stands in staging; the other publishers sign nothing. */
export function stage(
  { repository }: Publisher,
  change: (targets: readonly TargetEntry[]) => TargetEntry[],
): void {
  repository.next((model) => {
    const staging = model.delegated.get('staging')!
    const version = staging.version + 1
    model.delegated.set('staging', { ...staging, version, targets: change(staging.targets) })
    model.versions.targets -= 1
  })
}
