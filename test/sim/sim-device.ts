/**
 * One device: the real agent over simulated ports, and what outlives its restarts (disk, key, clock,
 * line). The power may go at any effect; the device then starts again from its disk.
 */
import { type Agent, startAgent } from '../../agent/agent.ts'
import type { Log } from '../../agent/ports.ts'
import type { Behaviour } from '../../agent/runtime/fake-behaviour.ts'
import { createFakeRuntime } from '../../agent/runtime/fake-runtime.ts'
import type { Prng } from '../../shared/kernel/prng.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import { keyId, type SyncSigner } from '../../shared/signing/keys.ts'
import type { ModelSlots } from '../../shared/update/state.ts'
import { createDeviceClock, Oscillator } from './device-clock.ts'
import { createSimSpoolStore, createSimStateStore, Disk, parseState } from './disk.ts'
import type { Weather } from './faults.ts'
import { createLine, type Line } from './network.ts'
import type { Observe } from './observations.ts'
import { createPower, type Power } from './power.ts'
import type { Sabotage } from './sabotage.ts'
import { createSimArtifactStore } from './sim-artifact-store.ts'
import type { SimBroker } from './sim-broker.ts'
import { createSimHttp, type HttpServer } from './sim-http.ts'
import { type SignatureKind, signerNamed, verifierOf } from './sim-keys.ts'
import { createSimRepository } from './sim-repository.ts'
import { createSimRuntime } from './sim-runtime.ts'
import { createSimTransport } from './sim-transport.ts'
import type { World } from './world.ts'

export interface SimDeviceParts {
  readonly world: World
  readonly weather: Weather
  readonly fleet: string
  readonly name: string
  readonly profile: FirmwareProfile
  readonly signatures: SignatureKind
  readonly broker: SimBroker
  readonly serve: HttpServer
  readonly behaviours: ReadonlyMap<string, Behaviour>
  readonly requestsPerS: number
  readonly observe: Observe
  /** Decides beside the weather whether the power goes at this effect. */
  readonly goesAt?: ((device: string, effect: string) => boolean) | undefined
  readonly sabotage: Sabotage
}

const POWER_CUT_CHANCE = 0.02
const RESTART_MS_MIN = 2_000
const RESTART_MS_MEAN = 20_000
const DISK_FULL_CHANCE = 0.2
const ROT_EVERY_MS = 3_600_000

export class SimDevice {
  readonly name: string
  readonly profile: FirmwareProfile
  readonly signer: SyncSigner
  readonly #parts: SimDeviceParts
  readonly #disk: Disk
  readonly #random: Prng
  readonly #oscillator: Oscillator
  readonly #line: Line
  #boots = 0
  #power: Power | undefined
  #agent: Agent | undefined

  constructor(parts: SimDeviceParts) {
    const { world, weather, name } = parts
    this.name = name
    this.profile = parts.profile
    this.#parts = parts
    this.signer = signerNamed(`device/${name}`, parts.signatures)
    this.#random = world.prng(`device/${name}`)
    const full = this.#random.split('disk full')
    const isFull = (): boolean => full.chance(weather.of('disk_full') * DISK_FULL_CHANCE)
    const isHonest = parts.sabotage.lyingDisks !== true
    this.#disk = new Disk(this.#random.split('disk'), isFull, isHonest)
    this.#oscillator = new Oscillator(world, this.#random.split('clock'), weather)
    this.#line = createLine(world, weather, name)
  }

  /** The first start, with the root that came with the device. */
  install(root: Uint8Array): void {
    this.#disk.metadata.set('root', root)
    this.#line.start()
    this.#oscillator.start()
    this.#scheduleRot(this.#random.split('rot'))
    this.#parts.world.after(this.#random.unit() * 10_000, () => this.#boot())
  }

  isRunning(): boolean {
    return this.#agent !== undefined
  }

  /** What runs on it, as its own machine says; undefined while it is off. */
  slots(): readonly ModelSlots[] | undefined {
    return this.#agent?.state().durable.models
  }

  unsent(): number {
    return this.#agent?.spoolSize().entries ?? 0
  }

  /** Where its update machine stands, for the trace of a run that does not converge. */
  standing(): string {
    const state = this.#agent?.state()
    if (state === undefined) return 'is off'
    const { job, waiting, durable } = state
    const failures = durable.failures.map(({ release, problem }) => [release.version, problem.code])
    const waits = waiting.map(({ release, retryAtMs }) => [release.version, retryAtMs])
    const { generation } = durable.order
    return JSON.stringify({ generation, job, waits, failures })
  }

