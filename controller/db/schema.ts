/**
 * The tables, for drizzle; SQL files in migrations/ are generated from here (`npm run db:generate`).
 * What a row means is in store.ts, one interface for each table.
 */
import { blob, index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type {
  DeviceFacts,
  DeviceNotice,
  Presence,
  Qualification,
  Report,
} from '../../shared/model/device.ts'
import type { Manifest } from '../../shared/model/manifest.ts'
import type { DecisionRecord, Rollout } from '../../shared/rollout/state.ts'
import type { PublicKey } from '../../shared/signing/keys.ts'
import type { DecisionInputs, DeviceCounts, StoredRelease } from './store.ts'

export const fleet = sqliteTable('fleet', {
  key: text().primaryKey(),
  value: text().notNull(),
})

export const metadata = sqliteTable('metadata', {
  file: text().primaryKey(),
  bytes: blob({ mode: 'buffer' }).$type<Uint8Array>().notNull(),
  storedAtMs: integer('stored_at_ms').notNull(),
})

export const devices = sqliteTable('devices', {
  device: text().primaryKey(),
  deviceKey: text('device_key').notNull(),
  publicKey: text('public_key', { mode: 'json' }).$type<PublicKey>().notNull(),
  facts: text({ mode: 'json' }).$type<DeviceFacts>().notNull(),
  enrolledAtMs: integer('enrolled_at_ms').notNull(),
  revokedAtMs: integer('revoked_at_ms'),
  /** Devices from before there were approvals are members. */
  approvedAtMs: integer('approved_at_ms').default(0),
  askedAtMs: integer('asked_at_ms'),
})

export const deviceStates = sqliteTable('device_states', {
  device: text().primaryKey(),
  presence: text({ mode: 'json' }).$type<Presence>(),
  lastSeenMs: integer('last_seen_ms'),
  report: text({ mode: 'json' }).$type<Report>(),
  reportBoot: text('report_boot'),
  reportSeq: integer('report_seq').notNull(),
  reportAtMs: integer('report_at_ms').notNull(),
  qualifications: text({ mode: 'json' }).$type<readonly Qualification[]>().notNull(),
})

export const tokens = sqliteTable('enrolment_tokens', {
  hash: text().primaryKey(),
  usesLeft: integer('uses_left').notNull(),
  expiresAtMs: integer('expires_at_ms').notNull(),
  labels: text({ mode: 'json' }).$type<Readonly<Record<string, string>>>().notNull(),
  staging: integer({ mode: 'boolean' }).notNull().default(false),
  createdBy: text('created_by').notNull(),
  createdAtMs: integer('created_at_ms').notNull(),
})

export const releases = sqliteTable(
  'releases',
  {
    model: text().notNull(),
    version: text().notNull(),
    stage: text().$type<StoredRelease['stage']>().notNull(),
    publishedAtMs: integer('published_at_ms').notNull(),
    publishedBy: text('published_by').notNull(),
    manifestSha256: text('manifest_sha256').notNull(),
    manifest: text({ mode: 'json' }).$type<Manifest>().notNull(),
    signedBy: text('signed_by', { mode: 'json' }).$type<readonly string[]>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.model, table.version] })],
)

export const artifacts = sqliteTable('artifacts', {
  sha256: text().primaryKey(),
  length: integer().notNull(),
  storedAtMs: integer('stored_at_ms').notNull(),
})

export const rollouts = sqliteTable('rollouts', {
  id: text().primaryKey(),
  model: text().notNull(),
  state: text().notNull(),
  createdAtMs: integer('created_at_ms').notNull(),
  rollout: text({ mode: 'json' }).$type<Rollout>().notNull(),
})

export const decisions = sqliteTable(
  'decisions',
  {
    id: integer().primaryKey(),
    rollout: text().notNull(),
    atMs: integer('at_ms').notNull(),
    record: text({ mode: 'json' }).$type<DecisionRecord>().notNull(),
    inputs: text({ mode: 'json' }).$type<DecisionInputs>().notNull(),
    inputsDigest: text('inputs_digest').notNull(),
  },
  (table) => [index('decisions_by_rollout').on(table.rollout, table.id)],
)

export const assignments = sqliteTable('assignments', {
  device: text().primaryKey(),
  directorEpoch: integer('director_epoch').notNull(),
  generation: integer().notNull(),
  wantedDigest: text('wanted_digest').notNull(),
  cohort: text(),
  issuedAtMs: integer('issued_at_ms').notNull(),
  expiresAtMs: integer('expires_at_ms').notNull(),
  envelope: text().notNull(),
})

/** Merged windows; the counts that verdicts rest on stand in columns of their own for queries. */
export const windows = sqliteTable(
  'windows',
  {
    /** Empty where the window belongs to no rollout: NULL would never conflict in a key. */
    rollout: text().notNull(),
    wave: integer().notNull(),
    share: integer().notNull(),
    model: text().notNull(),
    version: text().notNull(),
    arm: text().$type<'baseline' | 'canary'>().notNull(),
    profile: text().notNull(),
    shape: text().notNull(),
    minute: integer().notNull(),
    messages: integer().notNull(),
    requests: integer().notNull(),
    errors: integer().notNull(),
    latencyBad: integer('latency_bad').notNull(),
    labelled: integer().notNull(),
    correct: integer().notNull(),
    shadowCompared: integer('shadow_compared').notNull().default(0),
    shadowDisagreed: integer('shadow_disagreed').notNull().default(0),
    window: blob({ mode: 'buffer' }).$type<Uint8Array>().notNull(),
  },
  (table) => [
    primaryKey({
      columns: [
        table.rollout,
        table.wave,
        table.share,
        table.model,
        table.version,
        table.arm,
        table.profile,
        table.shape,
        table.minute,
      ],
    }),
    index('windows_by_minute').on(table.minute),
  ],
)

export const seen = sqliteTable(
  'seen',
  {
    device: text().notNull(),
    boot: text().notNull(),
    ranges: text({ mode: 'json' }).$type<readonly number[]>().notNull(),
    usedAtMs: integer('used_at_ms').notNull(),
  },
  (table) => [primaryKey({ columns: [table.device, table.boot] })],
)

export const contributions = sqliteTable(
  'contributions',
  {
    rollout: text().notNull(),
    device: text().notNull(),
    counts: text({ mode: 'json' }).$type<readonly DeviceCounts[]>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.rollout, table.device] })],
)

export const notices = sqliteTable(
  'notices',
  {
    id: integer().primaryKey(),
    device: text().notNull(),
    receivedAtMs: integer('received_at_ms').notNull(),
    notice: text({ mode: 'json' }).$type<DeviceNotice>().notNull(),
  },
  (table) => [index('notices_by_device').on(table.device, table.id)],
)

export const audit = sqliteTable('audit', {
  id: integer().primaryKey(),
  atMs: integer('at_ms').notNull(),
  actor: text().notNull(),
  action: text().notNull(),
  resource: text().notNull(),
  outcome: text().notNull(),
  metadata: text({ mode: 'json' }).$type<Readonly<Record<string, string>>>().notNull(),
  previousHash: text('previous_hash').notNull(),
  hash: text().notNull(),
})
