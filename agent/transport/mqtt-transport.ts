/**
 * MQTT 3.1.1 up and down, over TCP or WebSocket; runs on Node and in browsers.
 *
 * Invariants: sessions are clean and nothing is kept here, since the spool is the memory; each
 * connection has a fresh password, a JWT that works once; the library's own reconnecting (each
 * second, for ever) and its queue for QoS 0 (without bound) are off; at most `IN_FLIGHT_MAX`
 * messages wait for the broker, then `publish` says no.
 * `c/state` and the pulse are hints without signatures: they can delay or repeat, within limits.
 */
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { controllerStateSchema, pulseSchema } from '../../shared/protocol/messages.ts'
import { formatTopic, parseTopic, TOPICS } from '../../shared/protocol/topics.ts'
import { mintDeviceJwt } from '../../shared/signing/device-jwt.ts'
import type { Signer } from '../../shared/signing/keys.ts'
import type { Clock, LastWill, Log, Transport, UpTopic } from '../ports.ts'
import { createBackoff } from './backoff.ts'

export interface MqttTransportOptions {
  /** `mqtt:`, `mqtts:`, `ws:` or `wss:`. */
  readonly url: string
  readonly fleet: string
  readonly device: string
  readonly signer: Signer
  readonly clock: Clock
  readonly log: Log
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** At least 16 characters of [A-Za-z0-9_-], never the same twice. */
  readonly randomId: () => string
  /** Whose pulse to listen to, as of the newest assignment. */
  readonly cohort: () => string | null
  /**
   * Before the next try after the broker refused a password. MQTT 3.1.1 does not say why; a clock that
   * is off is what the device itself can mend.
   */
  readonly askTime?: () => Promise<unknown>
}

const JWT_LIFETIME_MS = 120_000
const KEEPALIVE_SECONDS = 60
const CONNECT_TIMEOUT_MS = 30_000
const IN_FLIGHT_MAX = 128
const CLOSE_MS_MAX = 2_000
/** CONNACK, MQTT 3.1.1 clause 3.2.2.3: bad user name or password, not authorized. */
const REFUSED_CODES: readonly unknown[] = [4, 5]

type DownHandler = Parameters<Transport['onMessage']>[0]

export function createMqttTransport(options: MqttTransportOptions): Transport {
  return new MqttTransport(options)
}

class MqttTransport implements Transport {
  readonly #options: MqttTransportOptions
  readonly #backoff: ReturnType<typeof createBackoff>
  #client: MqttClient | undefined
  #connected = false
  #closed = false
  #inFlight = 0
  #wasRefused = false
  #pulseTopic: string | undefined
  #cancelRetry = (): void => undefined
  #cancelPulse: (() => void) | undefined
  #lastWill: LastWill = () => new Uint8Array()
  #onMessage: DownHandler = () => undefined
  #onConnection: (connected: boolean) => void = () => undefined

  constructor(options: MqttTransportOptions) {
    this.#options = options
    this.#backoff = createBackoff(options)
  }

  open(lastWill: LastWill): void {
    this.#lastWill = lastWill
    this.#open()
  }

