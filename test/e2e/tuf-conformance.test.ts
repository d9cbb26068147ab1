/**
 * `linnet tuf-client` as the public conformance suite runs it: every row in this process, some with
 * the built program and in Chromium. The rows are in tuf-scenarios*.ts.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { runTufClient } from '../../controller/cli/tuf-client.ts'
import { CHROMIUM, withoutChromium } from '../agent/browser/chromium.ts'
import { runLinnet } from './programs.ts'
import { METADATA_SCENARIOS, type Scenario } from './tuf-scenarios.ts'
import { DELEGATION_SCENARIOS } from './tuf-scenarios-delegations.ts'
import { UPDATE_SCENARIOS } from './tuf-scenarios-update.ts'
import { type RunClient, World } from './tuf-world.ts'

const DAY_MS = 86_400_000
const SCENARIOS = [...METADATA_SCENARIOS, ...UPDATE_SCENARIOS, ...DELEGATION_SCENARIOS]

const inThisProcess: RunClient = async (args, days) => {
  const nowMs = Date.now() + days * DAY_MS
  const clock = vi.spyOn(Date, 'now').mockReturnValue(nowMs)
  try {
    return await runTufClient(args)
  } finally {
    clock.mockRestore()
  }
}

const byTheBuiltProgram: RunClient = async (args) =>
  Number((await runLinnet(['tuf-client', ...args], {})).code)

const inChromium: RunClient = (args, days) =>
  inThisProcess(args.includes('init') ? args : ['--browser', ...args], days)

async function play({ init, steps }: Scenario, run: RunClient, daysMax: number): Promise<void> {
  const world = await World.open(run)
  try {
    init?.(world)
    expect(await world.init()).toBe(0)
    expect(world.requests).toEqual([])
    for (const [i, step] of steps.entries()) {
      if ((step.days ?? 0) > daysMax) continue
      const where = `step ${i + 1}`
      expect(await world.run(step), where).toBe(step.exit)
      if (step.asks !== undefined) expect(world.requests, where).toEqual(step.asks)
      if (step.asksLast !== undefined) expect(world.requests.at(-1), where).toBe(step.asksLast)
      if (step.trusts !== undefined) expect(await world.trusted(), where).toEqual(step.trusts)
      if (step.has !== undefined) expect(await world.downloads(), where).toEqual(step.has)
      const root = await world.trustedBytes('root')
      expect(served(world), where).toContain(Buffer.from(root).toString('hex'))
    }
  } finally {
    await world.close()
  }
}

/** What is kept is what some server sent, byte by byte. */
const served = (world: World): string[] =>
  [world.initialRoot, ...world.repository.files.values()].map((bytes) =>
    Buffer.from(bytes).toString('hex'),
  )

beforeEach(() => void vi.spyOn(process.stderr, 'write').mockReturnValue(true))
afterEach(() => void vi.restoreAllMocks())

describe('linnet tuf-client', () => {
  it.each(SCENARIOS.map((row) => [row.name, row] as const))('%s', async (_, row) => {
    await play(row, inThisProcess, 1_000)
  })
})

it('linnet tuf-client --help is the interface, and no command at all is refused with it', async () => {
  const printed = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  expect(await runTufClient(['--help'])).toBe(0)
  const usage = String(printed.mock.calls[0]?.[0])
  for (const word of ['--metadata-dir', '--target-base-url', 'init ROOT | refresh | download']) {
    expect(usage).toContain(word)
  }
  expect(await runTufClient([])).toBe(1)
})

const everywhere = SCENARIOS.filter((row) => row.everywhere).map((row) => [row.name, row] as const)

describe('the built linnet tuf-client', () => {
  it.each(everywhere)('%s', async (_, row) => {
    await play(row, byTheBuiltProgram, 0)
  })
})

describe.skipIf(withoutChromium)(`linnet tuf-client --browser in ${CHROMIUM}`, () => {
  it.each(everywhere)('%s', { timeout: 60_000 }, async (_, row) => {
    await play(row, inChromium, 1_000)
  })
})
