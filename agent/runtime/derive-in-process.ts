/**
 * Tensors and golden vectors of a model file that nobody described, derived by the qualifier program
 * in a process that may die.
 */
import { execFile } from 'node:child_process'
import { err, ok, type Problem, type Result } from '../../shared/kernel/result.ts'
import { problemSchema } from '../../shared/model/device.ts'
import type { InputSpec } from '../../shared/model/input-spec.ts'
import { type TensorSpec, tensorSpecSchema } from '../../shared/model/tensor.ts'
import { programAt } from '../../shared/node/program.ts'

/** What the program prints. */
export interface Derived {
  readonly inputs: TensorSpec[]
  readonly outputs: TensorSpec[]
}

const OUTPUT_BYTES_MAX = 1_048_576

/** Errors: the qualifier's own (`onnx.*`, `admission.*`, `golden.*`), `qualify.crashed`. */
export function deriveInProcess(
  model: string,
  golden: string,
  spec: InputSpec,
  timeMsMax: number,
): Promise<Result<Derived>> {
  const { file, execArgv } = programAt(import.meta.url, './qualifier-main')
  const task = ['derive', '--model', model, '--out', golden, '--input-spec', JSON.stringify(spec)]
  const limits = { timeout: timeMsMax, killSignal: 'SIGKILL', maxBuffer: OUTPUT_BYTES_MAX } as const
  return new Promise((resolve) => {
    execFile(process.execPath, [...execArgv, file, ...task], limits, (cause, stdout, stderr) => {
      if (cause === null) resolve(ok(readDerived(stdout)))
      else resolve(err(problemIn(stderr) ?? died(cause.signal ?? `exit code ${cause.code}`)))
    })
  })
}

function readDerived(stdout: string): Derived {
  const { inputs, outputs } = JSON.parse(stdout) as Record<keyof Derived, unknown>
  const specs = tensorSpecSchema.array()
  return { inputs: specs.parse(inputs), outputs: specs.parse(outputs) }
}

/** The last line that is a problem: ONNX Runtime may have written warnings before. */
function problemIn(stderr: string): Problem | undefined {
  const lines = stderr.trim().split('\n')
  const json = lines.findLast((line) => line.startsWith('{'))
  if (json === undefined) return undefined
  try {
    const { code, message, expected, found, next } = problemSchema.parse(JSON.parse(json))
    return {
      code,
      message,
      ...(expected === undefined ? {} : { expected }),
      ...(found === undefined ? {} : { found }),
      ...(next === undefined ? {} : { next }),
    }
  } catch {
    return undefined
  }
}

function died(found: string): Problem {
  return {
    code: 'qualify.crashed',
    message: 'The model ended the process that tried it.',
    expected: 'a model that loads and runs',
    found,
  }
}
