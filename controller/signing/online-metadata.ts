/**
 * Snapshot and timestamp: signed over the present targets on every publish, and again at half of
 * their lives. Invariant: versions only grow. Old snapshots leave once eight newer ones exist: a
 * client that still holds an older timestamp starts again from the newest.
 */
import { unwrap } from '../../shared/kernel/result.ts'
import { signOnline, signTimestamp } from '../../shared/signing/tuf/publish.ts'
import { rolePath } from '../../shared/signing/tuf/store-layout.ts'
import type { Ledger } from '../ledger.ts'
import type { OnlineKeys } from './online-keys.ts'

const DAY_MS = 86_400_000
const TIMESTAMP_LIFETIME_MS = DAY_MS
const SNAPSHOT_LIFETIME_MS = 7 * DAY_MS
const SNAPSHOTS_KEPT = 8

/** Names of single values in the fleet table. */
const KEYS = {
  root: 'tuf.root.version',
  targets: 'tuf.targets.version',
  snapshot: 'tuf.snapshot.version',
  snapshotExpiry: 'tuf.snapshot.expires',
  timestamp: 'tuf.timestamp.version',
  timestampExpiry: 'tuf.timestamp.expires',
} as const

/** Before the name of a delegated role. */
const ROLE_KEY = 'tuf.role.'

/** Numbers of the repository that are no file; 0 before they are set. */
export interface Versions {
  get(name: keyof typeof KEYS): number
  set(name: keyof typeof KEYS, to: number): void
  /** Of any role with versions, delegated ones too. */
  of(role: string): number
  setRole(role: string, to: number): void
  /** `targets` and every delegated role that was ever set. */
  roles(): string[]
}

export function createVersions(ledger: Ledger): Versions {
  const { fleet } = ledger.rows
  const keyOf = (role: string) => (isTop(role) ? KEYS[role] : `${ROLE_KEY}${role}`)
  const read = (key: string) => Number(fleet.get(key)?.value ?? 0)
  const write = (key: string, to: number) => ledger.put('fleet', { key, value: String(to) })
  return {
    get: (name) => read(KEYS[name]),
    set: (name, to) => write(KEYS[name], to),
    of: (role) => read(keyOf(role)),
    setRole: (role, to) => write(keyOf(role), to),
    roles: () => [
      'targets',
      ...[...fleet.keys()].flatMap((key) =>
        key.startsWith(ROLE_KEY) ? [key.slice(ROLE_KEY.length)] : [],
      ),
    ],
  }
}

function isTop(role: string): role is 'root' | 'targets' | 'snapshot' {
  return role === 'root' || role === 'targets' || role === 'snapshot'
}

export interface OnlineMetadata {
  /** A new snapshot and timestamp over the present targets. */
  signAll(nowMs: number): void
  /** Signs what is past half of its life again. */
  refresh(nowMs: number): void
}

export function createOnlineMetadata(parts: {
  readonly ledger: Ledger
  readonly keys: Pick<OnlineKeys, 'signers'>
  readonly versions: Versions
  /** By role, `targets` among them once there are any. */
  readonly roleFiles: () => ReadonlyMap<string, { readonly bytes: Uint8Array }>
  readonly snapshotFile: () => Uint8Array | undefined
}): OnlineMetadata {
  const { ledger, keys, versions } = parts
  const nextTimestamp = (nowMs: number) => ({
    version: versions.get('timestamp') + 1,
    expiresMs: nowMs + TIMESTAMP_LIFETIME_MS,
    signers: [keys.signers().timestamp],
  })
  const note = (
    role: 'snapshot' | 'timestamp',
    { version, expiresMs }: { version: number; expiresMs: number },
  ): void => {
    versions.set(role, version)
    versions.set(`${role}Expiry`, expiresMs)
  }

  function signAll(nowMs: number): void {
    const targets = new Map([...parts.roleFiles()].map(([role, { bytes }]) => [role, bytes]))
    if (!targets.has('targets')) return
    const snapshot = {
      version: versions.get('snapshot') + 1,
      expiresMs: nowMs + SNAPSHOT_LIFETIME_MS,
      signers: [keys.signers().snapshot],
    }
    const timestamp = nextTimestamp(nowMs)
    const plan = { targets, snapshot, timestamp }
    for (const { path, bytes } of unwrap(signOnline(plan))) {
      ledger.put('metadata', { file: path, bytes, storedAtMs: nowMs })
    }
    note('snapshot', snapshot)
    note('timestamp', timestamp)
    const old = ledger.rows.metadata.get(rolePath('snapshot', snapshot.version - SNAPSHOTS_KEPT))
    if (old !== undefined) ledger.remove('metadata', old)
  }

  return {
    signAll,
    refresh(nowMs) {
      const snapshot = parts.snapshotFile()
      if (snapshot === undefined) return
      if (versions.get('snapshotExpiry') - nowMs < SNAPSHOT_LIFETIME_MS / 2) {
        signAll(nowMs)
        return
      }
      if (versions.get('timestampExpiry') - nowMs >= TIMESTAMP_LIFETIME_MS / 2) return
      const timestamp = nextTimestamp(nowMs)
      const { path, bytes } = unwrap(signTimestamp(snapshot, timestamp))
      ledger.put('metadata', { file: path, bytes, storedAtMs: nowMs })
      note('timestamp', timestamp)
    },
  }
}
