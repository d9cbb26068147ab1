/**
 * What the control process and its front say to each other over the IPC channel, and the options that
 * the front is started with (one JSON argument).
 */
import type { Backend, BalancePolicy } from '../../shared/balance/balancer.ts'
import type { Problem } from '../../shared/kernel/result.ts'

export interface FrontOptions {
  /** Loopback address and port of the local API; port 0 takes any. */
  readonly listen: { readonly host: string; readonly port: number } | null
  readonly socketPath: string | null
  readonly policy: BalancePolicy
  /** Seeds the draws between hosts. */
  readonly seed: string
  readonly requestBytesMax: number
  /** The longest deadline of a request to infer: a little later the front answers in a host's place. */
  readonly deadlineMsMax: number
  /** The longest that a host may take for any other answer: to load a model takes time. */
  readonly answerMsMax: number
}

/** A model host as the front sees it. */
export interface FrontHost extends Backend {
  readonly socketPath: string
  /** It takes no more requests and ends once it has answered those under way. */
  readonly ends: boolean
}

export type ToFront =
  | {
      readonly kind: 'hosts'
      /** Grows with every message. */
      readonly told: number
      readonly hosts: readonly FrontHost[]
      /** Models that one host must answer alone, for it counts how often they are asked. */
      readonly pinned: readonly string[]
      /** Steps of the scaling so far, for the metrics. */
      readonly scaled: { readonly up: number; readonly down: number }
    }
  | { readonly kind: 'close' }

export type FromFront =
  | { readonly kind: 'listening'; readonly port: number | null }
  | { readonly kind: 'cannotListen'; readonly problem: Problem }
  /** The event loop turns. */
  | { readonly kind: 'beat' }
  /** Requests go by the `hosts` of this number from now on. */
  | { readonly kind: 'heard'; readonly told: number }
  /** A host that ends has answered all that was sent to it. */
  | { readonly kind: 'drained'; readonly id: string; readonly life: number }
  /** Since the last one; see `LoadSample` of shared/balance/scaling.ts. */
  | { readonly kind: 'load'; readonly utilisation: number; readonly queued: number }
