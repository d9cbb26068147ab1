/**
 * Brokers, clients and raw MQTT 3.1.1 packets for the broker's tests. Whoever gives a client id as
 * user name and `secret` as password is that device of fleet `f`; `consumer` and `controller` are
 * what they say.
 */
import { connect, type Socket } from 'node:net'
import { type Duplex, duplexPair } from 'node:stream'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { type Credentials, createAccessPolicy } from '../../../controller/broker/admission.ts'
import {
  createEmbeddedBroker,
  type EmbeddedBroker,
  type EmbeddedBrokerOptions,
} from '../../../controller/broker/embedded-broker.ts'
import { fromUtf8 } from '../../../shared/kernel/bytes.ts'
import { ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import type { Identity } from '../../../shared/protocol/access.ts'

async function authenticate(credentials: Credentials): Promise<Result<Identity>> {
  const { username = '', clientId, password = new Uint8Array() } = credentials
  if (fromUtf8(password) !== 'secret') return refuse('auth.bad_token', 'Wrong password.')
  if (username === 'consumer') return ok({ kind: 'consumer', fleet: 'f' })
  if (username === 'controller') return ok({ kind: 'controller' })
  if (username !== clientId) return refuse('auth.client_id', 'Client id and user name differ.')
  return ok({ kind: 'device', fleet: 'f', device: clientId })
}

export const testAccess = createAccessPolicy(authenticate)

const cleanups: (() => Promise<unknown> | unknown)[] = []

export function cleanUpWith(cleanup: () => Promise<unknown> | unknown): void {
  cleanups.push(cleanup)
}

/** For `afterEach`: the last one made goes first. */
export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
}

export async function startBroker(
  options: Partial<EmbeddedBrokerOptions> = {},
): Promise<EmbeddedBroker & { tcpPort: number }> {
  const tcp = { host: '127.0.0.1', port: 0 }
  const broker = await createEmbeddedBroker({ access: testAccess, tcp, ...options })
  cleanUpWith(() => broker.close())
  return broker as EmbeddedBroker & { tcpPort: number }
}

/** An mqtt.js client that neither retries nor hides errors; `clientId` is the user name too. */
export async function connectClient(
  url: string,
  clientId: string,
  options: IClientOptions = {},
): Promise<MqttClient> {
  const client = await mqtt.connectAsync(
    url,
    {
      clientId,
      username: clientId,
      password: 'secret',
      reconnectPeriod: 0,
      connectTimeout: 10_000,
      ...options,
    },
    false,
  )
  client.on('error', () => {})
  cleanUpWith(() => client.endAsync(true))
  return client
}

export const tcpUrl = (broker: { tcpPort: number }) => `mqtt://127.0.0.1:${broker.tcpPort}`

/** A plain TCP connection: what came in, and whether the other side closed it. */
export interface RawSocket {
  readonly socket: Socket
  received(): Buffer
  isClosed(): boolean
}

export function openRaw(port: number): RawSocket {
  const socket = connect({ port, host: '127.0.0.1' })
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => void chunks.push(chunk))
  socket.on('error', () => {})
  cleanUpWith(() => socket.destroy())
  return { socket, received: () => Buffer.concat(chunks), isClosed: () => socket.closed }
}

/** One end for the broker, one for the test: no socket, no network. */
export function openPair(serve: (end: Duplex) => void): Duplex {
  const [ours, theirs] = duplexPair()
  ours.on('error', () => {})
  serve(theirs)
  cleanUpWith(() => ours.destroy())
  return ours
}

/** Waits for an outcome, not for a time: the test's own timeout is the only limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
}

export function header(type: number, length: number): Buffer {
  const bytes = [type]
  do {
    const digit = length % 128
    length = Math.floor(length / 128)
    bytes.push(length > 0 ? digit | 0x80 : digit)
  } while (length > 0)
  return Buffer.from(bytes)
}

function packet(type: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([header(type, body.length), body])
}

interface ConnectFields {
  clientId: string
  username?: string
  password?: string
  version?: number
  will?: { topic: string; payload: string }
}

export function connectPacket(fields: ConnectFields): Buffer {
  const { clientId, username = clientId, password = 'secret', version = 4, will } = fields
  const flags = 0xc2 | (will ? 0x24 : 0)
  const properties = version === 5 ? [Buffer.from([0])] : []
  return packet(
    0x10,
    text('MQTT'),
    Buffer.from([version, flags, 0, 60]),
    ...properties,
    text(clientId),
    ...(will ? [text(will.topic), text(will.payload)] : []),
    text(username),
    text(password),
  )
}

export function subscribePacket(filter: string, qos: 0 | 1 = 0): Buffer {
  return packet(0x82, Buffer.from([0, 1]), text(filter), Buffer.from([qos]))
}

export function publishPacket(topic: string, payload: string, qos: 0 | 1 | 2 = 0): Buffer {
  const id = qos > 0 ? [Buffer.from([0, 7])] : []
  return packet(0x30 | (qos << 1), text(topic), ...id, Buffer.from(payload))
}
