/**
 * Where the command speaks: data on stdout, talk on stderr. Colour only on a terminal and never
 * with NO_COLOR (no-color.org); repainting only on a terminal, else one line for each change.
 */
import type { Problem } from '../../shared/kernel/result.ts'
import type { Tone } from '../../shared/view/status.ts'
import type { Paint } from '../../shared/view/text-table.ts'

const ANSI: Readonly<Record<Tone, string>> = {
  good: '32',
  busy: '36',
  warn: '33',
  bad: '31',
  idle: '2',
}

const HEIGHT_DEFAULT = 24

export interface Terminal {
  readonly isTerminal: boolean
  /** Questions are seen, and answers can be typed; data may go elsewhere. */
  readonly isAnswerable: boolean
  /** Columns to fit into; undefined where lines may be long. */
  readonly widthMax: number | undefined
  readonly paint: Paint
  /** Data. */
  print(text: string): void
  /** Talk. */
  say(text: string): void
  /** Replaces what was painted before. */
  repaint(text: string): void
}

export function openTerminal(): Terminal {
  const { stdin, stdout, stderr, env } = process
  const isTerminal = stdout.isTTY === true
  const colour = isTerminal && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
  let painted = 0
  return {
    isTerminal,
    isAnswerable: stdin.isTTY === true && stderr.isTTY === true,
    widthMax: isTerminal && stdout.columns > 0 ? stdout.columns : undefined,
    paint: (tone, text) => (colour ? `\u001b[${ANSI[tone]}m${text}\u001b[0m` : text),
    print: (text) => void stdout.write(`${text}\n`),
    say: (text) => void stderr.write(`${text}\n`),
    repaint(text) {
      const lines = fitLines(text.split('\n'), stdout.rows > 0 ? stdout.rows : HEIGHT_DEFAULT)
      // Up to the first painted line, then clear what follows.
      if (painted > 0) stdout.write(`\u001b[${painted}A`)
      stdout.write(`\u001b[0J${lines.join('\n')}\n`)
      painted = lines.length
    },
  }
}

/** What fits above the cursor's line; what does not is counted, because nobody can scroll to it. */
function fitLines(lines: readonly string[], height: number): readonly string[] {
  const room = Math.max(2, height - 1)
  if (lines.length <= room) return lines
  return [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more lines`]
}

/** Sentence, expected and found, next command, code: one each line, for people. */
export function problemText(problem: Problem): string {
  const lines = [`linnet: ${problem.message} [${problem.code}]`]
  if (problem.expected !== undefined) lines.push(`  expected  ${problem.expected}`)
  if (problem.found !== undefined) lines.push(`  found     ${problem.found}`)
  if (problem.next !== undefined) lines.push(`  next      ${problem.next}`)
  return lines.join('\n')
}
