/**
 * One run: a fleet, its controller and its operator in a world, first with faults (safety), then
 * without (liveness). The seed, the plan of faults and the sizes decide everything.
 */

import type { Behaviour } from '../../agent/runtime/fake-behaviour.ts'
import { createMemoryStore } from '../../controller/db/memory-store.ts'
import type { Store, StoreChange } from '../../controller/db/store.ts'
import { createMemoryBlobs } from '../../controller/signing/memory-blobs.ts'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { RolloutStateName } from '../../shared/rollout/state.ts'
import { keyId } from '../../shared/signing/keys.ts'
import { type Ceremony, holdCeremony } from './ceremony.ts'
import { type Checker, safetyCheckers, type Violation, Watch } from './checkers.ts'
import { unconverged } from './convergence.ts'
import { type FaultPlan, Weather } from './faults.ts'
import type { Observe } from './observations.ts'
import { type Operator, startOperator } from './operator.ts'
import { PROFILES, type PublishedRelease, publishRelease, STORY } from './publisher.ts'
import type { Sabotage } from './sabotage.ts'
import { createSimBroker, type SimBroker } from './sim-broker.ts'
import { SimController, type SimControllerParts } from './sim-controller.ts'
import { SimDevice, type SimDeviceParts } from './sim-device.ts'
import { type SignatureKind, verifierOf } from './sim-keys.ts'
import { checkStore } from './store-checkers.ts'
import { World } from './world.ts'

export interface Scenario {
  readonly seed: string | number
  readonly devices: number
  /** Length of the phase with faults, in simulated minutes. */
  readonly minutes: number
  readonly faults: FaultPlan
}

export interface SimulationOptions extends Scenario {
  readonly signatures?: SignatureKind
  /** Bound of L1: how long after the faults healed everything must agree. */
  readonly livenessMinutesMax?: number
  readonly windowMs?: number
  readonly requestsPerS?: number
  /** Releases that are rolled out, in this order. */
  readonly versions?: readonly string[]
  readonly print?: ((line: string) => void) | undefined
  readonly checkers?: readonly Checker[]
  readonly goesAt?: SimDeviceParts['goesAt']
  readonly sabotage?: Sabotage
  readonly diesAt?: SimControllerParts['diesAt']
}

export interface SimulationResult {
  readonly events: number
  readonly simulatedMs: number
  /** From healing to convergence; null when it did not converge. */
  readonly healedMs: number | null
  readonly violations: readonly Violation[]
  readonly rollouts: readonly {
    readonly id: string
    readonly candidate: string
    readonly state: RolloutStateName
    readonly sentence: string
  }[]
  readonly countedRequests: number
  /** SHA-256 of the whole trace. */
  readonly digest: string
}

const FLEET = 'plant'
const LIVENESS_MINUTES_MAX = 360
/** No multiple of anything, so that looks do not always meet the same moment of a window. */
const LOOK_EVERY_MS = 7_300
const LOOK_EVERY_MS_LARGE = 61_000
const BROKER_RESTART_EVERY_MS = 2 * 3_600_000

export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(options)
  await simulation.prepare()
  return simulation.run()
}

class Simulation {
  readonly #options: SimulationOptions
  readonly #world: World
  readonly #weather: Weather
  readonly #store: Store = createMemoryStore()
  readonly #broker: SimBroker
  readonly #controller: SimController
  readonly #devices: SimDevice[] = []
  readonly #watch: Watch
  readonly #releases: readonly PublishedRelease[]
  readonly #ceremony: Ceremony
  readonly #blobs = createMemoryBlobs()
  /** Devices with nothing unsent at some look since the faults healed. */
  readonly #drained = new Set<string>()
  #operator: Operator | undefined
  #countedRequests = 0

