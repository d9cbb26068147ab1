/**
 * What an application may ask of its runtime, checked before anything is made of it: a number that is
 * none, or a word that nothing goes by, is refused and never taken for something else. Pure.
 */
import { z } from 'zod'
import type { Problem } from '../../shared/kernel/result.ts'
import { executionProviderSchema } from '../../shared/model/profile.ts'
import type { InferOptions, InProcessOptions } from './in-process.ts'

const THREADS_MAX = 1_024
/** A request that waits holds its tensors in memory. */
const QUEUE_LENGTH_MAX = 65_536
const MODELS_MAX = 1_024

const wholeNumber = (most: number) => {
  const expected = `a whole number from 1 to ${most}`
  return z.number(expected).refine((n) => Number.isInteger(n) && n >= 1 && n <= most, expected)
}
const oneOf = <const T extends readonly string[]>(words: T) => z.enum(words, words.join(' or '))

const PROVIDERS = `a list of ${executionProviderSchema.options.join(', ')}`
const MODELS = `up to ${MODELS_MAX} models, no name twice`
/** As it stands in the paths of the protocol. */
const NAME = 'letters, digits, "_", "." and "-", up to 128'

const optionsSchema = z.object({
  models: z
    .array(
      z.object({
        model: z.string(NAME).regex(/^[\w.-]{1,128}$/, NAME),
        path: z.string('a path').min(1, 'a path'),
      }),
      MODELS,
    )
    .max(MODELS_MAX, MODELS)
    .refine((models) => new Set(models.map(({ model }) => model)).size === models.length, MODELS),
  executionProviders: z
    .array(z.enum(executionProviderSchema.options, PROVIDERS), PROVIDERS)
    .min(1, PROVIDERS)
    .optional(),
  threads: wholeNumber(THREADS_MAX).optional(),
  queueLengthMax: wholeNumber(QUEUE_LENGTH_MAX).optional(),
  batching: oneOf(['auto', 'off']).optional(),
  inline: z.boolean('true or false').optional(),
})

/** @returns code `runtime.invalid_option`; undefined: all of them can be used. */
export function optionProblem(options: InProcessOptions): Problem | undefined {
  const issue = optionsSchema.safeParse(options).error?.issues[0]
  if (issue === undefined) return undefined
  const found = issue.path.reduce<unknown>((value, key) => Object(value)[key], options)
  return invalidOption('createRuntime', issue.path.join('.'), issue.message, found)
}

/** On the way of every request: a few comparisons. @returns as `optionProblem`. */
export function inferOptionProblem(options: InferOptions): Problem | undefined {
  const { deadlineMs, arm, priority } = options
  if (deadlineMs !== undefined && (typeof deadlineMs !== 'number' || Number.isNaN(deadlineMs))) {
    return invalidOption('infer', 'deadlineMs', 'a number of milliseconds', deadlineMs)
  }
  if (arm !== undefined && arm !== 'baseline' && arm !== 'canary') {
    return invalidOption('infer', 'arm', 'baseline or canary', arm)
  }
  if (priority !== undefined && priority !== 'high' && priority !== 'normal') {
    return invalidOption('infer', 'priority', 'high or normal', priority)
  }
  return undefined
}

function invalidOption(of: string, name: string, expected: string, found: unknown): Problem {
  return {
    code: 'runtime.invalid_option',
    message: `The option ${name} cannot be used.`,
    expected,
    // JSON writes NaN and infinity as null.
    found: (typeof found === 'object' ? JSON.stringify(found) : String(found)).slice(0, 120),
    next: `give ${of} another one, or leave it out where it has a default`,
  }
}
