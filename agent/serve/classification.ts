/**
 * An output as its best classes, for clients that ask for `classification`: texts `score:index` or
 * `score:index:label`, the best first. Source: Triton's "Classification Extension"; floats are
 * written with six decimals, as it writes them. Pure.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { leadingRows } from '../../shared/model/batch.ts'
import { elementCount } from '../../shared/model/tensor.ts'
import { numberAt, type TensorValue } from '../../shared/model/tensor-value.ts'
import type { DataPlane, InferAnswer } from '../data-plane.ts'

/** Output -> how many of its best classes are wanted. */
export type ClassCounts = ReadonlyMap<string, number>

const SCORES_MAX = 100_000

/** Errors: `request.unsupported`. */
export function withClasses(
  answer: InferAnswer,
  counts: ClassCounts,
  plane: Pick<DataPlane, 'releases'>,
): Result<InferAnswer> {
  if (counts.size === 0) return ok(answer)
  const { model, version } = answer
  const release = plane.releases().find((each) => each.model === model && each.version === version)
  const outputs: TensorValue[] = []
  for (const output of answer.outputs) {
    const count = counts.get(output.name)
    if (count === undefined) {
      outputs.push(output)
      continue
    }
    if (output.datatype === 'BYTES' || elementCount(output.shape) > SCORES_MAX) {
      return refuse('request.unsupported', 'This output cannot be told as classes.', {
        expected: `at most ${SCORES_MAX} numbers`,
        found: `${output.name} ${output.datatype} [${output.shape.join(',')}]`,
      })
    }
    const labels = release?.classes?.tensor === output.name ? release.classes.names : []
    outputs.push(
      classesOf(output, count, labels, release !== undefined && leadingRows(release) !== 'none'),
    )
  }
  return ok({ ...answer, outputs })
}

/** [n, classes] -> [n, count] where the first axis is the batch, else all elements -> [count]. */
function classesOf(
  output: TensorValue,
  wanted: number,
  labels: readonly string[],
  batched: boolean,
): TensorValue {
  const rows = batched ? (output.shape[0] ?? 1) : 1
  const size = rows === 0 ? 0 : elementCount(output.shape) / rows
  const count = Math.min(wanted, size)
  const data: string[] = []
  for (let row = 0; row < rows; row++) {
    const scores = Array.from({ length: size }, (_, i) => numberAt(output, row * size + i))
    for (const index of bestOf(scores).slice(0, count)) {
      const label = labels[index] === undefined ? '' : `:${labels[index]}`
      data.push(`${scoreText(output, row * size + index, scores[index]!)}:${index}${label}`)
    }
  }
  const shape = batched ? [rows, count] : [count]
  return { name: output.name, datatype: 'BYTES', shape, data }
}

/** Indices, the highest score first, NaN last; among equals the first. */
function bestOf(scores: readonly number[]): number[] {
  const rank = (score: number): number => (Number.isNaN(score) ? -Infinity : score)
  return scores.map((_, i) => i).sort((a, b) => rank(scores[b]!) - rank(scores[a]!) || a - b)
}

/** As C prints them. */
function scoreText({ datatype, data }: TensorValue, at: number, score: number): string {
  const isFloat = datatype === 'FP16' || datatype === 'FP32' || datatype === 'FP64'
  if (!isFloat) return String(data[at])
  if (Number.isNaN(score)) return 'nan'
  if (Number.isFinite(score)) return score.toFixed(6)
  return score > 0 ? 'inf' : '-inf'
}
