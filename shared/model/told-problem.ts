/**
 * How a program that may die tells its parent what was wrong: a problem as one line of JSON, among
 * whatever else (ONNX Runtime writes warnings) stands in its output. Pure.
 */
import type { Problem } from '../kernel/result.ts'
import { problemSchema } from './device.ts'

/** The last line that is a problem; undefined where none is. */
export function toldProblem(output: string): Problem | undefined {
  for (const line of output.trim().split('\n').toReversed()) {
    if (!line.startsWith('{')) continue
    const problem = problemOf(line)
    if (problem !== undefined) return problem
  }
  return undefined
}

function problemOf(line: string): Problem | undefined {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  const parsed = problemSchema.safeParse(value)
  if (!parsed.success) return undefined
  const { code, message, expected, found, next } = parsed.data
  return {
    code,
    message,
    ...(expected === undefined ? {} : { expected }),
    ...(found === undefined ? {} : { found }),
    ...(next === undefined ? {} : { next }),
  }
}
