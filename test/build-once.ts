/**
 * Before the tests: builds `dist/` where it is older than its sources, because tests run the programs
 * that `npm ci` leaves behind. Runs that name none that needs it do not wait for it: what they start
 * runs from source then.
 */
import { execFile } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { IS_BUILT } from './built-programs.ts'

const ROOT = new URL('..', import.meta.url).pathname
const SOURCES = ['shared', 'agent', 'controller', 'firmware-profiles', 'scripts/build']
/** Written anew by the last step of every build. */
const STAMP = join(ROOT, 'dist/controller/console/public/main.js')

export default async function buildOnce(): Promise<void> {
  const filters = process.argv.slice(2).filter((argument) => argument.includes('test/'))
  const isNeeded = filters.length === 0 || filters.some((filter) => /e2e|live|test\/$/.test(filter))
  const isNew = (await newestMs()) <= (await modifiedMs(STAMP))
  // Test files run in processes that inherit this.
  if (isNew || isNeeded) process.env[IS_BUILT] = '1'
  if (isNew || !isNeeded) return
  process.stderr.write('dist/ is older than the sources: building it\n')
  await promisify(execFile)('npm', ['run', 'build', '--silent'], { cwd: ROOT }).catch(
    (cause: { stdout?: string; stderr?: string }) => {
      throw new Error(`the build failed:\n${cause.stdout ?? ''}${cause.stderr ?? ''}`)
    },
  )
}

async function newestMs(): Promise<number> {
  let newest = 0
  for (const folder of SOURCES) {
    for (const entry of await readdir(join(ROOT, folder), { recursive: true })) {
      newest = Math.max(newest, await modifiedMs(join(ROOT, folder, entry)))
    }
  }
  return newest
}

/** 0 where there is no such file. */
const modifiedMs = (path: string): Promise<number> =>
  stat(path).then(
    (file) => (file.isFile() ? file.mtimeMs : 0),
    () => 0,
  )
