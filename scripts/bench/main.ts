/**
 * `npm run bench -- NAME`: runs scripts/bench/NAME.ts and prints its figures beside their limits, for
 * people on stderr and as one line of JSON, the last, on stdout. Exit code 1 when a limit is missed.
 */
import { readdirSync } from 'node:fs'
import { type BenchReport, isMet } from './report.ts'

const [name = ''] = process.argv.slice(2)
const names = readdirSync(import.meta.dirname)
  .map((file) => file.replace(/\.ts$/, ''))
  .filter((file) => file !== 'main')
if (!names.includes(name)) {
  process.stderr.write(`npm run bench -- ${names.join(' | ')}\n`)
  process.exit(2)
}
const { run } = (await import(`./${name}.ts`)) as { run: () => Promise<BenchReport> }
const report = await run()
for (const result of report.results) {
  const { case: of, metric, value, limit, atLeast, min, max } = result
  const promised = limit === null ? '' : `, ${atLeast ? 'at least' : 'at most'} ${limit}`
  const verdict = isMet(result) ? '' : '  MISSED'
  process.stderr.write(`${of}: ${metric} ${value} (${min} to ${max})${promised}${verdict}\n`)
}
process.stdout.write(`${JSON.stringify(report)}\n`)
process.exit(report.results.every(isMet) ? 0 : 1)
