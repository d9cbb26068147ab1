import { resolve } from 'node:path'
import { defineConfig, type Plugin } from 'vitest/config'

const BUILT_PROGRAMS = resolve(import.meta.dirname, 'built-programs.ts')
const builtPrograms: Plugin = {
  name: 'built-programs',
  enforce: 'pre',
  resolveId: (source, importer) =>
    source.endsWith('/node/program.ts') && importer !== BUILT_PROGRAMS ? BUILT_PROGRAMS : undefined,
}

export default defineConfig({
  plugins: [builtPrograms],
  test: {
    root: new URL('..', import.meta.url).pathname,
    globalSetup: ['test/build-once.ts'],
    include: ['test/**/*.test.ts'],
    // For a machine that is slow and busy; nothing here asserts how long something takes.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
    pool: 'forks',
    maxWorkers: 2,
  },
})
