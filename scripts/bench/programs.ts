/** Starts what is measured: `linnet serve` with one model, and the bare server beside it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Program, programAt } from '../../shared/node/program.ts'

export interface Started {
  readonly port: number
  readonly pid: number
  stop(): Promise<void>
}

/** Models that are not part of the product; benchmarks say so and end when they are absent. */
export function realModel(path: string): string {
  const full = fileURLToPath(new URL(`../../../shared/models/${path}`, import.meta.url))
  if (!existsSync(full)) throw new Error(`this benchmark needs ${full}`)
  return full
}

export function startLinnet(model: string, options: readonly string[] = []): Promise<Started> {
  // As it is shipped: run from source, tsx keeps the names of functions, which costs 10 us a request.
  const file = fileURLToPath(new URL('../../dist/agent/serve-main.js', import.meta.url))
  if (!existsSync(file)) throw new Error('this benchmark measures the built product: npm run build')
  return start({ file, execArgv: [] }, [model, '--listen', '127.0.0.1:0', ...options])
}

export function startPeer(model: string): Promise<Started> {
  return start(programAt(import.meta.url, './peer-main'), [model])
}

async function start({ file, execArgv }: Program, args: readonly string[]): Promise<Started> {
  const child = spawn(process.execPath, [...execArgv, file, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const said = await firstLine(child)
  const port = Number(/(\d+)(?:\/|$)/.exec(said)?.[1])
  return {
    port,
    pid: child.pid ?? 0,
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve())
        child.kill('SIGTERM')
      }),
  }
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', (chunk) => resolve(String(chunk).trim()))
    child.once('exit', () => reject(new Error('the program ended before it was ready')))
  })
}
