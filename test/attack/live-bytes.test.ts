/** Who has nothing but bytes to send, against the real programs: paths, names, bodies, packets, floods. */
import { readFile, stat } from 'node:fs/promises'
import { connect as connectTcp, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createPrng } from '../../shared/kernel/prng.ts'
import {
  connectPacket,
  header,
  publishPacket,
  subscribePacket,
} from '../controller/broker/broker-fixture.ts'
import { mutate } from './fuzz-subjects.ts'
import { FLEET, LiveFleet, passwordFor, shout, THIEF, VICTIM } from './live-fleet.ts'

let live: LiveFleet

beforeAll(async () => {
  live = await LiveFleet.start('bytes')
}, 240_000)
afterAll(() => live?.fleet.end(), 60_000)

describe('with bytes alone', () => {
  const get = (path: string, host = `127.0.0.1:${live.httpPort}`) =>
    shout(live.httpPort, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)

  test.each([
    '/tuf/targets/../../../../etc/passwd',
    '/tuf/targets/%2e%2e/%2e%2e/%2e%2e/linnet.db',
    '/tuf/targets/motor-vibration/1.0.0/..%2f..%2f..%2faccess.json',
    '/tuf/metadata/..%2f..%2ftoken',
    '/tuf/metadata/%2e%2e%5ctoken',
    '/demo/..%2f..%2fpackage.json',
    '/demo/../../package.json',
    '//etc/passwd',
    '/%00',
    '/artifacts/../keys/director.json',
    '/keys/director.json',
    '/token',
  ])('GET %s finds nothing', async (path) => {
    const answer = await get(path)
    expect(answer).toMatch(/^HTTP\/1.1 4\d\d/)
    expect(answer).not.toMatch(/root:|"name": "linnet"|lnt_|linnet\.access|pkcs8|SQLite/)
  })

  test('a name that points here from elsewhere is refused, over HTTP and WebSocket', async () => {
    expect(await get('/api/v1/session', 'evil.example')).toMatch(/^HTTP\/1.1 421/)
    const upgrade = [
      ...['GET /mqtt HTTP/1.1', 'Host: evil.example', 'Origin: http://evil.example'],
      ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
      ...['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', 'Sec-WebSocket-Protocol: mqtt', '', ''],
    ]
    expect(await shout(live.httpPort, upgrade.join('\r\n'))).toMatch(/^HTTP\/1.1 421/)
    expect(await live.counted('host_unknown')).toBe(1)
  })

  test.each([
    ['a body that says it is a gigabyte', 'Content-Length: 1000000000\r\n\r\n', /^HTTP\/1.1 413/],
    [
      'a body without end',
      `Transfer-Encoding: chunked\r\n\r\n${`8000\r\n${'x'.repeat(0x8000)}\r\n`.repeat(8)}`,
      /^HTTP\/1.1 413/,
    ],
    ['headers without end', `X: ${'y'.repeat(40_000)}\r\n\r\n`, /^HTTP\/1.1 431/],
    ['two lengths', 'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!', /^HTTP\/1.1 400/],
  ])('%s is refused', async (_, rest, answer) => {
    const head = `POST /api/v1/enrol HTTP/1.1\r\nHost: 127.0.0.1:${live.httpPort}\r\n`
    expect(await shout(live.httpPort, head + rest)).toMatch(answer)
    await live.serviceGoesOn()
  })

  test('changed packets behind a good CONNECT end connections, nothing else', async () => {
    const random = createPrng('live packets')
    const honest = [
      publishPacket(`ln1/${FLEET}/d/${THIEF}/up/event`, 'x'.repeat(40), 1),
      subscribePacket(`ln1/${FLEET}/d/${THIEF}/dn/desired`, 1),
      header(0xc0, 0),
    ]
    for (let i = 0; i < 60; i++) {
      const password = passwordFor(THIEF, live.thiefKey)
      const changed = mutate(honest[random.below(honest.length)]!, random)
      const connecting = connectPacket({ clientId: THIEF, password })
      await shout(live.fleet.mqttPort, Buffer.concat([connecting, changed]), 50)
    }
    await live.serviceGoesOn()
    expect(live.fleet.program('controller').isRunning()).toBe(true)
  })

  test('hundreds who say nothing, or one byte at a time, hold nobody up', async () => {
    const sockets: Socket[] = []
    const open = (port: number, first: string) => {
      const socket = connectTcp(port, '127.0.0.1', () => socket.write(first))
      socket.on('error', () => undefined)
      sockets.push(socket)
    }
    for (let i = 0; i < 200; i++) {
      open(live.fleet.mqttPort, '')
      open(live.fleet.mqttPort, '\x10')
      open(
        live.httpPort,
        'POST /api/v1/enrol HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{',
      )
      open(live.httpPort, 'GET / HTTP/1.1\r\nX')
    }
    await live.serviceGoesOn()
    expect((await live.fleet.device(VICTIM)).presence?.status).toBe('online')
    const client = await live.asThief()
    expect(client.connected).toBe(true)
    await client.endAsync(true)
    for (const socket of sockets) socket.destroy()
  })
})

test('secrets lie in files that only their owner reads', async () => {
  for (const file of ['token', 'access.json', 'keys/director.json', 'keys/snapshot.json']) {
    expect((await stat(join(live.fleet.home, file))).mode & 0o077).toBe(0)
  }
  expect(await readFile(join(live.fleet.home, 'access.json'), 'utf8')).not.toContain('lnt_')
})
