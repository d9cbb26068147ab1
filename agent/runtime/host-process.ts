/**
 * One life of the model host, seen from the agent: start it, pass messages, notice that it hangs, and
 * tell once how it ended. A process that stops turning its loop is killed: a native run cannot be
 * interrupted otherwise.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { programAt } from '../../shared/node/program.ts'
import { createBeatWatch } from './beat-watch.ts'
import type { FromHost, HostOptions, ToHost } from './host-protocol.ts'
import { readRunMark } from './run-mark.ts'

/** How one life ended, with what is known of the cause. */
export interface HostExit {
  readonly code: number | null
  readonly signal: string | null
  /** We killed it because its loop stood still. */
  readonly hung: boolean
  /** The release that was in a run, by the host's own mark. */
  readonly running: string | undefined
  /** The release that was being loaded. */
  readonly loading: string | undefined
}

export interface HostProcess {
  send(message: ToHost): void
  /** Asks it to answer what is under way and end; killed if it does not. */
  close(): Promise<void>
}

export interface HostProcessOptions {
  readonly host: HostOptions
  /** A run that blocks longer than this is a hang. */
  readonly hangMs: number
  /** A load may block longer. */
  readonly loadMsMax: number
  readonly onMessage: (message: FromHost) => void
  readonly onExit: (exit: HostExit) => void
}

const CHECK_MS = 250
const CLOSE_MS_MAX = 7_000
/** glibc keeps an arena per thread and rarely gives memory back; these bound both. */
const MEMORY_ENV = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072' }

export function startHostProcess(options: HostProcessOptions): HostProcess {
  const { file, execArgv } = programAt(import.meta.url, './host-main')
  const child = fork(file, [JSON.stringify(options.host)], {
    execArgv: [...execArgv],
    serialization: 'advanced',
    env: { ...process.env, ...MEMORY_ENV },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const { hangMs, loadMsMax } = options
  const watch = createBeatWatch({ hangMs, loadMsMax, checkMs: CHECK_MS }, performance.now())
  let hung = false

  const timer = setInterval(() => {
    if (!watch.isStill(performance.now())) return
    hung = true
    child.kill('SIGKILL')
  }, CHECK_MS)
  timer.unref()

  child.on('message', (message: FromHost) => {
    watch.beat(performance.now())
    if (message.kind === 'loading') watch.loading(message.sha256)
    options.onMessage(message)
  })
  onEnd(child, (code, signal) => {
    clearInterval(timer)
    const running = readRunMark(options.host.markPath)
    options.onExit({ code, signal, hung, running, loading: watch.loadingNow() })
  })

  return {
    send(message) {
      // A message to a host that just died is lost; the next life gets the plan again.
      if (child.connected) child.send(message, () => undefined)
    },
    close: () => closeChild(child),
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
  child.on('exit', once)
  child.on('error', () => {
    if (child.pid === undefined) once(-1, null)
  })
}

function closeChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    const kill = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS_MAX)
    child.once('exit', () => {
      clearTimeout(kill)
      resolve()
    })
    if (child.connected) child.send({ kind: 'close' } satisfies ToHost, () => undefined)
    else child.kill('SIGKILL')
  })
}
