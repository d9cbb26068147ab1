import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Agent, startAgent } from '../../agent/agent.ts'
import { createArtifactStore } from '../../agent/artifact/artifact-store.ts'
import { TufRepository } from '../../agent/artifact/tuf-repository.ts'
import { fetchTime } from '../../agent/ask-controller.ts'
import { deviceSigner, enrol, homePaths, loadIdentity } from '../../agent/enrol.ts'
import { loadProfile } from '../../agent/firmware-profile.ts'
import { createFleetClock } from '../../agent/fleet-clock.ts'
import type { Clock, ClosedInterval, Runtime, RuntimeEvent, ServePlan } from '../../agent/ports.ts'
import { createFileSpoolStore } from '../../agent/store/file-spool-store.ts'
import { createFileStateStore } from '../../agent/store/file-state-store.ts'
import { createSmallFiles } from '../../agent/store/small-files.ts'
import { createMqttTransport } from '../../agent/transport/mqtt-transport.ts'
import { ok, unwrap } from '../../shared/kernel/result.ts'
import type { Assignment } from '../../shared/model/assignment.ts'
import type { DeviceFacts } from '../../shared/model/device.ts'
import { fetchBounded } from '../../shared/node/http-download.ts'
import { createTufFiles } from '../../shared/node/tuf-files.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import type { MessageKind } from '../../shared/protocol/codec.ts'
import { openMessage } from '../../shared/protocol/frame.ts'
import { checkSync, keyId } from '../../shared/signing/keys.ts'
import { emptyWindow } from '../../shared/sketch/window.ts'
import { anAssignment, aQualification, aSlot } from '../fixtures/device-builders.ts'
import { someShape } from '../fixtures/sketch-builders.ts'
import { LittleController } from './little-controller.ts'

const RETRIEVAL = { deadlineMs: 5_000, bytesPerSecondMin: 100, windowMs: 5_000 }
const LOG = { info: () => undefined, warn: () => undefined }
const FACTS: DeviceFacts = {
  profile: 'raspberry-pi-5',
  agentVersion: '0.1.0',
  runtimeVersion: '1.30.0',
  platform: 'linux/arm64',
  cores: 4,
  memoryMb: 4096,
  labels: { site: 'hall-1' },
}

/** Runs at 50 times the speed of the real one, so that back-offs pass in milliseconds. */
const fastClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs / 50)
    return () => clearTimeout(timer)
  },
}

let home: string
let controller: LittleController
const agents: Agent[] = []
let plans: ServePlan[] = []
let emit: (event: RuntimeEvent) => void = () => undefined

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'linnet-agent-'))
  controller = await LittleController.start()
  plans = []
})
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop()
  await controller.close()
  // A look at the metadata that was under way when the agent stopped may still write.
  await rm(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
})

async function enrolHere(token = controller.token) {
  const paths = homePaths(home)
  const signer = await deviceSigner(paths)
  const options = { controller: controller.url, token, facts: FACTS, device: 'press-1' }
  return enrol(paths, signer, options)
}

const runtime: Runtime = {
  qualify: async ({ release }) => ok(aQualification(release.sha256)),
  serve: async (plan) => {
    plans.push(plan)
    return { served: true }
  },
  onEvent: (handler) => {
    emit = handler
  },
  close: async () => undefined,
}

