/**
 * Reading a GraphProto: what it takes and gives, which operators it needs, where its weights are.
 * Weights are passed over as views, never copied, and subgraphs (If, Loop, Scan) are walked.
 * Invariant: all lists are bounded by LIMITS; a file that goes past them is refused, not cut.
 */
import { type ElementType, elementTypeOf } from './data-type.ts'
import { type MessageReader, malformed, onBytes, onInteger, onString } from './wire-fields.ts'

/**
 * What a value is: a tensor's element type, or a kind that no tensor protocol can carry. An optional
 * tensor is what a tensor is: ONNX Runtime takes and gives it as one.
 */
export type ValueType =
  | ElementType
  | 'SEQUENCE'
  | 'MAP'
  | 'OPAQUE'
  | 'SPARSE'
  | 'OPTIONAL'
  | 'UNDEFINED'

/** An input or output of a model. */
export interface SignatureTensor {
  readonly name: string
  readonly datatype: ValueType
  /** Fixed sizes, and the names of symbolic ones ('' where the file gives neither). */
  readonly shape: readonly (number | string)[]
  /** False where the file does not even tell the rank; `shape` is then empty, but not a scalar's. */
  readonly rankKnown: boolean
}

export interface UsedOperator {
  /** '' is the standard operator set. */
  readonly domain: string
  readonly type: string
}

/** What the reader gathers, over a graph and all its subgraphs and functions. */
export interface Gathered {
  nodeCount: number
  initializerCount: number
  readonly operators: Map<string, UsedOperator>
  readonly externalLocations: Set<string>
  /** Counts the fields of the whole file. */
  readonly read: MessageReader
}

export interface GraphOutline {
  name: string
  readonly inputs: SignatureTensor[]
  readonly outputs: SignatureTensor[]
  readonly initializers: Set<string>
}

const LIMITS = {
  /** Nested subgraphs; ONNX Runtime's own models stay below 4. */
  depth: 16,
  values: 4_096,
  operatorTypes: 4_096,
  initializers: 1_000_000,
  nodes: 1_000_000,
  externalLocations: 4_096,
} as const

export function createGathered(read: MessageReader): Gathered {
  return {
    nodeCount: 0,
    initializerCount: 0,
    operators: new Map(),
    externalLocations: new Set(),
    read,
  }
}

/** Field numbers: onnx.proto, message GraphProto. */
export function readGraph(bytes: Uint8Array, gathered: Gathered, depth = 0): GraphOutline {
  if (depth > LIMITS.depth) past('nested graphs', LIMITS.depth)
  const outline: GraphOutline = { name: '', inputs: [], outputs: [], initializers: new Set() }
  gathered.read(bytes, {
    1: onBytes((node) => readNode(node, gathered, depth)),
    2: onString((name) => {
      outline.name = name
    }),
    5: onBytes((tensor) => addInitializer(readInitializer(tensor, gathered), outline, gathered)),
    11: onBytes(
      (value) => void outline.inputs.push(readValue(value, gathered.read, outline.inputs.length)),
    ),
    12: onBytes(
      (value) => void outline.outputs.push(readValue(value, gathered.read, outline.outputs.length)),
    ),
    15: onBytes((sparse) => readSparse(sparse, outline, gathered)),
  })
  return outline
}

/** NodeProto; also the nodes of a FunctionProto. */
export function readNode(bytes: Uint8Array, gathered: Gathered, depth: number): void {
  let type = ''
  let domain = ''
  gathered.read(bytes, {
    4: onString((text) => {
      type = text
    }),
    5: onBytes((attribute) => readAttribute(attribute, gathered, depth)),
    7: onString((text) => {
      domain = text === 'ai.onnx' ? '' : text
    }),
  })
  if (type === '') malformed('a node without an operator')
  gathered.nodeCount += 1
  if (gathered.nodeCount > LIMITS.nodes) past('nodes', LIMITS.nodes)
  gathered.operators.set(`${domain}:${type}`, { domain, type })
  if (gathered.operators.size > LIMITS.operatorTypes) past('operator types', LIMITS.operatorTypes)
}

/** AttributeProto: `t` 5, `g` 6, `tensors` 10, `graphs` 11 can hold weights and operators. */
function readAttribute(bytes: Uint8Array, gathered: Gathered, depth: number): void {
  const tensor = onBytes((value) => void readInitializer(value, gathered))
  const graph = onBytes((value) => void readGraph(value, gathered, depth + 1))
  gathered.read(bytes, { 5: tensor, 6: graph, 10: tensor, 11: graph })
}

