/** How the command ends: scripts branch on these, so their meaning never changes. */
import type { Problem } from '../../shared/kernel/result.ts'

export const EXIT = {
  done: 0,
  usage: 1,
  refused: 2,
  /** A rollout that was waited for failed or was rolled back. */
  rolloutFailed: 3,
  timeout: 4,
  unreachable: 5,
} as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

const BY_CODE: Readonly<Record<string, ExitCode>> = {
  'cli.usage': EXIT.usage,
  'cli.timeout': EXIT.timeout,
  'controller.unreachable': EXIT.unreachable,
}

export function exitCodeOf(problem: Problem): ExitCode {
  return BY_CODE[problem.code] ?? EXIT.refused
}