async function start(boot: string, own: Clock = fastClock): Promise<Agent> {
  const identity = (await loadIdentity(homePaths(home)))!
  const paths = homePaths(home)
  const signer = await deviceSigner(paths)
  const { fleet, device } = identity
  const targetsUrl = `${controller.url}/tuf/targets`
  const repository = new TufRepository({
    tuf: createTufFiles(paths.metadata, `${controller.url}/tuf/metadata`, nodeVerifier),
    fetchTarget: (path, bytesMax) =>
      fetchBounded(`${targetsUrl}/${path}`, { ...RETRIEVAL, bytesMax }),
    targetsUrl,
    cache: createSmallFiles(join(home, 'releases')),
    ...{ fleet, device, deviceKey: keyId(signer.key), staging: false, clock: own },
    profile: unwrap(await loadProfile('raspberry-pi-5')),
    time: {
      nonce: () => randomBytes(16).toString('hex'),
      ask: (nonce) => fetchTime(controller.url, device, nonce),
    },
  })
  const { clock, askTime } = createFleetClock(own, repository, LOG)
  const agent = await startAgent(
    {
      ...{ clock, random: Math.random, log: LOG, signer, repository, runtime },
      trust: repository,
      artifacts: createArtifactStore({
        ...{ folder: join(home, 'artifacts'), bytesMax: 1_000_000, retrieval: RETRIEVAL },
      }),
      states: createFileStateStore(join(home, 'state.json'), LOG),
      spoolStore: createFileSpoolStore(join(home, 'spool.log')),
      transport: createMqttTransport({
        ...{ url: identity.mqttUrl, fleet, device, signer, clock, askTime, log: LOG },
        ...{ random: Math.random, randomId: () => crypto.randomUUID(), cohort: () => null },
      }),
    },
    { fleet, device, boot },
  )
  agents.push(agent)
  return agent
}

function assignment(generation: number, ...slots: ReturnType<typeof aSlot>[]): Assignment {
  const now = Date.now()
  const deviceKey = keyId(controller.devices.get('press-1')!)
  const validity = { deviceKey, issuedAt: now, expiresAt: now + 3_600_000 }
  return anAssignment(generation, slots, { ...validity, directorEpoch: 1 })
}

/** Verified messages of one kind, as the controller would read them. */
function messages<K extends MessageKind>(kind: K, leaf: string) {
  const address = { fleet: 'plant', device: 'press-1', topic: `ln1/plant/d/press-1/up/${leaf}` }
  const key = controller.devices.get('press-1')!
  return controller
    .on(`up/${leaf}`)
    .map((bytes) => unwrap(checkSync(openMessage(kind, bytes, address, key), nodeVerifier)))
}

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 30_000, interval: 20 })

describe('enrolment', () => {
  it('makes a key that nobody else may read, and keeps no token', async () => {
    const identity = unwrap(await enrolHere())
    expect(identity).toMatchObject({ fleet: 'plant', device: 'press-1' })
    expect((await stat(homePaths(home).key)).mode & 0o777).toBe(0o600)
    for (const file of await readdir(home)) {
      const path = join(home, file)
      if (!(await stat(path)).isFile()) continue
      expect(await readFile(path, 'utf8')).not.toContain('secret-secret')
    }
  })

  it('may be repeated after a crash, and gives the same device', async () => {
    const first = unwrap(await enrolHere())
    await rm(homePaths(home).identity)
    expect(unwrap(await enrolHere())).toEqual(first)
  })

  it('makes an id from the key when none is asked for', async () => {
    const paths = homePaths(home)
    const signer = await deviceSigner(paths)
    const options = { controller: controller.url, token: controller.token, facts: FACTS }
    const identity = unwrap(await enrol(paths, signer, options))
    expect(identity.device).toBe(`d-${keyId(signer.key).slice(0, 12)}`)
  })

  it('is of staging where its token says so, and keeps that; no controller tells it', async () => {
    expect(unwrap(await enrolHere()).staging).toBeUndefined()
    await rm(homePaths(home).identity)
    expect(unwrap(await enrolHere(`${controller.token}.staging`)).staging).toBe(true)
    expect((await loadIdentity(homePaths(home)))?.staging).toBe(true)
    expect(await enrolHere(`${controller.token}.other`)).toMatchObject({
      error: { code: 'enrolment.token' },
    })
  })

  it('trusts no root but the one that the token names', async () => {
    const forged = controller.token.replace(/[0-9a-f]{64}$/, 'f'.repeat(64))
    expect(await enrolHere(forged)).toMatchObject({ error: { code: 'enrolment.root' } })
    expect(await readdir(home)).toEqual(['device-key.json'])
  })

  it.each([['no token at all', 'hello', 'enrolment.token']])(
    'refuses %s',
    async (_, token, code) => {
      expect(await enrolHere(token)).toMatchObject({ ok: false, error: { code } })
    },
  )

  it('says that the controller is away, so that the caller can wait', async () => {
    const paths = homePaths(home)
    const options = { controller: 'http://127.0.0.1:1', token: controller.token, facts: FACTS }
    const refused = await enrol(paths, await deviceSigner(paths), options)
    expect(refused).toMatchObject({ error: { code: 'net.interrupted' } })
  })
})

