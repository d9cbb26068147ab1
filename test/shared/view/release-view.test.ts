/** What people read of a release: what its answers and its counts tell. */
import { describe, expect, it } from 'vitest'
import { releaseDetail } from '../../../shared/view/release-view.ts'
import { NOW_MS, releaseResource } from '../../fixtures/resource-builders.ts'

const factsOf = (disclosure: object | undefined, more: object = {}) => {
  const release = releaseResource()
  const manifest = { ...release.manifest, ...(disclosure && { disclosure }), ...more }
  return new Map(releaseDetail({ ...release, manifest }, NOW_MS).facts)
}

describe('The details of a release', () => {
  it('say nothing of limits that it has not', () => {
    expect([...factsOf(undefined).keys()]).not.toContain('answers')
    expect([...factsOf({}).keys()]).not.toContain('count noise')
  })

  it('say how its answers are limited', () => {
    const disclosure = { decimals: 1, topK: 3, requestsPerMinuteMax: 60 }
    expect(factsOf(disclosure).get('answers')).toBe(
      'rounded to 1 decimal, the 3 largest scores, at most 60 a minute',
    )
  })

  it('say where a release counts nothing that noise could be put on', () => {
    const nothing = { reference: [], classes: null }
    expect(factsOf({ countNoise: { epsilon: 2 } }, nothing).get('count noise')).toBe(
      'epsilon 2, and no counts of inputs or classes to put it on',
    )
  })

  it('state epsilon, what it is shared by, and how much noise that is', () => {
    const classes = { tensor: 'scores', names: ['low', 'high'] }
    expect(factsOf({ countNoise: { epsilon: 2 } }, { classes }).get('count noise')).toMatch(
      /^epsilon 2 for each request, shared by 3 tables of .*: ±\d+\.\d on a count/,
    )
  })
})
