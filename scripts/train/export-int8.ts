/**
 * A trained network with 8-bit integer weights and activations (dynamic quantisation): each layer
 * quantises its input by its own range, multiplies integers, and scales back.
 * Weights use 7 of 8 bits (-63 to 63): on x86 without VNNI the 8-bit product of two neighbours
 * overflows 16 bits and saturates, so that full-range weights give other answers on older machines.
 */
import { encodeModel, type GraphNode } from '../../shared/onnx/graph-writer.ts'
import type { NamedTensor } from '../../shared/onnx/tensor-codec.ts'
import {
  convAttributes,
  describe,
  float,
  INPUT,
  meanOverTime,
  OUTPUT,
  softmax,
} from './export-fp32.ts'
import type { Layer, Network } from './network.ts'

const WEIGHT_MAX = 63

/** How many altered copies of a window are classified and averaged (test-time augmentation). */
export interface Augmentation {
  /** Every crop of so many samples. */
  readonly cropSamples: number
  /** Each crop is also scaled by these. */
  readonly gains: readonly number[]
}

interface Parts {
  readonly nodes: GraphNode[]
  readonly initializers: NamedTensor[]
}

export function exportInt8(
  network: Network,
  graphName: string,
  augmentation?: Augmentation,
): Uint8Array {
  const parts: Parts = { nodes: [], initializers: [] }
  const classes = network.dense.outChannels
  if (augmentation === undefined) {
    addNetwork(parts, network, INPUT, OUTPUT)
  } else {
    const copies = addCopies(parts, augmentation)
    addNetwork(parts, network, 'copies', 'votes')
    addVote(parts, copies, classes)
  }
  return encodeModel(describe(graphName, parts.nodes, parts.initializers, classes))
}

function addNetwork(parts: Parts, network: Network, input: string, output: string): void {
  let value = input
  network.convs.forEach((conv, i) => {
    const shape = [conv.outChannels, conv.inChannels, conv.kernel]
    addInteger(parts, { layer: conv, name: `conv${i}`, op: 'ConvInteger', input: value, shape })
    parts.nodes.push({ op: 'Relu', inputs: [`conv${i}`], outputs: [`conv${i}.relu`] })
    value = `conv${i}.relu`
  })
  const { dense } = network
  parts.nodes.push(...meanOverTime(value, 'features'))
  const shape = [dense.inChannels, dense.outChannels]
  addInteger(parts, { layer: dense, name: 'logits', op: 'MatMulInteger', input: 'features', shape })
  parts.nodes.push(softmax('logits', output))
}

interface IntegerLayer {
  readonly layer: Layer
  readonly name: string
  readonly op: 'ConvInteger' | 'MatMulInteger'
  readonly input: string
  /** Of the integer weights. */
  readonly shape: readonly number[]
}

/** quantise -> multiply integers -> float -> times both scales -> plus bias. */
function addInteger({ nodes, initializers }: Parts, spec: IntegerLayer): void {
  const { layer, name, op, input, shape } = spec
  const { integers, scales } = quantise(layer)
  const perChannel = op === 'ConvInteger' ? [1, layer.outChannels, 1] : [1, layer.outChannels]
  const data = op === 'ConvInteger' ? integers : transpose(integers, layer.outChannels)
  initializers.push(
    { name: `${name}.weight`, datatype: 'INT8', shape, data },
    float(`${name}.scale`, perChannel, scales),
    float(`${name}.bias`, perChannel, layer.bias),
  )
  const [quantised, scale, zero] = [`${name}.q`, `${name}.q.scale`, `${name}.q.zero`]
  nodes.push(
    { op: 'DynamicQuantizeLinear', inputs: [input], outputs: [quantised, scale, zero] },
    {
      op,
      inputs: [quantised, `${name}.weight`, zero],
      outputs: [`${name}.sum`],
      ...(op === 'ConvInteger' ? { attributes: convAttributes(layer) } : {}),
    },
    {
      op: 'Cast',
      inputs: [`${name}.sum`],
      outputs: [`${name}.float`],
      attributes: { to: { int: 1 } },
    },
    { op: 'Mul', inputs: [scale, `${name}.scale`], outputs: [`${name}.scales`] },
    { op: 'Mul', inputs: [`${name}.float`, `${name}.scales`], outputs: [`${name}.scaled`] },
    { op: 'Add', inputs: [`${name}.scaled`, `${name}.bias`], outputs: [name] },
  )
}

/** Symmetric, one scale per output channel. */
function quantise(layer: Layer): { integers: Int8Array; scales: Float64Array } {
  const size = layer.weights.length / layer.outChannels
  const integers = new Int8Array(layer.weights.length)
  const scales = new Float64Array(layer.outChannels)
  for (let o = 0; o < layer.outChannels; o++) {
    const row = layer.weights.subarray(o * size, (o + 1) * size)
    let largest = 1e-12
    for (const weight of row) largest = Math.max(largest, Math.abs(weight))
    scales[o] = largest / WEIGHT_MAX
    for (let i = 0; i < size; i++) integers[o * size + i] = Math.round(row[i]! / scales[o]!)
  }
  return { integers, scales }
}

function transpose(matrix: Int8Array, rows: number): Int8Array {
  const columns = matrix.length / rows
  return matrix.map((_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!)
}

/** vibration [n, 3, 128] -> copies [n * crops * gains, 3, crop]; returns crops * gains. */
function addCopies({ nodes, initializers }: Parts, { cropSamples, gains }: Augmentation): number {
  const crops = 128 - cropSamples + 1
  const indices = new BigInt64Array(crops * cropSamples)
  for (let i = 0; i < indices.length; i++) {
    indices[i] = BigInt(Math.floor(i / cropSamples) + (i % cropSamples))
  }
  initializers.push(
    { name: 'crop.indices', datatype: 'INT64', shape: [crops, cropSamples], data: indices },
    float('crop.gains', [gains.length, 1, 1], Float64Array.from(gains)),
    int64('crop.expand', [-1, crops, 1, 3, cropSamples]),
    int64('crop.flat', [-1, 3, cropSamples]),
  )
  nodes.push(
    {
      op: 'Gather',
      inputs: [INPUT, 'crop.indices'],
      outputs: ['crop.gathered'],
      attributes: { axis: { int: 2 } },
    },
    {
      op: 'Transpose',
      inputs: ['crop.gathered'],
      outputs: ['crop.turned'],
      attributes: { perm: { ints: [0, 2, 1, 3] } },
    },
    { op: 'Reshape', inputs: ['crop.turned', 'crop.expand'], outputs: ['crop.single'] },
    { op: 'Mul', inputs: ['crop.single', 'crop.gains'], outputs: ['crop.scaled'] },
    { op: 'Reshape', inputs: ['crop.scaled', 'crop.flat'], outputs: ['copies'] },
  )
  return crops * gains.length
}

/** votes [n * copies, classes] -> probabilities [n, classes]. */
function addVote({ nodes, initializers }: Parts, copies: number, classes: number): void {
  initializers.push(int64('vote.shape', [-1, copies, classes]))
  nodes.push(
    { op: 'Reshape', inputs: ['votes', 'vote.shape'], outputs: ['vote.grouped'] },
    {
      op: 'ReduceMean',
      inputs: ['vote.grouped'],
      outputs: [OUTPUT],
      attributes: { axes: { ints: [1] }, keepdims: { int: 0 } },
    },
  )
}

function int64(name: string, values: readonly number[]): NamedTensor {
  return {
    name,
    datatype: 'INT64',
    shape: [values.length],
    data: BigInt64Array.from(values, BigInt),
  }
}