  cutPower(): void {
    const { world, observe } = this.#parts
    const power = this.#power
    if (power === undefined) return
    power.life.end()
    this.#power = undefined
    this.#agent = undefined
    this.#disk.cutPower()
    world.trace.line(this.name, 'power cut')
    observe({ kind: 'powerCut', device: this.name, ...this.#whatADiskTells() })
    const downMs = RESTART_MS_MIN + this.#random.exponential(RESTART_MS_MEAN)
    world.after(downMs, () => this.#boot())
  }

  #boot(): void {
    const { world, weather, goesAt } = this.#parts
    this.#boots += 1
    const life = world.newLife()
    const dice = this.#random.split(`power/${this.#boots}`)
    const goes = (effect: string): boolean =>
      dice.chance(weather.of('power_cut') * POWER_CUT_CHANCE) ||
      goesAt?.(this.name, effect) === true
    const power = createPower(life, goes, () => this.cutPower())
    this.#power = power
    world.trace.line(this.name, `boot ${this.#boots}`)
    const started = this.#startAgent(power, `${this.name}-${this.#boots}`)
    started.then(
      (agent) => {
        if (life.alive) this.#agent = agent
      },
      (cause) => {
        world.trace.line(this.name, `boot failed: ${String(cause)}`)
        if (life.alive) this.cutPower()
      },
    )
  }

  #startAgent(power: Power, boot: string): Promise<Agent> {
    const { fleet, world, weather, broker, serve, signatures, observe } = this.#parts
    const { name: device, profile, signer } = this
    const disk = this.#disk
    const random = this.#random.split(boot)
    const line = this.#line
    const clock = createDeviceClock(this.#oscillator, power.life)
    const told = (text: string): void => world.trace.line(device, text)
    const http = createSimHttp({ life: power.life, line, weather, random, told }, serve)
    const { behaviours, requestsPerS, sabotage } = this.#parts
    const prng = random.split('runtime')
    const fake = createFakeRuntime({ clock, prng, behaviours, requestsPerS })
    const repository = createSimRepository({
      ...{ fleet, device, profile, disk, power, http, nowMs: clock.nowMs },
      deviceKey: keyId(signer.key),
      verifier: verifierOf(signatures),
    })
    const boundary = power.boundary
    return startAgent(
      {
        ...{ clock, signer, repository, trust: repository, random: random.unit },
        log: this.#log(world),
        artifacts: createSimArtifactStore(disk, power, http, sabotage),
        states: createSimStateStore(disk, power),
        spoolStore: createSimSpoolStore(disk, power),
        runtime: createSimRuntime({
          ...{ device, fake, disk, power, weather, random, observe, sabotage },
        }),
        transport: createSimTransport({
          ...{ device, life: power.life, line, broker, clock, boundary },
          random: random.unit,
        }),
      },
      { fleet, device, boot },
    )
  }

  #log(world: World): Log {
    const line = (message: string, facts: Readonly<Record<string, unknown>> = {}): void =>
      world.trace.line(this.name, `${message} ${JSON.stringify(facts)}`)
    return { info: line, warn: line }
  }

  /** What a start would find now: the models that have an intact release, and the generation. */
  #whatADiskTells(): { generation: number; servable: readonly string[] } {
    const state = parseState(this.#disk.state.text)
    const isIntact = (sha256: string): boolean => {
      const bytes = this.#disk.artifacts.get(sha256)
      const isKnown = [...this.#disk.texts.keys()].some((name) => name.startsWith(sha256))
      return isKnown && bytes !== undefined && sha256Hex(bytes) === sha256
    }
    const servable = (state?.models ?? [])
      .filter(({ current, previous }) =>
        [current, previous].some((release) => release !== null && isIntact(release.sha256)),
      )
      .map(({ model }) => model)
    return { generation: state?.order.generation ?? -1, servable }
  }

  #scheduleRot(random: Prng): void {
    const { world, weather, observe } = this.#parts
    if (weather.of('bit_rot') === 0) return
    world.after(random.exponential(ROT_EVERY_MS / weather.of('bit_rot')), () => {
      if (weather.of('bit_rot') > 0 && this.#disk.rot(random) !== undefined) {
        world.trace.line(this.name, 'a file lost a bit')
        observe({ kind: 'rotted', device: this.name })
      }
      this.#scheduleRot(random)
    })
  }
}