describe('a device whose clock is wrong', () => {
  const MINUTE_MS = 60_000
  const off = (byMs: number): Clock => ({ ...fastClock, nowMs: () => Date.now() + byMs })

  it.each([
    ['in 1970', -Date.now() + 60_000],
    ['three minutes behind', -3 * MINUTE_MS],
    ['twenty days behind', -20 * 1_440 * MINUTE_MS],
    ['two minutes ahead', 2 * MINUTE_MS],
  ])('%s asks for the time, is let in, serves and reports', async (_, byMs) => {
    unwrap(await enrolHere())
    const release = controller.release('1.0.0')
    const slot = aSlot('current', '1.0.0', release)
    await controller.assign('press-1', controller.sign(assignment(1, slot)))
    const agent = await start('boot-1', off(byMs))
    await eventually(() => {
      expect(messages('report', 'report').at(-1)?.report).toMatchObject({
        ...{ status: 'applied', slots: [{ sha256: release.sha256 }] },
      })
    })
    // Once, or again where it took long: its minute between two questions is a second here.
    expect(controller.asked.length).toBeGreaterThanOrEqual(1)
    const { atMs } = messages('report', 'report').at(-1)!
    expect(Math.abs(atMs - Date.now())).toBeLessThan(MINUTE_MS)
    expect(agent.state().durable.order.generation).toBe(1)
  })

  it('that is right asks nobody', async () => {
    unwrap(await enrolHere())
    await start('boot-1')
    await eventually(() => expect(messages('presence', 'state')).toHaveLength(1))
    expect(controller.asked).toEqual([])
  })
})

