import { describe, expect, it } from 'vitest'
import type { ClosedInterval } from '../../agent/ports.ts'
import { emptyWindow } from '../../shared/sketch/window.ts'
import { anAssignment, aSlot } from '../fixtures/device-builders.ts'
import { someShape } from '../fixtures/sketch-builders.ts'
import { World } from './memory-ports.ts'

const baseline = aSlot('current', '1.0.0')
const candidate = aSlot('candidate', '1.1.0')
const problem = { code: 'guard.error_rate', message: 'Too many errors.' }

function anInterval(startedAtMs: number): ClosedInterval {
  const window = { ...emptyWindow(someShape()), n: 10 }
  return {
    model: 'motor',
    generation: 1,
    rollout: null,
    share: 0,
    startedAtMs,
    durationMs: 60_000,
    arms: [{ arm: 'baseline', version: '1.0.0', variant: 'fp32', window }],
  }
}

/** An agent that serves 1.0.0 and is connected. */
async function serving(boot = 'boot-1') {
  const world = new World()
  const agent = await world.start(boot)
  await world.connect()
  await world.assign(anAssignment(1, [baseline]))
  return { world, agent }
}

describe('the agent', () => {
  it('takes an assignment from the wire to the model host, and says so', async () => {
    const { world } = await serving()
    expect(world.log.filter((line) => !line.startsWith('publish'))).toEqual([
      ...['serve -1', 'check', 'save 1', 'serve 1', 'resolve 1.0.0'],
      ...['fetch fp32.onnx', 'fetch fp32.golden', 'save 1', 'serve 1'],
    ])
    expect(world.plans.at(-1)).toMatchObject({
      generation: 1,
      windowMs: 60_000,
      models: [{ model: 'motor', current: { provider: 'cpu' }, candidate: null }],
    })
    expect(world.last('presence')).toMatchObject({ status: 'online', boot: 'boot-1' })
    expect(world.last('report')).toMatchObject({
      report: { status: 'applied', generation: 1, slots: [{ slot: 'current', version: '1.0.0' }] },
      qualifications: [{ sha256: baseline.sha256, chosen: 'cpu' }],
    })
  })

  it('rolls back on the device at once, while a download hangs', async () => {
    const { world, agent } = await serving()
    await world.assign(anAssignment(2, [baseline, candidate]))
    world.isSlow = true
    const next = aSlot('current', '9.0.0', { model: 'camera' })
    await world.assign(anAssignment(3, [baseline, candidate, next]))
    expect(agent.state().job?.phase).toBe('fetching')
    await world.emit({ kind: 'releaseBroke', sha256: candidate.sha256, problem })
    expect(world.plans.at(-1)?.models[0]).toMatchObject({ candidate: null, trafficShare: 0 })
    expect(world.last('notice')).toMatchObject({
      notice: { kind: 'rolled_back', subject: 'motor@1.1.0', problem },
    })
    expect(agent.state().job?.phase).toBe('fetching')
  })

  it('drops a download that is no longer wanted, and never hears of it again', async () => {
    const { world, agent } = await serving()
    world.isSlow = true
    await world.assign(anAssignment(2, [baseline, candidate]))
    await world.assign(anAssignment(3, [baseline]))
    expect(agent.state()).toMatchObject({ job: null, waiting: [] })
    world.isSlow = false
    await world.assign(anAssignment(4, [baseline, candidate]))
    expect(agent.state().durable.models[0]?.candidate?.version).toBe('1.1.0')
  })

  it('serves after a restart without any network', async () => {
    const { world } = await serving()
    const again = new World(world.disk)
    again.resolveProblem = { code: 'net.down', message: 'No network.' }
    const agent = await again.start('boot-2')
    expect(again.plans).toHaveLength(1)
    expect(again.plans[0]?.models[0]?.current?.resolved.release.version).toBe('1.0.0')
    expect(again.log).not.toContain('resolve 1.0.0')
    expect(agent.state().servedPlan).toBe(agent.state().plan)
  })

  it('fetches again what the disk has lost', async () => {
    const { world } = await serving()
    world.disk.files.clear()
    const again = new World(world.disk)
    const agent = await again.start('boot-2')
    expect(again.log).toContain('fetch fp32.onnx')
    expect(agent.state().durable.models[0]?.current?.version).toBe('1.0.0')
    expect(agent.state().durable.failures).toEqual([])
  })

  it('does not let a release serve that could not be stored, and tries again', async () => {
    const { world } = await serving()
    world.isSaving = false
    await world.assign(anAssignment(2, [baseline, candidate]))
    expect(world.plans.at(-1)?.generation).toBe(1)
    world.isSaving = true
    await world.clock.advance(130_000)
    expect(world.plans.at(-1)?.generation).toBe(2)
    expect(world.disk.durable?.order.generation).toBe(2)
  })

  it('checks an assignment again when release metadata were out of reach', async () => {
    const world = new World()
    const agent = await world.start('boot-1')
    world.checkProblem = { code: 'tuf.unavailable', message: 'No network.' }
    await world.assign(anAssignment(1, [baseline]))
    expect(agent.state().durable.order.generation).toBe(-1)
    world.checkProblem = undefined
    await world.clock.advance(1_000)
    expect(agent.state().durable.order.generation).toBe(1)
  })

  it('tells why it refused an assignment, and goes on serving', async () => {
    const { world, agent } = await serving()
    world.checkProblem = { code: 'assignment.signature', message: 'Not signed.' }
    await world.assign(anAssignment(2, []))
    expect(world.last('notice')).toMatchObject({
      notice: { kind: 'assignment_refused', problem: { code: 'assignment.signature' } },
    })
    expect(agent.state().durable.order.generation).toBe(1)
  })

  it('tells of a restarted model host, and changes nothing else', async () => {
    const { world, agent } = await serving()
    const before = agent.state()
    await world.emit({ kind: 'hostRestarted', problem })
    expect(agent.state()).toBe(before)
    expect(world.last('notice')).toMatchObject({ notice: { kind: 'host_restarted' } })
  })

  it('tells of more or fewer model hosts and why, and changes nothing else', async () => {
    const { world, agent } = await serving()
    const before = agent.state()
    const scaled = { code: 'hosts.up', message: 'Model hosts: 1 to 2 hosts: 11 requests in line.' }
    await world.emit({ kind: 'hostsScaled', problem: scaled })
    expect(agent.state()).toBe(before)
    expect(world.last('notice')).toMatchObject({
      notice: { kind: 'hosts_scaled', subject: 'model host', problem: scaled },
    })
  })

  it('retries what failed for now when its time has come', async () => {
    const world = new World()
    const agent = await world.start('boot-1')
    world.resolveProblem = { code: 'net.http', message: 'The controller answered 503.' }
    await world.assign(anAssignment(1, [baseline]))
    expect(agent.state().waiting).toHaveLength(1)
    world.resolveProblem = undefined
    await world.clock.advance(1_500)
    expect(agent.state().durable.models[0]?.current?.version).toBe('1.0.0')
  })

  it('remembers a release that is wrong here', async () => {
    const { world, agent } = await serving()
    world.qualifyProblem = { code: 'golden.mismatch', message: 'x'.repeat(2_000) }
    await world.assign(anAssignment(2, [baseline, candidate]))
    expect(agent.state().durable.failures[0]?.problem.message).toHaveLength(512)
    expect(world.last('report')?.report).toMatchObject({
      status: 'degraded',
      failures: [{ version: '1.1.0', problem: { code: 'golden.mismatch' } }],
    })
  })
})

