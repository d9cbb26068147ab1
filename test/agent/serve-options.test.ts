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

describe('--threads', () => {
  it.each(['abc', '0', '-1', '1.5', ''])('refuses %j', (threads) => {
    expect(readOptions(['m.onnx', `--threads=${threads}`])).toMatchObject({
      error: { code: 'usage', message: '--threads must be a whole number over 0' },
    })
  })

  it('takes a number', () => {
    expect(readOptions(['m.onnx', '--threads', '2'])).toMatchObject({ ok: true })
  })
})
