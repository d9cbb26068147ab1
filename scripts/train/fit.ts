/**
 * Training: shuffled mini-batches and Adam (Kingma and Ba 2015) with a rate that falls linearly.
 * Deterministic from its seed; says nothing about where the windows come from.
 */
import { createPrng, type Prng } from '../../shared/kernel/prng.ts'
import type { LabelledWindow } from './dataset.ts'
import {
  backward,
  type ConvShape,
  createNetwork,
  type Layer,
  type Network,
  zerosLike,
} from './network.ts'

export interface Recipe {
  readonly seed: string
  readonly convs: readonly ConvShape[]
  readonly classes: number
  readonly epochs: number
  readonly batchWindows: number
  readonly learningRate: number
}

export function trainNetwork(recipe: Recipe, windows: readonly LabelledWindow[]): Network {
  const random = createPrng(`fit:${recipe.seed}`)
  const network = createNetwork(random, recipe.convs, recipe.classes)
  const tensors = tensorsOf(network)
  const adam = createAdam(tensors)
  const order = windows.map((_, i) => i)
  const steps = recipe.epochs * Math.ceil(windows.length / recipe.batchWindows)
  let step = 0
  for (let epoch = 0; epoch < recipe.epochs; epoch++) {
    shuffle(random, order)
    for (let start = 0; start < order.length; start += recipe.batchWindows) {
      const batch = order.slice(start, start + recipe.batchWindows)
      const gradients = zerosLike(network)
      for (const i of batch) {
        backward(network, gradients, windows[i]!.vibration, windows[i]!.label)
      }
      adam(tensorsOf(gradients), recipe.learningRate * (1 - step / steps), batch.length)
      step += 1
    }
  }
  return network
}

function tensorsOf(network: Network): Float64Array[] {
  return [...network.convs, network.dense].flatMap((layer: Layer) => [layer.weights, layer.bias])
}

type AdamStep = (gradients: readonly Float64Array[], rate: number, count: number) => void

function createAdam(tensors: readonly Float64Array[]): AdamStep {
  const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8]
  const first = tensors.map((tensor) => new Float64Array(tensor.length))
  const second = tensors.map((tensor) => new Float64Array(tensor.length))
  let [power1, power2] = [1, 1]
  return (gradients, rate, count) => {
    power1 *= beta1
    power2 *= beta2
    for (let t = 0; t < tensors.length; t++) {
      const [values, m, v, g] = [tensors[t]!, first[t]!, second[t]!, gradients[t]!]
      for (let i = 0; i < values.length; i++) {
        const slope = g[i]! / count
        m[i] = beta1 * m[i]! + (1 - beta1) * slope
        v[i] = beta2 * v[i]! + (1 - beta2) * slope * slope
        const size = Math.sqrt(v[i]! / (1 - power2)) + epsilon
        values[i]! -= (rate * (m[i]! / (1 - power1))) / size
      }
    }
  }
}

/** Fisher and Yates. */
function shuffle(random: Prng, order: number[]): void {
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const held = order[i]!
    order[i] = order[j]!
    order[j] = held
  }
}
