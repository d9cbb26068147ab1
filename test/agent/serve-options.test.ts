import { describe, expect, it } from 'vitest'
import { readOptions } from '../../agent/serve-options.ts'

describe('linnet serve', () => {
  it('lets requests run together where that is proved, unless told otherwise', () => {
    expect(readOptions(['m.onnx'])).toMatchObject({ ok: true, value: { batching: 'auto' } })
    const off = readOptions(['m.onnx', '--batch', 'off'])
    expect(off).toMatchObject({ ok: true, value: { batching: 'off' } })
  })

  it('calls itself linnet, or what its operator says', () => {
    expect(readOptions(['m.onnx'])).toMatchObject({ value: { serverName: 'linnet' } })
    const named = readOptions(['m.onnx', '--server-name', 'triton'])
    expect(named).toMatchObject({ value: { serverName: 'triton' } })
  })

  it('takes no other word for it', () => {
    expect(readOptions(['m.onnx', '--batch', '8'])).toMatchObject({
      error: { code: 'usage', message: '--batch must be auto or off' },
    })
  })
})

describe('Numbers without sense', () => {
  it.each([
    '--memory-max=0',
    '--memory-max=-1',
    '--memory-max=NaN',
    '--memory-max=1e308',
    '--memory-max=Infinity',
    '--idle-unload-s=0',
    '--idle-unload-s=1e400',
    '--idle-unload-s=1e300',
    '--tuning-seconds=-1',
    '--tuning-seconds=1e9',
    '--tuning-seconds=0.5',
    '--threads=99999',
    '--server-name=',
    '--server-name=a b',
    '--hosts=0',
    '--hosts=1e1',
    '--hosts=17',
    '--listen=127.0.0.1:65536',
    '--grpc=127.0.0.1:-1',
  ])('are refused: %s', (option) => {
    expect(readOptions(['m.onnx', option])).toMatchObject({ error: { code: 'usage' } })
  })

  it('are refused as weights, too', () => {
    for (const weights of ['1e-300', 'NaN', '1e9', '1,']) {
      const args = ['m.onnx', '--hosts=2', '--balance=weighted', `--host-weights=${weights}`]
      expect(readOptions(args)).toMatchObject({ error: { code: 'usage' } })
    }
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
