/**
 * A real controller, a device that serves under traffic, and the stolen key of another: what the live
 * tests of strangers share. In each of their rows what serves stays, the refusal is told with its
 * code, and requests go on.
 */
import { randomBytes } from 'node:crypto'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { expect } from 'vitest'
import { unwrap } from '../../shared/kernel/result.ts'
import { loadSigner } from '../../shared/node/key-files.ts'
import { mintDeviceJwt } from '../../shared/signing/device-jwt.ts'
import type { SyncSigner } from '../../shared/signing/keys.ts'
import { buildMotorFleet, type MotorFleet } from '../e2e/motor-fleet.ts'
import { type Environments, until } from '../e2e/stage.ts'

export const FLEET = 'main'
export const VICTIM = 'press'
export const THIEF = 'thief'

export class LiveFleet {
  readonly fleet: MotorFleet
  readonly thiefKey: SyncSigner
  readonly #before: unknown

  private constructor(fleet: MotorFleet, thiefKey: SyncSigner, before: unknown) {
    this.fleet = fleet
    this.thiefKey = thiefKey
    this.#before = before
  }

  /**
   * @param clocks by device: how far its clock is off, in ms. Where one is, the fleet stands only if
   * that device enrolled, connected and serves.
   */
  static async start(
    seed: string,
    clocks: Readonly<Record<string, number>> = {},
  ): Promise<LiveFleet> {
    const shifted = Object.entries(clocks).map(([device, byMs]) => [device, clockOff(byMs)])
    const environments: Environments = Object.fromEntries(shifted)
    const profiles = { [VICTIM]: 'raspberry-pi-5', [THIEF]: 'intel-n100' }
    const fleet = await buildMotorFleet(profiles, { seed, requestsPerSecond: 30, environments })
    await fleet.program(THIEF).kill('SIGTERM')
    const at = fleet.devices.find(({ device }) => device === THIEF)!
    const key = await loadSigner(join(at.home, 'device-key.json'))
    return new LiveFleet(fleet, key, await serving(fleet))
  }

  /** What serves is what served, and ten more requests were answered, none of them lost. */
  async serviceGoesOn(): Promise<void> {
    const counts = this.fleet.traffic.counts.get(VICTIM)!
    const { answered } = counts
    await until('ten more answers', async () => counts.answered >= answered + 10)
    expect(Object.fromEntries(counts.failures)).toEqual({})
    expect(await serving(this.fleet)).toEqual(this.#before)
    expect((await this.fleet.health()).status).toBe('ok')
  }

  /** How often broker or ingest refused under this code. */
  async counted(code: string): Promise<number> {
    const { broker, messages } = await this.fleet.health()
    return (broker.refused[code] ?? 0) + (messages.refused[code] ?? 0)
  }

  async audited(action: string, outcome: string): Promise<void> {
    const look = async () => {
      const query = { limit: 300 }
      const { entries } = unwrap(await this.fleet.client.call('audit', { query }))
      return entries.some((entry) => entry.action === action && entry.outcome === outcome)
    }
    await until(`${action} ${outcome} in the audit trail`, look)
  }

  connect(device: string, options: IClientOptions): Promise<MqttClient> {
    return mqtt.connectAsync(`mqtt://127.0.0.1:${this.fleet.mqttPort}`, {
      ...{ clientId: device, username: device, reconnectPeriod: 0, protocolVersion: 4 },
      ...options,
    })
  }

  asThief(options: IClientOptions = {}): Promise<MqttClient> {
    return this.connect(THIEF, { password: passwordFor(THIEF, this.thiefKey), ...options })
  }

  get httpPort(): number {
    return Number(new URL(this.fleet.url).port)
  }
}

async function serving(fleet: MotorFleet): Promise<unknown> {
  const { report } = await fleet.device(VICTIM)
  return report?.slots.map(({ slot, model, version }) => `${slot} ${model}@${version}`)
}

export function passwordFor(device: string, signer: SyncSigner, change = {}): string {
  const jti = randomBytes(16).toString('hex')
  const claims = {
    ...{ fleet: FLEET, device, use: 'mqtt' as const, nowMs: Date.now(), lifetimeMs: 60_000 },
    ...{ jti, ...change },
  }
  return mintDeviceJwt(claims, signer)
}

/** Sends bytes, says what came back until the other side ended it or the time was over. */
export function shout(port: number, bytes: string | Uint8Array, waitMs = 1_000): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connectTcp(port, '127.0.0.1', () => socket.write(bytes))
    const end = () => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
    socket.on('error', end)
    socket.on('close', end)
    setTimeout(end, waitMs)
  })
}

/** Every clock of the process and of its children is off by so much; what a delay is stays. */
function clockOff(byMs: number): Readonly<Record<string, string>> {
  const script = `const real=Date.now,Real=Date;globalThis.Date=class extends Real{
    constructor(...at){at.length?super(...at):super(real()+${byMs})}
    static now(){return real()+${byMs}}}`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` }
}
