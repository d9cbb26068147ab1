/** Running totals of a release, as the statistics route tells them. */
import { expect, it } from 'vitest'
import { createStatisticsTable } from '../../../../agent/runtime/plane/release-statistics.ts'
import { modelStatistics } from '../../../../agent/serve/metadata.ts'

const ALONE = { rows: 1, runRows: 1, leads: true }

it('keeps how long requests took by their outcome: a late answer is no success', () => {
  const table = createStatisticsTable()
  table.record('tiny', '1', { error: undefined, latencyMs: { input: 1, total: 5 } }, ALONE)
  table.record('tiny', '1', { error: 'timeout', latencyMs: { input: 1, total: 70 } }, ALONE)
  table.record(
    'tiny',
    '1',
    { error: 'internal', latencyMs: { input: 1, queue: 2, compute: 3 } },
    undefined,
  )
  const [row] = modelStatistics(table.all()).model_stats
  expect(row?.inference_stats.success).toEqual({ count: 1, ns: 5e6 })
  expect(row?.inference_stats.fail).toEqual({ count: 2, ns: 76e6 })
})

it('times a run once for all its requests, and their reading and writing for each', () => {
  const table = createStatisticsTable()
  const sample = { latencyMs: { input: 1, queue: 2, compute: 8, output: 3, total: 14 } }
  for (const leads of [true, false, false]) {
    table.record('tiny', '1', sample, { rows: 2, runRows: 6, leads })
  }
  table.record('tiny', '1', sample, ALONE)
  const [row] = modelStatistics(table.all()).model_stats
  expect(row).toMatchObject({ inference_count: 7, execution_count: 2 })
  expect(row?.batch_stats).toEqual([
    {
      batch_size: 1,
      compute_input: { count: 1, ns: 1e6 },
      compute_infer: { count: 1, ns: 8e6 },
      compute_output: { count: 1, ns: 3e6 },
    },
    {
      batch_size: 6,
      compute_input: { count: 1, ns: 3e6 },
      compute_infer: { count: 1, ns: 8e6 },
      compute_output: { count: 1, ns: 9e6 },
    },
  ])
})

it('tells 64 sizes of runs apart, and counts runs of further sizes all the same', () => {
  const table = createStatisticsTable()
  for (let rows = 1; rows <= 70; rows++) {
    table.record('tiny', '1', { latencyMs: { total: 1 } }, { rows, runRows: rows, leads: true })
  }
  const [row] = modelStatistics(table.all()).model_stats
  expect(row?.execution_count).toBe(70)
  expect(row?.batch_stats).toHaveLength(64)
})
