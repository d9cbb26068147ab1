/**
 * What operators do with rollouts: create, command, look. Creating refuses what could never succeed;
 * commands go through the rollout machine at once, and devices follow with the next reconcile.
 */
import type { DecisionResource, RolloutResource } from '../shared/api/resources.ts'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import type { Manifest } from '../shared/model/manifest.ts'
import { releaseName } from '../shared/model/names.ts'
import { checkCompatible } from '../shared/onnx/compatibility.ts'
import { variantFor } from '../shared/rollout/assign.ts'
import { createRollout } from '../shared/rollout/create.ts'
import { settledVersion, supersededBy } from '../shared/rollout/desired.ts'
import { isTargeted, type RolloutSpec, shadowOf } from '../shared/rollout/spec.ts'
import { isFinal, type Rollout, type RolloutCommand } from '../shared/rollout/state.ts'
import { samePerson } from '../shared/rollout/step.ts'
import type { World } from '../shared/rollout/world.ts'
import type { Actor, Application } from './application.ts'
import type { Audit } from './audit.ts'
import type { Changes } from './changes.ts'
import type { Store } from './db/store.ts'
import type { Evidence } from './evidence.ts'
import type { Ledger } from './ledger.ts'
import type { Clock } from './ports.ts'
import type { Reconciler } from './reconcile.ts'
import { decisionResource, rolloutResource } from './resources.ts'
import type { Turns } from './turns.ts'

const DECISIONS_MAX = 1_000

export interface RolloutDeskParts {
  readonly ledger: Ledger
  readonly store: Pick<Store, 'decisionsOf'>
  readonly evidence: Evidence
  readonly reconciler: Reconciler
  readonly turns: Turns
  readonly changes: Changes
  readonly audit: Audit
  readonly clock: Clock
  readonly rolloutId: (number: number) => string
}

type RolloutDesk = Pick<
  Application,
  'createRollout' | 'commandRollout' | 'listRollouts' | 'getRollout' | 'decisions'
>

export function createRolloutDesk(parts: RolloutDeskParts): RolloutDesk {
  const { ledger, store, evidence, reconciler, turns, clock } = parts
  const shown = (rollout: Rollout, actor: Actor): RolloutResource =>
    rolloutResource(rollout, reconciler.world(), evidence, actor.role)

  return {
    async createRollout(spec, actor) {
      const created = create(parts, spec, actor)
      if (!created.ok) return created
      await turns.committed()
      return ok(shown(created.value, actor))
    },
    async commandRollout(id, command, options, actor) {
      const rollout = findRollout(ledger, id)
      if (rollout === undefined) return unknownRollout(id)
      const done = give(parts, rollout, command, options, actor)
      if (!done.ok) return done
      await turns.committed()
      return ok(shown(ledger.rows.rollouts.get(rollout.id) ?? done.value, actor))
    },
    async listRollouts(actor, model) {
      const world = reconciler.world()
      return [...ledger.rows.rollouts.values()]
        .filter(({ spec }) => model === undefined || spec.model === model)
        .toSorted((a, b) => b.createdAtMs - a.createdAtMs)
        .map((rollout) => rolloutResource(rollout, world, evidence, actor.role, 'listed'))
    },
    async getRollout(id, actor) {
      const rollout = findRollout(ledger, id)
      return rollout === undefined ? unknownRollout(id) : ok(shown(rollout, actor))
    },
    async decisions(rollout): Promise<DecisionResource[]> {
      const rows = await store.decisionsOf(rollout, DECISIONS_MAX)
      return rows.map(decisionResource)
    },
  }

  function give(
    { audit }: RolloutDeskParts,
    rollout: Rollout,
    command: RolloutCommand,
    options: { full: boolean; note: string },
    actor: Actor,
  ): Result<Rollout> {
    const nowMs = clock.nowMs()
    const other = command === 'rollback' ? activeRollout(ledger, rollout) : undefined
    const later = command === 'rollback' ? laterPromotion(reconciler.world(), rollout) : undefined
    const event = { kind: 'command' as const, command, actor: actor.name, ...options }
    const stepped =
      other !== undefined
        ? busy(other)
        : later !== undefined
          ? superseded(rollout, later)
          : command === 'approve' && publishedBy(ledger, rollout) === actor.name
            ? samePerson(rollout, 'published the release')
            : reconciler.command(rollout, event, nowMs)
    if (stepped.ok) return ok(stepped.value.rollout)
    const resource = `rollout/${rollout.id}`
    const outcome = stepped.error.code
    audit.append({ actor: actor.name, action: command, resource, outcome }, nowMs)
    return stepped
  }
}

/** Errors: those of `createRollout`; `rollout.staging_only`, `.signature_changed`, `.no_evidence`, `variant.none_fits`. */
function create(parts: RolloutDeskParts, spec: RolloutSpec, actor: Actor): Result<Rollout> {
  const { ledger, reconciler, audit, turns, changes, clock } = parts
  const world = reconciler.world()
  const nowMs = clock.nowMs()
  const { model } = spec
  const targeted = world.devices
    .filter(({ facts }) => isTargeted(spec.targets, facts))
    .map(({ device, facts }) => ({
      device,
      version: settledVersion(model, facts, world.rollouts, (name, candidate) =>
        world.releases.has(releaseName({ model: name, version: candidate })),
      ),
    }))
  const manifests = [...world.releases.values()].filter((manifest) => manifest.model === model)
  const created = createRollout(spec, {
    id: parts.rolloutId(ledger.rows.rollouts.size + 1),
    actor: actor.name,
    nowMs,
    published: manifests.map(({ version }) => version),
    targeted,
    active: activeRollout(ledger, { id: '', spec })?.id ?? null,
  })
  if (!created.ok) return created
  const replaced = new Set([spec.baseline, ...targeted.map(({ version }) => version)])
  const unfit =
    stagingOnly(spec, world) ??
    signatureChange(spec, replaced, manifests) ??
    nothingToCompare(spec, manifests) ??
    noVariantFits(spec, world)
  if (unfit !== undefined) return unfit
  const rollout = created.value
  ledger.put('rollouts', rollout)
  const resource = `rollout/${rollout.id}`
  const metadata = { model, candidate: spec.candidate, baseline: spec.baseline ?? '' }
  audit.append({ actor: actor.name, action: 'create', resource, outcome: 'done', metadata }, nowMs)
  turns.afterCommit(() => changes.note('rollout', rollout.id))
  return ok(rollout)
}

