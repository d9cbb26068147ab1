/**
 * Statistics documents of several hosts as one (Triton's "Statistics Extension"): counts and times of
 * the same model and version are added up, whatever fields there are. Pure.
 */
import { z } from 'zod'

const rowSchema = z.looseObject({ name: z.string(), version: z.string() })
export type StatisticsRow = z.infer<typeof rowSchema>

const documentSchema = z.object({ model_stats: z.array(rowSchema) })

/** @returns nothing for what is no statistics document. */
export function parseStatistics(text: string): readonly StatisticsRow[] {
  try {
    const parsed = documentSchema.safeParse(JSON.parse(text))
    return parsed.success ? parsed.data.model_stats : []
  } catch {
    return []
  }
}

export function addStatistics(
  a: readonly StatisticsRow[],
  b: readonly StatisticsRow[],
): readonly StatisticsRow[] {
  const rows = new Map(a.map((row) => [keyOf(row), row]))
  for (const row of b) {
    const known = rows.get(keyOf(row))
    rows.set(keyOf(row), known === undefined ? row : (addFields(known, row) as StatisticsRow))
  }
  return [...rows.values()]
}

const keyOf = ({ name, version }: StatisticsRow): string => `${name}@${version}`

/** Points in time are not added: the later one is told. */
const LATEST = new Set(['last_inference'])
/** What tells the rows of a list apart. */
const ROW_KEYS = ['batch_size']

type Fields = Readonly<Record<string, unknown>>

function addFields(a: Fields, b: Fields): Fields {
  const sum: Record<string, unknown> = { ...a }
  for (const [name, value] of Object.entries(b)) sum[name] = addField(name, a[name], value)
  return sum
}

function addField(name: string, a: unknown, b: unknown): unknown {
  if (typeof a === 'number' && typeof b === 'number') {
    return LATEST.has(name) ? Math.max(a, b) : a + b
  }
  if (Array.isArray(a) && Array.isArray(b)) return addRows(a.filter(isFields), b.filter(isFields))
  if (isFields(a) && isFields(b)) return addFields(a, b)
  return a ?? b
}

function addRows(a: readonly Fields[], b: readonly Fields[]): readonly Fields[] {
  const rowKey = (row: Fields): string => ROW_KEYS.map((key) => `${String(row[key])}`).join()
  const rows = new Map(a.map((row) => [rowKey(row), row]))
  for (const row of b) {
    const known = rows.get(rowKey(row))
    if (known === undefined) {
      rows.set(rowKey(row), row)
      continue
    }
    const keys = Object.fromEntries(ROW_KEYS.map((key) => [key, row[key]]))
    rows.set(rowKey(row), { ...addFields(known, row), ...keys })
  }
  return [...rows.values()]
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
