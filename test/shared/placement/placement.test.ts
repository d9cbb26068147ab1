/** Who stays in memory. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { idleFor, makeRoom, type Resident } from '../../../shared/placement/placement.ts'

const MIB = 2 ** 20
const resident = (key: string, mib: number, more: Partial<Resident> = {}): Resident => ({
  ...{ key, bytes: mib * MIB, lastUsedMs: 0, isHeld: false, isSpare: false },
  ...more,
})

describe('Room for a model', () => {
  it('is there, and nobody goes', () => {
    expect(makeRoom([resident('a', 10)], 20 * MIB, 30 * MIB)).toEqual({ ok: true, value: [] })
  })

  it('is made by the least recently used, after what is kept for a rollback', () => {
    const residents = [
      resident('used', 10, { lastUsedMs: 9 }),
      resident('old', 10, { lastUsedMs: 1 }),
      resident('spare', 10, { lastUsedMs: 8, isSpare: true }),
    ]
    expect(makeRoom(residents, 10 * MIB, 30 * MIB)).toMatchObject({ value: ['spare'] })
    expect(makeRoom(residents, 20 * MIB, 30 * MIB)).toMatchObject({ value: ['spare', 'old'] })
  })

  it('keeps a small one that a large one makes needless', () => {
    const residents = [resident('small', 1), resident('large', 20, { lastUsedMs: 1 })]
    expect(makeRoom(residents, 10 * MIB, 21 * MIB)).toMatchObject({ value: ['large'] })
  })

  it('is refused with the figures: while others are in use, and where it can never be', () => {
    expect(makeRoom([resident('a', 10, { isHeld: true })], 25 * MIB, 30 * MIB)).toMatchObject({
      error: {
        code: 'placement.no_room',
        expected: '25.0 MiB of 30.0 MiB',
        found: '10.0 MiB in use by 1 models',
      },
    })
    expect(makeRoom([], 31 * MIB, 30 * MIB)).toMatchObject({
      error: { code: 'placement.too_large', expected: 'at most 30.0 MiB', found: '31.0 MiB' },
    })
  })
})

describe('Whatever is resident', () => {
  const residents = fc.uniqueArray(
    fc.record({
      key: fc.string({ minLength: 1, maxLength: 4 }),
      bytes: fc.nat(100),
      lastUsedMs: fc.nat(20),
      isHeld: fc.boolean(),
      isSpare: fc.boolean(),
    }),
    { selector: ({ key }) => key, maxLength: 12 },
  )

  it('room that is granted is there, nobody in use goes, and nobody goes needlessly', () => {
    fc.assert(
      fc.property(residents, fc.nat(200), fc.nat(400), (all, need, budget) => {
        const made = makeRoom(all, need, budget)
        const sum = (rows: readonly Resident[]) => rows.reduce((total, r) => total + r.bytes, 0)
        if (!made.ok) {
          // Refused only where even all that may go would not do.
          const held = all.filter(({ isHeld }) => isHeld)
          expect(sum(held) + need).toBeGreaterThan(budget)
          return
        }
        const gone = new Set(made.value)
        expect(all.filter(({ key, isHeld }) => gone.has(key) && isHeld)).toEqual([])
        const left = sum(all.filter(({ key }) => !gone.has(key))) + need
        if (gone.size > 0) expect(left).toBeLessThanOrEqual(budget)
        for (const { key, bytes } of all)
          if (gone.has(key)) expect(left + bytes).toBeGreaterThan(budget)
      }),
    )
  })

  it('who is idle for long is not held, and the longest goes first', () => {
    fc.assert(
      fc.property(residents, fc.nat(40), fc.nat(20), (all, now, idle) => {
        const going = idleFor(all, now, idle).map((key) => all.find((r) => r.key === key)!)
        expect(going.every((r) => !r.isHeld && now - r.lastUsedMs >= idle)).toBe(true)
        const times = going.map((r) => r.lastUsedMs)
        expect(times).toEqual(times.toSorted((a, b) => a - b))
        expect(going).toHaveLength(
          all.filter((r) => !r.isHeld && now - r.lastUsedMs >= idle).length,
        )
      }),
    )
  })
})
