/** A command line to copy: whatever can be done here can be done, and scripted, there. */
import { useState } from 'preact/hooks'

export function CopyCommand({ text, label }: { text: string; label?: string }) {
  const [done, setDone] = useState(false)
  const copy = () => {
    // Without a secure context there is no clipboard: the text can still be selected.
    void navigator.clipboard?.writeText(text).then(() => {
      setDone(true)
      setTimeout(() => setDone(false), 1_500)
    })
  }
  return (
    <span class="command">
      <code>{text}</code>
      <button type="button" class="copy" onClick={copy} aria-label={`Copy: ${label ?? text}`}>
        {done ? 'copied' : 'copy'}
      </button>
    </span>
  )
}
