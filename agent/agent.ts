/**
 * The agent: everything that happens becomes an event, `step` decides, the lanes perform. The same
 * code runs on Node, in the browser and in simulation; only the ports differ.
 *
 * Invariants: the state changes in `dispatch` and nowhere else; `dispatch` never waits; what the
 * controller or the network does can neither stop what serves nor make anything grow without bound.
 */
import { fromUtf8 } from '../shared/kernel/bytes.ts'
import type { Problem } from '../shared/kernel/result.ts'
import { boundProblem, type DeviceNotice, type Presence } from '../shared/model/device.ts'
import type { MessageKind, MessageOf } from '../shared/protocol/codec.ts'
import { sealMessage } from '../shared/protocol/frame.ts'
import { formatTopic, TOPICS } from '../shared/protocol/topics.ts'
import type { Signer } from '../shared/signing/keys.ts'
import { retryDelayMs } from '../shared/update/job.ts'
import { installedReleases } from '../shared/update/slots.ts'
import {
  type DeviceEvent,
  type DeviceState,
  type DurableState,
  initialDeviceState,
} from '../shared/update/state.ts'
import { step } from '../shared/update/step.ts'
import { type CheckLane, createCheckLane } from './check-lane.ts'
import { createDiskWatch } from './disk-watch.ts'
import { createEffectLane, type EffectLane } from './effect-lane.ts'
import { logEffect } from './effect-log.ts'
import { eventsOfBroken } from './failures.ts'
import { createJobLane, type JobLane } from './job-lane.ts'
import { createPerform } from './perform.ts'
import type {
  ArtifactStore,
  Clock,
  Log,
  Repository,
  Runtime,
  RuntimeEvent,
  SpoolStore,
  StateStore,
  Transport,
  Trust,
  UpTopic,
} from './ports.ts'
import { createReviewLane, type ReviewLane } from './review-lane.ts'
import { openSpool, type Spool, type SpoolLimits } from './spool.ts'
import { createUplink, type SendOutcome, TOPIC_OF, type Uplink } from './uplink.ts'

export interface AgentPorts {
  readonly clock: Clock
  /** Uniform in [0, 1); for jitter only. */
  readonly random: () => number
  readonly log: Log
  readonly signer: Signer
  readonly repository: Repository
  readonly trust: Trust
  readonly artifacts: ArtifactStore
  readonly states: StateStore
  readonly spoolStore: SpoolStore
  readonly runtime: Runtime
  readonly transport: Transport
  /** The newest assignment over HTTP, unchecked, for when the broker has none. */
  readonly askAssignment?: () => Promise<string | undefined>
}

export interface AgentIdentity {
  readonly fleet: string
  readonly device: string
  /** Random for each start. */
  readonly boot: string
}

export interface AgentConfig extends AgentIdentity {
  readonly spoolLimits?: SpoolLimits
}

/** Loads what the device knows, serves it, and only then looks for the controller. */
export async function startAgent(ports: AgentPorts, config: AgentConfig): Promise<Agent> {
  const spool = await openSpool(ports.spoolStore, config.boot, config.spoolLimits)
  const agent = new Agent(ports, config, spool, await ports.states.load())
  agent.start()
  return agent
}

/** A message as it goes to the broker. */
function sealFrom<K extends Exclude<MessageKind, 'ack'>>(
  { fleet, device }: Pick<AgentIdentity, 'fleet' | 'device'>,
  signer: Signer,
  kind: K,
  message: MessageOf[K],
): Uint8Array | Promise<Uint8Array> {
  const name: UpTopic = TOPIC_OF[kind]
  const topic = formatTopic(name, { fleet, device })
  return sealMessage(kind, message, { fleet, device, topic }, signer)
}

export class Agent {
  readonly #ports: AgentPorts
  readonly #config: AgentConfig
  readonly #spool: Spool
  readonly #jobs: JobLane
  readonly #checks: CheckLane
  readonly #reviews: ReviewLane
  readonly #effects: EffectLane
  readonly #uplink: Uplink
  #state: DeviceState
  /** Names the connection within this boot; never the same twice, whatever the clock does. */
  #connectionMs = 0
  #stopped = false
  #cancelTick = (): void => undefined

