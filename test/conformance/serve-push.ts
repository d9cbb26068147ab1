/**
 * One `linnet serve` that cases are pushed through: brought in by the repository API, asked as JSON and
 * as binary data, taken out again. It is the same process for all of them; that it lives is the point.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInferenceClient, type Inference } from '../../agent/browser/inference-client.ts'
import { elementsFromJson, jsonFromElements } from '../../agent/serve/json-tensor.ts'
import { describeProblem, type Result, unwrap } from '../../shared/kernel/result.ts'
import type { ExecutionProvider } from '../../shared/model/profile.ts'
import type { TensorValue } from '../../shared/model/tensor-value.ts'
import { programAt } from '../../shared/node/program.ts'
import { judge, type OnnxCase, type Verdict } from './onnx-case.ts'

export interface ServePush {
  push(i: number, one: OnnxCase): Promise<Verdict>
  /** What it said since it was asked last: why its model hosts ended. */
  said(): string[]
  isAlive(): boolean
  close(): void
}

const ASK_MS_MAX = 300_000

/** @param options.blind the test data are kept from it, so that it must make up its trial inputs. */
export async function startServe(options: {
  readonly provider: ExecutionProvider
  readonly blind: boolean
}): Promise<ServePush> {
  const folder = mkdtempSync(join(tmpdir(), 'linnet-conformance-'))
  const lines: string[] = []
  const { child, url } = await startProgram(folder, options.provider, lines)
  const client = createInferenceClient((path, init) => fetch(new URL(path, url), init))

  async function change(action: 'load' | 'unload', model: string): Promise<void> {
    const response = await fetch(new URL(`/v2/repository/models/${model}/${action}`, url), {
      method: 'POST',
      signal: AbortSignal.timeout(ASK_MS_MAX),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${action}: ${response.headers.get('linnet-code')} ${text}`)
  }

  async function ask(model: string, inputs: readonly TensorValue[]) {
    const answer = await client.infer(model, inputs, { deadlineMs: 10_000 })
    const { outputs } = answered('binary', answer)
    const asText = await askJson(new URL(`/v2/models/${model}/infer`, url), inputs)
    const same = JSON.stringify(asText.map(jsonFromElements))
    if (same !== JSON.stringify(outputs.map(jsonFromElements))) return asText
    return outputs
  }

  return {
    async push(i, one) {
      const model = `c${i}`
      layOut(join(folder, model), one, options.blind)
      let loaded: Promise<void> | undefined
      const verdict = await judge(i, one, async (inputs) => {
        loaded ??= change('load', model)
        await loaded
        return ask(model, inputs)
      })
      // One without inputs that could be asked is loaded all the same: that must do no harm.
      await (loaded ?? change('load', model)).catch(() => undefined)
      await change('unload', model).catch(() => undefined)
      rmSync(join(folder, model), { recursive: true })
      return verdict
    },
    said: () => lines.splice(0).filter((line) => /host|died|crash/.test(line)),
    isAlive: () => child.exitCode === null && child.signalCode === null,
    close() {
      child.kill('SIGTERM')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** `NAME/1/model.onnx`, as a repository has it. */
function layOut(model: string, { path }: OnnxCase, blind: boolean): void {
  mkdirSync(model)
  mkdirSync(join(model, '1'))
  copyFileSync(path, join(model, '1', 'model.onnx'))
  if (blind) return
  const sets = readdirSync(dirname(path)).filter((name) => name.startsWith('test_data_set_'))
  for (const set of sets) symlinkSync(join(dirname(path), set), join(model, '1', set))
}

function startProgram(folder: string, provider: ExecutionProvider, lines: string[]) {
  const { file, execArgv } = programAt(
    new URL('../../dist/', import.meta.url).href,
    './agent/serve-main',
  )
  const args = [...execArgv, file, folder, '--model-control', 'explicit', '--tuning-seconds', '0']
  args.push('--listen', '127.0.0.1:0', '--execution-providers', provider)
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stderr.on('data', (chunk) => lines.push(...String(chunk).trim().split('\n')))
  return new Promise<{ child: ChildProcess; url: string }>((resolve, reject) => {
    child.stdout.once('data', (chunk) => resolve({ child, url: String(chunk).trim() }))
    child.once('exit', () => reject(new Error(lines.join('\n'))))
  })
}

function answered(encoding: string, answer: Result<Inference>): Inference {
  if (answer.ok) return answer.value
  throw new Error(`${encoding}: ${describeProblem(answer.error)}`)
}

interface JsonAnswer {
  readonly error?: string
  readonly outputs: readonly (Omit<TensorValue, 'data'> & { readonly data: unknown })[]
}

async function askJson(url: URL, inputs: readonly TensorValue[]): Promise<TensorValue[]> {
  const written = inputs.map((input) => {
    const { name, datatype, shape } = input
    return { name, datatype, shape, data: jsonFromElements(input) }
  })
  const response = await fetch(url, { method: 'POST', body: JSON.stringify({ inputs: written }) })
  const answer = (await response.json()) as JsonAnswer
  if (!response.ok) throw new Error(`json: ${response.status} ${answer.error}`)
  return answer.outputs.map(({ name, datatype, shape, data }) => {
    const elements = unwrap(elementsFromJson(name, datatype, data, shape))
    return { name, datatype, shape, data: elements }
  })
}
