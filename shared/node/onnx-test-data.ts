/**
 * The layout of ONNX test data on disk: `input_0.pb`, `output_0.pb` ..., in a folder itself or in
 * folders `test_data_set_0` and so on below it. Each file is one TensorProto; what has another type
 * is refused. Whether the tensors fit a model is left to the caller.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ProblemError, unwrap } from '../kernel/result.ts'
import type { GoldenTensor, GoldenVector } from '../model/golden.ts'
import { datatypeSchema } from '../model/tensor.ts'
import { bytesOfStrings } from '../model/text-elements.ts'
import { decodeTensor } from '../onnx/tensor-codec.ts'

const VECTORS_MAX = 64

/**
 * A tensor without a name has the one that stands at its place in `names`, or none.
 * Errors (thrown): `golden.missing`, `golden.malformed`, those of `decodeTensor`.
 */
export async function readTestData(
  folder: string,
  names: { readonly inputs: readonly string[]; readonly outputs: readonly string[] },
): Promise<GoldenVector[]> {
  const entries = await readdir(folder)
  const sets = entries.filter((name) => /^test_data_set_\d+$/.test(name)).toSorted(byNumber)
  const folders = sets.length > 0 ? sets.map((name) => join(folder, name)) : [folder]
  const vectors: GoldenVector[] = []
  for (const set of folders.slice(0, VECTORS_MAX)) {
    const files = (await readdir(set)).toSorted(byNumber)
    const read = (role: string, fallback: readonly string[]) =>
      Promise.all(
        files
          .filter((file) => file.startsWith(`${role}_`))
          .map((file, i) => readTensor(join(set, file), fallback[i] ?? file)),
      )
    vectors.push({
      inputs: await read('input', names.inputs),
      outputs: await read('output', names.outputs),
    })
  }
  if (vectors.some(({ inputs, outputs }) => inputs.length + outputs.length > 0)) return vectors
  throw refused('missing', 'The folder has no ONNX test data.', `${folder} without input_0.pb`)
}

async function readTensor(path: string, fallback: string): Promise<GoldenTensor> {
  const { name, datatype, shape, data } = unwrap(decodeTensor(await readFile(path)))
  const known = datatypeSchema.safeParse(datatype)
  if (!known.success) {
    throw refused('malformed', 'A golden tensor has a type that is not served.', datatype)
  }
  const bytes = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : bytesOfStrings(data)
  return { name: name === '' ? fallback : name, datatype: known.data, shape, data: bytes }
}

function byNumber(a: string, b: string): number {
  return Number(/\d+/.exec(a)?.[0] ?? 0) - Number(/\d+/.exec(b)?.[0] ?? 0)
}

function refused(code: string, message: string, found: string): ProblemError {
  const expected = 'input_0.pb, output_0.pb in test_data_set_0'
  return new ProblemError({ code: `golden.${code}`, message, expected, found: found.slice(0, 300) })
}
