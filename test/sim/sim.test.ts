import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { FAULT_KINDS, type FaultKind, NO_FAULTS, planOf } from './faults.ts'
import { STORY } from './publisher.ts'
import { type SimulationOptions, type SimulationResult, simulate } from './simulation.ts'
import { World } from './world.ts'

/** Small and quick: short windows, many requests. */
const QUICK = { windowMs: 10_000, requestsPerS: 40, seed: 1, devices: 3, minutes: 0 } as const
const FIRST_THREE = ['1.0.0', '1.1.0', '1.2.0']

function run(options: Partial<SimulationOptions> = {}): Promise<SimulationResult> {
  return simulate({ ...QUICK, faults: NO_FAULTS, versions: FIRST_THREE, ...options })
}

function ends({ rollouts }: SimulationResult): string[] {
  return rollouts.map(({ candidate, state }) => `${candidate} ${state}`)
}

describe('a simulated fleet without faults', () => {
  it('promotes good releases and rolls bad ones back, also those bad on one profile alone', async () => {
    const versions = STORY.map(({ version }) => version)
    const result = await run({ versions, devices: 6 })
    expect(result.violations).toEqual([])
    expect(ends(result)).toEqual(STORY.map((part) => `${part.version} ${part.ends}`))
  })

  it('does so with real Ed25519 signatures too', async () => {
    const result = await run({ signatures: 'real', devices: 2 })
    expect(result.violations).toEqual([])
    expect(ends(result)).toEqual(['1.0.0 promoted', '1.1.0 promoted', '1.2.0 rolled_back'])
  })
})

describe('one seed, one story', () => {
  const wild = planOf(() => 0.4)

  it('gives the same trace twice, and another one for another seed', async () => {
    const options = { faults: wild, minutes: 4, versions: ['1.0.0'], livenessMinutesMax: 10 }
    const [first, again, other] = [
      await run(options),
      await run(options),
      await run({ ...options, seed: 2 }),
    ]
    expect(again).toEqual(first)
    expect(other.digest).not.toBe(first.digest)
  })

  it('gives each label a stream of its own', () => {
    const draw = (labels: readonly string[]): number => {
      const world = new World(7)
      for (const label of labels) world.prng(label).u32()
      return world.prng('device/d0').u32()
    }
    expect(draw(['device/d1', 'device/d2'])).toBe(draw([]))
  })
})

/**
 * How hard each kind blows here: as hard as it can while good and bad releases must still be told
 * apart. What happens beyond is the drawn seeds' to find out.
 */
const GALES: Readonly<Record<FaultKind, number>> = {
  ...planOf(() => 0.5),
  // A file that is wrong twice in a row counts as refused by the device, and may roll back.
  corrupted: 0.1,
  clock: 1,
  controller_crash: 1,
}

describe('the same story with one kind of fault', () => {
  it.each(FAULT_KINDS)('%s', async (kind) => {
    const faults = planOf((other) => (other === kind ? GALES[kind] : 0))
    const result = await run({ faults, minutes: 20, seed: 3 })
    expect(result.violations).toEqual([])
    expect(result.healedMs).not.toBeNull()
    expect(ends(result)).toEqual(['1.0.0 promoted', '1.1.0 promoted', '1.2.0 rolled_back'])
  })
})

interface Seed {
  readonly seed: string
  readonly devices: number
  readonly minutes: number
  readonly faults: Partial<Record<FaultKind, number>>
  /** What it once found. */
  readonly found: string
}

const SEEDS: readonly Seed[] = readFileSync(new URL('seeds.jsonl', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line))

describe('seeds that once failed', () => {
  it.each(SEEDS)('$seed: $found', async ({ seed, devices, minutes, faults }) => {
    const plan = planOf((kind) => faults[kind] ?? 0)
    const versions = STORY.map(({ version }) => version)
    const scenario = { seed, devices, minutes, versions }
    const result = await run({ ...scenario, faults: plan, windowMs: 60_000, requestsPerS: 5 })
    expect(result.violations).toEqual([])
  })
})
