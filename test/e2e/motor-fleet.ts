/** The usual beginning: a fleet whose devices all serve motor-vibration 1.0.0 under traffic. */
import {
  buildStage,
  type Environments,
  type Specification,
  type Stage,
  servesOnly,
  until,
} from './stage.ts'
import { motorAsk, startTraffic, type Traffic } from './traffic.ts'

export const MODEL = 'motor-vibration'
const WINDOW_SECONDS = 1
/** Latency and labels are not what these tests are about, and the machine may be busy. */
export const POLICY: Specification['policy'] = {
  ...{ minRequests: 60, minRequestsPerProfile: 15, labels: 'if_any' },
  ...{ errorRateMax: 0.2, latencyBadShareMax: null, qualityDropMax: null },
}

export interface MotorFleet extends Stage {
  readonly traffic: Traffic
  startControllerAgain(): Promise<void>
  /** `release.json` of the demo, created, signed, published. */
  publishMotor(version: string): Promise<void>
  /** Waits until every device serves this version and no candidate. */
  everywhere(version: string): Promise<void>
  /** Traffic ends, then processes. */
  end(): Promise<void>
}

export async function buildMotorFleet(
  agents: Readonly<Record<string, string>>,
  options: {
    readonly seed: string
    readonly requestsPerSecond: number
    /** More flags of an agent. */
    readonly flags?: Readonly<Record<string, readonly string[]>>
    /** More variables of an agent's process. */
    readonly environments?: Environments
  },
): Promise<MotorFleet> {
  const stage = await buildStage(agents, options.environments)
  const startController = () => stage.startController('--window-seconds', `${WINDOW_SECONDS}`)
  const publishMotor = (version: string) =>
    stage.publish(`${MODEL}@${version}`, '--spec', `${DEMO_MODELS}${MODEL}/${version}/release.json`)
  const everywhere = (version: string) => servedEverywhere(stage, version)
  try {
    await startController()
    await stage.tell('key', 'new')
    await Promise.all([
      publishMotor('1.0.0'),
      ...stage.devices.map(({ device }) =>
        stage.startAgent(device, ...(options.flags?.[device] ?? [])),
      ),
    ])
    const policy = { ...POLICY, minRequests: 1, minRequestsPerProfile: 1 }
    const waves = [{ percent: 100, trafficPercent: 100 }]
    const first = { model: MODEL, candidate: '1.0.0', baseline: null, waves, policy }
    const id = await stage.startRollout(first)
    await everywhere('1.0.0')
    const { seed, requestsPerSecond } = options
    const traffic = startTraffic({
      ...{ seed, model: MODEL, devices: stage.devices, requestsPerSecond },
      nextAsk: motorAsk(seed),
    })
    const end = () => traffic.stop().finally(() => stage.remove())
    await until('1.0.0 promoted', async () => (await stage.rollout(id)).state === 'promoted')
    const startControllerAgain = async () => void (await startController())
    return { ...stage, traffic, startControllerAgain, publishMotor, everywhere, end }
  } catch (cause) {
    await stage.remove()
    throw cause
  }
}

const DEMO_MODELS = new URL('../../controller/demo/models/', import.meta.url).pathname

async function servedEverywhere(stage: Stage, version: string): Promise<void> {
  const look = async () =>
    Promise.all(stage.devices.map(({ device }) => stage.device(device))).then((devices) =>
      devices.every((device) => servesOnly(device, MODEL, version)),
    )
  await until(`${version} everywhere`, look, 90_000, async () =>
    (await Promise.all(stage.devices.map(({ device }) => stage.device(device)))).map(
      ({ device, report }) => ({ device, report }),
    ),
  )
}
