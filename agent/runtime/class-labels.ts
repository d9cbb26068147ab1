/**
 * Names of classes from a text file, one in a line, for a model whose manifest nobody wrote. Pure.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Manifest } from '../../shared/model/manifest.ts'
import type { TensorSpec } from '../../shared/model/tensor.ts'

/** As in a manifest. */
const CLASSES_MAX = 1_024
const NAME_LENGTH_MAX = 64

/**
 * The first output with as many elements, its batch aside, is the one they name; of long names the
 * beginning is kept. Errors: `labels.unusable`.
 */
export function classesFrom(
  text: string,
  outputs: readonly TensorSpec[],
): Result<NonNullable<Manifest['classes']>> {
  const lines = text.split(/\r?\n/).map((line) => line.trim().slice(0, NAME_LENGTH_MAX))
  const names = lines.filter((line) => line !== '')
  const output = outputs.find(({ datatype, shape: [first, ...rest] }) => {
    const sizes = typeof first === 'number' ? [first, ...rest] : rest
    const isFixed = sizes.every((size) => typeof size === 'number')
    return datatype !== 'BYTES' && isFixed && sizes.reduce((a, b) => a * b, 1) === names.length
  })
  if (output !== undefined && names.length > 1 && names.length <= CLASSES_MAX) {
    return ok({ tensor: output.name, names })
  }
  return refuse('labels.unusable', 'The labels beside the model name no output of it.', {
    expected: `one line for each element of an output, 2 to ${CLASSES_MAX}`,
    found: `${names.length} lines`,
  })
}
