import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../controller/db/memory-store.ts'
import { createLedger } from '../../controller/ledger.ts'
import { createPresenceTracker } from '../../controller/presence.ts'

async function tracker() {
  const ledger = createLedger(await createMemoryStore().load())
  const presence = createPresenceTracker(ledger, 0)
  const say = (
    status: 'online' | 'lost' | 'offline',
    boot: string,
    sinceMs: number,
    atMs: number,
  ) => presence.said('d1', { status, boot, sinceMs }, atMs)
  return { presence, say, ledger }
}

describe('presence', () => {
  it('believes a last will only after 20 s', async () => {
    const { presence, say } = await tracker()
    say('online', 'b1', 0, 0)
    say('lost', 'b1', 0, 1_000)
    presence.tick(20_999)
    expect(presence.isOnline('d1')).toBe(true)
    presence.tick(21_000)
    expect(presence.isOnline('d1')).toBe(false)
  })

  it('forgets a last will when the device speaks before', async () => {
    const { presence, say } = await tracker()
    say('online', 'b1', 0, 0)
    say('lost', 'b1', 0, 1_000)
    presence.heard('d1', 5_000)
    presence.tick(60_000)
    expect(presence.isOnline('d1')).toBe(true)
  })

  it('ignores a will of another boot, and one made before the present connection', async () => {
    const { presence, say } = await tracker()
    say('online', 'b2', 10_000, 10_000)
    say('lost', 'b1', 0, 10_500)
    say('lost', 'b2', 9_000, 10_600)
    presence.tick(60_000)
    expect(presence.isOnline('d1')).toBe(true)
  })

  it('does not wait for ever when its own clock is set back', async () => {
    const { presence, say } = await tracker()
    say('online', 'b1', 0, 9_000_000)
    say('lost', 'b1', 0, 9_001_000)
    presence.tick(5_000_000)
    expect(presence.isOnline('d1')).toBe(false)
  })

  it('believes a device at once that says goodbye', async () => {
    const { presence, say } = await tracker()
    say('online', 'b1', 0, 0)
    say('offline', 'b1', 0, 1_000)
    expect(presence.isOnline('d1')).toBe(false)
  })

  it('gives devices 140 s to come back after a start', async () => {
    const { ledger, say } = await tracker()
    say('online', 'b1', 0, 0)
    const after = createPresenceTracker(ledger, 1_000_000)
    after.tick(1_139_999)
    expect(after.isOnline('d1')).toBe(true)
    after.tick(1_140_000)
    expect(after.isOnline('d1')).toBe(false)
  })
})
