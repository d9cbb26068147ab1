/**
 * Proofs of the releases of one device, over its restarts: a release is qualified once, its record is
 * kept, and whatever is to serve must have a record that still holds.
 *
 * Invariants: nothing that has no proof here is told to the host, once the device has a key to sign
 * proofs with; a proof that is made again, and why, is told to whoever listens. One qualification
 * runs at a time.
 */
import { rm } from 'node:fs/promises'
import { ok, type Problem, type Result } from '../../../shared/kernel/result.ts'
import type { Qualification } from '../../../shared/model/device.ts'
import { readArtifact } from '../../artifact/artifact-cipher.ts'
import type { ResolvedRelease, ServedRelease, ServePlan } from '../../ports.ts'
import { type AssuredPlan, asProved, assurePlan, type ProofSource } from './assured-plan.ts'
import { createTurns } from './in-turn.ts'
import { dropScratch, scratchPath, takeFile } from './optimised-file.ts'
import type { QualificationRecord } from './qualification-record.ts'
import { type QualifyInProcessOptions, qualifyInProcess } from './qualify-in-process.ts'
import type { RecordStore } from './record-store.ts'

export interface ProofKeeperOptions extends Omit<QualifyInProcessOptions, 'signal' | 'optimised'> {
  readonly records: RecordStore
  /** Whether every release of a plan must have a record; without a key there are none to have. */
  readonly isStrict: boolean
  readonly onProvedAgain: (qualification: Qualification, why: Problem) => void
}

export interface ProofKeeper {
  /** By the record if it holds, else anew. Errors: those of `qualifyRelease`. */
  qualify(release: ResolvedRelease, signal: AbortSignal): Promise<Result<Qualification>>
  /** The plan with the providers that are proved now, less what could not be proved again. */
  assure(plan: ServePlan): Promise<AssuredPlan>
  /**
   * A host could not use the optimised file of this artifact: it is made again, and may have another
   * digest then, for ONNX Runtime does not write the same bytes each time.
   */
  rebuild(sha256: string, why: Problem): Promise<void>
  /** With the settings and the file of its newest proof; as it is where none is known. */
  latest(served: ServedRelease): ServedRelease
  close(): void
}

/** An optimised file may be so much larger than its source. */
const OPTIMISED_EXTRA_BYTES = 32 * 2 ** 20

export function createProofKeeper(options: ProofKeeperOptions): ProofKeeper {
  const { records, isStrict, onProvedAgain } = options
  const closing = new AbortController()
  /** Releases of the newest plan: those that a host can tell of. */
  let assured: readonly ResolvedRelease[] = []
  const [inTurn, rebuildInTurn] = [createTurns(), createTurns()]

  const prove = (release: ResolvedRelease, signal = closing.signal, before?: Before) =>
    inTurn(() => proveAndKeep(options, release, AbortSignal.any([signal, closing.signal]), before))

  const source: ProofSource = {
    ...{ isStrict, onProvedAgain, find: records.find, settings: records.settings },
    prove: (release) => prove(release),
  }

  function assure(plan: ServePlan): Promise<AssuredPlan> {
    assured = releasesOf(plan)
    return assurePlan(plan, source)
  }

  async function rebuild(sha256: string, why: Problem): Promise<void> {
    for (const release of assured.filter(({ release }) => release.sha256 === sha256)) {
      const found = await records.find(release)
      // Of several hosts each tells; the first one's word was enough.
      if (!found.ok || (await isGood(options, found.value, why))) continue
      const proof = await prove(release, closing.signal, found.value)
      if (proof.ok) onProvedAgain(proof.value.qualification, why)
    }
  }

  return {
    async qualify(release, signal) {
      const found = await records.find(release)
      if (found.ok) return ok(found.value.qualification)
      const proof = await prove(release, signal)
      return proof.ok ? ok(proof.value.qualification) : proof
    },
    assure,
    // What fails here leaves the artifact serving, and is tried again at the next load.
    rebuild: (sha256, why) => rebuildInTurn(() => rebuild(sha256, why)).catch(() => undefined),
    latest(served) {
      const record = records.known(served.resolved)
      return record === undefined ? served : asProved(served, record, records.settings(record))
    },
    close: () => closing.abort(),
  }
}

/** Whether the file that the record names is good, or there is none: `why` is of a former one. */
async function isGood(
  { records, artifactKey }: ProofKeeperOptions,
  record: QualificationRecord,
  { code }: Problem,
): Promise<boolean> {
  const { optimised } = records.settings(record)
  if (!optimised) return true
  // ONNX Runtime refused the very bytes.
  if (code === 'runtime.load_failed') return false
  const read = await readArtifact(optimised.path, optimised, artifactKey)
  return read.ok || read.error.code === 'runtime.no_memory'
}

function releasesOf({ models }: ServePlan): ResolvedRelease[] {
  const slots = models.flatMap(({ current, candidate, previous, others = [] }) => [
    ...[current, candidate, previous],
    ...others,
  ])
  return slots.flatMap((served) => served?.resolved ?? [])
}

/** What is proved once more in the settings that it has. */
type Before = Pick<QualificationRecord, 'settings' | 'qualification'>

async function proveAndKeep(
  options: ProofKeeperOptions,
  release: ResolvedRelease,
  signal: AbortSignal,
  before: Before | undefined,
): Promise<Result<QualificationRecord>> {
  const { records, artifactKey, isStrict } = options
  const { length } = release.release
  const target = records.optimisedPath(release)
  const path = isStrict ? await scratchPath(target, artifactKey) : undefined
  const optimised = path && { path, bytesMax: length + OPTIMISED_EXTRA_BYTES }
  try {
    const proof = await qualifyInProcess(release, {
      ...{ ...options, signal },
      ...(before && { settings: before.settings, tuningMs: 0 }),
      ...(optimised && { optimised }),
    })
    if (!proof.ok) return proof
    const { value } = proof
    // The agent itself reads what the qualifier wrote: what it vouches for, it has seen.
    const isTaken =
      path !== undefined &&
      value.optimised !== null &&
      (await takeFile(path, target, value.optimised, artifactKey))
    if (!isTaken) await rm(target, { force: true })
    // A search that was not made again: what it found still stands.
    const tuning = before?.qualification.tuning
    const qualification = { ...value.qualification, ...(tuning && { tuning }) }
    const record = {
      qualification: isTaken ? qualification : withoutFile(qualification),
      settings: { ...value.settings, batching: value.settings.batching ?? null },
      optimised: isTaken ? value.optimised : null,
    }
    return ok(await records.keep(release, record))
  } finally {
    if (path !== undefined) await dropScratch(path, artifactKey)
  }
}

/** The file paid, and could not be put in its place. */
function withoutFile(qualification: Qualification): Qualification {
  const { optimised } = qualification
  if (optimised?.kept !== true) return qualification
  const reason = 'it could not be stored'
  return { ...qualification, optimised: { ...optimised, kept: false, reason } }
}
