import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../controller/db/memory-store.ts'
import { utf8 } from '../../shared/kernel/bytes.ts'
import { encodeMessage } from '../../shared/protocol/codec.ts'
import { encodeFrame, sealMessage } from '../../shared/protocol/frame.ts'
import type { Telemetry } from '../../shared/protocol/messages.ts'
import { formatTopic } from '../../shared/protocol/topics.ts'
import {
  ada,
  buildFleet,
  countedWindow,
  FLEET,
  type TestDevice,
  type TestFleet,
} from '../fixtures/controller-builder.ts'
import { buildRelease } from '../fixtures/release-builders.ts'
import { buildSpec } from '../fixtures/rollout-builders.ts'

async function oneDevice(): Promise<{ fleet: TestFleet; device: TestDevice }> {
  const fleet = await buildFleet()
  await fleet.publish([buildRelease('1.0.0')], 1)
  const device = await fleet.enrol('press-1')
  device.online()
  await fleet.after(1_000)
  return { fleet, device }
}

const counters = async ({ controller }: TestFleet) =>
  (await controller.application.health()).messages
const address = { fleet: FLEET, device: 'press-1' }
const telemetryTopic = formatTopic('up/telemetry', address)

/** Requests in every stored window. */
async function storedRequests({ store, clock }: TestFleet): Promise<number> {
  const minute = Math.floor(clock.nowMs() / 60_000)
  const rows = await store.windowsBetween(minute - 50_000, minute + 50_000)
  return rows.reduce((sum, { window }) => sum + window.n, 0)
}

const windowOf = (device: TestDevice, more: Partial<Telemetry> = {}): Telemetry => ({
  boot: device.boot,
  seq: device.nextSeq(),
  model: 'motor',
  generation: 0,
  rollout: null,
  share: 0,
  startedAtMs: 1_790_000_000_000,
  durationMs: 10_000,
  arms: [{ arm: 'baseline', version: '1.0.0', variant: 'fp32', window: countedWindow(10, 1) }],
  ...more,
})

describe('what devices send', () => {
  it('is stored before it is acknowledged', async () => {
    const { fleet, device } = await oneDevice()
    const { seq } = device.count({ '1.0.0': [25, 2] })
    expect(device.acknowledged()).toEqual([])
    await fleet.after(200)
    expect(await storedRequests(fleet)).toBe(25)
    expect(device.acknowledged()).toEqual([seq])
  })

  it('is not acknowledged while the database cannot be read, and counts when sent again', async () => {
    const store = createMemoryStore()
    const read = store.window.bind(store)
    const fleet = await buildFleet({ store })
    await fleet.publish([buildRelease('1.0.0')], 1)
    const device = await fleet.enrol('press-1')
    store.window = async () => {
      throw new Error('disk I/O error')
    }
    const message = windowOf(device)
    device.say('telemetry', message)
    await fleet.after(200)
    expect(device.acknowledged()).toEqual([])
    expect((await counters(fleet)).refused).toEqual({ 'ingest.failed': 1 })
    store.window = read
    device.say('telemetry', message)
    await fleet.after(200)
    expect(await storedRequests(fleet)).toBe(10)
    expect(device.acknowledged()).toEqual([message.seq])
  })

  it('counts once however often it comes, and is acknowledged every time', async () => {
    const { fleet, device } = await oneDevice()
    const message = windowOf(device)
    for (let i = 0; i < 3; i++) device.say('telemetry', message)
    await fleet.after(200)
    device.say('telemetry', message)
    await fleet.after(200)
    expect(await storedRequests(fleet)).toBe(10)
    expect(device.acknowledged()).toEqual(Array(4).fill(message.seq))
    expect((await counters(fleet)).duplicates).toBe(3)
  })

  it('counts once over a restart of the controller', async () => {
    const { fleet, device } = await oneDevice()
    const message = windowOf(device)
    device.say('telemetry', message)
    await fleet.after(200)
    const again = await fleet.restart()
    const sealed = sealMessage(
      'telemetry',
      message,
      { ...address, topic: telemetryTopic },
      device.signer,
    )
    again.broker.deliver(telemetryTopic, sealed)
    await again.after(200)
    expect(await storedRequests(again)).toBe(10)
    expect((await counters(again)).duplicates).toBe(1)
  })

  it('adds up the same in any order', async () => {
    const { fleet, device } = await oneDevice()
    const messages = Array.from({ length: 12 }, (_, i) =>
      windowOf(device, {
        arms: [
          { arm: 'baseline', version: '1.0.0', variant: 'fp32', window: countedWindow(i + 1, 0) },
        ],
      }),
    )
    for (const i of [7, 2, 11, 0, 5, 9, 1, 3, 10, 4, 8, 6]) device.say('telemetry', messages[i]!)
    await fleet.after(200)
    expect(await storedRequests(fleet)).toBe(78)
    expect(device.acknowledged().toSorted((a, b) => a - b)).toEqual(messages.map(({ seq }) => seq))
  })

  it('is kept without a rollout when it names one that we do not know', async () => {
    const { fleet, device } = await oneDevice()
    device.say('telemetry', windowOf(device, { rollout: { id: 'r99', wave: 3 } }))
    device.say(
      'telemetry',
      windowOf(device, {
        arms: [{ arm: 'canary', version: '9.9.9', variant: 'fp32', window: countedWindow(5, 0) }],
      }),
    )
    await fleet.after(200)
    expect(await storedRequests(fleet)).toBe(15)
    expect(await fleet.store.windowsOf('r99')).toEqual([])
    expect((await counters(fleet)).refused).toEqual({})
  })

  it('replaces a report only by a newer one', async () => {
    const { fleet, device } = await oneDevice()
    const report = (generation: number) => ({
      directorEpoch: 1,
      generation,
      status: 'applied' as const,
      slots: [],
      job: null,
      failures: [],
    })
    const [older, newer] = [device.nextSeq(), device.nextSeq()]
    const stamp = { boot: device.boot, atMs: 5, qualifications: [] }
    device.say('report', { ...stamp, seq: newer, report: report(2) })
    device.say('report', { ...stamp, seq: older, report: report(1) })
    await fleet.after(200)
    const [shown] = await fleet.controller.application.listDevices()
    expect(shown?.report?.generation).toBe(2)
    expect(device.acknowledged()).toEqual([newer, older])
  })

  it('shows notices, newest first, and tells consumers', async () => {
    const { fleet, device } = await oneDevice()
    for (const code of ['host.crashed', 'host.hung']) {
      const notice = {
        kind: 'host_restarted' as const,
        atMs: 1,
        subject: 'motor@1.0.0',
        problem: { code, message: 'The model host ended.' },
      }
      device.say('notice', { boot: device.boot, seq: device.nextSeq(), notice })
    }
    await fleet.after(200)
    const shown = await fleet.controller.application.getDevice('press-1')
    expect(shown.ok && shown.value.notices.map(({ problem }) => problem.code)).toEqual([
      'host.hung',
      'host.crashed',
    ])
    const alerts = fleet.broker.published.filter(({ topic }) => topic.endsWith('/c/alert/info'))
    expect(alerts).toHaveLength(2)
  })
})

