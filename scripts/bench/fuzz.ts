/**
 * `fuzz`: 100,000 changed inputs of strangers (metadata, assignments, tokens, messages, enrolments,
 * packets, audit trails, models, golden vectors), and the worst documents that fit the limits: never
 * accepted, never a crash, each within 50 ms and 64 MB. The slowest and the largest of all inputs
 * count, by CPU time, so that a busy machine does not; one over a limit is read twice more, and its
 * least figures are taken, so that a collection of garbage does not either.
 */

import { createPrng } from '../../shared/kernel/prng.ts'
import { type FuzzSubject, fuzzSubjects, mutate } from '../../test/attack/fuzz-subjects.ts'
import { hostileDocuments } from '../../test/attack/hostile-documents.ts'
import { type BenchReport, type Figure, figure } from './report.ts'

const INPUTS = 100_000
const MS_MAX = 50
const MB_MAX = 64
const MIB = 1_048_576
/** Of an input over a limit. */
const TRIES = 3

export async function run(): Promise<BenchReport> {
  const subjects = fuzzSubjects()
  const each = Math.ceil(INPUTS / subjects.length)
  return {
    bench: 'fuzz',
    results: [...subjects.flatMap((subject) => fuzz(subject, each)), ...worstDocuments()],
  }
}

function fuzz({ name, honest, judge }: FuzzSubject, inputs: number): Figure[] {
  const random = createPrng(`fuzz ${name} long`)
  let [wrong, ms, mb] = [0, 0, 0]
  for (let i = 0; i < inputs; i++) {
    const origin = random.below(honest.length)
    const bytes = mutate(honest[origin]!, random)
    const cost = leastCost(() => {
      try {
        if (judge(bytes, origin) === 'accepted') wrong += 1
      } catch (cause) {
        wrong += 1
        process.stderr.write(`${name}: ${String(cause)}\n`)
      }
    })
    ms = Math.max(ms, cost.ms)
    mb = Math.max(mb, cost.mb)
  }
  return figures(`${inputs} changed ${name}`, { wrong, ms, mb })
}

function worstDocuments(): Figure[] {
  return hostileDocuments().flatMap(({ name, read, outcome }) => {
    let wrong = 0
    const cost = leastCost(() => {
      if (read() !== outcome) wrong += 1
    })
    return figures(name, { wrong, ...cost })
  })
}

interface Cost {
  readonly ms: number
  readonly mb: number
}

function leastCost(read: () => void): Cost {
  let least = costOf(read)
  for (let again = 1; again < TRIES && (least.ms > MS_MAX || least.mb > MB_MAX); again++) {
    const { ms, mb } = costOf(read)
    least = { ms: Math.min(least.ms, ms), mb: Math.min(least.mb, mb) }
  }
  return least
}

function costOf(read: () => void): Cost {
  const before = process.memoryUsage()
  const cpuBefore = process.cpuUsage()
  read()
  const { user, system } = process.cpuUsage(cpuBefore)
  const after = process.memoryUsage()
  const grown = after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers
  return { ms: (user + system) / 1_000, mb: Math.max(0, grown) / MIB }
}

function figures(of: string, { wrong, ms, mb }: Cost & { readonly wrong: number }): Figure[] {
  return [
    figure({ case: of, metric: 'accepted, crashed or misread', limit: 0 }, [wrong]),
    figure({ case: of, metric: 'CPU ms, the slowest', limit: MS_MAX }, [ms]),
    figure({ case: of, metric: 'MB allocated, the most', limit: MB_MAX }, [mb]),
  ]
}
