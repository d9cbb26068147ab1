/**
 * A native dialog: the browser keeps the focus inside, closes on Escape and gives the focus back.
 *
 * Invariant: it is open as soon as it is drawn and gone as soon as it is told to close. The browser's
 * own `close` event comes later than the next key may.
 */
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'

interface ModalProps {
  readonly label: string
  readonly onClose: () => void
  readonly kind?: string
  readonly children: ComponentChildren
}

export function Modal({ label, onClose, kind = '', children }: ModalProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  useLayoutEffect(() => {
    const drawn = dialog.current
    drawn?.showModal()
    // Only closing gives the focus back; taking it out of the page does not.
    return () => drawn?.close()
  }, [])
  return (
    <dialog
      ref={dialog}
      class={kind}
      aria-label={label}
      closedby="any"
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      // One that was taken out already closes nothing that was opened since.
      onClose={() => dialog.current !== null && onClose()}
    >
      {children}
    </dialog>
  )
}
