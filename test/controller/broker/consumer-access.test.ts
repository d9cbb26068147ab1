/** Telemetry consumers at the real broker, with tokens of the real access store. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createAccessPolicy } from '../../../controller/broker/admission.ts'
import { CHECK_MS, createConsumerAccess } from '../../../controller/broker/consumer-access.ts'
import { type AccessStore, openAccessStore } from '../../../controller/http/access-store.ts'
import { ok, refuse, unwrap } from '../../../shared/kernel/result.ts'
import { createManualClock, type ManualClock } from '../../fixtures/manual-clock.ts'
import {
  cleanUp,
  cleanUpWith,
  connectClient,
  startBroker,
  tcpUrl,
  until,
} from './broker-fixture.ts'

let home: string
let clock: ManualClock
let access: AccessStore
let url: string
const logins: string[] = []
const ends: string[] = []

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'linnet-consumers-'))
  cleanUpWith(() => rm(home, { recursive: true, force: true }))
  clock = createManualClock(1_000_000)
  access = await openAccessStore(home, clock.nowMs)
  logins.length = 0
  ends.length = 0
  const consumers = createConsumerAccess({
    fleet: 'f',
    clock,
    admit: access.admit,
    onLogin: ({ name }, clientId) => logins.push(`${name} as ${clientId}`),
  })
  const broker = await startBroker({
    access: createAccessPolicy(async ({ password }) => {
      const consumer = consumers.identify(password)
      return consumer === undefined ? refuse('auth.bad_token', 'No consumer.') : ok(consumer)
    }),
  })
  broker.onPresence(({ kind, clientId, reason }) => {
    if (kind === 'disconnected') ends.push(`${clientId} ${reason}`)
  })
  cleanUpWith(consumers.watch(broker))
  url = tcpUrl(broker)
})
afterEach(cleanUp)

async function listen(clientId: string, password: string) {
  return connectClient(url, clientId, { password })
}
const tokenFor = async (name: string, lifetimeMs: number | null = null) =>
  unwrap(await access.createToken(name, 'viewer', lifetimeMs)).secret

test('a connection ends soon after its token is revoked, others stay', async () => {
  await listen('telegraf', await tokenFor('telegraf'))
  const other = await listen('node-red', await tokenFor('node-red'))
  unwrap(await access.revokeToken('telegraf'))
  clock.advance(CHECK_MS)
  await until(() => ends.length > 0)
  expect(ends).toEqual(['telegraf token_ended'])
  expect(other.connected).toBe(true)
})

test('a connection ends soon after its token expires', async () => {
  await listen('telegraf', await tokenFor('telegraf', 60_000))
  clock.advance(59_000)
  await listen('node-red', await tokenFor('node-red'))
  expect(ends).toEqual([])
  clock.advance(CHECK_MS)
  await until(() => ends.length > 0)
  expect(ends).toEqual(['telegraf token_ended'])
})

test('a new token of the same name keeps no connection of the old one', async () => {
  await listen('telegraf', await tokenFor('telegraf'))
  unwrap(await access.revokeToken('telegraf'))
  await tokenFor('telegraf')
  clock.advance(CHECK_MS)
  await until(() => ends.length > 0)
  expect(ends).toEqual(['telegraf token_ended'])
})

test("each token's first login is recorded, not every return", async () => {
  const secret = await tokenFor('telegraf')
  await (await listen('one', secret)).endAsync(true)
  await listen('two', secret)
  await listen('three', await tokenFor('node-red'))
  await until(() => logins.length === 2)
  expect(logins).toEqual(['telegraf as one', 'node-red as three'])
})

test.each(['lnt_unknown', 'lns_session', '', `lnt_${'a'.repeat(500)}`])(
  'the password %j admits nobody',
  async (password) => {
    await expect(listen('x', password)).rejects.toThrow(/Not authorized/)
  },
)
