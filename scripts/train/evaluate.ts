/** Runs an exported model in ONNX Runtime on one thread: accuracy per class, latency, raw outputs. */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { MOTOR_STATES } from '../../shared/motor/motor.ts'
import type { LabelledWindow } from './dataset.ts'
import { INPUT, OUTPUT } from './export-fp32.ts'

export interface Model {
  /** Class probabilities of one window. */
  classify(vibration: Float32Array): Promise<Float32Array>
  close(): Promise<void>
}

export async function openModel(onnx: Uint8Array): Promise<Model> {
  const session = await InferenceSession.create(onnx, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  })
  return {
    async classify(vibration) {
      const feeds = { [INPUT]: new Tensor('float32', vibration, [1, 3, 128]) }
      const { data } = (await session.run(feeds))[OUTPUT]!
      return Float32Array.from(data as Float32Array)
    },
    close: () => session.release(),
  }
}

interface Accuracy {
  /** Share of right answers over all classes. */
  readonly overall: number
  /** Per class, in the order of MOTOR_STATES. */
  readonly byClass: readonly number[]
}

export interface Evaluation {
  readonly windows: number
  /** Right is what the annotator said. */
  readonly byLabel: Accuracy
  /** Right is what was so. */
  readonly byTruth: Accuracy
  readonly latencyMsP50: number
}

export async function evaluate(
  model: Model,
  windows: readonly LabelledWindow[],
): Promise<Evaluation> {
  const answers: number[] = []
  const latenciesMs: number[] = []
  for (const window of windows) {
    const startedAt = performance.now()
    const probabilities = await model.classify(window.vibration)
    latenciesMs.push(performance.now() - startedAt)
    answers.push(argmax(probabilities))
  }
  latenciesMs.sort((a, b) => a - b)
  return {
    windows: windows.length,
    byLabel: accuracy(
      answers,
      windows.map((window) => window.label),
    ),
    byTruth: accuracy(
      answers,
      windows.map((window) => window.truth),
    ),
    latencyMsP50: latenciesMs[Math.floor(latenciesMs.length / 2)]!,
  }
}

function accuracy(answers: readonly number[], right: readonly number[]): Accuracy {
  const hits = answers.filter((answer, i) => answer === right[i]).length
  const byClass = MOTOR_STATES.map((_, state) => {
    const ofState = answers.filter((_, i) => right[i] === state)
    const hitsOfState = ofState.filter((answer) => answer === state).length
    return hitsOfState / Math.max(1, ofState.length)
  })
  return { overall: hits / answers.length, byClass }
}

/** Index of the largest value; the first of equals. */
function argmax(values: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i
  return best
}
