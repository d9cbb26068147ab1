import { describe, expect, it } from 'vitest'
import type { ClosedInterval, SpoolStore } from '../../agent/ports.ts'
import { openSpool, SPOOL_LIMITS, type Spool, type SpoolLimits } from '../../agent/spool.ts'
import type { DeviceNotice } from '../../shared/model/device.ts'
import { emptyWindow } from '../../shared/sketch/window.ts'
import { reportOf } from '../../shared/update/report.ts'
import { initialDeviceState } from '../../shared/update/state.ts'
import { someShape } from '../fixtures/sketch-builders.ts'

const HOUR_MS = 3_600_000
const shape = someShape()

/** A journal in memory that can refuse to write. */
class MemoryStore implements SpoolStore {
  records: string[] = []
  replaced = 0
  isFull = false

  async load(): Promise<readonly string[]> {
    return [...this.records]
  }

  async append(records: readonly string[]): Promise<void> {
    if (this.isFull) throw new Error('disk full')
    this.records.push(...records)
  }

  async replace(records: readonly string[]): Promise<void> {
    if (this.isFull) throw new Error('disk full')
    this.records = [...records]
    this.replaced += 1
  }
}

function anInterval(startedAtMs: number, change: Partial<ClosedInterval> = {}): ClosedInterval {
  const window = { ...emptyWindow(shape), n: 10 }
  return {
    ...{ model: 'motor', generation: 1, rollout: { id: 'r1', wave: 0 }, share: 0 },
    ...{ startedAtMs, durationMs: 60_000 },
    arms: [{ arm: 'baseline', version: '1.0.0', variant: 'fp32', window }],
    ...change,
  }
}

const notice: DeviceNotice = {
  ...{ kind: 'rolled_back', atMs: 5, subject: 'motor@1.1.0' },
  problem: { code: 'x.y', message: 'Something.' },
}

const open = (store: SpoolStore, boot = 'boot-1', limits: Partial<SpoolLimits> = {}) =>
  openSpool(store, boot, { ...SPOOL_LIMITS, ...limits })
const windows = async (spool: Spool, nowMs = 0) =>
  (await spool.take(nowMs)).due.flatMap(({ kind, message }) =>
    kind === 'telemetry' ? [message] : [],
  )
const requests = (message: { arms: readonly { window: { n: number } }[] }) =>
  message.arms.reduce((sum, { window }) => sum + window.n, 0)

describe('intervals that wait', () => {
  it('merge when everything but the minute is the same', async () => {
    const spool = await open(new MemoryStore())
    for (let minute = 0; minute < 30; minute++) spool.addInterval(anInterval(minute * 60_000), 0)
    const sent = await windows(spool)
    expect(sent).toHaveLength(1)
    expect(sent[0]).toMatchObject({ startedAtMs: 0, durationMs: 1_800_000, boot: 'boot-1', seq: 1 })
    expect(requests(sent[0]!)).toBe(300)
  })

  const arm = anInterval(0).arms[0]!
  it.each<[string, Partial<ClosedInterval>]>([
    ['another model', { model: 'camera' }],
    ['another generation', { generation: 2 }],
    ['another rollout', { rollout: { id: 'r2', wave: 0 } }],
    ['another wave', { rollout: { id: 'r1', wave: 1 } }],
    ['no rollout', { rollout: null }],
    ['another share', { share: 100_000 }],
    ['another version', { arms: [{ ...arm, version: '1.0.1' }] }],
    ['another variant', { arms: [{ ...arm, variant: 'int8' }] }],
    ['another arm', { arms: [{ ...arm, arm: 'canary' }] }],
    ['another hour', { startedAtMs: HOUR_MS }],
  ])('stay apart for %s', async (_, change) => {
    const spool = await open(new MemoryStore())
    spool.addInterval(anInterval(0), 0)
    spool.addInterval(anInterval(0, change), 0)
    expect(await windows(spool)).toHaveLength(2)
  })

  it('never merge with one that was sent', async () => {
    const spool = await open(new MemoryStore())
    spool.addInterval(anInterval(0), 0)
    const [first] = await windows(spool)
    spool.addInterval(anInterval(60_000), 0)
    const again = await windows(spool)
    expect(again.map(({ seq }) => seq)).toEqual([2])
    spool.allDueAgain()
    expect((await windows(spool))[0]).toEqual(first)
  })
})

