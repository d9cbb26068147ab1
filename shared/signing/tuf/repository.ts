/**
 * A whole repository from nothing: the first root, targets, snapshot and timestamp as files to
 * write. For a key ceremony, a demo, a test; where the offline and the online keys are on separate
 * machines, `publish.ts` has the same steps one by one.
 */
import { ok, type Result } from '../../kernel/result.ts'
import type { SyncSigner } from '../keys.ts'
import {
  type DelegationPlan,
  type RepositoryFile,
  type RolePlan,
  rootMetadata,
  signOnline,
  signRole,
  type TargetEntry,
  targetsMetadata,
} from './publish.ts'
import type { TopLevelRole } from './role-keys.ts'

export interface RepositoryPlan {
  /** Who signs each role; every one of them must, here. */
  readonly signers: Readonly<Record<TopLevelRole, readonly SyncSigner[]>>
  readonly expiresMs: Readonly<Record<TopLevelRole, number>>
  readonly director?: RolePlan & { readonly directorEpoch: number }
  readonly targets: readonly TargetEntry[]
  readonly delegations?: readonly (DelegationPlan & { readonly signers: readonly SyncSigner[] })[]
}

/** Version 1 of everything, delegated roles empty; to be written in this order. */
export function buildRepository(plan: RepositoryPlan): Result<readonly RepositoryFile[]> {
  const { signers, expiresMs, director, targets, delegations = [] } = plan
  const rolePlan = (role: TopLevelRole): RolePlan => ({
    keys: signers[role].map(({ key }) => key),
    threshold: signers[role].length,
  })
  const rootFile = signRole(
    'root',
    rootMetadata({
      version: 1,
      expiresMs: expiresMs.root,
      roles: {
        root: rolePlan('root'),
        timestamp: rolePlan('timestamp'),
        snapshot: rolePlan('snapshot'),
        targets: rolePlan('targets'),
      },
      ...(director === undefined ? {} : { director }),
    }),
    signers.root,
  )
  if (!rootFile.ok) return rootFile
  const common = { version: 1, expiresMs: expiresMs.targets }
  const listed = targetsMetadata({ ...common, targets, delegations })
  const roles = [
    { name: 'targets', signed: listed, by: signers.targets },
    ...delegations.map(({ name, signers: by }) => ({
      name,
      signed: targetsMetadata({ ...common, targets: [] }),
      by,
    })),
  ]
  const files: RepositoryFile[] = [rootFile.value]
  const signedTargets = new Map<string, Uint8Array>()
  for (const { name, signed, by } of roles) {
    const file = signRole(name, signed, by)
    if (!file.ok) return file
    files.push(file.value)
    signedTargets.set(name, file.value.bytes)
  }
  const online = signOnline({
    targets: signedTargets,
    snapshot: { version: 1, expiresMs: expiresMs.snapshot, signers: signers.snapshot },
    timestamp: { version: 1, expiresMs: expiresMs.timestamp, signers: signers.timestamp },
  })
  return online.ok ? ok([...files, ...online.value]) : online
}
