/** What takes more than one refusal: stolen director keys, hidden revocations, time, files, brokers. */
import { describe, expect, it } from 'vitest'
import { unwrap } from '../../shared/kernel/result.ts'
import { envelopeBytes } from '../../shared/signing/envelope.ts'
import { signTime } from '../../shared/signing/signed-time.ts'
import { dayMs, startMs } from '../shared/signing/tuf/build-repository.ts'
import { AttackedDevice, DeviceDisk, servingDevice, signed } from './attacked-device.ts'
import { keys, Publisher } from './publisher.ts'

const OLD = [expect.stringMatching(/^motor@1\.0\.0 /)]
const NEW = [expect.stringMatching(/^motor@1\.1\.0 /)]

const kindsOf = (device: AttackedDevice) => device.notices.map(({ kind }) => kind)
const codesOf = (device: AttackedDevice) => device.notices.map(({ problem }) => problem.code)

/** The publishers replace the director's key; `epoch` rises. */
function replaceDirector(publisher: Publisher): void {
  publisher.repository.nextRoot((model) => {
    model.director = { keys: [keys.nextDirector.key], threshold: 1, directorEpoch: 2 }
  })
}

describe('a thief who has the director key and signs the largest generation', () => {
  it('is shut out by the next root, which starts generations anew and drops what he asked for', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    const honest = device.network
    // He also asks for a release whose download never comes.
    device.network = { ...honest, blob: () => undefined }
    const slots = [
      publisher.slot('motor@1.0.0'),
      publisher.slot('motor@1.2.0', { slot: 'candidate', trafficShare: 1 }),
    ]
    await device.assign(publisher.assignment(Number.MAX_SAFE_INTEGER, slots))
    expect(device.running()).toEqual(OLD)
    expect(device.generation).toBe(Number.MAX_SAFE_INTEGER)

    replaceDirector(publisher)
    await device.look()
    device.network = honest
    await device.pass(600_000)
    expect(device.running()).toEqual(OLD)
    expect(device.agent.state()).toMatchObject({ job: null, waiting: [] })
    expect(device.agent.state().durable).toMatchObject({
      order: { directorEpoch: 2, generation: -1 },
      desired: null,
    })
    await device.assign(publisher.assignment(1, [publisher.slot('motor@1.1.0')]), keys.nextDirector)
    expect(device.running()).toEqual(NEW)
    await device.assign(
      publisher.assignment(9, [publisher.slot('motor@1.0.0')], { directorEpoch: 1 }),
    )
    expect(codesOf(device)).toContain('assignment.signature')
    expect(device.running()).toEqual(NEW)
  })

  it('cannot set the time for ever either', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    const farMs = startMs + 1.9 * dayMs
    await device.pass(farMs - device.clock.nowMs())
    await device.assign(
      publisher.assignment(2, [publisher.slot('motor@1.0.0')], { issuedAt: farMs }),
    )
    // The clock is set back, as the thief's time came from a wrong clock.
    const { disk } = device
    const back = await new AttackedDevice(publisher, { disk, nowMs: startMs + 1_000 }).start()
    const early = { issuedAt: startMs, expiresAt: startMs + dayMs }
    await back.assign(publisher.assignment(3, [publisher.slot('motor@1.1.0')], early))
    expect(codesOf(back)).toContain('assignment.expired')
    replaceDirector(publisher)
    await back.look()
    await back.assign(
      publisher.assignment(1, [publisher.slot('motor@1.1.0')], early),
      keys.nextDirector,
    )
    expect(back.running()).toEqual(NEW)
  })
})

