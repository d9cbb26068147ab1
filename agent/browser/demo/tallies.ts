/** Who answered how often, how right and how fast, by release and arm. At most `ROWS_MAX` are shown. */
import type { Inference } from '../inference-client.ts'
import { byId, make } from './dom.ts'
import { medianOf, msText, percentText } from './format.ts'

export interface Tallies {
  count(answer: Inference, latencyMs: number, isRight: boolean | undefined): void
}

interface Tally {
  readonly answer: Inference
  answers: number
  labelled: number
  right: number
  /** Of the last `LATENCIES_MAX` answers. */
  latenciesMs: number[]
}

const ROWS_MAX = 8
const LATENCIES_MAX = 100

export function createTallies(): Tallies {
  const body = byId('arms', HTMLTableSectionElement)
  let tallies: Tally[] = []

  function draw(): void {
    const rows = tallies.map(({ answer, answers, labelled, right, latenciesMs }) => {
      const release = make('th', '', `${answer.version} `, make('span', 'soft', answer.variant))
      release.scope = 'row'
      const arm = make('span', `arm ${answer.arm}`, answer.arm)
      const share = labelled === 0 ? '–' : percentText(right / labelled)
      const figures = [String(answers), share, msText(medianOf(latenciesMs))]
      const cells = figures.map((text) => make('td', 'number', text))
      return make('tr', '', release, make('td', '', arm), ...cells)
    })
    body.replaceChildren(...rows)
  }

  return {
    count(answer, latencyMs, isRight) {
      const same = ({ answer: other }: Tally) =>
        other.version === answer.version && other.arm === answer.arm
      const found = tallies.find(same)
      const tally = found ?? { answer, answers: 0, labelled: 0, right: 0, latenciesMs: [] }
      // The newest release first; the oldest row goes.
      if (found === undefined) tallies = [tally, ...tallies].slice(0, ROWS_MAX)
      tally.answers += 1
      tally.labelled += isRight === undefined ? 0 : 1
      tally.right += isRight === true ? 1 : 0
      tally.latenciesMs = [...tally.latenciesMs, latencyMs].slice(-LATENCIES_MAX)
      draw()
    },
  }
}
