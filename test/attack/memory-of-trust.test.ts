/** What a thief may not make a device forget or believe: withdrawals, and the time of its clock. */
import { describe, expect, it } from 'vitest'
import { unwrap } from '../../shared/kernel/result.ts'
import { envelopeBytes } from '../../shared/signing/envelope.ts'
import { signTime } from '../../shared/signing/signed-time.ts'
import { dayMs, startMs } from '../shared/signing/tuf/build-repository.ts'
import { AttackedDevice, honestNetwork, servingDevice } from './attacked-device.ts'
import { keys, Publisher } from './publisher.ts'

const NEW = [expect.stringMatching(/^motor@1\.1\.0 /)]
const codesOf = (device: AttackedDevice) => device.notices.map(({ problem }) => problem.code)
const noMetadata = () =>
  ({ kind: 'failed', problem: { code: 'net.interrupted', message: 'cut' } }) as const
const answering = (timeMs: number) => (nonce: string) => {
  const time = { fleet: 'plant', device: 'press-1', nonce, timeMs }
  return envelopeBytes(unwrap(signTime(time, [keys.director])))
}

describe('a release that the newest targets no longer list', () => {
  it('stays withdrawn when the thief cuts the metadata after the refresh of an assignment', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')]))
    // Its first look of its own is over; the next one is an hour away.
    await device.pass(60_000)
    publisher.revoke('1.0.0')
    const next = { minSnapshot: 2 }
    await device.assign(publisher.assignment(3, [publisher.slot('motor@1.1.0')], next))
    expect(device.generation).toBe(3)
    device.network = { ...device.network, metadata: noMetadata }
    device.notices.length = 0
    await device.assign(publisher.assignment(4, [publisher.slot('motor@1.0.0')]))
    await device.pass(300_000)
    expect(codesOf(device)).toContain('release.revoked')
    expect(device.running()).toEqual(NEW)
    expect(device.generation).toBe(3)
  })

  it('is not taken when the metadata are cut between two looks of one check', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')]))
    publisher.revoke('1.0.0')
    const honest = device.network
    let looks = 0
    device.network = {
      ...honest,
      metadata: (path, bytesMax) => {
        if (path === 'timestamp.json') looks += 1
        return looks > 1 ? noMetadata() : honest.metadata(path, bytesMax)
      },
    }
    const next = { minSnapshot: 2 }
    await device.assign(publisher.assignment(3, [publisher.slot('motor@1.0.0')], next))
    await device.pass(300_000)
    expect(device.running()).toEqual(NEW)
    expect(device.generation).toBe(2)
  })
})

describe('what was verified before a kill', () => {
  /** Killed after it had kept the newest metadata, before it could note what they tell. */
  const killedBeforeNoting = async (change: (publisher: Publisher) => void) => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')]))
    const { disk } = device
    const before = { small: new Map(disk.small), durable: disk.durable }
    change(publisher)
    await device.look()
    disk.durable = before.durable
    disk.small.clear()
    for (const [name, text] of before.small) disk.small.set(name, text)
    const again = await device.restart()
    again.network = { ...again.network, metadata: noMetadata }
    await again.assign(publisher.assignment(3, [publisher.slot('motor@1.0.0')]))
    await again.pass(60_000)
    expect(again.running()).toEqual(NEW)
    return codesOf(again)
  }

  it('is known at the next start without a network: withdrawals', async () => {
    const codes = await killedBeforeNoting((publisher) => publisher.revoke('1.0.0'))
    expect(codes).toContain('release.revoked')
  })

  it('is known at the next start without a network: successors', async () => {
    const codes = await killedBeforeNoting((publisher) => {
      const newest = publisher.make({ version: '1.8.0', releaseCounter: 50, minCounter: 3 })
      publisher.repository.next((model) => {
        model.targets = [...model.targets, ...newest]
      })
    })
    expect(codes).toContain('release.superseded')
  })

  it('bounds the time that a thief tells after it', async () => {
    const publisher = new Publisher()
    const device = await new AttackedDevice(publisher, { asksTime: true }).start()
    await device.assign(publisher.assignment(1, [publisher.slot('motor@1.0.0')]))
    const again = await device.restart()
    const farMs = startMs + 30_000 * dayMs
    again.network = { ...again.network, metadata: noMetadata, time: answering(farMs) }
    const far = { issuedAt: farMs, expiresAt: farMs + dayMs }
    await again.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')], far))
    expect(JSON.parse(again.disk.small.get('trust.json')!).floorMs).toBe(startMs + 2 * dayMs)
  })
})

