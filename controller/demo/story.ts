/**
 * The story that must always work, told with the commands a person would type: a fleet starts with
 * 1.0.0, the better 1.1.0 is promoted on evidence, the bad 1.2.0 is caught and rolled back.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Client } from '../../shared/api/client.ts'
import type { DeviceResource, RolloutResource } from '../../shared/api/resources.ts'
import type { RouteCall } from '../../shared/api/routes.ts'
import { assert } from '../../shared/kernel/assert.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import type { Plant } from './plant.ts'
import type { Processes } from './processes.ts'

export const MODEL = 'motor-vibration'

export interface Stage {
  readonly processes: Processes
  readonly client: Client
  readonly home: string
  /** One line for the person who watches. */
  say(line: string): void
}

export interface RolloutOutcome {
  readonly rollout: RolloutResource
  readonly seconds: number
}

type Specification = RouteCall<'rolloutCreate'>['body']

/**
 * Large shares, because a few devices make few requests: both arms of each profile must be counted
 * within seconds, or the story takes minutes.
 */
const WAVES = [
  { percent: 25, trafficPercent: 50 },
  { percent: 60, trafficPercent: 50 },
  { percent: 100, trafficPercent: 75 },
]
/**
 * The latency share is wide because seventeen processes share this machine, so that even a good
 * release answers late now and then; a slow one answers late always.
 */
const POLICY = {
  minRequests: 120,
  minRequestsPerProfile: 40,
  minLabels: 40,
  labels: 'required',
  latencyBadShareMax: 0.3,
} as const
const POLL_MS = 250
const ROLLOUT_TIMEOUT_MS = 240_000

/** Creates, signs and publishes one release from the demo's own model files. */
export async function publishRelease(stage: Stage, models: string, version: string): Promise<void> {
  const folder = join(models, MODEL, version)
  const commands = [
    ['release', 'create', '--spec', join(folder, 'release.json')],
    ['release', 'sign', `${MODEL}@${version}`],
    ['release', 'publish', `${MODEL}@${version}`],
  ]
  for (const command of commands) await stage.processes.command(command)
  stage.say(`linnet release publish ${MODEL}@${version}`)
}

/** The fleet's first release goes to everybody at once: there is nothing to compare it with. */
export async function firstRelease(stage: Stage, version: string): Promise<RolloutOutcome> {
  return runRollout(stage, {
    model: MODEL,
    candidate: version,
    baseline: null,
    waves: [{ percent: 100, trafficPercent: 100 }],
    policy: { ...POLICY, qualityDropMax: null, latencyBadShareMax: null, labels: 'if_any' },
  })
}

export async function canaryRelease(
  stage: Stage,
  baseline: string,
  candidate: string,
): Promise<RolloutOutcome> {
  return runRollout(stage, { model: MODEL, candidate, baseline, waves: WAVES, policy: POLICY })
}

/** Starts a rollout and follows it to its end, with a line for every change. */
async function runRollout(stage: Stage, spec: Specification): Promise<RolloutOutcome> {
  const startedMs = Date.now()
  const file = join(stage.home, `rollout-${spec.candidate}.json`)
  await writeFile(file, JSON.stringify(spec, null, 2))
  stage.say(`linnet rollout create --file ${file} --start`)
  const created = await stage.processes.command<RolloutResource>([
    ...['rollout', 'create', '--file', file, '--start', '--yes'],
  ])
  let told = ''
  for (;;) {
    const rollout = unwrap(await stage.client.call('rolloutShow', { params: { id: created.id } }))
    const line = `${rollout.state} wave ${rollout.wave + 1}/${rollout.spec.waves.length}`
    if (line !== told) stage.say(`  ${line}: ${rollout.reason.sentence}`)
    told = line
    if (['promoted', 'rolled_back', 'aborted', 'failed', 'paused'].includes(rollout.state)) {
      return { rollout, seconds: (Date.now() - startedMs) / 1000 }
    }
    assert(
      Date.now() - startedMs < ROLLOUT_TIMEOUT_MS,
      `rollout ${rollout.id} is still ${rollout.state}: ${rollout.reason.sentence}`,
    )
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Waits until every device serves `version` as its current release and nothing else. */
export async function everywhere(stage: Stage, version: string, devices: number): Promise<boolean> {
  const deadlineMs = Date.now() + 60_000
  while (Date.now() < deadlineMs) {
    const list = unwrap(await stage.client.call('deviceList', {})).devices
    if (list.filter((device) => servesOnly(device, version)).length === devices) return true
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  return false
}

function servesOnly(device: DeviceResource, version: string): boolean {
  const slots = device.report?.slots ?? []
  const serving = slots.filter((slot) => slot.model === MODEL && slot.slot !== 'previous')
  return serving.length === 1 && serving[0]?.version === version
}

/** The last line of an unattended run. */
export interface Summary {
  readonly promoted: { rollout: string; release: string; seconds: number; requests: number } | null
  readonly rolledBack: {
    rollout: string
    release: string
    seconds: number
    badRequests: number
    reason: string
  } | null
  readonly requests: Plant['counts']
  readonly devices: number
}

export function summarise(
  good: RolloutOutcome,
  bad: RolloutOutcome,
  plant: Plant,
  devices: number,
): Summary {
  const round = (seconds: number) => Math.round(seconds * 10) / 10
  return {
    promoted:
      good.rollout.state === 'promoted'
        ? {
            rollout: good.rollout.id,
            release: `${MODEL}@${good.rollout.spec.candidate}`,
            seconds: round(good.seconds),
            requests: good.rollout.totals.canaryRequests,
          }
        : null,
    rolledBack:
      bad.rollout.state === 'rolled_back'
        ? {
            rollout: bad.rollout.id,
            release: `${MODEL}@${bad.rollout.spec.candidate}`,
            seconds: round(bad.seconds),
            badRequests: bad.rollout.totals.canaryBad,
            reason: bad.rollout.reason.sentence,
          }
        : null,
    requests: { ...plant.counts },
    devices,
  }
}
