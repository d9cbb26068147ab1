/** The console, built as the build builds it, once for a test file, into a folder of its own. */
import { rmSync } from 'node:fs'
import { cp, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'

const ROOT = resolve(import.meta.dirname, '../..')
const CONSOLE = join(ROOT, 'controller/console')

let built: Promise<string> | undefined

/** @returns the folder; it goes when the process does. */
export function buildConsole(): Promise<string> {
  built ??= buildInto()
  return built
}

async function buildInto(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'linnet-bundle-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  await build({
    entryPoints: [join(CONSOLE, 'main.tsx')],
    outdir: folder,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    jsx: 'automatic',
    jsxImportSource: 'preact',
    logLevel: 'error',
  })
  for (const files of [join(ROOT, 'shared/view/page'), join(CONSOLE, 'public')]) {
    await cp(files, folder, { recursive: true })
  }
  return folder
}
