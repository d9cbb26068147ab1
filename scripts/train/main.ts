/**
 * `npm run train [-- --out folder]`: trains the demo's releases and writes their
 * files, then a table of what each variant is worth on motors that it has not met.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { MOTOR_STATES } from '../../shared/motor/motor.ts'
import { buildRelease, type ReportRow } from './build-release.ts'
import { MODEL, RELEASES } from './releases.ts'

const MODELS = fileURLToPath(new URL('../../controller/demo/models', import.meta.url))

const { values } = parseArgs({ options: { out: { type: 'string' } } })
const folder = join(values.out ?? MODELS, MODEL)
const startedAt = performance.now()
const rows: ReportRow[] = []
const digests: Record<string, { sha256: string; bytes: number }> = {}

for (const recipe of RELEASES) {
  const { files, report } = await buildRelease(recipe)
  mkdirSync(join(folder, recipe.version), { recursive: true })
  for (const [name, content] of files) {
    const bytes = Buffer.from(content)
    writeFileSync(join(folder, recipe.version, name), bytes)
    digests[`${recipe.version}/${name}`] = { sha256: sha256Hex(bytes), bytes: bytes.length }
  }
  rows.push(...report)
}
writeFileSync(join(folder, 'digests.json'), `${JSON.stringify(digests, null, 2)}\n`)

const percent = (share: number): string => (100 * share).toFixed(1)
console.table(
  rows.map(({ version, variant, bytes, evaluation }) => ({
    release: version,
    variant,
    bytes,
    windows: evaluation.windows,
    'accuracy %': percent(evaluation.byTruth.overall),
    ...Object.fromEntries(MOTOR_STATES.map((s, i) => [s, percent(evaluation.byTruth.byClass[i]!)])),
    'p50 ms': Number(evaluation.latencyMsP50.toFixed(3)),
  })),
)
console.log(`wrote ${folder} in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