  constructor(options: SimulationOptions) {
    const { seed, faults, print, checkers, diesAt, devices } = options
    const signatures = options.signatures ?? 'cheap'
    this.#options = options
    this.#world = new World(seed, print)
    this.#weather = new Weather(faults)
    this.#watch = new Watch(checkers ?? safetyCheckers())
    this.#broker = createSimBroker(this.#world, FLEET, options.sabotage ?? {})
    this.#releases = STORY.map(({ version, behaviours }) => publishRelease(version, behaviours))
    this.#ceremony = holdCeremony(this.#releases, signatures)
    this.#controller = new SimController({
      ...{ world: this.#world, weather: this.#weather, fleet: FLEET },
      store: tampered(this.#store, options.sabotage?.tamper),
      ...{ blobs: this.#blobs, broker: this.#broker, signers: this.#ceremony.online, diesAt },
      ...{ verifier: verifierOf(signatures), profiles: PROFILES },
      windowMs: options.windowMs ?? 60_000,
      tickMs: devices > 500 ? 5_000 : 2_000,
      onError: (message) => this.#watch.violate('S0', `the controller failed: ${message}`),
    })
    this.#watchAssignments()
  }

  /** Fleet enrolled, releases published, everything about to start. */
  async prepare(): Promise<void> {
    const { devices } = this.#options
    const behaviours = new Map(this.#releases.flatMap((release) => [...release.behaviours]))
    for (const bytes of this.#releases.flatMap(({ files }) => [...files.values()])) {
      this.#observe({ kind: 'published', sha256: sha256Hex(bytes) })
    }
    for (let i = 0; i < devices; i++) this.#devices.push(this.#newDevice(i, behaviours))
    await this.#store.write(this.#devices.map((device) => enrolment(device, this.#world.nowMs())))
    await this.#publish()
    this.#weather.rise()
    for (const device of this.#devices) device.install(this.#ceremony.root)
    this.#operator = startOperator(
      this.#world,
      () => this.#controller.application(),
      this.#options.versions ?? STORY.map(({ version }) => version),
    )
    this.#scheduleBrokerRestart()
  }

  async run(): Promise<SimulationResult> {
    const startedMs = this.#world.nowMs()
    const isViolated = (): boolean => this.#watch.violations().length > 0
    const untilMs = startedMs + this.#options.minutes * 60_000
    await this.#world.run(untilMs, isViolated)
    this.#world.trace.line('world', 'faults heal')
    this.#weather.heal()
    const healedMs = isViolated() ? null : await this.#converge()
    await this.#checkStore()
    const { rollouts } = await this.#store.load()
    return {
      events: this.#world.events(),
      simulatedMs: this.#world.nowMs() - startedMs,
      healedMs,
      violations: this.#watch.violations(),
      rollouts: rollouts.map(({ id, spec, state, reason }) => ({
        ...{ id, state, candidate: spec.candidate, sentence: reason.sentence },
      })),
      countedRequests: this.#countedRequests,
      digest: this.#world.trace.digest(),
    }
  }

  /** @returns how long it took, or null after the bound. */
  async #converge(): Promise<number | null> {
    const healedAtMs = this.#world.nowMs()
    const lookEveryMs = this.#options.devices > 100 ? LOOK_EVERY_MS_LARGE : LOOK_EVERY_MS
    let problem: string | undefined = 'nobody looked'
    const minutesMax = this.#options.livenessMinutesMax ?? LIVENESS_MINUTES_MAX
    while (this.#world.nowMs() - healedAtMs < minutesMax * 60_000) {
      await this.#world.run(this.#world.nowMs() + lookEveryMs)
      if (this.#watch.violations().length > 0) return null
      problem = await this.#unconverged()
      if (problem === undefined) return this.#world.nowMs() - healedAtMs
    }
    for (const device of this.#devices) this.#world.trace.line(device.name, device.standing())
    this.#watch.violate('L1', `after ${minutesMax} min: ${problem}`)
    return null
  }

  async #unconverged(): Promise<string | undefined> {
    for (const device of this.#devices) {
      if (device.unsent() === 0) this.#drained.add(device.name)
    }
    const seen = this.#devices.map((device) => ({
      name: device.name,
      slots: device.slots(),
      drained: this.#drained.has(device.name),
    }))
    const problem = unconverged(await this.#store.load(), seen)
    if (problem !== undefined || this.#operator?.isDone() === true) return problem
    return 'the operator still has rollouts to start'
  }

  async #checkStore(): Promise<void> {
    // Windows of the open interval, and what a cut took, are counted by nobody.
    const problems = await checkStore(this.#store, this.#countedRequests, false)
    for (const { checker, message } of problems) this.#watch.violate(checker, message)
  }

  readonly #observe: Observe = (observation) => {
    if (observation.kind === 'counted') this.#countedRequests += observation.requests
    if (observation.kind === 'serving') {
      const { device, generation, models } = observation
      this.#world.trace.line(device, `serves generation ${generation} ${JSON.stringify(models)}`)
    }
    this.#watch.see(observation)
  }

