import { describe, expect, it } from 'vitest'
import { backoffMs, PHASES } from '../../../shared/update/job.ts'
import { reportOf } from '../../../shared/update/report.ts'
import type { DeviceEvent } from '../../../shared/update/state.ts'
import { anAssignment, aQualification, aSha, aSlot } from '../../fixtures/device-builders.ts'
import { Machine } from './machine.ts'

const problem = { code: 'golden.mismatch', message: 'The outputs are wrong.' }
const rollout = (id: string) => ({ rollout: [{ model: 'motor', ref: { id, wave: 1 } }] })
const baseline = aSlot('current', '1.0.0')
const candidate = aSlot('candidate', '1.1.0')

/** A device that serves 1.0.0. */
function serving(): Machine {
  const machine = new Machine()
  machine.accept(anAssignment(1, [baseline]))
  machine.install()
  machine.served()
  return machine
}

/** A device that serves 1.0.0 with 1.1.0 as its candidate. */
function canary(): Machine {
  const machine = serving()
  machine.accept(anAssignment(2, [baseline, candidate], rollout('r1')))
  machine.install()
  machine.served()
  return machine
}

describe('the life of a candidate', () => {
  it('goes through resolving, fetching, verifying, qualifying, and then serves', () => {
    const machine = serving()
    const effects = machine.accept(anAssignment(2, [baseline, candidate], rollout('r1')))
    expect(effects.map((effect) => effect.kind)).toEqual(['persist', 'serve', 'resolve', 'report'])
    const sha256 = aSha('motor@1.1.0')
    expect(machine.kinds({ kind: 'resolved', sha256 })).toEqual(['fetch', 'report'])
    expect(machine.kinds({ kind: 'fetched', sha256 })).toEqual(['verify', 'report'])
    expect(machine.kinds({ kind: 'verified', sha256 })).toEqual(['qualify', 'report'])
    const qualification = aQualification(sha256)
    expect(machine.kinds({ kind: 'qualified', sha256, qualification })).toEqual([
      'persist',
      'serve',
      'report',
    ])
    expect(machine.slots()).toEqual({ current: '1.0.0', candidate: '1.1.0', previous: null })
    expect(reportOf(machine.state).status).toBe('working')
    machine.served()
    expect(reportOf(machine.state).status).toBe('applied')
  })

  it('becomes current without a download when it is promoted, and the former stays warm', () => {
    const machine = canary()
    const effects = machine.accept(anAssignment(3, [aSlot('current', '1.1.0')]))
    expect(effects.map((effect) => effect.kind)).toEqual(['persist', 'serve', 'report'])
    expect(machine.slots()).toEqual({ current: '1.1.0', candidate: null, previous: '1.0.0' })
  })

  it('goes back to the previous release without a download', () => {
    const machine = canary()
    machine.accept(anAssignment(3, [aSlot('current', '1.1.0')]))
    const effects = machine.accept(anAssignment(4, [baseline]))
    expect(effects.map((effect) => effect.kind)).not.toContain('resolve')
    expect(machine.slots()).toEqual({ current: '1.0.0', candidate: null, previous: '1.1.0' })
  })

  it('keeps the present current while its successor is brought here', () => {
    const machine = serving()
    machine.accept(anAssignment(2, [aSlot('current', '2.0.0')]))
    expect(machine.slots().current).toBe('1.0.0')
    machine.install()
    expect(machine.slots()).toEqual({ current: '2.0.0', candidate: null, previous: '1.0.0' })
  })

  it('tells two releases with the same artifact apart by their targets', () => {
    const machine = serving()
    const same = { sha256: baseline.sha256, target: 'motor/1.0.1/fp32.onnx' }
    machine.accept(anAssignment(2, [baseline, aSlot('candidate', '1.0.1', same)]))
    expect(machine.state.job?.release.version).toBe('1.0.1')
    machine.install()
    expect(machine.slots()).toEqual({ current: '1.0.0', candidate: '1.0.1', previous: null })
    machine.send({ kind: 'releaseBroke', sha256: baseline.sha256, problem })
    expect(machine.slots()).toEqual({ current: '1.0.0', candidate: null, previous: null })
  })
})

/** Every event that a phase does not wait for. */
const PROGRESS = ['resolved', 'fetched', 'verified', 'qualified'] as const
const PHASE_NAMES = ['resolving', 'fetching', 'verifying', 'qualifying'] as const
const LATE = PHASE_NAMES.flatMap((phase) =>
  PROGRESS.filter((kind) => PHASES[phase].on[kind] === undefined).map((kind) => ({ phase, kind })),
)