  constructor(
    ports: AgentPorts,
    config: AgentConfig,
    spool: Spool,
    durable: DurableState | undefined,
  ) {
    this.#ports = ports
    this.#config = config
    this.#spool = spool
    this.#state = { ...initialDeviceState(), ...(durable && { durable }) }
    const dispatch = (event: DeviceEvent) => this.#dispatch(event)
    this.#jobs = createJobLane(ports, dispatch)
    this.#checks = createCheckLane(ports, dispatch)
    const installed = () => installedReleases(this.#state.durable)
    this.#reviews = createReviewLane(ports, installed, dispatch)
    const { clock, log, repository, artifacts, states, runtime } = ports
    const lanes = { spool, jobs: this.#jobs, checks: this.#checks }
    const nowMs = () => clock.nowMs()
    const perform = createPerform({
      ...{ repository, artifacts, states, runtime, nowMs, dispatch },
      ...lanes,
    })
    const watch = (subject: string) =>
      createDiskWatch(ports, (problem) => {
        this.#spool.addNotice(noticeOf('disk_failed', subject, problem, clock.nowMs()))
        this.#uplink.wake()
      })
    this.#effects = createEffectLane(
      async (effect) => {
        logEffect(log, effect)
        await perform(effect)
        if (effect.kind === 'report' || effect.kind === 'notify') this.#uplink.wake()
      },
      { ...ports, disk: watch('state') },
    )
    const send = <K extends Exclude<MessageKind, 'ack'>>(kind: K, message: MessageOf[K]) =>
      this.#send(kind, message)
    this.#uplink = createUplink({ clock, log, spool, send, disk: watch('telemetry') })
  }

  start(): void {
    const { runtime, transport, trust } = this.#ports
    trust.onRefusedTime?.((problem) =>
      this.#dispatch({ kind: 'attackSeen', subject: 'time', problem }),
    )
    runtime.onEvent((event) => this.#onRuntimeEvent(event))
    transport.onConnection((connected) => this.#onConnection(connected))
    transport.onMessage((topic, payload) => {
      if (topic === 'dn/ack') void this.#onAck(payload)
      else if (topic === 'dn/desired') this.#onDesired(payload)
    })
    this.#dispatch({ kind: 'started' })
    transport.open(() => this.#lastWill())
    this.#reviews.start()
  }

  state(): DeviceState {
    return this.#state
  }

  spoolSize(): ReturnType<Spool['size']> {
    return this.#spool.size()
  }

  /** Resolves when the effects of everything so far are performed; downloads and checks excepted. */
  idle(): Promise<void> {
    return this.#effects.idle()
  }

  /** Tells the controller, lets go of the host, keeps what is unsent. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#cancelTick()
    this.#checks.close()
    const reviewed = this.#reviews.close()
    this.#effects.close()
    this.#uplink.close()
    await this.#send('presence', this.#presence('offline'))
    const { transport, runtime } = this.#ports
    await Promise.all([reviewed, this.#jobs.close(), transport.close(), runtime.close()])
    await this.#spool.flush()
  }

  #dispatch(raw: DeviceEvent): void {
    if (this.#stopped) return
    const event = 'problem' in raw ? { ...raw, problem: boundProblem(raw.problem) } : raw
    const { state, effects } = step(this.#state, event, this.#ports.clock.nowMs())
    this.#state = state
    this.#jobs.keepOnly(state.job)
    this.#effects.push(effects)
    this.#scheduleTick()
  }

  /** The machine needs the clock only to try again what failed. */
  #scheduleTick(): void {
    this.#cancelTick()
    const { clock, random } = this.#ports
    const { job, waiting } = this.#state
    if (job !== null || waiting.length === 0) return
    const nowMs = clock.nowMs()
    const delaysMs = waiting.map(({ retryAtMs }) => retryDelayMs(retryAtMs, nowMs))
    const delayMs = Math.min(...delaysMs) * (1 + random() / 4)
    this.#cancelTick = clock.after(delayMs, () => this.#dispatch({ kind: 'tick' }))
  }

  #onRuntimeEvent(event: RuntimeEvent): void {
    const nowMs = this.#ports.clock.nowMs()
    if (event.kind === 'releaseBroke') {
      for (const told of eventsOfBroken(event.sha256, event.problem)) this.#dispatch(told)
      return
    }
    if (event.kind === 'provedAgain') {
      this.#dispatch(event)
      return
    }
    if (event.kind === 'interval') this.#spool.addInterval(event.interval, nowMs)
    else {
      const { code, message } = event.problem
      this.#ports.log.warn(message, { code })
      const subject = event.kind === 'changedLocally' ? event.model : 'model host'
      this.#spool.addNotice(noticeOf(NOTICE_OF_EVENT[event.kind], subject, event.problem, nowMs))
    }
    this.#uplink.wake()
  }

  #onConnection(connected: boolean): void {
    this.#ports.log.info(connected ? 'connected' : 'disconnected')
    if (connected) void this.#send('presence', this.#presence('online'))
    this.#uplink.connection(connected)
    this.#reviews.connected(connected)
  }

  #onDesired(payload: Uint8Array): void {
    // A cleared retained message says nothing, and then the controller is asked.
    if (payload.length > 0) this.#reviews.desiredArrived()
    const envelope = fromUtf8(payload)
    const problem = { code: 'assignment.malformed', message: 'The assignment is not text.' }
    this.#dispatch(
      envelope === undefined
        ? { kind: 'assignmentRefused', problem }
        : { kind: 'desiredReceived', envelope },
    )
  }

  async #onAck(frame: Uint8Array): Promise<void> {
    const ack = await this.#ports.trust.openAck(frame)
    if (!ack.ok) {
      this.#ports.log.warn('an acknowledgement was refused', { code: ack.error.code })
      this.#dispatch({ kind: 'attackSeen', subject: 'acknowledgement', problem: ack.error })
      return
    }
    this.#spool.acknowledge(ack.value)
    this.#uplink.wake()
  }

  /** A will and the `online` of the same connection carry the same time: so they find each other. */
  #lastWill(): Uint8Array | Promise<Uint8Array> {
    const { clock, signer } = this.#ports
    this.#connectionMs = Math.max(clock.nowMs(), this.#connectionMs + 1)
    return sealFrom(this.#config, signer, 'presence', this.#presence('lost'))
  }

  #presence(status: Presence['status']): Presence {
    return { status, boot: this.#config.boot, sinceMs: this.#connectionMs }
  }

  async #send<K extends Exclude<MessageKind, 'ack'>>(
    kind: K,
    message: MessageOf[K],
  ): Promise<SendOutcome> {
    const topic: UpTopic = TOPIC_OF[kind]
    const sealed = await sealFrom(this.#config, this.#ports.signer, kind, message)
    if (sealed.length > TOPICS[topic].bytesMax) return 'too_large'
    return this.#ports.transport.publish(topic, sealed) ? 'sent' : 'later'
  }
}

const NOTICE_OF_EVENT = {
  hostRestarted: 'host_restarted',
  hostsScaled: 'hosts_scaled',
  changedLocally: 'changed_locally',
} as const

function noticeOf(
  kind: DeviceNotice['kind'],
  subject: string,
  problem: Problem,
  atMs: number,
): DeviceNotice {
  return { kind, atMs, subject, problem: boundProblem(problem) }
}
