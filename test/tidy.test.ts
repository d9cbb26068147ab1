/**
 * The architecture as a test: who may import whom, what `shared/` may not touch, how large files may
 * grow, what stands at the top level. ARCHITECTURE.md explains; this file decides.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = resolve(import.meta.dirname, '..')
const SOURCE_FOLDERS = ['shared', 'agent', 'controller', 'scripts', 'test']
const TOP_LEVEL = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'README.md',
  'ARCHITECTURE.md',
  'shared',
  'agent',
  'controller',
  'firmware-profiles',
  'scripts',
  'test',
]
const GENERATED = ['node_modules', 'dist', 'coverage']

interface SourceFile {
  /** From the root, with slashes. */
  readonly path: string
  readonly text: string
  readonly imports: readonly { readonly target: string; readonly typeOnly: boolean }[]
}

const IMPORT = /(?:^|\n)\s*(import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s+)?'([^']+)'/g
const DYNAMIC_IMPORT = /\bimport\(\s*'([^']+)'\s*\)/g

function sourceFiles(): SourceFile[] {
  return SOURCE_FOLDERS.flatMap((folder) => walk(join(ROOT, folder))).map((file) => {
    const text = readFileSync(file, 'utf8')
    const target = (specifier: string): string =>
      specifier.startsWith('.')
        ? relative(ROOT, resolve(dirname(file), specifier)).replaceAll('\\', '/')
        : specifier
    return {
      path: relative(ROOT, file).replaceAll('\\', '/'),
      text,
      imports: [
        ...[...text.matchAll(IMPORT)].map((match) => ({
          target: target(match[3]!),
          typeOnly: match[2] !== undefined,
        })),
        ...[...text.matchAll(DYNAMIC_IMPORT)].map((match) => ({
          target: target(match[1]!),
          typeOnly: false,
        })),
      ],
    }
  })
}

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return GENERATED.includes(entry.name) ? [] : walk(path)
    return /\.(ts|tsx|mjs)$/.test(entry.name) && !entry.name.endsWith('.d.ts') ? [path] : []
  })
}

/**
 * Rows are tried in order and the first whose folder holds the file decides. A `*` in `may` stands
 * for any package; a folder allows everything under it.
 */