describe('a release that its publishers withdraw', () => {
  it('is refused from then on, also without a network, and gives way to the one before', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')]))
    expect(device.running()).toEqual(NEW)
    publisher.revoke('1.1.0')
    await device.look()
    expect(device.running()).toEqual(OLD)
    expect(kindsOf(device)).toContain('release_revoked')

    const again = await device.restart()
    again.network = { ...again.network, metadata: () => ({ kind: 'absent' }) }
    await again.assign(publisher.assignment(3, [publisher.slot('motor@1.1.0')]))
    expect(codesOf(again)).toContain('release.revoked')
    expect(again.running()).toEqual(OLD)
    await again.assign(publisher.assignment(4, [publisher.slot('motor@1.0.0')]))
    expect(again.generation).toBe(4)
  })

  it.each([
    ['serve', OLD],
    ['stop', []],
  ] as const)('and was the last follows the signed policy: %s', async (onRevoked, after) => {
    const publisher = new Publisher()
    publisher.repository.next((model) => {
      const others = model.targets.filter(({ path }) => !path.startsWith('motor/1.0.0/'))
      model.targets = [
        ...others,
        ...publisher.make({ version: '1.0.0', releaseCounter: 2, onRevoked }),
      ]
    })
    const device = await servingDevice(publisher)
    publisher.revoke('1.0.0')
    await device.look()
    expect(device.running()).toEqual(after)
    expect(kindsOf(device).filter((kind) => kind === 'release_revoked')).toHaveLength(1)
    await device.look()
    expect(kindsOf(device).filter((kind) => kind === 'release_revoked')).toHaveLength(1)
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')]))
    expect(device.running()).toEqual(NEW)
  })

  it('and hidden by the controller freezes the device when the metadata run out', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    const hidden = new Map(publisher.repository.files)
    publisher.revoke('1.1.0')
    device.network = {
      ...device.network,
      metadata: (path) => {
        const bytes = hidden.get(path)
        return bytes === undefined ? { kind: 'absent' } : { kind: 'fetched', bytes }
      },
    }
    await device.pass(3 * dayMs)
    expect(device.running()).toEqual(OLD)
    expect(device.report).toMatchObject({ frozen: true })
    expect(kindsOf(device)).toContain('frozen')
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')]))
    expect(codesOf(device)).toContain('tuf.expired')
    expect(device.running()).toEqual(OLD)
  })

  it('stays superseded, though it is still on the device', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    publisher.repository.next((model) => {
      const next = publisher.make({ version: '1.4.0', releaseCounter: 6, minCounter: 3 })
      model.targets = [...model.targets, ...next]
    })
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.4.0')]))
    const after = device.running()
    expect(after).toEqual([expect.stringMatching(/^motor@1\.4\.0 /)])
    await device.assign(publisher.assignment(3, [publisher.slot('motor@1.0.0')]))
    expect(device.notices).toContainEqual(
      expect.objectContaining({
        attack: 'rollback',
        problem: expect.objectContaining({ code: 'release.superseded' }),
      }),
    )
    expect(device.running()).toEqual(after)
  })
})

describe('a broker that clears retained messages', () => {
  it('changes nothing, and the device asks the controller', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    const next = publisher.assignment(2, [publisher.slot('motor@1.1.0')])
    const again = await device.restart()
    again.network = { ...again.network, assignment: () => signed(next, keys.director) }
    await again.deliver('')
    expect(again.running()).toEqual(OLD)
    await again.pass(20_000)
    expect(again.running()).toEqual(NEW)
  })

  it('gains nothing by answering in its place', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    const next = publisher.assignment(2, [publisher.slot('motor@1.1.0')])
    const again = await device.restart()
    again.network = { ...again.network, assignment: () => signed(next, keys.thief) }
    await again.pass(20_000)
    expect(again.running()).toEqual(OLD)
    expect(codesOf(again)).toContain('assignment.signature')
  })
})

