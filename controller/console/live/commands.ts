/**
 * Giving a command: once per click, refused when what the person saw is no longer so, and answered
 * with a notice that can undo what can be undone.
 */
import { signal } from '@preact/signals'
import type { RolloutResource } from '../../../shared/api/resources.ts'
import type { Problem } from '../../../shared/kernel/result.ts'
import type { RolloutCommand } from '../../../shared/rollout/state.ts'
import { client } from './client.ts'
import { rollouts } from './store.ts'

/** A command that waits for a person to confirm its effect. */
interface Confirming {
  readonly rollout: string
  readonly command: RolloutCommand
  readonly full: boolean
}
export const confirming = signal<Confirming | null>(null)

/** Ids of rollouts whose last command is not answered yet: their buttons wait. */
export const pending = signal<ReadonlySet<string>>(new Set())

interface Toast {
  readonly text: string
  readonly problem: Problem | null
  readonly undo: (() => void) | null
}
export const toast = signal<Toast | null>(null)
const TOAST_MS = 8_000
let toastTimer: ReturnType<typeof setTimeout> | undefined

function showToast(next: Toast): void {
  clearTimeout(toastTimer)
  toast.value = next
  // A refusal stays until it is read.
  if (next.problem === null) toastTimer = setTimeout(closeToast, TOAST_MS)
}

export function closeToast(): void {
  toast.value = null
}

const DONE: Readonly<Record<RolloutCommand, string>> = {
  start: 'Started',
  approve: 'Approved',
  deny: 'Denied',
  pause: 'Paused',
  resume: 'Resumed',
  promote: 'Promoted',
  abort: 'Aborted',
  rollback: 'Rolling back',
}
const UNDO: Partial<Record<RolloutCommand, RolloutCommand>> = { pause: 'resume', resume: 'pause' }

export async function giveCommand(
  rollout: RolloutResource,
  command: RolloutCommand,
  full = false,
): Promise<void> {
  const { id, state, wave } = rollout
  if (pending.peek().has(id)) return
  pending.value = new Set([...pending.peek(), id])
  const answer = await client.call('rolloutCommand', {
    params: { id },
    body: { command, full, seen: { state, wave } },
  })
  pending.value = new Set([...pending.peek()].filter((other) => other !== id))
  if (!answer.ok) {
    showToast({ text: `${command} was refused`, problem: answer.error, undo: null })
    return
  }
  const now = answer.value
  rollouts.value = rollouts.peek().map((other) => (other.id === id ? now : other))
  const opposite = UNDO[command]
  showToast({
    text: `${DONE[command]}: ${rollout.spec.model} ${rollout.spec.candidate}`,
    problem: null,
    undo: opposite === undefined ? null : () => void giveCommand(now, opposite),
  })
}
