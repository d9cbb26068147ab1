// What tsc does not do for dist/: data files beside the programs that read them, and the pages'
// bundles. Runs under plain node, because `npm ci` runs it before anything else is built.
import { chmod, cp, mkdir, rm } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { build } from 'esbuild'

const ROOT = resolve(import.meta.dirname, '../..')
const DIST = resolve(ROOT, 'dist')

/** Data that programs read at run time, by the same path relative to the program. */
const DATA = ['firmware-profiles', 'controller/db/migrations', 'controller/demo/models']

for (const folder of DATA) {
  await rm(resolve(DIST, folder), { recursive: true, force: true })
  await mkdir(dirname(resolve(DIST, folder)), { recursive: true })
  await cp(resolve(ROOT, folder), resolve(DIST, folder), { recursive: true })
}

/** The look that the pages share. */
const LOOK = ['shared/view/page/base.css', 'shared/view/page/linnet.svg'].map((from) => ({
  from,
  to: '.',
}))

/**
 * Pages: their entries, the folder under dist/ whose `public` they are served from, and files that
 * stand beside them, so that a page loads nothing from elsewhere.
 */
const PAGES = [
  { entries: ['controller/console/main.tsx'], page: 'controller/console', beside: LOOK },
  {
    entries: ['agent/browser/tuf-client/main.ts'],
    page: 'agent/browser/tuf-client',
    beside: [],
  },
  {
    entries: ['agent/browser/demo/main.ts', 'agent/browser/runtime-worker-main.ts'],
    page: 'agent/browser',
    beside: [
      ...LOOK,
      // Two builds of ONNX Runtime Web: plain, and with WebGPU over suspended stacks (web-engine.ts).
      ...['', '.jspi'].flatMap((name) =>
        ['mjs', 'wasm'].map((ending) => ({
          from: `node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded${name}.${ending}`,
          to: '.',
        })),
      ),
      ...['android-browser', 'browser-wasm', 'desktop-browser-webgpu'].map((profile) => ({
        from: `firmware-profiles/${profile}.json`,
        to: 'profiles',
      })),
    ],
  },
]

for (const { entries, page, beside } of PAGES) {
  const folder = resolve(DIST, page, 'public')
  // Chunks carry a hash in their names: those of the last build would pile up.
  await rm(folder, { recursive: true, force: true })
  await build({
    entryPoints: entries.map((entry) => resolve(ROOT, entry)),
    outdir: folder,
    entryNames: '[name]',
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    sourcemap: true,
    jsx: 'automatic',
    jsxImportSource: 'preact',
    // The WebAssembly files stay files, with the script that threads load beside them.
    conditions: ['onnxruntime-web-use-extern-wasm'],
    logLevel: 'warning',
  })
  await cp(resolve(ROOT, page, 'public'), folder, { recursive: true })
  for (const { from, to } of beside) {
    await mkdir(resolve(folder, to), { recursive: true })
    await cp(resolve(ROOT, from), resolve(folder, to, basename(from)))
  }
}

await chmod(resolve(DIST, 'controller/cli/main.js'), 0o755)
