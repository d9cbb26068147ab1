/**
 * The same port over a broker that runs elsewhere (Mosquitto, EMQX, HiveMQ, NATS): MQTT 3.1.1
 * through mqtt.js, whose own retries (each second, for ever) and QoS 0 queue (without bound) are
 * off. That broker must enforce the rules of shared/protocol/access.ts itself.
 * Invariant: nothing is queued while offline; a publish then fails with `broker.offline`, and what
 * has to arrive is retained or repeated by the caller. One filter, no shared subscriptions: they
 * are granted by brokers that then deliver nothing.
 */
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { ProblemError, toProblem } from '../../shared/kernel/result.ts'
import { parseTopic } from '../../shared/protocol/topics.ts'
import { refuseOutgoing } from './admission.ts'
import type { Broker, BrokerLog, BrokerMessage, OutgoingMessage } from './broker.ts'
import { createTally, type Tally } from './tally.ts'

export interface ExternalBrokerOptions {
  /** `mqtt://`, `mqtts://`, `ws://` or `wss://`. */
  readonly url: string
  readonly clientId: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Published by the broker when this controller is lost. */
  readonly will?: OutgoingMessage
  /** Full jitter between 0 and a bound that doubles up to this. */
  readonly reconnectDelayMsMax?: number
  /** One more publish fails with `broker.overloaded`. */
  readonly publishesInFlightMax?: number
  readonly log?: BrokerLog
}

/** Everything that devices say, of all fleets. */
const UP_FILTER = 'ln1/+/d/+/up/+'
const RECONNECT_DELAY_MS_FIRST = 1_000
const CONNECT_TIMEOUT_MS = 10_000

interface State {
  readonly options: ExternalBrokerOptions
  readonly tally: Tally
  readonly handlers: ((message: BrokerMessage) => void)[]
  /** How to fail the publishes whose outcome is open; their number is the limit in flight. */
  readonly inFlight: Set<(error: Error) => void>
  /** Set while connected and subscribed. */
  client: MqttClient | undefined
  timer: NodeJS.Timeout | undefined
  attempts: number
  messagesIn: number
  messagesOut: number
  isClosed: boolean
}

/**
 * Connects and subscribes once, so that a wrong address or password is seen at start; afterwards it
 * comes back on its own.
 * @throws ProblemError `broker.connect_failed`, `broker.subscribe_refused`
 */
export async function connectExternalBroker(options: ExternalBrokerOptions): Promise<Broker> {
  const state: State = {
    options,
    tally: createTally(options.log),
    handlers: [],
    inFlight: new Set(),
    client: undefined,
    timer: undefined,
    attempts: 0,
    messagesIn: 0,
    messagesOut: 0,
    isClosed: false,
  }
  await connect(state)
  return {
    publish: (message) => publish(state, message),
    onMessage: (handler) => void state.handlers.push(handler),
    // MQTT has no standard way to see other clients: last wills on up/state must do.
    onPresence: () => {},
    disconnect: async () => false,
    stats: () => ({
      clients: 0,
      connections: state.client === undefined ? 0 : 1,
      messagesIn: state.messagesIn,
      messagesOut: state.messagesOut,
      refused: state.tally.counts(),
    }),
    async close() {
      if (state.isClosed) return
      state.isClosed = true
      clearTimeout(state.timer)
      const { client } = state
      goOffline(state, new ProblemError({ code: 'broker.closed', message: 'Closed.' }))
      await client?.endAsync()
    },
  }
}

