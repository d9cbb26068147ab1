/**
 * Tensors and golden vectors of a model file that nobody described, derived by the qualifier program
 * in a process that may die. Some models end it on some inputs (the least integer divided by -1): then
 * another process goes on with the next way of making inputs.
 */

import { execFile } from 'node:child_process'
import { err, ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import type { InputSpec } from '../../../shared/model/input-spec.ts'
import { type TensorSpec, tensorSpecSchema } from '../../../shared/model/tensor.ts'
import { toldProblem } from '../../../shared/model/told-problem.ts'
import { programAt } from '../../../shared/node/program.ts'

/** What the program prints. */
export interface Derived {
  readonly inputs: TensorSpec[]
  readonly outputs: TensorSpec[]
  /** Outputs that differ from run to run. */
  readonly random: readonly string[]
  /** Why there are no vectors. */
  readonly unproved: string | undefined
}

export interface DeriveTask {
  readonly model: string
  /** Where the golden vectors go. */
  readonly golden: string
  readonly spec: InputSpec
  /** A file of vectors whose inputs are tried before any that are made up. */
  readonly inputs?: string | undefined
  readonly timeMsMax: number
}

const OUTPUT_BYTES_MAX = 1_048_576
/** One process for each recipe at most. */
const PROCESSES_MAX = 8

/** Errors: the qualifier's own (`onnx.*`, `admission.*`, `golden.*`), `qualify.crashed`, `.timeout`. */
export async function deriveInProcess(task: DeriveTask): Promise<Result<Derived>> {
  const untilMs = performance.now() + task.timeMsMax
  let from = 0
  let inputs = task.inputs
  for (let i = 0; i < PROCESSES_MAX; i++) {
    const left = Math.ceil(untilMs - performance.now())
    if (left <= 0) break
    const end = await runDerive({ ...task, inputs, timeMsMax: left }, from)
    if (end.kind === 'answered') return end.answer
    // Inputs that were given end it before any recipe; without them and any, the load itself does.
    if (end.trying === undefined && inputs === undefined) return died(end.how)
    from = end.trying === undefined ? 0 : end.trying + 1
    inputs = undefined
  }
  return refuse('qualify.timeout', 'The model did not come to an end in time.', {
    expected: `tensors and trial inputs within ${task.timeMsMax} ms`,
  })
}

type End =
  | { readonly kind: 'answered'; readonly answer: Result<Derived> }
  /** With the recipe that it was trying. */
  | { readonly kind: 'died'; readonly how: string; readonly trying: number | undefined }

function runDerive({ model, golden, spec, inputs, timeMsMax }: DeriveTask, from: number) {
  const { file, execArgv } = programAt(import.meta.url, './qualifier-main')
  const task = ['derive', '--model', model, '--out', golden, '--input-spec', JSON.stringify(spec)]
  task.push('--unsigned', '--from', String(from))
  if (inputs !== undefined) task.push('--inputs', inputs)
  const limits = { timeout: timeMsMax, killSignal: 'SIGKILL', maxBuffer: OUTPUT_BYTES_MAX } as const
  return new Promise<End>((resolve) => {
    execFile(process.execPath, [...execArgv, file, ...task], limits, (cause, stdout, stderr) => {
      const lines = stdout.trim().split('\n')
      if (cause === null) {
        resolve({ kind: 'answered', answer: ok(readDerived(lines.at(-1) ?? '')) })
        return
      }
      const problem = toldProblem(stderr)
      if (problem !== undefined) resolve({ kind: 'answered', answer: err(problem) })
      else {
        const how = [cause.signal ?? `exit code ${cause.code}`, lastError(stderr)].join('')
        resolve({ kind: 'died', how, trying: tryingIn(lines.at(-1) ?? '') })
      }
    })
  })
}

function readDerived(line: string): Derived {
  const { inputs, outputs, random, unproved } = JSON.parse(line) as Record<keyof Derived, unknown>
  const specs = tensorSpecSchema.array()
  return {
    inputs: specs.parse(inputs),
    outputs: specs.parse(outputs),
    random: Array.isArray(random) ? random.map(String) : [],
    unproved: typeof unproved === 'string' ? unproved : undefined,
  }
}

function tryingIn(line: string): number | undefined {
  const found = /^\{"trying":(\d+)\}$/.exec(line)?.[1]
  return found === undefined ? undefined : Number(found)
}

/** What the process said before it died, where it could. */
function lastError(stderr: string): string {
  const line = stderr.split('\n').findLast((text) => /error|fatal/i.test(text))
  return line === undefined ? '' : `: ${line.trim().slice(0, 200)}`
}

function died(found: string): Result<never> {
  return refuse('qualify.crashed', 'The model ended the process that tried it.', {
    expected: 'a model that loads and runs',
    found,
  })
}
