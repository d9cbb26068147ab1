/**
 * The agent's ports in memory, on a clock that stands still until told: real behaviour, no mocks.
 * `Disk` outlives an agent, so that a test can take the power away and start again.
 */
import { type Agent, type AgentPorts, startAgent } from '../../agent/agent.ts'
import type {
  Clock,
  LastWill,
  ResolvedRelease,
  RuntimeEvent,
  ServePlan,
  UpTopic,
} from '../../agent/ports.ts'
import type { SpoolLimits } from '../../agent/spool.ts'
import { TOPIC_OF } from '../../agent/uplink.ts'
import { utf8 } from '../../shared/kernel/bytes.ts'
import { ok, type Problem, type Result, refuse, unwrap } from '../../shared/kernel/result.ts'
import { type Assignment, assignmentSchema } from '../../shared/model/assignment.ts'
import type { Manifest, Variant } from '../../shared/model/manifest.ts'
import { ed25519PrivateKey, nodeSigner } from '../../shared/node/signer-node.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import type { MessageOf } from '../../shared/protocol/codec.ts'
import { openMessage } from '../../shared/protocol/frame.ts'
import { type Ack, ackSchema } from '../../shared/protocol/messages.ts'
import { formatTopic } from '../../shared/protocol/topics.ts'
import { checkSync } from '../../shared/signing/keys.ts'
import type { DurableState, ReleaseRef, Review } from '../../shared/update/state.ts'
import { aQualification, aSha } from '../fixtures/device-builders.ts'

export class VirtualClock implements Clock {
  #nowMs: number
  /** What was added to it by being set. */
  #setMs = 0
  #timers: { atMs: number; task: () => void }[] = []

  constructor(nowMs = 1_000_000) {
    this.#nowMs = nowMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs - this.#setMs
  }

  after(delayMs: number, task: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, task }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** Somebody sets the clock; what waits falls due by the time that really passes. */
  set(nowMs: number): void {
    const byMs = nowMs - this.#nowMs
    this.#setMs += byMs
    this.#nowMs = nowMs
    for (const timer of this.#timers) timer.atMs += byMs
  }

  /** Runs what falls due, in order, and lets promises settle in between. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs
    for (;;) {
      await settled()
      const next = this.#timers.toSorted((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined || next.atMs > untilMs) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.task()
    }
    this.#nowMs = untilMs
  }
}

/** Until every promise that can go on without a timer has. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** What survives the process. */
export class Disk {
  durable: DurableState | undefined
  records: string[] = []
  releases = new Map<string, ResolvedRelease>()
  files = new Set<string>()
}

/** The world around one device; every knob is a plain field. */
export class World {
  readonly disk: Disk
  readonly clock = new VirtualClock()
  /** What happened, in order: `save 2`, `serve 2`, `fetch <file>`, `publish report` ... */
  readonly log: string[] = []
  readonly published: { [K in keyof MessageOf]?: MessageOf[K][] } = {}
  plans: ServePlan[] = []
  resolveProblem: Problem | undefined
  qualifyProblem: Problem | undefined
  checkProblem: Problem | undefined
  review: Review = { directorEpoch: 0, frozen: null, revoked: [] }
  /** Downloads wait for ever, until aborted. */
  isSlow = false
  isSaving = true
  connected = false
  /** What the broker keeps for when the newest connection breaks. */
  will: MessageOf['presence'] | undefined
  #lastWill: LastWill = () => new Uint8Array()
  readonly #signer = nodeSigner(ed25519PrivateKey(new Uint8Array(32).fill(7)))
  #onEvent: (event: RuntimeEvent) => void = () => undefined
  #onConnection: (connected: boolean) => void = () => undefined
  #onMessage: (topic: 'dn/desired' | 'dn/ack', payload: Uint8Array) => void = () => undefined

  constructor(disk = new Disk()) {
    this.disk = disk
  }

  async start(boot: string, spoolLimits?: SpoolLimits): Promise<Agent> {
    const config = { fleet: 'plant', device: 'press-1', boot }
    const agent = await startAgent(this.#ports(), {
      ...config,
      ...(spoolLimits && { spoolLimits }),
    })
    await settled()
    return agent
  }

  async connect(connected = true): Promise<void> {
    if (connected) this.will = this.#opened('presence', await this.#lastWill())
    this.connected = connected
    this.#onConnection(connected)
    await settled()
  }

  async assign(assignment: Assignment): Promise<void> {
    this.#onMessage('dn/desired', utf8(JSON.stringify(assignment)))
    await settled()
  }

  async acknowledge(boot: string, stored: number[]): Promise<void> {
    const ack: Ack = { fleet: 'plant', device: 'press-1', boot, stored }
    this.#onMessage('dn/ack', utf8(JSON.stringify(ack)))
    await settled()
  }

  async emit(event: RuntimeEvent): Promise<void> {
    this.#onEvent(event)
    await settled()
  }

  last<K extends keyof MessageOf>(kind: K): MessageOf[K] | undefined {
    return this.published[kind]?.at(-1)
  }

  #ports(): AgentPorts {
    const { clock, log, disk } = this
    return {
      clock,
      random: () => 0.5,
      log: { info: () => undefined, warn: (message) => void log.push(`warn ${message}`) },
      signer: this.#signer,
      ...this.#storage(),
      ...this.#trust(),
      transport: {
        open: (lastWill) => {
          this.#lastWill = lastWill
        },
        publish: (topic, bytes) => this.#publish(topic, bytes),
        onMessage: (handler) => {
          this.#onMessage = handler
        },
        onConnection: (handler) => {
          this.#onConnection = handler
        },
        close: async () => undefined,
      },
      runtime: {
        qualify: async ({ release }) =>
          this.qualifyProblem === undefined
            ? ok(aQualification(release.sha256))
            : { ok: false, error: this.qualifyProblem },
        serve: async (plan) => {
          log.push(`serve ${plan.generation}`)
          this.plans.push(plan)
          const all = plan.models.flatMap((model) => [model.current, model.candidate])
          const lost = all.filter((r) => r !== null && !disk.files.has(r.resolved.release.sha256))
          const problem = { code: 'artifact.missing', message: 'No file.' }
          const broken = lost.map((release) => ({
            ...{ sha256: release!.resolved.release.sha256, problem },
          }))
          return broken.length === 0 ? { served: true } : { served: false, broken }
        },
        onEvent: (handler) => {
          this.#onEvent = handler
        },
        close: async () => undefined,
      },
    }
  }

