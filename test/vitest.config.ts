import { relative, resolve } from 'node:path'
import { defineConfig, type Plugin } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const ROOT = resolve(import.meta.dirname, '..')

/**
 * Files that start no process of their own and load no native runtime: they share a process, one after
 * the other, since starting one and loading the sources anew takes most of them longer than testing.
 */
const TOGETHER = [
  'test/{conformance,contract,scripts,shared}/**/*.test.ts',
  'test/agent/*.test.ts',
  'test/agent/runtime/{host,plane}/*.test.ts',
  'test/controller/*.test.ts',
  'test/controller/{broker,db,http,signing}/*.test.ts',
]

/**
 * The long ones first, so that no worker is left with one of them alone at the end; such as compute
 * alternate with such as wait.
 */
const FIRST = [
  'test/e2e/demo',
  'test/e2e/serve-under-fire',
  'test/e2e/real-models',
  'test/agent/front/model-hosts',
  'test/attack/live',
  'test/e2e/',
  'test/console/',
  'test/agent/runtime/',
  'test/agent/browser/',
  'test/controller/cli/',
]

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId, project }: TestSpecification): number => {
      const path = relative(ROOT, moduleId)
      const at = FIRST.findIndex((start) => path.startsWith(start))
      return (project.config.isolate ? 0 : 1_000) + (at < 0 ? FIRST.length : at)
    }
    return files.toSorted((a, b) => rank(a) - rank(b) || (a.moduleId < b.moduleId ? -1 : 1))
  }
}

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
    root: ROOT,
    globalSetup: ['test/build-once.ts'],
    sequence: { sequencer: LongFirst },
    // For a machine that is slow and busy; nothing here asserts how long something takes.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
    pool: 'forks',
    // One more than the cores of a small machine: most of the long files wait for processes.
    maxWorkers: 3,
    projects: [
      {
        extends: true,
        test: { name: 'alone', include: ['test/**/*.test.ts'], exclude: TOGETHER, isolate: true },
      },
      { extends: true, test: { name: 'together', include: TOGETHER, isolate: false } },
    ],
  },
})
