/** The session of a request is found in its bytes as JSON.parse would find it, and without building. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parametersOf, timeoutMsOf } from '../../../agent/front/request-parameters.ts'
import { sessionOf } from '../../../agent/front/session-of.ts'

const keyOf = (json: string): string | undefined => sessionOf(parametersOf(Buffer.from(json)))?.key

describe('The session of a request', () => {
  it('is the one that JSON.parse finds, whatever else the body says', () => {
    const value = fc.jsonValue({ maxDepth: 3 })
    const name = fc.constantFrom(
      'key',
      'parameters',
      'inputs',
      'a"\\',
      '{',
      '\u00e9',
      'sequence_end',
    )
    const object = fc.dictionary(name, value)
    fc.assert(
      fc.property(object, object, fc.string(), fc.nat(3), (around, parameters, key, indent) => {
        const body = { ...around, parameters: { ...parameters, key, sequence_end: false } }
        const found = keyOf(JSON.stringify(body, undefined, indent))
        expect(found).toBe(`k/${key}`)
      }),
    )
  })

  it('is that of the last parameters where they are there twice', () => {
    expect(keyOf('{"parameters":{"key":"a"},"parameters":{"key":"b","key":"c"}}')).toBe('k/c')
  })

  it('is a stream of its own for every number, however large', () => {
    for (const id of ['9007199254740992', '9007199254740993', '18446744073709551615']) {
      expect(keyOf(`{"parameters":{"sequence_id": ${id} }}`)).toBe(`s/${id}`)
    }
  })

  it('is read through escapes, in names as in values', () => {
    expect(keyOf('{"p\\u0061rameters":{"\\u006bey":"\\u0061\\"}"}}')).toBe('k/a"}')
  })

  it.each([
    ['named inside an input', '{"inputs":[{"parameters":{"key":"a"}}]}'],
    ['named in a text', '{"id":"{\\"parameters\\":{\\"key\\":\\"a\\"}}","x":"\\u0061"}'],
    ['of a list', '[{"parameters":{"key":"a"}}]'],
    ['of parameters that are a list', '{"parameters":["key","a"]}'],
    ['that is no text', '{"parameters":{"key":[1]}}'],
    ['longer than any key', `{"parameters":{"key":"${'a'.repeat(3_000)}"}}`],
    ['of a body that breaks off', '{"parameters":{"key":"a'],
  ])('does not exist: %s', (_what, json) => {
    expect(keyOf(json)).toBeUndefined()
  })

  it('is found behind 2 MiB of nesting that no stack would hold', () => {
    const deep = '['.repeat(1 << 20) + ']'.repeat(1 << 20)
    expect(keyOf(`{"inputs":${deep},"parameters":{"x":${deep},"key":"a"}}`)).toBe('k/a')
  })

  it('is not searched for among more members than a request has', () => {
    const many = Array.from({ length: 1_000 }, (_, i) => `"m${i}":0`).join()
    expect(keyOf(`{${many},"parameters":{"key":"a"}}`)).toBeUndefined()
  })
})

describe('The timeout of a request', () => {
  it.each([
    ['{"parameters":{"timeout":2500}}', 2.5],
    ['{"parameters":{"timeout":0}}', Infinity],
    ['{"timeout":2500}', Infinity],
    ['{"parameters":{"timeout":-1}}', Infinity],
  ])('is read in microseconds: %s', (json, timeoutMs) => {
    expect(timeoutMsOf(parametersOf(Buffer.from(json)))).toBe(timeoutMs)
  })
})
