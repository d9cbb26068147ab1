import { describe, expect, it } from 'vitest'
import { isTransient } from '../../agent/failures.ts'

describe('which problems may pass by themselves', () => {
  it.each([
    ['net.slow', true],
    ['disk.full', true],
    ['busy.refreshes', true],
    ['tuf.mix_and_match', true],
    // Release metadata with a flipped bit: found by simulation seed 121.
    ['json.malformed', true],
    ['envelope.malformed', true],
    ['assignment.malformed', false],
    ['release.manifest', false],
    ['trust.target_mismatch', false],
    ['variant.none_fits', false],
  ])('%s: %s', (code, transient) => {
    expect(isTransient({ code, message: '' })).toBe(transient)
  })
})
