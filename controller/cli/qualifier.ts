/**
 * Runs the qualifier program, the only one here that loads models, in a process that may die: it
 * derives golden vectors, or computes the outputs for inputs that were given.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { type Problem, ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { problemSchema } from '../../shared/model/device.ts'
import { decodeGolden, encodeGolden, type GoldenVector } from '../../shared/model/golden.ts'
import { programAt } from '../../shared/node/program.ts'

const TIMEOUT_MS = 300_000
const OUTPUT_BYTES_MAX = 65_536

/**
 * @param inputs vectors whose outputs are to be computed; without them seeded ones are made.
 * Errors (thrown): the qualifier's own, `golden.qualifier` when it died.
 */
export async function deriveGolden(
  model: string,
  options: { inputs?: readonly GoldenVector[]; inputSpec?: unknown },
): Promise<GoldenVector[]> {
  const folder = await mkdtemp(join(tmpdir(), 'linnet-golden-'))
  try {
    const out = join(folder, 'golden.bin')
    const args = ['derive', '--model', model, '--out', out]
    if (options.inputSpec !== undefined)
      args.push('--input-spec', JSON.stringify(options.inputSpec))
    if (options.inputs !== undefined) {
      const given = join(folder, 'inputs.bin')
      await writeFile(given, encodeGolden(options.inputs))
      args.push('--inputs', given)
    }
    await runQualifier(args)
    return unwrap(decodeGolden(await readFile(out)))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function runQualifier(args: readonly string[]): Promise<void> {
  const { file, execArgv } = programAt(
    import.meta.url,
    '../../agent/runtime/qualify/qualifier-main',
  )
  const child = spawn(process.execPath, [...execArgv, file, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  let text = ''
  child.stderr.setEncoding('utf8')
  child.stderr.on('data', (chunk: string) => {
    text = (text + chunk).slice(-OUTPUT_BYTES_MAX)
  })
  const end = await new Promise<string | number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(signal ?? code))
  })
  if (end === 0) return
  throw new ProblemError(problemIn(text) ?? died(end, text))
}

/** The last line that is a problem; ONNX Runtime may have written warnings before. */
function problemIn(text: string): Problem | undefined {
  for (const line of text.trim().split('\n').toReversed()) {
    try {
      const { code, message, expected, found, next } = problemSchema.parse(JSON.parse(line))
      return {
        code,
        message,
        ...(expected === undefined ? {} : { expected }),
        ...(found === undefined ? {} : { found }),
        ...(next === undefined ? {} : { next }),
      }
    } catch (cause) {
      if (!(cause instanceof SyntaxError || cause instanceof z.ZodError)) throw cause
    }
  }
  return undefined
}

function died(end: string | number | null, text: string): Problem {
  return {
    code: 'golden.qualifier',
    message: 'The model took the process down that ran it.',
    expected: 'outputs for golden vectors',
    found: `the qualifier ended with ${end}${text === '' ? '' : `: ${text.trim().slice(-200)}`}`,
    next: 'try another export of the model, or give --golden with outputs',
  }
}