  #open(): void {
    this.#connect().catch((cause) => this.#lost(cause))
  }

  publish(name: UpTopic, payload: Uint8Array): boolean {
    const client = this.#client
    if (client === undefined || !this.#connected || this.#inFlight >= IN_FLIGHT_MAX) return false
    const { qos, retain } = TOPICS[name]
    this.#inFlight += 1
    client.publish(this.#topic(name), asBuffer(payload), { qos, retain }, () => {
      if (client === this.#client) this.#inFlight -= 1
    })
    return true
  }

  onMessage(handler: DownHandler): void {
    this.#onMessage = handler
  }

  onConnection(handler: (connected: boolean) => void): void {
    this.#onConnection = handler
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelRetry()
    this.#cancelPulse?.()
    const client = this.#client
    if (client === undefined) return
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(CLOSE_MS_MAX, () =>
        client.end(true, {}, () => resolve()),
      )
      // Gracefully: what is in flight still goes out, and the last will does not.
      client.end(false, {}, () => {
        cancel()
        resolve()
      })
    })
  }

  async #connect(): Promise<void> {
    if (this.#wasRefused) await this.#options.askTime?.()
    this.#wasRefused = false
    const connectOptions = await this.#connectOptions()
    if (this.#closed) return
    const client = mqtt.connect(this.#options.url, connectOptions)
    this.#client = client
    this.#inFlight = 0
    client.on('connect', () => this.#subscribe(client))
    client.on('message', (topic, payload) => this.#received(topic, payload))
    client.on('error', (error) => {
      this.#wasRefused = 'code' in error && REFUSED_CODES.includes(error.code)
      this.#options.log.warn('MQTT connection failed', { reason: error.message })
      client.end(true)
    })
    client.on('close', () => this.#lost(undefined, client))
  }

  async #connectOptions(): Promise<IClientOptions> {
    const { fleet, device, signer, clock, random, randomId } = this.#options
    const use = 'mqtt' as const
    const claims = { fleet, device, use, nowMs: clock.nowMs(), lifetimeMs: JWT_LIFETIME_MS }
    const password = await mintDeviceJwt({ ...claims, jti: randomId() }, signer)
    const payload = asBuffer(await this.#lastWill())
    return {
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId: device,
      username: device,
      password,
      keepalive: Math.round(KEEPALIVE_SECONDS * (0.8 + 0.2 * random())),
      connectTimeout: CONNECT_TIMEOUT_MS,
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
      will: { topic: this.#topic('up/state'), payload, qos: 1, retain: true },
    }
  }

  #subscribe(client: MqttClient): void {
    const { fleet } = this.#options
    const topics = [
      ...(['dn/desired', 'dn/ack'] as const).map((name) => this.#topic(name)),
      formatTopic('c/state', { fleet }),
    ]
    client.subscribe(topics, { qos: 1 }, (error, granted = []) => {
      const refused = granted.find(({ qos }) => qos === 128)
      if (client !== this.#client || this.#closed) return
      if (error !== null || refused !== undefined) {
        const reason = error?.message ?? `refused ${refused?.topic}`
        this.#options.log.warn('MQTT subscription failed', { reason })
        client.end(true)
        return
      }
      this.#connected = true
      this.#pulseTopic = undefined
      this.#backoff.connected()
      this.#followCohort()
      this.#onConnection(true)
    })
  }

  /** The cohort comes with an assignment, so it may change while connected. */
  #followCohort(): void {
    const { cohort: cohortOf, fleet } = this.#options
    const cohort = cohortOf()
    const topic = cohort === null ? undefined : formatTopic('dn/pulse', { fleet, cohort })
    if (topic === this.#pulseTopic || !this.#connected) return
    if (this.#pulseTopic !== undefined) this.#client?.unsubscribe(this.#pulseTopic)
    if (topic !== undefined) this.#client?.subscribe(topic, { qos: 0 })
    this.#pulseTopic = topic
  }

  #received(topic: string, payload: Uint8Array): void {
    const parsed = parseTopic(topic)
    if (parsed === undefined || payload.length > parsed.row.bytesMax) {
      this.#options.log.warn('a message was refused', { topic, bytes: payload.length })
      return
    }
    this.#followCohort()
    const { name } = parsed
    if (name === 'dn/desired' || name === 'dn/ack') {
      this.#onMessage(name, payload)
    } else if (name === 'c/state') {
      const state = controllerStateSchema.safeParse(jsonOrUndefined(payload))
      if (state.success) this.#backoff.askedToWait(state.data.retryAfterMs)
    } else if (name === 'dn/pulse') {
      const pulse = pulseSchema.safeParse(jsonOrUndefined(payload))
      if (pulse.success) this.#lookAgain(pulse.data.jitterMs)
    }
  }

  /** A new subscription makes the broker send the retained assignment again. */
  #lookAgain(jitterMs: number): void {
    if (this.#cancelPulse !== undefined) return
    const { clock, random } = this.#options
    this.#cancelPulse = clock.after(jitterMs * random(), () => {
      this.#cancelPulse = undefined
      if (this.#connected) this.#client?.subscribe(this.#topic('dn/desired'), { qos: 1 })
    })
  }

  #lost(cause: unknown, client?: MqttClient): void {
    if (client !== undefined && client !== this.#client) return
    if (cause instanceof Error) this.#options.log.warn('cannot connect', { reason: cause.message })
    const wasConnected = this.#connected
    this.#connected = false
    this.#client = undefined
    if (wasConnected) this.#onConnection(false)
    if (this.#closed) return
    const delayMs = this.#backoff.nextDelayMs()
    this.#options.log.info('reconnecting', { delayMs: Math.round(delayMs) })
    this.#cancelRetry = this.#options.clock.after(delayMs, () => this.#open())
  }

  #topic(name: UpTopic | 'dn/desired' | 'dn/ack'): string {
    const { fleet, device } = this.#options
    return formatTopic(name, { fleet, device })
  }
}

function jsonOrUndefined(payload: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(payload) ?? '')
  } catch {
    return undefined
  }
}

/** The library's types ask for Node's Buffer; any bytes will do. */
function asBuffer(bytes: Uint8Array): Buffer {
  return bytes as Buffer
}
