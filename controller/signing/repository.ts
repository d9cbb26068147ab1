/**
 * The TUF repository that the controller serves: root, targets and delegated roles as publishers
 * signed them, snapshot and timestamp signed here, on every publish and long before they expire.
 *
 * Invariants: what is served verifies with any TUF client; versions only grow; files with a version
 * in their name never change.
 */
import { assert } from '../../shared/kernel/assert.ts'
import { equalBytes } from '../../shared/kernel/bytes.ts'
import { ok, type Result, unwrap } from '../../shared/kernel/result.ts'
import { MANIFEST_FILE, targetPath } from '../../shared/model/manifest.ts'
import type { TrustedDirector } from '../../shared/signing/assignment.ts'
import { openEnvelope } from '../../shared/signing/envelope.ts'
import type { SyncVerifier } from '../../shared/signing/keys.ts'
import { directorOf } from '../../shared/signing/tuf/director.ts'
import { defaultTufLimits, jsonLimits } from '../../shared/signing/tuf/limits.ts'
import { type Root, readRoot, readTargets } from '../../shared/signing/tuf/metadata.ts'
import { STAGING_ROLE } from '../../shared/signing/tuf/release-target.ts'
import { rolePath } from '../../shared/signing/tuf/store-layout.ts'
import type { Walk } from '../../shared/signing/tuf/walk.ts'
import type { Ledger } from '../ledger.ts'
import type { OnlineKeys } from './online-keys.ts'
import { createOnlineMetadata, createVersions } from './online-metadata.ts'
import {
  type CheckedRoles,
  checkRoles,
  findAll,
  type RoleChecks,
  type RoleFile,
  type VouchedTarget,
  waitingFile,
  walkServed,
} from './role-uploads.ts'
import type { CheckedRoot } from './root-upload.ts'
import { openServedRoot } from './served-root.ts'

/** Uploads that were checked, and the root that goes up with them because they are what it lacked. */
export type CheckedUploads = CheckedRoles & { readonly nextRoot?: CheckedRoot }

export interface Repository {
  root(): Root | undefined
  /** `targets` and the roles that it delegates to; undefined before the first publish. */
  roles(): Walk | undefined
  /** What a client finds, by path. */
  found(): ReadonlyMap<string, VouchedTarget>
  director(): TrustedDirector | undefined
  /** Names of the releases that stand in staging only. */
  unproven(): ReadonlySet<string>
  /** 0 before the first publish. */
  snapshotVersion(): number
  /** As it is served: only what is stored. */
  file(name: string): Uint8Array | undefined
  /**
   * Errors: those of `checkRoot`. The same root again is accepted and changes nothing. One whose
   * publishers did not sign the served targets waits for those that they sign, and goes up with them.
   */
  putRoot(bytes: Uint8Array, nowMs: number): Result<{ version: number; waiting?: boolean }>
  /** The checks alone: the caller looks at the releases before it calls `putRoles`. */
  checkRoles(uploads: ReadonlyMap<string, Uint8Array>, nowMs: number): Result<CheckedUploads>
  isCurrent(role: string, bytes: Uint8Array): boolean
  putRoles(checked: CheckedUploads, nowMs: number): void
  /** Signs what is past half of its life again. */
  refresh(nowMs: number): void
}

