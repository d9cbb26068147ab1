/** The direct path of the local API over real sockets: it must not differ from the fetch-like one. */
import { request as httpRequest } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createInferLane } from '../../../agent/serve/infer-lane.ts'
import { createInferListener } from '../../../agent/serve/infer-listener.ts'
import { createInferenceApi } from '../../../agent/serve/inference-api.ts'
import { type Listening, listen } from '../../../agent/serve/listen.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

const LIMITS = { requestBytesMax: 4_096, loopbackOnly: true }
let plane: BuiltPlane
let listening: Listening
let url: string

beforeEach(async () => {
  plane = buildPlane()
  plane.put(buildLive((inputs) => SCORES(0.75, Number(inputs[0]?.data[1]))))
  listening = await listen(createInferenceApi(plane, LIMITS), {
    tcp: { host: '127.0.0.1', port: 0 },
    socketPath: null,
    lane: createInferLane(plane, LIMITS),
    direct: createInferListener(plane, LIMITS),
  })
  url = `http://127.0.0.1:${listening.port}/v2/models/tiny`
})
afterEach(() => listening.close())

const x = (data: readonly number[]) => ({ name: 'x', datatype: 'FP32', shape: [1, 2], data })
const ask = async (
  body: string | Uint8Array,
  headers: Record<string, string> = {},
  to = '/infer',
) => {
  const answer = await fetch(`${url}${to}`, { method: 'POST', body: body as BodyInit, headers })
  const { date: _, ...named } = Object.fromEntries(answer.headers)
  return { status: answer.status, headers: named, text: await answer.text() }
}

describe('The direct path of inference', () => {
  it.each<[string, string, Record<string, string>]>([
    ['an answer', JSON.stringify({ id: 'a', inputs: [x([1, 0.5])] }), {}],
    ['a forced arm', JSON.stringify({ inputs: [x([1, 0.5])] }), { 'linnet-arm': 'baseline' }],
    ['an arm that is none', '{}', { 'linnet-arm': 'third' }],
    ['what is no JSON', '{', {}],
    ['a wrong shape', JSON.stringify({ inputs: [{ ...x([1, 2, 3]), shape: [1, 3] }] }), {}],
    ['a header longer than the body', '{}', { 'inference-header-content-length': '9' }],
  ])('gives %s as the other path does', async (_, body, headers) => {
    // A query is not for the direct path.
    const [direct, other] = [await ask(body, headers), await ask(body, headers, '/infer?x')]
    expect(direct.status).toBe(other.status)
    expect(direct.text).toBe(other.text)
    for (const name of ['content-type', 'linnet-arm', 'linnet-release', 'linnet-code'] as const) {
      expect(direct.headers[name]).toBe(other.headers[name])
    }
  })

  it('answers binary with binary', async () => {
    const input = { ...x([]), data: undefined, parameters: { binary_data_size: 8 } }
    const parameters = { binary_data_output: true }
    const head = Buffer.from(JSON.stringify({ parameters, inputs: [input] }))
    const data = Buffer.from(Float32Array.of(1, 0.25).buffer)
    const headers = { 'inference-header-content-length': String(head.length) }
    const answer = await fetch(`${url}/infer`, {
      method: 'POST',
      body: Buffer.concat([head, data]),
      headers,
    })
    const bytes = Buffer.from(await answer.arrayBuffer())
    const at = Number(answer.headers.get('inference-header-content-length'))
    expect([bytes.readFloatLE(at), bytes.readFloatLE(at + 4)]).toEqual([0.75, 0.25])
  })

  it('views the tensor of a body that came in pieces, whatever the length of its header', async () => {
    const offsets: (readonly [offset: number, bodyBytes: number])[] = []
    plane.put(
      buildLive((inputs) => {
        const { byteOffset, buffer } = inputs[0]!.data as Float32Array
        offsets.push([byteOffset, buffer.byteLength])
        return SCORES(0.75, Number(inputs[0]?.data[1]))
      }),
    )
    for (let padding = 0; padding < 8; padding++) {
      const input = { ...x([]), data: undefined, parameters: { binary_data_size: 8 } }
      const head = `${JSON.stringify({ inputs: [input] })}${' '.repeat(padding)}`
      const data = Buffer.from(Float32Array.of(1, 0.25).buffer)
      const pieces = [Buffer.from(head), data.subarray(0, 3), data.subarray(3)]
      const sent = { 'inference-header-content-length': String(head.length) }
      expect(await inPieces(pieces, sent)).toBe(200)
      const start = -head.length & 7
      expect(offsets.at(-1)).toEqual([start + head.length, start + head.length + 8])
    }
  })

  it('refuses a body over the limit, declared or not, and stays up', async () => {
    const large = `${' '.repeat(5_000)}{}`
    expect((await ask(large)).status).toBe(413)
    expect(await chunked(large)).toBe(413)
    expect((await ask(JSON.stringify({ inputs: [x([1, 0.5])] }))).status).toBe(200)
  })

  it('refuses pages of other sites and unknown encodings', async () => {
    expect((await ask('{}', { origin: 'https://evil.example' })).status).toBe(403)
    expect((await ask('{}', { 'content-encoding': 'br' })).status).toBe(415)
  })

  it('does not run a request whose client left while it waited', async () => {
    let runs = 0
    let finish = (): void => undefined
    const slow = new Promise<never>((_, reject) => {
      finish = () => reject(new Error('done'))
    })
    plane.put(
      buildLive(() => {
        runs += 1
        return slow
      }),
    )
    const body = JSON.stringify({ inputs: [x([1, 2])] })
    const first = ask(body)
    await until(() => runs === 1)
    const leaver = new AbortController()
    const { signal } = leaver
    const left = fetch(`${url}/infer`, { method: 'POST', body, signal }).catch(() => 'left')
    await until(() => plane.queued() === 1)
    leaver.abort()
    expect(await left).toBe('left')
    await new Promise((resolve) => setTimeout(resolve, 50))
    finish()
    expect((await first).status).toBe(500)
    await until(() => plane.statistics()[0]?.errors.cancelled === 1)
    expect(runs).toBe(1)
  })
})

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** Without a content length. @returns the status. */
const chunked = (body: string): Promise<number | undefined> =>
  inPieces([Buffer.from(body.slice(0, 100)), Buffer.from(body.slice(100))])

/** Each piece in a packet of its own. @returns the status of the answer. */
function inPieces(
  pieces: readonly Uint8Array[],
  headers: Record<string, string> = {},
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sending = { method: 'POST', headers }
    const request = httpRequest(`${url}/infer`, sending, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
    request.on('error', reject)
    const [next, ...rest] = pieces
    request.write(next)
    const sendRest = async (): Promise<void> => {
      for (const piece of rest) {
        await new Promise((sent) => setTimeout(sent, 20))
        request.write(piece)
      }
      request.end()
    }
    void sendRest()
  })
}
