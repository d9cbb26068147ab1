/** One request through the front, with servers on Unix sockets in place of model hosts. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, request, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createNetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { createFrontListener } from '../../../agent/front/front-listener.ts'
import type { FrontHost } from '../../../agent/front/front-protocol.ts'
import { createGather } from '../../../agent/front/gather.ts'
import { createHostTable, type HostTable } from '../../../agent/front/host-table.ts'
import { createHostTotals } from '../../../agent/front/host-totals.ts'
import { createHostAgent, createPassOn } from '../../../agent/front/pass-on.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-pass-on-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let sockets = 0
let servers: Server[] = []
let table: HostTable
let drained: string[] = []
afterEach(() => {
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
  servers = []
  drained = []
})

function host(i: number): FrontHost {
  sockets += 1
  const socketPath = join(folder, `${sockets}.sock`)
  return { id: `${i}`, life: 1, weight: 1, takes: true, ends: false, socketPath }
}

type Answer = (body: Buffer, url: string) => { status: number; code?: string }

/** Answers with what it was sent, or breaks the connection off. */
function listenAt({ socketPath }: FrontHost, answer: Answer | 'breaks off'): Promise<void> {
  const server = createServer((incoming, response) => {
    if (answer === 'breaks off') return void incoming.socket.destroy()
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const { status, code } = answer(Buffer.concat(chunks), incoming.url ?? '')
      response.writeHead(status, code === undefined ? {} : { 'linnet-code': code }).end('answer')
    })
  })
  servers.push(server)
  return new Promise((done) => server.listen(socketPath, done))
}

function startFront(
  hosts: readonly FrontHost[],
  isPinned: (model: string) => boolean = () => false,
): Promise<number> {
  const agent = createHostAgent()
  table = createHostTable({
    ...{ policy: 'round-robin', draw: () => 0, nowMs: () => performance.now() },
    onDrained: ({ id }) => void drained.push(id),
  })
  table.set(hosts)
  const direct = createFrontListener({
    gather: createGather({
      ...{ table, agent, totals: createHostTotals({ table, agent }) },
      scaled: () => ({ up: 0, down: 0 }),
    }),
    passOn: createPassOn({ table, agent }),
    ...{ requestBytesMax: 64 * 1024 * 1024, isPinned },
    ...{ deadlineMsMax: 1_000, answerMsMax: 5_000 },
  })
  const server = createServer((incoming, response) => void direct(incoming, response))
  servers.push(server)
  return new Promise((done) =>
    server.listen(0, '127.0.0.1', () => done((server.address() as AddressInfo).port)),
  )
}

const JSON_PART = '{"inputs":[]}'

function infer(
  port: number,
  body: Buffer,
  path = '/v2/models/m/infer',
  headLength = JSON_PART.length,
): Promise<{ status: number; code: unknown }> {
  return new Promise((resolve, reject) => {
    const asked = request({
      ...{ port, host: '127.0.0.1', method: 'POST', path },
      headers: { 'inference-header-content-length': headLength },
    })
    asked.on('error', reject)
    asked.on('response', (answer) => {
      answer.resume()
      resolve({ status: answer.statusCode ?? 0, code: answer.headers['linnet-code'] })
    })
    asked.end(body)
  })
}

const tick = (): Promise<void> => new Promise((done) => setImmediate(done))

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

