import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { unwrap } from '../../../shared/kernel/result.ts'
import { COMMANDS } from '../../../shared/rollout/commands.ts'
import {
  isFinal,
  ROLLOUT_STATES,
  type Rollout,
  type RolloutCommand,
  type RolloutEvent,
  type RolloutStateName,
} from '../../../shared/rollout/state.ts'
import { step } from '../../../shared/rollout/step.ts'
import {
  buildRollout,
  buildSpec,
  buildTargeted,
  buildVerdict,
  runningRollout,
  startMs,
} from '../../fixtures/rollout-builders.ts'

const command = (name: RolloutCommand, more: { actor?: string; full?: boolean } = {}) => ({
  kind: 'command' as const,
  command: name,
  actor: more.actor ?? 'ada',
  full: more.full ?? false,
  note: '',
})
const observed = (
  verdict: ReturnType<typeof buildVerdict> | null,
  devices = [buildTargeted()],
): RolloutEvent => ({ kind: 'observed', devices, verdict })

const apply = (rollout: Rollout, event: RolloutEvent, nowMs = startMs) =>
  unwrap(step(rollout, event, nowMs))

const anyState = fc.constantFrom(...(Object.keys(ROLLOUT_STATES) as RolloutStateName[]))
const anyCommand = fc.constantFrom(...(Object.keys(COMMANDS) as RolloutCommand[]))
const anyDevice = fc.record({
  device: fc.constantFrom('d1', 'd2', 'd3'),
  profile: fc.constantFrom('raspberry-pi-5', 'intel-n100'),
  online: fc.boolean(),
  candidate: fc.constantFrom('absent' as const, 'installing', 'serving', 'failed'),
  failureCode: fc.constantFrom(null, 'golden.mismatch'),
})
const anyEvent: fc.Arbitrary<RolloutEvent> = fc.oneof(
  fc.record({
    kind: fc.constant('command' as const),
    command: anyCommand,
    actor: fc.constantFrom('ada', 'bob'),
    full: fc.boolean(),
    note: fc.constant(''),
  }),
  fc.record({
    kind: fc.constant('observed' as const),
    devices: fc.array(anyDevice, { maxLength: 4 }),
    verdict: fc.option(
      fc.constantFrom(buildVerdict('promote'), buildVerdict('rollback'), buildVerdict('hold')),
    ),
  }),
)

