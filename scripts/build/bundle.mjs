// What tsc does not do for dist/: data files beside the programs that read them, and the pages'
// bundles. Runs under plain node, because `npm ci` runs it before anything else is built.
import { chmod, cp, mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { build } from 'esbuild'

const ROOT = resolve(import.meta.dirname, '../..')
const DIST = resolve(ROOT, 'dist')

/** Data that programs read at run time, by the same path relative to the program. */
const DATA = ['firmware-profiles', 'controller/db/migrations', 'controller/demo/models']

for (const folder of DATA) {
  if (!(await exists(resolve(ROOT, folder)))) continue
  await mkdir(dirname(resolve(DIST, folder)), { recursive: true })
  await cp(resolve(ROOT, folder), resolve(DIST, folder), { recursive: true })
}

/** Pages: entry, and the folder under dist/ they are served from. */
const PAGES = [{ entry: 'controller/console/main.tsx', page: 'controller/console' }]

for (const { entry, page } of PAGES) {
  if (!(await exists(resolve(ROOT, entry)))) continue
  await build({
    entryPoints: [resolve(ROOT, entry)],
    outdir: resolve(DIST, page, 'public'),
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    sourcemap: true,
    jsx: 'automatic',
    jsxImportSource: 'preact',
    logLevel: 'warning',
  })
  await cp(resolve(ROOT, page, 'public'), resolve(DIST, page, 'public'), { recursive: true })
}

const cli = resolve(DIST, 'controller/cli/main.js')
if (await exists(cli)) await chmod(cli, 0o755)

async function exists(path) {
  return stat(path).then(
    () => true,
    () => false,
  )
}
