import { expect, it } from 'vitest'
import { attentionOf } from '../../../shared/view/attention.ts'
import { healthResource, NOW_MS } from '../../fixtures/resource-builders.ts'

const DAY_MS = 86_400_000

function reminders(targetsExpireAtMs: number, rootExpiresAtMs: number) {
  const health = { ...healthResource(), rootVersion: 1, targetsExpireAtMs, rootExpiresAtMs }
  return attentionOf({ devices: [], rollouts: [], health }, NOW_MS).map(
    ({ subject, status, sentence, cli }) => [subject, status.tone, cli, sentence],
  )
}

it('what is signed offline is asked for long before it expires, and called out after', () => {
  const far = NOW_MS + 300 * DAY_MS
  expect(reminders(NOW_MS + 8 * DAY_MS, far)).toEqual([])
  expect(reminders(NOW_MS + 3.5 * DAY_MS, far)).toEqual([
    [
      'signed targets',
      'warn',
      'linnet release sign --renew',
      'The targets metadata expire within 3 days; what runs goes on.',
    ],
  ])
  const [over, root] = reminders(NOW_MS - 1, NOW_MS + 20 * DAY_MS)
  expect(over?.slice(0, 2)).toEqual(['signed targets', 'bad'])
  expect(root?.slice(0, 3)).toEqual(['signed root', 'warn', 'linnet key rotate'])
})
