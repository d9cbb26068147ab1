import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createWebSocketStream, WebSocketServer } from 'ws'
import type { Clock, Transport } from '../../agent/ports.ts'
import { createBackoff } from '../../agent/transport/backoff.ts'
import { createMqttTransport } from '../../agent/transport/mqtt-transport.ts'
import { ed25519PrivateKey, nodeSigner } from '../../shared/node/signer-node.ts'
import { LittleController } from './little-controller.ts'

describe('the back-off', () => {
  const at = (random: number) => {
    let nowMs = 0
    const backoff = createBackoff({ clock: { monotonicMs: () => nowMs }, random: () => random })
    const pass = (ms: number): void => {
      nowMs += ms
    }
    return { backoff, pass }
  }

  it('spreads over 1 to 2 s first, then over up to 120 s', () => {
    const [low, high] = [at(0), at(0.999999)]
    const lows = Array.from({ length: 9 }, () => low.backoff.nextDelayMs())
    const highs = Array.from({ length: 9 }, () => Math.round(high.backoff.nextDelayMs()))
    expect(new Set(lows)).toEqual(new Set([1_000]))
    expect(highs).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 120_000, 120_000, 120_000])
  })

  it('starts over after a connection that lived, not after one that was thrown out', () => {
    const { backoff, pass } = at(0.999999)
    for (let i = 0; i < 4; i++) backoff.nextDelayMs()
    backoff.connected()
    pass(9_000)
    expect(Math.round(backoff.nextDelayMs())).toBe(32_000)
    backoff.connected()
    pass(10_000)
    expect(Math.round(backoff.nextDelayMs())).toBe(2_000)
  })

  it('grants the controller the time that it asks for, once and within limits', () => {
    const { backoff } = at(0)
    backoff.askedToWait(30_000)
    expect(backoff.nextDelayMs()).toBe(30_000)
    expect(backoff.nextDelayMs()).toBe(1_000)
    backoff.askedToWait(9e9)
    expect(backoff.nextDelayMs()).toBe(600_000)
  })
})

describe('MQTT', () => {
  const signer = nodeSigner(ed25519PrivateKey(new Uint8Array(32).fill(9)))
  const clock: Clock = {
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    after(delayMs, task) {
      const timer = setTimeout(task, delayMs / 50)
      return () => clearTimeout(timer)
    },
  }
  let controller: LittleController
  let transport: Transport
  let cohort: string | null
  let connections: boolean[]
  let messages: string[]

  beforeEach(async () => {
    controller = await LittleController.start()
    controller.devices.set('press-1', signer.key)
    ;[cohort, connections, messages] = [null, [], []]
    transport = aTransport(controller.mqttUrl)
  })

  function aTransport(url: string): Transport {
    const made = createMqttTransport({
      ...{ url, fleet: 'plant', device: 'press-1', signer, clock },
      log: { info: () => undefined, warn: () => undefined },
      random: () => 0.5,
      randomId: () => crypto.randomUUID(),
      cohort: () => cohort,
    })
    made.onConnection((connected) => void connections.push(connected))
    made.onMessage((topic, payload) => {
      messages.push(`${topic} ${new TextDecoder().decode(payload)}`)
    })
    return made
  }

  afterEach(async () => {
    await transport.close()
    await controller.close()
  })

  const eventually = (check: () => void | Promise<void>) =>
    vi.waitFor(check, { timeout: 30_000, interval: 10 })
  const connected = () => eventually(() => expect(connections).toContain(true))

  it('takes nothing while there is no connection', async () => {
    expect(transport.publish('up/state', new Uint8Array(1))).toBe(false)
    transport.open(() => new TextEncoder().encode('gone'))
    await connected()
    expect(transport.publish('up/state', new Uint8Array(1))).toBe(true)
  })

  it('says no when too much waits for the broker', async () => {
    transport.open(() => new TextEncoder().encode('gone'))
    await connected()
    const taken = Array.from({ length: 200 }, () =>
      transport.publish('up/telemetry', new Uint8Array(1)),
    )
    expect(taken.filter(Boolean)).toHaveLength(128)
    await eventually(() => expect(controller.on('up/telemetry')).toHaveLength(128))
    await eventually(() => {
      expect(transport.publish('up/telemetry', new Uint8Array(1))).toBe(true)
    })
  })

  it('leaves its last will when the line is cut, and none when it says goodbye', async () => {
    transport.open(() => new TextEncoder().encode('gone'))
    await connected()
    const wills: string[] = []
    controller.broker.on('publish', ({ topic, payload }) => {
      if (topic.endsWith('up/state')) wills.push(payload.toString())
    })
    const port = await controller.hangUp()
    await eventually(() => expect(wills).toEqual(['gone']))
    await controller.listen(port)
    await eventually(() => expect(connections).toEqual([true, false, true]))
    await transport.close()
    expect(wills).toEqual(['gone'])
  })

  it('looks at its assignment again when its cohort is told to', async () => {
    cohort = 'c1'
    await controller.assign('press-1', 'assignment')
    transport.open(() => new TextEncoder().encode('gone'))
    await eventually(() => expect(messages).toEqual(['dn/desired assignment']))
    await eventually(async () => {
      const pulse = Buffer.from('{"jitterMs":100}')
      await controller.send('ln1/plant/g/c1/dn/pulse', pulse, false)
      expect(messages.length).toBeGreaterThan(1)
    })
    expect(new Set(messages)).toEqual(new Set(['dn/desired assignment']))
  })

  it('speaks over WebSocket as well', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    server.on('connection', (socket) => controller.broker.handle(createWebSocketStream(socket)))
    await once(server, 'listening')
    transport = aTransport(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/mqtt`)
    await controller.assign('press-1', 'over there')
    transport.open(() => new TextEncoder().encode('gone'))
    await eventually(() => expect(messages).toEqual(['dn/desired over there']))
    await transport.close()
    server.close()
  })

  it('passes on nothing that is too large or not for it', async () => {
    transport.open(() => new TextEncoder().encode('gone'))
    await connected()
    await controller.send('ln1/plant/d/press-1/dn/ack', Buffer.alloc(20_000), false)
    await controller.assign('press-2', 'not mine')
    await controller.assign('press-1', 'mine')
    await eventually(() => expect(messages).toEqual(['dn/desired mine']))
  })
})
