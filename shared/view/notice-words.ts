/** What a device refused, in words: the kind of attack that it looked like stands beside each notice. */
import type { AttackReport, DeviceNotice } from '../model/device.ts'
import { ago } from './words.ts'

/** `assignment refused, looks like wrong assignment, 996 times`. */
export function noticeWords({ kind, attack, times = 1 }: DeviceNotice): string {
  const parts = [kind.replaceAll('_', ' ')]
  if (attack !== undefined) parts.push(`looks like ${attack.replaceAll('_', ' ')}`)
  if (times > 1) parts.push(`${times} times`)
  return parts.join(', ')
}

/** The newest of each kind, newest first; by the controller's clock, where it has seen it arrive. */
export function attackWords(attacks: readonly AttackReport[], nowMs: number): string {
  const seen = attacks.map((attack) => ({ ...attack, atMs: attack.receivedAtMs ?? attack.atMs }))
  return seen
    .toSorted((a, b) => b.atMs - a.atMs)
    .map(
      ({ kind, subject, atMs }) => `${kind.replaceAll('_', ' ')} (${subject}) ${ago(atMs, nowMs)}`,
    )
    .join(', ')
}