describe('a running wave', () => {
  it('goes on to the next wave on a promote verdict, and starts its clock anew', () => {
    const { rollout, records } = apply(
      runningRollout(),
      observed(buildVerdict('promote')),
      startMs + 5_000,
    )
    expect([rollout.state, rollout.wave, rollout.wavePhase]).toEqual(['running', 1, 'starting'])
    expect(rollout.waveStartedAtMs).toBe(startMs + 5_000)
    expect(records.map(({ action, wave }) => [action, wave])).toEqual([['promote', 0]])
    expect(records[0]?.verdict?.decision).toBe('promote')
  })

  it('is promoted by the verdict of its last wave', () => {
    const { rollout } = apply(runningRollout({ wave: 1 }), observed(buildVerdict('promote')))
    expect([rollout.state, rollout.endedAtMs]).toEqual(['promoted', startMs])
  })

  it('does not advance before its minimum time', () => {
    const [first, second] = buildSpec().waves
    const spec = buildSpec({ waves: [{ ...first!, minSeconds: 60 }, second!] })
    const before = apply(
      runningRollout({ spec }),
      observed(buildVerdict('promote')),
      startMs + 59_999,
    )
    expect(before.rollout.wave).toBe(0)
    const after = apply(
      runningRollout({ spec }),
      observed(buildVerdict('promote')),
      startMs + 60_000,
    )
    expect(after.rollout.wave).toBe(1)
  })

  it('rolls back at once on a rollback verdict, whatever the minimum time', () => {
    const { rollout, records } = apply(runningRollout(), observed(buildVerdict('rollback')))
    expect([rollout.state, rollout.reason.code]).toEqual(['rolling_back', 'guardrail'])
    expect(records[0]?.verdict?.decision).toBe('rollback')
  })

  it('waits without data, and pauses when its time is over: no data is never success', () => {
    const waiting = apply(runningRollout(), observed(null, []), startMs + 599_000)
    expect([waiting.rollout.state, waiting.records.length]).toEqual(['running', 0])
    const over = apply(runningRollout(), observed(null, []), startMs + 600_000)
    expect([over.rollout.state, over.rollout.reason.code]).toEqual(['paused', 'undecided'])
  })

  it('rolls back instead where the specification says so', () => {
    const spec = buildSpec({ onHold: 'rollback' })
    const { rollout } = apply(runningRollout({ spec }), observed(null, []), startMs + 600_000)
    expect(rollout.state).toBe('rolling_back')
  })

  it('rolls back when more than a fifth of the reached devices cannot install it', () => {
    const failed = buildTargeted({ candidate: 'failed', failureCode: 'golden.mismatch' })
    const offline = buildTargeted({ candidate: 'absent', online: false })
    const serving = buildTargeted()
    const fifth = [failed, serving, serving, serving, serving]
    expect(apply(runningRollout(), observed(null, fifth)).rollout.state).toBe('running')
    const hidden = [failed, serving, serving, offline, offline, offline]
    const { rollout } = apply(runningRollout(), observed(null, hidden))
    expect([rollout.state, rollout.reason.code]).toEqual(['rolling_back', 'install_failures'])
    expect(rollout.reason.sentence).toContain('1 of 3 devices of wave 1')
  })

  it('rolls back when the only device of a profile stopped the candidate by itself', () => {
    const tripped = buildTargeted({
      ...{ device: 'd9', profile: 'intel-n100', candidate: 'failed' },
      failureCode: 'guard.latency',
    })
    const others = ['d1', 'd2', 'd3'].map((device) => buildTargeted({ device }))
    const { rollout, records } = apply(runningRollout(), observed(null, [...others, tripped]))
    expect([rollout.state, rollout.reason.code]).toEqual(['rolling_back', 'guard_trips'])
    expect(rollout.reason.sentence).toBe(
      'The only device of intel-n100 took it out of service by local guard (guard.latency).',
    )
    expect(records.map(({ action }) => action)).toEqual(['rollback'])
    // One of the same profile that is out of reach, or never could install it, is no second witness.
    const away = buildTargeted({ ...tripped, device: 'd8', candidate: 'absent', online: false })
    const unfit = { ...tripped, device: 'd7', failureCode: 'variant.none_fits' }
    const devices = [...others, ...others, ...others, tripped, away, unfit]
    expect(apply(runningRollout(), observed(null, devices)).rollout.reason.code).toBe('guard_trips')
  })

  it('takes one device among several for broken, and two for evidence', () => {
    const device = (name: string, more = {}) => buildTargeted({ device: name, ...more })
    const trip = { candidate: 'failed' as const, failureCode: 'guard.error_rate' }
    const one = [device('d1', trip), device('d2'), device('d3')]
    const waiting = apply(runningRollout(), observed(null, one)).rollout
    expect(waiting.state).toBe('running')
    expect(waiting.reason.sentence).toBe(
      'Wave 1 of 2: 2 of 3 devices serve it; no evidence yet. ' +
        '1 device took it out of service by local guard (guard.error_rate).',
    )
    const two = apply(runningRollout(), observed(null, [...one, device('d4', trip)])).rollout
    expect(two.reason.sentence).toBe(
      '2 of 4 devices of wave 1 took it out of service by local guard (guard.error_rate).',
    )
    const many = Array.from({ length: 98 }, (_, i) => device(`e${i}`))
    const shares = [device('d1', trip), device('d2', trip), ...many]
    expect(apply(runningRollout(), observed(null, shares)).rollout.state).toBe('running')
  })

  it.each([
    [[], 'no device is targeted yet.'],
    [
      [buildTargeted({ candidate: 'absent' }), buildTargeted({ candidate: 'installing' })],
      'waiting for the first of 2 devices to serve it.',
    ],
    [
      [buildTargeted({ online: false }), buildTargeted({ candidate: 'absent', online: false })],
      'all its 2 devices are offline; it goes on when one returns.',
    ],
    [
      [
        ...[1, 2, 3, 4].map(() => buildTargeted()),
        buildTargeted({ candidate: 'failed', failureCode: 'variant.none_fits' }),
      ],
      '4 of 5 devices serve it; no evidence yet. 1 device did not install it (variant.none_fits).',
    ],
  ])('says what a wave waits for: %#', (devices, sentence) => {
    const { reason } = apply(runningRollout(), observed(null, devices)).rollout
    expect(reason.sentence).toBe(`Wave 1 of 2: ${sentence}`)
  })

  it('says that a wave within its limits waits for its minimum time alone', () => {
    const [wave] = buildSpec().waves
    const spec = buildSpec({ waves: [{ ...wave!, minSeconds: 60 }] })
    const { reason } = apply(runningRollout({ spec }), observed(buildVerdict('promote'))).rollout
    expect(reason.sentence).toBe(
      'Wave 1 of 1: 1 of 1 device serves it. It says promote. ' +
        'It may go on 60 s after the wave began.',
    )
  })

  it('is rolled back once no reachable device serves it; offline ones follow', () => {
    const rolling = runningRollout({ state: 'rolling_back' })
    const still = apply(rolling, observed(null, [buildTargeted()]))
    expect(still.rollout.state).toBe('rolling_back')
    const { rollout } = apply(rolling, observed(null, [buildTargeted({ online: false })]))
    expect(rollout.state).toBe('rolled_back')
    expect(rollout.reason.sentence).toContain('1 offline device will follow')
  })
})

