import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AssignedSlot } from '../../../shared/model/assignment.ts'
import { isRefused, releaseOf } from '../../../shared/update/slots.ts'
import type { DeviceEffect, DeviceEvent, DeviceState } from '../../../shared/update/state.ts'
import { anAssignment, aQualification, aSha, aSlot } from '../../fixtures/device-builders.ts'
import { Machine } from './machine.ts'

const problem = { code: 'x.y', message: 'Something.' }
const MODELS = ['motor', 'camera']
const VERSIONS = ['1.0.0', '1.1.0', '1.2.0']
const SHAS = MODELS.flatMap((model) => VERSIONS.map((version) => aSha(`${model}@${version}`)))

const sha256 = fc.constantFrom(...SHAS)
const slotsOf = (model: string): fc.Arbitrary<AssignedSlot[]> =>
  fc
    .tuple(fc.constantFrom(...VERSIONS), fc.option(fc.constantFrom(...VERSIONS)))
    .map(([current, candidate]) => [
      aSlot('current', current, { model }),
      ...(candidate === null ? [] : [aSlot('candidate', candidate, { model })]),
    ])
const assignment = fc
  .tuple(
    fc.integer({ min: 0, max: 300 }),
    fc.constantFrom(1, 1, 1, 1, 1, 1, 2),
    fc.constantFrom('r1', 'r2'),
    ...MODELS.map((model) => fc.option(slotsOf(model), { nil: [] })),
  )
  .map(([generation, directorEpoch, id, ...slots]) =>
    anAssignment(generation, slots.flat(), {
      directorEpoch,
      rollout: MODELS.map((model) => ({ model, ref: { id, wave: 0 } })),
    }),
  )

const event: fc.Arbitrary<DeviceEvent> = fc.oneof(
  {
    weight: 6,
    arbitrary: assignment.map((value): DeviceEvent => {
      const digest = aSha(JSON.stringify(value))
      return { kind: 'assignmentAccepted', assignment: value, digest }
    }),
  },
  sha256.map((sha): DeviceEvent => ({ kind: 'resolved', sha256: sha })),
  sha256.map((sha): DeviceEvent => ({ kind: 'fetched', sha256: sha })),
  sha256.map((sha): DeviceEvent => ({ kind: 'verified', sha256: sha })),
  sha256.map((sha): DeviceEvent => {
    return { kind: 'qualified', sha256: sha, qualification: aQualification(sha) }
  }),
  fc.tuple(sha256, fc.constantFrom(true, true, false)).map(([sha, transient]): DeviceEvent => {
    return { kind: 'jobFailed', sha256: sha, problem, transient }
  }),
  sha256.map((sha): DeviceEvent => ({ kind: 'releaseBroke', sha256: sha, problem })),
  fc.integer({ min: 0, max: 40 }).map((plan): DeviceEvent => ({ kind: 'served', plan })),
  fc.constant<DeviceEvent>({ kind: 'tick' }),
  fc.constant<DeviceEvent>({ kind: 'started' }),
)

/** What a benevolent world would answer next, so that runs get somewhere; else a random event. */
const script = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constant('answer' as const) },
    { weight: 1, arbitrary: event },
  ),
  { minLength: 40, maxLength: 120, size: 'max' },
)

function answerTo(state: DeviceState): DeviceEvent {
  const { job, plan } = state
  if (job === null) return { kind: 'served', plan }
  const sha = job.release.sha256
  switch (job.phase) {
    case 'resolving':
      return { kind: 'resolved', sha256: sha }
    case 'fetching':
      return { kind: 'fetched', sha256: sha }
    case 'verifying':
      return { kind: 'verified', sha256: sha }
    default:
      return { kind: 'qualified', sha256: sha, qualification: aQualification(sha) }
  }
}

type Check = (before: DeviceState, effects: readonly DeviceEffect[], after: DeviceState) => void

/** Runs any history, and looks at every single step. */
function always(check: Check): void {
  const run = fc.property(script, (steps) => {
    const machine = new Machine()
    for (const item of steps) {
      const before = machine.state
      machine.nowMs += 5_000
      const effects = machine.send(item === 'answer' ? answerTo(before) : item)
      check(before, effects, machine.state)
    }
  })
  fc.assert(run, { numRuns: 60, seed: 2026 })
}

