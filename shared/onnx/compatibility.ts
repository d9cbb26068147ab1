/**
 * May a candidate answer the requests that the current release answers? The application on the
 * device does not know of the rollout, so the candidate must take every input that is valid now and
 * give every output that is promised now.
 *
 * Inputs: the same names and types; a size that was free must stay free, a fixed one may become
 * free. Outputs: the same names and types; sizes fixed on both sides must agree. Names of free
 * dimensions mean nothing. Callers: admission on the device, and the controller before a rollout.
 */
import { ok, type Result, refuse } from '../kernel/result.ts'
import { describeTensor, type TensorSpec } from '../model/tensor.ts'

export interface TensorSignature {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
}

/** Errors: `admission.signature_changed`, with each difference. */
export function checkCompatible(
  candidate: TensorSignature,
  current: TensorSignature,
): Result<undefined> {
  const differences = [
    ...compareTensors('input', candidate.inputs, current.inputs, inputSizeFits),
    ...compareTensors('output', candidate.outputs, current.outputs, outputSizeFits),
  ]
  if (differences.length === 0) return ok()
  return refuse(
    'admission.signature_changed',
    'The candidate has another signature than the release that serves.',
    {
      expected: describeSignature(current),
      found: differences.slice(0, 8).join('; ').slice(0, 500),
      next: 'give a release with another signature another model name',
    },
  )
}

type Size = number | string

const isFree = (size: Size): size is string => typeof size === 'string'
const inputSizeFits = (candidate: Size, current: Size): boolean =>
  isFree(candidate) || candidate === current
const outputSizeFits = (candidate: Size, current: Size): boolean =>
  isFree(candidate) || isFree(current) || candidate === current

/** An open rank of an input must stay open; an output's may be anything once it was open. */
function rankFits(role: 'input' | 'output', candidate: TensorSpec, current: TensorSpec): boolean {
  if (candidate.anyShape === true || current.anyShape === true) {
    return candidate.anyShape === true || role === 'output'
  }
  return candidate.shape.length === current.shape.length
}

function compareTensors(
  role: 'input' | 'output',
  candidate: readonly TensorSpec[],
  current: readonly TensorSpec[],
  sizeFits: (candidate: Size, current: Size) => boolean,
): string[] {
  const differences: string[] = []
  for (const before of current) {
    const after = candidate.find(({ name }) => name === before.name)
    if (after === undefined) {
      differences.push(`no ${role} ${before.name}`)
      continue
    }
    const fits =
      after.datatype === before.datatype &&
      rankFits(role, after, before) &&
      (after.anyShape === true || after.shape.every((size, i) => sizeFits(size, before.shape[i]!)))
    if (fits) continue
    differences.push(
      `${role} ${before.name} is ${describeTensor(after)}, was ${describeTensor(before)}`,
    )
  }
  const added = candidate.filter(({ name }) => !current.some((before) => before.name === name))
  return [...differences, ...added.map(({ name }) => `new ${role} ${name}`)]
}

function describeSignature({ inputs, outputs }: TensorSignature): string {
  const list = (tensors: readonly TensorSpec[]): string =>
    tensors.map((tensor) => `${tensor.name} ${describeTensor(tensor)}`).join(', ')
  return `${list(inputs)} -> ${list(outputs)}`.slice(0, 500)
}
