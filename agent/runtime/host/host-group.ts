/**
 * Several model hosts behind one front, which is told who takes requests.
 *
 * Invariants: a plan counts as served when every host that listens serves it and the front knows; a
 * host that is still starting or dead holds up nobody; a host leaves only after the front says that it
 * answered everything (or after `DRAIN_MS_MAX`).
 */
import { createHash } from 'node:crypto'
import { accessSync, constants, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { ScalingStep } from '../../../shared/balance/scaling.ts'
import { ok, type Result } from '../../../shared/kernel/result.ts'
import { createFront, type Front, type FrontNews } from '../../front/front-process.ts'
import type { ServeOutcome } from '../../ports.ts'
import { createHostMember, type HostMember } from './host-member.ts'
import type { HostPlan, ToHost } from './host-protocol.ts'
import { createHostScaling, type HostScaling } from './host-scaling.ts'
import type { HostAddress } from './host-supervisor.ts'
import type { HostSharing, ModelHosts, ModelHostsOptions } from './model-hosts.ts'
import { pinnedModels } from './pinned-models.ts'

/** Streams that go on may keep a host so long. */
const DRAIN_MS_MAX = 600_000
const MIB = 2 ** 20
/** A host may load a model until it is found to hang, and then some. */
const ANSWER_SLACK_MS = 5_000
/** sun_path of Linux is 108 bytes, of macOS 104, with the end. */
const SOCKET_PATH_MAX = 100

export class HostGroup implements ModelHosts {
  readonly #options: ModelHostsOptions
  readonly #sharing: HostSharing
  readonly #folder: string
  readonly #members = new Set<HostMember>()
  readonly #front: Front
  readonly #scaling: HostScaling
  #lives = 0
  #told = 0
  #settledPlanId = 0
  #pinned: readonly string[] = []
  /** Served, but the front has not heard yet that requests may go there. */
  #unheard: { told: number; planId: number; outcome: ServeOutcome }[] = []

  constructor(options: ModelHostsOptions, sharing: HostSharing) {
    const { host, hangMs, loadMsMax } = options
    this.#options = options
    this.#sharing = sharing
    this.#folder = socketFolder(dirname(host.markPath))
    this.#scaling = createHostScaling(sharing, options.sessionMemoryMb, (step) =>
      this.#follow(step),
    )
    this.#front = createFront({
      front: {
        ...{ listen: host.listen, socketPath: host.socketPath, policy: sharing.policy },
        seed: `${host.device}/${host.boot}/front`,
        requestBytesMax: host.requestBytesMax,
        deadlineMsMax: host.deadlineMsMax,
        answerMsMax: host.deadlineMsMax + Math.max(hangMs, loadMsMax) + ANSWER_SLACK_MS,
      },
      onListening: () => this.#tellFront(),
      onNews: (news) => this.#onFrontNews(news),
      onTrouble: options.onTrouble,
    })
    for (let i = 0; i < sharing.hostsMin; i++) this.#add()
  }

  send(message: ToHost): void {
    if (message.kind === 'plan') this.#pin(message.plan)
    for (const { supervisor } of this.#members) supervisor.send(message)
  }

  async address(): Promise<Result<HostAddress>> {
    const opened = await this.#front.address()
    if (!opened.ok) return opened
    for (const { supervisor } of [...this.#members]) {
      const address = await supervisor.address()
      if (!address.ok) return address
    }
    const { socketPath } = this.#options.host
    return ok({ port: opened.value.port, grpcPort: null, socketPath })
  }

  async close(): Promise<void> {
    await this.#front.close()
    await Promise.all([...this.#members].map(({ supervisor }) => supervisor.close()))
  }

  #active(): readonly HostMember[] {
    return [...this.#members].filter((member) => !member.isEnding())
  }

  #add(): void {
    const taken = new Set([...this.#members].map(({ index }) => index))
    let index = 0
    while (taken.has(index)) index += 1
    const member = createHostMember({
      ...this.#options,
      ...{ index, weight: this.#sharing.weights[index] ?? 1, folder: this.#folder },
      hostsMin: this.#sharing.hostsMin,
      nextLife: () => {
        this.#lives += 1
        return this.#lives
      },
      onChange: () => this.#settle(),
    })
    this.#members.add(member)
  }

  #follow(step: Exclude<ScalingStep, { readonly kind: 'stay' }>): void {
    if (step.kind === 'up') this.#add()
    const last = this.#active().toSorted((a, b) => b.index - a.index)[0]
    if (step.kind === 'down' && last !== undefined) this.#end(last)
    this.#options.onScaled({ code: `hosts.${step.kind}`, message: `Model hosts: ${step.reason}.` })
  }

  #end(member: HostMember): void {
    const isIdle = member.served() === undefined
    member.end()
    this.#settle()
    // One that serves nothing has nothing to answer.
    if (isIdle) void this.#leave(member)
    else setTimeout(() => void this.#leave(member), DRAIN_MS_MAX).unref()
  }

  async #leave(member: HostMember): Promise<void> {
    await member.supervisor.close()
    this.#members.delete(member)
    this.#settle()
  }

  /** The memory for models is that of all hosts together. */
  #shareMemory(): void {
    const { sessionMemoryMb } = this.#options
    const bytesMax = (sessionMemoryMb * MIB) / Math.max(1, this.#active().length)
    for (const { supervisor } of this.#members) supervisor.send({ kind: 'budget', bytesMax })
  }

  /** Tells the front who takes requests, and looks whether all that are alive serve a plan now. */
  #settle(): void {
    this.#tellFront()
    this.#shareMemory()
    const alive = this.#active().filter((member) => member.isListening())
    const planId = Math.min(...alive.map((member) => member.served()?.planId ?? 0))
    if (alive.length === 0 || planId <= this.#settledPlanId) return
    this.#settledPlanId = planId
    const outcome = mergeOutcomes(alive.flatMap((member) => member.served()?.outcome ?? []))
    this.#unheard.push({ told: this.#told, planId, outcome })
  }

  #tellFront(): void {
    this.#told += 1
    const hosts = [...this.#members].map((member) => member.seen())
    const scaled = this.#scaling.counts()
    this.#front.send({ kind: 'hosts', told: this.#told, hosts, pinned: this.#pinned, scaled })
  }

  #pin({ models }: HostPlan): void {
    this.#pinned = pinnedModels(models)
    this.#tellFront()
  }

  #onFrontNews(news: FrontNews): void {
    if (news.kind === 'load') {
      this.#scaling.sample(news, this.#active())
      return
    }
    if (news.kind === 'drained') {
      const isMeant = (member: HostMember): boolean =>
        member.isEnding() && member.seen().id === news.id && member.seen().life === news.life
      const done = [...this.#members].find(isMeant)
      if (done !== undefined) void this.#leave(done)
      return
    }
    const heard = this.#unheard.filter(({ told }) => told <= news.told)
    this.#unheard = this.#unheard.filter(({ told }) => told > news.told)
    for (const { planId, outcome } of heard) this.#options.onServed(planId, outcome)
  }
}

function mergeOutcomes(outcomes: readonly ServeOutcome[]): ServeOutcome {
  const broken = outcomes.flatMap((outcome) => (outcome.served ? [] : outcome.broken))
  if (broken.length === 0) return { served: true }
  return { served: false, broken: [...new Map(broken.map((one) => [one.sha256, one])).values()] }
}

/** Beside the run marks; where no socket can be made there, in the system's own folder. */
function socketFolder(directory: string): string {
  const longest = join(directory, 'host-999.sock')
  const digest = createHash('sha256').update(directory).digest('hex').slice(0, 16)
  const fits = Buffer.byteLength(longest) <= SOCKET_PATH_MAX && takesWrites(directory)
  const folder = fits ? directory : join(tmpdir(), `linnet-${digest}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return folder
}

function takesWrites(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK)
    return true
  } catch {
    return false
  }
}
