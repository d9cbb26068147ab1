/**
 * The reference profile of a release from CSV: the first line names the columns, each further line
 * is one request. An empty cell is a missing value, `NaN` an invalid one.
 */
import { readFile } from 'node:fs/promises'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import type { Feature, FeatureReference } from '../../shared/model/manifest.ts'
import { nameSchema } from '../../shared/model/names.ts'
import type { TensorSpec } from '../../shared/model/tensor.ts'
import { buildReference } from '../../shared/sketch/reference-profile.ts'

const FEATURES_MAX = 64
const ROWS_MAX = 1_000_000

export interface Reference {
  readonly features: readonly Feature[]
  readonly reference: readonly FeatureReference[]
}

/**
 * @param features as the specification declares them; without any, the columns must be the elements
 * of the model's first input, in order.
 * Errors (thrown): `reference.missing`, `.malformed`, `.columns`, and those of `buildReference`.
 */
export async function readReference(
  path: string,
  features: readonly Feature[],
  inputs: readonly TensorSpec[],
): Promise<Reference> {
  const text = await readFile(path, 'utf8').catch(() => {
    const expected = 'a CSV file: one line of feature names, then one line for each request'
    throw refused('missing', 'The reference data are not there.', expected, path)
  })
  const [head = '', ...lines] = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  const columns = head.split(',').map((cell) => cell.trim())
  const used = features.length > 0 ? features : elementFeatures(columns, inputs)
  const order = used.map(({ name }) => columns.indexOf(name))
  if (order.includes(-1)) {
    const expected = used.map(({ name }) => name).join(', ')
    throw refused('columns', 'The reference lacks a feature.', expected, columns.join(', '))
  }
  const rows = lines
    .filter((line) => line.trim() !== '')
    .slice(0, ROWS_MAX)
    .map((line, i) => {
      const cells = line.split(',')
      return order.map((column) => numberOf(cells[column], i + 2))
    })
  const names = used.map(({ name }) => name)
  return { features: used, reference: unwrap(buildReference(rows, names)) }
}

/** One feature for each column: element i of the first input. */
function elementFeatures(columns: readonly string[], inputs: readonly TensorSpec[]): Feature[] {
  const input = inputs[0]
  // The first dimension is the batch, where it is free or 1.
  const sizes = input?.shape.slice(
    input.shape[0] === 1 || typeof input.shape[0] === 'string' ? 1 : 0,
  )
  const elements = sizes?.reduce<number>(
    (n, size) => n * (typeof size === 'number' ? size : NaN),
    1,
  )
  const named = columns.every((name) => nameSchema.safeParse(name).success)
  if (
    input === undefined ||
    elements !== columns.length ||
    columns.length > FEATURES_MAX ||
    !named
  ) {
    throw refused(
      'columns',
      'The columns are not the elements of the first input, and no features are declared.',
      `${elements} columns with lower-case names, or features in --spec`,
      `${columns.length} columns: ${columns.join(', ').slice(0, 200)}`,
    )
  }
  return columns.map((name, offset) => ({
    ...{ name, tensor: input.name, reduce: 'element' as const },
    ...{ offset, count: 0 },
  }))
}

function numberOf(cell: string | undefined, line: number): number | null {
  const text = cell?.trim() ?? ''
  if (text === '') return null
  const value = Number(text)
  if (!Number.isNaN(value) || /^[-+]?nan$/i.test(text)) return value
  throw refused(
    'malformed',
    'The reference has a cell that is no number.',
    'numbers',
    `line ${line}: ${text}`,
  )
}

function refused(code: string, message: string, expected: string, found: string): ProblemError {
  const next =
    'linnet release create --reference FILE.csv, or without it: then nothing watches drift'
  return new ProblemError({ code: `reference.${code}`, message, expected, found, next })
}
