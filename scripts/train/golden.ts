/**
 * Golden vectors: eight windows with the answers of ONNX Runtime's cpu backend. The top level holds
 * the fp32 variant's; `variants.int8` its own outputs and tolerance, because integer arithmetic is a
 * different function and not a less exact one.
 */
import { createMotor, MOTOR_STATES, SAMPLES } from '../../shared/motor/motor.ts'
import type { Model } from './evaluate.ts'
import { INPUT, OUTPUT } from './export-fp32.ts'

const VECTORS = 8

interface JsonTensor {
  readonly shape: readonly number[]
  readonly datatype: 'FP32'
  readonly data: readonly number[]
}

export interface GoldenFile {
  readonly vectors: readonly {
    readonly inputs: Readonly<Record<string, JsonTensor>>
    readonly outputs: Readonly<Record<string, JsonTensor>>
  }[]
  /** |a - b| <= absolute + relative * |b|. */
  readonly tolerance: { readonly absolute: number; readonly relative: number }
  readonly variants: {
    readonly int8: {
      /** One entry for each vector, in order. */
      readonly outputs: readonly Readonly<Record<string, JsonTensor>>[]
      readonly tolerance: { readonly absolute: number; readonly relative: number }
    }
  }
}

export async function goldenJson(models: { fp32: Model; int8: Model }): Promise<string> {
  const motor = createMotor({ seed: 'golden' })
  const vectors = []
  const int8Outputs = []
  for (let v = 0; v < VECTORS; v++) {
    // Five decimals keep the file small; the rounded window is the input, so nothing is lost.
    const { vibration } = motor.next(MOTOR_STATES[v % MOTOR_STATES.length]!)
    const window = vibration.map((value) => Number(value.toFixed(5)))
    vectors.push({
      inputs: { [INPUT]: tensor(window, [1, 3, SAMPLES], 5) },
      outputs: { [OUTPUT]: tensor(await models.fp32.classify(window), [1, 4], 6) },
    })
    int8Outputs.push({ [OUTPUT]: tensor(await models.int8.classify(window), [1, 4], 6) })
  }
  const golden: GoldenFile = {
    vectors,
    tolerance: { absolute: 1e-4, relative: 1e-3 },
    variants: { int8: { outputs: int8Outputs, tolerance: { absolute: 0.02, relative: 0.02 } } },
  }
  return `${JSON.stringify(golden)}\n`
}

function tensor(values: Float32Array, shape: readonly number[], decimals: number): JsonTensor {
  const data = Array.from(values, (value) => Number(value.toFixed(decimals)))
  return { shape, datatype: 'FP32', data }
}
