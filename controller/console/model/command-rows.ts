/**
 * Each command of a rollout: what it is called, the same on the command line, what it does in
 * numbers, and why it cannot be given now. Which state and role allow it is the one table of
 * shared/rollout/commands.ts; the effects are those that the CLI tells.
 */
import type { RolloutResource } from '../../../shared/api/resources.ts'
import type { Role } from '../../../shared/model/role.ts'
import { COMMANDS } from '../../../shared/rollout/commands.ts'
import type { RolloutCommand } from '../../../shared/rollout/state.ts'
import { rolloutDetail } from '../../../shared/view/rollout-view.ts'
import { rolloutStatus } from '../../../shared/view/status.ts'
import { count } from '../../../shared/view/words.ts'

export interface CommandRow {
  readonly command: RolloutCommand
  /** For `promote`: skip the waves that are left. */
  readonly full: boolean
  readonly label: string
  /** Reversible commands are given at once and can be undone; the others ask first. */
  readonly isReversible: boolean
  readonly tone: 'plain' | 'primary' | 'danger'
}

const row = (
  command: RolloutCommand,
  label: string,
  tone: CommandRow['tone'],
  more: Partial<CommandRow> = {},
): CommandRow => ({ command, label, tone, full: false, isReversible: false, ...more })

export const COMMAND_ROWS: readonly CommandRow[] = [
  row('approve', 'Approve', 'primary', { isReversible: true }),
  row('deny', 'Deny', 'danger'),
  row('start', 'Start', 'primary', { isReversible: true }),
  row('pause', 'Pause', 'plain', { isReversible: true }),
  row('resume', 'Resume', 'primary', { isReversible: true }),
  row('promote', 'Next wave', 'plain'),
  row('promote', 'Promote fully', 'plain', { full: true }),
  row('rollback', 'Roll back', 'danger'),
  row('abort', 'Abort', 'danger'),
]

export function commandLine(rollout: RolloutResource, { command, full }: CommandRow): string {
  return `linnet rollout ${command} ${rollout.id}${full ? ' --full' : ''}`
}

/** Why the command cannot be given; null when it can. */
export function whyNot(
  rollout: RolloutResource,
  { command }: CommandRow,
  role: Role | undefined,
): string | null {
  const { from, roles } = COMMANDS[command]
  if (!from.includes(rollout.state)) {
    const words = from.map((state) => rolloutStatus({ state }).word).join(' or ')
    return `It is ${rolloutStatus(rollout).word}; this needs ${words}.`
  }
  if (rollout.allowed.includes(command)) return null
  if (role !== undefined && !roles.includes(role)) {
    return `It takes the role ${roles.join(' or ')}; you are ${role}.`
  }
  return 'The controller does not allow it now.'
}

export function effectOf(rollout: RolloutResource, { command, full }: CommandRow): string {
  if (full) {
    const { devices, spec } = rollout
    return `${spec.candidate} becomes the release of ${count(devices.length, 'device')}, without further waves`
  }
  const action = rolloutDetail(rollout, 0).actions.find((a) => a.command === command)
  return action?.effect ?? ''
}
