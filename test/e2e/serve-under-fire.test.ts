/**
 * `linnet serve` as a program among clients and under limits that mean it no good: it answers those
 * who behave, keeps its memory, says why a host ended, and brings another.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { encodeModel } from '../../shared/onnx/graph-writer.ts'
import { hostBelow } from './programs.ts'
import { until } from './stage.ts'

const DIST = new URL('../../dist/', import.meta.url).pathname
const LINNET = `${DIST}controller/cli/main.js`
const MB = 2 ** 20
const isLinux = process.platform === 'linux'

/** x [1] -> y [1000, 1000]: a small question with an answer of 4 MB. */
const wide = encodeModel({
  ...{ irVersion: 8, opsets: [{ domain: '', version: 17 }], producer: 'linnet-test' },
  graph: {
    name: 'wide',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [1_000, 1_000] }],
    initializers: [
      { name: 's', datatype: 'INT64', shape: [2], data: BigInt64Array.of(1_000n, 1_000n) },
    ],
    nodes: [{ op: 'Expand', inputs: ['x', 's'], outputs: ['y'] }],
  },
})
const ANSWER_BYTES = 4_000_000
const BODY = JSON.stringify({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [1] }],
  parameters: { binary_data_output: true },
})

interface Served {
  readonly port: number
  readonly process: ChildProcess
  /** Standard error so far. */
  readonly said: () => string
}

const folder = mkdtempSync(join(tmpdir(), 'linnet-fire-'))
const model = join(folder, 'wide.onnx')
const running: ChildProcess[] = []

/** @param limit shell words before the command, as `ulimit -v 4000000;` */
async function serve(limit = ''): Promise<Served> {
  const command = `${limit} exec "$0" "$@"`
  const args = [LINNET, 'serve', model, '--listen', '127.0.0.1:0', '--tuning-seconds', '0']
  const child = spawn('bash', ['-c', command, process.execPath, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  })
  running.push(child)
  let [out, said] = ['', '']
  child.stdout.on('data', (chunk) => (out += chunk))
  child.stderr.on('data', (chunk) => (said += chunk))
  const port = await until(
    'a model served',
    async () => /127\.0\.0\.1:(\d+)\/v2\/models/.exec(out)?.[1],
    60_000,
    () => said,
  )
  return { port: Number(port), process: child, said: () => said }
}

const hostOf = ({ process: { pid = 0 } }: Served): number => hostBelow(pid)

const residentMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024

async function ask({ port }: Served): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/v2/models/wide/infer`, {
    ...{ method: 'POST', body: BODY, signal: AbortSignal.timeout(60_000) },
  })
  const { byteLength } = await answer.arrayBuffer()
  return answer.status === 200 && byteLength > ANSWER_BYTES ? 200 : answer.status
}

const sockets: Socket[] = []
function open({ port }: Served, count: number, then: (socket: Socket) => void): void {
  for (let i = 0; i < count; i++) {
    const socket = connect(port, '127.0.0.1', () => then(socket))
    socket.on('error', () => undefined)
    sockets.push(socket)
  }
}
const head = (length: number): string =>
  `POST /v2/models/wide/infer HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${length}\r\n\r\n`

beforeAll(() => writeFileSync(model, wide))
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})
afterAll(() => {
  for (const child of running) child.kill('SIGTERM')
  rmSync(folder, { recursive: true, force: true })
})

describe.runIf(isLinux)('linnet serve under fire (Linux)', () => {
  let served: Served
  beforeAll(async () => {
    served = await serve()
  }, 90_000)

  const hostile: [string, (socket: Socket) => void][] = [
    [
      'never read what they asked for',
      (socket) => {
        socket.pause()
        for (let i = 0; i < 4; i++) socket.write(head(BODY.length) + BODY)
      },
    ],
    [
      'send one byte a second',
      (socket) => {
        socket.write(head(BODY.length))
        const drip = setInterval(() => socket.write(' '), 1_000)
        socket.once('close', () => clearInterval(drip))
      },
    ],
    ['open and say nothing', () => undefined],
    [
      'promise 60 MB and stop after 20',
      (socket) => {
        socket.write(head(60 * MB))
        socket.write(Buffer.alloc(20 * MB, 0x20))
      },
    ],
    ['declare a body beyond any limit', (socket) => void socket.write(head(10 ** 12))],
  ]

  test.each(hostile)(
    '200 clients that %s: others are answered, memory stays bounded',
    async (_, act) => {
      const host = hostOf(served)
      open(served, 200, act)
      await sleep(1_000)
      const statuses: number[] = []
      let mostMb = 0
      for (let i = 0; i < 10; i++) {
        statuses.push(await ask(served))
        mostMb = Math.max(mostMb, residentMb(host))
        await sleep(100)
      }
      // Right after the flood a wait in line may be too long; then the refusal says so, at once.
      expect(statuses.slice(-5)).toEqual([200, 200, 200, 200, 200])
      expect(statuses.every((status) => status === 200 || status === 503)).toBe(true)
      expect(mostMb).toBeLessThan(1_024)
      expect(hostOf(served)).toBe(host)
    },
    180_000,
  )

  test('JSON as deep as a body may be is refused', async () => {
    const body = '['.repeat(1_000_000)
    const answer = await fetch(`http://127.0.0.1:${served.port}/v2/models/wide/infer`, {
      ...{ method: 'POST', body },
    })
    expect(answer.status).toBe(400)
    expect(await ask(served)).toBe(200)
  })

  test('kill -9 of the host: the reason is said, and the same address answers again', async () => {
    const before = hostOf(served)
    process.kill(before, 'SIGKILL')
    await until('an answer again', async () => (await ask(served)) === 200, 60_000, served.said)
    expect(hostOf(served)).not.toBe(before)
    await expect.poll(served.said).toContain('[host.killed]')
  }, 120_000)

  test('a host that stands still is killed, those who wait are told, another one answers', async () => {
    process.kill(hostOf(served), 'SIGSTOP')
    const waiting = ask(served).catch(() => 'cut')
    expect(await waiting).toBe('cut')
    await until('an answer again', async () => (await ask(served)) === 200, 60_000, served.said)
    await expect.poll(served.said).toContain('[host.hung]')
  }, 180_000)
})

describe.runIf(isLinux)('linnet serve under a limit of the system (Linux)', () => {
  test.each([
    ['2.5 GB of addresses', 'ulimit -v 2500000;'],
    ['256 open files', 'ulimit -n 256;'],
  ])(
    '%s: it starts and answers',
    async (_, limit) => {
      const served = await serve(limit)
      expect(await ask(served)).toBe(200)
      served.process.kill('SIGTERM')
    },
    90_000,
  )

  test('256 open files and 400 clients: those who come in are answered, nothing ends', async () => {
    const served = await serve('ulimit -n 256;')
    open(served, 400, () => undefined)
    await sleep(1_000)
    for (const socket of sockets.splice(0)) socket.destroy()
    await until('an answer again', async () => (await ask(served)) === 200, 60_000, served.said)
    expect(served.said()).not.toContain('host.')
    served.process.kill('SIGTERM')
  }, 90_000)

  test('too little memory to try a model: the refusal says what the system said', async () => {
    const command = 'ulimit -v 1000000; exec "$0" "$@"'
    const args = [LINNET, 'serve', model, '--listen', '127.0.0.1:0']
    const child = spawn('bash', ['-c', command, process.execPath, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    running.push(child)
    let said = ''
    child.stderr.on('data', (chunk) => (said += chunk))
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(2)
    expect(said).toMatch(/\[(qualify\.crashed|qualify\.load_failed|host\.crashed)\]/)
  }, 60_000)
})