/** What is not proven reaches staging devices alone, those that join later among them. */
function stagingOnly(
  { model, candidate, baseline, targets }: RolloutSpec,
  { unproven, devices }: World,
): ReturnType<typeof refuse> | undefined {
  if (targets.staging === true) return undefined
  const versions = [candidate, ...(baseline === null ? [] : [baseline])]
  const staged = versions.find((version) => unproven?.has(releaseName({ model, version })))
  if (staged === undefined) return undefined
  const name = releaseName({ model, version: staged })
  const targeted = devices.filter(({ facts }) => isTargeted(targets, facts))
  const production = targeted.filter(({ facts }) => !facts.staging).map(({ device }) => device)
  return refuse('rollout.staging_only', `${name} stands in staging: it is not proven yet.`, {
    expected: 'targets.staging: true, so that only devices enrolled for staging are taken',
    found: `${production.length} of ${targeted.length} targeted devices are not: ${production.slice(0, 5).join(', ')}`,
    next: `linnet rollout create --staging ..., or linnet release promote ${name}`,
  })
}

/** The application on the device does not know of the rollout: tensors must stay as they are. */
function signatureChange(
  { candidate }: RolloutSpec,
  replaced: ReadonlySet<string | null>,
  manifests: readonly Manifest[],
): ReturnType<typeof refuse> | undefined {
  const next = manifests.find(({ version }) => version === candidate)
  for (const current of manifests) {
    if (next === undefined || !replaced.has(current.version)) continue
    const checked = checkCompatible(next, current)
    if (checked.ok) continue
    const { message, code: _, ...details } = checked.error
    return refuse('rollout.signature_changed', `${releaseName(current)}: ${message}`, details)
  }
  return undefined
}

/** Shadow runs compare classes: a release without them would wait in a shadow wave for ever. */
function nothingToCompare(
  spec: RolloutSpec,
  manifests: readonly Manifest[],
): ReturnType<typeof refuse> | undefined {
  const release = manifests.find(({ version }) => version === spec.candidate)
  const wave = spec.waves.findIndex((_, i) => shadowOf(spec, i) === 'alone')
  if (wave === -1 || release === undefined || release.classes !== null) return undefined
  return refuse('rollout.no_evidence', `Wave ${wave + 1} only shadows, and nothing is compared.`, {
    expected: 'a release that names its classes, or a wave that serves requests',
    found: `${releaseName(release)} has no classes`,
  })
}

/** Refused only if it suits no targeted profile at all; where it suits some, the others fail. */
function noVariantFits(
  { model, candidate: version, targets }: RolloutSpec,
  world: World,
): ReturnType<typeof refuse> | undefined {
  const targeted = world.devices.filter(({ facts }) => isTargeted(targets, facts))
  const profiles = [...new Set(targeted.map(({ facts }) => facts.profile))]
  const choices = profiles.map((profile) => variantFor({ model, version }, profile, world))
  const problems = choices.flatMap((choice) => (choice.ok ? [] : [choice.error]))
  const [first] = problems
  if (first === undefined || problems.length < choices.length) return undefined
  return { ok: false, error: first }
}

/** By its whole id, or by its number alone where only one has it: `r7` for `r7-x4kq`. */
function findRollout({ rows }: Ledger, id: string): Rollout | undefined {
  const exact = rows.rollouts.get(id)
  if (exact !== undefined || !/^r\d+$/.test(id)) return exact
  const found = [...rows.rollouts.values()].filter((rollout) => rollout.id.startsWith(`${id}-`))
  return found.length === 1 ? found[0] : undefined
}

function publishedBy(ledger: Ledger, { spec }: Rollout): string | undefined {
  const name = releaseName({ model: spec.model, version: spec.candidate })
  return ledger.rows.releases.get(name)?.publishedBy
}

/** Another rollout of the same model that is not over. */
function activeRollout(
  ledger: Ledger,
  { id, spec }: Pick<Rollout, 'id' | 'spec'>,
): Rollout | undefined {
  return [...ledger.rows.rollouts.values()].find(
    (other) => other.id !== id && other.spec.model === spec.model && !isFinal(other),
  )
}

function busy(other: Rollout): Result<never> {
  return refuse('rollout.already_active', `${other.spec.model} is under another rollout.`, {
    found: other.id,
    next: `linnet rollout abort ${other.id}`,
  })
}

function laterPromotion({ devices, rollouts }: World, rollout: Rollout): Rollout | undefined {
  return supersededBy(rollout, devices, rollouts)
}

/** It would end as rolled back and change no device. */
function superseded(rollout: Rollout, later: Rollout): Result<never> {
  return refuse('rollout.superseded', `${later.id} has replaced what ${rollout.id} brought.`, {
    found: `${releaseName({ model: later.spec.model, version: later.spec.candidate })} is promoted`,
    next: `linnet rollout rollback ${later.id}`,
  })
}

function unknownRollout(id: string): Result<never> {
  return refuse('rollout.not_found', `There is no rollout ${id.slice(0, 64)}.`, {
    next: 'linnet rollout list',
  })
}
