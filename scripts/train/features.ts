/** The values that telemetry watches, and the validation rows that a release's reference is built of. */
import { createPrng } from '../../shared/kernel/prng.ts'
import { createMotor, SAMPLES } from '../../shared/motor/motor.ts'
import { uniform } from '../../shared/motor/portable-math.ts'
import { INPUT } from './export-fp32.ts'

const AXIS_NAMES = ['x', 'y', 'z']
const REDUCTIONS = ['mean', 'std', 'max'] as const

/** In the form of the manifest: a reduction over a flat range of a tensor. */
export const FEATURES = AXIS_NAMES.flatMap((axis, a) =>
  REDUCTIONS.map((reduce) => ({
    name: `vibration_${axis}_${reduce}`,
    tensor: INPUT,
    reduce,
    offset: a * SAMPLES,
    count: SAMPLES,
  })),
)

/** One value per feature, in order; `std` divides by n. */
function featureValues(vibration: Float32Array): number[] {
  return FEATURES.map(({ reduce, offset, count }) => {
    const part = vibration.subarray(offset, offset + count)
    let sum = 0
    let squares = 0
    let largest = Number.NEGATIVE_INFINITY
    for (const value of part) {
      sum += value
      squares += value * value
      largest = Math.max(largest, value)
    }
    const mean = sum / count
    if (reduce === 'mean') return mean
    return reduce === 'max' ? largest : Math.sqrt(Math.max(0, squares / count - mean * mean))
  })
}

/** Rows in the order a gateway would see them: motors in turn, states at random, all healthy sensors. */
export function referenceCsv(seed: string, rows: number): string {
  const motors = Array.from({ length: 20 }, (_, m) => {
    const place = createPrng(`place:reference-${seed}/${m}`)
    const knobs = { speedHz: uniform(place, 23, 27), load: uniform(place, 0.4, 0.8) }
    return createMotor({ seed: `reference-${seed}/${m}`, knobs })
  })
  const lines = [FEATURES.map((feature) => feature.name).join(',')]
  for (let row = 0; row < rows; row++) {
    const { vibration } = motors[row % motors.length]!.next()
    lines.push(
      featureValues(vibration)
        .map((value) => value.toFixed(5))
        .join(','),
    )
  }
  return `${lines.join('\n')}\n`
}
