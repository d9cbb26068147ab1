/**
 * The plant: one simulated motor beside each agent. The application on each device asks its agent
 * for predictions through the Open Inference Protocol and, when an inspector has looked, tells it the
 * truth. It knows nothing of releases or rollouts: that is the point.
 *
 * Invariant: every request that was sent is answered, failed, or still in flight; none is retried.
 */
import { Agent, request } from 'node:http'
import { createPrng, type Prng } from '../../shared/kernel/prng.ts'
import { createMotor, type Motor } from '../../shared/motor/motor.ts'

export interface Plant {
  readonly counts: { sent: number; answered: number; failed: number }
  /** Why requests failed, by message; at most 20 kinds. */
  readonly failures: Map<string, number>
  stop(): Promise<void>
}

export interface PlantOptions {
  readonly seed: string
  readonly model: string
  /** Local APIs of the agents: `http://127.0.0.1:8000`. */
  readonly apis: readonly string[]
  readonly requestsPerSecond: number
  /** Share of answers that an inspector labels, whatever the answer was. */
  readonly labelShare: number
}

const REQUEST_TIMEOUT_MS = 10_000
const FAILURE_KINDS_MAX = 20

export function startPlant(options: PlantOptions): Plant {
  const connections = new Agent({ keepAlive: true, maxSockets: 4 })
  const plant = { counts: { sent: 0, answered: 0, failed: 0 }, failures: new Map<string, number>() }
  let stopped = false
  const random = createPrng(options.seed)
  const machines = options.apis.map((api, i) => {
    const motor = createMotor({ seed: `${options.seed}/${i}` })
    return runMachine({ ...options, api, motor, random: random.split(`machine-${i}`) })
  })

  async function runMachine(machine: Machine): Promise<void> {
    for (let id = 0; !stopped; id++) {
      const startedMs = Date.now()
      await askOnce(machine, `${machine.api.split(':').at(-1)}-${id}`)
      // Arrivals are exponential around the rate, as far as the answers keep up.
      const pauseMs = machine.random.exponential(1000 / options.requestsPerSecond)
      await delay(Math.max(0, pauseMs - (Date.now() - startedMs)))
    }
  }

  async function askOnce(machine: Machine, id: string): Promise<void> {
    const { vibration, classIndex } = machine.motor.next()
    plant.counts.sent++
    try {
      await post(connections, `${machine.api}/v2/models/${options.model}/infer`, {
        id,
        inputs: [{ name: 'vibration', datatype: 'FP32', shape: [1, 3, 128], data: [...vibration] }],
      })
      plant.counts.answered++
    } catch (cause) {
      plant.counts.failed++
      const message = cause instanceof Error ? cause.message : String(cause)
      if (plant.failures.size < FAILURE_KINDS_MAX || plant.failures.has(message)) {
        plant.failures.set(message, (plant.failures.get(message) ?? 0) + 1)
      }
      return
    }
    if (machine.random.chance(options.labelShare)) {
      const feedback = `${machine.api}/v2/models/${options.model}/feedback`
      await post(connections, feedback, { id, label: classIndex }).catch(() => undefined)
    }
  }

  return {
    ...plant,
    async stop() {
      stopped = true
      await Promise.all(machines)
      connections.destroy()
    },
  }
}

interface Machine extends PlantOptions {
  readonly api: string
  readonly motor: Motor
  readonly random: Prng
}

function post(connections: Agent, url: string, body: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const options = { method: 'POST', agent: connections, headers, timeout: REQUEST_TIMEOUT_MS }
    const call = request(url, options, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () =>
        response.statusCode === 200
          ? resolve(text)
          : reject(new Error(`${response.statusCode} ${text.slice(0, 200)}`)),
      )
      response.on('error', reject)
    })
    call.on('timeout', () => call.destroy(new Error('no answer in time')))
    call.on('error', reject)
    call.end(JSON.stringify(body))
  })
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
