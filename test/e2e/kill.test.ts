/**
 * `kill -9` of the controller, of an agent and of a model host at random times during a rollout, each
 * started again as a supervisor would (the host by its agent).
 *
 * What may be lost, and nothing else: a model host loses what it counted since it last told its agent
 * (half a second); an agent loses its open telemetry window and that. Requests in flight at the host
 * end with an error. The controller loses nothing, and a device that was left alone neither.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DecisionResource, RolloutResource } from '../../shared/api/resources.ts'
import { createPrng } from '../../shared/kernel/prng.ts'
import { buildMotorFleet, MODEL, type MotorFleet, POLICY } from './motor-fleet.ts'
import { type StoredCount, until } from './stage.ts'
import type { Traffic } from './traffic.ts'

/** Counts of the last so many milliseconds before a kill may be missing; on a busy machine, of more. */
const LOST_MS_MAX = { host: 4_000, agent: 7_000 }
const seed = process.env.LINNET_KILL_SEED ?? 'kill-1'

let stage: MotorFleet
let traffic: Traffic
let outcome: {
  rollout: RolloutResource
  decisions: readonly DecisionResource[]
  stored: readonly StoredCount[]
  killedAtMs: Record<'controller' | 'agent' | 'host', number>
  bootsBefore: Record<string, string | undefined>
}

beforeAll(async () => {
  const profiles = {
    left_alone: 'raspberry-pi-5',
    agent_killed: 'intel-n100',
    host_killed: 'jetson-orin-nano',
  }
  stage = await buildMotorFleet(profiles, { seed, requestsPerSecond: 20 })
  traffic = stage.traffic
  await stage.publishMotor('1.1.0')
  outcome = await rolloutWithKills()
}, 240_000)

afterAll(() => stage?.end(), 60_000)

async function rolloutWithKills(): Promise<typeof outcome> {
  const boots = await Promise.all(
    stage.devices.map(async ({ device }) => [device, (await stage.device(device)).presence?.boot]),
  )
  const id = await stage.startRollout({
    ...{ model: MODEL, candidate: '1.1.0', baseline: '1.0.0', policy: POLICY },
    waves: [
      { percent: 50, trafficPercent: 50, minSeconds: 5 },
      { percent: 100, trafficPercent: 60, minSeconds: 5 },
    ],
  })
  const random = createPrng(seed)
  const atRandom = async (name: string, kill: () => Promise<void>): Promise<number> => {
    await sleep(random.split(name).unit() * 9_000)
    const killedAtMs = performance.now()
    await kill()
    return killedAtMs
  }
  const [controller, agent, host] = await Promise.all([
    atRandom('controller', async () => {
      await stage.program('controller').kill('SIGKILL')
      await stage.startControllerAgain()
    }),
    atRandom('agent', async () => {
      await stage.program('agent_killed').kill('SIGKILL')
      await stage.startAgent('agent_killed')
    }),
    atRandom('host', async () => {
      process.kill(await stage.childOf('host_killed', 'host-main'), 'SIGKILL')
    }),
  ])
  const rollout = await until(
    'an end of the rollout',
    async () => {
      const now = await stage.rollout(id)
      return now.state !== 'running' && now
    },
    120_000,
    () => stage.rollout(id),
  )
  await stage.everywhere('1.1.0')
  await traffic.stop()
  return {
    rollout,
    decisions: await stage.decisions(id),
    stored: await settled(),
    killedAtMs: { controller, agent, host },
    bootsBefore: Object.fromEntries(boots),
  }
}

/** The counts once nothing more arrives: three looks in a row that are the same. */
async function settled(): Promise<readonly StoredCount[]> {
  let [before, same] = ['', 0]
  return until('no more windows', async () => {
    await sleep(1_000)
    const stored = await stage.stored(MODEL)
    const text = JSON.stringify(stored)
    same = text === before ? same + 1 : 0
    before = text
    return same >= 3 && stored
  })
}

const sum = (counts: readonly { requests: number }[]) =>
  counts.reduce((total, { requests }) => total + requests, 0)

function storedOf(device: string, version: string): number {
  const profile = stage.devices.find((known) => known.device === device)?.profile
  return sum(outcome.stored.filter((row) => row.profile === profile && row.version === version))
}

describe('after kill -9 of everything once', () => {
  test('the rollout is promoted, by its waves and nothing else', () => {
    const { rollout, decisions } = outcome
    expect(rollout.state).toBe('promoted')
    const told = decisions.toReversed().map(({ action, wave, to }) => `${action} ${wave} ${to}`)
    expect(told).toEqual(['start 0 running', 'promote 0 running', 'promote 1 promoted'])
    for (const { reason } of decisions) expect(reason.sentence).not.toBe('')
  })

  test.each(['1.0.0', '1.1.0'])('a device left alone: every answer of %s is stored', (version) => {
    const counts = traffic.counts.get('left_alone')
    expect(counts?.failed).toBe(0)
    expect(storedOf('left_alone', version)).toBe(counts?.byVersion.get(version))
  })

  test.each([
    ['agent_killed', 'agent'],
    ['host_killed', 'host'],
  ] as const)('%s lost what it could not have told, and no more', (device, killed) => {
    const counts = traffic.counts.get(device)!
    const killedAtMs = outcome.killedAtMs[killed]
    const exposed = counts.answeredAtMs.filter(
      (atMs) => atMs > killedAtMs - LOST_MS_MAX[killed] && atMs <= killedAtMs + 100,
    )
    const stored = storedOf(device, '1.0.0') + storedOf(device, '1.1.0')
    expect(stored).toBeGreaterThanOrEqual(counts.answered - exposed.length)
    // A request may be counted whose answer did not get out any more.
    expect(stored).toBeLessThanOrEqual(counts.answered + counts.failed)
  })

  test('what the rollout says of its canary is what is stored', () => {
    const { rollout, stored } = outcome
    const canary = stored.filter((row) => row.rollout === rollout.id && row.version === '1.1.0')
    expect(rollout.totals.canaryRequests).toBeGreaterThan(0)
    expect(rollout.totals.canaryRequests).toBeLessThanOrEqual(sum(canary))
  })

  test('notices and presence say what happened', async () => {
    const host = await stage.device('host_killed')
    const restarted = host.notices.filter(({ kind }) => kind === 'host_restarted')
    expect(restarted).toHaveLength(1)
    expect(JSON.stringify(restarted)).toContain('SIGKILL')
    const agent = await stage.device('agent_killed')
    expect(agent.presence?.status).toBe('online')
    expect(agent.presence?.boot).not.toBe(outcome.bootsBefore.agent_killed)
    const alone = await stage.device('left_alone')
    expect(alone.presence?.boot).toBe(outcome.bootsBefore.left_alone)
    expect(alone.notices).toEqual([])
  })
})