describe('a Node agent with a real broker and repository', () => {
  it('verifies, fetches and serves what it is assigned, and reports it', async () => {
    unwrap(await enrolHere())
    await start('boot-1')
    const release = controller.release('1.0.0')
    await controller.assign(
      'press-1',
      controller.sign(assignment(1, aSlot('current', '1.0.0', release))),
    )
    await eventually(() => {
      expect(messages('report', 'report').at(-1)?.report).toMatchObject({
        status: 'applied',
        slots: [{ version: '1.0.0', sha256: release.sha256 }],
      })
    })
    expect(plans.at(-1)?.models[0]?.current?.modelPath).toBe(
      join(home, 'artifacts', release.sha256),
    )
    expect(messages('presence', 'state')).toMatchObject([{ status: 'online', boot: 'boot-1' }])
  })

  it('gets the retained assignment after a restart, and does nothing twice', async () => {
    unwrap(await enrolHere())
    const release = controller.release('1.0.0')
    await controller.assign(
      'press-1',
      controller.sign(assignment(1, aSlot('current', '1.0.0', release))),
    )
    const first = await start('boot-1')
    await eventually(() => expect(first.state().servedPlan).toBe(2))
    await first.stop()
    const fetched = controller.requests.filter((url) => url.includes('.onnx')).length
    const second = await start('boot-2')
    await eventually(() => expect(messages('report', 'report').at(-1)?.boot).toBe('boot-2'))
    expect(second.state().durable).toEqual(first.state().durable)
    expect(controller.requests.filter((url) => url.includes('.onnx'))).toHaveLength(fetched)
    expect(messages('presence', 'state').map(({ status }) => status)).toEqual([
      ...['online', 'offline', 'online'],
    ])
  })

  it.each<[string, string, (good: Assignment) => string]>([
    [
      'signed by somebody else',
      'assignment.signature',
      (good) => controller.sign(good).replace('"issuedAt":', '"issuedAt":1'),
    ],
    [
      'for another device',
      'assignment.device',
      (good) => controller.sign({ ...good, device: 'press-2' }),
    ],
    [
      'of a release that nobody signed',
      'assignment.target_mismatch',
      () => controller.sign(assignment(1, aSlot('current', '6.6.6'))),
    ],
    [
      'that has expired',
      'assignment.expired',
      (good) => controller.sign({ ...good, expiresAt: Date.now() - 1 }),
    ],
  ])('refuses an assignment %s', async (_, code, forge) => {
    unwrap(await enrolHere())
    const agent = await start('boot-1')
    const slot = aSlot('current', '1.0.0', controller.release('1.0.0'))
    await controller.assign('press-1', forge(assignment(1, slot)))
    await eventually(() => {
      expect(messages('notice', 'event').at(-1)?.notice.problem.code).toBe(code)
    })
    expect(agent.state().durable.order.generation).toBe(-1)
  })

  it('refuses a replayed older assignment, and keeps what it has', async () => {
    unwrap(await enrolHere())
    const agent = await start('boot-1')
    const slot = aSlot('current', '1.0.0', controller.release('1.0.0'))
    const old = controller.sign(assignment(1, slot))
    await controller.assign('press-1', old)
    await eventually(() => expect(agent.state().durable.models).toHaveLength(1))
    await controller.assign('press-1', controller.sign(assignment(2, slot)))
    await eventually(() => expect(agent.state().durable.order.generation).toBe(2))
    await controller.assign('press-1', old)
    await eventually(() => {
      expect(messages('notice', 'event').at(-1)?.notice.problem.code).toBe('assignment.generation')
    })
    expect(agent.state().durable.order.generation).toBe(2)
  })

  it.each([
    // Three downloads, each begun once more from the start: a bad line would have passed by then.
    ['other', 'other 1.0.0', { code: 'artifact.digest', attack: 'arbitrary_software' }, 6],
    ['more', 'model 1.0.0 and more', { code: 'artifact.length', attack: 'endless_data' }, 1],
  ])(
    'refuses %s bytes than the signed ones, and names the attack',
    async (_, text, what, times) => {
      unwrap(await enrolHere())
      const agent = await start('boot-1')
      const release = controller.release('1.0.0')
      const path = [...controller.files.keys()].find((url) => url.endsWith('fp32.onnx'))!
      controller.files.set(path, new TextEncoder().encode(text))
      await controller.assign(
        'press-1',
        controller.sign(assignment(1, aSlot('current', '1.0.0', release))),
      )
      await eventually(() => expect(agent.state().durable.failures).toHaveLength(1))
      expect(agent.state().durable.failures[0]?.problem.code).toBe(what.code)
      expect(controller.requests.filter((url) => url === path)).toHaveLength(times)
      expect(await readdir(join(home, 'artifacts'))).not.toContain(release.sha256)
      await eventually(() => {
        const { notice } = messages('notice', 'event').at(-1)!
        expect(notice).toMatchObject({ attack: what.attack, problem: { code: what.code } })
      })
    },
  )

  it('comes back after the broker was away, with a new password and the same windows', async () => {
    unwrap(await enrolHere())
    await start('boot-1')
    await eventually(() => expect(messages('presence', 'state')).toHaveLength(1))
    const interval: ClosedInterval = {
      ...{ model: 'motor', generation: 1, rollout: null, share: 0, startedAtMs: 5, durationMs: 9 },
      arms: [
        {
          ...{ arm: 'baseline', version: '1.0.0', variant: 'fp32' },
          window: { ...emptyWindow(someShape()), n: 3 },
        },
      ],
    }
    emit({ kind: 'interval', interval })
    await eventually(() => expect(messages('telemetry', 'telemetry')).toHaveLength(1))
    const port = await controller.hangUp()
    await controller.listen(port)
    await eventually(() => expect(messages('telemetry', 'telemetry')).toHaveLength(2))
    const [first, second] = messages('telemetry', 'telemetry')
    expect(second).toEqual(first)
    expect(new Set(controller.passwords).size).toBe(controller.passwords.length)
    await controller.acknowledge('press-1', first!.boot, [first!.seq])
    await eventually(() => expect(agents[0]?.spoolSize().entries).toBe(0))
  })

  it('keeps trying when it is not let in', async () => {
    unwrap(await enrolHere())
    controller.rejects = true
    await start('boot-1')
    await new Promise((done) => setTimeout(done, 200))
    expect(controller.received).toEqual([])
    controller.rejects = false
    await eventually(() => expect(messages('presence', 'state')).toHaveLength(1))
  })
})
