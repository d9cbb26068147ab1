/**
 * The qualifier's command `derive`: what a model file takes and gives, and golden vectors for it, on
 * the cpu provider. Its last line is JSON (`Derived`).
 *
 * A release must be able to keep what it promises, so by default a model that fails, gives NaN or
 * only random numbers on its inputs is refused. With `--unsigned` nobody promises anything: then the
 * reason why there is nothing to compare is told instead (`unproved`), and a line `{"trying":n}` goes
 * before each attempt that might end the process, so that whoever waits can go on behind it.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import { decodeGolden, encodeGolden } from '../../../shared/model/golden.ts'
import { type InputSpec, inputSpecSchema } from '../../../shared/model/input-spec.ts'
import { type ModelSignature, readModelSignature } from '../../../shared/onnx/model-signature.ts'
import type { ModelSession } from '../model-session.ts'
import { loadSession } from '../onnx-session.ts'
import { checkCarried } from './admission.ts'
import {
  completeGolden,
  type DerivedGolden,
  deriveGolden,
  inputsOf,
  VECTORS_DEFAULT,
} from './derive-golden.ts'

const VECTORS_MAX = 64
/** Those that draw numbers; a few equal draws in a row are chance, so they are watched for longer. */
const RANDOM_OPERATORS = /^(Random|Bernoulli$|Multinomial$|Dropout$)/
/** A float outside of an integer's range becomes another number on every provider. */
const CASTS = /^Cast(Like)?$/
const USAGE =
  'derive --model F --out F [--input-spec JSON] [--inputs F] [--seed S] [--vectors N] [--unsigned] [--from N]'

interface DeriveArguments {
  readonly model: string
  readonly out: string
  readonly inputs: string | undefined
  readonly spec: InputSpec
  readonly seed: string
  readonly vectors: number
  readonly unsigned: boolean
  readonly from: number
}

/** Errors: `qualifier.usage`, `onnx.*`, `admission.*`, `golden.*`; thrown: what ONNX Runtime throws. */
export async function derive(argv: string[]): Promise<Result<object>> {
  const read = readArguments(argv)
  if (!read.ok) return read
  const { model, out, unsigned } = read.value
  const bytes = await readFile(model)
  const signature = readModelSignature(bytes)
  if (!signature.ok) return signature
  const carried = checkCarried(signature.value)
  if (!carried.ok) return carried
  const loaded = await loadSession(bytes, { provider: 'cpu', threads: 1 })
  const session = { ...loaded, ...withOpenRanks(loaded, signature.value) }
  const isRandom = signature.value.operators.some(({ type }) => RANDOM_OPERATORS.test(type))
  const isCasting = signature.value.operators.some(({ type }) => CASTS.test(type))
  const from = unsigned && isCasting ? Math.max(1, read.value.from) : read.value.from
  const golden = await vectorsFor(session, { ...read.value, from }, isRandom ? 4 : 1)
  if (!golden.ok && (!unsigned || golden.error.code === 'golden.input_spec')) return golden
  if (golden.ok && !unsigned) {
    const kept = promised(golden.value)
    if (!kept.ok) return kept
  }
  const vectors = golden.ok ? golden.value.vectors : []
  await writeFile(out, encodeGolden(vectors))
  const { irVersion, opsets, producer } = signature.value
  return ok({
    ...{ inputs: session.inputs, outputs: session.outputs, vectors: vectors.length },
    ...{ irVersion, opsets, producer },
    random: golden.ok ? golden.value.random : [],
    ...(golden.ok ? {} : { unproved: golden.error.found ?? golden.error.message }),
  })
}

/** ONNX Runtime tells an unknown rank as that of a scalar; the file knows better. */
function withOpenRanks(session: ModelSession, signature: ModelSignature) {
  const open = (role: 'inputs' | 'outputs') =>
    session[role].map((tensor) => {
      const declared = signature[role].find(({ name }) => name === tensor.name)
      const isOpen = declared?.rankKnown === false && tensor.shape.length === 0
      return isOpen ? { ...tensor, anyShape: true as const } : tensor
    })
  return { inputs: open('inputs'), outputs: open('outputs') }
}

async function vectorsFor(
  session: ModelSession,
  { inputs, spec, seed, vectors, from, unsigned }: DeriveArguments,
  repeats: number,
): Promise<Result<DerivedGolden>> {
  if (inputs !== undefined) {
    const given = decodeGolden(await readFile(inputs))
    if (!given.ok) return given
    const completed = await completeGolden(session, inputsOf(given.value), repeats)
    if (completed.ok || !unsigned) return completed
  }
  const onTry = (trying: number): void => {
    if (unsigned) process.stdout.write(`${JSON.stringify({ trying })}\n`)
  }
  return deriveGolden(session, spec, { seed, count: vectors, repeats, from, onTry })
}

/** Errors: `golden.not_a_number`, `golden.random`. */
function promised({ vectors, random, nan }: DerivedGolden): Result<undefined> {
  if (nan !== undefined) {
    return refuse('golden.not_a_number', 'The model gives NaN on the inputs made for it.', {
      expected: 'outputs that a release can promise',
      found: `NaN in ${nan}`,
      next: 'say with --input-spec ("min", "max", "value") on which inputs it is defined',
    })
  }
  if (random.length === 0 || vectors.some(({ outputs }) => outputs.length > 0)) return ok()
  return refuse('golden.random', 'The model gives other outputs for the same inputs each time.', {
    expected: 'at least one output that a device can be asked to reproduce',
    found: random.join(', ').slice(0, 300),
    next: 'draw random numbers outside the model and give them to it as an input',
  })
}

function readArguments(argv: string[]): Result<DeriveArguments> {
  const { values } = parseArgs({
    args: argv,
    options: {
      model: { type: 'string' },
      out: { type: 'string' },
      inputs: { type: 'string' },
      'input-spec': { type: 'string', default: '{}' },
      seed: { type: 'string', default: 'linnet' },
      vectors: { type: 'string', default: String(VECTORS_DEFAULT) },
      unsigned: { type: 'boolean', default: false },
      from: { type: 'string', default: '0' },
    },
  })
  const usage = (found: string) =>
    refuse('qualifier.usage', 'The qualifier was called in a wrong way.', {
      expected: USAGE,
      found,
    })
  const { model, out, inputs, seed, unsigned } = values
  if (model === undefined || out === undefined) return usage('no --model or no --out')
  const [vectors, from] = [Number(values.vectors), Number(values.from)]
  if (!(Number.isInteger(vectors) && vectors >= 1 && vectors <= VECTORS_MAX)) {
    return usage(`--vectors ${values.vectors}`)
  }
  if (!(Number.isInteger(from) && from >= 0)) return usage(`--from ${values.from}`)
  const spec = inputSpecSchema.safeParse(parseJson(values['input-spec']))
  if (!spec.success) {
    return refuse('golden.input_spec', 'The input specification cannot be read.', {
      expected: '{ "input": { "shape": [1, 512], "min": 0, "max": 9 } }',
      found: spec.error.message.replaceAll(/\s+/g, ' ').slice(0, 300),
      next: `--input-spec '{"input":{"shape":[1,512],"min":0,"max":9}}'`,
    })
  }
  return ok({ model, out, inputs, seed, vectors, from, unsigned, spec: spec.data })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
