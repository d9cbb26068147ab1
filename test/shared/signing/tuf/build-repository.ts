/**
 * A TUF repository in memory, for tests: everything about it can be changed and published again,
 * well or badly, and a client keeps its trusted files in a map. Ports record what was asked for.
 */
import { assert } from '../../../../shared/kernel/assert.ts'
import { unwrap } from '../../../../shared/kernel/result.ts'
import { sha256Hex } from '../../../../shared/kernel/sha256.ts'
import { nodeVerifier } from '../../../../shared/node/verifier-node.ts'
import type { JsonObject } from '../../../../shared/signing/canonical-json.ts'
import { envelopeBytes, signEnvelope } from '../../../../shared/signing/envelope.ts'
import type { SyncSigner } from '../../../../shared/signing/keys.ts'
import { refresh, type TrustedSet } from '../../../../shared/signing/tuf/client.ts'
import {
  type FetchReply,
  runTufSync,
  type SyncTufPorts,
} from '../../../../shared/signing/tuf/effects.ts'
import {
  type DelegationPlan,
  type RootPlan,
  rootMetadata,
  signOnline,
  signRole,
  signTimestamp,
  type TargetEntry,
  targetsMetadata,
} from '../../../../shared/signing/tuf/publish.ts'
import { rolePath } from '../../../../shared/signing/tuf/store-layout.ts'
import { signerNumber } from '../build-assignment.ts'

export const startMs = Date.UTC(2026, 10, 23, 15)
export const dayMs = 86_400_000

type Role = 'root' | 'timestamp' | 'snapshot' | 'targets'

export interface RepositoryModel {
  signers: Record<Role, SyncSigner[]>
  thresholds: Record<Role, number>
  /** Also sign the next root, beside its own keys: those of the root before. */
  oldRootSigners: SyncSigner[]
  versions: Record<Role, number>
  expiresMs: Record<Role, number>
  consistentSnapshot: boolean
  targets: TargetEntry[]
  delegations: (DelegationPlan & { signers: SyncSigner[] })[]
  /** Delegated roles by name: what they list and delegate. */
  delegated: Map<string, { version: number; targets: TargetEntry[]; delegations: DelegationPlan[] }>
  director: RootPlan['director']
  /** Changes the signed part of a role before it is signed. */
  twist: Partial<Record<string, (signed: JsonObject) => JsonObject>>
}

export function targetOf(path: string, content = `content of ${path}`): TargetEntry {
  return { path, length: content.length, sha256: sha256Hex(content) }
}

export class TestRepository {
  /** What the server serves, by path relative to the metadata base URL. */
  readonly files = new Map<string, Uint8Array>()
  readonly model: RepositoryModel = {
    signers: {
      root: [signerNumber(11)],
      timestamp: [signerNumber(12)],
      snapshot: [signerNumber(13)],
      targets: [signerNumber(14)],
    },
    thresholds: { root: 1, timestamp: 1, snapshot: 1, targets: 1 },
    oldRootSigners: [],
    versions: { root: 1, timestamp: 1, snapshot: 1, targets: 1 },
    expiresMs: {
      root: startMs + 30 * dayMs,
      timestamp: startMs + 30 * dayMs,
      snapshot: startMs + 30 * dayMs,
      targets: startMs + 30 * dayMs,
    },
    consistentSnapshot: true,
    targets: [targetOf('file.txt')],
    delegations: [],
    delegated: new Map(),
    director: undefined,
    twist: {},
  }

  constructor(change: (model: RepositoryModel) => void = () => {}) {
    change(this.model)
    this.publishRoot()
    this.publishRest()
  }

  /** The next root, as the model now says. */
  nextRoot(change: (model: RepositoryModel) => void = () => {}): void {
    this.model.oldRootSigners = [...this.model.signers.root]
    this.model.versions.root += 1
    change(this.model)
    this.publishRoot()
  }

  /** The next targets, snapshot and timestamp, as the model now says. */
  next(change: (model: RepositoryModel) => void = () => {}): void {
    for (const role of ['timestamp', 'snapshot', 'targets'] as const) this.model.versions[role] += 1
    change(this.model)
    this.publishRest()
  }

  publishRoot(): void {
    const { model } = this
    const plan = (role: Role): { keys: SyncSigner['key'][]; threshold: number } => ({
      keys: model.signers[role].map(({ key }) => key),
      threshold: model.thresholds[role],
    })
    const signed = {
      ...rootMetadata({
        version: model.versions.root,
        expiresMs: model.expiresMs.root,
        roles: {
          root: plan('root'),
          timestamp: plan('timestamp'),
          snapshot: plan('snapshot'),
          targets: plan('targets'),
        },
        ...(model.director === undefined ? {} : { director: model.director }),
      }),
      consistent_snapshot: model.consistentSnapshot,
    }
    const signers = new Map(
      [...model.signers.root, ...model.oldRootSigners].map((s) => [s.key.keyval.public, s]),
    )
    this.write('root', signed, [...signers.values()])
  }

  publishRest(): void {
    const { model } = this
    const files = new Map<string, Uint8Array>()
    const targets = targetsMetadata({
      version: model.versions.targets,
      expiresMs: model.expiresMs.targets,
      targets: model.targets,
      ...(model.delegations.length === 0 ? {} : { delegations: model.delegations }),
    })
    files.set('targets', this.write('targets', targets, model.signers.targets))
    for (const [name, role] of model.delegated) {
      const signed = targetsMetadata({
        version: role.version,
        expiresMs: model.expiresMs.targets,
        targets: role.targets,
        ...(role.delegations.length === 0 ? {} : { delegations: role.delegations }),
      })
      files.set(name, this.write(name, signed, this.signersOf(name)))
    }
    const roles = { snapshot: this.online('snapshot'), timestamp: this.online('timestamp') }
    const [snapshot] = unwrap(signOnline({ targets: files, ...roles }))
    assert(snapshot !== undefined, 'the snapshot comes first')
    const bytes = this.twisted('snapshot', snapshot.bytes)
    this.put('snapshot', snapshot.path, bytes)
    const timestamp = unwrap(signTimestamp(bytes, roles.timestamp))
    this.put('timestamp', timestamp.path, this.twisted('timestamp', timestamp.bytes))
  }

