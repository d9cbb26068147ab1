/**
 * Prometheus text of several hosts as one: series with the same name and labels are added up, but
 * for those of the machine, of which all hosts tell the same. Pure.
 * Source: Prometheus, "Exposition formats", text format 0.0.4.
 */

export interface Metrics {
  /** `# HELP` and `# TYPE` lines by metric, in the order of their first host. */
  readonly families: ReadonlyMap<string, Family>
  /** Value by series, as written: `name{labels}`. */
  readonly series: ReadonlyMap<string, number>
}

interface Family {
  readonly head: readonly string[]
  readonly type: string
}

export const NO_METRICS: Metrics = { families: new Map(), series: new Map() }

const HEAD = /^# (HELP|TYPE) ([\w:]+)(?: (.*))?$/
const OF_MACHINE = /^nv_cpu_/
const SERIES = /^([\w:]+(?:\{.*\})?) (\S+)(?: -?\d+)?$/

export function parseMetrics(text: string): Metrics {
  const families = new Map<string, Family>()
  const series = new Map<string, number>()
  for (const line of text.split('\n')) {
    const head = HEAD.exec(line)
    if (head !== null) {
      const known = families.get(head[2]!) ?? { head: [], type: 'untyped' }
      const type = head[1] === 'TYPE' ? (head[3] ?? 'untyped') : known.type
      families.set(head[2]!, { head: [...known.head, line], type })
      continue
    }
    const found = SERIES.exec(line)
    if (found !== null) series.set(found[1]!, Number(found[2]))
  }
  return { families, series }
}

export function addMetrics(a: Metrics, b: Metrics): Metrics {
  const series = new Map(a.series)
  for (const [name, value] of b.series) {
    const known = series.get(name) ?? 0
    series.set(name, OF_MACHINE.test(name) ? Math.max(known, value) : known + value)
  }
  return { families: new Map([...b.families, ...a.families]), series }
}

/** What goes on counting when its host ended: of a gauge nothing is left then. */
export function countersOf(metrics: Metrics): Metrics {
  const series = new Map(
    [...metrics.series].filter(([name]) => typeOf(metrics, familyOf(metrics, name)) !== 'gauge'),
  )
  return { ...metrics, series }
}

export function metricsText({ families, series }: Metrics): string {
  const byFamily = new Map<string, string[]>()
  for (const name of families.keys()) byFamily.set(name, [])
  for (const [name, value] of series) {
    const family = familyOf({ families, series }, name)
    byFamily.set(family, [...(byFamily.get(family) ?? []), `${name} ${value}`])
  }
  const lines = [...byFamily].flatMap(([name, rows]) => [
    ...(families.get(name)?.head ?? []),
    ...rows,
  ])
  return `${lines.join('\n')}\n`
}

/** `x_bucket{le="1"}`, `x_sum` and `x_count` belong to the histogram x. */
function familyOf({ families }: Metrics, series: string): string {
  const name = series.replace(/\{.*$/, '')
  if (families.has(name)) return name
  const base = name.replace(/_(bucket|sum|count)$/, '')
  return families.has(base) ? base : name
}

function typeOf({ families }: Metrics, family: string): string {
  return families.get(family)?.type ?? 'untyped'
}
