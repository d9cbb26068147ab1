/** What an application may not ask of its runtime, and how that is told. */
import { describe, expect, it } from 'vitest'
import { createRuntime, type InProcessOptions } from '../../../agent/runtime/in-process.ts'
import { inferOptionProblem, optionProblem } from '../../../agent/runtime/in-process-options.ts'

const models = [{ model: 'tiny', path: 'tiny.onnx' }]

describe('A runtime', () => {
  it('refuses threads that are no number before it looks for a model', async () => {
    await expect(createRuntime({ models, threads: Number.NaN })).rejects.toMatchObject({
      problem: {
        code: 'runtime.invalid_option',
        message: 'The option threads cannot be used.',
        expected: 'a whole number from 1 to 1024',
        found: 'NaN',
        next: expect.stringContaining('createRuntime'),
      },
    })
  })

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2_000, '2', null])(
    'refuses %s threads, and as many places in the line',
    (n) => {
      for (const name of ['threads', 'queueLengthMax']) {
        const bad = name === 'queueLengthMax' && n === 2_000 ? 1e6 : n
        const options = { models, [name]: bad } as unknown as InProcessOptions
        expect(optionProblem(options)).toMatchObject({
          ...{ code: 'runtime.invalid_option', found: String(bad) },
          message: `The option ${name} cannot be used.`,
        })
      }
    },
  )

  it.each([
    ['no list of models', { models: undefined }, 'models'],
    ['a model twice', { models: [...models, ...models] }, 'models'],
    [
      'a name that is no part of a path',
      { models: [{ model: 'a/b', path: 'x' }] },
      'models.0.model',
    ],
    ['a model without a path', { models: [{ model: 'a', path: '' }] }, 'models.0.path'],
    ['no provider', { models, executionProviders: [] }, 'executionProviders'],
    ['an unknown provider', { models, executionProviders: ['gpu'] }, 'executionProviders.0'],
    ['another word for batches', { models, batching: 'on' }, 'batching'],
    ['another word for inline', { models, inline: 'yes' }, 'inline'],
  ])('refuses %s', (_, options, name) => {
    const problem = optionProblem(options as unknown as InProcessOptions)
    expect(problem?.code).toBe('runtime.invalid_option')
    expect(problem?.message).toBe(`The option ${name} cannot be used.`)
    expect(problem?.expected).toMatch(/\w/)
  })

  it('takes whatever its types allow', () => {
    expect(optionProblem({ models })).toBeUndefined()
    const all = { models, threads: 4, queueLengthMax: 1, batching: 'off', inline: true } as const
    expect(optionProblem({ ...all, executionProviders: ['webgpu', 'cpu'] })).toBeUndefined()
  })
})

describe('A request', () => {
  it.each([
    [{ deadlineMs: Number.NaN }, 'deadlineMs'],
    [{ deadlineMs: '10' }, 'deadlineMs'],
    [{ arm: 'blue' }, 'arm'],
    [{ priority: 'highest' }, 'priority'],
  ])('with %j is refused', (options, name) => {
    expect(inferOptionProblem(options as never)).toMatchObject({
      code: 'runtime.invalid_option',
      message: `The option ${name} cannot be used.`,
    })
  })

  it('may have a deadline that is over, or none of its own', () => {
    for (const deadlineMs of [-1, 0, 5, Number.POSITIVE_INFINITY]) {
      expect(inferOptionProblem({ deadlineMs, arm: 'canary', priority: 'high' })).toBeUndefined()
    }
  })
})
