/**
 * Applications beside the agents: each asks its agent for predictions without a pause longer than
 * its rate wants, and counts what came back, by device and release. Nothing is asked twice.
 * Invariant: after `stop`, sent = answered + failed.
 */
import { Agent, request } from 'node:http'
import { createPrng } from '../../shared/kernel/prng.ts'
import { createMotor, type Motor } from '../../shared/motor/motor.ts'
import type { DeviceAt } from './stage.ts'

export interface Ask {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}

export interface DeviceCounts {
  sent: number
  answered: number
  failed: number
  readonly byVersion: Map<string, number>
  /** `performance.now()` of each answer. */
  readonly answeredAtMs: number[]
  readonly failures: Map<string, number>
}

export interface Traffic {
  readonly counts: ReadonlyMap<string, DeviceCounts>
  /** Sums over all devices. */
  total(): { sent: number; answered: number; failed: number }
  stop(): Promise<void>
}

export interface TrafficOptions {
  readonly seed: string
  readonly model: string
  readonly devices: readonly DeviceAt[]
  readonly requestsPerSecond: number
  readonly nextAsk: (device: string) => Ask
}

const TIMEOUT_MS = 10_000

export function startTraffic(options: TrafficOptions): Traffic {
  const connections = new Agent({ keepAlive: true, maxSockets: 8 })
  const random = createPrng(options.seed)
  const counts = new Map<string, DeviceCounts>()
  let stopped = false
  const loops = options.devices.map(async ({ device, api }) => {
    const mine: DeviceCounts = {
      ...{ sent: 0, answered: 0, failed: 0, answeredAtMs: [] },
      ...{ byVersion: new Map(), failures: new Map() },
    }
    const draw = random.split(device)
    counts.set(device, mine)
    while (!stopped) {
      const dueMs = performance.now() + draw.exponential(1_000 / options.requestsPerSecond)
      mine.sent++
      const url = `${api}/v2/models/${options.model}/infer`
      await post(connections, url, options.nextAsk(device)).then(
        (version) => {
          mine.answered++
          mine.answeredAtMs.push(performance.now())
          add(mine.byVersion, version)
        },
        (cause: Error) => {
          mine.failed++
          add(mine.failures, cause.message)
        },
      )
      await new Promise((done) => setTimeout(done, Math.max(0, dueMs - performance.now())))
    }
  })
  return {
    counts,
    total() {
      const sum = { sent: 0, answered: 0, failed: 0 }
      for (const { sent, answered, failed } of counts.values()) {
        sum.sent += sent
        sum.answered += answered
        sum.failed += failed
      }
      return sum
    },
    async stop() {
      stopped = true
      await Promise.all(loops)
      connections.destroy()
    },
  }
}

/** Vibration of one simulated motor per device, as JSON. */
export function motorAsk(seed: string): TrafficOptions['nextAsk'] {
  const motors = new Map<string, Motor>()
  return (device) => {
    const motor = motors.get(device) ?? createMotor({ seed: `${seed}/${device}` })
    motors.set(device, motor)
    const data = [...motor.next().vibration]
    const inputs = [{ name: 'vibration', datatype: 'FP32', shape: [1, 3, 128], data }]
    return { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ inputs }) }
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

/** @returns the version that answered; rejects unless the answer is a whole 200. */
function post(connections: Agent, url: string, { headers, body }: Ask): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', agent: connections, headers, timeout: TIMEOUT_MS }
    const call = request(url, options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode, headers: answered } = response
        const release = String(answered['linnet-release'])
        if (statusCode === 200) resolve(release.slice(release.indexOf('@') + 1))
        else reject(new Error(`${statusCode} ${Buffer.concat(chunks).toString().slice(0, 200)}`))
      })
    })
    call.on('timeout', () => call.destroy(new Error('no answer in time')))
    call.on('error', reject)
    call.end(body)
  })
}
