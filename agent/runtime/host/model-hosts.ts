/**
 * The model hosts of an agent, however many: one that listens by itself, or several behind a front.
 */
import type { BalancePolicy } from '../../../shared/balance/balancer.ts'
import type { ScalingLimits } from '../../../shared/balance/scaling.ts'
import type { Problem, Result } from '../../../shared/kernel/result.ts'
import type { ServeOutcome } from '../../ports.ts'
import { HostGroup } from './host-group.ts'
import type { HostExit } from './host-process.ts'
import type { HostOptions, ToHost } from './host-protocol.ts'
import { createHostSupervisor, type HostAddress, type HostNews } from './host-supervisor.ts'

export interface ModelHosts {
  /** To every host that listens; those to come are told by `onListening`. */
  send(message: ToHost): void
  /** Where the local API listens, once it does. */
  address(): Promise<Result<HostAddress>>
  close(): Promise<void>
}

/** How several hosts share the work. */
export interface HostSharing extends ScalingLimits {
  readonly policy: BalancePolicy
  /** In the order of the hosts; what is missing is 1. */
  readonly weights: readonly number[]
}

export interface ModelHostsOptions {
  readonly host: Omit<HostOptions, 'incarnation'>
  readonly hangMs: number
  readonly loadMsMax: number
  /** Null: one host, which listens itself. */
  readonly sharing: HostSharing | null
  /** Memory that the sessions of all hosts may take together. */
  readonly sessionMemoryMb: number
  /** A new life listens: the time to tell it everything. */
  readonly onListening: (send: (message: ToHost) => void) => void
  /** Something ended or cannot listen, and is started again. */
  readonly onTrouble: (problem: Problem) => void
  /** The number of hosts changes, or should and cannot; the message says why. */
  readonly onScaled: (problem: Problem) => void
  /** Every host that is alive serves this plan, and requests go to them. */
  readonly onServed: (planId: number, outcome: ServeOutcome) => void
  readonly onNews: (news: Exclude<HostNews, { readonly kind: 'served' }>) => void
  /** @param host which of them. @returns how long to wait before its next life. */
  readonly onExit: (exit: HostExit, host: number) => number
}

export function createModelHosts(options: ModelHostsOptions): ModelHosts {
  if (options.sharing !== null) return new HostGroup(options, options.sharing)
  const { host, hangMs, loadMsMax, onListening, onNews, onServed, onTrouble } = options
  const supervisor = createHostSupervisor({
    ...{ host, hangMs, loadMsMax },
    onListening: () => onListening(supervisor.send),
    onCannotListen: onTrouble,
    onExit: (exit) => options.onExit(exit, 0),
    onNews: (news) => {
      if (news.kind === 'served') onServed(news.planId, news.outcome)
      else onNews(news)
    },
  })
  return supervisor
}
