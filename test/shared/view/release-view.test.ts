/** What people read of a release: what its answers and its counts tell. */
import { describe, expect, it } from 'vitest'
import { releaseDetail } from '../../../shared/view/release-view.ts'
import { NOW_MS, releaseResource } from '../../fixtures/resource-builders.ts'

const factsOf = (disclosure: object | undefined) => {
  const release = releaseResource()
  const manifest = { ...release.manifest, ...(disclosure && { disclosure }) }
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

  it('state epsilon, what it is shared by, and how much noise that is', () => {
    const { reference, classes } = releaseResource().manifest
    const tables = reference.length + (classes === null ? 0 : 3)
    expect(factsOf({ countNoise: { epsilon: 2 } }).get('count noise')).toMatch(
      new RegExp(
        `^epsilon 2 for each request, shared by ${tables} tables? of .*: ±\\d+\\.\\d on a count`,
      ),
    )
  })
})
