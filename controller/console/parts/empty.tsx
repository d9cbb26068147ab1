/** Nothing to show: what would be here, and the command that brings it. */
import { CopyCommand } from './copy-command.tsx'

interface EmptyProps {
  readonly title: string
  readonly text?: string
  readonly command?: string
}

export function Empty({ title, text, command }: EmptyProps) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {text !== undefined && <p class="soft">{text}</p>}
      {command !== undefined && <CopyCommand text={command} />}
    </div>
  )
}
