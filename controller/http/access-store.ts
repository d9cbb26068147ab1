/**
 * Who may call: operator tokens and console sessions, in one small file of the controller's folder.
 * Only SHA-256 digests are stored; a secret has 256 random bits, so a plain digest suffices.
 *
 * Invariants: a secret is returned once, when it is made; the file has mode 0600 and is replaced
 * whole; an expired or revoked entry admits nobody. At most 512 tokens and 256 sessions: a further
 * token is refused, a further session replaces the oldest.
 */
import { createHash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import type { TokenResource } from '../../shared/api/resources.ts'
import { ok, ProblemError, type Result, refuse } from '../../shared/kernel/result.ts'
import { sha256Schema, timeMsSchema } from '../../shared/model/names.ts'
import { type Role, roleSchema } from '../../shared/model/role.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import type { Actor } from '../application.ts'

const TOKENS_MAX = 512
const SESSIONS_MAX = 256
const FILE_BYTES_MAX = 1_048_576
const SESSION_LIFETIME_MS = 12 * 3_600_000
/** The entry that the token file beside this one belongs to. */
export const LOCAL_TOKEN_NAME = 'local-admin'

const entrySchema = z.strictObject({
  kind: z.enum(['token', 'session']),
  name: z.string().max(64),
  role: roleSchema,
  sha256: sha256Schema,
  createdAtMs: timeMsSchema,
  expiresAtMs: timeMsSchema.nullable(),
})
type Entry = z.infer<typeof entrySchema>
const fileSchema = z.strictObject({
  schema: z.literal('linnet.access.v1'),
  entries: z.array(entrySchema).max(TOKENS_MAX + SESSIONS_MAX),
})

export interface AccessStore {
  /** Who holds this secret, if it admits anybody now. */
  admit(secret: string): Actor | undefined
  /** Errors: `token.duplicate`, `token.too_many`. */
  createToken(
    name: string,
    role: Role,
    lifetimeMs: number | null,
  ): Promise<Result<{ secret: string; entry: TokenResource }>>
  /** Errors: `token.not_found`. */
  revokeToken(name: string): Promise<Result<undefined>>
  tokens(): TokenResource[]
  /** Lives no longer than the token of that name; undefined when that admits nobody any more. */
  createSession(actor: Actor): Promise<string | undefined>
  endSession(secret: string): Promise<void>
}

/**
 * Reads `home/access.json` and makes sure that `home/token` holds a working admin token.
 * Errors: `access.malformed` (thrown) for a file that is not ours.
 */
export async function openAccessStore(home: string, nowMs: () => number): Promise<AccessStore> {
  const path = join(home, 'access.json')
  let entries = await readEntries(path)
  // One write at a time: two that overlap could leave the older state on disk.
  let writing: Promise<void> = Promise.resolve()
  const save = async (next: Entry[]): Promise<void> => {
    entries = next
    const text = JSON.stringify({ schema: 'linnet.access.v1', entries }, null, 2)
    writing = writing.then(() => writeFileAtomic(path, `${text}\n`, { mode: 0o600 }))
    await writing
  }
  const alive = (entry: Entry) => entry.expiresAtMs === null || entry.expiresAtMs > nowMs()
  const add = async (kind: Entry['kind'], name: string, role: Role, lifetimeMs: number | null) => {
    const secret = `${kind === 'token' ? 'lnt' : 'lns'}_${randomBytes(32).toString('base64url')}`
    const createdAtMs = nowMs()
    const expiresAtMs = lifetimeMs === null ? null : createdAtMs + lifetimeMs
    const entry: Entry = { kind, name, role, sha256: digest(secret), createdAtMs, expiresAtMs }
    await save([...entries.filter(alive), entry])
    return { secret, entry }
  }
  const store: AccessStore = {
    admit(secret) {
      const sha256 = digest(secret)
      // Looked up by digest, so that timing says nothing about the secret.
      const entry = entries.find((e) => e.sha256 === sha256 && alive(e))
      return entry && { name: entry.name, role: entry.role }
    },
    async createToken(name, role, lifetimeMs) {
      const tokens = entries.filter((e) => e.kind === 'token' && alive(e))
      if (tokens.some((e) => e.name === name)) {
        return refuse('token.duplicate', `There is already a token named ${name}.`, {
          next: `linnet token revoke ${name}`,
        })
      }
      if (tokens.length >= TOKENS_MAX) {
        return refuse('token.too_many', 'There are too many tokens.', {
          expected: `at most ${TOKENS_MAX}`,
          next: 'linnet token list',
        })
      }
      const { secret, entry } = await add('token', name, role, lifetimeMs)
      return ok({ secret, entry: tokenResource(entry) })
    },
    async revokeToken(name) {
      const kept = entries.filter((e) => e.name !== name)
      if (kept.length === entries.length) {
        return refuse('token.not_found', `There is no token named ${name}.`, {
          next: 'linnet token list',
        })
      }
      await save(kept)
      return ok()
    },
    tokens: () => entries.filter((e) => e.kind === 'token' && alive(e)).map(tokenResource),
    async createSession(actor) {
      const owner = entries.find((e) => e.kind === 'token' && e.name === actor.name && alive(e))
      if (owner === undefined) return undefined
      const leftMs = (owner.expiresAtMs ?? Number.POSITIVE_INFINITY) - nowMs()
      const sessions = entries.filter((e) => e.kind === 'session' && alive(e))
      if (sessions.length >= SESSIONS_MAX) entries = entries.filter((e) => e !== sessions[0])
      const lifetimeMs = Math.min(SESSION_LIFETIME_MS, leftMs)
      return (await add('session', actor.name, actor.role, lifetimeMs)).secret
    },
    async endSession(secret) {
      const sha256 = digest(secret)
      await save(entries.filter((e) => e.kind !== 'session' || e.sha256 !== sha256))
    },
  }
  await ensureLocalToken(home, store)
  return store
}

async function ensureLocalToken(home: string, store: AccessStore): Promise<void> {
  const path = join(home, 'token')
  const bytes = await readFileBounded(path, 4_096)
  const secret = bytes && Buffer.from(bytes).toString('utf8').trim()
  if (secret && store.admit(secret)?.name === LOCAL_TOKEN_NAME) return
  await store.revokeToken(LOCAL_TOKEN_NAME)
  const created = await store.createToken(LOCAL_TOKEN_NAME, 'admin', null)
  if (!created.ok) throw new ProblemError(created.error)
  await writeFileAtomic(path, `${created.value.secret}\n`, { mode: 0o600 })
}

async function readEntries(path: string): Promise<Entry[]> {
  const bytes = await readFileBounded(path, FILE_BYTES_MAX)
  if (bytes === undefined) return []
  try {
    return fileSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8'))).entries
  } catch (cause) {
    throw new ProblemError(
      {
        code: 'access.malformed',
        message: `The list of tokens cannot be read.`,
        expected: 'the file that the controller wrote',
        found: path,
        next: 'restore it, or remove it to start with a new admin token',
      },
      { cause },
    )
  }
}

function tokenResource({ name, role, createdAtMs, expiresAtMs }: Entry): TokenResource {
  return { name, role, createdAtMs, expiresAtMs }
}

function digest(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
