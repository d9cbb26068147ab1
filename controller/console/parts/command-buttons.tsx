/** Buttons of commands: enabled, or saying why not; reversible ones act, the others ask first. */
import type { RolloutResource } from '../../../shared/api/resources.ts'
import { confirming, giveCommand, pending } from '../live/commands.ts'
import { session } from '../live/store.ts'
import {
  COMMAND_ROWS,
  type CommandRow,
  commandLine,
  effectOf,
  whyNot,
} from '../model/command-rows.ts'
import { CopyCommand } from './copy-command.tsx'

function CommandButton({ rollout, row }: { rollout: RolloutResource; row: CommandRow }) {
  const reason = whyNot(rollout, row, session.value?.role)
  const isPending = pending.value.has(rollout.id)
  const give = () => {
    if (reason !== null || isPending) return
    if (row.isReversible) void giveCommand(rollout, row.command, row.full)
    else confirming.value = { rollout: rollout.id, command: row.command, full: row.full }
  }
  return (
    <button
      type="button"
      class={`button ${row.tone}`}
      aria-disabled={reason !== null || isPending}
      title={reason ?? effectOf(rollout, row)}
      data-command={row.full ? `${row.command}-full` : row.command}
      onClick={give}
    >
      {row.label}
      {row.isReversible ? '' : '…'}
    </button>
  )
}

/** All commands with what they do and their command line: possible ones first. */
export function CommandPanel({ rollout }: { rollout: RolloutResource }) {
  const role = session.value?.role
  const rows = COMMAND_ROWS.map((row) => ({ row, reason: whyNot(rollout, row, role) }))
  const possible = rows.filter(({ reason }) => reason === null)
  const others = rows.filter(({ reason }) => reason !== null)
  return (
    <div class="commands">
      {possible.length === 0 && <p class="soft">Nothing can be done with it any more.</p>}
      {possible.map(({ row }) => (
        <div key={row.label} class="command-row">
          <CommandButton rollout={rollout} row={row} />
          <p>{effectOf(rollout, row)}</p>
          <CopyCommand text={commandLine(rollout, row)} />
        </div>
      ))}
      <details>
        <summary>Not possible now ({others.length})</summary>
        {others.map(({ row, reason }) => (
          <div key={row.label} class="command-row">
            <CommandButton rollout={rollout} row={row} />
            <p class="soft">{reason}</p>
            <CopyCommand text={commandLine(rollout, row)} />
          </div>
        ))}
      </details>
    </div>
  )
}

const IN_ROW = ['approve', 'start', 'pause', 'resume', 'promote', 'abort']

/** In a line of the table: only what can be done, never more than three. */
export function RowCommands({ rollout }: { rollout: RolloutResource }) {
  const rows = COMMAND_ROWS.filter(
    (row) =>
      IN_ROW.includes(row.command) &&
      !row.full &&
      whyNot(rollout, row, session.value?.role) === null,
  )
  return (
    <span class="row-commands">
      {rows.slice(0, 3).map((row) => (
        <CommandButton key={row.label} rollout={rollout} row={row} />
      ))}
    </span>
  )
}
