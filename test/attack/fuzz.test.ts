import { describe, expect, it } from 'vitest'
import { createPrng } from '../../shared/kernel/prng.ts'
import { type FuzzVerdict, fuzzSubjects, mutate } from './fuzz-subjects.ts'

/** 100,000 in `npm run bench -- fuzz`. */
const INPUTS = 300

describe.each(fuzzSubjects())('changed $name', ({ name, honest, judge }) => {
  it('are taken as they are', () => {
    expect(honest.map((bytes, origin) => judge(bytes, origin))).toEqual(honest.map(() => 'same'))
  })

  it('are never accepted and never a crash', () => {
    const random = createPrng(`fuzz ${name}`)
    const verdicts: Record<FuzzVerdict, number> = { refused: 0, same: 0, accepted: 0 }
    for (let i = 0; i < INPUTS; i++) {
      const origin = random.below(honest.length)
      verdicts[judge(mutate(honest[origin]!, random), origin)] += 1
    }
    expect(verdicts).toMatchObject({ accepted: 0 })
    expect(verdicts.refused).toBeGreaterThan(INPUTS / 20)
  })
})
