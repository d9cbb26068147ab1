/**
 * `linnet rollout create`: a specification from flags or a file, its plan in numbers, then the
 * call.
 */
import { readFile } from 'node:fs/promises'
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'
import type { DeviceResource } from '../../shared/api/resources.ts'
import { policyWithServiceLevels } from '../../shared/judge/policy.ts'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import {
  PRESETS,
  type Preset,
  type RolloutSpec,
  rolloutSpecSchema,
} from '../../shared/rollout/spec.ts'
import { rolloutPlan } from '../../shared/view/rollout-plan.ts'
import { confirm } from './confirm.ts'
import type { CommonOptions, Context } from './context.ts'
import { fitted } from './device-commands.ts'
import { followRollout, type WaitOptions } from './rollout-wait.ts'

export interface CreateOptions extends CommonOptions, WaitOptions {
  readonly model?: string
  readonly to?: string
  readonly from?: string
  readonly preset: string
  readonly file?: string
  readonly staging?: boolean
  readonly start?: boolean
  readonly yes?: boolean
}

export async function createRollout(context: Context, options: CreateOptions): Promise<void> {
  const { client, terminal } = context
  const { devices } = unwrap(await client.call('deviceList', {}))
  const given = options.file === undefined ? fromFlags(options, devices) : await fromFile(options)
  const spec = await complete(context, given)
  const plan = rolloutPlan(spec, devices)
  terminal.say(plan.sentence)
  terminal.say(fitted(context, plan.waves, ''))
  for (const warning of plan.warnings) terminal.say(`warning: ${warning}`)
  await confirm(context, 'Create it?', options.yes ?? false)
  const created = unwrap(await client.call('rolloutCreate', { body: spec }))
  const begin = options.start === true && created.state === 'ready'
  const call = { params: { id: created.id }, body: { command: 'start' as const } }
  const rollout = begin ? unwrap(await client.call('rolloutCommand', call)) : created
  if (options.wait && rollout.state === 'running') {
    return followRollout(context, rollout, options, 'start')
  }
  const next = begin ? `linnet rollout show ${rollout.id}` : `linnet rollout start ${rollout.id}`
  context.show(rollout, () => `${rollout.id} is ${rollout.state}: ${next}`)
}

type Given = Record<string, unknown>

function fromFlags(options: CreateOptions, devices: readonly DeviceResource[]): Given {
  const { model, to } = options
  if (model === undefined || to === undefined) {
    throw usage('Which release?', '--model NAME --to VERSION, or --file FILE', 'neither')
  }
  if (!(options.preset in PRESETS)) {
    throw usage('There is no such preset.', Object.keys(PRESETS).join(', '), options.preset)
  }
  const { staging = false } = options
  const targeted = staging ? devices.filter(({ facts }) => facts.staging) : devices
  const baseline = options.from ?? commonRelease(model, targeted)
  const preset = options.preset as Preset
  // Nothing to compare with: everybody gets the first release at once.
  const waves = baseline === null ? PRESETS['blue-green'] : PRESETS[preset]
  return { model, candidate: to, baseline, waves, ...(staging && { targets: { staging } }) }
}

/** What most devices are meant to run; null where none runs the model yet. */
function commonRelease(model: string, devices: readonly DeviceResource[]): string | null {
  const counts = new Map<string, number>()
  for (const { desired } of devices) {
    const version = desired.find((d) => d.model === model)?.current
    if (version !== undefined) counts.set(version, (counts.get(version) ?? 0) + 1)
  }
  return [...counts].toSorted((a, b) => b[1] - a[1])[0]?.[0] ?? null
}

async function fromFile(options: CreateOptions): Promise<Given> {
  const file = options.file ?? ''
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw usage('The specification cannot be read.', 'a YAML or JSON file', cause.message)
  })
  let value: unknown
  try {
    // JSON is YAML.
    value = parseYaml(text, { maxAliasCount: 10 })
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    throw usage('The specification is neither YAML nor JSON.', file, found)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Given
  throw usage('The specification must be an object.', 'model, candidate, baseline, waves', file)
}

/** Presets by name, and the candidate's own service levels where the policy says nothing. */
async function complete(context: Context, given: Given): Promise<RolloutSpec> {
  const { preset, ...rest } = given
  const waves = typeof preset === 'string' && preset in PRESETS ? PRESETS[preset as Preset] : []
  const raw = rest.waves === undefined ? { ...rest, waves } : rest
  const head = z.object({ model: z.string(), candidate: z.string() }).safeParse(raw)
  const policy = typeof raw.policy === 'object' && raw.policy !== null ? raw.policy : {}
  const levels = head.success ? await serviceLevels(context, head.data) : undefined
  const merged = levels === undefined ? policy : policyWithServiceLevels(policy, levels)
  const spec = rolloutSpecSchema.safeParse({ ...raw, policy: merged })
  if (spec.success) return spec.data
  throw new ProblemError({
    code: 'rollout.specification',
    message: 'The specification is not as it must be.',
    expected: 'the fields of rollouts at /openapi.json',
    found: z.prettifyError(spec.error),
  })
}

async function serviceLevels(context: Context, head: { model: string; candidate: string }) {
  const params = { model: head.model, version: head.candidate }
  const release = await context.client.call('releaseShow', { params })
  if (release.ok) return release.value.manifest.serviceLevels
  // The controller refuses an unknown release with the published ones; that helps more.
  if (release.error.code.startsWith('release.')) return undefined
  throw new ProblemError(release.error)
}

function usage(message: string, expected: string, found: string): ProblemError {
  const next = 'linnet rollout create --help'
  return new ProblemError({ code: 'cli.usage', message, expected, found, next })
}
