/**
 * What an ONNX file says about itself, without loading it: inputs, outputs, operator sets, operators
 * and where weights live. Enough to refuse a file at `release create` and at admission on a device.
 * Invariant: never throws, takes time linear in the file, copies no tensor. Whether the graph is
 * valid or a backend can run it is left to ONNX Runtime. Source: onnx.proto (ONNX IR specification).
 */
import { err, type Result, refuse } from '../kernel/result.ts'
import {
  createGathered,
  type Gathered,
  type GraphOutline,
  readGraph,
  readNode,
  type SignatureTensor,
  type UsedOperator,
} from './graph-reader.ts'
import {
  decoding,
  type MessageReader,
  malformed,
  onBytes,
  onInteger,
  onString,
  readAtMost,
} from './wire-fields.ts'

export interface ModelSignature {
  readonly irVersion: number
  readonly opsets: readonly { readonly domain: string; readonly version: number }[]
  readonly producer: string
  readonly graphName: string
  /** Without the initialisers, which IR versions before 4 list as inputs too. */
  readonly inputs: readonly SignatureTensor[]
  readonly outputs: readonly SignatureTensor[]
  /** Over the graph, its subgraphs and local functions; sorted. */
  readonly operators: readonly UsedOperator[]
  /** Files that hold weights outside this one, sorted; empty for a self-contained model. */
  readonly externalData: readonly string[]
  readonly nodeCount: number
  readonly initializerCount: number
}

/** Protobuf's own limit on a message. */
const MODEL_BYTES_MAX = 2 ** 31 - 1
/**
 * Fields of the file, known or not; a message that is looked into counts as 16 (wire-fields.ts). A node
 * of a network comes to about a hundred, so 160,000 nodes fit, several times what the largest language
 * models have; a forest takes nine fields for each node of its trees, so 1.8 million of those fit.
 */
const FIELDS_MAX = 2 ** 24
const OPSETS_MAX = 256
const NEXT = 'export the model to ONNX (for example torch.onnx.export) and give that .onnx file'

/**
 * Reads the signature of a ModelProto.
 * Errors: `onnx.not_a_model` (with what the file looks like), `onnx.limit_exceeded`.
 */
export function readModelSignature(
  bytes: Uint8Array,
  fieldsMax = FIELDS_MAX,
): Result<ModelSignature> {
  if (bytes.length > MODEL_BYTES_MAX) {
    return refuse('onnx.limit_exceeded', 'This ONNX file is too large.', {
      expected: `at most ${MODEL_BYTES_MAX} B`,
      found: `${bytes.length} B`,
    })
  }
  const read = decoding('onnx.not_a_model', NEXT, () =>
    readModel(bytes, readAtMost(fieldsMax, 'onnx.limit_exceeded')),
  )
  if (read.ok || read.error.code !== 'onnx.not_a_model') return read
  const found = otherFormat(bytes) ?? read.error.found
  return err({
    expected: 'an ONNX model',
    ...read.error,
    ...(found === undefined ? {} : { found }),
  })
}

/** Field numbers: onnx.proto, message ModelProto. */
function readModel(bytes: Uint8Array, read: MessageReader): ModelSignature {
  const gathered = createGathered(read)
  const opsets: { domain: string; version: number }[] = []
  let irVersion = 0
  let producer = ''
  let graph: GraphOutline | undefined
  read(bytes, {
    1: onInteger((version) => {
      irVersion = version
    }),
    2: onString((name) => {
      producer = name
    }),
    7: onBytes((message) => {
      if (graph !== undefined) malformed('two graphs', 'one graph')
      graph = readGraph(message, gathered)
    }),
    8: onBytes((message) => {
      if (opsets.length >= OPSETS_MAX) malformed('too many operator sets', `at most ${OPSETS_MAX}`)
      opsets.push(readOpset(message, read))
    }),
    25: onBytes((message) => read(message, { 7: onBytes((node) => readNode(node, gathered, 1)) })),
  })
  return assemble({ irVersion, producer, opsets }, graph, gathered)
}

function assemble(
  head: Pick<ModelSignature, 'irVersion' | 'producer' | 'opsets'>,
  graph: GraphOutline | undefined,
  gathered: Gathered,
): ModelSignature {
  if (head.irVersion < 1) malformed('no IR version', 'a ModelProto with an IR version')
  if (graph === undefined) malformed('no graph', 'a ModelProto with a graph')
  // The IR specification requires an operator set from IR version 3 on.
  if (head.irVersion >= 3 && head.opsets.length === 0) {
    malformed('no operator set', 'a ModelProto with its operator sets')
  }
  if (graph.outputs.length === 0) malformed('a graph without outputs', 'at least one output')
  const { initializers } = graph
  return {
    ...head,
    graphName: graph.name,
    inputs: graph.inputs.filter((input) => !initializers.has(input.name)),
    outputs: graph.outputs,
    operators: [...gathered.operators.keys()].sort().map((key) => gathered.operators.get(key)!),
    externalData: [...gathered.externalLocations].sort(),
    nodeCount: gathered.nodeCount,
    initializerCount: gathered.initializerCount,
  }
}

/** OperatorSetIdProto. */
function readOpset(bytes: Uint8Array, read: MessageReader): { domain: string; version: number } {
  const opset = { domain: '', version: 0 }
  read(bytes, {
    1: onString((domain) => {
      opset.domain = domain === 'ai.onnx' ? '' : domain
    }),
    2: onInteger((version) => {
      opset.version = version
    }),
  })
  return opset
}

/** First bytes of what people give instead of a model: [offset, text, what it is]. */
const OTHER_FORMATS: readonly (readonly [offset: number, text: string, name: string])[] = [
  [4, 'ORTM', "a model in ONNX Runtime's .ort format"],
  [4, 'TFL3', 'a TensorFlow Lite model'],
  [0, 'GGUF', 'a GGUF model'],
  [0, 'PK\u0003\u0004', 'a zip archive (a PyTorch checkpoint, or a packed model)'],
  [0, '\u001f\u008b', 'a gzip archive'],
  [0, '\u0089HDF', 'an HDF5 file (a Keras model)'],
  [0, 'version https://git-lfs', 'a Git LFS pointer: the model itself was not fetched'],
  [0, '<', 'a web page or XML'],
  [0, '{', 'JSON text'],
]

function otherFormat(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return 'an empty file'
  const matches = ([offset, text]: (typeof OTHER_FORMATS)[number]): boolean =>
    [...text].every((char, i) => bytes[offset + i] === char.charCodeAt(0))
  return OTHER_FORMATS.find(matches)?.[2]
}
