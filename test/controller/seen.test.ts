import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addSeen, hasSeen } from '../../controller/seen.ts'

const add = (seqs: readonly number[]) => seqs.reduce<readonly number[]>(addSeen, [])

describe('sequence numbers that were seen', () => {
  it('become one range when none is missing, in whatever order they came', () => {
    expect(add([3, 1, 2, 5, 4])).toEqual([1, 5])
    expect(add([1, 2, 4, 7, 8])).toEqual([1, 2, 4, 4, 7, 8])
  })

  it('are exactly those that were added, as long as there are few gaps', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 50 }), (seqs) => {
        const ranges = add(seqs)
        for (let seq = 0; seq <= 61; seq++) expect(hasSeen(ranges, seq)).toBe(seqs.includes(seq))
      }),
    )
  })

  it('never become new again, however many gaps there are', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 2_000 }), { maxLength: 300 }),
        (seqs) => {
          const ranges = add(seqs)
          expect(ranges.length).toBeLessThanOrEqual(128)
          expect(seqs.every((seq) => hasSeen(ranges, seq))).toBe(true)
          expect(ranges.every((value, i) => i === 0 || value >= ranges[i - 1]!)).toBe(true)
        },
      ),
    )
  })
})
