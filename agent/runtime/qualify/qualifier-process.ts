/**
 * One life of a qualifier process: give it a task, wait for its answer, and turn whatever else happens
 * into a problem. A model that aborts the process, never ends or takes all memory has a result too.
 * Invariant: what ends the process while it tries more than the proof never takes back the proof.
 */
import { fork } from 'node:child_process'
import { ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import { programAt } from '../../../shared/node/program.ts'
import { memoryOf } from './process-memory.ts'
import type { Passed, QualifierAnswer, QualifierNews, QualifierTask } from './qualifier-protocol.ts'

export interface QualifierLimits {
  readonly timeMsMax: number
  readonly memoryMbMax: number
  readonly signal: AbortSignal
}

const MEMORY_CHECK_MS = 50
/** What comes after the proof may take its budget, and the comparison that is under way. */
const MORE_MS = 15_000

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
    let proof: Passed | undefined
    const end = (result: Result<QualifierAnswer>): void => {
      verdict ??= result.ok || proof === undefined ? result : ok({ ...proof, cut: result.error })
      child.kill('SIGKILL')
    }
    let timer = setTimeout(() => end(timedOut(limits.timeMsMax)), limits.timeMsMax)
    const memory = setInterval(() => {
      // Where the system does not tell, only the time limit holds.
      const residentMb = child.pid === undefined ? 0 : (memoryOf(child.pid).residentMb ?? 0)
      if (residentMb > limits.memoryMbMax) end(tooMuchMemory(limits.memoryMbMax, residentMb))
    }, MEMORY_CHECK_MS)
    const abort = (): void => {
      proof = undefined
      end(cancelled())
    }
    limits.signal.addEventListener('abort', abort, { once: true })
    const finish = (code: number | null, signal: string | null): void => {
      end(crashed(code, signal))
      clearTimeout(timer)
      clearInterval(memory)
      limits.signal.removeEventListener('abort', abort)
      resolve(verdict ?? crashed(code, signal))
    }
    child.on('message', ({ answer, isLast }: QualifierNews) => {
      if (isLast || answer.outcome !== 'passed') return end(ok(answer))
      proof = answer
      const moreMs = (task.tuning?.budgetMs ?? 0) + MORE_MS
      clearTimeout(timer)
      timer = setTimeout(() => end(timedOut(moreMs)), moreMs)
    })
    child.once('exit', finish)
    child.once('error', () => {
      if (child.pid === undefined) finish(-1, null)
    })
    child.send(task, () => undefined)
  })
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