describe('telemetry', () => {
  it('leaves once connected, and is forgotten on the acknowledgement alone', async () => {
    const { world, agent } = await serving()
    await world.emit({ kind: 'interval', interval: anInterval(5) })
    const { boot, seq } = world.last('telemetry')!
    expect(boot).toBe('boot-1')
    expect(agent.spoolSize().entries).toBe(1)
    await world.acknowledge('boot-0', [seq])
    expect(agent.spoolSize().entries).toBe(1)
    await world.acknowledge('boot-1', [seq])
    expect(agent.spoolSize().entries).toBe(0)
  })

  it('goes out again without an acknowledgement, the very same', async () => {
    const { world } = await serving()
    await world.emit({ kind: 'interval', interval: anInterval(5) })
    await world.clock.advance(31_000)
    const sent = world.published.telemetry!
    expect(sent).toHaveLength(2)
    expect(sent[1]).toEqual(sent[0])
  })

  it('keeps its stamp over a restart', async () => {
    const { world } = await serving()
    await world.emit({ kind: 'interval', interval: anInterval(5) })
    const again = new World(world.disk)
    await again.start('boot-2')
    await again.connect()
    expect(again.published.telemetry).toEqual(world.published.telemetry)
    expect(again.last('report')).toMatchObject({ boot: 'boot-2', seq: 1 })
  })

  it('waits offline, as sums', async () => {
    const { world, agent } = await serving()
    await world.connect(false)
    for (let minute = 0; minute < 120; minute++) {
      await world.emit({ kind: 'interval', interval: anInterval(minute * 60_000) })
    }
    expect(agent.spoolSize().entries).toBe(2)
    await world.connect()
    const requests = world.published.telemetry!.map((message) => message.arms[0]?.window.n)
    expect(requests).toEqual([600, 600])
    expect(world.published.telemetry!.map(({ durationMs }) => durationMs)).toEqual([
      3_600_000, 3_600_000,
    ])
  })

  it('reports only the newest state', async () => {
    const { world } = await serving()
    await world.connect(false)
    const before = world.published.report!.length
    await world.assign(anAssignment(2, [baseline, candidate]))
    await world.connect()
    expect(world.published.report!.slice(before).map((m) => m.report.generation)).toEqual([2])
  })
})