  private twisted(role: 'snapshot' | 'timestamp', bytes: Uint8Array): Uint8Array {
    const twist = this.model.twist[role]
    return twist === undefined ? bytes : resign(twist(signedOf(bytes)), this.model.signers[role])
  }

  /** Signs and serves; returns the bytes. */
  write(role: string, signed: JsonObject, signers: readonly SyncSigner[]): Uint8Array {
    const twisted = this.model.twist[role]?.(signed) ?? signed
    const { path, bytes } = unwrap(signRole(role, twisted, signers))
    this.put(role, path, bytes)
    return bytes
  }

  /** Serves an envelope as it is, under the path that a client will ask for. */
  writeEnvelope(path: string, envelope: unknown): void {
    this.files.set(path, envelopeBytes(envelope as never))
  }

  private put(role: string, path: string, bytes: Uint8Array): void {
    const versioned = this.model.consistentSnapshot || role === 'root'
    this.files.set(versioned ? path : rolePath(role, undefined), bytes)
  }

  private online(role: 'snapshot' | 'timestamp') {
    const { versions, expiresMs, signers } = this.model
    return { version: versions[role], expiresMs: expiresMs[role], signers: signers[role] }
  }

  private signersOf(name: string): SyncSigner[] {
    const delegation = this.model.delegations.find((role) => role.name === name)
    return delegation?.signers ?? [delegatedSigner]
  }
}

/** Signs every delegated role that has no signers of its own. */
const delegatedSigner = signerNumber(15)

export function delegationTo(
  name: string,
  changes: Partial<DelegationPlan & { signers: SyncSigner[] }> = {},
): DelegationPlan & { signers: SyncSigner[] } {
  const signers = changes.signers ?? [delegatedSigner]
  const keys = signers.map(({ key }) => key)
  return { name, paths: ['*'], terminating: false, keys, threshold: 1, ...changes, signers }
}

export function signedOf(bytes: Uint8Array): JsonObject {
  return JSON.parse(new TextDecoder().decode(bytes)).signed
}

export function resign(signed: JsonObject, signers: readonly SyncSigner[]): Uint8Array {
  return envelopeBytes(unwrap(signEnvelope(signed, signers)))
}

/** A client: trusted files in a map, and a record of what it fetched. */
export class TestClient {
  readonly trusted = new Map<string, Uint8Array>()
  fetched: string[] = []
  verifications = 0
  readonly ports: SyncTufPorts
  readonly repository: TestRepository

  constructor(repository: TestRepository) {
    this.repository = repository
    const root = repository.files.get('1.root.json')
    assert(root !== undefined, 'a repository has a first root')
    this.trusted.set('root', root)
    this.ports = {
      verifier: {
        verify: (key, message, signature) => {
          this.verifications += 1
          return nodeVerifier.verify(key, message, signature)
        },
      },
      load: (role) => this.trusted.get(role),
      fetch: (path, bytesMax) => this.fetch(path, bytesMax),
      persist: (role, bytes) => void this.trusted.set(role, bytes),
      forget: (role) => void this.trusted.delete(role),
    }
  }

  /** The trusted set, or the code of the refusal. */
  refresh(nowMs = startMs): TrustedSet | string {
    this.fetched = []
    const result = runTufSync(refresh(nowMs), this.ports)
    return result.ok ? result.value : result.error.code
  }

  /** `ok`, or the code of the refusal. */
  verdict(nowMs = startMs): string {
    const result = this.refresh(nowMs)
    return typeof result === 'string' ? result : 'ok'
  }

  /** The version of each trusted role, or 0. */
  versions(): { root: number; timestamp: number; snapshot: number; targets: number } {
    const version = (role: string): number => {
      const bytes = this.trusted.get(role)
      return bytes === undefined ? 0 : Number(signedOf(bytes).version)
    }
    return {
      root: version('root'),
      timestamp: version('timestamp'),
      snapshot: version('snapshot'),
      targets: version('targets'),
    }
  }

  private fetch(path: string, bytesMax: number): FetchReply {
    this.fetched.push(path)
    const bytes = this.repository.files.get(path)
    if (bytes === undefined) return { kind: 'absent' }
    if (bytes.length <= bytesMax) return { kind: 'fetched', bytes }
    const problem = { code: 'tuf.endless_data', message: `${path} is longer than ${bytesMax}` }
    return { kind: 'failed', problem }
  }
}

/** A repository and a client that trusts its first root. */
export function setUp(): { repository: TestRepository; client: TestClient } {
  const repository = new TestRepository()
  return { repository, client: new TestClient(repository) }
}

/** The same after a first refresh. */
export function updated(): { repository: TestRepository; client: TestClient } {
  const both = setUp()
  assert(both.client.verdict() === 'ok', 'a first refresh succeeds')
  return both
}

/** Lists a file by version alone, without length and hashes. */
export function withBareMeta(name: string, version: number): (signed: JsonObject) => JsonObject {
  return (signed) => ({ ...signed, meta: { ...(signed.meta as JsonObject), [name]: { version } } })
}
