/** Asks before something large. Without a terminal nobody can answer, so nothing is asked. */
import { createInterface } from 'node:readline/promises'
import { ProblemError } from '../../shared/kernel/result.ts'
import type { Context } from './context.ts'

/** Errors (thrown): `cli.not_confirmed`. */
export async function confirm(
  { terminal, json }: Context,
  question: string,
  yes: boolean,
): Promise<void> {
  if (yes || json || !process.stdin.isTTY || !terminal.isTerminal) return
  const asking = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await asking.question(`${question} Go on? [y/N] `)
  asking.close()
  if (/^y(es)?$/i.test(answer.trim())) return
  throw new ProblemError({
    code: 'cli.not_confirmed',
    message: 'Nothing was changed.',
    next: 'answer y, or give --yes',
  })
}
