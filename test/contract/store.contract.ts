/**
 * What every `Store` must do. `reopen` gives a store on the same rows as a restarted controller
 * would find them.
 */
import { describe, expect, it } from 'vitest'
import type { Store, StoreChange, StoredWindow, WindowKey } from '../../controller/db/store.ts'
import { NO_COUNTS } from '../../shared/judge/arm-counts.ts'
import { emptyWindow } from '../../shared/sketch/window.ts'
import { recordRequest } from '../../shared/sketch/window-record.ts'
import { buildRollout } from '../fixtures/rollout-builders.ts'
import { someShape } from '../fixtures/sketch-builders.ts'

export interface StoreUnderTest {
  readonly store: Store
  /** Closes the store and opens its rows again. */
  reopen(): Promise<Store>
}

const shape = someShape()

const windowKey = (more: Partial<WindowKey> = {}): WindowKey => ({
  rollout: 'r1',
  wave: 0,
  share: 100_000,
  model: 'motor',
  version: '1.1.0',
  arm: 'canary',
  profile: 'raspberry-pi-5',
  shape: shape.id,
  minute: 29_000_000,
  ...more,
})

export function windowRow(requests: number, more: Partial<WindowKey> = {}): StoredWindow {
  const window = emptyWindow(shape)
  for (let i = 0; i < requests; i++) {
    recordRequest(window, shape, {
      latencyMs: { total: i % 2 === 0 ? 5 : 50, compute: 4 },
      error: i === 0 ? 'timeout' : undefined,
      features: [i, 1],
      prediction: { classIndex: 1, confidence: 0.9 },
    })
  }
  return { ...windowKey(more), messages: 1, window }
}

const value = (key: string, text: string): StoreChange => ({
  put: 'fleet',
  row: { key, value: text },
})
const notice = (id: number, device = 'd1'): StoreChange => ({
  put: 'notices',
  row: {
    id,
    device,
    receivedAtMs: id,
    notice: {
      kind: 'host_restarted',
      atMs: id,
      subject: 'motor@1.1.0',
      problem: { code: 'host.crashed', message: 'The host ended.' },
    },
  },
})
const seen = (device: string, boot: string): StoreChange => ({
  put: 'seen',
  row: { device, boot, ranges: [1, 4, 6, 6], usedAtMs: 5 },
})

