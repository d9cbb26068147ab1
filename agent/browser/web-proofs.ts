/**
 * Proofs of the releases of a browser device, over visits: their records lie in the page's storage,
 * signed with the device's key, and hold for this model, golden vectors, version of ONNX Runtime Web,
 * browser, GPU adapter and profile, as on Node (runtime/qualify/qualification-record.ts).
 *
 * Invariants: `find` gives what this page proved, or what this device signed and is as it was; once
 * the device has a key, whatever has no such record is proved again before it serves, which is told.
 * One qualification runs at a time.
 */
import { fromUtf8, utf8 } from '../../shared/kernel/bytes.ts'
import { ok, type Problem, type Result } from '../../shared/kernel/result.ts'
import type { Qualification } from '../../shared/model/device.ts'
import { checkAsync, type Signer } from '../../shared/signing/keys.ts'
import type { ResolvedRelease, ServePlan, SmallFiles } from '../ports.ts'
import { proofName } from '../runtime/proof-subject.ts'
import { type AssuredPlan, assurePlan } from '../runtime/qualify/assured-plan.ts'
import { createTurns } from '../runtime/qualify/in-turn.ts'
import {
  bindingOf,
  checkRecord,
  noRecord,
  type QualificationRecord,
  type Surroundings,
  sealRecord,
} from '../runtime/qualify/qualification-record.ts'
import type { Qualified } from '../runtime/qualify/qualify-release.ts'
import { webVerifier } from './web-verifier.ts'

export interface WebProofsOptions {
  readonly files: SmallFiles
  readonly surroundings: Surroundings
  /** The device's; absent: proofs last as long as the page, and no release of a plan must have one. */
  readonly signer?: Signer | undefined
  /** Errors: those of `qualifyRelease`. */
  readonly prove: (release: ResolvedRelease, signal: AbortSignal) => Promise<Result<Qualified>>
  readonly onProvedAgain: (qualification: Qualification, why: Problem) => void
}

export interface WebProofs {
  /** By the record if it holds, else anew. Errors: those of `qualifyRelease`. */
  qualify(release: ResolvedRelease, signal: AbortSignal): Promise<Result<Qualification>>
  /** The plan as it is proved now, less what could not be proved again. */
  assure(plan: ServePlan): Promise<AssuredPlan>
  close(): void
}

export function createWebProofs(options: WebProofsOptions): WebProofs {
  const { signer, onProvedAgain } = options
  const records = createWebRecords(options)
  const closing = new AbortController()
  const inTurn = createTurns()

  async function prove(release: ResolvedRelease, signal: AbortSignal) {
    const proof = await inTurn(() => options.prove(release, signal))
    return proof.ok ? ok(await records.keep(release, proof.value)) : proof
  }

  return {
    async qualify(release, signal) {
      const found = await records.find(release)
      const proof = found.ok
        ? found
        : await prove(release, AbortSignal.any([signal, closing.signal]))
      return proof.ok ? ok(proof.value.qualification) : proof
    },
    assure: (plan) =>
      assurePlan(plan, {
        ...{ isStrict: signer !== undefined, onProvedAgain, find: records.find },
        prove: (release) => prove(release, closing.signal),
        settings: ({ settings }) => settings,
      }),
    close: () => closing.abort(),
  }
}

/** Releases that one device remembers; the oldest is forgotten first, and proved again if it is back. */
const RECORDS_MAX = 256

function createWebRecords({ files, surroundings, signer }: WebProofsOptions) {
  /** In the order of use, by what was proved. */
  const known = new Map<string, QualificationRecord>()

  function remember(name: string, record: QualificationRecord): void {
    known.delete(name)
    known.set(name, record)
    const [oldest] = known.keys()
    if (known.size > RECORDS_MAX && oldest !== undefined) known.delete(oldest)
  }

  async function store(name: string, record: QualificationRecord, by: Signer): Promise<void> {
    const sealed = await sealRecord(record, by)
    if (!sealed.ok) return
    await files.write(name, fromUtf8(sealed.value) ?? '')
    const names = await files.names()
    // Those of earlier visits that this one did not ask for go before those that it did.
    const order = [...names.filter((other) => !known.has(other)), ...known.keys()]
    for (const old of order.slice(0, -RECORDS_MAX)) await files.remove(old)
  }

  return {
    async find(release: ResolvedRelease): Promise<Result<QualificationRecord>> {
      const binding = bindingOf(release, surroundings)
      const name = proofName(binding)
      const found = known.get(name)
      if (found !== undefined) return ok(found)
      if (signer === undefined) return noRecord()
      const text = await files.read(name).catch(() => undefined)
      if (text === undefined) return noRecord()
      const record = await checkAsync(checkRecord(utf8(text), binding, signer.key), webVerifier)
      if (record.ok) remember(name, record.value)
      return record
    },
    async keep(release: ResolvedRelease, proved: Qualified): Promise<QualificationRecord> {
      const binding = bindingOf(release, surroundings)
      const settings = { ...proved.settings, batching: proved.settings.batching ?? null }
      const record = { binding, qualification: proved.qualification, settings, optimised: null }
      const name = proofName(binding)
      remember(name, record)
      // What cannot be kept lasts until the page is closed, and is then proved again, which is told.
      if (signer !== undefined) await store(name, record, signer).catch(() => undefined)
      return record
    },
  }
}
