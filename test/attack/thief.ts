/**
 * Who has stolen the home of a controller: its online keys, its database, its files. He listens on the
 * same ports with a broker and a server of his own, signs whatever those keys can sign, and hears what
 * devices say. He has neither the publishers' keys nor the devices'.
 */
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { createClient as createDatabase } from '@libsql/client'
import { createAccessPolicy } from '../../controller/broker/admission.ts'
import {
  createEmbeddedBroker,
  type EmbeddedBroker,
} from '../../controller/broker/embedded-broker.ts'
import { ok, unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { AssignedSlot, Assignment } from '../../shared/model/assignment.ts'
import type { DeviceNotice, Report } from '../../shared/model/device.ts'
import { loadSigner } from '../../shared/node/key-files.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { openMessage } from '../../shared/protocol/frame.ts'
import { formatTopic } from '../../shared/protocol/topics.ts'
import { signAssignment } from '../../shared/signing/assignment.ts'
import type { Json, JsonObject } from '../../shared/signing/canonical-json.ts'
import { envelopeBytes, signEnvelope } from '../../shared/signing/envelope.ts'
import { checkSync, type PublicKey, type SyncSigner } from '../../shared/signing/keys.ts'
import { signTime } from '../../shared/signing/signed-time.ts'
import { signTimestamp } from '../../shared/signing/tuf/publish.ts'
import { formatTime } from '../../shared/signing/tuf/timestamps.ts'

export const FLEET = 'main'
const DAY_MS = 86_400_000

/** What lies in the home of a controller that was stopped. */
export interface Loot {
  readonly home: string
  readonly director: SyncSigner
  readonly snapshot: SyncSigner
  readonly timestamp: SyncSigner
  /** TUF metadata by file name. */
  readonly metadata: ReadonlyMap<string, Uint8Array>
  /** The newest assignment of each device. */
  readonly assignments: ReadonlyMap<string, Assignment>
  readonly deviceKeys: ReadonlyMap<string, PublicKey>
}

export async function plunder(home: string): Promise<Loot> {
  const signer = (role: string) => loadSigner(join(home, 'keys', `${role}.json`))
  const database = createDatabase({ url: `file:${join(home, 'linnet.db')}` })
  try {
    const rows = async (sql: string) => (await database.execute(sql)).rows
    const files = await rows('SELECT file, bytes FROM metadata')
    const assigned = await rows('SELECT device, envelope FROM assignments')
    const devices = await rows('SELECT device, public_key FROM devices')
    return {
      home,
      director: await signer('director'),
      snapshot: await signer('snapshot'),
      timestamp: await signer('timestamp'),
      metadata: new Map(
        files.map(({ file, bytes }) => [String(file), new Uint8Array(bytes as ArrayBuffer)]),
      ),
      assignments: new Map(
        assigned.map(({ device, envelope }) => [
          String(device),
          JSON.parse(String(envelope)).signed as Assignment,
        ]),
      ),
      deviceKeys: new Map(
        devices.map((row) => [String(row.device), JSON.parse(String(row.public_key)) as PublicKey]),
      ),
    }
  } finally {
    database.close()
  }
}

export class Thief {
  readonly loot: Loot
  /** What his server gives out, by file name; what he took, until he changes it. */
  readonly metadata: Map<string, Uint8Array>
  /** Bodies by digest in the place of the honest ones. */
  readonly swapped = new Map<string, Uint8Array>()
  /** Gives out no metadata. */
  isSilent = false
  /** The time by which he signs, and which he tells who asks; undefined: as it is, and nothing. */
  timeMs: number | undefined
  readonly notices: DeviceNotice[] = []
  readonly reports: Report[] = []
  /** Devices that sent anything. */
  readonly heard = new Set<string>()
  readonly #server: Server
  readonly #broker: EmbeddedBroker
  #generation: number

  private constructor(loot: Loot, server: Server, broker: EmbeddedBroker) {
    this.loot = loot
    this.metadata = new Map(loot.metadata)
    this.#server = server
    this.#broker = broker
    this.#generation = Math.max(...[...loot.assignments.values()].map((one) => one.generation))
  }

  static async listen(loot: Loot, ports: { http: number; mqtt: number }): Promise<Thief> {
    const broker = await createEmbeddedBroker({
      access: createAccessPolicy(async ({ clientId: device }) =>
        ok({ kind: 'device', fleet: FLEET, device }),
      ),
      tcp: { host: '127.0.0.1', port: ports.mqtt },
    })
    const server = createServer((request, response) => {
      thief.#answer(request.url ?? '').then(
        (body) => response.writeHead(body === undefined ? 404 : 200).end(body),
        () => response.writeHead(404).end(),
      )
    })
    await new Promise<void>((resolve) => server.listen(ports.http, '127.0.0.1', resolve))
    const thief = new Thief(loot, server, broker)
    broker.onMessage(({ topic, payload }) => thief.#hear(topic, payload))
    return thief
  }

  async close(): Promise<void> {
    await this.#broker.close()
    this.#server.closeAllConnections()
    await new Promise<void>((closed) => this.#server.close(() => closed()))
  }

  /** An assignment as the controller would sign it next, but for what is changed. */
  assignment(device: string, change: Partial<Assignment> = {}): Assignment {
    this.#generation += 1
    const issuedAt = this.#nowMs()
    const times = { issuedAt, expiresAt: issuedAt + DAY_MS }
    const generation = this.#generation
    return { ...this.loot.assignments.get(device)!, ...times, generation, ...change }
  }

  /** Signs and publishes it as the retained assignment of `device`. */
  async assign(device: string, assignment: Assignment): Promise<void> {
    const envelope = unwrap(signAssignment(assignment, [this.loot.director]))
    await this.publish('dn/desired', device, envelopeBytes(envelope))
  }

  publish(
    name: 'dn/desired' | 'dn/command' | 'dn/ack',
    device: string,
    payload: Uint8Array,
  ): Promise<void> {
    const topic = formatTopic(name, { fleet: FLEET, device })
    return this.#broker.publish({ topic, payload, qos: 1, retain: name === 'dn/desired' })
  }

  /** The `signed` part of the newest file of a role. */
  newest(role: string): JsonObject {
    return JSON.parse(Buffer.from(this.metadata.get(this.#newestFile(role))!).toString()).signed
  }

  /**
   * Serves another set: these targets files (signed by whom he likes), and a snapshot and a timestamp
   * over them under the stolen keys.
   * @returns the version of the snapshot.
   */
  sign(
    files: Readonly<Record<string, { signed: JsonObject; by: readonly SyncSigner[] }>>,
    change: { snapshot?: number; timestamp?: number; meta?: JsonObject } = {},
  ): number {
    const meta: Record<string, Json> = {
      ...(change.meta ?? (this.newest('snapshot').meta as JsonObject)),
    }
    for (const [role, { signed, by }] of Object.entries(files)) {
      const bytes = envelopeBytes(unwrap(signEnvelope(signed, by)))
      this.metadata.set(`${signed.version}.${role}.json`, bytes)
      const hashes = { sha256: sha256Hex(bytes) }
      meta[`${role}.json`] = { version: signed.version as number, length: bytes.length, hashes }
    }
    const version = change.snapshot ?? Number(this.newest('snapshot').version) + 1
    const expiresMs = this.#nowMs() + DAY_MS
    const signed = { ...this.newest('snapshot'), version, expires: formatTime(expiresMs), meta }
    const snapshot = envelopeBytes(unwrap(signEnvelope(signed, [this.loot.snapshot])))
    this.metadata.set(`${version}.snapshot.json`, snapshot)
    const timestamp = change.timestamp ?? Number(this.newest('timestamp').version) + 1
    const role = { version: timestamp, expiresMs, signers: [this.loot.timestamp] }
    this.metadata.set('timestamp.json', unwrap(signTimestamp(snapshot, role)).bytes)
    return version
  }

  /** What was stolen again, under versions above all that he made devices believe. */
  restore(): void {
    const above = { snapshot: Number(this.newest('snapshot').version) + 1 }
    const timestamp = Number(this.newest('timestamp').version) + 1
    this.isSilent = false
    this.metadata.clear()
    for (const [name, bytes] of this.loot.metadata) this.metadata.set(name, bytes)
    this.swapped.clear()
    this.sign({}, { ...above, timestamp })
  }

  /** A release as the publishers signed it, from whatever role lists it. */
  signedSlot(model: string, version: string): AssignedSlot {
    const path = `${model}/${version}/fp32.onnx`
    for (const bytes of this.loot.metadata.values()) {
      const { targets = {} } = JSON.parse(Buffer.from(bytes).toString()).signed
      if (targets[path] === undefined) continue
      const { length, hashes } = targets[path]
      const shares = { trafficShare: 0, shadow: 0 }
      return { slot: 'current', model, target: path, sha256: hashes.sha256, length, ...shares }
    }
    throw new Error(`nobody signed ${path}`)
  }

  /** The newest version of a role's stolen files that lists this path. */
  lastListing(role: string, path: string): number {
    const versions = [...this.loot.metadata].flatMap(([name, bytes]) => {
      if (!name.endsWith(`.${role}.json`)) return []
      const { signed } = JSON.parse(Buffer.from(bytes).toString())
      return signed.targets[path] === undefined ? [] : [signed.version as number]
    })
    return Math.max(...versions)
  }

  #newestFile(role: string): string {
    if (role === 'timestamp') return 'timestamp.json'
    const versions = [...this.metadata.keys()]
      .filter((name) => name.endsWith(`.${role}.json`))
      .map((name) => Number(name.split('.')[0]))
    return `${Math.max(...versions)}.${role}.json`
  }

  async #answer(url: string): Promise<Uint8Array | undefined> {
    const metadata = /^\/tuf\/metadata\/(.+)$/.exec(url)?.[1]
    if (metadata !== undefined) {
      return this.isSilent ? undefined : this.metadata.get(decodeURIComponent(metadata))
    }
    const asked = /^\/api\/v1\/devices\/(.+)\/time\?nonce=(.+)$/.exec(url)
    if (asked !== null) return this.#time(asked[1]!, asked[2]!)
    const digest = /^\/tuf\/targets\/.*\/([0-9a-f]{64})\.[^/]+$/.exec(url)?.[1]
    if (digest === undefined) return undefined
    const swapped = this.swapped.get(digest)
    return swapped ?? readFile(join(this.loot.home, 'artifacts', digest.slice(0, 2), digest))
  }

  #nowMs(): number {
    return this.timeMs ?? Date.now()
  }

  #time(device: string, nonce: string): Uint8Array | undefined {
    if (this.timeMs === undefined) return undefined
    const time = { fleet: FLEET, device, nonce, timeMs: this.timeMs }
    return envelopeBytes(unwrap(signTime(time, [this.loot.director])))
  }

  #hear(topic: string, payload: Uint8Array): void {
    const [, , , device = '', , leaf] = topic.split('/')
    this.heard.add(device)
    const key = this.loot.deviceKeys.get(device)
    if (key === undefined || (leaf !== 'event' && leaf !== 'report')) return
    const kind = leaf === 'event' ? 'notice' : 'report'
    const opened = checkSync(
      openMessage(kind, payload, { fleet: FLEET, device, topic }, key),
      nodeVerifier,
    )
    if (!opened.ok) return
    if ('notice' in opened.value) this.notices.push(opened.value.notice)
    else this.reports.push(opened.value.report)
  }
}
