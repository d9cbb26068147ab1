/**
 * The real controller over a store, a broker and a clock that are simulated. It may die at any batch,
 * before it is stored or between storing and publishing, and is started again on the same store.
 */
import type { Application } from '../../controller/application.ts'
import type { Broker } from '../../controller/broker/broker.ts'
import { type Controller, createController } from '../../controller/controller.ts'
import type { Store } from '../../controller/db/store.ts'
import type { Log } from '../../controller/ports.ts'
import type { Blobs } from '../../controller/signing/blobs.ts'
import { createMemoryKeys } from '../../controller/signing/memory-keys.ts'
import type { OnlineSigners } from '../../controller/signing/online-keys.ts'
import { assert } from '../../shared/kernel/assert.ts'
import type { Prng } from '../../shared/kernel/prng.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import type { SyncVerifier } from '../../shared/signing/keys.ts'
import { never } from './disk.ts'
import type { Weather } from './faults.ts'
import type { SimBroker } from './sim-broker.ts'
import type { HttpAnswer } from './sim-http.ts'
import type { Life, World } from './world.ts'

export interface SimControllerParts {
  readonly world: World
  readonly weather: Weather
  readonly fleet: string
  readonly store: Store
  readonly blobs: Blobs
  readonly broker: SimBroker
  readonly signers: OnlineSigners
  readonly verifier: SyncVerifier
  readonly profiles: readonly FirmwareProfile[]
  readonly windowMs: number
  readonly tickMs: number
  /** Something that the controller itself calls an error: there is no cause for one here. */
  readonly onError: (message: string) => void
  /** Decides beside the weather whether the controller dies at this effect. */
  readonly diesAt?: ((effect: 'before batch' | 'after batch') => boolean) | undefined
}

const CRASH_CHANCE = 0.01
const RESTART_MS_MEAN = 30_000
const ARTIFACT_BYTES_MAX = 1_000_000

export class SimController {
  readonly #parts: SimControllerParts
  readonly #random: Prng
  #life: Life | undefined
  #controller: Controller | undefined

  constructor(parts: SimControllerParts) {
    this.#parts = parts
    this.#random = parts.world.prng('controller')
  }

  async start(): Promise<void> {
    const { world, broker, fleet, store, blobs, signers, verifier } = this.#parts
    const { profiles, windowMs, tickMs } = this.#parts
    const life = world.newLife()
    this.#life = life
    world.trace.line('controller', 'start')
    const controller = await createController({
      rolloutId: (number) => `r${number}`,
      ...{ fleet, blobs, keys: createMemoryKeys(signers), verifier, tickMs },
      version: 'simulated',
      store: this.#mortalStore(store, life),
      profiles: new Map(profiles.map((profile) => [profile.name, profile])),
      clock: {
        nowMs: () => world.nowMs(),
        after: (delayMs, task) => life.after(delayMs, task),
      },
      log: this.#log(),
      openBroker: async () => mortalBroker(broker, life),
      urls: { mqttUrl: '', wsUrl: '' },
      reconcile: { windowMs },
      randomSecret: () => `${this.#random.u32()}`,
    })
    this.#controller = controller
    await controller.start()
  }

  application(): Application | undefined {
    return this.#controller?.application
  }

  /** The embedded broker dies with it. */
  async crash(): Promise<void> {
    const { world, broker } = this.#parts
    if (this.#life === undefined) return
    this.#life.end()
    this.#life = undefined
    this.#controller = undefined
    world.trace.line('controller', 'crash')
    world.after(1_000 + this.#random.exponential(RESTART_MS_MEAN), () => {
      this.start().catch((cause) => world.trace.line('controller', `start failed: ${cause}`))
    })
    await broker.close()
  }

  /** What it answers to devices over HTTP: metadata, and targets by digest. */
  async serve(path: string): Promise<HttpAnswer | undefined> {
    const application = this.application()
    if (application === undefined) return undefined
    const metadata = /^\/tuf\/metadata\/(.+)$/.exec(path)?.[1]
    if (metadata !== undefined) {
      const file = await application.tufMetadata(metadata)
      return file.ok ? { status: 200, body: file.value } : { status: 404 }
    }
    const target = /^\/tuf\/targets\/(.+)$/.exec(path)?.[1]
    assert(target !== undefined, `devices ask for metadata and targets, not for ${path}`)
    const found = await application.tufTarget(target)
    if (!found.ok) return { status: 404 }
    const body = await this.#parts.blobs.read(found.value.sha256, ARTIFACT_BYTES_MAX)
    return body === undefined ? { status: 404 } : { status: 200, body }
  }

  #log(): Log {
    const { world, onError } = this.#parts
    return {
      debug: () => undefined,
      info: (fields, message) => world.trace.line('controller', `${message} ${told(fields)}`),
      warn: (fields, message) => world.trace.line('controller', `${message} ${told(fields)}`),
      error: (fields, message) => onError(`${message} ${told(fields)}`),
    }
  }

  #mortalStore(store: Store, life: Life): Store {
    const { weather, diesAt } = this.#parts
    const dies = (effect: 'before batch' | 'after batch'): boolean =>
      this.#random.chance(weather.of('controller_crash') * CRASH_CHANCE) ||
      diesAt?.(effect) === true
    return {
      ...store,
      write: async (changes) => {
        if (!life.alive) return never()
        if (dies('before batch')) await this.crash()
        if (!life.alive) return never()
        await store.write(changes)
        if (dies('after batch')) await this.crash()
        return life.alive ? undefined : never()
      },
    }
  }
}

function told(fields: object): string {
  return JSON.stringify(fields).slice(0, 400)
}

/** A dead controller publishes nothing. */
function mortalBroker(broker: SimBroker, life: Life): Broker {
  return {
    publish: (message) => (life.alive ? broker.publish(message) : never()),
    onMessage: (handler) => broker.onMessage(handler),
    onPresence: (handler) => broker.onPresence(handler),
    disconnect: (clientId, reason) => broker.disconnect(clientId, reason),
    stats: () => broker.stats(),
    close: () => broker.close(),
  }
}
