/**
 * A small real world for end-to-end tests: one controller, agents and commands as processes from
 * the built `dist/`, on free ports and in a folder of its own. `remove` ends and deletes all of it.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient as createDatabase } from '@libsql/client'
import { type Client, createClient } from '../../shared/api/client.ts'
import type {
  DecisionResource,
  DeviceResource,
  HealthResource,
  RolloutResource,
} from '../../shared/api/resources.ts'
import type { RouteCall } from '../../shared/api/routes.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { type Ended, type Program, runLinnet, startProgram } from './programs.ts'

const POLL_MS = 200

export type Specification = RouteCall<'rolloutCreate'>['body']

export type Environments = Readonly<Record<string, Readonly<Record<string, string>>>>

export interface DeviceAt {
  readonly device: string
  readonly profile: string
  readonly home: string
  /** Local API: `http://127.0.0.1:40123`. */
  readonly api: string
}

/** Requests that the controller has stored, by firmware profile, release and arm. */
export interface StoredCount {
  readonly profile: string
  readonly version: string
  readonly arm: string
  readonly rollout: string
  readonly requests: number
  readonly errors: number
}

export interface Stage {
  readonly home: string
  readonly url: string
  readonly mqttPort: number
  readonly client: Client
  readonly devices: readonly DeviceAt[]
  /** The process that runs now; throws where none was started. */
  program(name: string): Program
  startController(...args: readonly string[]): Promise<Program>
  startAgent(device: string, ...flags: readonly string[]): Promise<Program>
  /** Runs the command whatever comes of it. */
  linnet(...args: readonly string[]): Promise<Ended>
  /** Runs the command with `--json`; throws when it fails. */
  tell<T = unknown>(...args: readonly string[]): Promise<T>
  /** Creates, signs and publishes a release; `flags` are those of `release create`. */
  publish(release: string, ...flags: readonly string[]): Promise<void>
  startRollout(specification: Specification): Promise<string>
  rollout(id: string): Promise<RolloutResource>
  decisions(id: string): Promise<readonly DecisionResource[]>
  device(id: string): Promise<DeviceResource>
  health(): Promise<HealthResource>
  stored(model: string): Promise<readonly StoredCount[]>
  /** A process whose parent is that program and whose command line has `part` in it. */
  childOf(program: string, part: string): Promise<number>
  remove(): Promise<void>
}

/**
 * @param agents firmware profiles by device; the agents are enrolled and started by `startAgent`.
 * @param environments further variables of an agent's process, by device.
 */
export async function buildStage(
  agents: Readonly<Record<string, string>>,
  environments: Environments = {},
): Promise<Stage> {
  const home = await mkdtemp(join(tmpdir(), 'linnet-e2e-'))
  const names = Object.keys(agents)
  const [httpPort = 0, mqttPort = 0, ...localPorts] = await freePorts(2 + names.length)
  const url = `http://127.0.0.1:${httpPort}`
  const env = { LINNET_HOME: home, LINNET_CONTROLLER: url, LINNET_PASSPHRASE: 'of the test' }
  const programs = new Map<string, Program>()
  const devices = names.map((device, i) => ({
    ...{ device, profile: agents[device]!, home: join(home, 'devices', device) },
    api: `http://127.0.0.1:${localPorts[i]}`,
  }))
  const client = openClient(home, url)
  let enrolment: Promise<{ token: string }> | undefined

  const tell = async <T>(...args: readonly string[]): Promise<T> => {
    const { code, stdout, stderr } = await runLinnet([...args, '--json'], env)
    if (code !== 0) throw new Error(`linnet ${args.join(' ')} ended with ${code}: ${stderr}`)
    return JSON.parse(stdout) as T
  }
  const ask = createQuestions(client)
  return {
    ...{ home, url, mqttPort, client, devices, tell, ...ask },
    program(name) {
      const program = programs.get(name)
      if (program === undefined) throw new Error(`${name} was never started`)
      return program
    },
    async startController(...args) {
      const flags = ['--http-port', `${httpPort}`, '--mqtt-port', `${mqttPort}`]
      const program = startProgram('controller', 'controller', [...flags, ...args], env)
      programs.set('controller', program)
      await program.line(/login\?code=/)
      return program
    },
    async startAgent(device, ...more) {
      const at = devices.find((known) => known.device === device)
      if (at === undefined) throw new Error(`${device} is not on this stage`)
      enrolment ??= tell('device', 'token', '--uses', `${names.length}`)
      const { token } = await enrolment
      const flags = ['--controller', url, '--token', token, '--home', at.home]
      flags.push('--device', device, '--profile', at.profile, '--listen', at.api.slice(7))
      // What these tests ask needs no fastest settings, and looking for them takes all cores.
      flags.push('--tuning-seconds', '1')
      const environment = { ...env, ...environments[device] }
      const program = startProgram(device, 'agent', [...flags, ...more], environment)
      programs.set(device, program)
      await program.line(/linnet agent ready/)
      return program
    },
    linnet: (...args) => runLinnet(args, env),
    async publish(release, ...flags) {
      await tell('release', 'create', ...flags)
      await tell('release', 'sign', release)
      await tell('release', 'publish', release)
    },
    async startRollout(specification) {
      const file = join(home, `rollout-${specification.candidate}.json`)
      await writeFile(file, JSON.stringify(specification))
      const flags = ['--file', file, '--start', '--yes']
      return (await tell<RolloutResource>('rollout', 'create', ...flags)).id
    },
    stored: (model) => storedCounts(join(home, 'linnet.db'), model),
    childOf: (name, part) => childProcess(programs.get(name)?.pid ?? 0, part),
    async remove() {
      // Agents first: they say goodbye to a controller that still listens.
      const [controller, ...others] = [...programs.values()]
      await Promise.all(others.map((program) => program.kill('SIGTERM')))
      await controller?.kill('SIGTERM')
      await rm(home, { recursive: true, force: true })
    },
  }
}

