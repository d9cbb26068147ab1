/**
 * A plan as the proofs of this device allow it: each release with the provider and the settings of a
 * record that holds, or proved again first, which is told, or left out with the reason.
 *
 * Invariant: where the device signs its proofs, nothing without a record that holds is in the plan.
 */
import type { Problem, Result } from '../../../shared/kernel/result.ts'
import type { Qualification } from '../../../shared/model/device.ts'
import type { ResolvedRelease, ServedModel, ServedRelease, ServePlan } from '../../ports.ts'
import type { RunSettings } from '../run-settings.ts'
import type { QualificationRecord } from './qualification-record.ts'

export interface AssuredPlan {
  readonly plan: ServePlan
  readonly broken: readonly { readonly sha256: string; readonly problem: Problem }[]
}

export interface ProofSource {
  /** Codes `record.missing`, `record.malformed`, `record.signature`, `record.outdated`. */
  find(release: ResolvedRelease): Promise<Result<QualificationRecord>>
  /** Anew, and kept. Errors: those of `qualifyRelease`. */
  prove(release: ResolvedRelease): Promise<Result<QualificationRecord>>
  settings(record: QualificationRecord): RunSettings
  /** Whether every release of a plan must have a record; without a key there are none to have. */
  readonly isStrict: boolean
  readonly onProvedAgain: (qualification: Qualification, why: Problem) => void
}

type Broken = AssuredPlan['broken'][number]

export async function assurePlan(plan: ServePlan, source: ProofSource): Promise<AssuredPlan> {
  const broken: Broken[] = []
  const models: ServedModel[] = []
  const one = async (served: ServedRelease | null) =>
    served === null ? null : assureOne(served, source, broken)
  for (const model of plan.models) {
    const current = await one(model.current)
    const candidate = await one(model.candidate)
    const previous = await one(model.previous)
    const others: ServedRelease[] = []
    for (const other of model.others ?? []) {
      const assured = await one(other)
      if (assured !== null) others.push(assured)
    }
    models.push({ ...model, current, candidate, previous, others })
  }
  return { plan: { ...plan, models }, broken }
}

/** All that a proof decides comes from one and the same record. */
export function asProved(
  served: ServedRelease,
  { qualification: { chosen, sessionMb } }: QualificationRecord,
  settings: RunSettings,
): ServedRelease {
  const known = sessionMb === undefined ? {} : { sessionMb }
  return { ...served, ...known, provider: chosen, settings }
}

async function assureOne(
  served: ServedRelease,
  source: ProofSource,
  broken: Broken[],
): Promise<ServedRelease | null> {
  const { resolved } = served
  const found = await source.find(resolved)
  if (found.ok) return asProved(served, found.value, source.settings(found.value))
  if (!source.isStrict) return served
  const proof = await source.prove(resolved)
  if (proof.ok) {
    source.onProvedAgain(proof.value.qualification, found.error)
    return asProved(served, proof.value, source.settings(proof.value))
  }
  if (proof.error.code !== 'qualify.cancelled') {
    broken.push({ sha256: resolved.release.sha256, problem: proof.error })
  }
  return null
}
