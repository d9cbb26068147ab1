/** Who is gone: the broker publishes the last will of an agent that was killed, and it is believed. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildStage, type Stage, until } from './stage.ts'

let stage: Stage
beforeAll(async () => {
  stage = await buildStage({ press: 'raspberry-pi-5' })
  await stage.startController()
  await stage.tell('key', 'new')
  await stage.startAgent('press')
}, 120_000)
afterAll(() => stage?.remove(), 60_000)

const becomes = (status: string) =>
  until(`press is ${status}`, async () => (await stage.device('press')).presence?.status === status)

test('an agent that is killed counts as lost, and as online when it is back', async () => {
  expect(await becomes('online')).toBe(true)
  await stage.program('press').kill('SIGKILL')
  expect(await becomes('lost')).toBe(true)
  await stage.startAgent('press')
  expect(await becomes('online')).toBe(true)
}, 120_000)
