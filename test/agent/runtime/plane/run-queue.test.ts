import { describe, expect, it } from 'vitest'
import type { Priority } from '../../../../agent/data-plane.ts'
import { createRunQueue, type QueueWork } from '../../../../agent/runtime/plane/run-queue.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** Jobs are texts; the clock is moved by the runs, each of which takes `tookMs`. */
function bench(options: { lengthMax?: number; tookMs?: number; together?: number } = {}) {
  const { lengthMax = 64, tookMs = 10, together = 1 } = options
  let atMs = 0
  const runs: string[] = []
  const run = async (jobs: readonly string[]) => {
    await turn()
    atMs += tookMs
    runs.push(jobs.join('+'))
  }
  const work: QueueWork<string, string> = {
    runOne: async (job) => {
      await run([job])
      return `${job}!`
    },
    rows: () => 1,
    runTogether: async (jobs) => {
      await run(jobs)
      return jobs.includes('poison') ? undefined : jobs.map((job) => `${job}!`)
    },
    company: () => {
      let joined = 1
      return () => ++joined <= together
    },
  }
  const queue = createRunQueue(lengthMax, () => atMs, work)
  const ask = (job: string, priority?: Priority, deadlineAtMs = Infinity, isGone?: () => boolean) =>
    queue.run(job, { priority, deadlineAtMs, isGone })
  /** Resolves while this job runs. */
  const occupy = async (job: string) => {
    const answer = ask(job)
    await Promise.resolve()
    await Promise.resolve()
    return { answer }
  }
  return { runs, ask, occupy, nowMs: () => atMs }
}

describe('The lines in front of the processor', () => {
  it('let high priority go first, and every fifth run be a normal one', async () => {
    const { ask, occupy, runs } = bench()
    const first = await occupy('first')
    const normal = ['n1', 'n2', 'n3'].map((job) => ask(job))
    const high = Array.from({ length: 10 }, (_, i) => ask(`h${i}`, 'high'))
    await Promise.all([first.answer, ...normal, ...high])
    expect(runs.join(' ')).toBe('first h0 h1 h2 h3 n1 h4 h5 h6 h7 n2 h8 h9 n3')
  })

  it('are bounded each for itself', async () => {
    const { ask, occupy } = bench({ lengthMax: 2 })
    const { answer } = await occupy('first')
    const normal = [ask('n1'), ask('n2')]
    const refused = await ask('n3')
    expect(refused).toMatchObject({ error: { code: 'infer.overloaded', found: '2' } })
    const answers = await Promise.all([ask('h1', 'high'), ask('h2', 'high'), answer, ...normal])
    expect(answers.every(({ ok }) => ok)).toBe(true)
  })

  it('refuse at once whose deadline is before what requests wait here', async () => {
    const { ask, occupy, nowMs } = bench()
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map((job) => ask(job)))
    await occupy('f')
    const busy = ['g', 'h', 'i'].map((job) => ask(job))
    const late = await ask('late', 'normal', nowMs() + 30)
    expect(late).toMatchObject({
      error: {
        code: 'infer.overloaded',
        expected: 'a wait within the deadline',
        found: expect.stringMatching(/^about 5[01] ms$/),
      },
    })
    expect((await ask('patient', 'normal', nowMs() + 200)).ok).toBe(true)
    // High priority goes before those that wait, so the same deadline can be met.
    const next = ['j', 'k', 'l', 'm'].map((job) => ask(job))
    expect((await ask('soon', 'high', nowMs() + 30)).ok).toBe(true)
    await Promise.all([...busy, ...next])
  })

  it('say in how many seconds to try again', async () => {
    const { ask, occupy, nowMs } = bench({ tookMs: 1_000 })
    await Promise.all(['a', 'b', 'c'].map((job) => ask(job)))
    await occupy('d')
    const busy = ['e', 'f'].map((job) => ask(job))
    expect(await ask('late', 'normal', nowMs() + 100)).toMatchObject({
      error: { next: 'try again in 3 s' },
    })
    await Promise.all(busy)
  })

  it('run together whatever waits, up to the limit, and nothing that came alone', async () => {
    const { ask, occupy, runs } = bench({ together: 3 })
    const { answer } = await occupy('a')
    const answers = await Promise.all([answer, ...['b', 'c', 'd', 'e'].map((job) => ask(job))])
    expect(runs).toEqual(['a', 'b+c+d', 'e'])
    expect(answers.map((answer) => answer.ok && answer.value.value)).toEqual([
      ...['a!', 'b!', 'c!', 'd!', 'e!'],
    ])
    expect(answers.map((answer) => answer.ok && answer.value.leads)).toEqual([
      ...[true, true, false, false, true],
    ])
    expect(answers.map((answer) => answer.ok && answer.value.runRows)).toEqual([1, 3, 3, 3, 1])
  })

  it('fill a run of high priority with normal requests', async () => {
    const { ask, occupy, runs } = bench({ together: 3 })
    await occupy('a')
    await Promise.all([ask('n1'), ask('n2'), ask('h1', 'high'), ask('h2', 'high')])
    expect(runs).toEqual(['a', 'h1+h2+n1', 'n2'])
  })

  it('run each alone when a run of several failed, in their order', async () => {
    const { ask, runs } = bench({ together: 4 })
    const answers = await Promise.all(['b', 'poison', 'c'].map((job) => ask(job)))
    expect(runs).toEqual(['b+poison+c', 'b', 'poison', 'c'])
    expect(answers.every(({ ok }) => ok)).toBe(true)
  })

  it('leave out of a run who has left or is late, and tell them so', async () => {
    const { ask, occupy, runs } = bench({ together: 4 })
    let hasLeft = false
    const { answer } = await occupy('a')
    const asked = [
      answer,
      ask('b'),
      ask('gone', 'normal', Infinity, () => hasLeft),
      ask('late', 'normal', 5),
      ask('c'),
    ]
    hasLeft = true
    const answers = await Promise.all(asked)
    expect(runs).toEqual(['a', 'b+c'])
    expect(answers[2]).toMatchObject({ error: { code: 'infer.cancelled' } })
    expect(answers[3]).toMatchObject({ error: { code: 'infer.deadline' } })
  })
})
