/**
 * An inference request from the wire: JSON alone, or a JSON header followed by binary tensors in the
 * order of the inputs (Open Inference Protocol v2, `POST .../infer`, and its binary tensor data
 * extension). Trusts nothing: every name, size and offset is checked before it is used.
 */
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { type Err, ok, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import { DATATYPES, type Datatype } from '../../shared/model/tensor.ts'
import type { TensorValue } from '../../shared/model/tensor-value.ts'
import type { Arm } from '../../shared/protocol/messages.ts'
import type { Priority, StreamPart } from '../data-plane.ts'
import { elementsFromBytes } from './binary-tensor.ts'
import type { ClassCounts } from './classification.ts'
import { withExactIntegers } from './exact-integers.ts'
import { isCheapJson } from './json-cost.ts'
import { elementsFromJson } from './json-tensor.ts'
import { decodePriority, decodeStream } from './request-control.ts'

export interface DecodedRequest {
  readonly id: string | undefined
  readonly inputs: readonly TensorValue[]
  readonly outputs: readonly string[] | undefined
  /** Whether an output is answered as binary data. */
  readonly binaryOutput: (name: string) => boolean
  readonly classes: ClassCounts
  readonly arm: Arm | undefined
  readonly key: string | undefined
  readonly deadlineMs: number | undefined
  readonly priority: Priority | undefined
  readonly stream: StreamPart | undefined
}

const TENSORS_MAX = 256
const ELEMENTS_MAX = 2 ** 28
const RANK_MAX = 16
const ID_LENGTH_MAX = 256

export type Fields = Readonly<Record<string, unknown>>

/**
 * @param headerLength of the JSON part, from `Inference-Header-Content-Length`; absent: all of it.
 * Errors: `request.malformed`, `request.too_large`, `request.unsupported`, `infer.invalid_input`.
 */
export function decodeInfer(
  body: Uint8Array,
  headerLength: number | undefined,
): Result<DecodedRequest> {
  if (headerLength !== undefined && !(headerLength >= 0 && headerLength <= body.length)) {
    return malformed('a JSON header within the body', `a header of ${headerLength} bytes`)
  }
  const request = parseObject(headerLength === undefined ? body : body.subarray(0, headerLength))
  if (!request.ok) return request
  const parameters = fieldsOf(request.value.parameters)
  const { id, inputs, outputs } = request.value
  if (id !== undefined && (typeof id !== 'string' || id.length > ID_LENGTH_MAX)) {
    return malformed(`an id of at most ${ID_LENGTH_MAX} characters`, describe(id))
  }
  const binary = body.subarray(headerLength ?? body.length)
  const tensors = decodeInputs(inputs, binary)
  if (!tensors.ok) return tensors
  const requested = decodeOutputs(outputs)
  if (!requested.ok) return requested
  const control = decodeControl(parameters)
  if (!control.ok) return control
  const binaryByDefault = parameters.binary_data_output === true
  const wishes = requested.value
  return ok({
    id,
    inputs: tensors.value,
    outputs: wishes === undefined ? undefined : [...wishes.keys()],
    binaryOutput: (name) => wishes?.get(name)?.binary ?? binaryByDefault,
    classes: classCounts(wishes),
    ...control.value,
  })
}

function parseObject(bytes: Uint8Array): Result<Fields> {
  if (!isCheapJson(bytes)) {
    return refuse('request.too_large', 'There is too much in this JSON to parse it at once.', {
      expected: 'at most 8 million numbers, or a quarter as many brackets and texts',
      found: `${bytes.length} bytes of JSON`,
      next: 'send the tensors as binary data (binary_data_size)',
    })
  }
  const text = fromUtf8(bytes)
  if (text === undefined) return malformed('JSON in UTF-8', 'bytes that are not UTF-8')
  try {
    const parsed: unknown = JSON.parse(mayHoldWide(text) ? withExactIntegers(text) : text)
    if (isFields(parsed)) return ok(parsed)
    return malformed('a JSON object', describe(parsed))
  } catch (cause) {
    return malformed('a JSON object', cause instanceof Error ? cause.message : 'no JSON')
  }
}

/** Nothing else in a request is an integer over 2^53; images in JSON are not looked through twice. */
const mayHoldWide = (text: string): boolean =>
  text.includes('INT64"') || text.includes('"sequence_id"')

function decodeInputs(inputs: unknown, binary: Uint8Array): Result<TensorValue[]> {
  if (!Array.isArray(inputs) || inputs.length > TENSORS_MAX) {
    return malformed(`"inputs", at most ${TENSORS_MAX}`, describe(inputs))
  }
  const tensors: TensorValue[] = []
  let at = 0
  for (const input of inputs) {
    const size = fieldsOf(fieldsOf(input).parameters).binary_data_size
    if (size !== undefined && !isCount(size, binary.length - at)) {
      return malformed(
        `binary_data_size within the ${binary.length - at} bytes left`,
        describe(size),
      )
    }
    const bytes = size === undefined ? undefined : binary.subarray(at, at + size)
    const tensor = decodeInput(fieldsOf(input), bytes)
    if (!tensor.ok) return tensor
    tensors.push(tensor.value)
    at += bytes?.length ?? 0
  }
  if (at === binary.length) return ok(tensors)
  return malformed('no bytes after the last tensor', `${binary.length - at} bytes`)
}

function decodeInput(input: Fields, bytes: Uint8Array | undefined): Result<TensorValue> {
  const { name, datatype, shape, data } = input
  if (typeof name !== 'string' || name === '')
    return malformed('an input with a name', describe(name))
  if (!isDatatype(datatype)) {
    return malformed(`"${name}" of ${DATATYPES.join(', ')}`, describe(datatype))
  }
  const count = Array.isArray(shape) ? countOf(shape) : undefined
  if (count === undefined) {
    return malformed(`"${name}" with a shape of at most ${ELEMENTS_MAX} elements`, describe(shape))
  }
  const shared = refuseShared(fieldsOf(input.parameters))
  if (shared !== undefined) return shared
  if (bytes !== undefined && data !== undefined) {
    return malformed(`"${name}" with data or binary_data_size`, 'both')
  }
  const elements =
    bytes === undefined
      ? elementsFromJson(name, datatype, data, shape as number[])
      : elementsFromBytes(name, datatype, bytes, count)
  if (!elements.ok) return elements
  return ok({ name, datatype, shape: shape as number[], data: elements.value })
}

/** The elements of a shape from the wire; undefined where it is none. */
export function countOf(shape: readonly unknown[]): number | undefined {
  if (shape.length > RANK_MAX) return undefined
  let count = 1
  for (const size of shape) {
    if (!isCount(size, ELEMENTS_MAX)) return undefined
    count *= size
    if (count > ELEMENTS_MAX) return undefined
  }
  return count
}

interface OutputWish {
  readonly binary: boolean | undefined
  /** How many of its best classes to tell, in place of the output. */
  readonly classes: number | undefined
}

/** By name; undefined when all outputs are wanted. */
function decodeOutputs(outputs: unknown): Result<Map<string, OutputWish> | undefined> {
  if (outputs === undefined || (Array.isArray(outputs) && outputs.length === 0)) return ok()
  if (!Array.isArray(outputs) || outputs.length > TENSORS_MAX) {
    return malformed(`"outputs", at most ${TENSORS_MAX}`, describe(outputs))
  }
  const wishes = new Map<string, OutputWish>()
  for (const output of outputs) {
    const { name, parameters } = fieldsOf(output)
    if (typeof name !== 'string') return malformed('an output with a name', describe(name))
    const wish = decodeWish(fieldsOf(parameters))
    if (!wish.ok) return wish
    wishes.set(name, wish.value)
  }
  return ok(wishes)
}

/** The parameters of a requested output. Errors: `request.unsupported`, `request.malformed`. */
export function decodeWish(parameters: Fields): Result<OutputWish> {
  const shared = refuseShared(parameters)
  if (shared !== undefined) return shared
  const { classification: classes, binary_data: binary } = parameters
  if (classes !== undefined && !isCount(classes, ELEMENTS_MAX)) {
    return malformed('a classification of so many classes', describe(classes))
  }
  return ok({
    binary: typeof binary === 'boolean' ? binary : undefined,
    // Triton's clients send 0 for none.
    classes: classes === 0 ? undefined : classes,
  })
}

const NO_CLASSES: ClassCounts = new Map()

/** Most requests ask for none. */
function classCounts(wishes: ReadonlyMap<string, OutputWish> | undefined): ClassCounts {
  if (wishes === undefined) return NO_CLASSES
  const counts = new Map<string, number>()
  for (const [name, { classes }] of wishes) if (classes !== undefined) counts.set(name, classes)
  return counts
}

/** Regions lie in the memory of another process, which this host does not enter. */
export function refuseShared(parameters: Fields): Result<never> | undefined {
  return parameters.shared_memory_region === undefined ? undefined : refuseRegion()
}

export function refuseRegion(): Err {
  return refuse('request.unsupported', 'Shared memory is not supported here.', {
    next: 'send tensors as JSON or binary data',
  })
}

/** Linnet's own parameters, and Triton's `timeout` in microseconds. */
export function decodeControl(
  parameters: Fields,
): Result<Pick<DecodedRequest, 'arm' | 'key' | 'deadlineMs' | 'priority' | 'stream'>> {
  const arm = parameters['linnet-arm']
  const key = parameters.key
  const timeoutUs = parameters.timeout
  if (arm !== undefined && !isArm(arm)) return malformed('baseline or canary', describe(arm))
  if (key !== undefined && (typeof key !== 'string' || key.length > ID_LENGTH_MAX)) {
    return malformed(`a key of at most ${ID_LENGTH_MAX} characters`, describe(key))
  }
  if (timeoutUs !== undefined && !(typeof timeoutUs === 'number' && timeoutUs >= 0)) {
    return malformed('a timeout in microseconds', describe(timeoutUs))
  }
  const deadlineMs = timeoutUs === undefined || timeoutUs === 0 ? undefined : timeoutUs / 1000
  const priority = decodePriority(parameters)
  if (!priority.ok) return priority
  const stream = decodeStream(parameters)
  if (!stream.ok) return stream
  return ok({ arm, key, deadlineMs, priority: priority.value, stream: stream.value })
}

export function isArm(value: unknown): value is Arm {
  return value === 'baseline' || value === 'canary'
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {})
const isDatatype = (value: unknown): value is Datatype =>
  (DATATYPES as readonly unknown[]).includes(value)
const isCount = (value: unknown, greatest: number): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= greatest
const describe = (value: unknown): string => (JSON.stringify(value) ?? 'nothing').slice(0, 120)

function malformed(
  expected: string,
  found: string,
): { readonly ok: false; readonly error: Problem } {
  return refuse('request.malformed', 'This is not an inference request.', { expected, found })
}
