/** The console, built as the build builds it, into a folder of the test's own. */
import { cp, mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'

const CONSOLE = resolve(import.meta.dirname, '../../controller/console')

/** @returns the folder. */
export async function buildConsole(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true })
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
  await cp(join(CONSOLE, 'public'), folder, { recursive: true })
  return folder
}
