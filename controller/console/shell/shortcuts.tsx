/** The keys, on one page. */
import { openDialog } from '../keyboard.ts'
import { Modal } from './modal.tsx'

const KEYS = [
  ['/', 'Search in this view'],
  ['j  k', 'Next and former line'],
  ['Enter', 'Open the line'],
  ['Ctrl K', 'Go to anything by name'],
  ['Esc', 'Leave the search, close a dialog'],
  ['?', 'This help'],
] as const

export function ShortcutsDialog() {
  if (openDialog.value !== 'shortcuts') return null
  const close = () => {
    openDialog.value = null
  }
  return (
    <Modal label="Keyboard" onClose={close} kind="small">
      <h2>Keyboard</h2>
      <dl class="keys">
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split('  ').map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <div class="dialog-side">
        <button type="button" class="button plain" onClick={close}>
          Close
        </button>
      </div>
    </Modal>
  )
}
