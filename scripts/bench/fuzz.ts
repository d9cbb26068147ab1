/**
 * `fuzz`: 100,000 changed inputs of strangers (metadata, assignments, tokens, frames, enrolments,
 * packets), and the worst documents that fit the limits: never accepted, never a crash, each within
 * 50 ms and 64 MB. Of changed inputs the median wall time counts, of documents the CPU time, so that
 * a busy machine does not.
 */

import { utf8 } from '../../shared/kernel/bytes.ts'
import { createPrng } from '../../shared/kernel/prng.ts'
import { openEnvelope } from '../../shared/signing/envelope.ts'
import { defaultTufLimits, jsonLimits } from '../../shared/signing/tuf/limits.ts'
import { type FuzzSubject, fuzzSubjects, mutate } from '../../test/attack/fuzz-subjects.ts'
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

/** As large as targets metadata may be, and as bad as JSON can be within that. */
function worstDocuments(): Figure[] {
  const bytesMax = defaultTufLimits.targetsBytesMax
  const { valuesMax } = jsonLimits(bytesMax)
  const wrap = (body: string): Uint8Array => utf8(`{"signed":{"a":${body}},"signatures":[]}`)
  const room = bytesMax - 100
  const documents: Readonly<Record<string, Uint8Array>> = {
    numbers: wrap(`[${'1,'.repeat(valuesMax - 10)}1]`),
    'a string of quotes': wrap(`"${'\\"'.repeat(room / 2)}"`),
    'a string of quotes and line ends': wrap(`"${'\\n\\"'.repeat(room / 4)}"`),
    'too many values': utf8('[],'.repeat(bytesMax / 3)),
    'nested brackets': utf8('['.repeat(bytesMax)),
  }
  return Object.entries(documents).flatMap(([name, bytes]) => {
    const times: number[] = []
    const sizes: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const { heapUsed, arrayBuffers } = process.memoryUsage()
      const before = process.cpuUsage()
      openEnvelope(bytes, jsonLimits(bytesMax))
      const { user, system } = process.cpuUsage(before)
      times.push((user + system) / 1_000)
      const after = process.memoryUsage()
      const grown = after.heapUsed - heapUsed + after.arrayBuffers - arrayBuffers
      sizes.push(Math.max(0, grown) / MIB)
    }
    const of = `a targets file of ${name}`
    return [
      figure({ case: of, metric: 'CPU ms', limit: MS_MAX }, times),
      figure({ case: of, metric: 'MB allocated', limit: MB_MAX }, sizes),
    ]
  })
}
