/**
 * `ModelInferRequest` of the Open Inference Protocol v2 over gRPC, from its bytes (inference.proto).
 * Trusts nothing: names, sizes and shapes are checked before they are used; raw contents become
 * views into the message, not copies, where the offset is aligned.
 */
import { ok, ProblemError, type Result, refuse, unwrap } from '../../shared/kernel/result.ts'
import { DATATYPES, type Datatype } from '../../shared/model/tensor.ts'
import type { TensorElements, TensorValue } from '../../shared/model/tensor-value.ts'
import {
  type FieldTable,
  onBytes,
  onInteger,
  onString,
  onVarints,
  onWide,
  readFields,
} from '../../shared/onnx/wire-fields.ts'
import type { InferRequest } from '../data-plane.ts'
import { elementsFromBytes } from './binary-tensor.ts'
import { createValueBudget, readContents, type ValueBudget } from './grpc-contents.ts'
import { FIELDS_MAX, into, malformed, NAME_BYTES_MAX, reading } from './grpc-requests.ts'
import {
  countOf,
  type DecodedRequest,
  decodeControl,
  decodeWish,
  refuseShared,
} from './infer-decode.ts'
import { elementsFromJson } from './json-tensor.ts'

export interface GrpcInfer
  extends Omit<InferRequest, 'arrivedAtMs' | 'isGone'>,
    Pick<DecodedRequest, 'classes'> {}

/** As it stands in the message; `contents` are read once its shape is known. */
interface WireTensor {
  name: string
  datatype: string
  readonly shape: number[]
  readonly contents: Uint8Array[]
}

type Parameters = Record<string, string | number | boolean>

/** Without a prototype: a name may be any text. */
const noParameters = (): Parameters => Object.create(null) as Parameters

const TENSORS_MAX = 256
/** Of a map's entry, and of the value in it: two, and what a later protocol adds. */
const PARAMETER_FIELDS_MAX = 16

/** Errors: `request.malformed`, `infer.invalid_input`. */
export function decodeGrpcInfer(message: Uint8Array): Result<GrpcInfer> {
  return reading(() => readRequest(message))
}

/** Errors (thrown): as above. */
function readRequest(message: Uint8Array): GrpcInfer {
  const head = { model: '', version: '', id: '' }
  const tensors: WireTensor[] = []
  const outputs: { readonly name: string; readonly classes: number | undefined }[] = []
  const raw: Uint8Array[] = []
  const parameters = noParameters()
  const table = {
    1: into(head, 'model'),
    2: into(head, 'version'),
    3: into(head, 'id'),
    4: onBytes((entry) => readParameter(entry, parameters)),
    5: onBytes((tensor) => push(tensors, readTensor(tensor))),
    6: onBytes((output) => push(outputs, readOutput(output))),
    7: onBytes((bytes) => push(raw, bytes)),
  }
  readFields(message, table, FIELDS_MAX)
  if (raw.length > 0) refuseTwice(head.model, tensors)
  if (raw.length > 0 && raw.length !== tensors.length) {
    throw malformed(`raw contents for all ${tensors.length} inputs or none`, `${raw.length}`)
  }
  const control = unwrap(decodeControl(parameters))
  const { model, version, id } = head
  const budget = createValueBudget()
  return {
    model,
    version: version === '' ? undefined : version,
    id: id === '' ? undefined : id,
    inputs: tensors.map((tensor, i) => unwrap(toValue(tensor, raw[i], budget))),
    outputs: outputs.length === 0 ? undefined : outputs.map(({ name }) => name),
    classes: new Map(outputs.flatMap(({ name, classes }) => (classes ? [[name, classes]] : []))),
    ...control,
  }
}

/** In the words that Triton's examples look for. Errors (thrown): `request.malformed`. */
function refuseTwice(model: string, tensors: readonly WireTensor[]): void {
  const twice = tensors.find(({ contents }) => contents.some(({ length }) => length > 0))
  if (twice === undefined) return
  const which = `'${twice.name.slice(0, 256)}' for model '${model.slice(0, 64)}'`
  const message = `contents field must not be specified when using raw_input_contents for ${which}`
  throw new ProblemError({ code: 'request.malformed', message })
}

function push<T>(list: T[], item: T): void {
  if (list.length >= TENSORS_MAX) throw malformed(`at most ${TENSORS_MAX} tensors`, 'more')
  list.push(item)
}

function readTensor(message: Uint8Array): WireTensor {
  const tensor: WireTensor = { name: '', datatype: '', shape: [], contents: [] }
  const parameters = noParameters()
  const table = {
    1: into(tensor, 'name'),
    2: into(tensor, 'datatype'),
    3: onVarints((size) => void push(tensor.shape, Number(size))),
    4: onBytes((entry) => readParameter(entry, parameters)),
    5: onBytes((contents) => push(tensor.contents, contents)),
  }
  readFields(message, table, FIELDS_MAX)
  const shared = refuseShared(parameters)
  if (shared !== undefined) unwrap(shared)
  return tensor
}

function toValue(
  { name, datatype, shape, contents }: WireTensor,
  raw: Uint8Array | undefined,
  budget: ValueBudget,
): Result<TensorValue> {
  if (!isDatatype(datatype)) return wrong(name, DATATYPES.join(', '), datatype.slice(0, 64))
  const count = countOf(shape)
  if (count === undefined) return wrong(name, 'a shape', `[${shape.slice(0, 16).join(',')}]`)
  const described = { name, datatype }
  const elements: Result<TensorElements> =
    raw === undefined
      ? elementsFromJson(name, datatype, readContents(described, contents, count, budget), shape)
      : elementsFromBytes(name, datatype, raw, count)
  return elements.ok ? ok({ name, datatype, shape, data: elements.value }) : elements
}

/** An entry of `map<string, InferParameter>`; an integer over 2^53 becomes its decimal text. */
function readParameter(message: Uint8Array, parameters: Parameters): void {
  const entry: { key: string } = { key: '' }
  let value: Parameters[string] | undefined
  const keep = (wide: bigint): void => {
    const number = Number(wide)
    value = Number.isSafeInteger(number) ? number : String(wide)
  }
  const choices: FieldTable = {
    1: onInteger((flag) => {
      value = flag !== 0
    }),
    2: onWide('int64', keep),
    3: onString((text) => {
      value = text
    }, NAME_BYTES_MAX),
    4: (reader) => {
      value = reader.double()
    },
    5: onWide('uint64', keep),
  }
  const table = {
    1: into(entry, 'key'),
    2: onBytes((parameter) => readFields(parameter, choices, PARAMETER_FIELDS_MAX)),
  }
  readFields(message, table, PARAMETER_FIELDS_MAX)
  if (value !== undefined && Object.keys(parameters).length < TENSORS_MAX) {
    parameters[entry.key] = value
  }
}

/** `InferRequestedOutputTensor`. */
function readOutput(message: Uint8Array) {
  const output = { name: '' }
  const parameters = noParameters()
  const table = {
    1: into(output, 'name'),
    2: onBytes((entry) => readParameter(entry, parameters)),
  }
  readFields(message, table, FIELDS_MAX)
  const { classes } = unwrap(decodeWish(parameters))
  return { ...output, classes }
}

const isDatatype = (value: string): value is Datatype =>
  (DATATYPES as readonly string[]).includes(value)

function wrong(name: string, expected: string, found: string): Result<never> {
  return refuse('infer.invalid_input', `Input "${name.slice(0, 256)}" cannot be read.`, {
    expected,
    found,
  })
}
