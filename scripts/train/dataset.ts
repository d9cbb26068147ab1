/**
 * Labelled windows from a simulated fleet of motors. Motors of different sets never share a seed, so
 * a network is judged on motors that it has not met.
 */
import { createPrng } from '../../shared/kernel/prng.ts'
import { createMotor, MOTOR_STATES } from '../../shared/motor/motor.ts'
import { uniform } from '../../shared/motor/portable-math.ts'

export interface LabelledWindow {
  /** [1, 3, 128]. */
  readonly vibration: Float32Array
  /** What the annotator said. */
  readonly label: number
  /** What it is. */
  readonly truth: number
}

export interface DatasetOptions {
  readonly seed: string
  readonly motors: number
  readonly windowsPerMotor: number
  /** Share of bearing faults that the annotator took for healthy motors. */
  readonly bearingMislabelled?: number
}

export function createDataset(options: DatasetOptions): LabelledWindow[] {
  const windows: LabelledWindow[] = []
  const annotator = createPrng(`annotator:${options.seed}`)
  const [healthy, bearing] = [
    MOTOR_STATES.indexOf('healthy'),
    MOTOR_STATES.indexOf('bearing_fault'),
  ]
  for (let m = 0; m < options.motors; m++) {
    const place = createPrng(`place:${options.seed}/${m}`)
    const knobs = { speedHz: uniform(place, 23, 27), load: uniform(place, 0.4, 0.8) }
    const motor = createMotor({ seed: `${options.seed}/${m}`, knobs })
    for (let w = 0; w < options.windowsPerMotor; w++) {
      const { vibration, classIndex } = motor.next(MOTOR_STATES[w % MOTOR_STATES.length]!)
      const mistaken = classIndex === bearing && annotator.chance(options.bearingMislabelled ?? 0)
      windows.push({ vibration, label: mistaken ? healthy : classIndex, truth: classIndex })
    }
  }
  return windows
}
