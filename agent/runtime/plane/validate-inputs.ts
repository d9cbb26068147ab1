/**
 * Are these tensors what the model takes? Stricter than ONNX Runtime, which lets extra inputs and
 * NaN pass and whose messages name neither tensor nor expectation. Pure; runs before the arm is
 * drawn, so a refused request belongs to no arm.
 */
import type { Problem } from '../../../shared/kernel/result.ts'
import { describeTensor, type TensorSpec, takesShape } from '../../../shared/model/tensor.ts'
import type { TensorValue } from '../../../shared/model/tensor-value.ts'
import type { FlawReason } from '../../data-plane.ts'
import type { OutsideRange } from './check-ranges.ts'
import { isSumFinite } from './finite-sum.ts'

/** Why a request is refused, and for which input: what is counted of it. */
export interface InputFlaw {
  readonly reason: FlawReason
  /** As the manifest calls it; empty where it has no such name. */
  readonly name: string
  /** `infer.invalid_input`, with what was expected and found. */
  readonly problem: Problem
}

/** @returns the first flaw; undefined: the model takes these. */
export function flawOf(
  inputs: readonly TensorValue[],
  specs: readonly TensorSpec[],
  finiteInputs: readonly string[],
): InputFlaw | undefined {
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]!
    const { name } = input
    const spec = named(specs, name)
    if (spec === undefined) {
      return flaw('unknown_input', '', `The model has no input ${quote(name)}.`, {
        expected: specs.map((each) => each.name).join(', '),
        found: name.slice(0, 256),
      })
    }
    if (inputs.findIndex((other) => other.name === name) !== i) {
      return flaw('given_twice', name, `Input ${quote(name)} was given twice.`)
    }
    if (input.datatype !== spec.datatype || !takesShape(spec, input.shape)) {
      const reason = input.datatype === spec.datatype ? 'shape' : 'datatype'
      return flaw(reason, name, `Input ${quote(name)} has the wrong type or shape.`, {
        expected: describeTensor(spec),
        found: describeTensor(input),
      })
    }
    const text = input.datatype === 'BYTES' ? firstChangedText(input) : -1
    if (text >= 0) {
      const message = `Input ${quote(name)} has a text that would reach the model changed.`
      return flaw('text', name, message, {
        expected: 'texts of whole characters without NUL',
        found: `another at element ${text}`,
      })
    }
  }
  for (const missing of specs) {
    const { name } = missing
    if (named(inputs, name) !== undefined) continue
    return flaw('missing', name, `Input ${quote(name)} is missing.`, {
      expected: `${name} ${describeTensor(missing)}`,
      found: inputs.map((each) => each.name.slice(0, 64)).join(', ') || 'no input',
    })
  }
  return checkFinite(inputs, finiteInputs)
}

/** A value outside a range where the manifest says that it is refused. */
export function rangeFlaw({ name, range, value, element }: OutsideRange): InputFlaw {
  const { min, max } = range
  const least = min === undefined ? [] : [`at least ${min}`]
  const most = max === undefined ? [] : [`at most ${max}`]
  const message =
    element === undefined
      ? `Feature ${quote(name)} of the inputs is outside its range.`
      : `Input ${quote(name)} has a value outside its range.`
  return flaw('range', name, message, {
    expected: [...least, ...most].join(', '),
    found: element === undefined ? `${value}` : `${value} at element ${element}`,
  })
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

function checkFinite(
  inputs: readonly TensorValue[],
  names: readonly string[],
): InputFlaw | undefined {
  for (const name of names) {
    const input = named(inputs, name)
    const at = input === undefined ? -1 : firstNotFinite(input)
    if (at < 0) continue
    return flaw('not_finite', name, `Input ${quote(name)} has a value that is not finite.`, {
      expected: 'finite numbers',
      found: `${input?.datatype === 'FP16' ? 'NaN or infinity' : input?.data[at]} at element ${at}`,
    })
  }
  return undefined
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

function flaw(
  reason: FlawReason,
  name: string,
  message: string,
  details: Omit<Problem, 'code' | 'message'> = {},
): InputFlaw {
  return { reason, name, problem: { code: 'infer.invalid_input', message, ...details } }
}
