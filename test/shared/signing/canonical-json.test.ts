import { canonicalize } from '@tufjs/canonical-json'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../../../shared/kernel/bytes.ts'
import { canonicalBytes, parseJson } from '../../../shared/signing/canonical-json.ts'

const limits = { bytesMax: 1_000, depthMax: 4, valuesMax: 10 }

function canonicalText(value: unknown): string | undefined {
  const bytes = canonicalBytes(value)
  return bytes.ok ? fromUtf8(bytes.value) : bytes.error.code
}

describe('canonicalBytes', () => {
  it('sorts keys, leaves out spaces, escapes only quotes and backslashes', () => {
    const value = { b: [1, -2, true, null], a: 'q"\\\n\u00e9', _: {} }
    expect(canonicalText(value)).toBe('{"_":{},"a":"q\\"\\\\\n\u00e9","b":[1,-2,true,null]}')
  })

  it('gives what the canonical JSON of tuf-js gives, escapes and control characters included', () => {
    const text = fc.string({
      unit: fc.constantFrom('"', '\\', '\n', '\u0000', 'a', '\u00e9', '\u{1f600}'),
    })
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom(null, true, false, 0, -0, 7, -(2 ** 53 - 1)),
        text,
        fc.array(tie('any')),
        fc.dictionary(text, tie('any')),
      ),
    })).any
    fc.assert(
      fc.property(value, (any) => {
        expect(canonicalText(any)).toBe(canonicalize(any))
      }),
    )
  })

  it.each<[string, unknown]>([
    ['a fraction', { a: 0.5 }],
    ['NaN', [Number.NaN]],
    ['infinity', [Number.POSITIVE_INFINITY]],
    ['an integer beyond 2^53', 2 ** 53],
    ['undefined', undefined],
    ['an undefined member', { a: undefined }],
    ['a hole', new Array(2)],
    ['a function', { a: () => 1 }],
    ['a bigint', 1n],
    ['a symbol', Symbol('s')],
    ['a date', { a: new Date(0) }],
    ['bytes', new Uint8Array(2)],
    ['half a surrogate pair', 'a\ud800'],
    ['half a surrogate pair in a key', { '\udc00': 1 }],
  ])('refuses %s', (_, value) => {
    expect(canonicalText(value)).toBe('json.not_canonical')
  })

  it('refuses nesting that would exhaust the stack', () => {
    let value: unknown = 1
    for (let i = 0; i < 100_000; i++) value = [value]
    expect(canonicalText(value)).toBe('json.not_canonical')
  })

  it('gives equal bytes for equal values only', () => {
    const value = fc.jsonValue({ depthSize: 'small' })
    fc.assert(
      fc.property(value, value, (a, b) => {
        const [left, right] = [canonicalText(a), canonicalText(b)]
        if (left === 'json.not_canonical' || left !== right) return
        expect(JSON.stringify(sorted(a))).toBe(JSON.stringify(sorted(b)))
      }),
    )
  })

  it('treats members named like parts of the prototype as any other', () => {
    expect(canonicalText(JSON.parse('{"__proto__":1,"constructor":2}'))).toBe(
      '{"__proto__":1,"constructor":2}',
    )
  })
})

describe('parseJson', () => {
  it.each<[string, string]>([
    ['json.too_large', `"${'x'.repeat(1_000)}"`],
    ['json.too_deep', '[[[[[1]]]]]'],
    ['json.too_many', '[1,2,3,4,5,6,7,8,9,10,11]'],
    ['json.malformed', '[1'],
    ['json.malformed', ''],
  ])('refuses with %s', (code, text) => {
    expect(parseJson(utf8(text), limits)).toMatchObject({ ok: false, error: { code } })
  })

  it('refuses bytes that are not UTF-8', () => {
    const bytes = Uint8Array.of(0x22, 0xff, 0x22)
    expect(parseJson(bytes, limits)).toMatchObject({ error: { code: 'json.malformed' } })
  })

  it('does not count what is inside strings', () => {
    expect(parseJson(utf8('"[[[[[[,,,,,,,,,,\\"[[["'), limits)).toMatchObject({ ok: true })
  })
})

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value === 0 ? 0 : value
  return Object.entries(value)
    .map(([key, inner]) => [key, sorted(inner)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
}
