/**
 * Inputs for a model that nobody described. Which values a model takes is not in its file (an index
 * must lie within, a shape must fit, a divisor must not be zero), so several recipes are tried, the
 * plainest first. Invariant: the same seed, recipe and specification give the same inputs.
 */
import type { Prng } from '../../../shared/kernel/prng.ts'
import { ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import {
  type InputMaking,
  type InputSpec,
  inputSpecExample,
} from '../../../shared/model/input-spec.ts'
import { elementCount, type TensorSpec } from '../../../shared/model/tensor.ts'
import {
  ELEMENT_ARRAYS,
  type NumericElements,
  type TensorValue,
  toHalf,
} from '../../../shared/model/tensor-value.ts'

/** What fills the elements that no specification speaks of. */
interface Recipe {
  readonly float: (prng: Prng) => number
  /** The element at `index` of an integer tensor; `sizes` are those of an output of its length. */
  readonly integer: (prng: Prng, index: number, sizes: readonly number[] | undefined) => number
  readonly text: (prng: Prng) => string
  /** For a dimension that the model leaves free. */
  readonly size: number
  /** For an input whose rank the model leaves open. */
  readonly shape: readonly number[]
}

const WORDS = ['a', 'linnet', '', 'Größe', '7', 'two words']
const one = (): number => 1
const unit = (prng: Prng): number => prng.unit()
const word = (prng: Prng): string => prng.pick(WORDS)
const digit = (): string => '1'

const normal = (prng: Prng): number => prng.normal()
const bit = (prng: Prng): number => prng.below(2)

export const RECIPES: readonly Recipe[] = [
  { float: normal, integer: bit, text: word, size: 1, shape: [1] },
  { float: unit, integer: one, text: digit, size: 1, shape: [] },
  { float: (prng) => 1 + prng.unit(), integer: one, text: digit, size: 2, shape: [2, 2] },
  // The shape that a model is asked to make is often the one that it declares to give.
  { float: one, integer: (_, i, sizes) => sizes?.[i] ?? 1, text: word, size: 1, shape: [1, 1] },
  { float: unit, integer: () => 0, text: word, size: 1, shape: [2] },
  { float: unit, integer: (_, i) => i, text: word, size: 4, shape: [1, 1, 1, 1] },
  { float: unit, integer: (_, i) => i + 1, text: digit, size: 8, shape: [1, 1, 1] },
]

const ELEMENTS_MAX = 2 ** 24
export interface Tensors {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
}

/** Errors: `golden.input_spec`, `golden.too_large`. */
export function drawInputs(
  { inputs, outputs }: Tensors,
  specs: InputSpec,
  recipe: Recipe,
  prngOf: (name: string) => Prng,
): Result<TensorValue[]> {
  const drawn: TensorValue[] = []
  for (const input of inputs) {
    const making = specs[input.name] ?? {}
    const shape = shapeOf(input, making, recipe)
    if (!shape.ok) return shape
    const sizes = fixedShape(outputs, elementCount(shape.value))
    const draw = { making, recipe, sizes, prng: prngOf(input.name) }
    drawn.push({ ...spec(input), shape: shape.value, data: fill(input, shape.value, draw) })
  }
  return ok(drawn)
}

const spec = ({ name, datatype }: TensorSpec) => ({ name, datatype })

function fixedShape(outputs: readonly TensorSpec[], rank: number): readonly number[] | undefined {
  const found = outputs.find(
    ({ shape }) => shape.length === rank && shape.every((size) => typeof size === 'number'),
  )
  return found?.shape.map(Number)
}

function shapeOf(
  input: TensorSpec,
  { shape: wanted }: InputMaking,
  recipe: Recipe,
): Result<readonly number[]> {
  const free = input.anyShape === true
  const declared = free ? recipe.shape : input.shape
  const shape = wanted ?? declared.map((size) => (typeof size === 'number' ? size : recipe.size))
  const agrees = (size: number, i: number): boolean =>
    free || typeof declared[i] === 'string' || declared[i] === size
  const fits = (free || shape.length === declared.length) && shape.every(agrees)
  const count = elementCount(shape)
  if (fits && count > ELEMENTS_MAX) {
    return refuse('golden.too_large', `Input ${input.name} is too large to be made up.`, {
      expected: `at most ${ELEMENTS_MAX} elements`,
      found: `${count}`,
      next: 'give golden vectors with --golden',
    })
  }
  if (fits) return ok(shape)
  return refuse('golden.input_spec', `The shape for input ${input.name} does not fit the model.`, {
    expected: JSON.stringify(input.shape),
    found: JSON.stringify(shape).slice(0, 100),
    next: inputSpecExample([input]),
  })
}

interface Drawing {
  readonly making: InputMaking
  readonly recipe: Recipe
  readonly sizes: readonly number[] | undefined
  readonly prng: Prng
}

function fill({ datatype }: TensorSpec, shape: readonly number[], drawing: Drawing) {
  const count = elementCount(shape)
  if (datatype === 'BYTES')
    return Array.from({ length: count }, () => drawing.recipe.text(drawing.prng))
  const data: NumericElements = new ELEMENT_ARRAYS[datatype](count)
  const isFloat = datatype === 'FP16' || datatype === 'FP32' || datatype === 'FP64'
  for (let i = 0; i < count; i++) {
    const drawn = isFloat ? drawFloat(drawing) : drawInteger(drawing, i)
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
      data[i] = BigInt(Math.trunc(drawn))
    } else if (datatype === 'BOOL') data[i] = drawn === 0 ? 0 : 1
    else data[i] = datatype === 'FP16' ? toHalf(drawn) : drawn
  }
  return data
}

function drawFloat({ making: { value, min, max }, recipe, prng }: Drawing): number {
  if (value !== undefined) return value
  if (min === undefined && max === undefined) return recipe.float(prng)
  const least = min ?? 0
  return least + ((max ?? Math.max(1, least)) - least) * prng.unit()
}

function drawInteger(drawing: Drawing, index: number): number {
  const { value, min, max } = drawing.making
  const { recipe, prng, sizes } = drawing
  if (value !== undefined) return value
  if (min === undefined && max === undefined) return recipe.integer(prng, index, sizes)
  const least = min ?? 0
  return least + prng.below((max ?? Math.max(1, least)) - least + 1)
}
