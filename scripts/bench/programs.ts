/** Starts what is measured: `linnet serve` with one model, and the bare server beside it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Program, programAt } from '../../shared/node/program.ts'

export interface Started {
  readonly port: number
  /** Of the address that it said: that of the first model, for `linnet serve`. */
  readonly path: string
  readonly pid: number
  stop(): Promise<void>
}

/** Models that are not part of the product; benchmarks say so and end when they are absent. */
export function realModel(path: string): string {
  const full = fileURLToPath(new URL(`../../../shared/models/${path}`, import.meta.url))
  if (!existsSync(full)) throw new Error(`this benchmark needs ${full}`)
  return full
}

/** @param cpu the only one it may use; absent: any. */
export function startLinnet(
  model: string,
  options: readonly string[] = [],
  cpu?: number,
): Promise<Started> {
  const args = [model, '--listen', '127.0.0.1:0', ...options]
  return start({ file: builtProgram('agent/serve-main.js'), execArgv: [] }, args, cpu)
}

/** As it is shipped: run from source, tsx keeps the names of functions, which costs 10 us a request. */
export function builtProgram(path: string): string {
  const file = fileURLToPath(new URL(`../../dist/${path}`, import.meta.url))
  if (!existsSync(file)) throw new Error('this benchmark measures the built product: npm run build')
  return file
}

export function startPeer(model: string): Promise<Started> {
  return start(programAt(import.meta.url, './peer-main'), [model])
}

/** A bare echo on the Unix socket `path`. */
export function startEcho(path: string, cpu?: number): Promise<Started> {
  return start(programAt(import.meta.url, './echo-main'), [path], cpu)
}

/** A program's command line; with `cpu` under taskset (util-linux), which keeps it on that CPU. */
export function commandOf({ file, execArgv }: Program, args: readonly string[], cpu?: number) {
  const command = [process.execPath, ...execArgv, file, ...args]
  return cpu === undefined ? command : ['taskset', '-c', String(cpu), ...command]
}

async function start(program: Program, args: readonly string[], cpu?: number): Promise<Started> {
  const [command = '', ...rest] = commandOf(program, args, cpu)
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  const said = await firstLine(child)
  const [, port, path = ''] = /(\d+)(\/.*)?$/m.exec(said) ?? []
  return {
    ...{ port: Number(port), path },
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
