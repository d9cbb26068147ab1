/** Running totals of a release, as the statistics route tells them. */
import { expect, it } from 'vitest'
import { createStatisticsTable } from '../../../../agent/runtime/plane/release-statistics.ts'
import { modelStatistics } from '../../../../agent/serve/metadata.ts'

it('keeps how long requests took by their outcome: a late answer is no success', () => {
  const table = createStatisticsTable()
  table.record('tiny', '1', { error: undefined, latencyMs: { input: 1, total: 5 } }, true)
  table.record('tiny', '1', { error: 'timeout', latencyMs: { input: 1, total: 70 } }, true)
  table.record(
    'tiny',
    '1',
    { error: 'internal', latencyMs: { input: 1, queue: 2, compute: 3 } },
    true,
  )
  const [row] = modelStatistics(table.all()).model_stats
  expect(row?.inference_stats.success).toEqual({ count: 1, ns: 5e6 })
  expect(row?.inference_stats.fail).toEqual({ count: 2, ns: 76e6 })
})