describe('late events', () => {
  it.each(LATE)('$kind in phase $phase changes nothing', ({ phase, kind }) => {
    const machine = serving()
    machine.accept(anAssignment(2, [baseline, candidate]))
    const sha256 = candidate.sha256
    for (const progress of PROGRESS.slice(0, PHASE_NAMES.indexOf(phase))) {
      machine.send({ kind: progress, sha256, qualification: aQualification(sha256) } as DeviceEvent)
    }
    expect(machine.state.job?.phase).toBe(phase)
    const before = machine.state
    const event = { kind, sha256, qualification: aQualification(sha256) } as DeviceEvent
    expect(machine.kinds(event)).toEqual([])
    expect(machine.state).toBe(before)
  })

  it.each<DeviceEvent>([
    { kind: 'resolved', sha256: aSha('other') },
    { kind: 'jobFailed', sha256: baseline.sha256, problem, transient: false },
    { kind: 'jobFailed', sha256: aSha('other'), problem, transient: true },
    { kind: 'releaseBroke', sha256: aSha('other'), problem },
    { kind: 'filesLost', sha256: aSha('other') },
    { kind: 'served', plan: 0 },
    { kind: 'tick' },
    { kind: 'desiredReceived', envelope: '' },
    { kind: 'assignmentAccepted', assignment: anAssignment(1, []), digest: aSha('replay') },
  ])('$kind about something else changes nothing', (event) => {
    const machine = canary()
    const before = machine.state
    expect(machine.kinds(event)).toEqual([])
    expect(machine.state).toBe(before)
  })

  it('the confirmation of an older plan does not count for the newer one', () => {
    const machine = serving()
    machine.accept(anAssignment(2, [baseline, candidate]))
    const older = machine.state.plan
    machine.install()
    machine.send({ kind: 'served', plan: older })
    expect(reportOf(machine.state).status).toBe('working')
  })
})

describe('failures for now', () => {
  it('are tried again after 1 s, then 2 s, up to 120 s', () => {
    expect([1, 2, 3, 8, 50].map(backoffMs)).toEqual([1_000, 2_000, 4_000, 120_000, 120_000])
    const machine = serving()
    machine.accept(anAssignment(2, [baseline, candidate]))
    const sha256 = candidate.sha256
    machine.send({ kind: 'jobFailed', sha256, problem, transient: true })
    expect(reportOf(machine.state).job?.phase).toBe('waiting')
    machine.nowMs += 999
    expect(machine.kinds({ kind: 'tick' })).toEqual([])
    machine.nowMs += 1
    expect(machine.kinds({ kind: 'tick' })).toEqual(['resolve', 'report'])
    expect(machine.state.job?.attempt).toBe(2)
  })

  it('are what wrong bytes are at first: a bad line passes, the third damaged download does not', () => {
    const machine = serving()
    machine.accept(anAssignment(2, [baseline, candidate]))
    const sha256 = candidate.sha256
    const damaged = { code: 'artifact.digest', message: 'Other bytes.' }
    const phases: (string | undefined)[] = []
    for (let download = 1; download <= 3; download++) {
      machine.send({ kind: 'resolved', sha256 })
      machine.send({ kind: 'jobFailed', sha256, problem: damaged, transient: false })
      phases.push(reportOf(machine.state).job?.phase)
      machine.nowMs += backoffMs(download)
      machine.send({ kind: 'tick' })
    }
    expect(phases).toEqual(['waiting', 'waiting', undefined])
    expect(reportOf(machine.state)).toMatchObject({ status: 'degraded', failures: [{ sha256 }] })
  })

  it('of one model do not hold up another', () => {
    const machine = new Machine()
    const other = aSlot('current', '3.0.0', { model: 'camera' })
    machine.accept(anAssignment(1, [baseline, other]))
    const effects = machine.send({
      ...{ kind: 'jobFailed', sha256: baseline.sha256, problem, transient: true },
    })
    expect(effects[0]).toMatchObject({ kind: 'resolve', release: { model: 'camera' } })
    machine.install()
    expect(machine.slots('camera').current).toBe('3.0.0')
    expect(reportOf(machine.state)).toMatchObject({ status: 'working', job: { phase: 'waiting' } })
  })
})

