/**
 * Keeps a model host alive: starts one life after the other, with a back-off, always at the same
 * address. Knows nothing of plans or of blame.
 */
import { err, ok, type Problem, type Result } from '../../../shared/kernel/result.ts'
import type { HostExit, HostProcess, HostProcessOptions } from './host-process.ts'
import { startHostProcess } from './host-process.ts'
import type { FromHost, HostOptions, ToHost } from './host-protocol.ts'

export interface HostAddress {
  readonly port: number | null
  readonly grpcPort: number | null
  readonly socketPath: string | null
}

export interface HostSupervisor {
  /** Dropped while no host listens; `onListening` is the time to send again. */
  send(message: ToHost): void
  address(): Promise<Result<HostAddress>>
  /** Of the life there is now. */
  pid(): number | undefined
  close(): Promise<void>
}

export type HostNews = Exclude<
  FromHost,
  { readonly kind: 'beat' | 'loading' | 'listening' | 'cannotListen' }
>

export interface SupervisorOptions extends Pick<HostProcessOptions, 'hangMs' | 'loadMsMax'> {
  readonly host: Omit<HostOptions, 'incarnation'>
  readonly onListening: () => void
  readonly onCannotListen: (problem: Problem) => void
  readonly onNews: (news: HostNews) => void
  /** @returns how long to wait before the next life. */
  readonly onExit: (exit: HostExit) => number
}

const PORT_RETRY_MS = 2_000

export function createHostSupervisor(options: SupervisorOptions): HostSupervisor {
  let incarnation = 0
  let isListening = false
  let isClosing = false
  let isPortTaken = false
  let port = options.host.listen?.port ?? 0
  let grpcPort = options.host.grpc?.port ?? 0
  let tellAddress: (address: Result<HostAddress>) => void = () => undefined
  const address = new Promise<Result<HostAddress>>((resolve) => {
    tellAddress = resolve
  })

  function onMessage(message: FromHost): void {
    switch (message.kind) {
      case 'beat':
      case 'loading':
        return
      case 'listening':
        isListening = true
        isPortTaken = false
        // A port that the system chose is kept for the next life.
        port = message.port ?? port
        grpcPort = message.grpcPort ?? grpcPort
        tellAddress(
          ok({ port: message.port, grpcPort: message.grpcPort, socketPath: message.socketPath }),
        )
        options.onListening()
        return
      case 'cannotListen':
        isPortTaken = true
        tellAddress(err(message.problem))
        options.onCannotListen(message.problem)
        return
      default:
        options.onNews(message)
    }
  }

  function start(): HostProcess {
    incarnation += 1
    const { listen, grpc } = options.host
    return startHostProcess({
      host: {
        ...{ ...options.host, incarnation },
        listen: listen && { ...listen, port },
        grpc: grpc && { ...grpc, port: grpcPort },
      },
      hangMs: options.hangMs,
      loadMsMax: options.loadMsMax,
      onMessage,
      onExit: (exit) => {
        isListening = false
        if (isClosing) return
        // No release is to blame for a port that another program holds.
        const delayMs = isPortTaken ? PORT_RETRY_MS : options.onExit(exit)
        setTimeout(() => {
          if (!isClosing) host = start()
        }, delayMs)
      },
    })
  }
  let host = start()

  return {
    send: (message) => {
      if (isListening) host.send(message)
    },
    address: () => address,
    pid: () => host.pid,
    close: async () => {
      isClosing = true
      await host.close()
    },
  }
}