  #storage(): Pick<AgentPorts, 'artifacts' | 'states' | 'spoolStore'> {
    const { disk, log } = this
    return {
      artifacts: {
        fetch: async ({ file, sha256 }, _, signal) => {
          log.push(`fetch ${file}`)
          if (this.isSlow) await untilAborted(signal)
          disk.files.add(sha256)
          return ok()
        },
        read: async (sha256) =>
          disk.files.has(sha256) ? ok(new Uint8Array()) : refuse('artifact.missing', 'No file.'),
        path: (sha256) => `/artifacts/${sha256}`,
        collectGarbage: async (keep) => {
          for (const sha256 of disk.files) if (!keep.has(sha256)) disk.files.delete(sha256)
        },
      },
      states: {
        load: async () => disk.durable,
        save: async (durable) => {
          if (!this.isSaving) throw new Error('disk full')
          log.push(`save ${durable.order.generation}`)
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

  #trust(): Pick<AgentPorts, 'trust' | 'repository'> {
    const { disk, log } = this
    return {
      trust: {
        checkAssignment: async (envelope, order) => {
          log.push('check')
          if (this.checkProblem !== undefined) return { ok: false, error: this.checkProblem }
          const assignment = assignmentSchema.parse(JSON.parse(envelope))
          const isNew = assignment.generation > order.generation
          return ok({ assignment, digest: aSha(envelope), isNew })
        },
        review: async () => ({
          review: this.review,
          problem: null,
        }),
        openAck: async (bytes) => ok(ackSchema.parse(JSON.parse(new TextDecoder().decode(bytes)))),
      },
      repository: {
        resolve: async (release) => {
          log.push(`resolve ${release.version}`)
          if (this.resolveProblem !== undefined) return { ok: false, error: this.resolveProblem }
          const resolved = aResolvedRelease(release)
          disk.releases.set(release.target, resolved)
          return ok(resolved)
        },
        installed: async (release): Promise<Result<ResolvedRelease>> => {
          const found = disk.releases.get(release.target)
          return found === undefined ? refuse('release.not_on_device', 'Gone.') : ok(found)
        },
        artifactUrl: (_, { file }) => `http://controller/${file}`,
        companions: async () => [],
        collectGarbage: async () => undefined,
      },
    }
  }

  #publish(topic: UpTopic, bytes: Uint8Array): boolean {
    if (!this.connected) return false
    const kind = (Object.keys(TOPIC_OF) as (keyof typeof TOPIC_OF)[]).find(
      (name) => TOPIC_OF[name] === topic,
    )!
    const message = this.#opened(kind, bytes)
    this.log.push(`publish ${kind}`)
    const list: MessageOf[typeof kind][] = this.published[kind] ?? []
    list.push(message)
    Object.assign(this.published, { [kind]: list })
    return true
  }

  #opened<K extends keyof typeof TOPIC_OF>(kind: K, bytes: Uint8Array): MessageOf[K] {
    const device = { fleet: 'plant', device: 'press-1' }
    const address = { ...device, topic: formatTopic(TOPIC_OF[kind], device) }
    const opening = openMessage(kind, bytes, address, this.#signer.key)
    return unwrap(checkSync(opening, nodeVerifier))
  }
}

async function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted')))
  })
}

function aVariant(sha256: string, change: Partial<Variant> = {}): Variant {
  return {
    name: 'fp32',
    precision: 'fp32',
    profiles: [],
    artifact: { file: 'fp32.onnx', sha256, length: 1_000 },
    golden: { file: 'fp32.golden', sha256: aSha(`golden ${sha256}`), length: 100 },
    tolerance: { absolute: 0.001, relative: 0.01 },
    ...change,
  }
}

export function aManifest(release: Pick<ReleaseRef, 'model' | 'version' | 'sha256'>): Manifest {
  return {
    schema: 'linnet.manifest.v1',
    model: release.model,
    version: release.version,
    createdAtMs: 1,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 3] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 2] }],
    finiteInputs: [],
    variants: [aVariant(release.sha256)],
    features: [],
    reference: [],
    classes: null,
    serviceLevels: {
      latencyMsMax: 20,
      latencyBadShareMax: 0.05,
      errorRateMax: 0.01,
      qualityDropMax: 0.02,
    },
    lineage: {},
    evaluation: {},
    description: '',
  }
}

function aResolvedRelease(release: ReleaseRef): ResolvedRelease {
  const manifest = aManifest(release)
  return { release, manifest, variant: manifest.variants[0]! }
}