describe('a device that says two hundred things a minute', () => {
  it('is heard sixty times, is answered each time, and is heard again in the next', async () => {
    const { fleet, device } = await oneDevice()
    const say = (code: string) => {
      const problem = { code, message: 'It is not signed.' }
      const about = { kind: 'attack' as const, atMs: 1, subject: 'assignment', problem }
      device.say('notice', { boot: device.boot, seq: device.nextSeq(), notice: about })
    }
    await fleet.after(60_000 - (fleet.clock.nowMs() % 60_000))
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 50; i++) say('assignment.signature')
      await fleet.after(1_000)
    }
    expect(await fleet.store.noticesOf('press-1', 2_000)).toHaveLength(60)
    expect(device.acknowledged()).toHaveLength(200)
    const { messages } = await fleet.controller.application.health()
    expect(messages.refused).toMatchObject({ 'notice.too_many': 140 })
    await fleet.after(60_000)
    say('assignment.generation')
    await fleet.after(1_000)
    const [newest] = await fleet.store.noticesOf('press-1', 2_000)
    expect(newest?.notice.problem.code).toBe('assignment.generation')
  })
})

describe('what is refused', () => {
  const rows: readonly [name: string, code: string, make: (device: TestDevice) => Uint8Array][] = [
    ['garbage', 'frame.malformed', () => new Uint8Array([1, 2, 3, 250, 7])],
    ['JSON that is no frame', 'frame.malformed', () => utf8('{"n":1}')],
    ['too many bytes', 'frame.too_large', () => new Uint8Array(100_000).fill(0x41)],
    [
      'a frame without a signature',
      'frame.signature',
      (device) =>
        encodeFrame({
          payload: encodeMessage('telemetry', windowOf(device)),
          signature: new Uint8Array(0),
        }),
    ],
    [
      'a message signed for another topic',
      'frame.signature',
      (device) => {
        const topic = formatTopic('up/report', address)
        return sealMessage('telemetry', windowOf(device), { ...address, topic }, device.signer)
      },
    ],
    [
      'a message of another fleet',
      'frame.signature',
      (device) => {
        const elsewhere = { fleet: 'other', device: 'press-1', topic: telemetryTopic }
        return sealMessage('telemetry', windowOf(device), elsewhere, device.signer)
      },
    ],
    [
      'counts that contradict each other',
      'window.inconsistent',
      (device) => {
        const window = { ...countedWindow(3, 0), nBad: { latency: 9 } }
        const arms = [{ arm: 'baseline' as const, version: '1.0.0', variant: 'fp32', window }]
        const message = windowOf(device, { arms })
        return sealMessage(
          'telemetry',
          message,
          { ...address, topic: telemetryTopic },
          device.signer,
        )
      },
    ],
  ]

  it.each(rows)('%s, as %s, and nothing is merged', async (_, code, make) => {
    const { fleet, device } = await oneDevice()
    fleet.broker.deliver(telemetryTopic, make(device))
    await fleet.after(200)
    expect((await counters(fleet)).refused).toEqual({ [code]: 1 })
    expect(await storedRequests(fleet)).toBe(0)
    expect(device.acknowledged()).toEqual([])
  })

  it('a window signed by another device of the fleet', async () => {
    const { fleet, device } = await oneDevice()
    const thief = await fleet.enrol('press-2')
    const forged = sealMessage(
      'telemetry',
      windowOf(device),
      { ...address, topic: telemetryTopic },
      thief.signer,
    )
    fleet.broker.deliver(telemetryTopic, forged)
    await fleet.after(200)
    expect((await counters(fleet)).refused).toEqual({ 'frame.signature': 1 })
  })

  it('a window of another release under this name: acknowledged, since it can never fit', async () => {
    const { fleet, device } = await oneDevice()
    const window = { ...countedWindow(3, 0), shape: '0123456789abcdef' }
    const arms = [{ arm: 'baseline' as const, version: '1.0.0', variant: 'fp32', window }]
    device.say('telemetry', windowOf(device, { arms }))
    await fleet.after(200)
    expect((await counters(fleet)).refused).toEqual({ 'window.shape_mismatch': 1 })
    expect(device.acknowledged()).toHaveLength(1)
  })

  it('devices and topics that nobody knows; empty messages mean nothing', async () => {
    const { fleet } = await oneDevice()
    const nobody = formatTopic('up/telemetry', { fleet: FLEET, device: 'nobody' })
    fleet.broker.deliver(nobody, utf8('x'))
    fleet.broker.deliver('ln1/other/d/press-1/up/telemetry', utf8('x'))
    fleet.broker.deliver('ln1/plant/d/press-1/dn/desired', utf8('x'))
    fleet.broker.deliver(telemetryTopic, new Uint8Array(0))
    await fleet.after(200)
    expect((await counters(fleet)).refused).toEqual({
      'ingest.unknown_device': 1,
      'ingest.fleet': 1,
      'ingest.topic': 1,
    })
  })

  it('drops what does not fit the queue of one device, and takes it when it comes again', async () => {
    const { fleet, device } = await oneDevice()
    const messages = Array.from({ length: 520 }, () => windowOf(device))
    const sealed = messages.map((message) =>
      sealMessage('telemetry', message, { ...address, topic: telemetryTopic }, device.signer),
    )
    for (const bytes of sealed) fleet.broker.deliver(telemetryTopic, bytes)
    for (let i = 0; i < 9; i++) await fleet.after(200)
    expect((await counters(fleet)).refused).toEqual({ 'ingest.queue_full': 8 })
    expect(new Set(device.acknowledged()).size).toBe(512)
    for (const bytes of sealed.slice(512)) fleet.broker.deliver(telemetryTopic, bytes)
    await fleet.after(200)
    expect(await storedRequests(fleet)).toBe(5_200)
  })
})

