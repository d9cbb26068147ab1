/** Two-person approval: nobody approves what he published or created himself. */
import { expect, it } from 'vitest'
import type { Actor } from '../../controller/application.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { ada } from '../fixtures/controller-builder.ts'
import { buildSpec } from '../fixtures/rollout-builders.ts'
import { buildServingFleet } from '../fixtures/serving-fleet.ts'

const bob: Actor = { name: 'bob', role: 'operator' }
const eve: Actor = { name: 'eve', role: 'approver' }

it('neither the creator of a rollout nor the publisher of its release counts', async () => {
  const { fleet } = await buildServingFleet()
  const { application } = fleet.controller
  const { id, state } = unwrap(await application.createRollout(buildSpec({ approvals: 1 }), bob))
  expect(state).toBe('awaiting_approval')
  const approve = async (actor: Actor) => {
    const done = await application.commandRollout(id, 'approve', { full: false, note: '' }, actor)
    return done.ok ? done.value.state : done.error.code
  }
  // Ada published it, bob created the rollout.
  expect(await approve(ada)).toBe('rollout.same_person')
  expect(await approve(bob)).toBe('rollout.same_person')
  expect(await approve(eve)).toBe('ready')
  const refused = (await fleet.store.audit(50)).filter(({ outcome }) =>
    outcome.includes('same_person'),
  )
  expect(refused.map(({ actor }) => actor).toSorted()).toEqual(['ada', 'bob'])
})
