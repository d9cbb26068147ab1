/**
 * Keeps the front alive, always at the same address, as the control process sees it. A front that
 * died takes the requests under way with it, and its clients see a reset connection at once; the next
 * one is told the hosts again.
 */
import { err, ok, type Problem, type Result } from '../../shared/kernel/result.ts'
import { programAt } from '../../shared/node/program.ts'
import { createBeatWatch } from '../runtime/host/beat-watch.ts'
import {
  CHECK_MS,
  type ChildExit,
  startChild,
  type WatchedChild,
} from '../runtime/host/watched-child.ts'
import type { FromFront, FrontOptions, ToFront } from './front-protocol.ts'

export interface Front {
  /** Dropped while no front listens; `onListening` is the time to send again. */
  send(message: ToFront): void
  address(): Promise<Result<{ readonly port: number | null }>>
  close(): Promise<void>
}

export type FrontNews = Exclude<FromFront, { readonly kind: 'beat' | 'listening' | 'cannotListen' }>

export interface FrontProcessOptions {
  readonly front: FrontOptions
  readonly onListening: () => void
  readonly onNews: (news: FrontNews) => void
  /** It ended, or cannot listen; it is started again. */
  readonly onTrouble: (problem: Problem) => void
}

/** It computes nothing, so its loop has no reason to stand still for longer. */
const HANG_MS = 5_000
const START_MS_MAX = 30_000
const RESTART_MS_FIRST = 50
const RESTART_MS_MAX = 5_000
/** A life this long was a good one, and the next starts at once. */
const STEADY_MS = 30_000
const PORT_RETRY_MS = 2_000

export function createFront(options: FrontProcessOptions): Front {
  let isListening = false
  let isClosing = false
  let isPortTaken = false
  let port = options.front.listen?.port ?? 0
  let failures = 0
  let tellAddress: (address: Result<{ port: number | null }>) => void = () => undefined
  const address = new Promise<Result<{ port: number | null }>>((resolve) => {
    tellAddress = resolve
  })

  function onMessage(message: FromFront): void {
    switch (message.kind) {
      case 'beat':
        return
      case 'listening':
        isListening = true
        isPortTaken = false
        // A port that the system chose is kept for the next life.
        port = message.port ?? port
        tellAddress(ok({ port: message.port }))
        options.onListening()
        return
      case 'cannotListen':
        isPortTaken = true
        tellAddress(err(message.problem))
        options.onTrouble(message.problem)
        return
      default:
        options.onNews(message)
    }
  }

  function restartDelayMs(livedMs: number): number {
    failures = livedMs >= STEADY_MS ? 0 : failures + 1
    if (isPortTaken) return PORT_RETRY_MS
    if (failures <= 1) return 0
    return Math.min(RESTART_MS_MAX, RESTART_MS_FIRST * 2 ** Math.min(10, failures - 2))
  }

  function start(): WatchedChild<ToFront> {
    const startedMs = performance.now()
    const { listen } = options.front
    const limits = { hangMs: HANG_MS, loadMsMax: START_MS_MAX, checkMs: CHECK_MS }
    return startChild<ToFront, FromFront>({
      program: programAt(import.meta.url, './front-main'),
      argument: { ...options.front, listen: listen && { ...listen, port } },
      watch: createBeatWatch(limits, startedMs),
      onMessage,
      onExit: (exit) => {
        isListening = false
        if (isClosing) return
        if (!isPortTaken) options.onTrouble(describeExit(exit))
        setTimeout(
          () => {
            if (!isClosing) child = start()
          },
          restartDelayMs(performance.now() - startedMs),
        )
      },
    })
  }
  let child = start()

  return {
    send: (message) => {
      if (isListening) child.send(message)
    },
    address: () => address,
    close: async () => {
      isClosing = true
      await child.close()
    },
  }
}

function describeExit({ hung, signal, code }: ChildExit): Problem {
  if (hung) {
    return {
      code: 'front.hung',
      message: 'The front of the model hosts stood still and was killed.',
    }
  }
  return {
    code: 'front.ended',
    message: 'The front of the model hosts ended and is started again.',
    found: signal ?? `exit code ${code}`,
  }
}
