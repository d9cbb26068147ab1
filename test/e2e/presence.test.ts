/** Who is gone: the broker publishes the last will of an agent that was killed, and it is believed. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildStage, type Stage, until } from './stage.ts'

let stage: Stage
beforeAll(async () => {
  stage = await buildStage({ press: 'raspberry-pi-5' })
  await stage.startController()
  await stage.startAgent('press')
}, 120_000)
afterAll(() => stage?.remove(), 60_000)

const becomes = (status: string) =>
  until(`press is ${status}`, async () => (await stage.device('press')).presence?.status === status)

test('an agent that is killed counts as lost, and as online when it is back', async () => {
  await becomes('online')
  await stage.program('press').kill('SIGKILL')
  await becomes('lost')
  await stage.startAgent('press')
  await becomes('online')
}, 120_000)
