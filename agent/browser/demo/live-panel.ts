/**
 * Classifies one window after the other through the local API, as an application on a device would, and
 * shows the answer beside the truth. The truth goes back as feedback, so this browser has a voice in
 * canaries.
 */

import { numberAt } from '../../../shared/model/tensor-value.ts'
import { MOTOR_STATES, SAMPLES } from '../../../shared/motor/motor.ts'
import type { Inference, InferenceClient } from '../inference-client.ts'
import { type Controls, STATE_NAMES } from './controls.ts'
import { byId, make, setText } from './dom.ts'
import { msText, percentText } from './format.ts'
import type { Sample } from './sources.ts'
import { createTallies } from './tallies.ts'
import { createVibrationChart } from './vibration-chart.ts'

const PERIOD_MS = 250
const MODEL = 'motor-vibration'
/** Feedback for so many of ten, as a plant would have it. */
const LABELS_PER_TEN = 5

export function startLivePanel(client: InferenceClient, controls: Controls): void {
  const chart = createVibrationChart()
  const tallies = createTallies()
  const bars = createBars()
  const caption = byId('live-caption', HTMLParagraphElement)
  let count = 0

  async function once(): Promise<void> {
    const sample = controls.next()
    if (sample === undefined) return
    chart.draw(sample.vibration)
    count += 1
    const id = `w-${count}`
    const startMs = performance.now()
    const answer = await client.infer(MODEL, [tensorOf(sample)], { id })
    const latencyMs = performance.now() - startMs
    if (!answer.ok) {
      setText(caption, `No answer: ${answer.error.message}`)
      return
    }
    const index = bars.show(answer.value, sample)
    const truth = sample.truth === undefined ? undefined : MOTOR_STATES.indexOf(sample.truth)
    tallies.count(answer.value, latencyMs, truth === undefined ? undefined : truth === index)
    showAnswer(answer.value, index, latencyMs)
    setText(caption, captionOf(sample, truth === index))
    if (sample.truth !== undefined && count % 10 < LABELS_PER_TEN) {
      await client.feedback(MODEL, id, sample.truth)
    }
  }

  async function run(): Promise<void> {
    await once()
    setTimeout(() => void run(), PERIOD_MS)
  }
  void run()
}

function tensorOf({ vibration }: Sample) {
  const shape = [1, 3, SAMPLES]
  return { name: 'vibration', datatype: 'FP32' as const, shape, data: vibration }
}

function captionOf({ truth }: Sample, isRight: boolean): string {
  if (truth === undefined) return 'From this phone’s accelerometer; nobody knows the truth.'
  return `In truth it is ${STATE_NAMES[truth]}: the model is ${isRight ? 'right' : 'wrong'}.`
}

function showAnswer({ version, arm, provider }: Inference, index: number, latencyMs: number): void {
  const state = MOTOR_STATES[index]
  const name = state === undefined ? 'unknown' : STATE_NAMES[state]
  setText(byId('answer-class', HTMLSpanElement), name)
  const by = byId('answer-by', HTMLSpanElement)
  by.replaceChildren(
    `${MODEL}@${version} `,
    make('span', `arm ${arm}`, arm),
    ` on ${provider}, ${msText(latencyMs)}`,
  )
}

/** One bar for each class. */
function createBars() {
  const list = byId('classes', HTMLUListElement)
  const rows = MOTOR_STATES.map((state) => {
    const meter = make('meter', '')
    Object.assign(meter, { min: 0, max: 1, value: 0 })
    meter.setAttribute('aria-label', STATE_NAMES[state])
    const figure = make('span', 'number', '–')
    const row = make('li', '', make('span', 'name', STATE_NAMES[state]), meter, figure)
    list.append(row)
    return { row, meter, figure, state }
  })
  return {
    /** @returns the index of the most probable class. */
    show({ outputs }: Inference, { truth }: Sample): number {
      const scores = outputs[0]
      const values = MOTOR_STATES.map((_, i) => (scores === undefined ? 0 : numberAt(scores, i)))
      const shares = asProbabilities(values)
      const best = shares.indexOf(Math.max(...shares))
      for (const [i, { row, meter, figure, state }] of rows.entries()) {
        meter.value = shares[i] ?? 0
        setText(figure, percentText(shares[i] ?? 0))
        row.classList.toggle('best', i === best)
        row.classList.toggle('truth', state === truth)
      }
      return best
    },
  }
}

/** Scores that are no probabilities count as logits. */
function asProbabilities(values: readonly number[]): number[] {
  const sum = values.reduce((total, value) => total + value, 0)
  if (values.every((value) => value >= 0) && Math.abs(sum - 1) < 0.01) return [...values]
  const best = Math.max(...values)
  const powers = values.map((value) => Math.exp(value - best))
  const total = powers.reduce((a, b) => a + b, 0)
  return powers.map((power) => power / total)
}
