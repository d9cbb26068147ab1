/**
 * The console as people get it: the real HTTP application, sign-in, cookies and event stream, over
 * resources that a test holds in memory. Only what stands behind the application is absent.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Application, Change } from '../../controller/application.ts'
import { openAccessStore } from '../../controller/http/access-store.ts'
import { createHttpApp } from '../../controller/http/app.ts'
import { startHttpServer } from '../../controller/http/server.ts'
import type {
  DecisionResource,
  DeviceResource,
  HealthResource,
  ReleaseResource,
  RolloutResource,
} from '../../shared/api/resources.ts'
import { ok, refuse } from '../../shared/kernel/result.ts'
import type { Role } from '../../shared/model/role.ts'
import { allowedCommands } from '../../shared/rollout/commands.ts'
import { step } from '../../shared/rollout/step.ts'
import { buildConsole } from './console-build.ts'
import { health } from './fleet-builder.ts'

export interface Fleet {
  devices: DeviceResource[]
  releases: ReleaseResource[]
  rollouts: RolloutResource[]
  decisions: DecisionResource[]
  health?: HealthResource
}

interface GivenCommand {
  readonly id: string
  readonly command: string
  readonly full: boolean
}

export interface ConsoleServer {
  readonly url: string
  readonly fleet: Fleet
  /** Commands that reached the application, in order. */
  readonly commands: readonly GivenCommand[]
  /** A link that signs in once. */
  loginUrl(role?: Role): string
  /** Says that something changed. */
  changed(kind: Change['kind'], subject: string): void
  /** Stops answering: connections are cut and new ones refused, until `comeBack()`. */
  vanish(): Promise<void>
  comeBack(): Promise<void>
  close(): Promise<void>
}

export async function startConsoleServer(fleet: Fleet): Promise<ConsoleServer> {
  const home = await mkdtemp(join(tmpdir(), 'linnet-console-'))
  const consoleFolder = await buildConsole()
  const commands: GivenCommand[] = []
  const listeners = new Set<(change: Change) => void>()
  let changeId = 0
  const changed = (kind: Change['kind'], subject: string): void => {
    changeId++
    for (const listener of listeners) listener({ id: changeId, kind, subject })
  }
  const application = inMemoryApplication(fleet, { commands, listeners, changed })
  const access = await openAccessStore(home, Date.now)
  // A session lives no longer than the token of whom it is.
  await access.createToken('ada', 'admin', null)
  const app = createHttpApp({
    application,
    access,
    version: '0.1.0',
    hostNames: [],
    consoleFolder,
    demoFolder: consoleFolder,
    nowMs: Date.now,
    onFailure: () => {},
  })
  let server = await startHttpServer(app.hono, { host: '127.0.0.1', port: 0 })
  const { port } = server
  const url = `http://127.0.0.1:${port}`
  const vanish = async () => {
    const closed = server.close()
    server.server.closeAllConnections()
    await closed
  }
  return {
    url,
    fleet,
    commands,
    loginUrl: (role = 'admin') => `${url}${app.loginPath({ name: 'ada', role })}`,
    changed,
    vanish,
    async comeBack() {
      server = await startHttpServer(app.hono, { host: '127.0.0.1', port })
    },
    async close() {
      app.close()
      await vanish()
      await rm(home, { recursive: true, force: true })
    },
  }
}

interface Wiring {
  readonly commands: GivenCommand[]
  readonly listeners: Set<(change: Change) => void>
  changed(kind: Change['kind'], subject: string): void
}

function inMemoryApplication(fleet: Fleet, { commands, listeners, changed }: Wiring): Application {
  const absent = async () => refuse('test.absent', 'This application holds resources alone.')
  const seenBy = (role: Role) => (rollout: RolloutResource) => ({
    ...rollout,
    allowed: allowedCommands(rollout.state, role),
  })
  return {
    health: async () => fleet.health ?? health(fleet.devices),
    listDevices: async () => fleet.devices,
    getDevice: async (device) => found(fleet.devices.find((d) => d.device === device)),
    listReleases: async () => fleet.releases,
    getRelease: async (model, version) =>
      found(fleet.releases.find((r) => r.model === model && r.version === version)),
    listRollouts: async ({ role }) => fleet.rollouts.map(seenBy(role)),
    getRollout: async (id, { role }) =>
      found(fleet.rollouts.filter((r) => r.id === id).map(seenBy(role))[0]),
    decisions: async (id) => fleet.decisions.filter(({ rollout }) => rollout === id),
    async commandRollout(id, command, { full, note }, actor) {
      commands.push({ id, command, full })
      const rollout = fleet.rollouts.find((r) => r.id === id)
      if (rollout === undefined) return found(rollout)
      const event = { kind: 'command' as const, command, actor: actor.name, full, note }
      const stepped = step(rollout, event, Date.now())
      if (!stepped.ok) return stepped
      const next = { ...rollout, ...stepped.value.rollout } as RolloutResource
      fleet.rollouts = fleet.rollouts.map((r) => (r.id === id ? next : r))
      changed('rollout', id)
      return ok(seenBy(actor.role)(next))
    },
    subscribe(_sinceId, onChange) {
      listeners.add(onChange)
      return () => void listeners.delete(onChange)
    },
    record: async () => undefined,
    recordRefusal: () => undefined,
    audit: async () => ({ entries: [], head: null }),
    enrolmentTokens: async () => [],
    revokeEnrolmentToken: absent,
    revokeDevice: absent,
    approveDevice: absent,
    createRollout: absent,
    createEnrolmentToken: absent,
    enrol: absent,
    proveDevice: () => refuse('token.signature', 'There are no devices here.'),
    assignmentOf: absent,
    timeFor: absent,
    onlineKeys: async () => [],
    prepareOnlineKeys: async () => [],
    putRoot: absent,
    putArtifact: absent,
    putTargets: absent,
    putRoles: absent,
    tufMetadata: absent,
    artifact: absent,
    tufTarget: absent,
  }
}

function found<T>(value: T | undefined) {
  return value === undefined ? refuse('test.not_found', 'There is no such thing.') : ok(value)
}
