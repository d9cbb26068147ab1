/** What every `Broker` must do, whoever runs it; see controller/broker/broker.ts. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Broker } from '../../controller/broker/broker.ts'
import { ProblemError } from '../../shared/kernel/result.ts'
import {
  cleanUp,
  connectClient,
  connectPacket,
  openRaw,
  until,
} from '../controller/broker/broker-fixture.ts'

export interface BrokerUnderTest {
  readonly broker: Broker
  /** Where devices connect. */
  readonly port: number
}

const UP = 'ln1/f/d/dev/up'
const DOWN = 'ln1/f/d/dev/dn'

export function brokerContract(name: string, start: () => Promise<BrokerUnderTest>): void {
  describe(`${name}: what devices publish`, () => {
    afterEach(cleanUp)

    it('reaches every handler, in the order of device and QoS, with its bytes', async () => {
      const { broker, device } = await startWithDevice(start)
      const first: string[] = []
      const second: Uint8Array[][] = [[], []]
      broker.onMessage(({ topic }) => first.push(topic))
      broker.onMessage(({ payload, qos }) => second[qos]?.push(payload))
      const numbers = Array.from({ length: 200 }, (_, i) => i)
      for (const n of numbers) {
        device.publish(`${UP}/telemetry`, Buffer.from([n, 0, 255]), { qos: n < 100 ? 0 : 1 })
      }
      await until(() => first.length === 200)
      expect(new Set(first)).toEqual(new Set([`${UP}/telemetry`]))
      const order = second.map((payloads) => payloads.map((payload) => payload[0]))
      expect(order).toEqual([numbers.slice(0, 100), numbers.slice(100)])
      expect([...(second[1]?.[99] ?? [])]).toEqual([199, 0, 255])
      expect(broker.stats().messagesIn).toBe(200)
    })

    it('reaches the other handlers when one throws, which is counted', async () => {
      const { broker, device } = await startWithDevice(start)
      const got: string[] = []
      broker.onMessage(() => {
        throw new Error('broken handler')
      })
      broker.onMessage(({ topic }) => got.push(topic))
      await device.publishAsync(`${UP}/event`, 'x', { qos: 1 })
      await until(() => got.length === 1)
      expect(broker.stats().refused).toEqual({ handler_failed: 1 })
    })

    it('reaches nobody when the topic is not theirs', async () => {
      const { broker, device } = await startWithDevice(start)
      const got: string[] = []
      broker.onMessage(({ topic }) => got.push(topic))
      await device.publishAsync('ln1/f/d/you/up/event', 'x', { qos: 1 })
      await device.publishAsync(`${UP}/event`, 'x', { qos: 1 })
      await until(() => got.length > 0)
      expect(got).toEqual([`${UP}/event`])
    })

    it('includes the last will of a device that is lost', async () => {
      const { broker, port } = await start()
      const got: string[] = []
      broker.onMessage(({ topic, payload }) => got.push(`${topic} ${Buffer.from(payload)}`))
      const raw = openRaw(port)
      const will = { topic: 'ln1/f/d/gone/up/state', payload: 'lost' }
      raw.socket.write(connectPacket({ clientId: 'gone', will }))
      await until(() => raw.received().length >= 4)
      raw.socket.destroy()
      await until(() => got.length > 0)
      expect(got).toEqual(['ln1/f/d/gone/up/state lost'])
    })

    it('is not handed over when it is empty: that only clears what was retained', async () => {
      const { broker, device } = await startWithDevice(start)
      const got: string[] = []
      broker.onMessage(({ payload }) => got.push(`${Buffer.from(payload)}`))
      await device.publishAsync(`${UP}/state`, 'online', { qos: 1, retain: true })
      await device.publishAsync(`${UP}/state`, '', { qos: 1, retain: true })
      await device.publishAsync(`${UP}/event`, 'after', { qos: 1 })
      await until(() => got.length === 2)
      expect(got).toEqual(['online', 'after'])
    })
  })

  describe(`${name}: what the controller publishes`, () => {
    afterEach(cleanUp)

    it('reaches a device that is subscribed, as text or bytes', async () => {
      const { broker, device } = await startWithDevice(start)
      const got: string[] = []
      device.on('message', (topic, payload) => void got.push(`${topic} ${payload}`))
      await device.subscribeAsync(`${DOWN}/+`, { qos: 1 })
      const bytes = new Uint8Array([104, 105])
      await broker.publish({ topic: `${DOWN}/command`, payload: 'tëxt', qos: 1, retain: false })
      await broker.publish({ topic: `${DOWN}/ack`, payload: bytes, qos: 0, retain: false })
      await until(() => got.length === 2)
      expect(got).toEqual([`${DOWN}/command tëxt`, `${DOWN}/ack hi`])
      expect(broker.stats().messagesOut).toBe(2)
    })

    it('waits for a device that comes later if it is retained, the newest only', async () => {
      const { broker, port } = await start()
      for (const payload of ['old', 'new']) {
        await broker.publish({ topic: `${DOWN}/desired`, payload, qos: 1, retain: true })
      }
      await broker.publish({ topic: `${DOWN}/command`, payload: 'x', qos: 1, retain: false })
      const device = await connectClient(`mqtt://127.0.0.1:${port}`, 'dev')
      const got: string[] = []
      device.on('message', (_, payload) => void got.push(`${payload}`))
      await device.subscribeAsync(`${DOWN}/#`, { qos: 1 })
      await until(() => got.length > 0)
      expect(got).toEqual(['new'])
    })

    it('is cleared by an empty retained message', async () => {
      const { broker, device } = await startWithDevice(start)
      const got: string[] = []
      device.on('message', (topic, payload) => void got.push(`${topic} ${payload}`))
      await broker.publish({ topic: `${DOWN}/desired`, payload: 'x', qos: 1, retain: true })
      await broker.publish({ topic: `${DOWN}/desired`, payload: '', qos: 1, retain: true })
      await device.subscribeAsync([`${DOWN}/desired`, `${DOWN}/ack`], { qos: 1 })
      await broker.publish({ topic: `${DOWN}/ack`, payload: 'x', qos: 0, retain: false })
      await until(() => got.length > 0)
      expect(got).toEqual([`${DOWN}/ack x`])
    })

    it.each([
      ['broker.topic_unknown', 'nowhere', 'x'],
      ['broker.topic_unknown', 'ln1/f/d/+/dn/desired', 'x'],
      ['broker.payload_too_large', 'ln1/f/g/w1/dn/pulse', 'x'.repeat(1025)],
    ])('fails with %s before it is sent', async (code, topic, payload) => {
      const { broker } = await start()
      const published = broker.publish({ topic, payload, qos: 1, retain: false })
      await expect(published).rejects.toBeInstanceOf(ProblemError)
      await expect(published).rejects.toMatchObject({ problem: { code } })
    })

    it('fails with broker.closed after close, which may be called twice', async () => {
      const { broker } = await start()
      await broker.close()
      await broker.close()
      const message = { topic: 'ln1/f/c/state', payload: 'x', qos: 1, retain: true } as const
      await expect(broker.publish(message)).rejects.toMatchObject({
        problem: { code: 'broker.closed' },
      })
    })

    it('cannot disconnect a client that is not there', async () => {
      const { broker } = await start()
      expect(await broker.disconnect('nobody', 'revoked')).toBe(false)
    })
  })
}

async function startWithDevice(start: () => Promise<BrokerUnderTest>) {
  const { broker, port } = await start()
  const device = await connectClient(`mqtt://127.0.0.1:${port}`, 'dev')
  return { broker, device }
}
