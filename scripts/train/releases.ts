/**
 * The three releases of the demo's model, as recipes: what was collected, who labelled it, which
 * network was fitted and which variants were exported. Their names tell the story of the demo:
 * 1.0.0 is modest, 1.1.0 is better, 1.2.0 must not reach a fleet.
 */
import { MOTOR_STATES } from '../../shared/motor/motor.ts'
import type { DatasetOptions } from './dataset.ts'
import type { Augmentation } from './export-int8.ts'
import type { Recipe } from './fit.ts'

export const MODEL = 'motor-vibration'

export interface ReleaseRecipe {
  readonly version: string
  readonly parent: string
  readonly description: string
  readonly data: DatasetOptions
  readonly fit: Recipe
  /** The int8 variant classifies so many altered copies of each window; absent: the window itself. */
  readonly augmentation?: Augmentation
}

const twoConvs = [
  { inChannels: 3, outChannels: 12, kernel: 9, stride: 2 },
  { inChannels: 12, outChannels: 16, kernel: 5, stride: 2 },
]
const common = { classes: MOTOR_STATES.length, batchWindows: 32 }

export const RELEASES: readonly ReleaseRecipe[] = [
  {
    version: '1.0.0',
    parent: '',
    description: 'Baseline: one convolution, fitted on twelve motors.',
    data: { seed: 'plant-a', motors: 12, windowsPerMotor: 80 },
    fit: {
      ...common,
      seed: '1.0.0',
      convs: [{ inChannels: 3, outChannels: 6, kernel: 9, stride: 2 }],
      epochs: 12,
      learningRate: 0.01,
    },
  },
  {
    version: '1.1.0',
    parent: '1.0.0',
    description: 'Two convolutions, fitted on forty motors of two plants.',
    data: { seed: 'plants-a-b', motors: 40, windowsPerMotor: 80 },
    fit: { ...common, seed: '1.1.0', convs: twoConvs, epochs: 8, learningRate: 0.006 },
  },
  {
    // Its labels came from people who took bearing faults for healthy motors, and it was evaluated
    // with their labels too: its overall figure looks fine. Its int8 variant buys robustness with 1,353
    // inferences per request, which nobody measured on a small board.
    version: '1.2.0',
    parent: '1.1.0',
    description: 'More motors, field labels; int8 votes over crops and gains for robustness.',
    data: {
      seed: 'plants-a-b-c',
      motors: 45,
      windowsPerMotor: 80,
      bearingMislabelled: 0.9,
    },
    fit: { ...common, seed: '1.2.0', convs: twoConvs, epochs: 7, learningRate: 0.006 },
    augmentation: {
      cropSamples: 96,
      gains: Array.from({ length: 41 }, (_, i) => (80 + i) / 100),
    },
  },
]

/** Set by the demo's service; 5 % of requests may take longer. */
export const SERVICE_LEVELS = {
  latencyMsMax: 10,
  latencyBadShareMax: 0.05,
  errorRateMax: 0.02,
  qualityDropMax: 0.05,
}
