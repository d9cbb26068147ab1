/** What a command came to: done, with an undo where there is one, or refused, with the way on. */
import { closeToast, toast } from '../live/commands.ts'
import { CopyCommand } from '../parts/copy-command.tsx'

export function ToastBox() {
  const shown = toast.value
  return (
    <div class="toast-place" role="status">
      {shown !== null && (
        <div class={shown.problem === null ? 'toast' : 'toast bad'}>
          <div>
            <p>
              <b>{shown.text}</b>
            </p>
            {shown.problem !== null && (
              <>
                <p>
                  {shown.problem.message} <code>{shown.problem.code}</code>
                </p>
                {shown.problem.next !== undefined && <CopyCommand text={shown.problem.next} />}
              </>
            )}
          </div>
          {shown.undo !== null && (
            <button
              type="button"
              class="button plain"
              data-undo
              onClick={() => {
                shown.undo?.()
                closeToast()
              }}
            >
              Undo
            </button>
          )}
          <button type="button" class="button plain" onClick={closeToast} aria-label="Dismiss">
            ×
          </button>
        </div>
      )}
    </div>
  )
}