describe('a file that is swapped between check and load', () => {
  it('is never served: what runs goes on, and the device fetches it again', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    const { sha256 } = publisher.slot('motor@1.1.0')
    const { artifacts } = device.disk
    const set = artifacts.set.bind(artifacts)
    let swaps = 0
    let reads = 0
    artifacts.get = (key: string) => {
      const bytes = Map.prototype.get.call(artifacts, key) as Uint8Array | undefined
      // The first read is the agent's own check; the second is the host's load.
      if (key !== sha256 || bytes === undefined || ++reads !== 2) return bytes
      swaps += 1
      set(
        key,
        bytes.map((byte) => byte ^ 1),
      )
      return Map.prototype.get.call(artifacts, key) as Uint8Array
    }
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.1.0')]))
    expect(swaps).toBe(1)
    await device.pass(60_000)
    expect(device.running()).toEqual(NEW)
    expect(device.agent.state().durable.failures).toEqual([])
    expect(device.notices).toMatchObject([
      { kind: 'attack', attack: 'arbitrary_software', problem: { code: 'artifact.digest' } },
    ])
  })
})

describe('a device with its clock in 1970', () => {
  const toldOf = ({ notices }: AttackedDevice) =>
    notices.map(({ attack, subject, problem }) => `${attack} ${subject} ${problem.code}`)
  const started = async (publisher: Publisher, timeMs: number | undefined, key = keys.director) => {
    const disk = new DeviceDisk()
    const device = new AttackedDevice(publisher, { disk, nowMs: 1_000, asksTime: true })
    const answered: Uint8Array[] = []
    device.network = {
      ...device.network,
      time: (nonce) => {
        if (timeMs === undefined) return undefined
        const time = { fleet: 'plant', device: 'press-1', nonce, timeMs }
        answered.push(envelopeBytes(unwrap(signTime(time, [key]))))
        return answered.at(-1)
      },
    }
    return { device: await device.start(), answered }
  }
  const first = (publisher: Publisher) =>
    publisher.assignment(1, [publisher.slot('motor@1.0.0')], { issuedAt: startMs })

  it('takes the time that the director signs for its own question, and then follows', async () => {
    const publisher = new Publisher()
    const { device } = await started(publisher, startMs + 5_000)
    await device.assign(first(publisher))
    expect(device.running()).toEqual(OLD)
  })

  it('takes the time of a director whom only a newer root names', async () => {
    const publisher = new Publisher()
    const { device } = await started(publisher, startMs + 5_000, keys.nextDirector)
    replaceDirector(publisher)
    publisher.repository.next()
    await device.assign(first(publisher), keys.nextDirector)
    expect(device.running()).toEqual(OLD)
    expect(toldOf(device)).toEqual([])
  })

  it('takes nothing while nobody tells the time', async () => {
    const publisher = new Publisher()
    const { device } = await started(publisher, undefined)
    await device.assign(first(publisher))
    expect(device.running()).toEqual([])
    expect(device.generation).toBe(-1)
  })

  it('is not fooled by the time of somebody else', async () => {
    const publisher = new Publisher()
    const { device } = await started(publisher, startMs, keys.thief)
    await device.assign(first(publisher))
    expect(device.running()).toEqual([])
    expect(toldOf(device)).toEqual(['arbitrary_software time time.signature'])
  })

  it('is not fooled by an answer to an earlier question', async () => {
    const publisher = new Publisher()
    const { device, answered } = await started(publisher, startMs)
    await device.assign(first(publisher))
    const old = answered[0]!
    const fresh = new AttackedDevice(publisher, { nowMs: 1_000, asksTime: true })
    fresh.network = { ...fresh.network, time: () => old }
    await fresh.start()
    await fresh.assign(first(publisher))
    expect(fresh.running()).toEqual([])
    expect(toldOf(fresh)).toEqual(['freeze time time.nonce'])
  })

  it('sees that metadata have expired, which its clock alone would not', async () => {
    const publisher = new Publisher()
    const { device } = await started(publisher, startMs + 30 * dayMs)
    await device.assign(first(publisher))
    expect(device.running()).toEqual([])
    expect(codesOf(device)).toContain('tuf.expired')
  })
})
