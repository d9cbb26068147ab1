/** New online keys: what a thief of the old ones can still do, and what devices get. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openOnlineKeys } from '../../controller/signing/online-keys.ts'
import { utf8 } from '../../shared/kernel/bytes.ts'
import type { Result } from '../../shared/kernel/result.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import type { Assignment } from '../../shared/model/assignment.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { acceptAssignment, signAssignment } from '../../shared/signing/assignment.ts'
import { envelopeBytes, openEnvelope } from '../../shared/signing/envelope.ts'
import { checkSync, keyId, type SyncSigner } from '../../shared/signing/keys.ts'
import { directorOf } from '../../shared/signing/tuf/director.ts'
import { defaultTufLimits, jsonLimits } from '../../shared/signing/tuf/limits.ts'
import { readRoot } from '../../shared/signing/tuf/metadata.ts'
import { ada, FLEET, type TestDevice } from '../fixtures/controller-builder.ts'
import { buildRoot, online } from '../fixtures/release-builders.ts'
import { buildServingFleet } from '../fixtures/serving-fleet.ts'
import { signerNumber } from '../shared/signing/build-assignment.ts'

const codeOf = (result: Result<unknown>): string => (result.ok ? 'ok' : result.error.code)
/** The first key that the fleet's test keyring makes. */
const fresh = signerNumber(201)

/** What a device with this root says to an assignment. */
function accepted(
  device: TestDevice,
  rootBytes: Uint8Array,
  envelope: Uint8Array,
  lastSeen?: { directorEpoch: number; generation: number; digest: string },
  nowMs = 0,
) {
  const opened = unwrap(openEnvelope(rootBytes, jsonLimits(defaultTufLimits.rootBytesMax)))
  const director = unwrap(directorOf(unwrap(readRoot(opened.signed))))
  const identity = { fleet: FLEET, device: device.name, deviceKey: keyId(device.signer.key) }
  const checking = acceptAssignment({ bytes: envelope, director, identity, lastSeen, nowMs })
  return checkSync(checking, nodeVerifier)
}

function forged(assignment: Assignment, generation: number, thief: SyncSigner): Uint8Array {
  return envelopeBytes(unwrap(signAssignment({ ...assignment, generation }, [thief])))
}

describe('a stolen director key', () => {
  it('is out after the next root: the epoch rises, generations begin again, all devices follow', async () => {
    const { fleet, devices } = await buildServingFleet()
    const { application } = fleet.controller
    const [device] = devices
    const nowMs = fleet.clock.nowMs()
    const before = device!.assignment()!
    // The thief takes the largest number there is; a device that believed him is stuck in epoch 1.
    const greatest = forged(before, Number.MAX_SAFE_INTEGER, online.director)
    const believed = unwrap(accepted(device!, buildRoot(), greatest, undefined, nowMs))
    const lastSeen = {
      directorEpoch: 1,
      generation: Number.MAX_SAFE_INTEGER,
      digest: believed.digest,
    }
    await application.prepareOnlineKeys(['director'], ada)
    const sameEpoch = buildRoot({ version: 2, director: fresh, epoch: 1 })
    expect(codeOf(await application.putRoot(sameEpoch, ada))).toBe('root.director_epoch')
    const root = buildRoot({ version: 2, director: fresh, epoch: 2 })
    unwrap(await application.putRoot(root, ada))
    await fleet.after(1_000)
    for (const one of devices) {
      expect(one.assignment()).toMatchObject({ directorEpoch: 2, generation: 1 })
      expect(one.assignment()?.slots).toEqual(before.slots)
    }
    const envelope = utf8(unwrap(await application.assignmentOf(device!.name)))
    const later = fleet.clock.nowMs()
    expect(codeOf(accepted(device!, root, envelope, lastSeen, later))).toBe('ok')
    const again = forged(before, Number.MAX_SAFE_INTEGER, online.director)
    expect(codeOf(accepted(device!, root, again, lastSeen, later))).toBe('assignment.signature')
    const lifted = forged({ ...before, directorEpoch: 3 }, 1, online.director)
    expect(codeOf(accepted(device!, root, lifted, lastSeen, later))).toBe('assignment.signature')
  })

  it('stays out after a restart, and a root with keys that nobody has here is refused', async () => {
    const { fleet, devices } = await buildServingFleet()
    const { application } = fleet.controller
    const unknown = buildRoot({ version: 2, director: signerNumber(77), epoch: 2 })
    expect(codeOf(await application.putRoot(unknown, ada))).toBe('root.online_keys')
    await application.prepareOnlineKeys(['director'], ada)
    unwrap(await application.putRoot(buildRoot({ version: 2, director: fresh, epoch: 2 }), ada))
    const again = await fleet.restart()
    await again.after(1_000)
    const keys = await again.controller.application.onlineKeys()
    expect(keys.find(({ role }) => role === 'director')?.keyId).toBe(keyId(fresh.key))
    await devices[0]!.obey()
    const back = buildRoot({ version: 3, director: online.director, epoch: 1 })
    expect(codeOf(await again.controller.application.putRoot(back, ada))).toBe(
      'root.director_epoch',
    )
  })
})

describe('key files of the controller', () => {
  it('are replaced only when kept; a crash before leaves both', async () => {
    const home = await mkdtemp(join(tmpdir(), 'linnet-keys-'))
    const keys = await openOnlineKeys(home)
    const old = keys.signers()
    const next = await keys.prepare(['director'])
    expect(keyId((await keys.prepare(['director'])).director.key)).toBe(keyId(next.director.key))
    expect(keyId(next.snapshot.key)).toBe(keyId(old.snapshot.key))
    keys.switchToNext()
    // Died here: the stored root decides which of the two signs.
    const reopened = await openOnlineKeys(home)
    expect(keyId(reopened.signers().director.key)).toBe(keyId(old.director.key))
    expect(keyId(reopened.next()!.director.key)).toBe(keyId(next.director.key))
    await keys.keep()
    const after = await openOnlineKeys(home)
    expect(keyId(after.signers().director.key)).toBe(keyId(next.director.key))
    expect(after.next()).toBeUndefined()
    expect((await readdir(join(home, 'keys'))).toSorted()).toEqual([
      'director.json',
      'snapshot.json',
      'timestamp.json',
    ])
    await rm(home, { recursive: true })
  })
})
