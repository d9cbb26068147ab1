/**
 * A trained network as an ONNX graph in 32-bit floats: Conv, Relu, GlobalAveragePool, Gemm, Softmax.
 * The training's doubles are rounded once, here. Operators are those of opset 17, which ONNX
 * Runtime supports on every backend since 2022.
 */
import {
  encodeModel,
  type Graph,
  type GraphNode,
  type ModelDescription,
} from '../../shared/onnx/graph-writer.ts'
import type { NamedTensor } from '../../shared/onnx/tensor-codec.ts'
import type { Layer, Network } from './network.ts'

export const INPUT = 'vibration'
export const OUTPUT = 'probabilities'

export function exportFp32(network: Network, graphName: string): Uint8Array {
  const nodes: GraphNode[] = []
  const initializers: NamedTensor[] = []
  let value = INPUT
  network.convs.forEach((conv, i) => {
    const name = `conv${i}`
    initializers.push(
      float(`${name}.weight`, [conv.outChannels, conv.inChannels, conv.kernel], conv.weights),
      float(`${name}.bias`, [conv.outChannels], conv.bias),
    )
    nodes.push(
      {
        op: 'Conv',
        inputs: [value, `${name}.weight`, `${name}.bias`],
        outputs: [name],
        attributes: convAttributes(conv),
      },
      { op: 'Relu', inputs: [name], outputs: [`${name}.relu`] },
    )
    value = `${name}.relu`
  })
  const { dense } = network
  initializers.push(
    float('dense.weight', [dense.outChannels, dense.inChannels], dense.weights),
    float('dense.bias', [dense.outChannels], dense.bias),
  )
  nodes.push(
    ...meanOverTime(value, 'features'),
    {
      op: 'Gemm',
      inputs: ['features', 'dense.weight', 'dense.bias'],
      outputs: ['logits'],
      attributes: { transB: { int: 1 } },
    },
    softmax('logits', OUTPUT),
  )
  return encodeModel(describe(graphName, nodes, initializers, dense.outChannels))
}

export function convAttributes(conv: Layer): NonNullable<GraphNode['attributes']> {
  return { kernel_shape: { ints: [conv.kernel] }, strides: { ints: [conv.stride] } }
}

/** [n, channels, time] -> [n, channels]. */
export function meanOverTime(value: string, output: string): GraphNode[] {
  return [
    { op: 'GlobalAveragePool', inputs: [value], outputs: [`${output}.pooled`] },
    { op: 'Flatten', inputs: [`${output}.pooled`], outputs: [output] },
  ]
}

export function softmax(value: string, output: string): GraphNode {
  return { op: 'Softmax', inputs: [value], outputs: [output], attributes: { axis: { int: 1 } } }
}

export function float(name: string, shape: readonly number[], data: Float64Array): NamedTensor {
  return { name, datatype: 'FP32', shape, data: Float32Array.from(data) }
}

/** The signature is the same for all releases and variants: that is what lets one replace another. */
export function describe(
  graphName: string,
  nodes: readonly GraphNode[],
  initializers: readonly NamedTensor[],
  classes: number,
): ModelDescription {
  const graph: Graph = {
    name: graphName,
    inputs: [{ name: INPUT, datatype: 'FP32', shape: ['batch', 3, 128] }],
    outputs: [{ name: OUTPUT, datatype: 'FP32', shape: ['batch', classes] }],
    initializers,
    nodes,
  }
  return { irVersion: 8, opsets: [{ domain: '', version: 17 }], producer: 'linnet-train', graph }
}
