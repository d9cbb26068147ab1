/**
 * `linnet sim`: runs one seed and tells what happened. `--trace` prints the story line by line; the
 * same seed prints the same story. A run that fails is shrunk to fewer devices and fewer faults.
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
import { type SimulationOptions, type SimulationResult, simulate } from './simulation.ts'

const USAGE = `linnet sim [--seed N] [--devices N] [--minutes N] [--faults drawn|none|all|KIND,...]
           [--window-s N] [--requests-per-s X] [--signatures cheap|real] [--trace]`

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    devices: { type: 'string', default: '8' },
    minutes: { type: 'string', default: '120' },
    faults: { type: 'string', default: 'drawn' },
    'window-s': { type: 'string', default: '60' },
    'requests-per-s': { type: 'string', default: '1' },
    signatures: { type: 'string', default: 'cheap' },
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
  if (values.help) return say(USAGE)
  const options: SimulationOptions = {
    seed: values.seed,
    devices: Number(values.devices),
    minutes: Number(values.minutes),
    faults: faultsOf(values.faults, values.seed),
    windowMs: Number(values['window-s']) * 1_000,
    requestsPerS: Number(values['requests-per-s']),
    signatures: values.signatures === 'real' ? 'real' : 'cheap',
    print: values.trace ? say : undefined,
  }
  const kinds = activeKinds(options.faults).map((kind) => `${kind} ${options.faults[kind]}`)
  say(`seed ${options.seed}, ${options.devices} devices, faults: ${kinds.join(', ') || 'none'}`)
  const startedMs = performance.now()
  const result = await simulate(options)
  tell(result, performance.now() - startedMs)
  process.exitCode = result.violations.length === 0 ? 0 : 1
}

function tell(result: SimulationResult, wallMs: number): void {
  const { events, simulatedMs, rollouts, violations, healedMs, digest } = result
  const perSecond = Math.round((events / wallMs) * 1_000)
  const hours = (simulatedMs / 3_600_000).toFixed(1)
  say(`${events} events, ${hours} h simulated in ${(wallMs / 1_000).toFixed(1)} s, ${perSecond}/s`)
  for (const { id, candidate, state, sentence } of rollouts) {
    say(`${id} ${candidate}: ${state}. ${sentence}`)
  }
  if (healedMs !== null) say(`converged ${healedMs / 60_000} min after the faults healed`)
  for (const { checker, message } of violations) say(`${checker} VIOLATED: ${message}`)
  say(`${result.countedRequests} requests counted; trace ${digest.slice(0, 16)}`)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

await main()
