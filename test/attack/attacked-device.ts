/**
 * One device under attack: the real agent, the real TUF client and real signatures over ports in
 * memory. `network` is what stands between it and the controller, for attackers to replace. The
 * runtime is as strict as the real one: it serves only bytes of the digest that was signed.
 */
import { type Agent, type AgentPorts, startAgent } from '../../agent/agent.ts'
import { TufRepository } from '../../agent/artifact/tuf-repository.ts'
import { loadProfile } from '../../agent/firmware-profile.ts'
import type { ArtifactStore, Runtime, ServePlan, SmallFiles } from '../../agent/ports.ts'
import { TOPIC_OF } from '../../agent/uplink.ts'
import { utf8 } from '../../shared/kernel/bytes.ts'
import { ok, refuse, unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { Assignment } from '../../shared/model/assignment.ts'
import type { DeviceNotice, Report } from '../../shared/model/device.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { openMessage, sealMessage } from '../../shared/protocol/frame.ts'
import { formatTopic } from '../../shared/protocol/topics.ts'
import { signAssignment } from '../../shared/signing/assignment.ts'
import { envelopeBytes } from '../../shared/signing/envelope.ts'
import { checkSync, keyId, type SyncSigner } from '../../shared/signing/keys.ts'
import type { FetchReply } from '../../shared/signing/tuf/effects.ts'
import type { DurableState } from '../../shared/update/state.ts'
import { settled, VirtualClock } from '../agent/memory-ports.ts'
import { aQualification } from '../fixtures/device-builders.ts'
import { startMs } from '../shared/signing/tuf/build-repository.ts'
import { keys, PROFILE, type Publisher } from './publisher.ts'

export interface Network {
  metadata(path: string, bytesMax: number): FetchReply
  blob(path: string): Uint8Array | undefined
  /** The answer to a question of time. */
  time(nonce: string): Uint8Array | undefined
  /** What the controller answers when asked for the assignment. */
  assignment(): string | undefined
  /** Whether what the device says is acknowledged; else it says it again and again. */
  readonly acknowledges: boolean
}

const address = { fleet: 'plant', device: 'press-1' }
const HOUR_MS = 3_600_000
/** Over all devices, since none may ever ask the same twice. */
let nonces = 0

/** What survives the process. */
export class DeviceDisk {
  durable: DurableState | undefined
  readonly trusted = new Map<string, Uint8Array>()
  readonly small = new Map<string, string>()
  readonly artifacts = new Map<string, Uint8Array>()
  records: string[] = []
}

export class AttackedDevice {
  readonly publisher: Publisher
  readonly disk: DeviceDisk
  readonly clock: VirtualClock
  readonly notices: DeviceNotice[] = []
  report: Report | undefined
  network: Network
  agent!: Agent
  repository!: TufRepository
  #plan: ServePlan | undefined
  #boots = 0
  #onMessage: (topic: 'dn/desired' | 'dn/ack', payload: Uint8Array) => void = () => undefined
  #onConnection: (connected: boolean) => void = () => undefined
  readonly #asksTime: boolean
  /** What is not acknowledged comes again. */
  readonly #seen = new Set<number>()

  constructor(
    publisher: Publisher,
    options: { nowMs?: number; disk?: DeviceDisk; asksTime?: boolean } = {},
  ) {
    this.publisher = publisher
    this.disk = options.disk ?? new DeviceDisk()
    this.clock = new VirtualClock(options.nowMs ?? startMs)
    this.#asksTime = options.asksTime ?? false
    const root = publisher.repository.files.get('1.root.json')!
    if (!this.disk.trusted.has('root')) this.disk.trusted.set('root', root)
    this.network = honestNetwork(publisher)
  }

  /** Starts the agent and connects it. */
  async start(): Promise<this> {
    this.#boots += 1
    const profile = unwrap(await loadProfile(PROFILE))
    const repository = new TufRepository({
      ...{ tuf: this.#tuf(), cache: this.#smallFiles(), targetsUrl: '', staging: false, profile },
      fetchTarget: async (path) => {
        const bytes = this.network.blob(path)
        return bytes === undefined ? { kind: 'absent' } : { kind: 'fetched', bytes }
      },
      ...{ ...address, deviceKey: keyId(keys.device.key), clock: this.clock },
      time: this.#asksTime ? this.#time() : undefined,
    })
    this.repository = repository
    this.agent = await startAgent(
      {
        ...{ clock: this.clock, random: () => 0.5, signer: keys.device },
        ...{ repository, trust: repository, artifacts: this.#artifacts() },
        ...this.#stores(),
        log: { info: () => undefined, warn: () => undefined },
        runtime: this.#runtime(),
        transport: this.#transport(),
        askAssignment: async () => this.network.assignment(),
      },
      { ...address, boot: `boot-${this.#boots}` },
    )
    await settled()
    this.#onConnection(true)
    await settled()
    return this
  }

  async deliver(envelope: string): Promise<void> {
    this.#onMessage('dn/desired', utf8(envelope))
    await this.pass(2_000)
  }

  async assign(assignment: Assignment, signer: SyncSigner = keys.director): Promise<void> {
    await this.deliver(signed(assignment, signer))
  }

  async acknowledge(boot: string, stored: number[], signer: SyncSigner): Promise<void> {
    this.#acknowledge(boot, stored, signer)
    await settled()
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms)
    await settled()
  }

  /** Until the device has looked at the metadata again. */
  async look(): Promise<void> {
    await this.pass(1.3 * HOUR_MS)
  }

  async restart(): Promise<AttackedDevice> {
    await this.agent.stop()
    const { publisher, disk } = this
    const next = new AttackedDevice(publisher, {
      ...{ disk, nowMs: this.clock.nowMs(), asksTime: this.#asksTime },
    })
    next.network = this.network
    return next.start()
  }

  /** What answers requests now: `model@version` and the digest of the bytes that were loaded. */
  running(): string[] {
    return (this.#plan?.models ?? []).flatMap(({ current, candidate }) =>
      [current, candidate].flatMap((served) => {
        if (served === null) return []
        const { model, version, sha256 } = served.resolved.release
        return [`${model}@${version} ${sha256.slice(0, 12)}`]
      }),
    )
  }

  get generation(): number {
    return this.agent.state().durable.order.generation
  }

  #tuf() {
    const { trusted } = this.disk
    return {
      verifier: nodeVerifier,
      load: (role: string) => trusted.get(role),
      fetch: (path: string, bytesMax: number) => this.network.metadata(path, bytesMax),
      persist: (role: string, bytes: Uint8Array) => void trusted.set(role, bytes),
      forget: (role: string) => void trusted.delete(role),
    }
  }

  #time() {
    return {
      nonce: () => sha256Hex(`nonce ${nonces++}`),
      ask: async (nonce: string) => this.network.time(nonce),
    }
  }

  #smallFiles(): SmallFiles {
    const { small } = this.disk
    return {
      read: async (name) => small.get(name),
      write: async (name, text) => void small.set(name, text),
      names: async () => [...small.keys()],
      remove: async (name) => void small.delete(name),
    }
  }

  #artifacts(): ArtifactStore {
    const { artifacts } = this.disk
    return {
      fetch: async ({ file, sha256, length }, url) => {
        const bytes = this.network.blob(url.slice(1))
        if (bytes === undefined) return refuse('net.http', `${url} answered 404.`)
        if (bytes.length > length) return refuse('artifact.length', 'More than was signed.')
        if (sha256Hex(bytes) !== sha256) return refuse('artifact.digest', `${file} is not it.`)
        artifacts.set(sha256, bytes)
        return ok()
      },
      read: async (sha256) => {
        const bytes = artifacts.get(sha256)
        if (bytes === undefined) return refuse('artifact.missing', 'Not here.')
        return sha256Hex(bytes) === sha256 ? ok(bytes) : refuse('artifact.digest', 'Changed.')
      },
      path: (sha256) => sha256,
      collectGarbage: async (keep) => {
        for (const sha256 of artifacts.keys()) if (!keep.has(sha256)) artifacts.delete(sha256)
      },
    }
  }

  #stores(): Pick<AgentPorts, 'states' | 'spoolStore'> {
    const { disk } = this
    return {
      states: {
        load: async () => disk.durable,
        save: async (durable) => {
          disk.durable = JSON.parse(JSON.stringify(durable)) as DurableState
        },
      },
      spoolStore: {
        load: async () => [...disk.records],
        append: async (records) => void disk.records.push(...records),
        replace: async (records) => {
          disk.records = [...records]
        },
      },
    }
  }

  #runtime(): Runtime {
    return {
      qualify: async ({ release }) => ok(aQualification(release.sha256)),
      serve: async (plan) => {
        const wanted = plan.models.flatMap(({ current, candidate }) => [current, candidate])
        const broken = wanted.flatMap((served) => {
          if (served === null) return []
          const { sha256 } = served.resolved.release
          const bytes = this.disk.artifacts.get(sha256)
          if (bytes !== undefined && sha256Hex(bytes) === sha256) return []
          return [{ sha256, problem: { code: 'artifact.digest', message: 'Not what was signed.' } }]
        })
        if (broken.length > 0) return { served: false, broken }
        this.#plan = plan
        return { served: true }
      },
      onEvent: () => undefined,
      close: async () => undefined,
    }
  }

  #transport(): AgentPorts['transport'] {
    return {
      open: () => undefined,
      publish: (topic, bytes) => {
        this.#heard(topic, bytes)
        return true
      },
      onMessage: (handler) => {
        this.#onMessage = handler
      },
      onConnection: (handler) => {
        this.#onConnection = handler
      },
      close: async () => undefined,
    }
  }

  /** What the controller would read: verified against the device's key. */
  #heard(topic: string, bytes: Uint8Array): void {
    for (const kind of ['notice', 'report'] as const) {
      if (TOPIC_OF[kind] !== topic) continue
      const where = { ...address, topic: formatTopic(TOPIC_OF[kind], address) }
      const message = unwrap(
        checkSync(openMessage(kind, bytes, where, keys.device.key), nodeVerifier),
      )
      if ('report' in message) this.report = message.report
      else if (!this.#seen.has(message.seq)) this.notices.push(message.notice)
      this.#seen.add(message.seq)
      const { boot, seq } = message
      const signer = this.#director()
      if (this.network.acknowledges) setImmediate(() => this.#acknowledge(boot, [seq], signer))
    }
  }

  #acknowledge(boot: string, stored: number[], signer: SyncSigner): void {
    const topic = formatTopic('dn/ack', address)
    const frame = sealMessage('ack', { ...address, boot, stored }, { ...address, topic }, signer)
    this.#onMessage('dn/ack', frame as Uint8Array)
  }

  /** Whom the device takes for the director by now. */
  #director(): SyncSigner {
    const root = new TextDecoder().decode(this.disk.trusted.get('root'))
    return root.includes(keyId(keys.nextDirector.key)) ? keys.nextDirector : keys.director
  }
}

export function signed(assignment: Assignment, signer: SyncSigner): string {
  return new TextDecoder().decode(envelopeBytes(unwrap(signAssignment(assignment, [signer]))))
}

export function honestNetwork(publisher: Publisher): Network {
  return {
    metadata: (path, bytesMax) => serve(publisher.repository.files.get(path), bytesMax),
    blob: (path) => publisher.blobs.get(path),
    time: () => undefined,
    assignment: () => undefined,
    acknowledges: true,
  }
}

/** A file as the client's download gives it: bounded. */
export function serve(bytes: Uint8Array | undefined, bytesMax: number): FetchReply {
  if (bytes === undefined) return { kind: 'absent' }
  if (bytes.length <= bytesMax) return { kind: 'fetched', bytes }
  const problem = { code: 'tuf.endless_data', message: 'There are too many bytes.' }
  return { kind: 'failed', problem }
}

/** A device that serves motor 1.0.0 at generation 1, having looked at all metadata. */
export async function servingDevice(publisher: Publisher): Promise<AttackedDevice> {
  const device = await new AttackedDevice(publisher).start()
  await device.assign(publisher.assignment(1, [publisher.slot('motor@1.0.0')]))
  device.notices.length = 0
  return device
}
