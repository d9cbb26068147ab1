/**
 * `fuzz`: 100,000 changed inputs of strangers (metadata, assignments, tokens, messages, enrolments,
 * packets, audit trails, models, golden vectors), and the worst documents that fit the limits: never accepted, never a crash, each within
 * 50 ms and 64 MB. Of changed inputs the median wall time counts, of documents the CPU time, so that
 * a busy machine does not.
 */

import { createPrng } from '../../shared/kernel/prng.ts'
import { type FuzzSubject, fuzzSubjects, mutate } from '../../test/attack/fuzz-subjects.ts'
import { hostileDocuments } from '../../test/attack/hostile-documents.ts'
import { type BenchReport, type Figure, figure } from './report.ts'

const INPUTS = 100_000
const MS_MAX = 50
const MB_MAX = 64
const MIB = 1_048_576
const ROUNDS = 7

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
  const times: number[] = []
  const sizes: number[] = []
  let wrong = 0
  for (let i = 0; i < inputs; i++) {
    const origin = random.below(honest.length)
    const bytes = mutate(honest[origin]!, random)
    const heapBefore = process.memoryUsage().heapUsed
    const startedMs = performance.now()
    try {
      if (judge(bytes, origin) === 'accepted') wrong += 1
    } catch (cause) {
      wrong += 1
      process.stderr.write(`${name}: ${String(cause)}\n`)
    }
    times.push(performance.now() - startedMs)
    sizes.push(Math.max(0, process.memoryUsage().heapUsed - heapBefore) / MIB)
  }
  const of = `${inputs} changed ${name}`
  return [
    figure({ case: of, metric: 'accepted or crashed', limit: 0 }, [wrong]),
    figure({ case: of, metric: 'ms', limit: MS_MAX }, times),
    figure({ case: of, metric: 'MB allocated', limit: MB_MAX }, sizes),
  ]
}

function worstDocuments(): Figure[] {
  return hostileDocuments().flatMap(({ name, read, outcome }) => {
    const times: number[] = []
    const sizes: number[] = []
    let wrong = 0
    for (let round = 0; round < ROUNDS; round++) {
      const { heapUsed, arrayBuffers } = process.memoryUsage()
      const before = process.cpuUsage()
      if (read() !== outcome) wrong += 1
      const { user, system } = process.cpuUsage(before)
      times.push((user + system) / 1_000)
      const after = process.memoryUsage()
      const grown = after.heapUsed - heapUsed + after.arrayBuffers - arrayBuffers
      sizes.push(Math.max(0, grown) / MIB)
    }
    return [
      figure({ case: name, metric: 'read otherwise than it should be', limit: 0 }, [wrong]),
      figure({ case: name, metric: 'CPU ms', limit: MS_MAX }, times),
      figure({ case: name, metric: 'MB allocated', limit: MB_MAX }, sizes),
    ]
  })
}