export function openRepository(parts: {
  readonly ledger: Ledger
  readonly keys: OnlineKeys
  readonly verifier: SyncVerifier
}): Repository {
  const { ledger, keys, verifier } = parts
  const versions = createVersions(ledger)
  const file = (name: string) => ledger.rows.metadata.get(name)?.bytes
  const currentFile = (role: string) =>
    versions.of(role) === 0 ? undefined : file(rolePath(role, versions.of(role)))
  /** Every role that was ever served: a snapshot never leaves one out again (clause 5.5.5). */
  const roleFiles = () =>
    new Map(
      versions.roles().flatMap((role): [string, RoleFile][] => {
        const bytes = currentFile(role)
        return bytes === undefined ? [] : [[role, { role, bytes, version: versions.of(role) }]]
      }),
    )

  const stored = storedRoot(currentFile('root'))
  let view = viewOf(stored && storedWalk(roleFiles(), stored, verifier))
  const targets = () => currentFile('targets')
  const served = openServedRoot(stored, { ...parts, versions, targets })

  const online = createOnlineMetadata({
    ledger,
    keys,
    versions,
    roleFiles,
    snapshotFile: () => currentFile('snapshot'),
  })

  const putFile = (path: string, bytes: Uint8Array, nowMs: number): void =>
    ledger.put('metadata', { file: path, bytes, storedAtMs: nowMs })
  const isCurrent = (role: string, bytes: Uint8Array): boolean => {
    const current = currentFile(role)
    return current !== undefined && equalBytes(current, bytes)
  }

  return {
    root: served.root,
    roles: () => view.walk,
    found: () => view.found,
    unproven: () => view.unproven,
    director() {
      const root = served.root()
      return root === undefined ? undefined : unwrap(directorOf(root))
    },
    snapshotVersion: () => versions.get('snapshot'),
    file: (name) => ledger.stored.metadata.get(name)?.bytes,
    putRoot(bytes, nowMs) {
      const root = served.root()
      if (root !== undefined && isCurrent('root', bytes)) return ok({ version: root.version })
      const put = served.put(bytes, nowMs)
      // The new root may ask for other online keys than the ones that signed last.
      if (put.ok && put.value.waiting !== true) online.signAll(nowMs)
      return put
    },
    checkRoles(uploads, nowMs) {
      const nextRoot = served.waitingFor(uploads.get('targets'), nowMs)
      const root = nextRoot?.root ?? served.root()
      assert(root !== undefined, 'targets are checked against a root')
      const current = roleFiles()
      const moment = { root, verifier, nowMs, current, ...lookedForIn(ledger) }
      const checked = checkRoles(uploads, moment)
      return checked.ok && nextRoot ? ok({ ...checked.value, nextRoot }) : checked
    },
    isCurrent,
    putRoles(checked, nowMs) {
      for (const { role, bytes } of checked.waiting) putFile(waitingFile(role), bytes, nowMs)
      for (const { role, bytes, version } of checked.files) {
        putFile(rolePath(role, version), bytes, nowMs)
        versions.setRole(role, version)
        const waited = ledger.rows.metadata.get(waitingFile(role))
        if (waited !== undefined) ledger.remove('metadata', waited)
      }
      if (checked.nextRoot !== undefined) served.install(checked.nextRoot, nowMs)
      if (checked.files.length === 0) return
      view = viewOf(checked.walk)
      online.signAll(nowMs)
    },
    refresh: online.refresh,
  }
}

/** A file of each release that devices may look for, and where what they find may still be waiting. */
function lookedForIn({ rows }: Ledger): Pick<RoleChecks, 'lookedFor' | 'revoked' | 'isWaiting'> {
  const paths = (isRevoked: boolean) =>
    [...rows.releases.values()]
      .filter(({ stage }) => (stage === 'archived') === isRevoked)
      .map(({ model, version }) => targetPath(model, version, MANIFEST_FILE))
  const isWaiting = (role: string) => rows.metadata.has(waitingFile(role))
  return { lookedFor: paths(false), revoked: paths(true), isWaiting }
}

/** We checked them when they came: files that do not read mean that the database is damaged. */
function storedRoot(bytes: Uint8Array | undefined): Root | undefined {
  if (bytes === undefined) return undefined
  const { signed } = unwrap(openEnvelope(bytes, jsonLimits(defaultTufLimits.rootBytesMax)))
  return unwrap(readRoot(signed))
}

/** What clients make of the served roles. */
function viewOf(walk: Walk | undefined) {
  const found = findAll(walk?.roles ?? [])
  const staged = [...found].filter(([, { role }]) => role.chain.includes(STAGING_ROLE))
  const unproven = new Set(staged.map(([path]) => path.split('/').slice(0, 2).join('@')))
  return { walk, found, unproven }
}

function storedWalk(
  files: ReadonlyMap<string, RoleFile>,
  root: Root,
  verifier: SyncVerifier,
): Walk | undefined {
  const bytes = files.get('targets')?.bytes
  if (bytes === undefined) return undefined
  const { signed } = unwrap(openEnvelope(bytes, jsonLimits(defaultTufLimits.targetsBytesMax)))
  return unwrap(walkServed(files, unwrap(readTargets(signed)), { root, verifier }))
}
