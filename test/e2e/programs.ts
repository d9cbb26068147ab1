/**
 * Linnet's own programs from the built `dist/`, as processes of a test. Invariant: none outlives the
 * test run, however it ends.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

const DIST = new URL('../../dist/', import.meta.url).pathname
const LINNET = `${DIST}controller/cli/main.js`
const FILES = { controller: `${DIST}controller/main.js`, agent: `${DIST}agent/main.js` }
const LINES_MAX = 5_000
const STOP_MS_MAX = 20_000

export interface Program {
  readonly name: string
  readonly pid: number
  /** Standard output and error, in the order in which they came. */
  readonly lines: readonly string[]
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
  isRunning(): boolean
  /** Resolves with the first line that matches; rejects with the output when none comes. */
  line(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>
  kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | string>
}

export interface Ended {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

type Environment = Readonly<Record<string, string>>

const alive = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

function launch(args: readonly string[], env: Environment): ChildProcess {
  const child = spawn(process.execPath, [...args], {
    env: { PATH: process.env.PATH ?? '', NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  alive.add(child)
  child.once('exit', () => alive.delete(child))
  return child
}

const endOf = (child: ChildProcess, event: 'exit' | 'close'): Promise<number | string> =>
  new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once(event, (code: number | null, signal: string | null) =>
      resolve(code ?? signal ?? 'unknown'),
    )
  })

/** The `linnet` command, to its end. */
export async function runLinnet(args: readonly string[], env: Environment): Promise<Ended> {
  const child = launch([LINNET, ...args], env)
  let [stdout, stderr] = ['', '']
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk))
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk))
  return { code: await endOf(child, 'close'), stdout, stderr }
}

export function startProgram(
  name: string,
  program: keyof typeof FILES,
  args: readonly string[],
  env: Environment,
): Program {
  const child = launch([FILES[program], ...args], env)
  const lines: string[] = []
  const watchers = new Set<(line: string) => void>()
  for (const stream of [child.stdout!, child.stderr!]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (lines.length < LINES_MAX) lines.push(line)
      for (const watch of watchers) watch(line)
    })
  }
  let running = true
  const ended = endOf(child, 'exit').finally(() => {
    running = false
  })
  return {
    ...{ name, pid: child.pid ?? 0, lines, ended },
    isRunning: () => running,
    line: (pattern, timeoutMs = 60_000) =>
      new Promise((resolve, reject) => {
        const fail = (why: string) =>
          reject(new Error(`${name}: no ${pattern}, ${why}:\n${lines.slice(-20).join('\n')}`))
        const timer = setTimeout(() => fail(`within ${timeoutMs} ms`), timeoutMs)
        const watch = (line: string) => {
          const match = pattern.exec(line)
          if (match === null) return
          clearTimeout(timer)
          watchers.delete(watch)
          resolve(match)
        }
        watchers.add(watch)
        for (const line of lines) watch(line)
        void ended.then((how) => fail(`it ended with ${how}`))
      }),
    kill(signal) {
      child.kill(signal)
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
      return ended.finally(() => clearTimeout(timer))
    },
  }
}

/** The model host of an agent below this process, its child or grandchild; throws where there is none. Linux. */
export function hostBelow(pid: number): number {
  const childrenOf = (parent: number): number[] =>
    ofProcess(parent, `task/${parent}/children`).match(/\d+/g)?.map(Number) ?? []
  const isHost = (each: number): boolean => ofProcess(each, 'cmdline').includes('host-main')
  const all = childrenOf(pid).flatMap((each) => [each, ...childrenOf(each)])
  const host = all.find(isHost)
  if (host === undefined) throw new Error(`no model host below process ${pid}`)
  return host
}

/** Empty where the process is gone: one that tries a model ends at any time. */
function ofProcess(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}
