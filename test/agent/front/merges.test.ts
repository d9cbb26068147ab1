/** Metrics and statistics of several hosts as one, over restarts; which session a request names. */
import { describe, expect, it } from 'vitest'
import {
  addMetrics,
  countersOf,
  metricsText,
  NO_METRICS,
  parseMetrics,
} from '../../../agent/front/merge-metrics.ts'
import { addStatistics, parseStatistics } from '../../../agent/front/merge-statistics.ts'
import { parametersOf } from '../../../agent/front/request-parameters.ts'
import { createRunningTotal } from '../../../agent/front/running-total.ts'
import { sessionOf } from '../../../agent/front/session-of.ts'

const metrics = (success: number, waiting: number): string =>
  [
    '# HELP requests Answered, all',
    '# TYPE requests counter',
    `requests{model="a",text="x y"} ${success}`,
    '# HELP took Times',
    '# TYPE took histogram',
    `took_bucket{le="1"} ${success}`,
    `took_sum ${success / 2}`,
    '# TYPE waiting gauge',
    `waiting ${waiting}`,
    '',
  ].join('\n')

describe('Metrics of several hosts', () => {
  it('are one text again, with each series added up and each head once', () => {
    const sum = addMetrics(parseMetrics(metrics(3, 1)), parseMetrics(metrics(4, 2)))
    expect(metricsText(sum)).toBe(metrics(7, 3))
  })

  it('keep series that only one host has', () => {
    const other = parseMetrics('# TYPE other counter\nother{model="b"} 2\n')
    const text = metricsText(addMetrics(parseMetrics(metrics(1, 0)), other))
    expect(text).toContain('other{model="b"} 2')
    expect(text).toContain('requests{model="a",text="x y"} 1')
  })

  it('tell of the machine once, not once for each host', () => {
    const host = (used: number) =>
      parseMetrics(`# TYPE nv_cpu_memory_used_bytes gauge\nnv_cpu_memory_used_bytes ${used}\n`)
    expect(metricsText(addMetrics(host(70), host(71)))).toContain('nv_cpu_memory_used_bytes 71\n')
  })

  it('never fall when a host is restarted or gone; what it had waiting is gone', () => {
    const total = createRunningTotal({ zero: NO_METRICS, add: addMetrics, lasting: countersOf })
    const text = (...live: string[]): string => metricsText(total.total(new Set(live)))
    total.see('0', 1, parseMetrics(metrics(10, 2)))
    total.see('1', 2, parseMetrics(metrics(5, 1)))
    expect(text('0', '1')).toBe(metrics(15, 3))
    total.see('0', 3, parseMetrics(metrics(2, 1)))
    expect(text('0', '1')).toBe(metrics(17, 2))
    total.see('0', 1, parseMetrics(metrics(99, 9)))
    expect(text('0')).toBe(metrics(17, 1))
  })
})

describe('Statistics of several hosts', () => {
  const row = (version: string, count: number, last: number) => ({
    ...{ name: 'a', version, inference_count: count, last_inference: last },
    inference_stats: { success: { count, ns: 10 * count } },
    batch_stats: [{ batch_size: 4, compute_infer: { count, ns: count } }],
  })
  const parse = (...rows: object[]) => parseStatistics(JSON.stringify({ model_stats: rows }))

  it('add up by model and version, all fields, with the latest time', () => {
    expect(addStatistics(parse(row('1', 2, 50)), parse(row('1', 3, 40), row('2', 1, 7)))).toEqual([
      row('1', 5, 50),
      row('2', 1, 7),
    ])
  })

  it('are none where the document is none', () => {
    expect(parseStatistics('<html>')).toEqual([])
    expect(parseStatistics('{"model_stats":[{"name":1}]}')).toEqual([])
  })
})

describe('The session of a request', () => {
  it.each([
    ['none', '{"inputs":[]}', undefined],
    ['a key', '{"inputs":[],"parameters":{"key":"user-7"}}', 'k/user-7'],
    ['a stream by number', '{"parameters":{"sequence_id":42}}', 's/42'],
    ['a stream by name', '{"parameters":{"sequence_id":"a","key":"b"}}', 's/a'],
    ['no stream', '{"parameters":{"sequence_id":0}}', undefined],
    ['a name with escapes', '{"parameters":{"\\u006bey":"x"}}', 'k/x'],
    ['a tensor named key', '{"inputs":[{"name":"key"}]}', undefined],
    ['no JSON', '"key" {', undefined],
  ])('is read from its parameters: %s', (_, json, session) => {
    expect(sessionOf(parametersOf(Buffer.from(json)))?.key).toBe(session)
  })

  it('tells streams, which have state on their host, and their last part', () => {
    const of = (parameters: object) =>
      sessionOf(parametersOf(Buffer.from(JSON.stringify({ parameters }))))
    expect(of({ key: 'a' })).toMatchObject({ isStream: false, isLast: false })
    expect(of({ sequence_id: 1, sequence_start: true })).toMatchObject({
      ...{ isStream: true, isLast: false },
    })
    expect(of({ sequence_id: 1, sequence_end: true })).toMatchObject({ isLast: true })
  })
})
