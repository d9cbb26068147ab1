/** Asks before what cannot be undone: the effect in numbers, and the release's version to type. */
import { useState } from 'preact/hooks'
import type { RolloutResource } from '../../../shared/api/resources.ts'
import { confirming, giveCommand } from '../live/commands.ts'
import { rolloutsById } from '../live/store.ts'
import { COMMAND_ROWS, type CommandRow, commandLine, effectOf } from '../model/command-rows.ts'
import { CopyCommand } from '../parts/copy-command.tsx'
import { Modal } from './modal.tsx'

export function ConfirmDialog() {
  const asked = confirming.value
  if (asked === null) return null
  const rollout = rolloutsById.value.get(asked.rollout)
  const row = COMMAND_ROWS.find((r) => r.command === asked.command && r.full === asked.full)
  if (rollout === undefined || row === undefined) return null
  return <Question key={`${rollout.id} ${row.label}`} rollout={rollout} row={row} />
}

function Question({ rollout, row }: { rollout: RolloutResource; row: CommandRow }) {
  const [typed, setTyped] = useState('')
  // What was seen when it was asked: if the rollout moves on meanwhile, the controller refuses.
  const [seen] = useState(rollout)
  const { model, candidate } = rollout.spec
  const isSure = typed.trim() === candidate
  const close = () => {
    confirming.value = null
  }
  const give = (event: Event) => {
    event.preventDefault()
    if (!isSure) return
    close()
    void giveCommand(seen, row.command, row.full)
  }
  return (
    <Modal label={`${row.label} ${model} ${candidate}`} onClose={close}>
      <form onSubmit={give}>
        <h2>
          {row.label}: {model} {candidate}
        </h2>
        <p class="effect">{capital(effectOf(rollout, row))}.</p>
        <label for="sure">
          To go on, type the version <b>{candidate}</b>
        </label>
        <input
          id="sure"
          type="text"
          autocomplete="off"
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
        <div class="dialog-side">
          <button type="button" class="button plain" onClick={close}>
            Leave it
          </button>
          <button type="submit" class={`button ${row.tone}`} aria-disabled={!isSure} data-confirm>
            {row.label}
          </button>
        </div>
        <CopyCommand text={commandLine(rollout, row)} />
      </form>
    </Modal>
  )
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}
