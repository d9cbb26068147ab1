/**
 * Starts another program of Linnet by the path of its file, never by import: the built `.js` when
 * running from dist/, the source through tsx when running from source (development and tests).
 */
import { fileURLToPath } from 'node:url'

/**
 * Node reserves 10 GB of addresses for each WebAssembly memory, and its own HTTP parser for `fetch` is
 * one: under a limit on addresses (`ulimit -v`) every program would die at its first Request.
 */
const LEAN = ['--disable-wasm-trap-handler']

export interface Program {
  readonly file: string
  /** Options for node itself, before `file`. */
  readonly execArgv: readonly string[]
}

/**
 * @param from `import.meta.url` of the caller
 * @param path of the program relative to the caller, without its extension: `../../agent/main`
 */
export function programAt(from: string, path: string): Program {
  const source = from.endsWith('.ts') || from.endsWith('.tsx')
  const file = fileURLToPath(new URL(`${path}.${source ? 'ts' : 'js'}`, from))
  return { file, execArgv: source ? [...LEAN, '--import', 'tsx'] : LEAN }
}