describe('a device whose clock is right', () => {
  it('is not turned back by a signed answer, so that expired metadata stay expired', async () => {
    const publisher = new Publisher()
    const device = await new AttackedDevice(publisher, { asksTime: true }).start()
    await device.assign(publisher.assignment(1, [publisher.slot('motor@1.1.0')]))
    device.network = { ...device.network, time: answering(startMs + dayMs) }
    await device.pass(5 * dayMs)
    device.notices.length = 0
    // An assignment from the future makes it ask.
    const far = { issuedAt: startMs + 300 * dayMs }
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')], far))
    const past = { issuedAt: startMs + dayMs - 1 }
    await device.assign(publisher.assignment(3, [publisher.slot('motor@1.2.0')], past))
    await device.pass(300_000)
    expect(codesOf(device)).toContain('tuf.expired')
    expect(device.running()).toEqual(NEW)
    expect(device.generation).toBe(1)
  })
})

describe('a device that was told the time, whose clock is set after that', () => {
  it('does not add the one to the other', async () => {
    const publisher = new Publisher()
    const device = new AttackedDevice(publisher, { nowMs: 60_000, asksTime: true })
    device.network = { ...device.network, time: answering(startMs) }
    await device.start()
    await device.assign(publisher.assignment(1, [publisher.slot('motor@1.0.0')]))
    expect(device.generation).toBe(1)
    device.clock.set(startMs + 60_000)
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')]))
    expect(device.running()).toEqual(NEW)
    expect(codesOf(device)).toEqual([])
  })
})

describe('a device that lay in a drawer for months, with a clock that stood still', () => {
  it('finds to the present step by step, each no further than what publishers signed', async () => {
    const publisher = new Publisher()
    const device = await new AttackedDevice(publisher, { asksTime: true }).start()
    await device.assign(publisher.assignment(1, [publisher.slot('motor@1.0.0')]))
    await device.look()
    const knownUntilMs = publisher.repository.model.expiresMs.targets
    const again = await device.restart()
    const presentMs = startMs + 150 * dayMs
    publisher.repository.next((model) => {
      const expiresMs = presentMs + 2 * dayMs
      model.expiresMs = {
        ...{ root: expiresMs, timestamp: expiresMs, snapshot: expiresMs, targets: expiresMs },
      }
    })
    publisher.repository.nextRoot()
    again.network = { ...honestNetwork(publisher), time: answering(presentMs) }
    expect(await again.repository.askTime()).toBe(true)
    expect(again.repository.claimedMs()).toBe(knownUntilMs)
    // Not asked again within a minute, however often tokens are refused.
    expect(await again.repository.askTime()).toBe(false)
    await again.look()
    expect(await again.repository.askTime()).toBe(true)
    expect(again.repository.claimedMs()).toBe(presentMs)
    const now = { issuedAt: presentMs, expiresAt: presentMs + dayMs }
    await again.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')], now))
    expect(again.running()).toEqual(NEW)
  })
})

