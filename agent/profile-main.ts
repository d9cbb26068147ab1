#!/usr/bin/env node
/**
 * `linnet profile`: the firmware profiles there are, and which of them suits this machine. Composition
 * root of its process: reads the machine, has each execution provider tried where it may die, and
 * prints; what is proposed is decided by propose-profile.ts. Changes nothing.
 */
import { parseArgs } from 'node:util'
import {
  describeProblem,
  ok,
  type Result,
  refuse,
  toProblem,
  unwrap,
} from '../shared/kernel/result.ts'
import type { ExecutionProvider, FirmwareProfile } from '../shared/model/profile.ts'
import { textFacts, textTable } from '../shared/view/text-table.ts'
import { listProfiles, loadProfile } from './firmware-profile.ts'
import { type MachineFacts, readMachine } from './profile/machine-facts.ts'
import { type Proposal, proposeProfile } from './profile/propose-profile.ts'
import { type ProviderFinding, tryProviders } from './profile/try-providers.ts'

const USAGE = `linnet profile detect | list | show NAME [--json]
  detect        proposes a profile for this machine: what speaks for it, and what does not fit;
                tries each execution provider in a process of its own
  list          one line for each profile
  show NAME     all of one profile, with the sources of its figures
  --json        the same as JSON
Exit codes: 0 done, 1 usage, 2 refused (no such profile; none is for machines of this kind).
Examples:
  linnet profile detect
  linnet profile detect --json | jq -r .proposed
  linnet profile show raspberry-pi-5`

/** Those of Node; wasm and webnn are browsers'. */
const PROVIDERS: readonly ExecutionProvider[] = [
  ...(['cpu', 'webgpu', 'cuda', 'tensorrt', 'coreml', 'dml', 'webnn'] as const),
]

async function main(): Promise<void> {
  const args = process.argv.slice(2)
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${USAGE}\n`)
    return
  }
  const { command, name, isJson } = unwrap(readArguments(args))
  const print = (data: unknown, text: () => string): void => {
    process.stdout.write(`${isJson ? JSON.stringify(data, null, 2) : text()}\n`)
  }
  if (command === 'detect') return detect(print)
  if (command === 'list') {
    const profiles = unwrap(await listProfiles())
    return print({ profiles }, () => listText(profiles))
  }
  const profile = unwrap(await loadProfile(name ?? ''))
  print(profile, () => profileText(profile))
}

type Print = (data: unknown, text: () => string) => void

async function detect(print: Print): Promise<void> {
  const profiles = unwrap(await listProfiles())
  const machine = await readMachine(process.cwd())
  const providers = await tryProviders(PROVIDERS)
  const proposal = proposeProfile(machine, providers, profiles)
  const { proposed } = proposal
  print({ proposed, machine, providers, candidates: proposal.candidates }, () =>
    detectText(machine, providers, proposal),
  )
  if (proposed === null) process.exitCode = 2
}

function detectText(
  machine: MachineFacts,
  providers: readonly ProviderFinding[],
  { proposed, candidates }: Proposal,
): string {
  const { board, processor, architecture, platform, cores, memoryMb, diskFreeMb, limits } = machine
  const [best, ...others] = candidates
  const facts = [
    ['machine', [board, processor].filter((text) => text !== null).join(', ') || 'unnamed'],
    ['system', `${platform}/${architecture}`],
    ['cores', String(cores)],
    ['memory', `${memoryMb} MB`],
    ['free disk', `${diskFreeMb} MB`],
    ['limited to', limits.join(', ') || 'nothing'],
  ] as const
  const found = providers.map(({ provider, available, reason }) => {
    const words = reason.startsWith('not available') ? reason : `not available: ${reason}`
    return [provider, available ? 'works' : words] as const
  })
  const proposal = proposed ?? 'none of the profiles is for such a machine'
  const tags = (sign: string, texts: readonly string[] = []) => texts.map((t) => `  ${sign} ${t}`)
  return [
    textFacts(facts),
    ...['', 'Execution providers', textFacts(found)],
    ...['', `Proposed: ${proposal}`],
    ...(proposed === null ? [] : [...tags('+', best?.reasons), ...tags('-', best?.misfits)]),
    ...['', 'The others'],
    textTable(
      {
        columns: ['PROFILE', 'WHAT DOES NOT FIT'],
        rows: (proposed === null ? candidates : others).map(({ name, misfits }) => [
          ...[name, misfits.join('; ') || 'all fits; the proposed one suits better'],
        ]),
      },
      { empty: '' },
    ),
  ].join('\n')
}

function listText(profiles: readonly FirmwareProfile[]): string {
  return textTable(
    {
      columns: ['PROFILE', 'ARCHITECTURE', 'CORES', 'MEMORY', 'PROVIDERS', 'TITLE'],
      rows: profiles.map(({ name, title, cpu, memoryMb, executionProviders }) => [
        ...[name, cpu.architecture, String(cpu.cores), `${memoryMb} MB`],
        ...[executionProviders.join(', '), title],
      ]),
    },
    { empty: 'no profiles' },
  )
}

function profileText(profile: FirmwareProfile): string {
  const { name, title, cpu, memoryMb, executionProviders, limits, precisions, sources } = profile
  const facts = [
    ['profile', name],
    ['title', title],
    ['processor', `${cpu.architecture}, ${cpu.cores} cores`],
    ['memory', `${memoryMb} MB`],
    ['providers', executionProviders.join(', ')],
    ['precisions', precisions.join(', ')],
    ['largest model', `${limits.artifactBytesMax} bytes`],
    ['for sessions', `${limits.sessionMemoryMb} MB`],
    ['threads', `at most ${limits.threadsMax}`],
    ['disk', `${limits.diskMb} MB`],
  ] as const
  return [textFacts(facts), '', 'Sources', ...sources.map((source) => `  ${source}`)].join('\n')
}

interface Arguments {
  readonly command: 'detect' | 'list' | 'show'
  readonly name: string | undefined
  readonly isJson: boolean
}

/** Code `usage`. */
function readArguments(args: readonly string[]): Result<Arguments> {
  try {
    const options = { json: { type: 'boolean', default: false } } as const
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options })
    const [command, name, ...rest] = positionals
    const isJson = values.json
    const isBare = name === undefined
    if ((command === 'detect' || command === 'list') && isBare) {
      return ok({ command, name, isJson })
    }
    if (command === 'show' && !isBare && rest.length === 0) return ok({ command, name, isJson })
    return usage('detect, list or show NAME')
  } catch (cause) {
    return usage(cause instanceof Error ? cause.message : String(cause))
  }
}

function usage(message: string): Result<never> {
  return refuse('usage', message, { next: 'linnet profile --help' })
}

main().catch((cause: unknown) => {
  const problem = toProblem(cause, 'profile.failed')
  process.stderr.write(`linnet profile: ${describeProblem(problem)}\n`)
  process.exitCode = problem.code === 'usage' ? 1 : 2
})
