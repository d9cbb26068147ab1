/**
 * The routes in force, one for each model, those that are on their way and those that drain. Routes
 * change in one step, so a request sees either the plan before or the plan after.
 */
import type { ClosedInterval } from '../../ports.ts'
import type { LiveRelease } from './live-release.ts'
import type { ModelRoute } from './model-route.ts'

export interface RouteTable {
  of(model: string): ModelRoute | undefined
  all(): readonly ModelRoute[]
  /** The releases that may answer a request, of all models. */
  answering(): readonly LiveRelease[]
  /** True once routes are in force and every expected model has one. */
  ready(): boolean
  /** A request for this model comes too early. */
  loading(model: string): boolean
  expect(models: readonly string[]): void
  swap(next: ReadonlyMap<string, ModelRoute>): void
  /** What was counted since the last call, also by routes that drain. */
  flush(): readonly ClosedInterval[]
}

/** @param isComing whether somebody brings a model beside what is expected. */
export function createRouteTable(isComing?: (model: string) => boolean): RouteTable {
  let routes: ReadonlyMap<string, ModelRoute> = new Map()
  let expected: ReadonlySet<string> = new Set()
  let draining: ModelRoute[] = []
  let isReady = false
  return {
    of: (model) => routes.get(model),
    all: () => [...routes.values()],
    answering: () => [...routes.values()].flatMap(({ slots }) => slots.answering()),
    ready: () => isReady && expected.size === 0,
    loading: (model) => !isReady || expected.has(model) || isComing?.(model) === true,
    expect(models) {
      expected = new Set(models.filter((model) => !routes.has(model)))
    },
    swap(next) {
      const replaced = [...routes].flatMap(([model, route]) =>
        next.get(model) === route ? [] : [route],
      )
      routes = next
      isReady = true
      expected = new Set()
      for (const route of replaced) route.retire()
      draining.push(...replaced)
    },
    flush() {
      const counted = [...draining, ...routes.values()].flatMap((route) => route.flush())
      draining = draining.filter((route) => !route.drained())
      return counted
    },
  }
}