describe('a thief who tells a time far ahead', () => {
  it.each([60, 30_000])(
    'of %i days is shut out by the next root, without a restart',
    async (days) => {
      const publisher = new Publisher()
      const device = await new AttackedDevice(publisher, { asksTime: true }).start()
      await device.assign(publisher.assignment(1, [publisher.slot('motor@1.0.0')]))
      const farMs = startMs + days * dayMs
      device.network = { ...device.network, time: answering(farMs) }
      const far = { issuedAt: farMs, expiresAt: farMs + dayMs }
      await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')], far))
      await device.look()
      // He moved it, but no further than the targets are valid.
      expect(JSON.parse(device.disk.small.get('trust.json')!).floorMs).toBe(startMs + 2 * dayMs)
      expect(codesOf(device)).toContain('tuf.expired')

      publisher.repository.nextRoot((model) => {
        model.director = { keys: [keys.nextDirector.key], threshold: 1, directorEpoch: 2 }
      })
      publisher.repository.next()
      device.network = honestNetwork(publisher)
      // Nothing but the new director's first assignment makes it look.
      const now = { issuedAt: device.clock.nowMs() }
      const next = publisher.assignment(1, [publisher.slot('motor@1.1.0')], now)
      await device.assign(next, keys.nextDirector)
      expect(device.running()).toEqual(NEW)
    },
  )
})

describe('a release that another one superseded', () => {
  it('is refused, though this device was never assigned the other', async () => {
    const publisher = new Publisher()
    const newest = publisher.make({ version: '1.8.0', releaseCounter: 50, minCounter: 50 })
    publisher.repository.next((model) => {
      model.targets = [...model.targets, ...newest]
    })
    const device = await new AttackedDevice(publisher).start()
    await device.look()
    await device.assign(publisher.assignment(1, [publisher.slot('motor@1.1.0')]))
    await device.pass(300_000)
    expect(codesOf(device)).toContain('release.superseded')
    expect(device.running()).toEqual([])
  })

  /** Serves 1.1.0, has 1.0.0, and was never assigned 1.8.0, which supersedes 1.0.0. */
  const beforeSuccessor = async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')]))
    expect(device.running()).toEqual(NEW)
    const newest = publisher.make({ version: '1.8.0', releaseCounter: 50, minCounter: 3 })
    publisher.repository.next((model) => {
      model.targets = [...model.targets, ...newest]
    })
    return { publisher, device }
  }

  it('is not taken back from the device itself, though no assignment ever named the other', async () => {
    const { publisher, device } = await beforeSuccessor()
    await device.look()
    const again = await device.restart()
    again.network = { ...again.network, metadata: noMetadata }
    await again.assign(publisher.assignment(3, [publisher.slot('motor@1.0.0')]))
    await again.pass(300_000)
    expect(codesOf(again)).toContain('release.superseded')
    expect(again.running()).toEqual(NEW)
    expect(again.generation).toBe(2)
  })

  it('is not taken by the very assignment that made the device look', async () => {
    const { publisher, device } = await beforeSuccessor()
    const slots = [publisher.slot('motor@1.0.0')]
    await device.assign(publisher.assignment(3, slots, { minSnapshot: 2 }))
    expect(codesOf(device)).toContain('release.superseded')
    expect(device.running()).toEqual(NEW)
  })

  it('stays where it serves, wave by wave, until its successor has taken its place', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    const newest = publisher.make({ version: '1.8.0', releaseCounter: 50, minCounter: 50 })
    publisher.repository.next((model) => {
      model.targets = [...model.targets, ...newest]
    })
    await device.look()
    const old = publisher.slot('motor@1.0.0')
    const both = (trafficShare: number) => [
      old,
      publisher.slot('motor@1.8.0', { slot: 'candidate', trafficShare }),
    ]
    const running = ['motor@1.0.0', 'motor@1.8.0'].map((name) => expect.stringContaining(name))
    for (const generation of [2, 3]) {
      await device.assign(publisher.assignment(generation, both(generation * 100_000)))
      expect(device.running()).toEqual(running)
      expect(device.generation).toBe(generation)
    }
    await device.assign(publisher.assignment(4, [old]))
    expect(device.running()).toEqual([running[0]])
    await device.assign(publisher.assignment(5, [publisher.slot('motor@1.8.0')]))
    expect(device.running()).toEqual([running[1]])
    expect(codesOf(device)).toEqual([])
    await device.assign(publisher.assignment(6, [old]))
    expect(codesOf(device)).toEqual(['release.superseded'])
    expect(device.running()).toEqual([running[1]])
  })
})