const LAYERS: readonly { readonly from: RegExp; readonly may: readonly (string | RegExp)[] }[] = [
  { from: /^shared\/kernel\//, may: ['shared/kernel', /^@noble\/hashes/] },
  { from: /^shared\/model\//, may: ['shared/kernel', 'shared/model', 'zod'] },
  { from: /^shared\/balance\//, may: ['shared/kernel', 'shared/balance'] },
  { from: /^shared\/motor\//, may: ['shared/kernel', 'shared/motor'] },
  {
    from: /^shared\/signing\//,
    may: [
      ...['shared/kernel', 'shared/model', 'shared/signing', 'zod', 'tweetnacl'],
      /^@noble\/(hashes|curves)/,
    ],
  },
  {
    from: /^shared\/onnx\//,
    may: ['shared/kernel', 'shared/model', 'shared/onnx', /^@bufbuild\/protobuf/],
  },
  { from: /^shared\/sketch\//, may: ['shared/kernel', 'shared/model', 'shared/sketch', 'zod'] },
  {
    from: /^shared\/drift\//,
    may: ['shared/kernel', 'shared/model', 'shared/sketch', 'shared/drift', 'zod'],
  },
  {
    from: /^shared\/judge\//,
    may: ['shared/kernel', 'shared/model', 'shared/sketch', 'shared/drift', 'shared/judge', 'zod'],
  },
  {
    from: /^shared\/rollout\//,
    may: [
      'shared/kernel',
      'shared/model',
      'shared/sketch',
      'shared/drift',
      'shared/judge',
      'shared/rollout',
      'zod',
    ],
  },
  { from: /^shared\/update\//, may: ['shared/kernel', 'shared/model', 'shared/update', 'zod'] },
  { from: /^shared\/placement\//, may: ['shared/kernel', 'shared/placement'] },
  { from: /^shared\/slo\//, may: ['shared/kernel', 'shared/model', 'shared/sketch', 'shared/slo'] },
  { from: /^shared\/node\//, may: ['shared', /^node:/] },
  {
    from: /^shared\/(protocol|api|view)\//,
    may: [/^shared\/(?!node\/)/, 'zod', 'cbor-x', /^cbor-x\//],
  },
  {
    from: /^agent\/[^/]+\.ts$/,
    may: ['shared', /^agent\//, /^node:/, 'pino', 'zod'],
  },
  { from: /^agent\/profile\//, may: ['shared', /^agent\/(profile|runtime)\//, /^node:/] },
  {
    from: /^agent\/(runtime|front|transport|store|artifact|serve|browser)\//,
    may: [
      'shared',
      /^agent\//,
      /^node:/,
      'onnxruntime-node',
      'onnxruntime-common',
      /^onnxruntime-web/,
      'mqtt',
      'hono',
      /^hono\//,
      '@hono/node-server',
      /^@bufbuild\/protobuf/,
      'pino',
      'zod',
    ],
  },
  {
    from: /^controller\/console\//,
    may: ['shared', 'controller/console', /^preact/, /^@preact\//],
  },
  {
    from: /^controller\/cli\//,
    may: [
      ...['shared', 'controller/cli', 'controller/version.ts'],
      ...[/^node:/, 'commander', 'yaml', 'zod', 'playwright-core'],
    ],
  },
  { from: /^controller\/demo\//, may: ['shared', 'controller/demo', 'controller/cli', /^node:/] },
  {
    from: /^controller\//,
    may: [
      'shared',
      'controller',
      /^node:/,
      'hono',
      /^hono\//,
      /^@hono\//,
      'aedes',
      /^aedes/,
      'ws',
      'mqtt',
      /^mqtt/,
      /^drizzle-/,
      /^@libsql\//,
      'pino',
      'zod',
    ],
  },
  { from: /^scripts\//, may: [/.*/] },
  { from: /^test\//, may: [/.*/] },
]

const files = sourceFiles()

describe('the graph of imports', () => {
  it('gives every source file a row of the layer table', () => {
    expect(files.filter((file) => layerOf(file) === undefined).map((file) => file.path)).toEqual([])
  })

  it('keeps every import inside its layer', () => {
    const offences = files.flatMap((file) =>
      file.imports
        .filter((entry) => !layerOf(file)!.some((rule) => allows(rule, entry.target)))
        .map((entry) => `${file.path} -> ${entry.target}`),
    )
    expect(offences).toEqual([])
  })

  it('keeps agent and controller apart, and lets nothing import scripts/ or test/', () => {
    const crossing = (file: SourceFile, target: string): boolean =>
      (file.path.startsWith('agent/') && target.startsWith('controller/')) ||
      (file.path.startsWith('controller/') && target.startsWith('agent/')) ||
      (/^(shared|agent|controller)\//.test(file.path) && /^(scripts|test)\//.test(target))
    const offences = files.flatMap((file) =>
      file.imports
        .filter((entry) => crossing(file, entry.target))
        .map((entry) => `${file.path} -> ${entry.target}`),
    )
    expect(offences).toEqual([])
  })

  it('lets only shells import shared/node', () => {
    const offences = files
      .filter((file) => file.path.startsWith('shared/') && !file.path.startsWith('shared/node/'))
      .filter((file) => file.imports.some((entry) => entry.target.startsWith('shared/node/')))
    expect(offences.map((file) => file.path)).toEqual([])
  })

  it('gives the console zod by type only, for it would double its size', () => {
    const reached = reach(['controller/console/main.tsx'], (entry) => !entry.typeOnly)
    const offenders = files.filter(
      (file) =>
        reached.has(file.path) && file.imports.some((e) => e.target === 'zod' && !e.typeOnly),
    )
    expect(offenders.map((file) => file.path)).toEqual([])
  })

  it('has no orphan: every file is reached from a program or a test', () => {
    const roots = files.map((file) => file.path).filter(isEntry)
    const reached = reach(roots, () => true)
    expect(files.map((file) => file.path).filter((path) => !reached.has(path))).toEqual([])
  })
})

describe('the pure core', () => {
  const AMBIENT =
    /\b(Date\.now|new Date\(\s*\)|performance\.now|Math\.random|setTimeout|setInterval|setImmediate|queueMicrotask|fetch\(|console\.|process\.|globalThis\.)/

  it('asks no clock, no dice, no network and no process', () => {
    const offences = files
      .filter((file) => file.path.startsWith('shared/') && !file.path.startsWith('shared/node/'))
      .flatMap((file) =>
        withoutComments(file.text)
          .split('\n')
          .filter((line) => AMBIENT.test(line))
          .map((line) => `${file.path}: ${line.trim()}`),
      )
    expect(offences).toEqual([])
  })
})

describe('sizes and names', () => {
  it('keeps every file under 400 lines', () => {
    const long = files
      .map((file) => ({ path: file.path, lines: file.text.split('\n').length }))
      .filter((file) => file.lines > 400)
    expect(long).toEqual([])
  })

  it('names files in kebab-case and by what they are', () => {
    const vague = /(^|[-/])(utils?|helpers?|manager|service|common|misc)([-./]|$)/
    const offences = files
      .map((file) => file.path)
      .filter((path) => !/^[a-z0-9./-]+$/.test(path) || vague.test(path))
    expect(offences).toEqual([])
  })

  it('opens every source file with what it is', () => {
    const offences = files
      .filter((file) => /^(shared|agent|controller|scripts)\//.test(file.path))
      .filter((file) => !/^(#![^\n]*\n)?(\/\*\*|\/\/)/.test(file.text))
    expect(offences.map((file) => file.path)).toEqual([])
  })

  it('has a fixed top level', () => {
    const entries = readdirSync(ROOT).filter(
      (name) => !name.startsWith('.') && !GENERATED.includes(name),
    )
    expect(entries.filter((name) => !TOP_LEVEL.includes(name))).toEqual([])
  })
})

function layerOf(file: SourceFile): readonly (string | RegExp)[] | undefined {
  return LAYERS.find((layer) => layer.from.test(file.path))?.may
}

function allows(rule: string | RegExp, target: string): boolean {
  if (rule instanceof RegExp) return rule.test(target)
  return target === rule || target.startsWith(`${rule}/`)
}

/** Programs, configuration and tests: where reading starts. */
function isEntry(path: string): boolean {
  return (
    /(^|\/)([a-z-]+-)?main\.tsx?$/.test(path) ||
    /\.(test|config)\.ts$/.test(path) ||
    path.endsWith('.mjs') ||
    path.endsWith('-worker.ts') ||
    path === 'test/build-once.ts'
  )
}

function reach(
  roots: readonly string[],
  follow: (entry: SourceFile['imports'][number]) => boolean,
): Set<string> {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const reached = new Set<string>()
  const queue = [...roots]
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (reached.has(path)) continue
    reached.add(path)
    for (const entry of byPath.get(path)?.imports ?? []) {
      if (follow(entry)) queue.push(entry.target)
    }
  }
  return reached
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')
}
