/**
 * `npm run bench -- NAME`: runs a benchmark and prints its figures beside their limits, for people on
 * stderr and as one line of JSON, the last, on stdout. Exit code 1 when a limit is missed. On a busy
 * machine only figures that compare two things of one run say much.
 */
import { type BenchReport, isMet } from './report.ts'

type Bench = () => Promise<{ run(): Promise<BenchReport> }>

const BENCHES: Readonly<Record<string, Bench>> = {
  batch: () => import('./batch.ts'),
  fuzz: () => import('./fuzz.ts'),
  ingest: () => import('./ingest.ts'),
  loop: () => import('./loop.ts'),
  memory: () => import('./memory.ts'),
  overhead: () => import('./overhead.ts'),
  serve: () => import('./serve.ts'),
  sketch: () => import('./sketch.ts'),
  swap: () => import('./swap.ts'),
  trust: () => import('./trust.ts'),
}

const [name = ''] = process.argv.slice(2)
const bench = BENCHES[name]
if (bench === undefined) {
  process.stderr.write(`npm run bench -- ${Object.keys(BENCHES).join(' | ')}\n`)
  process.exit(2)
}
const report = await (await bench()).run()
for (const result of report.results) {
  const { case: of, metric, value, limit, atLeast, min, max } = result
  const promised = limit === null ? '' : `, ${atLeast ? 'at least' : 'at most'} ${limit}`
  const verdict = isMet(result) ? '' : '  MISSED'
  process.stderr.write(`${of}: ${metric} ${value} (${min} to ${max})${promised}${verdict}\n`)
}
process.stdout.write(`${JSON.stringify(report)}\n`)
process.exit(report.results.every(isMet) ? 0 : 1)
