/** What a place in the line costs, by the waits of late. */
import { expect, it } from 'vitest'
import { createForecast } from '../../../../agent/runtime/plane/wait-forecast.ts'

function forecastOf(...waits: readonly (readonly [count: number, ms: number])[]) {
  const forecast = createForecast()
  for (const [count, ms] of waits) for (let i = 0; i < count; i++) forecast.record(ms)
  return forecast
}

it('knows nothing at first, and each of the first waits is news', () => {
  const forecast = forecastOf()
  expect(forecast.medianMs()).toBe(0)
  forecast.record(7)
  expect(forecast.medianMs()).toBe(7)
  forecast.record(9)
  forecast.record(9)
  expect(forecast.medianMs()).toBe(9)
})

it('is the median, which one long wait does not move', () => {
  expect(forecastOf([64, 2], [60, 3], [1, 10_000]).medianMs()).toBe(2)
})

it('has forgotten after 128 waits what was before', () => {
  expect(forecastOf([1_000, 50], [65, 1]).medianMs()).toBe(1)
  expect(forecastOf([1_000, 50], [63, 1]).medianMs()).toBe(50)
})

it('counts no wait that is none', () => {
  expect(forecastOf([3, 4], [40, -1], [40, Number.NaN], [40, Infinity]).medianMs()).toBe(4)
})
