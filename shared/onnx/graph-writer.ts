/**
 * Writing ONNX models: a graph described as data becomes the bytes of a ModelProto. Enough for the
 * networks we train and the operators we try; no functions, sparse tensors or external data.
 * Invariant: the same description gives the same bytes (fields in ascending order, attributes in
 * the order given), so a model's digest is reproducible.
 * Whether the graph is well formed is left to ONNX Runtime. Field numbers: onnx.proto.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { utf8 } from '../kernel/bytes.ts'
import { type ElementType, elementTypeRow } from './data-type.ts'
import { encodeTensor, type NamedTensor } from './tensor-codec.ts'

export interface ValueInfo {
  readonly name: string
  readonly datatype: ElementType
  /** A string is a symbolic dimension, for example 'batch'; null leaves even the rank open. */
  readonly shape: readonly (number | string)[] | null
  /** What the tensor stands in, outermost first; absent: it stands by itself. */
  readonly within?: readonly ('sequence' | 'optional')[]
}

export type AttributeValue =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly tensor: NamedTensor }
  /** A subgraph, as If, Loop and Scan take them. */
  | { readonly graph: Graph }

export interface GraphNode {
  readonly op: string
  /** Names of values; '' leaves an optional input out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, AttributeValue>>
  /** '' or absent is the standard operator set. */
  readonly domain?: string
}

export interface Graph {
  readonly name: string
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
  readonly initializers: readonly NamedTensor[]
  readonly nodes: readonly GraphNode[]
}

export interface ModelDescription {
  readonly irVersion: number
  readonly opsets: readonly { readonly domain: string; readonly version: number }[]
  readonly producer: string
  readonly graph: Graph
}

/** The bytes of an ONNX file. */
export function encodeModel(model: ModelDescription): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter()
  writer.tag(1, WireType.Varint).int64(model.irVersion)
  text(writer, 2, model.producer)
  message(writer, 7, () => writeGraph(writer, model.graph))
  for (const opset of model.opsets) {
    message(writer, 8, () => {
      text(writer, 1, opset.domain)
      writer.tag(2, WireType.Varint).int64(opset.version)
    })
  }
  return writer.finish()
}

function writeGraph(writer: BinaryWriter, graph: Graph): void {
  for (const node of graph.nodes) message(writer, 1, () => writeNode(writer, node))
  text(writer, 2, graph.name)
  for (const tensor of graph.initializers) {
    writer.tag(5, WireType.LengthDelimited).bytes(encodeTensor(tensor))
  }
  for (const input of graph.inputs) message(writer, 11, () => writeValueInfo(writer, input))
  for (const output of graph.outputs) message(writer, 12, () => writeValueInfo(writer, output))
}

function writeNode(writer: BinaryWriter, node: GraphNode): void {
  for (const input of node.inputs) text(writer, 1, input)
  for (const output of node.outputs) text(writer, 2, output)
  text(writer, 4, node.op)
  for (const [name, value] of Object.entries(node.attributes ?? {})) {
    message(writer, 5, () => writeAttribute(writer, name, value))
  }
  if (node.domain !== undefined) text(writer, 7, node.domain)
}

/**
 * AttributeProto; field 20 is its type: FLOAT 1, INT 2, STRING 3, TENSOR 4, GRAPH 5, FLOATS 6, INTS 7,
 * STRINGS 8.
 */
function writeAttribute(writer: BinaryWriter, name: string, value: AttributeValue): void {
  text(writer, 1, name)
  let type: number
  if ('float' in value) {
    writer.tag(2, WireType.Bit32).float(value.float)
    type = 1
  } else if ('int' in value) {
    writer.tag(3, WireType.Varint).int64(value.int)
    type = 2
  } else if ('string' in value) {
    writer.tag(4, WireType.LengthDelimited).bytes(utf8(value.string))
    type = 3
  } else if ('tensor' in value) {
    writer.tag(5, WireType.LengthDelimited).bytes(encodeTensor(value.tensor))
    type = 4
  } else if ('graph' in value) {
    message(writer, 6, () => writeGraph(writer, value.graph))
    type = 5
  } else if ('strings' in value) {
    for (const string of value.strings) {
      writer.tag(9, WireType.LengthDelimited).bytes(utf8(string))
    }
    type = 8
  } else if ('floats' in value) {
    for (const float of value.floats) writer.tag(7, WireType.Bit32).float(float)
    type = 6
  } else {
    for (const int of value.ints) writer.tag(8, WireType.Varint).int64(int)
    type = 7
  }
  writer.tag(20, WireType.Varint).int32(type)
}

/** Sequence and Optional of TypeProto; each has its elements' type as field 1. */
const CONTAINERS = { sequence: 4, optional: 9 } as const

/** ValueInfoProto > TypeProto (2). */
function writeValueInfo(writer: BinaryWriter, value: ValueInfo): void {
  text(writer, 1, value.name)
  message(writer, 2, () => writeType(writer, value, value.within ?? []))
}

/** TypeProto.Tensor (1) > TensorShapeProto (2) > Dimension (1). */
function writeType(
  writer: BinaryWriter,
  value: ValueInfo,
  [outer, ...inner]: NonNullable<ValueInfo['within']>,
): void {
  if (outer !== undefined) {
    message(writer, CONTAINERS[outer], () =>
      message(writer, 1, () => writeType(writer, value, inner)),
    )
    return
  }
  message(writer, 1, () => {
    writer.tag(1, WireType.Varint).int32(elementTypeRow(value.datatype).code)
    if (value.shape === null) return
    const { shape } = value
    message(writer, 2, () => {
      for (const dim of shape) {
        message(writer, 1, () => {
          if (typeof dim === 'string') text(writer, 2, dim)
          else writer.tag(1, WireType.Varint).int64(dim)
        })
      }
    })
  })
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value)
}

function message(writer: BinaryWriter, field: number, write: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork()
  write()
  writer.join()
}
