/**
 * What a client of the local API relies on, whatever runs the models: company changes no answer, and
 * a stream stays with the release it began with.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ResolvedRelease, ServePlan } from '../../agent/ports.ts'
import { softmax } from '../agent/runtime/release-builder.ts'
import type { RuntimeBench } from './runtime.contract.ts'

export interface RequestBench extends RuntimeBench {
  /** One request to infer of the model `tiny`; its JSON, and the answer's. */
  ask(body: string): Promise<{ status: number; text: string }>
}

interface Answer {
  readonly model_version: string
  readonly outputs: readonly { readonly data: readonly number[] }[]
}

export function requestContract(name: string, createBench: () => Promise<RequestBench>): void {
  describe(`${name} keeps the promises of the local API`, { timeout: 120_000 }, () => {
    let bench: RequestBench
    beforeEach(async () => {
      bench = await createBench()
    })
    afterEach(() => bench.dispose())

    const planOf = (generation: number, current: ResolvedRelease): ServePlan => ({
      ...{ generation, windowMs: 1_000 },
      models: [
        {
          ...{ model: 'tiny', current: bench.served(current), candidate: null, previous: null },
          ...{ trafficShare: 0, shadow: 0, rollout: null },
        },
      ],
    })
    const bring = async (generation: number, release: ResolvedRelease) => {
      expect((await bench.runtime.qualify(release, new AbortController().signal)).ok).toBe(true)
      expect(await bench.runtime.serve(planOf(generation, release))).toEqual({ served: true })
    }
    async function ask(x0: number, parameters: object = {}) {
      const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [x0, 0] }]
      const { status, text } = await bench.ask(JSON.stringify({ inputs, parameters }))
      const { model_version: version, outputs } = JSON.parse(text) as Partial<Answer>
      return { status, version, scores: outputs?.[0]?.data ?? [] }
    }

    it('each of many requests at once gets its own answer, of either priority', async () => {
      await bring(1, bench.good)
      const firsts = Array.from({ length: 40 }, (_, i) => (i - 20) / 10)
      const answers = await Promise.all(firsts.map((x0, i) => ask(x0, { priority: 1 + (i % 2) })))
      for (const [i, { status, scores }] of answers.entries()) {
        expect(status).toBe(200)
        expect(scores[1]).toBeCloseTo(softmax(firsts[i]!)[1], 5)
      }
    })

    it('a stream stays with its release until it ends, while others go on to the next', async () => {
      await bring(1, bench.good)
      const stream = { sequence_id: 7 }
      expect((await ask(1, stream)).status).toBe(400)
      expect(await ask(1, { ...stream, sequence_start: true })).toMatchObject({ version: '1.0.0' })
      await bring(2, bench.better)
      expect(await ask(1)).toMatchObject({ status: 200, version: '1.1.0' })
      const last = await ask(0.5, { ...stream, sequence_end: true })
      expect(last).toMatchObject({ status: 200, version: '1.0.0' })
      expect(last.scores[1]).toBeCloseTo(softmax(0.5)[1], 5)
      expect((await ask(1, stream)).status).toBe(400)
    })
  })
}
