import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../controller/db/memory-store.ts'
import type { Store } from '../../controller/db/store.ts'
import { createLedger } from '../../controller/ledger.ts'
import { silentLog } from '../../controller/ports.ts'
import { createTurns } from '../../controller/turns.ts'
import { ProblemError } from '../../shared/kernel/result.ts'
import { createMemoryBroker } from '../fixtures/memory-broker.ts'

/** A store that can be made to fail, and a list of what happened in which order. */
async function buildTurns() {
  const memory = createMemoryStore()
  const broker = createMemoryBroker()
  const happened: string[] = []
  const state = { failing: false }
  const store: Store = {
    ...memory,
    async write(changes) {
      if (state.failing) throw new ProblemError({ code: 'store.write_failed', message: 'Full.' })
      await memory.write(changes)
      happened.push(`stored ${changes.length}`)
    },
  }
  const publish = broker.publish.bind(broker)
  broker.publish = async (message) => {
    await publish(message)
    happened.push(`told ${message.topic}`)
  }
  const ledger = createLedger(await store.load())
  const wake = () => void happened.push('woken')
  const turns = createTurns({ ledger, store, broker, log: silentLog, wake })
  return { ledger, turns, broker, happened, state, store }
}

const row = (key: string) => ({ key, value: 'x' })
const message = (topic: string, retain = false) => ({
  topic,
  payload: 'x',
  qos: 1 as const,
  retain,
})

describe('a turn', () => {
  it('stores everything in one batch and tells only then', async () => {
    const { ledger, turns, happened } = await buildTurns()
    turns.send(message('a'))
    ledger.put('fleet', row('one'))
    ledger.put('fleet', row('two'))
    turns.afterCommit(() => void happened.push('noted'))
    await turns.run()
    expect(happened).toEqual(['stored 2', 'noted', 'told a'])
  })

  it('tells nothing while the store fails, and everything once it works again', async () => {
    const { ledger, turns, happened, state, store } = await buildTurns()
    state.failing = true
    ledger.put('fleet', row('one'))
    turns.send(message('a'))
    expect(await turns.run()).toBe(false)
    expect(turns.failing()).toBe(true)
    ledger.put('fleet', row('two'))
    turns.send(message('b'))
    expect(await turns.run()).toBe(false)
    expect(happened).toEqual([])
    state.failing = false
    expect(await turns.run()).toBe(true)
    expect(happened).toEqual(['stored 2', 'told a', 'told b'])
    expect((await store.load()).fleet).toHaveLength(2)
  })

  it('tells whoever waits for the commit, either way', async () => {
    const { ledger, turns, happened, state } = await buildTurns()
    ledger.put('fleet', row('one'))
    const committed = turns.committed()
    expect(happened).toEqual(['woken'])
    await turns.run()
    await expect(committed).resolves.toBeUndefined()
    await expect(turns.committed()).resolves.toBeUndefined()
    state.failing = true
    ledger.put('fleet', row('two'))
    const refused = expect(turns.committed()).rejects.toMatchObject({
      problem: { code: 'store.unavailable' },
    })
    await turns.run()
    await refused
  })

  it('publishes retained messages again that the broker did not take', async () => {
    const { turns, broker } = await buildTurns()
    broker.connected = false
    turns.send(message('desired', true))
    turns.send(message('ack'))
    await turns.run()
    broker.connected = true
    await turns.run()
    expect(broker.published.map(({ topic }) => topic)).toEqual(['desired'])
    expect(turns.dropped()).toBe(1)
  })
})
