/**
 * One life of a program that the agent started: pass messages, notice that its loop stands still, and
 * tell once how it ended. A process that does not turn its loop is killed: a native run cannot be
 * interrupted otherwise.
 */
import { type ChildProcess, fork } from 'node:child_process'
import type { Program } from '../../../shared/node/program.ts'
import type { BeatWatch } from './beat-watch.ts'

export interface ChildExit {
  readonly code: number | null
  readonly signal: string | null
  /** We killed it because its loop stood still. */
  readonly hung: boolean
}

export interface WatchedChild<To> {
  readonly pid: number | undefined
  send(message: To): void
  /**
   * Asks it to answer what is under way and end; killed if it does not. Resolves when all that it
   * said has been heard.
   */
  close(): Promise<void>
}

export interface ChildOptions<From> {
  readonly program: Program
  /** Its one argument, as JSON. */
  readonly argument: object
  readonly env?: Readonly<Record<string, string>>
  readonly watch: BeatWatch
  readonly onMessage: (message: From) => void
  readonly onExit: (exit: ChildExit) => void
}

/** How often the watch is asked. */
export const CHECK_MS = 250
/** The program gives its requests less; see end-with-agent.ts. */
const CLOSE_MS_MAX = 6_000

export function startChild<To extends { readonly kind: string }, From>(
  options: ChildOptions<From>,
): WatchedChild<To | { readonly kind: 'close' }> {
  const { program, watch } = options
  const child = fork(program.file, [JSON.stringify(options.argument)], {
    execArgv: [...program.execArgv],
    serialization: 'advanced',
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  let hung = false
  const timer = setInterval(() => {
    if (!watch.isStill(performance.now())) return
    hung = true
    child.kill('SIGKILL')
  }, CHECK_MS)
  timer.unref()
  child.on('message', (message: From) => {
    watch.beat(performance.now())
    options.onMessage(message)
  })
  const ended = new Promise<void>((resolve) => {
    onEnd(child, (code, signal) => {
      clearInterval(timer)
      options.onExit({ code, signal, hung })
      resolve()
    })
  })
  return {
    pid: child.pid,
    send(message) {
      // A message to a process that just died is lost; the next life is told again.
      if (child.connected) child.send(message, () => undefined)
    },
    close: () => closeChild(child, ended),
  }
}

/** Calls back exactly once, also when the process could not even start. */
function onEnd(child: ChildProcess, ended: (code: number | null, signal: string | null) => void) {
  let done = false
  const once = (code: number | null, signal: string | null): void => {
    if (done) return
    done = true
    ended(code, signal)
  }
  // Not `exit`, which may come before the last messages.
  child.on('close', once)
  child.on('error', () => {
    if (child.pid === undefined) once(-1, null)
  })
}

function closeChild(child: ChildProcess, ended: Promise<void>): Promise<void> {
  const kill = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS_MAX)
  if (child.connected) child.send({ kind: 'close' }, () => undefined)
  else child.kill('SIGKILL')
  return ended.finally(() => clearTimeout(kill))
}
