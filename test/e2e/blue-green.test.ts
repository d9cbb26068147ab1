/**
 * Blue-green: all requests go to the new release in one step, the former one stays warm beside it, and
 * all go back in one step. Applications ask all the time and lose nothing. One of the two agents has
 * several model hosts.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RolloutResource } from '../../shared/api/resources.ts'
import { buildMotorFleet, MODEL, type MotorFleet, POLICY } from './motor-fleet.ts'
import { until } from './stage.ts'

let fleet: MotorFleet
beforeAll(async () => {
  const profiles = { single: 'raspberry-pi-5', several: 'intel-n100' }
  const flags = { several: ['--hosts', '2', '--balance', 'latency-aware'] }
  fleet = await buildMotorFleet(profiles, { seed: 'blue-green', requestsPerSecond: 20, flags })
  await fleet.publishMotor('1.1.0')
}, 240_000)
afterAll(() => fleet?.end(), 60_000)

/** @param minRequests that the verdict waits for. */
async function startBlueGreen(minRequests: number): Promise<string> {
  const file = join(fleet.home, 'blue-green.json')
  const policy = { ...POLICY, minRequests, minRequestsPerProfile: 1 }
  const releases = { model: MODEL, candidate: '1.1.0', baseline: '1.0.0' }
  await writeFile(file, JSON.stringify({ ...releases, preset: 'blue-green', policy }))
  const created = await fleet.tell<RolloutResource>(
    ...['rollout', 'create', '--file', file, '--start', '--yes'],
  )
  return created.id
}

const slotsOf = async (device: string) =>
  ((await fleet.device(device)).report?.slots ?? [])
    .map(({ slot, version }) => `${slot} ${version}`)
    .toSorted()

/** Answers of the next requests of every device. */
async function nextVersions(): Promise<Set<string>> {
  const before = [...fleet.traffic.counts.values()].map((counts) => new Map(counts.byVersion))
  const goal = fleet.traffic.total().answered + 40
  await until('40 more answers', async () => fleet.traffic.total().answered >= goal)
  const after = [...fleet.traffic.counts.values()]
  return new Set(
    after.flatMap(({ byVersion }, i) =>
      [...byVersion].filter(([version, n]) => n > (before[i]?.get(version) ?? 0)).map(([v]) => v),
    ),
  )
}

test('all requests go to the candidate, with the former release warm, and back, in one step each', async () => {
  const id = await startBlueGreen(1_000_000)
  const swapped = ['current 1.1.0', 'previous 1.0.0']
  for (const { device } of fleet.devices) {
    await until(
      `both releases on ${device}`,
      async () => `${await slotsOf(device)}` === `${swapped}`,
      60_000,
      () => slotsOf(device),
    )
  }
  await until('only 1.1.0 answers', async () => {
    const versions = await nextVersions()
    return versions.size === 1 && versions.has('1.1.0')
  })
  expect((await fleet.rollout(id)).state).toBe('running')
  await fleet.tell('rollout', 'rollback', id, '--yes')
  await fleet.everywhere('1.0.0')
  expect(await nextVersions()).toEqual(new Set(['1.0.0']))
  expect(fleet.traffic.total().failed).toBe(0)
}, 120_000)

test('it is promoted on its evidence, and still nothing was lost', async () => {
  const id = await startBlueGreen(60)
  await until('promoted', async () => (await fleet.rollout(id)).state === 'promoted', 90_000)
  await fleet.everywhere('1.1.0')
  for (const { device } of fleet.devices) {
    expect(await slotsOf(device)).toEqual(['current 1.1.0', 'previous 1.0.0'])
  }
  expect(await nextVersions()).toEqual(new Set(['1.1.0']))
  await fleet.traffic.stop()
  const { sent, answered, failed } = fleet.traffic.total()
  expect([failed, answered]).toEqual([0, sent])
}, 150_000)
