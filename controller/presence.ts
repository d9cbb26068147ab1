/**
 * Who is online. A device says so itself; its last will says `lost`, which is believed only if
 * nothing newer came within 20 s, and only of the boot that is the latest.
 *
 * Invariant: a will that was made before the present connection never takes it down: one boot
 * may connect many times, and a will carries the time of the connection it belongs to.
 */
import type { Presence } from '../shared/model/device.ts'
import type { StoredDeviceState } from './db/store.ts'
import type { Ledger } from './ledger.ts'

const LOST_DEBOUNCE_MS = 20_000
/** After a start: the longest back-off of a device, and then the debounce. */
const RECONNECT_MS_MAX = 120_000 + LOST_DEBOUNCE_MS

interface Doubt {
  readonly presence: Presence
  readonly dueMs: number
}

export interface PresenceTracker {
  said(device: string, presence: Presence, nowMs: number): void
  /** Anything else that came from it: it is there. */
  heard(device: string, nowMs: number): void
  /** Believes the wills that are due. */
  tick(nowMs: number): void
  isOnline(device: string): boolean
  /** Kept in memory; stored with whatever else changes of the device. */
  lastSeenMs(device: string): number | null
  online(): number
}

export function createPresenceTracker(ledger: Ledger, nowMs: number): PresenceTracker {
  /** At most one per device. */
  const doubts = new Map<string, Doubt>()
  /** One per device. */
  const lastSeen = new Map<string, number>()
  for (const { device, presence } of ledger.rows.deviceStates.values()) {
    if (presence?.status !== 'online') continue
    const lost: Presence = { ...presence, status: 'lost' }
    doubts.set(device, { presence: lost, dueMs: nowMs + RECONNECT_MS_MAX })
  }
  const isOnline = (device: string): boolean =>
    ledger.rows.deviceStates.get(device)?.presence?.status === 'online'

  const lastSeenMs = (device: string): number | null =>
    lastSeen.get(device) ?? ledger.rows.deviceStates.get(device)?.lastSeenMs ?? null

  function put(device: string, presence: Presence, seenMs: number | null): void {
    if (seenMs !== null) lastSeen.set(device, seenMs)
    const state = deviceStateOf(ledger, device)
    ledger.put('deviceStates', { ...state, presence, lastSeenMs: lastSeenMs(device) })
  }

  return {
    said(device, presence, atMs) {
      const known = deviceStateOf(ledger, device).presence
      if (presence.status === 'online') {
        doubts.delete(device)
        put(device, presence, atMs)
        return
      }
      if (known !== null && isOutdated(presence, known)) return
      if (presence.status === 'lost') {
        doubts.set(device, { presence, dueMs: atMs + LOST_DEBOUNCE_MS })
      } else {
        doubts.delete(device)
        put(device, presence, atMs)
      }
    },
    heard(device, atMs) {
      doubts.delete(device)
      lastSeen.set(device, atMs)
    },
    tick(atMs) {
      for (const [device, { presence, dueMs }] of doubts) {
        // Further off than any wait: the clock was set back, and how long it waits is unknown.
        if (dueMs > atMs && dueMs - atMs <= RECONNECT_MS_MAX) continue
        doubts.delete(device)
        put(device, presence, null)
      }
    },
    isOnline,
    lastSeenMs,
    online: () => [...ledger.rows.deviceStates.keys()].filter(isOnline).length,
  }
}

function isOutdated(will: Presence, known: Presence): boolean {
  if (known.status !== 'online') return false
  return will.boot !== known.boot || will.sinceMs < known.sinceMs
}

export function deviceStateOf(ledger: Ledger, device: string): StoredDeviceState {
  const empty: StoredDeviceState = {
    device,
    presence: null,
    lastSeenMs: null,
    report: null,
    reportBoot: null,
    reportSeq: 0,
    reportAtMs: 0,
    qualifications: [],
  }
  return ledger.rows.deviceStates.get(device) ?? empty
}