describe('a stamp', () => {
  it('is in the journal before the message leaves, so a crash cannot change it', async () => {
    const store = new MemoryStore()
    const spool = await open(store)
    spool.addInterval(anInterval(0), 0)
    const sent = await windows(spool)
    const next = await open(store, 'boot-2')
    expect(await windows(next)).toEqual(sent)
  })

  it('is not given when the journal cannot be written', async () => {
    const store = new MemoryStore()
    const spool = await open(store)
    spool.addInterval(anInterval(0), 0)
    await spool.flush()
    store.isFull = true
    expect(await spool.take(0)).toMatchObject({ due: [], unwritten: new Error('disk full') })
    store.isFull = false
    await spool.flush()
    expect(store.replaced).toBe(1)
    const next = await open(store, 'boot-2')
    expect((await windows(next)).map(({ boot, seq }) => [boot, seq])).toEqual([['boot-1', 1]])
  })

  it('waits while the disk is full, but the notice that says so does not', async () => {
    const store = new MemoryStore()
    const spool = await open(store)
    store.isFull = true
    spool.addInterval(anInterval(0), 0)
    const problem = { code: 'disk.full', message: 'The disk of the device is full.' }
    spool.addNotice({ kind: 'disk_failed', atMs: 0, subject: 'state', problem })
    const { due, unwritten } = await spool.take(0)
    expect(due).toMatchObject([{ kind: 'notice', message: { notice: { kind: 'disk_failed' } } }])
    expect(unwritten).toEqual(new Error('disk full'))
    store.isFull = false
    expect(await windows(spool)).toHaveLength(1)
  })

  it('of an earlier boot stays beside the new ones', async () => {
    const store = new MemoryStore()
    const first = await open(store, 'boot-1')
    first.addInterval(anInterval(0), 0)
    await windows(first)
    const second = await open(store, 'boot-2')
    second.addInterval(anInterval(HOUR_MS), 0)
    const stamps = (await windows(second)).map(({ boot, seq }) => `${boot}/${seq}`)
    expect(stamps).toEqual(['boot-1/1', 'boot-2/1'])
  })
})

describe('sending', () => {
  it('is repeated after 30 s, 60 s, 120 s ... up to 480 s', async () => {
    const spool = await open(new MemoryStore())
    spool.addInterval(anInterval(0), 0)
    const due: number[] = []
    for (let second = 0; second < 2_000; second += 10) {
      if ((await windows(spool, second * 1_000)).length > 0) due.push(second)
    }
    expect(due).toEqual([0, 30, 90, 210, 450, 930, 1_410, 1_890])
    expect(spool.nextDueMs()).toBe(2_370_000)
  })

  it('keeps at most so many unacknowledged', async () => {
    const spool = await open(new MemoryStore(), 'boot-1', { inFlightMax: 3 })
    for (let hour = 0; hour < 10; hour++) spool.addInterval(anInterval(hour * HOUR_MS), 0)
    expect(await windows(spool)).toHaveLength(3)
    expect(await windows(spool)).toHaveLength(0)
    spool.acknowledge({ boot: 'boot-1', stored: [1, 3] })
    expect((await windows(spool)).map(({ seq }) => seq)).toEqual([4, 5])
  })

  it('that the network did not take is due again at once, the same', async () => {
    const spool = await open(new MemoryStore())
    spool.addInterval(anInterval(0), 0)
    const first = (await spool.take(0)).due[0]
    spool.putBack(first!.key)
    expect((await spool.take(0)).due).toEqual([first])
  })
})

