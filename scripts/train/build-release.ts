/**
 * From a recipe to the files of a release. Models and reference are computed without any native code
 * and are the same to the byte everywhere; golden outputs and metrics come from ONNX Runtime.
 */

import { MOTOR_STATES } from '../../shared/motor/motor.ts'
import type { LabelledWindow } from './dataset.ts'
import { createDataset } from './dataset.ts'
import { type Evaluation, evaluate, type Model, openModel } from './evaluate.ts'
import { exportFp32, OUTPUT } from './export-fp32.ts'
import { exportInt8 } from './export-int8.ts'
import { FEATURES, referenceCsv } from './features.ts'
import { trainNetwork } from './fit.ts'
import { goldenJson } from './golden.ts'
import { type Network, predict } from './network.ts'
import { MODEL, type ReleaseRecipe, SERVICE_LEVELS } from './releases.ts'

const REFERENCE_ROWS = 400
/** A slow variant is judged on fewer windows, to keep training under a minute. */
const SLOW_WINDOWS = 200

export interface TrainedModel {
  readonly network: Network
  readonly fp32: Uint8Array
  readonly int8: Uint8Array
}

/** Pure: the same recipe gives the same bytes. */
export function trainModel(recipe: ReleaseRecipe): TrainedModel {
  const network = trainNetwork(recipe.fit, createDataset(recipe.data))
  const name = `${MODEL}-${recipe.version}`
  return {
    network,
    fp32: exportFp32(network, name),
    int8: exportInt8(network, `${name}-int8`, recipe.augmentation),
  }
}

export interface ReportRow {
  readonly version: string
  readonly variant: 'fp32' | 'int8'
  readonly bytes: number
  readonly evaluation: Evaluation
}

export interface BuiltRelease {
  readonly files: ReadonlyMap<string, Uint8Array | string>
  readonly report: readonly ReportRow[]
}

export async function buildRelease(recipe: ReleaseRecipe): Promise<BuiltRelease> {
  const trained = trainModel(recipe)
  const heldOut = createDataset({
    seed: 'held-out',
    motors: 40,
    windowsPerMotor: 40,
    bearingMislabelled: recipe.data.bearingMislabelled ?? 0,
  })
  const fp32 = await openModel(trained.fp32)
  const int8 = await openModel(trained.int8)
  await requireSameAnswers(trained.network, fp32, heldOut.slice(0, 200))
  const slow = recipe.augmentation !== undefined
  const heldOutInt8 = slow ? spread(heldOut, SLOW_WINDOWS) : heldOut
  const own = { fp32: await evaluate(fp32, heldOut), int8: await evaluate(int8, heldOutInt8) }
  const files = new Map<string, Uint8Array | string>([
    ['fp32.onnx', trained.fp32],
    ['int8.onnx', trained.int8],
    ['reference.csv', referenceCsv('validation', REFERENCE_ROWS)],
    ['golden.json', await goldenJson({ fp32, int8 })],
    ['release.json', `${JSON.stringify(releaseSpec(recipe, own), null, 2)}\n`],
  ])
  const { version } = recipe
  const report: ReportRow[] = [
    { version, variant: 'fp32', bytes: trained.fp32.length, evaluation: own.fp32 },
    { version, variant: 'int8', bytes: trained.int8.length, evaluation: own.int8 },
  ]
  await fp32.close()
  await int8.close()
  return { files, report }
}

/** Evenly over motors and, by taking runs of four, over classes. */
function spread(windows: readonly LabelledWindow[], count: number): LabelledWindow[] {
  const step = windows.length / count
  return windows.filter((_, i) => Math.floor(i / 4) % step === 0)
}

/** The exported graph must be the trained network. */
async function requireSameAnswers(
  network: Network,
  model: Model,
  windows: readonly LabelledWindow[],
): Promise<void> {
  for (const { vibration } of windows) {
    const found = await model.classify(vibration)
    predict(network, vibration).forEach((expected, i) => {
      if (!(Math.abs(found[i]! - expected) < 1e-4)) {
        throw new Error(`exported model gives ${found[i]}, trained network ${expected}`)
      }
    })
  }
}

/** What `linnet release create` needs besides the files; fields as in the manifest. */
function releaseSpec(recipe: ReleaseRecipe, own: { fp32: Evaluation; int8: Evaluation }): object {
  return {
    model: MODEL,
    version: recipe.version,
    description: recipe.description,
    variants: [
      { name: 'fp32', precision: 'fp32', profiles: [], file: 'fp32.onnx' },
      { name: 'int8', precision: 'int8', profiles: ['raspberry-pi-zero-2w'], file: 'int8.onnx' },
    ],
    golden: 'golden.json',
    reference: 'reference.csv',
    finiteInputs: ['vibration'],
    features: FEATURES,
    classes: { tensor: OUTPUT, names: MOTOR_STATES },
    serviceLevels: SERVICE_LEVELS,
    lineage: {
      dataset: `motor simulation, ${recipe.data.motors} motors (${recipe.data.seed})`,
      seed: recipe.fit.seed,
      parent: recipe.parent === '' ? 'none' : `${MODEL}@${recipe.parent}`,
      trainer: 'scripts/train',
    },
    evaluation: { ...metrics('', own.fp32), ...metrics('int8.', own.int8) },
  }
}

function metrics(prefix: string, evaluation: Evaluation): Record<string, number> {
  const byClass = evaluation.byLabel.byClass.map(
    (share, i) => [`${prefix}accuracy.${MOTOR_STATES[i]}`, Number(share.toFixed(4))] as const,
  )
  return {
    [`${prefix}windows`]: evaluation.windows,
    [`${prefix}accuracy`]: Number(evaluation.byLabel.overall.toFixed(4)),
    ...Object.fromEntries(byClass),
  }
}
