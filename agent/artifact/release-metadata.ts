/**
 * The device's view of the TUF repository: one trusted set, refreshed when asked for, never by two
 * at once, and at most `REFRESHES_MAX` times a minute, so that forged assignments cannot make a
 * device hammer the repository.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { TrustedDirector } from '../../shared/signing/assignment.ts'
import {
  followRoots,
  loadRoot,
  refresh,
  type TrustedSet,
  type TrustedTargets,
} from '../../shared/signing/tuf/client.ts'
import { directorOf } from '../../shared/signing/tuf/director.ts'
import { runTufAsync, type TufPorts } from '../../shared/signing/tuf/effects.ts'
import type { Root } from '../../shared/signing/tuf/metadata.ts'
import { recallTargets } from '../../shared/signing/tuf/recall.ts'
import { type FoundTarget, findTargets } from '../../shared/signing/tuf/search.ts'

const REFRESHES_MAX = 12
const PERIOD_MS = 60_000

export class ReleaseMetadata {
  readonly #tuf: TufPorts
  /** The newest that is kept; a refresh may keep a new one and then fail. */
  #root: Root | undefined
  readonly #nowMs: () => number
  #trusted: TrustedSet | undefined
  #refreshing: Promise<Result<TrustedSet>> | undefined
  #following: Promise<void> | undefined
  /** After each refresh that succeeded and with what is recalled, before anybody goes on with it. */
  readonly #onTrusted: (trusted: TrustedTargets) => Promise<void>
  /** What was trusted in the life before. */
  #recalled: TrustedTargets | undefined
  #recalling: Promise<void> | undefined
  /** When the last refreshes began; at most `REFRESHES_MAX`. */
  #refreshesAtMs: number[] = []

  constructor(
    tuf: TufPorts,
    nowMs: () => number,
    onTrusted: (trusted: TrustedTargets) => Promise<void>,
  ) {
    this.#tuf = {
      verifier: tuf.verifier,
      load: (role) => tuf.load(role),
      fetch: tuf.fetch,
      forget: (role) => tuf.forget(role),
      persist: async (role, bytes) => {
        await tuf.persist(role, bytes)
        if (role === 'root') this.#root = undefined
      },
    }
    this.#nowMs = nowMs
    this.#onTrusted = onTrusted
  }

  /** What the last refresh brought; undefined before one has succeeded. */
  get trusted(): TrustedSet | undefined {
    return this.#trusted
  }

  get snapshotVersion(): number {
    return this.#trusted?.snapshot.version ?? 0
  }

  /**
   * To be awaited before anything else: a process may have ended between keeping metadata and noting
   * what they told. Needs no network, and tells nothing where nothing is kept.
   */
  recall(): Promise<void> {
    this.#recalling ??= this.#recallOnce().catch((cause: unknown) => {
      this.#recalling = undefined
      throw cause
    })
    return this.#recalling
  }

  async #recallOnce(): Promise<void> {
    const offline = { ...this.#tuf, fetch: () => ({ kind: 'absent' }) as const }
    const recalled = await runTufAsync(recallTargets(), offline)
    if (!recalled.ok) return
    this.#recalled = recalled.value
    await this.#onTrusted(recalled.value)
  }

  /** Errors: `tuf.*`, `busy.refreshes`. */
  refresh(): Promise<Result<TrustedSet>> {
    this.#refreshing ??= this.#refreshOnce().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #refreshOnce(): Promise<Result<TrustedSet>> {
    await this.#following
    const nowMs = this.#nowMs()
    // Time may go back with a new epoch of the director.
    const recent = this.#refreshesAtMs.filter((atMs) => Math.abs(nowMs - atMs) < PERIOD_MS)
    this.#refreshesAtMs = recent
    if (recent.length >= REFRESHES_MAX) {
      return refuse('busy.refreshes', 'The release metadata were refreshed too often.', {
        expected: `at most ${REFRESHES_MAX} times a minute`,
      })
    }
    recent.push(nowMs)
    const refreshed = await runTufAsync(refresh(nowMs), this.#tuf)
    if (!refreshed.ok) return refreshed
    this.#trusted = refreshed.value
    await this.#onTrusted(refreshed.value)
    return refreshed
  }

  /**
   * Keeps newer roots and looks at nothing else, since that needs no time. What they could not be
   * followed for is told by the next refresh.
   */
  async followRoots(): Promise<void> {
    this.#following ??= this.#followOnce().finally(() => {
      this.#following = undefined
    })
    await this.#following
  }

  async #followOnce(): Promise<void> {
    await this.#refreshing
    await runTufAsync(followRoots(), this.#tuf)
  }

  /** Who may sign assignments and acknowledgements; needs no network. Errors: `tuf.*`. */
  async director(): Promise<Result<TrustedDirector>> {
    if (this.#root !== undefined) return directorOf(this.#root)
    const root = await runTufAsync(loadRoot(), this.#tuf)
    if (!root.ok) return root
    this.#root = root.value
    return directorOf(root.value)
  }

  /** When the newest targets that were ever verified here expire; undefined before there are any. */
  get targetsExpireMs(): number | undefined {
    return (this.#trusted ?? this.#recalled)?.targets.expiresMs
  }

  /** True when what was trusted last has expired, or nothing is stored that has not. */
  hasExpired(): boolean {
    return this.#trusted !== undefined && expiryMs(this.#trusted) <= this.#nowMs()
  }

  /** In what is trusted now; nothing yet before the first refresh. Errors: `tuf.*`. */
  async find(paths: readonly string[]): Promise<Result<readonly FoundTarget[]>> {
    const known = this.#trusted
    // What was trusted a while ago may have expired since.
    const isFresh = known !== undefined && expiryMs(known) > this.#nowMs()
    const trusted = isFresh ? ok(known) : await this.refresh()
    return trusted.ok ? runTufAsync(findTargets(trusted.value, paths), this.#tuf) : trusted
  }

  /** As `find`, with another look at newer metadata when something is not there. */
  async findFresh(paths: readonly string[]): Promise<Result<readonly FoundTarget[]>> {
    const found = await this.find(paths)
    if (found.ok) return found
    const refreshed = await this.refresh()
    return refreshed.ok ? this.find(paths) : refreshed
  }
}

/** When the first of the roles expires. */
function expiryMs({ root, timestamp, snapshot, targets }: TrustedSet): number {
  return Math.min(...[root, timestamp, snapshot, targets].map(({ expiresMs }) => expiresMs))
}
