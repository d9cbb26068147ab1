/** A native dialog: the browser keeps the focus inside, closes on Escape and gives the focus back. */
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'

interface ModalProps {
  readonly label: string
  readonly onClose: () => void
  readonly kind?: string
  readonly children: ComponentChildren
}

export function Modal({ label, onClose, kind = '', children }: ModalProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    if (!dialog.current?.open) dialog.current?.showModal()
  }, [])
  return (
    <dialog ref={dialog} class={kind} aria-label={label} onClose={onClose} closedby="any">
      {children}
    </dialog>
  )
}