describe('counts', () => {
  it('are conserved over loss, repetition, reordering and restarts', async () => {
    const anyDelivery = fc.record({
      message: fc.nat(19),
      next: fc.constantFrom('nothing', 'nothing', 'tick', 'restart'),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(anyDelivery, { maxLength: 40 }), async (deliveries) => {
        const { fleet: first, device } = await oneDevice()
        let fleet = first
        const messages = Array.from({ length: 20 }, () => windowOf(device))
        const stored = new Set<number>()
        let waiting: number[] = []
        for (const { message, next } of deliveries) {
          const sealed = sealMessage(
            'telemetry',
            messages[message]!,
            { ...address, topic: telemetryTopic },
            device.signer,
          )
          fleet.broker.deliver(telemetryTopic, sealed)
          waiting.push(message)
          if (next === 'nothing') continue
          // What waits in memory is lost with the process, unless a turn stored it before.
          if (next === 'tick') await fleet.after(200)
          if (next === 'tick') for (const i of waiting) stored.add(i)
          if (next === 'restart') fleet = await fleet.restart()
          waiting = []
        }
        expect(await storedRequests(fleet)).toBe(10 * stored.size)
      }),
      { numRuns: 20 },
    )
  })
})

describe('a device that follows an older assignment', () => {
  it('is given the newest one again', async () => {
    const { fleet, device } = await oneDevice()
    const wave = { percent: 100, trafficPercent: 100, shadowPercent: 0 }
    const waves = [{ ...wave, minSeconds: 0, maxSeconds: 60 }]
    const spec = buildSpec({ candidate: '1.0.0', baseline: null, waves })
    const { application } = fleet.controller
    const created = await application.createRollout(spec, ada)
    if (!created.ok) throw new Error(created.error.code)
    await application.commandRollout(created.value.id, 'start', { full: false, note: '' }, ada)
    await fleet.after(1_000)
    const topic = formatTopic('dn/desired', address)
    const sent = () => fleet.broker.published.filter((message) => message.topic === topic).length
    const before = sent()
    const report = { directorEpoch: 1, generation: 0, status: 'idle' as const }
    device.say('report', {
      boot: device.boot,
      seq: device.nextSeq(),
      atMs: fleet.clock.nowMs(),
      report: { ...report, slots: [], job: null, failures: [] },
      qualifications: [],
    })
    await fleet.after(200)
    expect(sent()).toBe(before + 1)
  })
})
