/**
 * What ONNX Runtime can do, Linnet can do, and nothing more is promised: several hundred models of one
 * operator or one odd graph are given to both. ONNX Runtime says which of them work; Linnet must take
 * exactly those, as JSON and as binary data, and must not die where ONNX Runtime does.
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

/** In a process of its own, and after its death in another one from the next case on. */
async function run(mode: 'raw' | 'linnet', count: number): Promise<Verdicts> {
  const { file, execArgv } = programAt(import.meta.url, './operators-main')
  const found = new Map<number, Verdict>()
  let deaths = 0
  while (found.size < count && deaths < DEATHS_MAX) {
    const args = [...execArgv, file, mode, String(found.size)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    for await (const line of createInterface({ input: child.stdout })) {
      const verdict = JSON.parse(line) as Verdict
      found.set(verdict.i, verdict)
    }
    if (found.size === count) break
    deaths += 1
    found.set(found.size, { i: found.size, passed: false, why: 'the process ended' })
  }
  return { of: found, deaths }
}

describe('Operators', { timeout: 240_000 }, () => {
  it('that ONNX Runtime runs, Linnet runs, and no others; where it dies, Linnet does not', async () => {
    const cases = operatorCases()
    const [raw, linnet] = await Promise.all([run('raw', cases.length), run('linnet', cases.length)])
    const passed = [...raw.of.values()].filter(({ passed }) => passed).length
    console.log(
      `${cases.length} models, ${passed} run on ONNX Runtime, which died ${raw.deaths} times`,
    )
    const different = cases.flatMap(({ name }, i) => {
      const [ours, theirs] = [linnet.of.get(i), raw.of.get(i)]
      return ours?.passed === theirs?.passed ? [] : [{ name, ours, theirs }]
    })
    expect(different).toEqual([])
    expect(linnet.deaths).toBe(0)
    expect(cases.length).toBeGreaterThan(700)
    expect(passed).toBeGreaterThan(600)
    expect(raw.deaths).toBeGreaterThan(0)
  })
})
