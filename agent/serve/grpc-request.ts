/**
 * `ModelInferRequest` of the Open Inference Protocol v2 over gRPC, from its bytes (inference.proto).
 * Trusts nothing: names, sizes and shapes are checked before they are used; raw contents become
 * views into the message, not copies, where the offset is aligned.
 */
import { WireType } from '@bufbuild/protobuf/wire'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import {
  err,
  ok,
  ProblemError,
  type Result,
  refuse,
  toProblem,
  unwrap,
} from '../../shared/kernel/result.ts'
import { DATATYPES, type Datatype } from '../../shared/model/tensor.ts'
import type { TensorElements, TensorValue } from '../../shared/model/tensor-value.ts'
import {
  type FieldReader,
  type FieldTable,
  onBytes,
  onRepeated,
  onString,
  onVarints,
  readFields,
} from '../../shared/onnx/wire-fields.ts'
import type { InferRequest } from '../data-plane.ts'
import { elementsFromBytes } from './binary-tensor.ts'
import { countOf, isArm } from './infer-decode.ts'
import { elementsFromJson } from './json-tensor.ts'

export type GrpcInfer = Pick<
  InferRequest,
  'model' | 'version' | 'id' | 'inputs' | 'outputs' | 'arm' | 'key'
>

/** As it stands in the message; `values` are those of its `contents`. */
interface WireTensor {
  name: string
  datatype: string
  readonly shape: number[]
  readonly values: unknown[]
}

const TENSORS_MAX = 256
const NAME_BYTES_MAX = 1_024

/** Errors: `request.malformed`, `infer.invalid_input`. */
export function decodeGrpcInfer(message: Uint8Array): Result<GrpcInfer> {
  return reading(() => readRequest(message))
}

/** Errors (thrown): as above. */
function readRequest(message: Uint8Array): GrpcInfer {
  const head = { model: '', version: '', id: '' }
  const tensors: WireTensor[] = []
  const outputs: string[] = []
  const raw: Uint8Array[] = []
  const parameters = new Map<string, string>()
  readFields(message, {
    1: into(head, 'model'),
    2: into(head, 'version'),
    3: into(head, 'id'),
    4: onBytes((entry) => readParameter(entry, parameters)),
    5: onBytes((tensor) => push(tensors, readTensor(tensor))),
    6: onBytes((output) => push(outputs, readName(output))),
    7: onBytes((bytes) => push(raw, bytes)),
  })
  if (raw.length > 0 && raw.length !== tensors.length) {
    throw malformed(`raw contents for all ${tensors.length} inputs or none`, `${raw.length}`)
  }
  const arm = parameters.get('linnet-arm')
  if (arm !== undefined && !isArm(arm)) throw malformed('baseline or canary', arm.slice(0, 64))
  const { model, version, id } = head
  return {
    model,
    version: version === '' ? undefined : version,
    id: id === '' ? undefined : id,
    inputs: tensors.map((tensor, i) => unwrap(toValue(tensor, raw[i]))),
    outputs: outputs.length === 0 ? undefined : outputs,
    arm,
    key: parameters.get('key'),
  }
}

function push<T>(list: T[], item: T): void {
  if (list.length >= TENSORS_MAX) throw malformed(`at most ${TENSORS_MAX} tensors`, 'more')
  list.push(item)
}

function readTensor(message: Uint8Array): WireTensor {
  const tensor: WireTensor = { name: '', datatype: '', shape: [], values: [] }
  readFields(message, {
    1: into(tensor, 'name'),
    2: into(tensor, 'datatype'),
    3: onVarints((size) => void push(tensor.shape, Number(size))),
    5: onBytes((contents) => readFields(contents, contentsInto(tensor.values))),
  })
  return tensor
}

/** All kinds of contents in one list; whether they fit the datatype is checked after. */
function contentsInto(values: unknown[]): FieldTable {
  const integer = onVarints((value) => {
    const number = Number(value)
    values.push(Number.isSafeInteger(number) ? number : String(value))
  })
  return {
    1: onVarints((value) => void values.push(value !== 0n)),
    2: integer,
    3: integer,
    4: onRepeated(WireType.Varint, (reader) => void values.push(reader.uint32())),
    5: onRepeated(WireType.Varint, (reader) => void values.push(String(reader.uint64()))),
    6: onRepeated(WireType.Bit32, (reader) => void values.push(reader.float())),
    7: onRepeated(WireType.Bit64, (reader) => void values.push(reader.double())),
    8: onBytes((bytes) => void values.push(fromUtf8(bytes))),
  }
}

function toValue({ name, datatype, shape, values }: WireTensor, raw: Uint8Array | undefined) {
  if (!isDatatype(datatype)) return wrong(name, DATATYPES.join(', '), datatype.slice(0, 64))
  const count = countOf(shape)
  if (count === undefined) return wrong(name, 'a shape', `[${shape.slice(0, 16).join(',')}]`)
  const elements: Result<TensorElements> =
    raw === undefined
      ? elementsFromJson(name, datatype, values, count)
      : elementsFromBytes(name, datatype, raw, count)
  return elements.ok ? ok<TensorValue>({ name, datatype, shape, data: elements.value }) : elements
}

/** An entry of `map<string, InferParameter>`; only strings mean something here. */
function readParameter(message: Uint8Array, parameters: Map<string, string>): void {
  const entry: { key: string; value?: string } = { key: '' }
  readFields(message, {
    1: into(entry, 'key'),
    2: onBytes((parameter) => readFields(parameter, { 3: into(entry, 'value') })),
  })
  const { key, value } = entry
  if (value !== undefined && parameters.size < TENSORS_MAX) parameters.set(key, value)
}

function readName(message: Uint8Array): string {
  const output = { name: '' }
  readFields(message, { 1: into(output, 'name') })
  return output.name
}

/** A string field, kept under `key`. */
function into<K extends string>(target: { [P in K]?: string }, key: K): FieldReader {
  return onString((text) => {
    target[key] = text
  }, NAME_BYTES_MAX)
}

/** `{ name = 1, version = 2 }`, of the requests about a model. Errors: `request.malformed`. */
export function decodeModelName(message: Uint8Array): Result<{ name: string; version: string }> {
  return reading(() => {
    const asked = { name: '', version: '' }
    readFields(message, {
      1: into(asked, 'name'),
      2: into(asked, 'version'),
    })
    return asked
  })
}

/** What the reader of the wire throws is told in the words of this protocol. */
function reading<T>(decode: () => T): Result<T> {
  try {
    return ok(decode())
  } catch (cause) {
    const { code, message, found } = toProblem(cause, 'request.malformed')
    const isOurs = cause instanceof ProblemError && !code.startsWith('onnx.')
    return err(isOurs ? cause.problem : malformed('a protobuf message', found ?? message).problem)
  }
}

const isDatatype = (value: string): value is Datatype =>
  (DATATYPES as readonly string[]).includes(value)

function wrong(name: string, expected: string, found: string): Result<never> {
  return refuse('infer.invalid_input', `Input "${name.slice(0, 256)}" cannot be read.`, {
    expected,
    found,
  })
}

function malformed(expected: string, found: string): ProblemError {
  return new ProblemError({
    code: 'request.malformed',
    message: 'This is not an inference request.',
    expected,
    found,
  })
}
