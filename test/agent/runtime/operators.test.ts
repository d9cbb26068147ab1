/**
 * What ONNX Runtime can do, Linnet can do, and nothing more is promised: several hundred models of one
 * operator or one odd graph are given to both. ONNX Runtime says which of them work; Linnet must take
 * exactly those, as JSON and as binary data, and must not die where ONNX Runtime does. A sample of them
 * runs here; all with LINNET_ALL_OPERATORS=1, and in a browser by ../browser/operators-main.ts.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { describe, expect, it } from 'vitest'
import { programAt } from '../../../shared/node/program.ts'
import { operatorCases } from '../../fixtures/operators/all.ts'

interface Verdict {
  readonly i: number
  readonly passed: boolean
  readonly why: string
}

interface Verdicts {
  readonly of: ReadonlyMap<number, Verdict>
  readonly deaths: number
}

const DEATHS_MAX = 10

/** Cheap enough for every push: one of five, and all whose death or odd values are the point. */
function sample(): number[] {
  const isOdd = /INT4|BF16|FP8|optional|sequence|IR |opset \d+$|text|names? /
  const cases = operatorCases()
  const all = process.env.LINNET_ALL_OPERATORS !== undefined
  return cases.flatMap(({ name }, i) => (all || i % 5 === 0 || isOdd.test(name) ? [i] : []))
}

/** In a process of its own, and after its death in another one from the next case on. */
async function run(mode: 'raw' | 'linnet', wanted: readonly number[]): Promise<Verdicts> {
  const { file, execArgv } = programAt(import.meta.url, './operators-main')
  const found = new Map<number, Verdict>()
  let deaths = 0
  while (deaths < DEATHS_MAX) {
    const left = wanted.filter((i) => !found.has(i))
    if (left.length === 0) break
    const args = [...execArgv, file, mode, left.join(',')]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    for await (const line of createInterface({ input: child.stdout })) {
      const verdict = JSON.parse(line) as Verdict
      found.set(verdict.i, verdict)
    }
    const died = wanted.find((i) => !found.has(i))
    if (died === undefined) break
    deaths += 1
    found.set(died, { i: died, passed: false, why: 'the process ended' })
  }
  return { of: found, deaths }
}

describe('Operators', { timeout: 600_000 }, () => {
  it('that ONNX Runtime runs, Linnet runs, and no others; where it dies, Linnet does not', async () => {
    const cases = operatorCases()
    const wanted = sample()
    const [raw, linnet] = await Promise.all([run('raw', wanted), run('linnet', wanted)])
    const passed = [...raw.of.values()].filter(({ passed }) => passed).length
    console.log(
      `${wanted.length} of ${cases.length} models, ${passed} run on ONNX Runtime, which died ${raw.deaths} times`,
    )
    const different = wanted.flatMap((i) => {
      const [ours, theirs] = [linnet.of.get(i), raw.of.get(i)]
      return ours?.passed === theirs?.passed ? [] : [{ name: cases[i]?.name, ours, theirs }]
    })
    expect(different).toEqual([])
    expect(linnet.deaths).toBe(0)
    expect(wanted.length).toBeGreaterThan(200)
    expect(passed).toBeGreaterThan(150)
    expect(raw.deaths).toBeGreaterThan(0)
  })
})
