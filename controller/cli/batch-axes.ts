/** How a release says along which dimensions its requests may be put together. Pure. */
import { z } from 'zod'
import { ProblemError } from '../../shared/kernel/result.ts'
import type { Manifest } from '../../shared/model/manifest.ts'
import type { TensorSpec } from '../../shared/model/tensor.ts'

export const batchAxesSchema = z.record(
  z.string().max(256),
  z.union([z.int().min(0).max(15), z.literal('equal')]),
)
type BatchAxes = z.infer<typeof batchAxesSchema>

/** `input=0,state=1,sr=equal`; checked with the rest of the specification. */
export function readBatchAxes(text: string): Record<string, number | string> {
  const entries = text.split(',').map((entry) => {
    // A name may hold an equals sign.
    const at = entry.lastIndexOf('=')
    const value = entry.slice(at + 1)
    return [entry.slice(0, Math.max(0, at)), /^\d+$/.test(value) ? Number(value) : value]
  })
  return Object.fromEntries(entries)
}

/** The tensors with what was said of them. Errors (thrown): `release.batch_axis`. */
export function withBatchAxes(
  {
    inputs,
    outputs,
  }: { readonly inputs: readonly TensorSpec[]; readonly outputs: readonly TensorSpec[] },
  axes: BatchAxes = {},
): Pick<Manifest, 'inputs' | 'outputs'> {
  const names = [...inputs, ...outputs].map(({ name }) => name)
  const unknown = Object.keys(axes).find((name) => !names.includes(name))
  if (unknown !== undefined) throw wrong(unknown, names.join(', '), 'no such tensor')
  const marked = (tensor: TensorSpec): Manifest['inputs'][number] => {
    const axis = axes[tensor.name]
    if (axis === undefined) return tensor
    if (axis === 'equal') return { ...tensor, equal: true }
    if (typeof tensor.shape[axis] === 'string') return { ...tensor, batchAxis: axis }
    throw wrong(tensor.name, 'a free dimension', `${tensor.shape[axis] ?? 'none'} at ${axis}`)
  }
  const said = { inputs: inputs.map(marked), outputs: outputs.map(marked) }
  const silent = said.inputs.find((input) => input.batchAxis === undefined && !input.equal)
  if (Object.keys(axes).length === 0 || silent === undefined) return said
  throw wrong(silent.name, 'each input with its axis, or equal', 'nothing')
}

function wrong(name: string, expected: string, found: string): ProblemError {
  return new ProblemError({
    code: 'release.batch_axis',
    message: `Requests cannot be put together along ${name || 'a tensor without a name'}.`,
    expected,
    found,
  })
}
