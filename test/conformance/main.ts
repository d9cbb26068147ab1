/**
 * `npm run conformance -- DIR [--provider cpu|webgpu] [--match TEXT] [--each N] [--blind]`: pushes ONNX
 * backend test cases (DIR/.../CASE/model.onnx beside test_data_set_0/input_0.pb ...) through `linnet
 * serve` and through ONNX Runtime itself, and tells how the two differ. Exit code 1 when they do: what
 * ONNX Runtime answers, Linnet must answer, rightly where it is right, and what it does not, neither.
 */
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { programAt } from '../../shared/node/program.ts'
import { casesIn, type OnnxCase, type Verdict } from './onnx-case.ts'
import { startServe } from './serve-push.ts'

const say = (text: string): void => void process.stdout.write(`${text}\n`)

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    provider: { type: 'string', default: 'cpu' },
    match: { type: 'string', default: '' },
    each: { type: 'string', default: '1' },
    blind: { type: 'boolean', default: false },
  },
})
if (positionals.length !== 1) {
  process.stderr.write(
    'npm run conformance -- DIR [--provider cpu|webgpu] [--match TEXT] [--each N] [--blind]\n',
  )
  process.exit(2)
}
const provider = values.provider === 'webgpu' ? 'webgpu' : 'cpu'
const folder = resolve(positionals[0]!)
const cases = casesIn(folder)
const wanted = cases
  .flatMap(({ path }, i) => (path.includes(values.match) ? [i] : []))
  .filter((_, i) => i % Number(values.each) === 0)

/** In a process of its own, and after its death in another one from the next case on. */
async function runRaw(): Promise<ReadonlyMap<number, Verdict>> {
  const { file, execArgv } = programAt(import.meta.url, './raw-main')
  const found = new Map<number, Verdict>()
  for (;;) {
    const left = wanted.filter((i) => !found.has(i))
    if (left[0] === undefined) return found
    const args = [...execArgv, file, provider, folder]
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'ignore'] })
    child.stdin.on('error', () => undefined).end(left.join(' '))
    const ended = new Promise<string>((done) =>
      child.once('exit', (code, signal) => done(signal ?? `exit code ${code}`)),
    )
    for await (const line of createInterface({ input: child.stdout })) {
      const verdict = JSON.parse(line) as Verdict
      found.set(verdict.i, verdict)
    }
    const why = `it ended its process: ${await ended}`
    const died = left.find((i) => !found.has(i))
    if (died !== undefined) {
      say(`raw died of ${cases[died]?.name}: ${why}`)
      found.set(died, { i: died, ran: false, right: false, why })
    }
  }
}

/** Several at once: each lane is a `linnet serve` of its own. */
async function runLinnet(raw: ReadonlyMap<number, Verdict>) {
  const found = new Map<number, Verdict>()
  const queue = [...wanted]
  let deaths = 0
  let different = 0
  async function lane(): Promise<void> {
    let serve = await startServe({ provider, blind: values.blind })
    for (let i = queue.shift(); i !== undefined; i = queue.shift()) {
      const one = cases[i] as OnnxCase
      const verdict = await serve.push(i, one)
      found.set(i, verdict)
      if (differs(one.name, raw.get(i), verdict)) different += 1
      for (const line of serve.said()) say(`${one.name}: ${line}`)
      if (serve.isAlive()) continue
      deaths += 1
      say(`LINNET DIED of ${one.name}`)
      serve = await startServe({ provider, blind: values.blind })
    }
    serve.close()
  }
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, lane))
  return { found, deaths, different }
}

function differs(name: string, theirs: Verdict | undefined, ours: Verdict): boolean {
  if (theirs?.ran === ours.ran && theirs.right === ours.right) return false
  const told = (verdict?: Verdict) => (verdict?.right === true ? 'right' : verdict?.why)
  say(`DIFFERENT ${name}: raw ${told(theirs)}; linnet ${told(ours)}`)
  return true
}

const raw = await runRaw()
const count = (verdicts: ReadonlyMap<number, Verdict>) => ({
  ran: [...verdicts.values()].filter(({ ran }) => ran).length,
  right: [...verdicts.values()].filter(({ right }) => right).length,
})
say(`${wanted.length} cases; ONNX Runtime: ${JSON.stringify(count(raw))}`)
const { found, deaths, different } = await runLinnet(raw)
const summary = { cases: wanted.length, raw: count(raw), linnet: count(found) }
say(JSON.stringify({ provider, blind: values.blind, ...summary, different, deaths }))
process.exitCode = different + deaths === 0 ? 0 : 1
