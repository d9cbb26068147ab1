/**
 * What publishers bring: root, artifacts, targets. One upload of metadata at a time, since each is
 * checked against the one before.
 */
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import { releaseName } from '../shared/model/names.ts'
import type { Actor, Application, PublishedRoles } from './application.ts'
import type { Audit } from './audit.ts'
import type { Changes } from './changes.ts'
import type { StoredRelease } from './db/store.ts'
import type { Ledger } from './ledger.ts'
import type { Clock } from './ports.ts'
import { type FoundRelease, readReleases } from './releases.ts'
import type { Blobs } from './signing/blobs.ts'
import type { OnlineKeys } from './signing/online-keys.ts'
import type { Repository } from './signing/repository.ts'
import type { CheckedRoles } from './signing/role-uploads.ts'
import type { Turns } from './turns.ts'

export interface PublishingParts {
  readonly ledger: Ledger
  readonly repository: Repository
  readonly keys: Pick<OnlineKeys, 'next' | 'keep'>
  readonly blobs: Blobs
  readonly audit: Audit
  readonly changes: Changes
  readonly turns: Turns
  readonly clock: Clock
  readonly signAuditHead: (nowMs: number) => void
}

type Publishing = Pick<
  Application,
  'putRoot' | 'putArtifact' | 'putTargets' | 'putRoles' | 'tufMetadata' | 'tufTarget' | 'artifact'
>

export function createPublishing(parts: PublishingParts): Publishing {
  const { repository, blobs, audit, turns, clock, ledger, keys } = parts
  let last: Promise<unknown> = Promise.resolve()
  const oneAtATime = <T>(task: () => Promise<T>): Promise<T> => {
    const next = last.then(task)
    last = next.catch(() => undefined)
    return next
  }
  const audited = async <T>(
    actor: Actor,
    action: string,
    resource: string,
    result: Result<T>,
    beforeCommit?: () => void,
  ): Promise<Result<T>> => {
    const outcome = result.ok ? 'done' : result.error.code
    audit.append({ actor: actor.name, action, resource, outcome }, clock.nowMs())
    beforeCommit?.()
    await turns.committed()
    return result
  }
  /** Only with the root that names them stored may the old files go. */
  const keepKeys = async (): Promise<void> => {
    if (keys.next() === undefined) await keys.keep()
  }
  const publish: Publishing['putRoles'] = (files, actor) =>
    oneAtATime(async () => {
      const before = repository.root()
      const put = await putRoles(parts, files, actor)
      const isNewRoot = repository.root() !== before
      const resource = [...(isNewRoot ? ['root'] : []), ...files.keys()].join(' ')
      const stored = await audited(actor, 'publish', resource, put)
      if (isNewRoot && stored.ok) await keepKeys()
      return stored
    })

  return {
    putRoot: (bytes, actor) =>
      oneAtATime(async () => {
        const nowMs = clock.nowMs()
        const put = repository.putRoot(bytes, nowMs)
        // The root may name another timestamp key, which the head of the trail is signed with.
        const sign = () => (put.ok ? parts.signAuditHead(nowMs) : undefined)
        const stored = await audited(actor, 'publish', 'root', put, sign)
        if (stored.ok) await keepKeys()
        return stored
      }),
    async putArtifact(sha256, body, actor) {
      const stored = await blobs.put(sha256, body)
      if (stored.ok) {
        const { length } = stored.value
        ledger.put('artifacts', { sha256, length, storedAtMs: clock.nowMs() })
      }
      const done = await audited(actor, 'upload', `artifact/${sha256}`, stored)
      return done.ok ? ok() : done
    },
    putTargets: (bytes, actor) => publish(new Map([['targets', bytes]]), actor),
    putRoles: publish,
    async tufMetadata(file) {
      const bytes = repository.file(file)
      if (bytes !== undefined) return ok(bytes)
      return refuse('tuf.not_found', `There is no metadata file ${file.slice(0, 80)}.`)
    },
    async tufTarget(path) {
      const found = targetByUrl(repository, path)
      return found === undefined
        ? refuse('tuf.not_found', `There is no target ${path.slice(0, 120)}.`)
        : ok(found)
    },
    async artifact(sha256) {
      const length = await blobs.length(sha256)
      if (length === undefined) return refuse('artifact.not_found', 'There is no such artifact.')
      return ok({ length, open: (start, end) => blobs.open(sha256, start, end) })
    },
  }
}

/** `<model>/<version>/<sha256>.<file>`, as consistent snapshots name targets (clause 6.2). */
function targetByUrl(
  repository: Repository,
  path: string,
): { sha256: string; length: number } | undefined {
  const match = /^(.*\/)([0-9a-f]{64})\.([^/]+)$/.exec(path)
  if (match === null) return undefined
  const [, folder, sha256, file] = match
  const target = repository.found().get(`${folder}${file}`)?.file
  if (sha256 === undefined || target?.hashes.get('sha256') !== sha256) return undefined
  return { sha256, length: target.length }
}

/** The same files again are accepted and change nothing. */
async function putRoles(
  parts: PublishingParts,
  files: ReadonlyMap<string, Uint8Array>,
  actor: Actor,
): Promise<Result<PublishedRoles>> {
  const { repository, blobs, clock, ledger } = parts
  if (repository.root() === undefined) {
    return refuse('tuf.no_trusted_root', 'There is no root yet.', { next: 'linnet key new' })
  }
  const uploads = new Map([...files].filter(([role, bytes]) => !repository.isCurrent(role, bytes)))
  if (uploads.size === 0) return ok({ releases: [], waiting: [] })
  const checked = repository.checkRoles(uploads, clock.nowMs())
  if (!checked.ok) return checked
  const { found, waiting } = checked.value
  const releases = await readReleases(found, ledger.rows.releases, blobs)
  if (!releases.ok) return releases
  const nowMs = clock.nowMs()
  repository.putRoles(checked.value, nowMs)
  if (checked.value.nextRoot !== undefined) parts.signAuditHead(nowMs)
  const recorded =
    checked.value.files.length === 0
      ? []
      : recordReleases(parts, releases.value, checked.value, actor, nowMs)
  const open = waiting.map(({ role, signatures, threshold }) => ({ role, signatures, threshold }))
  return ok({ releases: recorded, waiting: open })
}

/** @returns the names of the new ones */
function recordReleases(
  { ledger, changes, turns }: PublishingParts,
  found: readonly FoundRelease[],
  { signedBy }: CheckedRoles,
  actor: Actor,
  nowMs: number,
): string[] {
  const listed = new Set(found.map(({ manifest }) => releaseName(manifest)))
  const put = (row: StoredRelease): void => {
    ledger.put('releases', row)
    turns.afterCommit(() => changes.note('release', releaseName(row)))
  }
  for (const row of ledger.rows.releases.values()) {
    if (listed.has(releaseName(row)) || row.stage === 'archived') continue
    put({ ...row, stage: 'archived' })
  }
  const fresh: string[] = []
  for (const { manifest, manifestSha256, role } of found) {
    const name = releaseName(manifest)
    const known = ledger.rows.releases.get(name)
    const signers = signedBy(role.name)
    if (known !== undefined && known.stage !== 'archived') {
      // Another role may have taken it over, with other signatures.
      if (known.signedBy.join() !== signers.join()) put({ ...known, signedBy: signers })
      continue
    }
    const { model, version } = manifest
    const published = { publishedAtMs: nowMs, publishedBy: actor.name, signedBy: signers }
    const row = { model, version, stage: 'registered' as const, manifestSha256, manifest }
    put({ ...row, ...published })
    fresh.push(name)
  }
  return fresh
}
