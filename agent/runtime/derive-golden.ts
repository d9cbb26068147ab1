/**
 * Golden vectors for a model that came without: seeded inputs, and the outputs that the cpu provider
 * computes for them. `linnet release create` runs this through the qualifier program, so that the
 * controller never loads a model.
 */
import { createPrng, type Prng } from '../../shared/kernel/prng.ts'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { GoldenTensor, GoldenVector } from '../../shared/model/golden.ts'
import type { InputMaking, InputSpec } from '../../shared/model/input-spec.ts'
import { elementCount, type TensorSpec } from '../../shared/model/tensor.ts'
import {
  bytesOf,
  ELEMENT_ARRAYS,
  type NumericElements,
  type TensorValue,
  toHalf,
} from '../../shared/model/tensor-value.ts'
import type { ModelSession } from './model-session.ts'

export const VECTORS_DEFAULT = 8
const ELEMENTS_MAX = 2 ** 24

/** Errors: `golden.input_spec`, `golden.unsupported_input`, `golden.run_failed`. */
export async function deriveGolden(
  session: ModelSession,
  specs: InputSpec,
  options: { readonly seed: string; readonly count: number },
): Promise<Result<GoldenVector[]>> {
  const unknown = Object.keys(specs).find(
    (name) => !session.inputs.some((input) => input.name === name),
  )
  if (unknown !== undefined) {
    return refuse('golden.input_spec', 'The input specification names an unknown input.', {
      expected: session.inputs.map(({ name }) => name).join(', '),
      found: unknown,
    })
  }
  const prng = createPrng(`golden:${options.seed}`)
  const vectors: GoldenVector[] = []
  for (let i = 0; i < options.count; i++) {
    const inputs: TensorValue[] = []
    for (const input of session.inputs) {
      const drawn = drawInput(input, specs[input.name] ?? {}, prng.split(`${i}/${input.name}`))
      if (!drawn.ok) return drawn
      inputs.push(drawn.value)
    }
    const outputs = await runOrRefuse(session, inputs)
    if (!outputs.ok) return outputs
    vectors.push({ inputs: inputs.map(goldenOf), outputs: outputs.value.map(goldenOf) })
  }
  return ok(vectors)
}

/** Outputs for given inputs; strings cannot be golden. Errors: as `deriveGolden`. */
export async function runOrRefuse(
  session: ModelSession,
  inputs: readonly TensorValue[],
): Promise<Result<readonly TensorValue[]>> {
  try {
    const outputs = await session.run(inputs)
    const text = outputs.find(({ datatype }) => datatype === 'BYTES')
    if (text === undefined) return ok(outputs)
    return refuse('golden.unsupported_input', 'Text outputs cannot be golden.', {
      found: text.name,
    })
  } catch (cause) {
    return refuse('golden.run_failed', 'The model fails on the inputs that were made for it.', {
      found: (cause instanceof Error ? cause.message : String(cause)).slice(0, 400),
      next: 'say with --input-spec which shapes and values its inputs take',
    })
  }
}

function drawInput(input: TensorSpec, spec: InputMaking, prng: Prng): Result<TensorValue> {
  const { name, datatype } = input
  if (datatype === 'BYTES') {
    return refuse('golden.unsupported_input', 'Text inputs cannot be made up.', {
      found: name,
      next: 'give golden vectors with --golden',
    })
  }
  const shape = spec.shape ?? input.shape.map((size) => (typeof size === 'number' ? size : 1))
  const fits =
    shape.length === input.shape.length &&
    shape.every((size, i) => {
      const declared = input.shape[i]
      return (
        Number.isInteger(size) && size >= 0 && (typeof declared === 'string' || declared === size)
      )
    }) &&
    elementCount(shape) <= ELEMENTS_MAX
  if (!fits) {
    return refuse('golden.input_spec', `The shape for input ${name} does not fit the model.`, {
      expected: JSON.stringify(input.shape),
      found: JSON.stringify(shape).slice(0, 100),
    })
  }
  const data = new ELEMENT_ARRAYS[datatype](elementCount(shape))
  fill(data, datatype, spec, prng)
  return ok({ name, datatype, shape, data })
}

function fill(
  data: NumericElements,
  datatype: TensorSpec['datatype'],
  { min, max, value }: InputMaking,
  prng: Prng,
): void {
  const isFloat = datatype === 'FP16' || datatype === 'FP32' || datatype === 'FP64'
  const least = min ?? 0
  const greatest = max ?? Math.max(1, least)
  const draw = (): number => {
    if (value !== undefined) return value
    if (!isFloat) return least + prng.below(greatest - least + 1)
    const isRanged = min !== undefined || max !== undefined
    return isRanged ? least + (greatest - least) * prng.unit() : prng.normal()
  }
  for (let i = 0; i < data.length; i++) {
    const drawn = draw()
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
      data[i] = BigInt(Math.trunc(drawn))
    } else data[i] = datatype === 'FP16' ? toHalf(drawn) : drawn
  }
}

function goldenOf({ name, datatype, shape, data }: TensorValue): GoldenTensor {
  return {
    name,
    datatype: datatype as GoldenTensor['datatype'],
    shape,
    data: bytesOf(data as NumericElements),
  }
}
