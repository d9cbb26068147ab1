/**
 * The demo's processes: real programs of Linnet, started as a person would start them. Whatever ends,
 * all of them end with the demo.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { ProblemError } from '../../shared/kernel/result.ts'
import { programAt } from '../../shared/node/program.ts'

/** The command line, and the two programs it would start: the demo saves the process between. */
const PROGRAMS = {
  linnet: programAt(import.meta.url, '../cli/main'),
  controller: programAt(import.meta.url, '../main'),
  agent: programAt(import.meta.url, '../../agent/main'),
}
const STOP_GRACE_MS = 10_000

export interface RunningProgram {
  readonly name: string
  readonly pid: number
  /** Resolves with the first line of stdout that matches; rejects when the program ends before. */
  ready(pattern: RegExp, timeoutMs: number): Promise<RegExpMatchArray>
  stop(): Promise<void>
}

export interface Processes {
  /** Runs in the background; its output goes to `<logs>/<name>.log`. */
  start(name: string, program: 'controller' | 'agent', args: readonly string[]): RunningProgram
  /** Runs to its end and returns its stdout as JSON. */
  command<T>(args: readonly string[]): Promise<T>
  stopAll(): Promise<void>
}

export function createProcesses(options: {
  logs: string
  environment: Readonly<Record<string, string>>
}): Processes {
  const running = new Set<RunningProgram>()
  const environment = { ...process.env, NO_COLOR: '1', ...options.environment }
  const launch = (program: keyof typeof PROGRAMS, args: readonly string[]): ChildProcess => {
    const { execArgv, file } = PROGRAMS[program]
    return spawn(process.execPath, [...execArgv, file, ...args], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }
  return {
    start(name, kind, args) {
      const log = createWriteStream(join(options.logs, `${name}.log`))
      const program = follow(name, launch(kind, args), log)
      running.add(program)
      return program
    },
    command: (args) => runToEnd(launch('linnet', [...args, '--json']), args),
    async stopAll() {
      // Agents first: they say goodbye to a controller that still listens.
      const [controller, ...agents] = [...running]
      await Promise.all(agents.map((agent) => agent.stop()))
      await controller?.stop()
    },
  }
}

function follow(name: string, child: ChildProcess, log: WriteStream): RunningProgram {
  const lines: string[] = []
  const watchers = new Set<(line: string) => void>()
  let ended = false
  createInterface({ input: child.stdout! }).on('line', (line) => {
    log.write(`${line}\n`)
    if (lines.length < 1_000) lines.push(line)
    for (const watch of watchers) watch(line)
  })
  /** The last words that are no log line: programs end with what is wrong and what to do. */
  let lastWords = ''
  createInterface({ input: child.stderr! }).on('line', (line) => {
    log.write(`${line}\n`)
    if (line.trim() !== '' && !line.startsWith('{')) lastWords = line
  })
  // `close` comes after the last line was read, `exit` may come before.
  const end = new Promise<void>((resolve) => child.once('close', () => resolve()))
  void end.then(() => {
    ended = true
    log.end()
  })
  return {
    name,
    pid: child.pid ?? 0,
    ready: (pattern, timeoutMs) =>
      new Promise((resolve, reject) => {
        const fail = (found: string) =>
          reject(
            new ProblemError({
              code: 'demo.not_ready',
              message: `${name} did not become ready.`,
              found,
              next: `read ${String(log.path)}`,
            }),
          )
        const timer = setTimeout(() => fail(`nothing within ${timeoutMs / 1000} s`), timeoutMs)
        const watch = (line: string) => {
          const match = pattern.exec(line)
          if (match === null) return
          clearTimeout(timer)
          watchers.delete(watch)
          resolve(match)
        }
        watchers.add(watch)
        for (const line of lines) watch(line)
        void end.then(() => {
          clearTimeout(timer)
          fail(`it ended: ${lastWords || lines.at(-1) || 'no output'}`)
        })
      }),
    async stop() {
      if (ended) return
      child.kill('SIGTERM')
      const kill = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS)
      await end
      clearTimeout(kill)
    },
  }
}

async function runToEnd<T>(child: ChildProcess, args: readonly string[]): Promise<T> {
  let stdout = ''
  let stderr = ''
  child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk))
  child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  if (code === 0) return JSON.parse(stdout) as T
  throw new ProblemError({
    code: 'demo.command_failed',
    message: `linnet ${args.join(' ')} ended with ${code}.`,
    found: stderr.trim() || stdout.trim(),
  })
}
