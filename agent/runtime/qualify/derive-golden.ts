/**
 * Golden vectors for a model that came without: inputs that were given or are made up, and the outputs
 * that the cpu provider computes for them. `linnet release create`, `linnet serve` and applications
 * run this through the qualifier program, so that they never load a model that they do not know.
 *
 * What is golden must come out again: an output that differs from run to run on the very same inputs
 * (random operators) is left out and named; NaN is told, since nobody should promise it unknowingly.
 */
import { createPrng } from '../../../shared/kernel/prng.ts'
import { ok, type Problem, type Result, refuse } from '../../../shared/kernel/result.ts'
import type { GoldenVector } from '../../../shared/model/golden.ts'
import {
  compareWithGolden,
  goldenTensor,
  goldenValue,
} from '../../../shared/model/golden-compare.ts'
import { type InputSpec, inputSpecExample } from '../../../shared/model/input-spec.ts'
import { numberAt, type TensorValue } from '../../../shared/model/tensor-value.ts'
import type { ModelSession } from '../model-session.ts'
import { drawInputs, RECIPES } from './trial-inputs.ts'

export const VECTORS_DEFAULT = 8
/** The same run again and again gives this, or it is random. */
const SAME = { absolute: 1e-5, relative: 1e-4, nan: 'equal' } as const

export interface DerivedGolden {
  readonly vectors: readonly GoldenVector[]
  /** Outputs that differ from run to run; no vector holds them. */
  readonly random: readonly string[]
  /** An output that is NaN in some vector. */
  readonly nan: string | undefined
}

export interface DeriveOptions {
  readonly seed: string
  readonly count: number
  /** How often each vector is run again to see whether its outputs stay. */
  readonly repeats: number
  /** The first recipe to try: those before it ended the process. */
  readonly from?: number
  /** Told before each recipe, which may end the process. */
  readonly onTry?: (recipe: number) => void
}

/**
 * The first recipe whose inputs the model takes, and of those rather one without NaN.
 * Errors: `golden.input_spec`, `golden.too_large`, `golden.run_failed`.
 */
export async function deriveGolden(
  session: ModelSession,
  specs: InputSpec,
  { seed, count, repeats, from = 0, onTry }: DeriveOptions,
): Promise<Result<DerivedGolden>> {
  const unknown = Object.keys(specs).find(
    (name) => !session.inputs.some((input) => input.name === name),
  )
  if (unknown !== undefined) {
    return refuse('golden.input_spec', 'The input specification names an unknown input.', {
      expected: session.inputs.map(({ name }) => name).join(', '),
      found: unknown,
      next: inputSpecExample(session.inputs),
    })
  }
  const root = createPrng(`golden:${seed}`)
  let first: Problem | undefined
  let withNan: DerivedGolden | undefined
  for (const [r, recipe] of RECIPES.entries()) {
    if (r < from) continue
    onTry?.(r)
    const drawn: TensorValue[][] = []
    for (let i = 0; i < count; i++) {
      const prngOf = (name: string) => root.split(`${i}/${name}`)
      const inputs = drawInputs(session, specs, recipe, prngOf)
      if (!inputs.ok) return inputs
      drawn.push(inputs.value)
    }
    const derived = await completeGolden(session, drawn, repeats)
    if (derived.ok && derived.value.nan === undefined) return derived
    if (derived.ok) withNan ??= derived.value
    else first ??= derived.error
  }
  if (withNan !== undefined) return ok(withNan)
  const error = first ?? runFailed('every input that was made up ended the process')
  const next = `say which shapes and values its inputs take: ${inputSpecExample(session.inputs)}`
  return { ok: false, error: { ...error, next } }
}

/** Runs the model on these inputs. Errors: `golden.run_failed`. */
export async function completeGolden(
  session: ModelSession,
  vectors: readonly (readonly TensorValue[])[],
  repeats: number,
): Promise<Result<DerivedGolden>> {
  const done: GoldenVector[] = []
  const random = new Set<string>()
  let nan: string | undefined
  try {
    for (const inputs of vectors) {
      const outputs = await session.run(inputs)
      nan ??= outputs.find(hasNan)?.name
      const golden = outputs.map(goldenTensor)
      for (let i = 0; i < repeats; i++) {
        const again = await session.run(inputs)
        for (const output of golden) {
          if (!compareWithGolden(again, [output], SAME).passed) random.add(output.name)
        }
      }
      done.push({ inputs: inputs.map(goldenTensor), outputs: golden })
    }
  } catch (cause) {
    return { ok: false, error: runFailed(cause instanceof Error ? cause.message : String(cause)) }
  }
  const kept = done.map(({ inputs, outputs }) => ({
    inputs,
    outputs: outputs.filter(({ name }) => !random.has(name)),
  }))
  return ok({ vectors: kept, random: [...random], nan })
}

export function inputsOf(vectors: readonly GoldenVector[]): TensorValue[][] {
  return vectors.map(({ inputs }) => inputs.map(goldenValue))
}

function runFailed(found: string): Problem {
  return {
    code: 'golden.run_failed',
    message: 'The model fails on the inputs that were made for it.',
    found: found.replaceAll(/\s+/g, ' ').slice(0, 400),
    next: 'say with --input-spec which shapes and values its inputs take',
  }
}

function hasNan(tensor: TensorValue): boolean {
  if (!tensor.datatype.startsWith('FP')) return false
  for (let i = 0; i < tensor.data.length; i++) if (Number.isNaN(numberAt(tensor, i))) return true
  return false
}
