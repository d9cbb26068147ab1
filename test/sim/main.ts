/**
 * `linnet sim`: runs one seed, or `--runs` of them, and tells what happened. `--trace` prints the
 * story line by line; the same seed prints the same story. A run that fails is shrunk to fewer
 * devices and fewer faults, and printed as a line for seeds.jsonl.
 */
import { parseArgs } from 'node:util'
import { createPrng } from '../../shared/kernel/prng.ts'
import {
  activeKinds,
  drawFaults,
  type FaultPlan,
  isFaultKind,
  NO_FAULTS,
  planOf,
} from './faults.ts'
import { shrink } from './shrink.ts'
import {
  type Scenario,
  type SimulationOptions,
  type SimulationResult,
  simulate,
} from './simulation.ts'

const USAGE = `linnet sim [--seed N] [--runs N] [--devices N] [--minutes N]
           [--faults drawn|none|all|KIND,...] [--window-s N] [--requests-per-s X]
           [--signatures cheap|real] [--no-shrink] [--trace]`

const { values } = parseArgs({
  allowNegative: true,
  options: {
    seed: { type: 'string', default: '1' },
    runs: { type: 'string', default: '1' },
    devices: { type: 'string', default: '8' },
    minutes: { type: 'string', default: '120' },
    faults: { type: 'string', default: 'drawn' },
    'window-s': { type: 'string', default: '60' },
    'requests-per-s': { type: 'string', default: '5' },
    signatures: { type: 'string', default: 'cheap' },
    shrink: { type: 'boolean', default: true },
    trace: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

function faultsOf(text: string, seed: string): FaultPlan {
  if (text === 'none') return NO_FAULTS
  if (text === 'all') return planOf(() => 0.5)
  if (text === 'drawn') return drawFaults(createPrng(`linnet-sim/faults/${seed}`))
  const kinds = text.split(',')
  const unknown = kinds.find((kind) => !isFaultKind(kind))
  if (unknown !== undefined) throw new Error(`there is no fault ${unknown}`)
  return planOf((kind) => (kinds.includes(kind) ? 0.5 : 0))
}

async function main(): Promise<void> {
  if (values.help) {
    say(USAGE)
    return
  }
  for (let i = 0; i < Number(values.runs); i++) {
    const seed = i === 0 ? values.seed : `${Number(values.seed) + i}`
    if (!(await runSeed(seed))) process.exitCode = 1
  }
}

async function runSeed(seed: string): Promise<boolean> {
  const options: SimulationOptions = {
    seed,
    devices: Number(values.devices),
    minutes: Number(values.minutes),
    faults: faultsOf(values.faults, seed),
    windowMs: Number(values['window-s']) * 1_000,
    requestsPerS: Number(values['requests-per-s']),
    signatures: values.signatures === 'real' ? 'real' : 'cheap',
    print: values.trace ? say : undefined,
  }
  const kinds = activeKinds(options.faults).map((kind) => `${kind} ${options.faults[kind]}`)
  say(`seed ${seed}, ${options.devices} devices, faults: ${kinds.join(', ') || 'none'}`)
  const startedMs = performance.now()
  const result = await simulate(options)
  tell(result, performance.now() - startedMs)
  const [first] = result.violations
  if (first !== undefined && values.shrink) await tellSmallest(options, first.checker)
  return first === undefined
}

async function tellSmallest(options: SimulationOptions, checker: string): Promise<void> {
  const fails = async (scenario: Scenario): Promise<readonly string[]> => {
    const { violations } = await simulate({ ...options, ...scenario, print: undefined })
    return violations.map((violation) => violation.checker)
  }
  const { seed, devices, minutes, faults } = await shrink(options, checker, fails)
  const kinds = activeKinds(faults).map((kind) => [kind, faults[kind]])
  const line = { seed, devices, minutes, faults: Object.fromEntries(kinds), found: checker }
  say(`smallest: ${JSON.stringify(line)}`)
}

function tell(result: SimulationResult, wallMs: number): void {
  const { events, simulatedMs, rollouts, violations, healedMs, digest } = result
  const perSecond = Math.round((events / wallMs) * 1_000)
  const hours = (simulatedMs / 3_600_000).toFixed(1)
  const ends = rollouts.map(({ candidate, state }) => `${candidate} ${state}`)
  say(`${events} events, ${hours} h simulated in ${(wallMs / 1_000).toFixed(1)} s, ${perSecond}/s`)
  say(`${ends.join(', ')}; ${result.countedRequests} requests; trace ${digest.slice(0, 16)}`)
  if (healedMs !== null) say(`converged ${healedMs / 60_000} min after the faults healed`)
  for (const { checker, message } of violations) say(`${checker} VIOLATED: ${message}`)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

await main()