/** Waits until `look` gives something; `what` and the last look go into the error. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  timeoutMs = 60_000,
  explain: () => unknown = () => '',
): Promise<T> {
  const deadlineMs = Date.now() + timeoutMs
  for (;;) {
    const found = await look().catch(() => undefined)
    if (found !== undefined && found !== false) return found
    if (Date.now() > deadlineMs) {
      const about = JSON.stringify(await explain())
      throw new Error(`not within ${timeoutMs / 1000} s: ${what} ${about}`)
    }
    await sleep(POLL_MS)
  }
}

/** Serves exactly this release of the model, with no candidate beside it. */
export function servesOnly(device: DeviceResource, model: string, version: string): boolean {
  const slots = (device.report?.slots ?? []).filter((slot) => slot.model === model)
  const serving = slots.filter(({ slot }) => slot !== 'previous')
  return serving.length === 1 && serving[0]?.version === version
}

function openClient(home: string, baseUrl: string): Client {
  const call = async (token: string, url: string, init: RequestInit) =>
    fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } })
  return createClient({
    baseUrl,
    newKey: () => crypto.randomUUID(),
    fetch: async (url, { method, headers, body }) => {
      const token = (await readFile(join(home, 'token'), 'utf8')).trim()
      const bytes = body === undefined ? {} : { body: body as NonNullable<RequestInit['body']> }
      return call(token, url, { method, headers, ...bytes })
    },
  })
}

function createQuestions(client: Client) {
  return {
    rollout: async (id: string) => unwrap(await client.call('rolloutShow', { params: { id } })),
    decisions: async (id: string) =>
      unwrap(await client.call('rolloutDecisions', { params: { id } })).decisions,
    device: async (device: string) =>
      unwrap(await client.call('deviceShow', { params: { device } })),
    health: async () => unwrap(await client.call('health', {})),
  }
}

/** Straight from the database: what is durable, whatever the controller's memory says. */
async function storedCounts(file: string, model: string): Promise<StoredCount[]> {
  const database = createDatabase({ url: `file:${file}` })
  try {
    const { rows } = await database.execute({
      sql: `SELECT profile, version, arm, rollout, SUM(requests) AS requests, SUM(errors) AS errors
        FROM windows WHERE model = ? GROUP BY profile, version, arm, rollout`,
      args: [model],
    })
    return rows.map((row) => ({
      profile: String(row.profile),
      version: String(row.version),
      arm: String(row.arm),
      rollout: String(row.rollout),
      requests: Number(row.requests),
      errors: Number(row.errors),
    }))
  } finally {
    database.close()
  }
}

async function childProcess(parent: number, part: string): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    if (!status.includes(`PPid:\t${parent}\n`)) continue
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (command.includes(part)) return Number(pid)
  }
  throw new Error(`process ${parent} has no child with ${part}`)
}

/** Below those that the system gives to outgoing connections (Linux: from 32768). */
const PORT_MIN = 12_000
const PORTS_PER_WORKER = 4_000
let nextPort = Math.floor(Math.random() * PORTS_PER_WORKER)

/**
 * Ports of loopback that are free now, `count` in a row. Nobody takes one before the program that it is
 * for does: not the system, and not the tests of another worker, whose ports are others.
 */
export async function freePorts(count: number): Promise<number[]> {
  const worker = Number(process.env.VITEST_POOL_ID ?? 1) % 5
  for (let attempt = 0; attempt < 100; attempt++) {
    if (nextPort + count > PORTS_PER_WORKER) nextPort = 0
    const first = PORT_MIN + worker * PORTS_PER_WORKER + nextPort
    nextPort += count
    const wanted = Array.from({ length: count }, (_, i) => first + i)
    const free = await holdPorts(wanted).catch(() => undefined)
    if (free !== undefined) return free
  }
  throw new Error(`no ${count} ports in a row are free`)
}

/** Opens and closes them; rejects when one of them is taken. */
async function holdPorts(wanted: readonly number[]): Promise<number[]> {
  const servers = wanted.map(() => createServer())
  const open = servers.map(
    (server, i) =>
      new Promise<number>((resolve, reject) => {
        server.once('error', reject)
        server.listen(wanted[i], '127.0.0.1', () => {
          const address = server.address()
          resolve(typeof address === 'object' && address !== null ? address.port : 0)
        })
      }),
  )
  const settled = await Promise.allSettled(open)
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))))
  const failed = settled.find((each) => each.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return Promise.all(open)
}
