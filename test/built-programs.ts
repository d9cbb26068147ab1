/**
 * Programs that tests start come from `dist/` wherever it is as new as the sources, since they start
 * there in a third of the time that compiling them anew takes. Stands in for shared/node/program.ts
 * (see vitest.config.ts); programs of the tests themselves run from source.
 */
import { existsSync } from 'node:fs'
import { type Program, programAt as programNear } from '../shared/node/program.ts'

export type { Program } from '../shared/node/program.ts'

/** Set by build-once.ts. */
export const IS_BUILT = 'LINNET_TEST_DIST'

const ROOT = new URL('..', import.meta.url).href
const DIST = new URL('../dist/', import.meta.url).href

export function programAt(from: string, path: string): Program {
  const source = programNear(from, path)
  if (process.env[IS_BUILT] === undefined) return source
  const built = programNear(from.replace(ROOT, DIST).replace(/\.tsx?$/, '.js'), path)
  return existsSync(built.file) ? built : source
}
