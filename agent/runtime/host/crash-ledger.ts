/**
 * Whom to blame when the model host died. Pure.
 *
 *   died by itself (signal of a fault, exit code) or hung -> the release in a run, else in a load;
 *                                                            without either (decoding) nobody
 *   killed from outside (SIGKILL, SIGTERM)                -> nobody, unless it was loading: the
 *                                                            system kills what takes its memory
 *   two deaths of one release within ten minutes          -> it broke
 *   a candidate hung                                      -> it broke: each hang is an outage
 *   three loads of one release killed within a minute     -> it broke
 *   five deaths at work (a run, a load) within a minute   -> the candidate leaves, as a precaution
 *                                                            (the system may kill what grows)
 *
 * Of several hosts each loops for itself; a release that kills two of them is one that kills twice.
 */
import type { Problem } from '../../../shared/kernel/result.ts'
import type { HostExit } from './host-process.ts'

const MEMORY_MS = 600_000
const DEATHS_OF_RELEASE = 2
/** A person with `kill -9` meets a load by chance; memory that is too small ends every one. */
const KILLED_LOADS = 3
const LOOP_MS = 60_000
const DEATHS_OF_LOOP = 5
const REMEMBERED_MAX = 32

export interface Death {
  readonly atMs: number
  readonly blamed: string | undefined
  readonly external: boolean
  /** In a run or a load; else whoever sends requests may have caused it. */
  readonly atWork: boolean
  /** Which of several hosts it was. */
  readonly host: number
}

export interface CrashVerdict {
  readonly deaths: readonly Death[]
  readonly problem: Problem
  /** The release whose run or load ended this life, if one did. */
  readonly blamed: string | undefined
  /** The release that must leave, if any. */
  readonly broke: string | undefined
}

export function judgeExit(
  before: readonly Death[],
  exit: HostExit,
  candidates: readonly string[],
  atMs: number,
  host = 0,
): CrashVerdict {
  const external = !exit.hung && (exit.signal === 'SIGKILL' || exit.signal === 'SIGTERM')
  const blamed = external ? exit.loading : (exit.running ?? exit.loading)
  const recent = before.filter((death) => atMs - death.atMs <= MEMORY_MS)
  const atWork = blamed !== undefined || exit.running !== undefined
  // Who kills an idle host wants it to start again, not to wait.
  const counts = atWork || !external
  const deaths = counts
    ? [...recent, { atMs, blamed, external, atWork, host }].slice(-REMEMBERED_MAX)
    : recent
  const own = deaths.filter((death) => blamed !== undefined && death.blamed === blamed)
  const faults = own.filter((death) => !death.external)
  const killed = own.filter((death) => death.external && atMs - death.atMs <= LOOP_MS)
  const loop = deaths.filter(
    (death) => death.host === host && death.atWork && atMs - death.atMs <= LOOP_MS,
  )
  const looping = atWork && loop.length >= DEATHS_OF_LOOP
  const hung = exit.hung && blamed !== undefined && candidates.includes(blamed)
  const isBroken = hung || faults.length >= DEATHS_OF_RELEASE || killed.length >= KILLED_LOADS
  const broke = (isBroken ? blamed : undefined) ?? (looping ? candidates[0] : undefined)
  return { deaths, problem: describeExit(exit, external), blamed, broke }
}

function describeExit(exit: HostExit, external: boolean): Problem {
  const release = (exit.running ?? exit.loading)?.slice(0, 12)
  const during =
    exit.running !== undefined
      ? ` while it ran ${release}`
      : exit.loading !== undefined
        ? ` while it loaded ${release}`
        : ''
  if (exit.hung) {
    return {
      code: 'host.hung',
      message: `The model host stood still${during} and was killed.`,
      expected: 'a run within the hard deadline',
    }
  }
  return {
    code: external ? 'host.killed' : 'host.crashed',
    message: external
      ? `The model host was killed from outside${during}.`
      : `The model host crashed${during}.`,
    found: exit.signal ?? `exit code ${exit.code}`,
  }
}

/**
 * Time until this host's next life: at once after one remembered death of its own, then 100 ms doubling
 * to 10 s.
 */
export function restartDelayMs(deaths: readonly Death[], atMs: number, host = 0): number {
  const own = deaths.filter((death) => death.host === host)
  const recent = own.filter((death) => atMs - death.atMs <= LOOP_MS).length
  return recent <= 1 ? 0 : Math.min(10_000, 100 * 2 ** (recent - 2))
}