describe('a clock that is set back', () => {
  const backMs = 600_000

  it('does not keep unacknowledged windows', async () => {
    const world = new World()
    await world.start('boot-1')
    await world.connect()
    await world.emit({ kind: 'interval', interval: anInterval(5) })
    world.clock.set(world.clock.nowMs() - backMs)
    const before = world.published.telemetry!.length
    await world.clock.advance(30_000)
    expect(world.published.telemetry!.length - before).toBe(1)
  })

  it('does not keep a job that waits to be tried again', async () => {
    const { world, agent } = await serving()
    world.resolveProblem = { code: 'net.unreachable', message: 'Nobody answers.' }
    await world.assign(anAssignment(2, [baseline, candidate]))
    expect(agent.state().waiting).toHaveLength(1)
    world.resolveProblem = undefined
    world.clock.set(world.clock.nowMs() - backMs)
    await world.clock.advance(150_000)
    expect(agent.state().waiting).toEqual([])
    expect(agent.state().durable.models[0]?.candidate?.version).toBe('1.1.0')
  })
})

describe('presence', () => {
  it('is said of the very connection that the last will is about', async () => {
    const world = new World()
    await world.start('boot-1')
    await world.clock.advance(5_000)
    await world.connect()
    const { sinceMs } = world.last('presence')!
    expect(world.will).toEqual({ status: 'lost', boot: 'boot-1', sinceMs })
  })

  it('tells later connections from former ones, also when the clock steps back', async () => {
    const world = new World()
    await world.start('boot-1')
    await world.connect()
    const former = world.will!
    await world.connect(false)
    world.clock.set(world.clock.nowMs() - 3_600_000)
    await world.connect()
    expect(world.will!.sinceMs).toBeGreaterThan(former.sinceMs)
    expect(world.last('presence')!.sinceMs).toBe(world.will!.sinceMs)
  })
})

describe('stopping', () => {
  it('says goodbye and starts again as if nothing had been', async () => {
    const { world, agent } = await serving()
    await agent.stop()
    expect(world.last('presence')).toMatchObject({ status: 'offline' })
    const again = new World(world.disk)
    const next = await again.start('boot-2')
    expect(next.state().durable).toEqual(agent.state().durable)
  })
})
