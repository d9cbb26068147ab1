/**
 * Are these tensors what the model takes? Stricter than ONNX Runtime, which lets extra inputs and
 * NaN pass and whose messages name neither tensor nor expectation. Pure; runs before the arm is
 * drawn, so a refused request belongs to no arm.
 */
import { ok, type Problem, type Result, refuse } from '../../../shared/kernel/result.ts'
import { describeTensor, type TensorSpec, takesShape } from '../../../shared/model/tensor.ts'
import type { TensorValue } from '../../../shared/model/tensor-value.ts'
import { isSumFinite } from './finite-sum.ts'

/** Errors: `infer.invalid_input`, with what was expected and found. */
export function validateInputs(
  inputs: readonly TensorValue[],
  specs: readonly TensorSpec[],
  finiteInputs: readonly string[],
): Result<undefined> {
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]!
    const spec = named(specs, input.name)
    if (spec === undefined) {
      return invalid(`The model has no input ${quote(input.name)}.`, {
        expected: specs.map(({ name }) => name).join(', '),
        found: input.name.slice(0, 256),
      })
    }
    if (inputs.findIndex(({ name }) => name === input.name) !== i) {
      return invalid(`Input ${quote(input.name)} was given twice.`)
    }
    if (input.datatype !== spec.datatype || !takesShape(spec, input.shape)) {
      return invalid(`Input ${quote(input.name)} has the wrong type or shape.`, {
        expected: describeTensor(spec),
        found: describeTensor(input),
      })
    }
    const text = input.datatype === 'BYTES' ? firstChangedText(input) : -1
    if (text >= 0) {
      return invalid(`Input ${quote(input.name)} has a text that would reach the model changed.`, {
        expected: 'texts of whole characters without NUL',
        found: `another at element ${text}`,
      })
    }
  }
  for (const missing of specs) {
    if (named(inputs, missing.name) !== undefined) continue
    return invalid(`Input ${quote(missing.name)} is missing.`, {
      expected: `${missing.name} ${describeTensor(missing)}`,
      found: inputs.map(({ name }) => name.slice(0, 64)).join(', ') || 'no input',
    })
  }
  return checkFinite(inputs, finiteInputs)
}

/** The first of that name. A loop: this is on the way of every request, before it is compiled. */
function named<T extends { readonly name: string }>(
  tensors: readonly T[],
  name: string,
): T | undefined {
  for (const tensor of tensors) if (tensor.name === name) return tensor
  return undefined
}

/** ONNX Runtime's bindings cut a text at NUL, and put U+FFFD for one half of a surrogate pair. */
const CHANGED = /[\0\p{Surrogate}]/u

function firstChangedText({ data }: TensorValue): number {
  return (data as readonly string[]).findIndex((text) => CHANGED.test(text))
}

function checkFinite(inputs: readonly TensorValue[], names: readonly string[]): Result<undefined> {
  for (const name of names) {
    const input = named(inputs, name)
    const at = input === undefined ? -1 : firstNotFinite(input)
    if (at < 0) continue
    return invalid(`Input ${quote(name)} has a value that is not finite.`, {
      expected: 'finite numbers',
      found: `${input?.datatype === 'FP16' ? 'NaN or infinity' : input?.data[at]} at element ${at}`,
    })
  }
  return ok()
}

function firstNotFinite({ datatype, data }: TensorValue): number {
  if (datatype === 'FP16') {
    return (data as Uint16Array).findIndex((bits) => (bits & 0x7c00) === 0x7c00)
  }
  if (datatype !== 'FP32' && datatype !== 'FP64') return -1
  const values = data as Float32Array
  return isSumFinite(values) ? -1 : values.findIndex((value) => !Number.isFinite(value))
}

const quote = (name: string): string => `"${name.slice(0, 256)}"`

function invalid(message: string, details: Omit<Problem, 'code' | 'message'> = {}): Result<never> {
  return refuse('infer.invalid_input', message, details)
}
