/** Plain aligned tables for terminals: no frames, so that they can be cut, piped and read aloud. */
import type { Status, Tone } from './status.ts'

export type Cell = string | Status

export interface Table {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
}

/** Colours a text that is already padded; plain output passes it through. */
export type Paint = (tone: Tone, text: string) => string

const GAP = '  '
const plain: Paint = (_, text) => text

/**
 * @param widthMax columns of the terminal; the last column is cut with an ellipsis, none other.
 * Without rows only `empty` is said.
 */
export function textTable(
  table: Table,
  options: { empty: string; widthMax?: number; paint?: Paint },
): string {
  if (table.rows.length === 0) return options.empty
  const paint = options.paint ?? plain
  const rows = table.rows.map((row) => row.map(cellText))
  const widths = table.columns.map((name, i) =>
    Math.max(width(name), ...rows.map((row) => width(row[i] ?? ''))),
  )
  const line = (texts: readonly string[], cells?: readonly Cell[]): string => {
    let used = 0
    const last = texts.length - 1
    const parts = texts.map((text, i) => {
      const room = i === last ? (options.widthMax ?? Number.POSITIVE_INFINITY) - used : Infinity
      const padded = i === last ? cut(text, room) : pad(text, widths[i] ?? 0)
      used += width(padded) + GAP.length
      const cell = cells?.[i]
      return typeof cell === 'object' ? paint(cell.tone, padded) : padded
    })
    return parts.join(GAP).trimEnd()
  }
  return [line(table.columns), ...rows.map((row, i) => line(row, table.rows[i]))].join('\n')
}

/** Label and value, one a line, values aligned. */
export function textFacts(facts: readonly (readonly [string, Cell])[], paint = plain): string {
  const label = Math.max(0, ...facts.map(([name]) => width(name)))
  return facts
    .map(([name, cell]) => {
      const text = cellText(cell)
      return `${pad(name, label)}${GAP}${typeof cell === 'object' ? paint(cell.tone, text) : text}`
    })
    .join('\n')
}

function cellText(cell: Cell): string {
  return typeof cell === 'string' ? cell : `${cell.glyph} ${cell.word}`
}

/** Code points; what we print has no wide or combining characters. */
function width(text: string): number {
  return [...text].length
}

function pad(text: string, to: number): string {
  return text + ' '.repeat(Math.max(0, to - width(text)))
}

function cut(text: string, room: number): string {
  return width(text) <= room ? text : `${[...text].slice(0, Math.max(0, room - 1)).join('')}…`
}