describe('commands', () => {
  it('refuses what does not fit the state, with the state it needs', () => {
    const refused = step(buildRollout(), command('pause'), startMs)
    expect(refused).toMatchObject({
      ok: false,
      error: { code: 'rollout.not_allowed', expected: 'state running', found: 'ready' },
    })
  })

  it('needs as many different people as the specification asks for', () => {
    const spec = buildSpec({ approvals: 2 })
    const waiting = buildRollout({ spec, state: 'awaiting_approval', createdBy: 'carl' })
    const own = step(waiting, command('approve', { actor: 'carl' }), startMs)
    expect(own).toMatchObject({ ok: false, error: { code: 'rollout.same_person' } })
    const once = apply(waiting, command('approve')).rollout
    const twice = apply(once, command('approve'))
    expect([twice.rollout.state, twice.records.length]).toEqual(['awaiting_approval', 0])
    expect(apply(once, command('approve', { actor: 'bob' })).rollout.state).toBe('ready')
  })

  it('promotes one wave, or all of them at once', () => {
    const next = apply(runningRollout(), command('promote')).rollout
    expect([next.state, next.wave]).toEqual(['running', 1])
    const full = apply(runningRollout(), command('promote', { full: true })).rollout
    expect(full.state).toBe('promoted')
  })

  it('is idempotent: what holds already changes nothing and leaves no record', () => {
    const gives = fc.record({ state: anyState, name: anyCommand })
    fc.assert(
      fc.property(gives, ({ state, name }) => {
        // A step forward is a new one each time, until there is none left.
        fc.pre(name !== 'promote')
        const first = step(buildRollout({ state }), command(name), startMs)
        if (!first.ok) return
        const again = step(first.value.rollout, command(name), startMs + 1)
        if (!again.ok) throw new Error(`${name} in ${first.value.rollout.state}`)
        expect(again.value).toEqual({ rollout: first.value.rollout, records: [] })
      }),
    )
  })
})

describe('whatever happens', () => {
  it('never advances a wave without a promote verdict or a person, and never goes back', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 25 }), (events) => {
        let rollout = buildRollout()
        for (const [i, event] of events.entries()) {
          const result = step(rollout, event, startMs + i * 1_000)
          if (!result.ok) continue
          const next = result.value.rollout
          expect(next.wave).toBeGreaterThanOrEqual(rollout.wave)
          const advanced =
            next.wave > rollout.wave ||
            (next.state === 'promoted') !== (rollout.state === 'promoted')
          if (advanced && next.state !== 'rolling_back') {
            const [record] = result.value.records
            const byPerson = event.kind === 'command' && record?.actor === event.actor
            expect(byPerson || record?.verdict?.decision === 'promote').toBe(true)
          }
          if (isFinal(rollout) && rollout.state !== 'promoted') expect(next).toBe(rollout)
          if (next.state !== rollout.state) expect(result.value.records).toHaveLength(1)
          rollout = next
        }
      }),
    )
  })

  it('says in its records where it came from and where it went', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 25 }), (events) => {
        let rollout = buildRollout()
        let state = rollout.state
        for (const [i, event] of events.entries()) {
          const result = step(rollout, event, startMs + i * 1_000)
          if (!result.ok) continue
          rollout = result.value.rollout
          for (const record of result.value.records) {
            expect(record.from).toBe(state)
            state = record.to
          }
        }
        expect(rollout.state).toBe(state)
      }),
    )
  })
})
