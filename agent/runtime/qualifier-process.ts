/**
 * One life of a qualifier process: give it a task, wait for its answer, and turn whatever else happens
 * into a problem. A model that aborts the process, never ends or takes all memory has a result too.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { programAt } from '../../shared/node/program.ts'
import type { QualifierAnswer, QualifierTask } from './qualifier-protocol.ts'

export interface QualifierLimits {
  readonly timeMsMax: number
  readonly memoryMbMax: number
  readonly signal: AbortSignal
}

const MEMORY_CHECK_MS = 50
const PAGE_BYTES = 4_096

/** Errors: `qualify.crashed`, `qualify.timeout`, `qualify.memory`, `qualify.cancelled`. */
export function runQualifier(
  task: QualifierTask,
  limits: QualifierLimits,
): Promise<Result<QualifierAnswer>> {
  if (limits.signal.aborted) return Promise.resolve(cancelled())
  const { file, execArgv } = programAt(import.meta.url, './qualifier-main')
  const child = fork(file, [], {
    execArgv: [...execArgv],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  return new Promise((resolve) => {
    let verdict: Result<QualifierAnswer> | undefined
    const end = (result: Result<QualifierAnswer>): void => {
      verdict ??= result
      child.kill('SIGKILL')
    }
    const timer = setTimeout(() => end(timedOut(limits.timeMsMax)), limits.timeMsMax)
    const memory = setInterval(() => {
      const residentMb = residentMbOf(child)
      if (residentMb > limits.memoryMbMax) end(tooMuchMemory(limits.memoryMbMax, residentMb))
    }, MEMORY_CHECK_MS)
    const abort = (): void => end(cancelled())
    limits.signal.addEventListener('abort', abort, { once: true })
    const finish = (code: number | null, signal: string | null): void => {
      clearTimeout(timer)
      clearInterval(memory)
      limits.signal.removeEventListener('abort', abort)
      resolve(verdict ?? crashed(code, signal))
    }
    child.on('message', (answer: QualifierAnswer) => end(ok(answer)))
    child.once('exit', finish)
    child.once('error', () => {
      if (child.pid === undefined) finish(-1, null)
    })
    child.send(task, () => undefined)
  })
}

/** Linux tells; elsewhere only the time limit holds. */
function residentMbOf({ pid }: ChildProcess): number {
  if (process.platform !== 'linux' || pid === undefined) return 0
  try {
    const pages = Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1])
    return (pages * PAGE_BYTES) / 2 ** 20
  } catch {
    return 0
  }
}

function crashed(code: number | null, signal: string | null): Result<never> {
  return refuse('qualify.crashed', 'The model ended the process that tried it.', {
    expected: 'a model that loads and runs',
    found: signal ?? `exit code ${code}`,
  })
}

function timedOut(timeMsMax: number): Result<never> {
  return refuse('qualify.timeout', 'The model did not come to an end in time.', {
    expected: `qualification within ${timeMsMax} ms`,
  })
}

function tooMuchMemory(memoryMbMax: number, residentMb: number): Result<never> {
  return refuse('qualify.memory', 'The model takes more memory than its profile allows.', {
    expected: `at most ${memoryMbMax} MB`,
    found: `${Math.round(residentMb)} MB`,
    next: 'add a smaller variant for this profile',
  })
}

function cancelled(): Result<never> {
  return refuse('qualify.cancelled', 'The qualification was cancelled.')
}