describe('after any history', () => {
  it('the order of assignments never goes back', () => {
    always((before, _, after) => {
      const [a, b] = [before.durable.order, after.durable.order]
      const grows =
        b.directorEpoch > a.directorEpoch ||
        (b.directorEpoch === a.directorEpoch && b.generation >= a.generation)
      expect(grows).toBe(true)
    })
  })

  it('a model that had a current release still has one', () => {
    always((before, _, after) => {
      for (const { model, current } of before.durable.models) {
        if (current === null) continue
        const now = after.durable.models.find((slots) => slots.model === model)
        expect(now?.current).not.toBeNull()
        expect(now).toBeDefined()
      }
    })
  })

  it('what is durable changes only together with `persist`, which comes before `serve`', () => {
    always((before, effects, after) => {
      const kinds = effects.map((effect) => effect.kind)
      const persist = effects.find((effect) => effect.kind === 'persist')
      if (before.durable !== after.durable) expect(persist?.durable).toEqual(after.durable)
      if (!kinds.includes('persist') || !kinds.includes('serve')) return
      expect(kinds.indexOf('persist')).toBeLessThan(kinds.indexOf('serve'))
    })
  })

  it('`serve` asks for exactly what the durable state says, under the newest plan', () => {
    always((_, effects, after) => {
      const serve = effects.find((effect) => effect.kind === 'serve')
      if (serve === undefined) return
      expect(serve).toMatchObject({ plan: after.plan, models: after.durable.models })
    })
  })

  it('every release in a slot was qualified on this device', () => {
    always((_, __, after) => {
      for (const slots of after.durable.models) {
        for (const release of [slots.current, slots.candidate, slots.previous]) {
          if (release !== null) expect(release.qualification.sha256).toBe(release.sha256)
        }
      }
    })
  })

  it('no job is started for a release that failed under the rollout that asks for it', () => {
    always((before, _, after) => {
      if (after.job === null || after.job === before.job) return
      expect(isRefused(after.durable, after.job.release)).toBe(false)
    })
  })

  it('no candidate gets traffic without a current beside it, nor more than assigned', () => {
    always((_, __, after) => {
      for (const slots of after.durable.models) {
        if (slots.candidate === null) expect(slots.trafficShare).toBe(0)
        else expect(slots.current).not.toBeNull()
        const wanted = after.durable.desired?.slots.find(
          (slot) => slot.slot === 'candidate' && slot.model === slots.model,
        )
        expect(slots.trafficShare).toBeLessThanOrEqual(wanted?.trafficShare ?? 0)
      }
    })
  })

  it('going back to what stands in `previous` takes no download', () => {
    let seen = 0
    always((before, _, after) => {
      const serving = after.durable.models.find((slots) => slots.previous !== null)
      if (serving?.previous == null || before === after) return
      const { target, sha256: sha, model } = serving.previous
      const slot = aSlot('current', '0.0.0', { model, target, sha256: sha })
      if (isRefused(after.durable, releaseOf(slot))) return
      seen += 1
      const machine = new Machine(after)
      const { directorEpoch, generation } = after.durable.order
      machine.accept(anAssignment(generation + 1, [slot], { directorEpoch, rollout: [] }))
      const now = machine.state.durable.models.find((slots) => slots.model === model)
      expect(now?.current?.target).toBe(target)
    })
    // The histories must get that far, or nothing was tested.
    expect(seen).toBeGreaterThan(100)
  })

  it('garbage collection keeps what is installed and what is wanted', () => {
    always((_, effects, after) => {
      const collect = effects.find((effect) => effect.kind === 'collectGarbage')
      if (collect === undefined) return
      const installed = after.durable.models.flatMap((m) => [m.current, m.candidate, m.previous])
      const needed = [...installed, ...after.durable.staged].flatMap((r) => r?.sha256 ?? [])
      const wanted = after.durable.desired?.slots.map((slot) => slot.sha256) ?? []
      expect(collect.keep).toEqual(expect.arrayContaining([...needed, ...wanted]))
    })
  })

  it('state, effects and events are JSON: a copy by JSON goes on the same way', () => {
    always((_, effects, after) => {
      expect(JSON.parse(JSON.stringify([effects, after]))).toEqual([effects, after])
    })
  })
})
