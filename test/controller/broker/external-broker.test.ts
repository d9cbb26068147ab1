import { afterEach, describe, expect, it } from 'vitest'
import {
  connectExternalBroker,
  type ExternalBrokerOptions,
} from '../../../controller/broker/external-broker.ts'
import {
  cleanUp,
  cleanUpWith,
  connectClient,
  startBroker,
  tcpUrl,
  until,
} from './broker-fixture.ts'

afterEach(cleanUp)

const state = { topic: 'ln1/f/c/state', qos: 1, retain: true } as const

async function connectTo(url: string, options: Partial<ExternalBrokerOptions> = {}) {
  const broker = await connectExternalBroker({
    url,
    clientId: 'controller-1',
    username: 'controller',
    password: 'secret',
    reconnectDelayMsMax: 20,
    ...options,
  })
  cleanUpWith(() => broker.close())
  return broker
}

describe('the driver for an external broker', () => {
  it('says at start that the address or the password is wrong', async () => {
    const elsewhere = await startBroker()
    const code = 'broker.connect_failed'
    const wrongPassword = connectTo(tcpUrl(elsewhere), { password: 'guess' })
    await expect(wrongPassword).rejects.toMatchObject({ problem: { code } })
    await elsewhere.close()
    await expect(connectTo(tcpUrl(elsewhere))).rejects.toMatchObject({ problem: { code } })
  })

  it('says at start that it may not read what devices send', async () => {
    const elsewhere = await startBroker()
    const asConsumer = connectTo(tcpUrl(elsewhere), { username: 'consumer' })
    const code = 'broker.subscribe_refused'
    await expect(asConsumer).rejects.toMatchObject({ problem: { code } })
  })

  it('fails publishes while the broker is away, queues none, and comes back', async () => {
    const first = await startBroker()
    const broker = await connectTo(tcpUrl(first))
    const got: string[] = []
    broker.onMessage(({ payload }) => got.push(`${Buffer.from(payload)}`))
    await first.close()
    await until(() => broker.stats().connections === 0)
    const away = broker.publish({ ...state, payload: 'queued?' })
    await expect(away).rejects.toMatchObject({ problem: { code: 'broker.offline' } })

    const second = await startBroker({ tcp: { host: '127.0.0.1', port: first.tcpPort } })
    await until(() => broker.stats().connections === 1)
    await broker.publish({ ...state, payload: 'back' })
    const device = await connectClient(tcpUrl(second), 'dev')
    const states: string[] = []
    device.on('message', (_, payload) => void states.push(`${payload}`))
    await device.subscribeAsync(state.topic, { qos: 1 })
    await device.publishAsync('ln1/f/d/dev/up/event', 'hello again', { qos: 1 })
    await until(() => got.length === 1 && states.length === 1)
    expect(got).toEqual(['hello again'])
    expect(states).toEqual(['back'])
    expect(broker.stats().refused.connection_lost).toBe(1)
  })

  it('refuses a publish beyond the limit in flight', async () => {
    const elsewhere = await startBroker()
    const broker = await connectTo(tcpUrl(elsewhere), { publishesInFlightMax: 1 })
    const first = broker.publish({ ...state, payload: '1' })
    const second = broker.publish({ ...state, payload: '2' })
    await expect(second).rejects.toMatchObject({ problem: { code: 'broker.overloaded' } })
    await first
  })

  it('leaves a last will, so that devices learn that the controller is lost', async () => {
    const elsewhere = await startBroker()
    await connectTo(tcpUrl(elsewhere), { will: { ...state, payload: 'lost' } })
    const device = await connectClient(tcpUrl(elsewhere), 'dev')
    const states: string[] = []
    device.on('message', (_, payload) => void states.push(`${payload}`))
    await device.subscribeAsync(state.topic, { qos: 1 })
    await elsewhere.disconnect('controller-1', 'test')
    await until(() => states.length > 0)
    expect(states).toEqual(['lost'])
  })
})