async function connect(state: State): Promise<void> {
  const client = await open(state.options)
  client.on('error', (cause) => state.tally.add('connection_error', toProblem(cause, 'mqtt')))
  client.on('message', (topic, payload, { qos, retain }) => {
    deliver(state, { topic, payload, qos: qos === 0 ? 0 : 1, retain, clientId: undefined })
  })
  try {
    const grants = await client.subscribeAsync(UP_FILTER, { qos: 1 })
    if (grants.some(({ qos }) => qos > 2)) throw new Error('SUBACK 128')
  } catch (cause) {
    client.end(true)
    const message = `The broker refuses the subscription to ${UP_FILTER}.`
    throw new ProblemError({ code: 'broker.subscribe_refused', message }, { cause })
  }
  if (state.isClosed) {
    client.end(true)
    return
  }
  state.client = client
  state.attempts = 0
  const lose = (): void => {
    if (state.client !== client) return
    client.end(true)
    state.tally.add('connection_lost', { url: state.options.url })
    goOffline(state, offline())
    reconnectLater(state)
  }
  client.once('close', lose)
  // It may have gone between SUBACK and here.
  if (!client.connected) lose()
}

async function open(options: ExternalBrokerOptions): Promise<MqttClient> {
  const { url, clientId, username, password, will } = options
  const settings: IClientOptions = {
    clientId,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(will === undefined ? {} : { will: { ...will, payload: asBuffer(will.payload) } }),
    protocolVersion: 4,
    clean: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    reconnectPeriod: 0,
    queueQoSZero: false,
    resubscribe: false,
  }
  try {
    return await mqtt.connectAsync(url, settings, false)
  } catch (cause) {
    const { message } = toProblem(cause, 'mqtt')
    throw new ProblemError(
      { code: 'broker.connect_failed', message: `No connection to ${url}: ${message}` },
      { cause },
    )
  }
}

function reconnectLater(state: State): void {
  if (state.isClosed) return
  const delayMsMax = Math.min(
    state.options.reconnectDelayMsMax ?? 30_000,
    RECONNECT_DELAY_MS_FIRST * 2 ** state.attempts,
  )
  state.attempts = Math.min(state.attempts + 1, 20)
  state.timer = setTimeout(() => {
    connect(state).catch((cause: unknown) => {
      state.tally.add('reconnect_failed', toProblem(cause, 'broker.connect_failed'))
      reconnectLater(state)
    })
  }, Math.random() * delayMsMax)
}

function goOffline(state: State, error: ProblemError): void {
  state.client = undefined
  const failures = [...state.inFlight]
  state.inFlight.clear()
  for (const fail of failures) fail(error)
}

function deliver(state: State, message: BrokerMessage): void {
  // Empty: a retained message was cleared, by us or by the device. Not up: the broker's mistake.
  if (message.payload.length === 0) return
  if (parseTopic(message.topic)?.row.direction !== 'up') {
    state.tally.add('access.topic_unknown', { found: message.topic.slice(0, 120) })
    return
  }
  state.messagesIn += 1
  for (const handler of state.handlers) {
    try {
      handler(message)
    } catch (cause) {
      state.tally.add('handler_failed', toProblem(cause, 'broker.handler_failed'))
    }
  }
}

async function publish(state: State, message: OutgoingMessage): Promise<void> {
  const refusal = refuseOutgoing(message)
  if (refusal !== undefined) throw new ProblemError(refusal)
  const { client, inFlight, options } = state
  if (state.isClosed) throw new ProblemError({ code: 'broker.closed', message: 'Closed.' })
  if (client === undefined) throw offline()
  if (inFlight.size >= (options.publishesInFlightMax ?? 10_000)) {
    const found = `${inFlight.size} publishes in flight`
    throw new ProblemError({ code: 'broker.overloaded', message: 'The broker is slow.', found })
  }
  const { topic, qos, retain } = message
  await new Promise<void>((resolve, reject) => {
    inFlight.add(reject)
    client.publish(topic, asBuffer(message.payload), { qos, retain }, (error) => {
      inFlight.delete(reject)
      if (error) reject(new ProblemError(toProblem(error, 'broker.publish_failed')))
      else resolve()
    })
  })
  state.messagesOut += 1
}

function offline(): ProblemError {
  return new ProblemError({ code: 'broker.offline', message: 'The broker cannot be reached.' })
}

function asBuffer(payload: Uint8Array | string): Buffer {
  return Buffer.from(payload)
}
