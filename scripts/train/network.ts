/**
 * A small 1-D convolutional network in plain loops: convolutions with ReLU, the mean over time, one
 * dense layer, softmax. Forward and backward for one window at a time.
 * Invariant: only +, *, / and Math.sqrt on doubles, in a fixed order, so that the same data and seed
 * give the same weights to the byte anywhere (see shared/motor/portable-math.ts).
 */
import type { Prng } from '../../shared/kernel/prng.ts'
import { exponential, normalNoise } from '../../shared/motor/portable-math.ts'

export interface ConvShape {
  readonly inChannels: number
  readonly outChannels: number
  readonly kernel: number
  readonly stride: number
}

/** Weights [out, in, kernel] and bias [out]; the dense layer is a kernel of 1. */
export interface Layer extends ConvShape {
  readonly weights: Float64Array
  readonly bias: Float64Array
}

export interface Network {
  readonly convs: readonly Layer[]
  readonly dense: Layer
}

/** Gradients in the shape of the network, as one list of [parameters, gradient] per tensor. */
export interface Gradients {
  readonly convs: readonly Layer[]
  readonly dense: Layer
}

/** What the backward pass needs of the forward pass. */
interface Trace {
  /** Input of each convolution, then the last activation. */
  readonly activations: readonly Float64Array[]
  readonly pooled: Float64Array
  readonly probabilities: Float64Array
}

export function createNetwork(
  random: Prng,
  shapes: readonly ConvShape[],
  classes: number,
): Network {
  const last = shapes[shapes.length - 1]!
  return {
    convs: shapes.map((shape) => createLayer(random, shape)),
    dense: createLayer(random, {
      inChannels: last.outChannels,
      outChannels: classes,
      kernel: 1,
      stride: 1,
    }),
  }
}

/** He initialisation: variance 2 / fan-in keeps the scale through ReLU. */
function createLayer(random: Prng, shape: ConvShape): Layer {
  const fanIn = shape.inChannels * shape.kernel
  const scale = Math.sqrt(2 / fanIn)
  const weights = new Float64Array(shape.outChannels * fanIn)
  for (let i = 0; i < weights.length; i++) weights[i] = scale * normalNoise(random)
  return { ...shape, weights, bias: new Float64Array(shape.outChannels) }
}

export function zerosLike(network: Network): Gradients {
  const zeros = (layer: Layer): Layer => ({
    ...layer,
    weights: new Float64Array(layer.weights.length),
    bias: new Float64Array(layer.bias.length),
  })
  return { convs: network.convs.map(zeros), dense: zeros(network.dense) }
}

/** Class probabilities of one window [channels, samples]. */
export function predict(network: Network, window: ArrayLike<number>): Float64Array {
  return forward(network, window).probabilities
}

function forward(network: Network, window: ArrayLike<number>): Trace {
  const activations: Float64Array[] = [Float64Array.from(window)]
  for (const conv of network.convs) {
    activations.push(convolve(conv, activations[activations.length - 1]!))
  }
  const { dense } = network
  const last = activations[activations.length - 1]!
  const length = last.length / dense.inChannels
  const pooled = new Float64Array(dense.inChannels)
  for (let c = 0; c < pooled.length; c++) {
    let sum = 0
    for (let i = 0; i < length; i++) sum += last[c * length + i]!
    pooled[c] = sum / length
  }
  const logits = new Float64Array(dense.outChannels)
  for (let o = 0; o < logits.length; o++) {
    let sum = dense.bias[o]!
    for (let c = 0; c < pooled.length; c++)
      sum += dense.weights[o * pooled.length + c]! * pooled[c]!
    logits[o] = sum
  }
  return { activations, pooled, probabilities: softmax(logits) }
}

/** Without padding; ReLU included. */
function convolve(layer: Layer, input: Float64Array): Float64Array {
  const { inChannels, outChannels, kernel, stride, weights, bias } = layer
  const length = input.length / inChannels
  const outLength = Math.floor((length - kernel) / stride) + 1
  const output = new Float64Array(outChannels * outLength)
  for (let o = 0; o < outChannels; o++) {
    for (let p = 0; p < outLength; p++) {
      let sum = bias[o]!
      for (let c = 0; c < inChannels; c++) {
        const from = c * length + p * stride
        const weight = (o * inChannels + c) * kernel
        for (let k = 0; k < kernel; k++) sum += weights[weight + k]! * input[from + k]!
      }
      output[o * outLength + p] = sum > 0 ? sum : 0
    }
  }
  return output
}

function softmax(logits: Float64Array): Float64Array {
  let largest = logits[0]!
  for (const logit of logits) if (logit > largest) largest = logit
  const shares = logits.map((logit) => exponential(logit - largest))
  let total = 0
  for (const share of shares) total += share
  return shares.map((share) => share / total)
}

/**
 * Adds the gradient of the cross-entropy of one labelled window to `gradients`.
 * @returns the probability that the network gave the label
 */
export function backward(
  network: Network,
  gradients: Gradients,
  window: ArrayLike<number>,
  label: number,
): number {
  const { activations, pooled, probabilities } = forward(network, window)
  const { dense } = network
  const pooledGradient = new Float64Array(pooled.length)
  for (let o = 0; o < dense.outChannels; o++) {
    const error = probabilities[o]! - (o === label ? 1 : 0)
    gradients.dense.bias[o]! += error
    for (let c = 0; c < pooled.length; c++) {
      gradients.dense.weights[o * pooled.length + c]! += error * pooled[c]!
      pooledGradient[c]! += error * dense.weights[o * pooled.length + c]!
    }
  }
  let outputGradient = spreadMean(pooledGradient, activations[activations.length - 1]!.length)
  for (let i = network.convs.length - 1; i >= 0; i--) {
    const into = gradients.convs[i]!
    const [input, output] = [activations[i]!, activations[i + 1]!]
    outputGradient = convolveBackward(network.convs[i]!, into, input, output, outputGradient)
  }
  return probabilities[label]!
}

function spreadMean(pooledGradient: Float64Array, size: number): Float64Array {
  const length = size / pooledGradient.length
  const spread = new Float64Array(size)
  for (let i = 0; i < size; i++) spread[i] = pooledGradient[Math.floor(i / length)]! / length
  return spread
}

function convolveBackward(
  layer: Layer,
  gradient: Layer,
  input: Float64Array,
  output: Float64Array,
  outputGradient: Float64Array,
): Float64Array {
  const { inChannels, outChannels, kernel, stride, weights } = layer
  const length = input.length / inChannels
  const outLength = output.length / outChannels
  const inputGradient = new Float64Array(input.length)
  for (let o = 0; o < outChannels; o++) {
    for (let p = 0; p < outLength; p++) {
      if (output[o * outLength + p]! <= 0) continue
      const error = outputGradient[o * outLength + p]!
      gradient.bias[o]! += error
      for (let c = 0; c < inChannels; c++) {
        const from = c * length + p * stride
        const weight = (o * inChannels + c) * kernel
        for (let k = 0; k < kernel; k++) {
          gradient.weights[weight + k]! += error * input[from + k]!
          inputGradient[from + k]! += error * weights[weight + k]!
        }
      }
    }
  }
  return inputGradient
}