describe('an acknowledgement', () => {
  it('forgets exactly what it names, for good', async () => {
    const store = new MemoryStore()
    const spool = await open(store)
    spool.addInterval(anInterval(0), 0)
    spool.addNotice(notice)
    await spool.take(0)
    spool.acknowledge({ boot: 'other', stored: [1, 2] })
    spool.acknowledge({ boot: 'boot-1', stored: [99] })
    expect(spool.size().entries).toBe(2)
    spool.acknowledge({ boot: 'boot-1', stored: [1] })
    await spool.flush()
    expect(spool.size().entries).toBe(1)
    const next = await open(store, 'boot-2')
    expect((await next.take(0)).due.map(({ kind }) => kind)).toEqual(['notice'])
  })

  it('of an older report does not forget the newer one', async () => {
    const spool = await open(new MemoryStore())
    const report = reportOf(initialDeviceState())
    spool.setReport(report, [], 1)
    await spool.take(0)
    spool.setReport(report, [], 2)
    spool.acknowledge({ boot: 'boot-1', stored: [1] })
    expect((await spool.take(0)).due[0]).toMatchObject({
      kind: 'report',
      message: { atMs: 2, seq: 2 },
    })
    spool.acknowledge({ boot: 'boot-1', stored: [2] })
    spool.allDueAgain()
    expect(await spool.take(0)).toEqual({ due: [] })
  })
})

describe('a full spool', () => {
  it('turns the hours of the oldest day into one day before it drops anything', async () => {
    const spool = await open(new MemoryStore(), 'boot-1', { intervalsMax: 30 })
    for (let hour = 0; hour < 72; hour++) spool.addInterval(anInterval(hour * HOUR_MS), 0)
    const sent = await windows(spool)
    expect(sent.length).toBeLessThanOrEqual(30)
    expect(sent.reduce((sum, message) => sum + requests(message), 0)).toBe(720)
    expect(sent[0]).toMatchObject({ startedAtMs: 0, durationMs: 24 * 60_000 })
    expect(spool.size().dropped).toEqual({ windows: 0, requests: 0 })
  })

  it('drops the oldest, counts them, and tells it in one notice', async () => {
    const spool = await open(new MemoryStore(), 'boot-1', { intervalsMax: 5 })
    for (let day = 0; day < 9; day++) spool.addInterval(anInterval(day * 24 * HOUR_MS), 7)
    expect(spool.size().dropped).toEqual({ windows: 4, requests: 40 })
    const { due } = await spool.take(0)
    const notices = due.filter(({ kind }) => kind === 'notice')
    expect(notices).toMatchObject([
      {
        message: {
          notice: {
            kind: 'spool_overflow',
            atMs: 7,
            problem: { found: '4 windows of 40 requests since the start' },
          },
        },
      },
    ])
    const started = due.flatMap((m) => (m.kind === 'telemetry' ? [m.message.startedAtMs] : []))
    expect(Math.min(...started)).toBe(4 * 24 * HOUR_MS)
  })

  it('keeps to its bytes', async () => {
    const spool = await open(new MemoryStore(), 'boot-1', { bytesMax: 20_000 })
    for (let day = 0; day < 100; day++) spool.addInterval(anInterval(day * 24 * HOUR_MS), 0)
    expect(spool.size().bytes).toBeLessThanOrEqual(20_000)
    expect(spool.size().dropped.windows + spool.size().entries - 1).toBe(100)
  })

  it('keeps the newest notices', async () => {
    const spool = await open(new MemoryStore(), 'boot-1', { noticesMax: 3 })
    for (let atMs = 0; atMs < 10; atMs++) spool.addNotice({ ...notice, atMs })
    const kept = (await spool.take(0)).due.map(({ message }) =>
      'notice' in message ? message.notice.atMs : undefined,
    )
    expect(kept).toEqual([7, 8, 9])
  })
})

describe('the journal', () => {
  it('is rewritten when most of it is dead, and loses nothing by it', async () => {
    const store = new MemoryStore()
    const spool = await open(store)
    for (let i = 0; i < 400; i++) {
      spool.addInterval(anInterval(i * HOUR_MS), 0)
      await spool.take(0)
      spool.acknowledge({ boot: 'boot-1', stored: [i] })
    }
    await spool.flush()
    expect(store.replaced).toBeGreaterThan(0)
    const next = await open(store, 'boot-2')
    expect((await windows(next)).map(({ seq }) => seq)).toEqual([400])
  })

  it('leaves out what another version wrote', async () => {
    const store = new MemoryStore()
    store.records = ['["put",{"kind":"riddle","id":1}]', 'not even JSON']
    const spool = await open(store)
    expect(spool.size().entries).toBe(0)
  })
})
