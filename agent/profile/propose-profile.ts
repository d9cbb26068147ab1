/**
 * Which firmware profile suits a machine, and what does not fit. Pure.
 *
 * Invariants: a profile of a board or processor that this machine is not, or for browsers, is never
 * proposed while another is left; among those that fit, what names this very machine comes first, then
 * what uses an accelerator that is there, then the largest. When none fits, the one that misses least
 * is proposed, with what it misses.
 */
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import type { MachineFacts } from './machine-facts.ts'
import type { ProviderFinding } from './try-providers.ts'

export interface Candidate {
  readonly name: string
  /** What speaks for it. */
  readonly reasons: readonly string[]
  /** What does not fit. */
  readonly misfits: readonly string[]
}

export interface Proposal {
  /** Null when no profile is for machines of this kind. */
  readonly proposed: string | null
  /** Best first. */
  readonly candidates: readonly Candidate[]
}

interface Weighed extends Candidate {
  /** Not a question of degree: another architecture, another board, a browser. */
  readonly isForeign: boolean
  readonly rank: number
}

/** The kernel and the graphics keep some of what is printed on the box (a Zero 2 W: 416 of 512). */
const MEMORY_SHARE_MIN = 0.8

export function proposeProfile(
  machine: MachineFacts,
  providers: readonly ProviderFinding[],
  profiles: readonly FirmwareProfile[],
): Proposal {
  const weighed = profiles
    .map((profile) => weigh(profile, machine, providers))
    .toSorted(
      (a, b) =>
        Number(a.isForeign) - Number(b.isForeign) ||
        a.misfits.length - b.misfits.length ||
        b.rank - a.rank,
    )
  const [best] = weighed
  const candidates = weighed.map(({ name, reasons, misfits }) => ({ name, reasons, misfits }))
  return { proposed: best === undefined || best.isForeign ? null : best.name, candidates }
}

function weigh(
  profile: FirmwareProfile,
  machine: MachineFacts,
  providers: readonly ProviderFinding[],
): Weighed {
  const kind = kindOf(profile, machine)
  const size = sizeOf(profile, machine)
  const acceleration = accelerationOf(profile, providers)
  const isKnown = kind.reasons.length > 1
  const isForeign = kind.misfits.length > 0
  // How large another kind of machine should be is beside the point.
  const degrees = isForeign ? [] : [...size.misfits, ...acceleration.misfits]
  return {
    name: profile.name,
    reasons: [...kind.reasons, ...size.reasons, ...acceleration.reasons],
    misfits: [...kind.misfits, ...degrees],
    isForeign,
    rank:
      (isKnown ? 1e12 : 0) + acceleration.reasons.length * 1e9 + Math.min(profile.memoryMb, 1e8),
  }
}

type Findings = Pick<Candidate, 'reasons' | 'misfits'>

/** Architecture first; then the names by which a machine of this profile is known. */
function kindOf({ cpu, hardware, executionProviders }: FirmwareProfile, machine: MachineFacts) {
  const findings = { reasons: [] as string[], misfits: [] as string[] }
  if (executionProviders.at(-1) === 'wasm') findings.misfits.push('it is for browsers')
  if (cpu.architecture === machine.architecture) {
    findings.reasons.push(`architecture ${machine.architecture}`)
  } else if (cpu.architecture !== 'any') {
    findings.misfits.push(`architecture ${machine.architecture}, it is for ${cpu.architecture}`)
  }
  if (hardware === undefined) return findings
  const names = [machine.board, machine.processor].filter((name) => name !== null)
  const known = hardware.find((word) => names.some((name) => name.includes(word)))
  if (known !== undefined) findings.reasons.push(`this is a ${known}`)
  else
    findings.misfits.push(
      `${names.join(', ') || 'unnamed hardware'} is no ${hardware.join(' or ')}`,
    )
  return findings
}

function sizeOf({ cpu, memoryMb, limits }: FirmwareProfile, machine: MachineFacts): Findings {
  const reasons: string[] = []
  const misfits: string[] = []
  const compare = (what: string, has: number, wants: number, leastShare = 1): void => {
    if (has >= wants * leastShare) reasons.push(`${what}: ${has}, it is for ${wants}`)
    else misfits.push(`${what}: ${has}, it is for ${wants}`)
  }
  compare('cores', machine.cores, cpu.cores)
  compare('memory in MB', machine.memoryMb, memoryMb, MEMORY_SHARE_MIN)
  compare('free disk in MB', machine.diskFreeMb, limits.diskMb)
  return { reasons, misfits }
}

/** A profile with an accelerator is for machines that have it. */
function accelerationOf(
  { executionProviders }: FirmwareProfile,
  providers: readonly ProviderFinding[],
): Findings {
  const reasons: string[] = []
  const misfits: string[] = []
  const accelerators = executionProviders.filter((name) => name !== 'cpu' && name !== 'wasm')
  const found = accelerators.flatMap((name) => providers.find((p) => p.provider === name) ?? [])
  for (const { provider, available, reason } of found) {
    if (available) reasons.push(`${provider} works here`)
    else if (!found.some((other) => other.available)) misfits.push(`${provider}: ${reason}`)
  }
  return { reasons, misfits }
}
