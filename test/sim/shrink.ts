/**
 * A failing scenario made smaller while the same checker still fails: fewer devices, fewer kinds of
 * faults, less time. Streams are split by name, so what remains keeps its luck.
 */
import { activeKinds, type FaultKind, planOf } from './faults.ts'
import type { Scenario } from './simulation.ts'

/** @param fails the checkers that a scenario violates. */
export async function shrink(
  failing: Scenario,
  checker: string,
  fails: (scenario: Scenario) => Promise<readonly string[]>,
): Promise<Scenario> {
  let smallest = failing
  const tryOne = async (candidate: Scenario): Promise<boolean> => {
    const stillFails = (await fails(candidate)).includes(checker)
    if (stillFails) smallest = candidate
    return stillFails
  }
  for (const kind of activeKinds(failing.faults)) await tryOne(withoutKind(smallest, kind))
  while (smallest.devices > 1) {
    const half = Math.floor(smallest.devices / 2)
    const isHalved = await tryOne({ ...smallest, devices: half })
    if (!isHalved && !(await tryOne({ ...smallest, devices: smallest.devices - 1 }))) break
  }
  while (smallest.minutes > 1) {
    if (!(await tryOne({ ...smallest, minutes: Math.floor(smallest.minutes / 2) }))) break
  }
  return smallest
}

function withoutKind(scenario: Scenario, gone: FaultKind): Scenario {
  return {
    ...scenario,
    faults: planOf((kind) => (kind === gone ? 0 : scenario.faults[kind])),
  }
}
