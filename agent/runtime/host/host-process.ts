/**
 * One life of the model host, seen from the agent: a watched child whose loads may block for longer
 * than its runs, and whose end is told with what is known of the cause.
 */
import { programAt } from '../../../shared/node/program.ts'
import { createBeatWatch } from './beat-watch.ts'
import type { FromHost, HostOptions, ToHost } from './host-protocol.ts'
import { takeRunMark } from './run-mark.ts'
import { CHECK_MS, type ChildExit, startChild, type WatchedChild } from './watched-child.ts'

/** How one life ended, with what is known of the cause. */
export interface HostExit extends ChildExit {
  /** The release that was in a run, by the host's own mark. */
  readonly running: string | undefined
  /** The release that was being loaded. */
  readonly loading: string | undefined
}

export type HostProcess = WatchedChild<ToHost>

export interface HostProcessOptions {
  readonly host: HostOptions
  /** A run that blocks longer than this is a hang. */
  readonly hangMs: number
  /** A load may block longer. */
  readonly loadMsMax: number
  readonly onMessage: (message: FromHost) => void
  readonly onExit: (exit: HostExit) => void
}

/** glibc keeps an arena per thread and rarely gives memory back; these bound both. */
const MEMORY_ENV = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072' }

export function startHostProcess(options: HostProcessOptions): HostProcess {
  const { hangMs, loadMsMax } = options
  // What a life of a former agent left there says nothing of this one.
  takeRunMark(options.host.markPath)
  const watch = createBeatWatch({ hangMs, loadMsMax, checkMs: CHECK_MS }, performance.now())
  return startChild<ToHost, FromHost>({
    program: programAt(import.meta.url, './host-main'),
    argument: options.host,
    env: MEMORY_ENV,
    watch,
    onMessage: (message) => {
      if (message.kind === 'loading') watch.loading(message.sha256)
      options.onMessage(message)
    },
    onExit: (exit) => {
      const running = takeRunMark(options.host.markPath)
      options.onExit({ ...exit, running, loading: watch.loadingNow() })
    },
  })
}
