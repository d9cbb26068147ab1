import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isSumFinite } from '../../../../agent/runtime/plane/finite-sum.ts'

describe('the quick look for NaN and infinity', () => {
  it('never calls a tensor finite that is not, wherever the value stands', () => {
    const bad = fc.constantFrom(Number.NaN, Infinity, -Infinity)
    fc.assert(
      fc.property(
        fc.float32Array({ noNaN: true, maxLength: 40 }),
        bad,
        fc.nat(),
        (some, one, at) => {
          const values = Float32Array.of(...some.filter(Number.isFinite), 1)
          expect(isSumFinite(values)).toBe(true)
          values[at % values.length] = one
          expect(isSumFinite(values)).toBe(false)
        },
      ),
    )
  })

  it('is not fooled by infinities that cancel', () => {
    expect(isSumFinite(Float32Array.of(Infinity, -Infinity))).toBe(false)
  })

  it('says no where doubles only run over, so that each is looked at', () => {
    expect(isSumFinite(Float64Array.of(1e308, 1e308))).toBe(false)
  })
})
