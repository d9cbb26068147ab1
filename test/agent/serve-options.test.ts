import { describe, expect, it } from 'vitest'
import { readOptions } from '../../agent/serve-options.ts'

describe('linnet serve', () => {
  it('lets requests run together where that is proved, unless told otherwise', () => {
    expect(readOptions(['m.onnx'])).toMatchObject({ ok: true, value: { batching: 'auto' } })
    const off = readOptions(['m.onnx', '--batch', 'off'])
    expect(off).toMatchObject({ ok: true, value: { batching: 'off' } })
  })

  it('takes no other word for it', () => {
    expect(readOptions(['m.onnx', '--batch', '8'])).toMatchObject({
      error: { code: 'usage', message: '--batch must be auto or off' },
    })
  })
})
