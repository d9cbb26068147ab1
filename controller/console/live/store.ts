/**
 * What the console knows, as signals; views read them and nothing else. Only live.ts and commands.ts
 * write here, and live.ts at most once a second, in one batch: that is one repaint.
 */
import { computed, signal } from '@preact/signals'
import type {
  DecisionResource,
  DeviceResource,
  HealthResource,
  ReleaseResource,
  RolloutResource,
} from '../../../shared/api/resources.ts'
import type { Problem } from '../../../shared/kernel/result.ts'
import type { Role } from '../../../shared/model/role.ts'

interface Session {
  readonly name: string
  readonly role: Role
  readonly fleet: string
}

/** `out`: nobody is signed in; `unreachable`: nothing was ever loaded, and why. */
export type Access = 'loading' | 'in' | 'out' | 'unreachable'

export const access = signal<Access>('loading')
export const accessProblem = signal<Problem | null>(null)
export const session = signal<Session | null>(null)

export const health = signal<HealthResource | null>(null)
export const devices = signal<readonly DeviceResource[]>([])
export const releases = signal<readonly ReleaseResource[]>([])
export const rollouts = signal<readonly RolloutResource[]>([])
/** By rollout; a rollout that nobody looked at yet is absent. */
export const decisions = signal<ReadonlyMap<string, readonly DecisionResource[]>>(new Map())

/** Moves once a second, together with what was loaded. */
export const nowMs = signal(Date.now())

export interface StreamState {
  readonly isOpen: boolean
  /** When anything last came from the controller. */
  readonly heardAtMs: number
}
export const stream = signal<StreamState>({ isOpen: false, heardAtMs: Date.now() })

const CLOSED_MS_MAX = 3_000
/** The controller sends a heartbeat every 10 s; three missed ones are silence. */
const SILENT_MS_MAX = 35_000

/** Milliseconds without news when that is too long; null while the view is live. */
export const staleForMs = computed(() => {
  const { isOpen, heardAtMs } = stream.value
  const silentMs = nowMs.value - heardAtMs
  return silentMs > (isOpen ? SILENT_MS_MAX : CLOSED_MS_MAX) ? silentMs : null
})

export const rolloutsById = computed(() => new Map(rollouts.value.map((r) => [r.id, r])))
export const devicesById = computed(() => new Map(devices.value.map((d) => [d.device, d])))
