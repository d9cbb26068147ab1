/**
 * The qualifier: a disposable process in which a model is loaded for the first time. Two callers:
 *   the agent, over IPC: proves one release on one execution provider (qualifier-protocol.ts)
 *   `linnet release create`, by arguments:
 *     derive --model F --out golden.bin [--input-spec JSON] [--inputs golden.bin] [--seed S]
 *            [--vectors N]
 *   prints one JSON line with the model's tensors, and writes golden vectors (shared/model/golden.ts);
 *   refusals are a JSON `Problem` on stderr, exit code 1. An abort inside ONNX Runtime ends it by a
 *   signal, which the caller must expect.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import {
  err,
  ok,
  type Problem,
  type Result,
  refuse,
  toProblem,
} from '../../shared/kernel/result.ts'
import { decodeGolden, encodeGolden, type GoldenVector } from '../../shared/model/golden.ts'
import { goldenValue } from '../../shared/model/golden-compare.ts'
import { inputSpecSchema } from '../../shared/model/input-spec.ts'
import { bytesOf, type NumericElements } from '../../shared/model/tensor-value.ts'
import { readModelSignature } from '../../shared/onnx/model-signature.ts'
import { checkCarried } from './admission.ts'
import { deriveGolden, runOrRefuse, VECTORS_DEFAULT } from './derive-golden.ts'
import type { ModelSession } from './model-session.ts'
import { loadSession } from './onnx-session.ts'
import { proveRelease } from './prove-release.ts'
import type { QualifierAnswer, QualifierNews, QualifierTask } from './qualifier-protocol.ts'

const VECTORS_MAX = 64

async function derive(argv: string[]): Promise<Result<object>> {
  const arguments_ = readArguments(argv)
  if (!arguments_.ok) return arguments_
  const { model, out, inputs, spec, seed, vectors } = arguments_.value
  const bytes = await readFile(model)
  const signature = readModelSignature(bytes)
  if (!signature.ok) return signature
  const carried = checkCarried(signature.value)
  if (!carried.ok) return carried
  const session = await loadSession(bytes, { provider: 'cpu', threads: 1 })
  const golden =
    inputs === undefined
      ? await deriveGolden(session, spec, { seed, count: vectors })
      : await completeGolden(session, await readFile(inputs))
  if (!golden.ok) return golden
  await writeFile(out, encodeGolden(golden.value))
  const { irVersion, opsets, producer } = signature.value
  return ok({
    inputs: session.inputs,
    outputs: session.outputs,
    vectors: golden.value.length,
    irVersion,
    opsets,
    producer,
  })
}

/** Computes the outputs for given inputs; outputs that were given are replaced. */
async function completeGolden(
  session: ModelSession,
  file: Uint8Array,
): Promise<Result<GoldenVector[]>> {
  const given = decodeGolden(file)
  if (!given.ok) return given
  const vectors: GoldenVector[] = []
  for (const { inputs } of given.value) {
    const outputs = await runOrRefuse(session, inputs.map(goldenValue))
    if (!outputs.ok) return outputs
    vectors.push({
      inputs,
      outputs: outputs.value.map(({ name, datatype, shape, data }) => ({
        name,
        datatype: datatype as Exclude<typeof datatype, 'BYTES'>,
        shape,
        data: bytesOf(data as NumericElements),
      })),
    })
  }
  return ok(vectors)
}

function readArguments(argv: string[]) {
  const { values } = parseArgs({
    args: argv,
    options: {
      model: { type: 'string' },
      out: { type: 'string' },
      inputs: { type: 'string' },
      'input-spec': { type: 'string', default: '{}' },
      seed: { type: 'string', default: 'linnet' },
      vectors: { type: 'string', default: String(VECTORS_DEFAULT) },
    },
  })
  const usage = (found: string) =>
    refuse('qualifier.usage', 'The qualifier was called in a wrong way.', {
      expected:
        'derive --model F --out F [--input-spec JSON] [--inputs F] [--seed S] [--vectors N]',
      found,
    })
  const { model, out, inputs, seed } = values
  if (model === undefined || out === undefined) return usage('no --model or no --out')
  const vectors = Number(values.vectors)
  if (!(Number.isInteger(vectors) && vectors >= 1 && vectors <= VECTORS_MAX)) {
    return usage(`--vectors ${values.vectors}`)
  }
  const spec = inputSpecSchema.safeParse(parseJson(values['input-spec']))
  if (!spec.success) {
    return refuse('golden.input_spec', 'The input specification cannot be read.', {
      expected: '{ "input": { "shape": [1, 512], "min": 0, "max": 9 } }',
      found: spec.error.message.replaceAll(/\s+/g, ' ').slice(0, 300),
    })
  }
  return ok({ model, out, inputs, seed, vectors, spec: spec.data })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function fail(problem: Problem): void {
  process.stderr.write(`${JSON.stringify(problem)}\n`)
  process.exitCode = 1
}

async function deriveCommand(argv: string[]): Promise<void> {
  const derived = await derive(argv).catch((cause: unknown) =>
    err(toProblem(cause, 'qualify.load_failed')),
  )
  if (derived.ok) process.stdout.write(`${JSON.stringify(derived.value)}\n`)
  else fail(derived.error)
}

const [command, ...rest] = process.argv.slice(2)
if (command === 'derive') void deriveCommand(rest)
else if (process.send !== undefined) {
  process.once('message', (task: QualifierTask) => {
    // Whoever ends this process is the agent: it has the answer, or runs out of patience.
    const tell = (answer: QualifierAnswer, isLast = false): void => {
      process.send?.({ answer, isLast } satisfies QualifierNews)
    }
    void proveRelease(task, tell).then((answer) => tell(answer, true))
  })
  process.once('disconnect', () => process.exit(0))
} else {
  fail({ code: 'qualifier.usage', message: 'The qualifier takes the command "derive".' })
}
