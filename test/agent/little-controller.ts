/**
 * The least that an agent needs of a controller, from real parts: a TUF repository with consistent
 * snapshots over HTTP, an MQTT broker that checks the devices' tokens, enrolment. What it got is kept
 * for the tests to look at.
 */
import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcp, type Socket } from 'node:net'
import { Aedes } from 'aedes'
import { unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { Assignment } from '../../shared/model/assignment.ts'
import { ed25519PrivateKey, nodeSigner } from '../../shared/node/signer-node.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { sealMessage } from '../../shared/protocol/frame.ts'
import { formatTopic } from '../../shared/protocol/topics.ts'
import { signAssignment } from '../../shared/signing/assignment.ts'
import { verifyDeviceJwt } from '../../shared/signing/device-jwt.ts'
import { checkEnrolment } from '../../shared/signing/enrolment.ts'
import { formatEnrolmentToken } from '../../shared/signing/enrolment-token.ts'
import { envelopeBytes } from '../../shared/signing/envelope.ts'
import { checkSync, keyId, type PublicKey } from '../../shared/signing/keys.ts'
import { signTime } from '../../shared/signing/signed-time.ts'
import {
  releaseTargets,
  rootMetadata,
  signOnline,
  signRole,
  type TargetEntry,
  targetsMetadata,
} from '../../shared/signing/tuf/publish.ts'
import { aManifest } from './memory-ports.ts'

const signerOf = (n: number) => nodeSigner(ed25519PrivateKey(new Uint8Array(32).fill(n)))
const [rootKey, targetsKey, onlineKey] = [1, 2, 3].map(signerOf) as [
  ReturnType<typeof signerOf>,
  ReturnType<typeof signerOf>,
  ReturnType<typeof signerOf>,
]
const directorKey = signerOf(4)
const DAY_MS = 86_400_000

export class LittleController {
  readonly files = new Map<string, Uint8Array>()
  readonly received: { topic: string; payload: Buffer; retain: boolean }[] = []
  readonly requests: string[] = []
  readonly devices = new Map<string, PublicKey>()
  readonly passwords: string[] = []
  rejects = false
  /** The nonce of each question for the time. */
  readonly asked: string[] = []
  readonly broker: Aedes
  readonly #http: Server
  readonly #tcp: ReturnType<typeof createTcp>
  readonly #sockets = new Set<Socket>()
  readonly #targets: TargetEntry[] = []
  #version = 0

  private constructor(broker: Aedes) {
    this.broker = broker
    this.#http = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const { status, body } = this.#answer(request.url ?? '', Buffer.concat(chunks))
        response.writeHead(status).end(body)
      })
    })
    this.#tcp = createTcp((socket) => {
      this.#sockets.add(socket)
      this.broker.handle(socket)
    })
  }

  static async start(): Promise<LittleController> {
    const controller = new LittleController(await Aedes.createBroker())
    controller.#guard()
    await new Promise<void>((done) => controller.#http.listen(0, '127.0.0.1', done))
    await controller.listen(0)
    const role = (signer: typeof rootKey) => ({ keys: [signer.key], threshold: 1 })
    const root = rootMetadata({
      version: 1,
      expiresMs: Date.now() + DAY_MS,
      roles: {
        root: role(rootKey),
        targets: role(targetsKey),
        snapshot: role(onlineKey),
        timestamp: role(onlineKey),
      },
      director: { ...role(directorKey), directorEpoch: 1 },
    })
    const file = unwrap(signRole('root', root, [rootKey]))
    controller.files.set(`/tuf/metadata/${file.path}`, file.bytes)
    controller.#publish()
    return controller
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`
  }

  get mqttUrl(): string {
    return `mqtt://127.0.0.1:${(this.#tcp.address() as AddressInfo).port}`
  }

  get token(): string {
    const root = this.files.get('/tuf/metadata/1.root.json')!
    const secret = 'secret-secret-secret'
    return formatEnrolmentToken({ fleet: 'plant', id: 't1', secret, rootSha256: sha256Hex(root) })
  }

  /** A release of one variant; returns the slot's target facts. */
  release(version: string, model = new TextEncoder().encode(`model ${version}`)) {
    const sha256 = sha256Hex(model)
    const golden = new TextEncoder().encode(`golden ${version}`)
    const manifest = aManifest({ model: 'motor', version, sha256 })
    const variant = manifest.variants[0]!
    variant.artifact.length = model.length
    variant.golden = { ...variant.golden, sha256: sha256Hex(golden), length: golden.length }
    const text = new TextEncoder().encode(JSON.stringify(manifest))
    const all = { 'fp32.onnx': model, 'fp32.golden': golden, 'manifest.json': text }
    const files = Object.entries(all).map(([file, bytes]) => {
      const digest = sha256Hex(bytes)
      this.files.set(`/tuf/targets/motor/${version}/${digest}.${file}`, bytes)
      return { file, sha256: digest, length: bytes.length }
    })
    const facts = { model: 'motor', version, profiles: [], releaseCounter: 1, minCounter: 0 }
    this.#targets.push(...releaseTargets(facts, files))
    this.#publish()
    return { target: `motor/${version}/fp32.onnx`, sha256, length: model.length }
  }

  sign(assignment: Assignment): string {
    const envelope = unwrap(signAssignment(assignment, [directorKey]))
    return new TextDecoder().decode(envelopeBytes(envelope))
  }

  assign(device: string, envelope: string): Promise<void> {
    const topic = formatTopic('dn/desired', { fleet: 'plant', device })
    return this.send(topic, Buffer.from(envelope), true)
  }

  acknowledge(device: string, boot: string, stored: number[]): Promise<void> {
    const topic = formatTopic('dn/ack', { fleet: 'plant', device })
    const ack = { fleet: 'plant', device, boot, stored }
    const frame = sealMessage('ack', ack, { fleet: 'plant', device, topic }, directorKey)
    return this.send(topic, Buffer.from(frame), false)
  }

  send(topic: string, payload: Buffer, retain: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const packet = { cmd: 'publish', topic, payload, qos: 1, retain, dup: false } as const
      this.broker.publish(packet, (error) => (error ? reject(error) : resolve()))
    })
  }

  on(leaf: string): Buffer[] {
    return this.received.filter(({ topic }) => topic.endsWith(leaf)).map(({ payload }) => payload)
  }

  listen(port: number): Promise<void> {
    return new Promise((done) => this.#tcp.listen(port, '127.0.0.1', done))
  }

  /** The broker is gone until `listen`. */
  async hangUp(): Promise<number> {
    const { port } = this.#tcp.address() as AddressInfo
    const closed = new Promise((done) => this.#tcp.close(done))
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
    await closed
    return port
  }

  async close(): Promise<void> {
    await this.hangUp().catch(() => undefined)
    await new Promise<void>((done) => this.broker.close(() => done()))
    this.#http.closeAllConnections()
    await new Promise((done) => this.#http.close(done))
  }

  #guard(): void {
    this.broker.authenticate = (client, username, password, done) => {
      const token = password?.toString() ?? ''
      const key = this.devices.get(client.id)
      const claims = { token, fleet: 'plant', device: client.id, nowMs: Date.now() }
      const verdict = key && checkSync(verifyDeviceJwt({ ...claims, key }), nodeVerifier)
      const isRight = verdict?.ok === true && username === client.id && !this.rejects
      if (isRight) this.passwords.push(token)
      done(null, isRight)
    }
    this.broker.on('publish', ({ topic, payload, retain }, client) => {
      if (client !== null && Buffer.isBuffer(payload)) {
        this.received.push({ topic, payload, retain })
      }
    })
  }

  #publish(): void {
    this.#version += 1
    const expiresMs = Date.now() + DAY_MS
    const online = { version: this.#version, expiresMs, signers: [onlineKey] }
    const targets = targetsMetadata({ version: this.#version, expiresMs, targets: this.#targets })
    const file = unwrap(signRole('targets', targets, [targetsKey]))
    const plan = { targets: new Map([['targets', file.bytes]]), snapshot: online }
    const files = unwrap(signOnline({ ...plan, timestamp: online }))
    for (const { path, bytes } of [file, ...files]) this.files.set(`/tuf/metadata/${path}`, bytes)
  }

  #answer(url: string, body: Buffer): { status: number; body: Uint8Array | string } {
    this.requests.push(url)
    if (url === '/api/v1/enrol') return this.#enrol(body)
    const question = /^\/api\/v1\/devices\/([\w-]+)\/time\?nonce=(\w+)$/.exec(url)
    if (question !== null) return this.#time(question[1]!, question[2]!)
    const file = this.files.get(url)
    return file === undefined ? { status: 404, body: '' } : { status: 200, body: file }
  }

  #time(device: string, nonce: string): { status: number; body: Uint8Array } {
    this.asked.push(nonce)
    const time = { fleet: 'plant', device, nonce, timeMs: Date.now() }
    return { status: 200, body: envelopeBytes(unwrap(signTime(time, [directorKey]))) }
  }

  #enrol(body: Buffer): { status: number; body: string } {
    const checked = checkSync(checkEnrolment(body), nodeVerifier)
    const token = checked.ok ? checked.value.enrolment.token.replace(/\.staging$/, '') : ''
    if (!checked.ok || token !== this.token) {
      const error = checked.ok ? { code: 'enrolment.token_unknown', message: 'No.' } : checked.error
      return { status: 422, body: JSON.stringify({ error }) }
    }
    const { enrolment, fingerprint } = checked.value
    const known = this.devices.get(enrolment.device)
    if (known !== undefined && keyId(known) !== fingerprint) {
      const error = { code: 'enrolment.duplicate', message: 'Taken.' }
      return { status: 409, body: JSON.stringify({ error }) }
    }
    this.devices.set(enrolment.device, enrolment.publicKey)
    const { fleet, device } = enrolment
    const answer = { fleet, device, mqttUrl: this.mqttUrl, wsUrl: 'ws://none', rootVersion: 1 }
    return { status: 201, body: JSON.stringify(answer) }
  }
}