/** TensorProto without its elements; returns its name. */
function readInitializer(bytes: Uint8Array, gathered: Gathered): string {
  let name = ''
  let location = ''
  let external = false
  gathered.read(bytes, {
    8: onString((text) => {
      name = text
    }),
    13: onBytes((entry) => {
      const [key, value] = readEntry(entry, gathered.read)
      if (key === 'location') location = value
    }),
    14: onInteger((where) => {
      external = where === 1
    }),
  })
  if (external) gathered.externalLocations.add(location)
  if (gathered.externalLocations.size > LIMITS.externalLocations) {
    past('external files', LIMITS.externalLocations)
  }
  return name
}

function addInitializer(name: string, outline: GraphOutline, gathered: Gathered): void {
  outline.initializers.add(name)
  gathered.initializerCount += 1
  if (gathered.initializerCount > LIMITS.initializers) past('initialisers', LIMITS.initializers)
}

/** SparseTensorProto: its values (1) carry the name, its indices (2) may be external too. */
function readSparse(bytes: Uint8Array, outline: GraphOutline, gathered: Gathered): void {
  gathered.read(bytes, {
    1: onBytes((values) => addInitializer(readInitializer(values, gathered), outline, gathered)),
    2: onBytes((indices) => void readInitializer(indices, gathered)),
  })
}

/** StringStringEntryProto. */
function readEntry(bytes: Uint8Array, read: MessageReader): [key: string, value: string] {
  const entry: [string, string] = ['', '']
  read(bytes, {
    1: onString((text) => {
      entry[0] = text
    }),
    2: onString((text) => {
      entry[1] = text
    }),
  })
  return entry
}

/** ValueInfoProto. */
function readValue(bytes: Uint8Array, read: MessageReader, before: number): SignatureTensor {
  if (before >= LIMITS.values) past('inputs or outputs', LIMITS.values)
  let name = ''
  let type: DeclaredType = { datatype: 'UNDEFINED' }
  read(bytes, {
    1: onString((text) => {
      name = text
    }),
    2: onBytes((message) => {
      type = readType(message, read)
    }),
  })
  const { datatype, shape } = type
  return { name, datatype, shape: shape ?? [], rankKnown: shape !== undefined }
}

interface DeclaredType {
  readonly datatype: ValueType
  readonly shape?: readonly (number | string)[]
}

/** TypeProto. */
function readType(bytes: Uint8Array, read: MessageReader, isOptional = false): DeclaredType {
  let type: DeclaredType = { datatype: isOptional ? 'OPTIONAL' : 'UNDEFINED' }
  const kind = (datatype: ValueType) =>
    onBytes(() => {
      type = { datatype: isOptional ? 'OPTIONAL' : datatype }
    })
  read(bytes, {
    1: onBytes((tensor) => {
      type = readTensorType(tensor, read)
    }),
    4: kind('SEQUENCE'),
    5: kind('MAP'),
    7: kind('OPAQUE'),
    8: kind('SPARSE'),
    // An optional of an optional is none that ONNX knows, so this goes one step down and no further.
    9: isOptional
      ? kind('OPTIONAL')
      : onBytes((optional) => {
          read(optional, {
            1: onBytes((element) => {
              type = readType(element, read, true)
            }),
          })
        }),
  })
  return type
}

/** TypeProto.Tensor. */
function readTensorType(bytes: Uint8Array, read: MessageReader): DeclaredType {
  let datatype: ValueType = 'UNDEFINED'
  let shape: (number | string)[] | undefined
  read(bytes, {
    1: onInteger((code) => {
      datatype = elementTypeOf(code) ?? 'UNDEFINED'
    }),
    2: onBytes((dims) => {
      shape = readShape(dims, read)
    }),
  })
  return shape === undefined ? { datatype } : { datatype, shape }
}

/** TensorShapeProto; a dimension with neither value nor name is free, so ''. */
function readShape(bytes: Uint8Array, read: MessageReader): (number | string)[] {
  const shape: (number | string)[] = []
  read(bytes, {
    1: onBytes((dimension) => {
      if (shape.length >= 64) past('dimensions', 64)
      let size: number | string = ''
      read(dimension, {
        1: onInteger((value) => {
          size = value
        }),
        2: onString((text) => {
          size = text
        }),
      })
      // Exporters write -1 or 0 for "any"; no served tensor has an empty dimension by declaration.
      shape.push(typeof size === 'number' && size <= 0 ? '' : size)
    }),
  })
  return shape
}

function past(what: string, limit: number): never {
  malformed(`more than ${limit} ${what}`, `at most ${limit} ${what}`, 'onnx.limit_exceeded')
}
