/**
 * Runs the qualifier program, the only one here that loads models, in a process that may die: it
 * derives golden vectors, or computes the outputs for inputs that were given.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Problem, ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { decodeGolden, encodeGolden, type GoldenVector } from '../../shared/model/golden.ts'
import { toldProblem } from '../../shared/model/told-problem.ts'
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
  throw new ProblemError(toldProblem(text) ?? died(end, text))
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
