/** Memory of the front: whoever sends slowly cannot keep it from those who do not. */
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { createBodyReader, type RequestBody } from '../../../agent/front/request-body.ts'
import type { Result } from '../../../shared/kernel/result.ts'

const tick = (): Promise<void> => new Promise((done) => setImmediate(done))

function reader() {
  const bodies = createBodyReader(60, { incomingBytesMax: 100, wholeBytesMax: 100 })
  const open = (headBytes?: number) => {
    const stream = Object.assign(new PassThrough(), { headers: {} })
    const told: Result<RequestBody>[] = []
    bodies.read(stream as unknown as IncomingMessage, headBytes, (body) => void told.push(body))
    const send = async (bytes: number): Promise<void> => {
      stream.write(Buffer.alloc(bytes))
      await tick()
    }
    const end = async (): Promise<void> => {
      stream.end()
      await tick()
    }
    return { stream, told, send, end }
  }
  return { open }
}

describe('Bodies that are coming in', () => {
  it('past the limit cost the slowest its connection, and the newest goes on', async () => {
    const { open } = reader()
    const idle = [open(), open()]
    for (const one of idle) await one.send(50)
    const quick = open()
    await quick.send(40)
    await quick.end()
    expect(idle.map(({ stream }) => stream.destroyed)).toEqual([true, false])
    expect(quick.told).toMatchObject([{ ok: true, value: { isWhole: true } }])
    expect(idle.flatMap(({ told }) => told)).toEqual([])
  })

  it('are cut as well when their head is there and the rest does not come', async () => {
    const { open } = reader()
    const idle = open(10)
    await idle.send(60)
    expect(idle.told).toMatchObject([{ ok: true, value: { isWhole: false } }])
    await open().send(60)
    expect(idle.stream.destroyed).toBe(true)
  })
})

describe('Bodies that are whole', () => {
  it('past the limit are refused, the newest first, until one is answered', async () => {
    const { open } = reader()
    const [first, second, third] = [open(), open(), open()]
    for (const one of [first, second]) {
      await one.send(60)
      await one.end()
    }
    expect(second.told).toMatchObject([{ ok: false, error: { code: 'infer.overloaded' } }])
    if (first.told[0]?.ok) first.told[0].value.release()
    await third.send(60)
    await third.end()
    expect(third.told).toMatchObject([{ ok: true }])
  })
})
