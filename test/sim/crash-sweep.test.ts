/**
 * The first device that comes to one effect of one update path loses its power exactly there, and the
 * fleet converges all the same. Rows in the manner of Mender's state tests: each crash point is data.
 */
import { describe, expect, it } from 'vitest'
import { NO_FAULTS } from './faults.ts'
import { type SimulationOptions, type SimulationResult, simulate } from './simulation.ts'

/** What the trace says when a path begins. */
const PATHS = {
  install: { versions: ['1.0.0'], begins: 'boot 1', ends: ['promoted'] },
  promote: {
    versions: ['1.0.0', '1.1.0'],
    begins: 'operator start: 1.1.0',
    ends: ['promoted', 'promoted'],
  },
  rollback: {
    versions: ['1.0.0', '1.2.0'],
    begins: '"action":"rollback"',
    ends: ['promoted', 'rolled_back'],
  },
} as const
type Path = keyof typeof PATHS

const SAVE = ['save: write', 'save: sync', 'save: rename', 'save: sync folder', 'save: done']
const SERVE = ['serve: begin', 'serve: done']
const BRING = [
  'cache: write',
  'cache: written',
  'fetch: request',
  'fetch: write',
  'fetch: sync',
  'fetch: rename',
  'verify: read',
  'qualify: begin',
  'qualify: done',
]
const TELL = ['collect garbage', 'publish up/report', 'publish up/telemetry']
const SPOOL = ['spool: write', 'spool: sync']

const EFFECTS: Readonly<Record<Path, readonly string[]>> = {
  install: ['metadata: write', ...BRING, ...SAVE, ...SERVE, ...TELL, ...SPOOL],
  promote: [...BRING, ...SAVE, ...SERVE, ...TELL, ...SPOOL],
  rollback: [...SAVE, ...SERVE, ...TELL, 'cache: remove', ...SPOOL],
}

const ROWS = (Object.keys(EFFECTS) as Path[]).flatMap((path) =>
  EFFECTS[path].map((effect) => ({ path, effect })),
)

async function crashAt(path: Path, goes: (effect: string) => boolean): Promise<SimulationResult> {
  let hasBegun = false
  const options: SimulationOptions = {
    ...{ seed: 11, devices: 2, minutes: 0, faults: NO_FAULTS, livenessMinutesMax: 60 },
    ...{ windowMs: 10_000, requestsPerS: 40, versions: PATHS[path].versions },
    print(line) {
      hasBegun ||= line.includes(PATHS[path].begins)
    },
    goesAt: (_device, effect) => hasBegun && goes(effect),
  }
  return simulate(options)
}

describe('a power cut at each effect of an update', () => {
  it.each(ROWS)('$path: $effect', async ({ path, effect }) => {
    let hasCrashed = false
    const result = await crashAt(path, (found) => {
      const goes = found === effect && !hasCrashed
      hasCrashed ||= goes
      return goes
    })
    expect(result.violations).toEqual([])
    expect(result.rollouts.map(({ state }) => state)).toEqual(PATHS[path].ends)
    expect(hasCrashed).toBe(true)
  })
})

describe('a controller that dies at a batch', () => {
  const rows = [1, 2, 3, 4, 5, 8, 13, 21].flatMap((batch) =>
    (['before batch', 'after batch'] as const).map((when) => ({ batch, when })),
  )

  it.each(rows)('$when $batch, with messages waiting to be published', async ({ batch, when }) => {
    let isPublished = false
    let batches = 0
    const result = await simulate({
      ...{ seed: 12, devices: 2, minutes: 0, faults: NO_FAULTS, livenessMinutesMax: 60 },
      ...{ windowMs: 10_000, requestsPerS: 40, versions: ['1.0.0', '1.1.0'] },
      print(line) {
        isPublished ||= line.includes('publisher published')
      },
      diesAt(effect) {
        if (!isPublished) return false
        if (effect === 'before batch') batches += 1
        return effect === when && batches === batch
      },
    })
    expect(batches).toBeGreaterThanOrEqual(batch)
    expect(result.violations).toEqual([])
    expect(result.rollouts.map(({ state }) => state)).toEqual(['promoted', 'promoted'])
  })
})
