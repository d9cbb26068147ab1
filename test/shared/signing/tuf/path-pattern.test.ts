import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matchesPattern } from '../../../../shared/signing/tuf/path-pattern.ts'
import { formatTime, parseTime } from '../../../../shared/signing/tuf/timestamps.ts'

describe('path patterns', () => {
  it.each([
    ['targets/*.tgz', 'targets/foo.tgz', true],
    ['targets/*.tgz', 'targets/foo.txt', false],
    ['foo-version-?.tgz', 'foo-version-2.tgz', true],
    ['foo-version-?.tgz', 'foo-version-alpha.tgz', false],
    ['*.tgz', 'foo.tgz', true],
    ['*.tgz', 'targets/foo.tgz', false],
    ['foo.tgz', 'foo.tgz', true],
    ['foo.tgz', 'fooxtgz', false],
    ['*', '', true],
    ['*', 'a/b', false],
    ['*/*', 'a/b', true],
    ['a*b*c', 'a123b456c', true],
    ['a*b*c', 'a123b456', false],
    ['[a-c]x', 'bx', true],
    ['[!a-c]x', 'bx', false],
    ['[]x', '[]x', true],
    ['[]]x', ']x', true],
    ['[', '[', true],
    ['[[a-c', '[[a-c', true],
    ['[[x]', 'x', true],
    ['a**b', 'ab', true],
    ['a**b', 'axxb', true],
    ['?', '\u{1F426}', true],
    ['.*', 'xx', false],
    ['motor/*/*', 'motor/1.0.0/manifest.json', true],
    ['motor/*/*', 'motor/../x', true],
    ['motor/*/*', 'pump/1.0.0/manifest.json', false],
  ])('%s and %s: %s', (pattern, path, matches) => {
    expect(matchesPattern(path, pattern)).toBe(matches)
  })

  it('without wildcards match themselves alone', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.') })
    fc.assert(
      fc.property(text, text, (path, pattern) => {
        expect(matchesPattern(path, pattern)).toBe(path === pattern)
      }),
    )
  })

  it('of stars cost a bounded number of steps', () => {
    const pattern = `${'a*'.repeat(2_000)}b`
    expect(matchesPattern('a'.repeat(4_000), pattern)).toBe(false)
  })
})

describe('times in metadata', () => {
  it('are written and read to the second', () => {
    fc.assert(
      fc.property(fc.integer({ min: -30_000_000_000, max: 200_000_000_000 }), (seconds) => {
        expect(formatTime(seconds * 1000)).toBe(
          new Date(seconds * 1000).toISOString().replace('.000', ''),
        )
        expect(parseTime(formatTime(seconds * 1000))).toBe(seconds * 1000)
      }),
    )
  })

  it.each([
    ['2030-01-01T00:00:00Z', Date.UTC(2030, 0, 1)],
    ['2028-02-29T23:59:59Z', Date.UTC(2028, 1, 29, 23, 59, 59)],
    ['2021-12-18T13:28:12.99008-06:00', Date.UTC(2021, 11, 18, 19, 28, 12)],
    ['2030-01-01T01:30:00+01:30', Date.UTC(2030, 0, 1)],
    ['2030-02-29T00:00:00Z', undefined],
    ['2030-13-01T00:00:00Z', undefined],
    ['2030-01-01T24:00:00Z', undefined],
    ['2030-01-01', undefined],
    ['2030-01-01T00:00:00', undefined],
    ['+010000-01-01T00:00:00Z', undefined],
    ['', undefined],
  ])('%s', (text, timeMs) => {
    expect(parseTime(text)).toBe(timeMs)
  })
})