describe('A request', () => {
  it.each([1_000, 8 * 1024 * 1024])(
    'of %d bytes reaches the next host whole when the first is not there',
    async (length) => {
      const hosts = [host(0), host(1)]
      const got: string[] = []
      await listenAt(hosts[1]!, (body) => {
        got.push(digest(body))
        return { status: 200 }
      })
      const port = await startFront(hosts)
      const body = Buffer.alloc(length, 7)
      body.write(JSON_PART)
      expect(await infer(port, body)).toMatchObject({ status: 200 })
      expect(got).toEqual([digest(body)])
    },
  )

  it('that a host broke off is not sent again: nobody knows whether it ran', async () => {
    const hosts = [host(0), host(1)]
    let runs = 0
    await listenAt(hosts[0]!, 'breaks off')
    await listenAt(hosts[1]!, () => {
      runs += 1
      return { status: 200 }
    })
    const port = await startFront(hosts)
    const answer = await infer(port, Buffer.from(JSON_PART))
    expect(answer).toEqual({ status: 503, code: 'infer.host_lost' })
    expect(runs).toBe(0)
  })

  it('that a host counted and refused is not sent again either', async () => {
    const hosts = [host(0), host(1)]
    let runs = 0
    await listenAt(hosts[0]!, () => ({ status: 503, code: 'infer.not_ready' }))
    await listenAt(hosts[1]!, () => {
      runs += 1
      return { status: 200 }
    })
    const port = await startFront(hosts)
    const answer = await infer(port, Buffer.from(JSON_PART))
    expect(answer).toEqual({ status: 503, code: 'infer.not_ready' })
    expect(runs).toBe(0)
  })

  it('is refused with a time to come again when no host is there', async () => {
    const port = await startFront([host(0), host(1)])
    const answer = await infer(port, Buffer.from(JSON_PART))
    expect(answer).toEqual({ status: 503, code: 'infer.not_ready' })
  })

  it('of a model with a limit goes to its one host, however its address is spelled', async () => {
    const hosts = [host(0), host(1)]
    const got: string[] = []
    for (const [i, one] of hosts.entries()) {
      await listenAt(one, (_body, url) => {
        got.push(`${i} ${url}`)
        return { status: 200 }
      })
    }
    const port = await startFront(hosts, (model) => model === 'm')
    const spellings = ['/v2/models/m/infer', '/v2/models/%6d/infer', '/v2/x/../models/m/%69nfer']
    for (const path of spellings) await infer(port, Buffer.from(JSON_PART), path)
    expect(got).toHaveLength(3)
    expect(new Set(got).size).toBe(1)
    expect(got[0]).toMatch(/ \/v2\/models\/m\/infer$/)
  })

  it.each([
    [8, JSON_PART],
    [2 * 1024 * 1024, JSON_PART],
    [64, '{"parameters":{"timeout":20000}}'],
  ])('of %d bytes gets 504 at its deadline from a host that stands still', async (more, json) => {
    const hosts = [host(0)]
    const sockets: Socket[] = []
    const still = createNetServer((socket) => void sockets.push(socket.pause()))
    await new Promise<void>((done) => still.listen(hosts[0]!.socketPath, done))
    const port = await startFront(hosts)
    const body = Buffer.concat([Buffer.from(json), Buffer.alloc(more)])
    const answer = await infer(port, body, undefined, json.length)
    expect(answer).toEqual({ status: 504, code: 'infer.deadline' })
    for (const socket of sockets) socket.destroy()
    still.close()
  })
})

describe('A host that ends', () => {
  it('stays until what it answered has all been passed on', async () => {
    const hosts = [host(0)]
    const open: ServerResponse[] = []
    const server = createServer((incoming, response) => {
      incoming.resume()
      response.writeHead(200).write('the first half, ')
      open.push(response)
    })
    servers.push(server)
    await new Promise<void>((done) => server.listen(hosts[0]!.socketPath, done))
    const port = await startFront(hosts)
    const text = fetch(`http://127.0.0.1:${port}/v2/models/m`).then((answer) => answer.text())
    while (table.counts()[0]!.sent === 0 || table.counts()[0]!.outstanding > 0) await tick()
    table.set([{ ...hosts[0]!, takes: false, ends: true }])
    expect(drained).toEqual([])
    open[0]!.end('the second')
    expect(await text).toBe('the first half, the second')
    while (drained.length === 0) await tick()
    expect(drained).toEqual(['0'])
  })
})