describe('failures for good', () => {
  it('leave the baseline alone, are told once, and are not tried again by the same rollout', () => {
    const machine = serving()
    machine.accept(anAssignment(2, [baseline, candidate], rollout('r1')))
    const sha256 = candidate.sha256
    const effects = machine.send({ kind: 'jobFailed', sha256, problem, transient: false })
    expect(effects.map((effect) => effect.kind)).toEqual(['persist', 'notify', 'serve', 'report'])
    expect(effects[1]).toMatchObject({ notice: { kind: 'release_failed', subject: 'motor@1.1.0' } })
    expect(reportOf(machine.state)).toMatchObject({ status: 'degraded', failures: [{ sha256 }] })
    machine.accept(anAssignment(3, [baseline, candidate], rollout('r1')))
    expect(machine.state.job).toBeNull()
    machine.accept(anAssignment(4, [baseline, candidate], rollout('r2')))
    expect(machine.state.job?.release.version).toBe('1.1.0')
  })

  it('of a candidate in service end its traffic at once', () => {
    const machine = canary()
    const effects = machine.send({ kind: 'releaseBroke', sha256: candidate.sha256, problem })
    expect(effects[1]).toMatchObject({ kind: 'notify', notice: { kind: 'rolled_back' } })
    expect(effects[2]).toMatchObject({ kind: 'serve', models: [{ trafficShare: 0 }] })
    expect(machine.slots()).toEqual({ current: '1.0.0', candidate: null, previous: null })
  })

  it('of the current bring the previous back', () => {
    const machine = canary()
    machine.accept(anAssignment(3, [aSlot('current', '1.1.0')], rollout('r1')))
    machine.send({ kind: 'releaseBroke', sha256: candidate.sha256, problem })
    expect(machine.slots()).toEqual({ current: '1.0.0', candidate: null, previous: null })
    machine.served()
    expect(reportOf(machine.state).status).toBe('degraded')
  })

  it('of the only release are told once, and it stays: one that answers is better than none', () => {
    const machine = serving()
    const event: DeviceEvent = { kind: 'releaseBroke', sha256: baseline.sha256, problem }
    expect(machine.kinds(event)).toEqual(['persist', 'notify', 'serve', 'report'])
    expect(machine.slots().current).toBe('1.0.0')
    expect(machine.kinds(event)).toEqual([])
  })
})

describe('a proof that was made again', () => {
  it('is stored, told with the reason, and reported, and changes nothing of what serves', () => {
    const machine = canary()
    const before = machine.state.durable.models[0]?.current?.qualification
    const qualification = { ...before!, sha256: baseline.sha256, threads: 4 }
    const event: DeviceEvent = { kind: 'provedAgain', qualification, problem }
    const effects = machine.send(event)
    expect(effects.map(({ kind }) => kind)).toEqual(['persist', 'notify', 'report'])
    expect(effects[1]).toMatchObject({ notice: { kind: 'proved_again', problem } })
    expect(machine.state.durable.models[0]?.current?.qualification.threads).toBe(4)
    expect(machine.slots()).toEqual({ current: '1.0.0', candidate: '1.1.0', previous: null })
  })

  it('of a release that is not here means nothing', () => {
    const machine = serving()
    const qualification = {
      ...machine.state.durable.models[0]!.current!.qualification,
      sha256: aSha('other'),
    }
    expect(machine.kinds({ kind: 'provedAgain', qualification, problem })).toEqual([])
  })
})

describe('lost files', () => {
  it('are fetched again and are no failure of the release', () => {
    const machine = serving()
    machine.send({ kind: 'filesLost', sha256: baseline.sha256 })
    expect(machine.slots().current).toBeNull()
    expect(machine.state.job?.release.version).toBe('1.0.0')
    expect(machine.state.durable.failures).toEqual([])
    machine.install()
    expect(machine.slots().current).toBe('1.0.0')
  })
})

describe('a start', () => {
  it('serves what the disk says before anything else, and goes on where it stopped', () => {
    const before = serving()
    before.accept(anAssignment(2, [baseline, candidate]))
    const { durable } = before.state
    const machine = new Machine({ ...before.state, durable: JSON.parse(JSON.stringify(durable)) })
    const effects = machine.send({ kind: 'started' })
    expect(effects.map((effect) => effect.kind)).toEqual([
      'serve',
      'collectGarbage',
      'resolve',
      'report',
    ])
    expect(effects[0]).toMatchObject({ models: [{ current: { version: '1.0.0' } }] })
  })
})