  #newDevice(index: number, behaviours: ReadonlyMap<string, Behaviour>): SimDevice {
    const { signatures, requestsPerS, goesAt, sabotage = {} } = this.#options
    return new SimDevice({
      ...{ world: this.#world, weather: this.#weather, fleet: FLEET, broker: this.#broker },
      ...{ behaviours, observe: this.#observe, goesAt, sabotage },
      name: `d${index}`,
      profile: PROFILES[index % PROFILES.length]!,
      signatures: signatures ?? 'cheap',
      serve: (path) => this.#controller.serve(path),
      requestsPerS: requestsPerS ?? 5,
    })
  }

  async #publish(): Promise<void> {
    const actor = { name: 'publisher', role: 'admin' } as const
    const settled = async (): Promise<void> => {
      await this.#controller.start()
      const application = this.#controller.application()!
      unwrap(await application.putRoot(this.#ceremony.root, actor))
      for (const bytes of this.#releases.flatMap(({ files }) => [...files.values()])) {
        unwrap(await application.putArtifact(sha256Hex(bytes), once(bytes), actor))
      }
      unwrap(await application.putTargets(this.#ceremony.targets, actor))
    }
    let isPublished = false
    const publishing = settled().then(() => {
      isPublished = true
    })
    while (!isPublished) {
      await Promise.race([publishing, this.#world.run(this.#world.nowMs() + 1_000)])
    }
    this.#world.trace.line('publisher', 'published')
  }

  #watchAssignments(): void {
    this.#broker.onOutgoing(({ topic, payload }) => {
      const device = /\/d\/([^/]+)\/dn\/desired$/.exec(topic)?.[1]
      if (device === undefined || payload.length === 0) return
      const text = typeof payload === 'string' ? payload : (fromUtf8(payload) ?? '')
      const { directorEpoch, generation } = JSON.parse(text).signed
      this.#observe({ kind: 'assigned', device, directorEpoch, generation })
    })
  }

  #scheduleBrokerRestart(): void {
    const random = this.#world.prng('broker')
    const next = (): void => {
      const intensity = this.#weather.of('broker_restart')
      if (intensity === 0) return
      this.#world.after(random.exponential(BROKER_RESTART_EVERY_MS / intensity), () => {
        if (this.#weather.of('broker_restart') > 0) {
          this.#world.trace.line('broker', 'restart')
          this.#broker.restart(true)
        }
        next()
      })
    }
    next()
  }
}

function tampered(store: Store, tamper: Sabotage['tamper']): Store {
  if (tamper === undefined) return store
  return { ...store, write: (changes) => store.write(tamper(changes)) }
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}

function enrolment(device: SimDevice, enrolledAtMs: number): StoreChange {
  const publicKey = device.signer.key
  const facts = {
    profile: device.profile.name,
    agentVersion: 'simulated',
    runtimeVersion: 'simulated',
    platform: 'simulated',
    cores: 4,
    memoryMb: 2_048,
    labels: {},
  }
  const row = { device: device.name, deviceKey: keyId(publicKey), publicKey, facts }
  return { put: 'devices', row: { ...row, enrolledAtMs, approvedAtMs: 0, revokedAtMs: null } }
}
