/** The controller as a program: it says where it is, stops cleanly, and forgets nothing. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { programAt } from '../../shared/node/program.ts'
import { runLinnet } from '../fixtures/cli-builder.ts'

const MAIN = programAt(import.meta.url, '../../controller/main')
const MODEL = new URL('../../controller/demo/models/motor-vibration/', import.meta.url).pathname

let home: string
let running: Controller
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'linnet-controller-'))
  running = await start()
})
afterAll(async () => {
  running.process.kill('SIGKILL')
  await rm(home, { recursive: true, force: true })
})

interface Controller {
  readonly process: ChildProcess
  readonly url: string
  readonly mqttPort: number
  readonly loginUrl: string
  readonly exit: Promise<number | null>
}

async function start(): Promise<Controller> {
  const args = [...MAIN.execArgv, MAIN.file, '--home', home, '--http-port', '0', '--mqtt-port', '0']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve))
  let [url, mqttPort] = ['', 0]
  for await (const line of createInterface({ input: child.stdout })) {
    const ready = /ready: (http:\/\/\S+), mqtt:\/\/127\.0\.0\.1:(\d+)/.exec(line)
    if (ready !== null) [url, mqttPort] = [ready[1] ?? '', Number(ready[2])]
    const loginUrl = /(http:\/\/\S+\/login\?code=\S+)/.exec(line)?.[1]
    if (loginUrl !== undefined) return { process: child, url, mqttPort, loginUrl, exit }
  }
  throw new Error(`the controller ended with ${await exit}`)
}

const linnet = (...args: string[]) =>
  runLinnet(args, {
    LINNET_HOME: home,
    LINNET_CONTROLLER: running.url,
    LINNET_PASSPHRASE: 'correct horse battery',
  })

test.skipIf(process.platform === 'win32')(
  'what it keeps is read by its own user alone',
  async () => {
    const names = await readdir(home)
    expect(names).toContain('linnet.db')
    const open = []
    for (const name of names)
      if (((await stat(join(home, name))).mode & 0o077) !== 0) open.push(name)
    expect(open).toEqual([])
  },
)

test('keys, a release and a token for devices, against the real controller', async () => {
  expect((await linnet('key', 'new')).code).toBe(0)
  const release = 'motor-vibration@1.0.0'
  const steps = [
    ['release', 'create', '--spec', join(MODEL, '1.0.0/release.json')],
    ['release', 'sign', release],
    ['release', 'publish', release],
  ]
  for (const step of steps) expect((await linnet(...step)).code).toBe(0)
  const again = JSON.parse((await linnet('release', 'publish', release, '--json')).stdout)
  expect(again).toMatchObject({ uploaded: 0, releases: [] })
  const { token } = JSON.parse((await linnet('device', 'token', '--json')).stdout)
  expect(token).toMatch(/^ln1\.main\.[0-9a-f]{12}\.lne_[\w-]+\.[0-9a-f]{64}$/)
})

test('the printed link signs in, once', async () => {
  const first = await fetch(running.loginUrl, { redirect: 'manual' })
  expect(first.status).toBe(303)
  expect((await fetch(running.loginUrl, { redirect: 'manual' })).status).toBe(401)
})

test('another controller on the same port says so and ends', async () => {
  const port = new URL(running.url).port
  const other = await mkdtemp(join(tmpdir(), 'linnet-other-'))
  const args = ['controller', '--home', other, '--http-port', port, '--mqtt-port', '0']
  const { code, stderr } = await runLinnet(args, {})
  await rm(other, { recursive: true, force: true })
  expect(code).toBe(2)
  expect(stderr).toContain('http.port_in_use')
})

test('garbage on the MQTT port ends that connection and nothing else', async () => {
  const socket = connect(running.mqttPort, '127.0.0.1')
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.end('GET / HTTP/1.1\r\n\r\n')
  socket.resume()
  await closed
  expect((await fetch(`${running.url}/healthz`)).status).toBe(200)
})

test.each(['SIGTERM', 'SIGKILL'] as const)(
  'after %s the next start knows it all',
  async (signal) => {
    running.process.kill(signal)
    expect(await running.exit).toBe(signal === 'SIGTERM' ? 0 : null)
    running = await start()
    const { releases } = JSON.parse((await linnet('release', 'list', '--json')).stdout)
    expect(releases.map((r: { version: string }) => r.version)).toEqual(['1.0.0'])
    const timestamp = await fetch(`${running.url}/tuf/metadata/timestamp.json`)
    expect(timestamp.status).toBe(200)
  },
)
