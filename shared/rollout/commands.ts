/**
 * Which command is allowed in which state, and to whom: one table for HTTP, CLI and console.
 * Every command is idempotent: what already holds is answered with `done` and changes nothing.
 */
import type { Role } from '../model/role.ts'
import type { RolloutCommand, RolloutStateName } from './state.ts'

interface CommandRow {
  readonly from: readonly RolloutStateName[]
  /** States in which the command has nothing left to do. */
  readonly done: readonly RolloutStateName[]
  readonly roles: readonly Role[]
}

const OPERATORS: readonly Role[] = ['operator', 'admin']

export const COMMANDS: Readonly<Record<RolloutCommand, CommandRow>> = {
  start: { from: ['ready'], done: ['running'], roles: OPERATORS },
  approve: { from: ['awaiting_approval'], done: ['ready'], roles: ['approver', 'admin'] },
  deny: { from: ['awaiting_approval'], done: ['aborted'], roles: ['approver', 'admin'] },
  pause: { from: ['running'], done: ['paused'], roles: OPERATORS },
  resume: { from: ['paused'], done: ['running'], roles: OPERATORS },
  promote: { from: ['running', 'paused'], done: ['promoted'], roles: OPERATORS },
  abort: {
    // From `rolling_back`: nobody waits for the devices any longer; what they should run stays.
    from: ['draft', 'awaiting_approval', 'ready', 'running', 'paused', 'rolling_back'],
    done: ['aborted'],
    roles: OPERATORS,
  },
  rollback: {
    from: ['running', 'paused', 'promoted'],
    done: ['rolling_back', 'rolled_back'],
    roles: OPERATORS,
  },
}

export function allowedCommands(state: RolloutStateName, role: Role): RolloutCommand[] {
  return (Object.keys(COMMANDS) as RolloutCommand[]).filter(
    (command) => COMMANDS[command].from.includes(state) && COMMANDS[command].roles.includes(role),
  )
}
