/** Training is reproducible to the byte, and its gradients are right. */
import { describe, expect, it } from 'vitest'
import { createDataset } from '../../../scripts/train/dataset.ts'
import { exportFp32 } from '../../../scripts/train/export-fp32.ts'
import { exportInt8 } from '../../../scripts/train/export-int8.ts'
import { trainNetwork } from '../../../scripts/train/fit.ts'
import { backward, createNetwork, predict, zerosLike } from '../../../scripts/train/network.ts'
import { createPrng } from '../../../shared/kernel/prng.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import { readModelSignature } from '../../../shared/onnx/model-signature.ts'

const tiny = {
  seed: 'tiny',
  classes: 4,
  convs: [
    { inChannels: 3, outChannels: 4, kernel: 5, stride: 4 },
    { inChannels: 4, outChannels: 3, kernel: 3, stride: 2 },
  ],
  epochs: 2,
  batchWindows: 8,
  learningRate: 0.01,
}
const data = { seed: 'tiny', motors: 3, windowsPerMotor: 16 }

describe('training', () => {
  it('gives the same bytes twice, and others from another seed', () => {
    const train = (seed: string) => {
      const network = trainNetwork({ ...tiny, seed }, createDataset(data))
      const augmentation = { cropSamples: 120, gains: [0.9, 1.1] }
      return [
        exportFp32(network, 'tiny'),
        exportInt8(network, 'tiny'),
        exportInt8(network, 'tiny', augmentation),
      ]
    }
    expect(train('a')).toEqual(train('a'))
    expect(train('a')[0]).not.toEqual(train('b')[0])
  })

  it('follows gradients that agree with finite differences', () => {
    const network = createNetwork(createPrng('gradient'), tiny.convs, 4)
    const { vibration, label } = createDataset(data)[2]!
    const gradients = zerosLike(network)
    backward(network, gradients, vibration, label)
    const loss = () => -Math.log(predict(network, vibration)[label]!)
    const layers = [...network.convs, network.dense]
    const slopes = [...gradients.convs, gradients.dense]
    layers.forEach((layer, l) => {
      for (const [values, slope] of [
        [layer.weights, slopes[l]!.weights],
        [layer.bias, slopes[l]!.bias],
      ] as const) {
        for (let i = 0; i < values.length; i += 7) {
          const held = values[i]!
          values[i] = held + 1e-5
          const above = loss()
          values[i] = held - 1e-5
          const below = loss()
          values[i] = held
          expect((above - below) / 2e-5).toBeCloseTo(slope[i]!, 4)
        }
      }
    })
  })

  it('mislabels the stated share of bearing faults, and keeps the truth', () => {
    const windows = createDataset({ ...data, windowsPerMotor: 200, bearingMislabelled: 0.9 })
    const faults = windows.filter((window) => window.truth === 3)
    const mistaken = faults.filter((window) => window.label === 1).length
    expect(mistaken / faults.length).toBeGreaterThan(0.8)
    expect(windows.every((window) => window.truth === 3 || window.truth === window.label)).toBe(
      true,
    )
  })

  it('exports models of one signature with a symbolic batch', () => {
    const network = createNetwork(createPrng('export'), tiny.convs, 4)
    for (const bytes of [exportFp32(network, 'a'), exportInt8(network, 'b')]) {
      const { inputs, outputs, irVersion, opsets } = unwrap(readModelSignature(bytes))
      expect(inputs).toEqual([
        { name: 'vibration', datatype: 'FP32', shape: ['batch', 3, 128], rankKnown: true },
      ])
      expect(outputs).toEqual([
        { name: 'probabilities', datatype: 'FP32', shape: ['batch', 4], rankKnown: true },
      ])
      expect([irVersion, opsets]).toEqual([8, [{ domain: '', version: 17 }]])
    }
  })
})