export function storeContract(open: () => Promise<StoreUnderTest>): void {
  describe('store contract', () => {
    it('is empty at first', async () => {
      const { store } = await open()
      const state = await store.load()
      expect(state.devices).toEqual([])
      expect(state.lastIds).toEqual({ decision: 0, notice: 0, audit: 0 })
      expect(state.auditHash).toBe('')
    })

    it('gives back after a restart what was written', async () => {
      const { store, reopen } = await open()
      const rollout = buildRollout()
      await store.write([
        value('fleet', 'plant'),
        { put: 'rollouts', row: rollout },
        {
          put: 'metadata',
          row: { file: '1.root.json', bytes: new Uint8Array([0, 255, 7]), storedAtMs: 9 },
        },
        seen('d1', 'boot-1'),
        notice(3),
      ])
      const state = await (await reopen()).load()
      expect(state.fleet).toEqual([{ key: 'fleet', value: 'plant' }])
      expect(state.rollouts).toEqual([rollout])
      expect([...(state.metadata[0]?.bytes ?? [])]).toEqual([0, 255, 7])
      expect(state.seen[0]?.ranges).toEqual([1, 4, 6, 6])
      expect(state.lastIds.notice).toBe(3)
    })

    it('replaces rows by key, the last of a batch winning', async () => {
      const { store } = await open()
      await store.write([value('a', '1'), value('b', '1'), value('a', '2')])
      await store.write([value('b', '3')])
      const { fleet } = await store.load()
      expect(Object.fromEntries(fleet.map((row) => [row.key, row.value]))).toEqual({
        a: '2',
        b: '3',
      })
    })

    it('takes the same batch twice without a difference', async () => {
      const { store } = await open()
      const batch: StoreChange[] = [{ put: 'windows', row: windowRow(3) }, notice(1)]
      await store.write(batch)
      await store.write(batch)
      expect((await store.window(windowKey()))?.window.n).toBe(3)
      expect(await store.noticesOf('d1', 10)).toHaveLength(1)
    })

    it('keeps windows whole, apart by every part of their key', async () => {
      const { store } = await open()
      const rows = [
        windowRow(4),
        windowRow(5, { share: 250_000 }),
        windowRow(6, { rollout: null }),
        windowRow(7, { minute: 29_000_001 }),
        windowRow(8, { arm: 'baseline', version: '1.0.0' }),
      ]
      await store.write(rows.map((row) => ({ put: 'windows', row })))
      expect(await store.window(windowKey())).toEqual(rows[0])
      expect((await store.window(windowKey({ rollout: null })))?.window.n).toBe(6)
      expect(await store.window(windowKey({ profile: 'none' }))).toBeUndefined()
      expect((await store.windowsOf('r1')).map((row) => row.window.n).toSorted()).toEqual([
        4, 5, 7, 8,
      ])
      const minute = await store.windowsBetween(29_000_001, 29_000_001)
      expect(minute.map((row) => row.window.n)).toEqual([7])
    })

    it('adds up the counts of a rollout by wave, profile and release', async () => {
      const { store } = await open()
      const rows = [
        windowRow(4),
        windowRow(6, { minute: 29_000_003 }),
        windowRow(3, { share: 250_000 }),
        windowRow(5, { wave: 1 }),
        windowRow(7, { rollout: null }),
      ]
      await store.write(rows.map((row) => ({ put: 'windows', row })))
      const counts = (await store.countsOf('r1')).toSorted((a, b) => a.wave - b.wave)
      expect(counts).toEqual([
        {
          wave: 0,
          profile: 'raspberry-pi-5',
          version: '1.1.0',
          newestMinute: 29_000_003,
          counts: { ...NO_COUNTS, requests: 13, errors: 3, latencyBad: 6 },
        },
        {
          wave: 1,
          profile: 'raspberry-pi-5',
          version: '1.1.0',
          newestMinute: 29_000_000,
          counts: { ...NO_COUNTS, requests: 5, errors: 1, latencyBad: 2 },
        },
      ])
      expect(await store.countsOf('r2')).toEqual([])
    })

    it('forgets old windows and removed rows', async () => {
      const { store } = await open()
      await store.write([
        { put: 'windows', row: windowRow(1) },
        { put: 'windows', row: windowRow(2, { minute: 29_000_010 }) },
        seen('d1', 'boot-1'),
        seen('d1', 'boot-2'),
      ])
      await store.write([
        { forgetWindowsBeforeMinute: 29_000_010 },
        { remove: 'seen', row: { device: 'd1', boot: 'boot-1', ranges: [], usedAtMs: 0 } },
      ])
      expect((await store.windowsOf('r1')).map((row) => row.window.n)).toEqual([2])
      expect((await store.load()).seen.map((row) => row.boot)).toEqual(['boot-2'])
    })

    it('lists notices newest first, of one device or of all, up to a limit', async () => {
      const { store } = await open()
      await store.write([notice(1), notice(2, 'd2'), notice(3), notice(4)])
      expect((await store.noticesOf('d1', 2)).map((row) => row.id)).toEqual([4, 3])
      expect((await store.noticesOf(undefined, 9)).map((row) => row.id)).toEqual([4, 3, 2, 1])
    })

    it('forgets notices of a device but the newest, and all that are old', async () => {
      const { store } = await open()
      await store.write([notice(1), notice(2, 'd2'), notice(3), notice(4), notice(5, 'd2')])
      await store.write([{ forgetNoticesOf: 'd1', keep: 2 }])
      expect((await store.noticesOf(undefined, 9)).map((row) => row.id)).toEqual([5, 4, 3, 2])
      await store.write([{ forgetNoticesOf: 'd2', keep: 2 }, { forgetNoticesBeforeMs: 4 }])
      expect((await store.noticesOf(undefined, 9)).map((row) => row.id)).toEqual([5, 4])
    })

    it('takes more rows in a batch than one statement holds', async () => {
      const { store } = await open()
      await store.write(Array.from({ length: 1203 }, (_, i) => notice(i + 1)))
      expect((await store.load()).lastIds.notice).toBe(1203)
    })
  })
}
