/**
 * Asks before something large. Invariant: nothing large is done unasked. Where no terminal is there
 * that somebody could answer at, `--yes` is the answer, and without it there is none.
 */
import { createInterface } from 'node:readline/promises'
import { ProblemError } from '../../shared/kernel/result.ts'
import type { Context } from './context.ts'

/** Errors (thrown): `cli.not_confirmed`. */
export async function confirm(
  { terminal }: Context,
  question: string,
  yes: boolean,
): Promise<void> {
  if (yes) return
  if (!terminal.isAnswerable) throw notConfirmed(`${question} Nobody was asked.`, 'give --yes')
  const asking = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await asking.question(`${question} Go on? [y/N] `)
  asking.close()
  if (/^y(es)?$/i.test(answer.trim())) return
  throw notConfirmed('Nothing was changed.', 'answer y, or give --yes')
}

function notConfirmed(message: string, next: string): ProblemError {
  return new ProblemError({ code: 'cli.not_confirmed', message, next })
}
