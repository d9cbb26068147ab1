/**
 * How refusals travel. A refused command, message or file is a value (`Result` with a `Problem`);
 * a broken invariant of ours is an `assert`; an exception lives in adapters only and is a
 * `ProblemError`, so that whoever catches it still has the code, what was expected and what was found.
 */

/** A refusal that a person can act on and a test can assert: the code is stable, the text is not. */
export interface Problem {
  /** Dotted and stable, for example `release.duplicate_version`. */
  readonly code: string
  /** One sentence for people. */
  readonly message: string
  readonly expected?: string | undefined
  readonly found?: string | undefined
  /** What to do next, often a command to copy. */
  readonly next?: string | undefined
}

export interface Ok<T> {
  readonly ok: true
  readonly value: T
}
export interface Err<E = Problem> {
  readonly ok: false
  readonly error: E
}
export type Result<T, E = Problem> = Ok<T> | Err<E>

export function ok(): Ok<undefined>
export function ok<T>(value: T): Ok<T>
export function ok<T>(value?: T): Ok<T | undefined> {
  return { ok: true, value }
}

export function err(problem: Problem): Err {
  return { ok: false, error: problem }
}

/** Shorthand for the usual refusal: `refuse('x.y', 'Sentence.', { expected, found, next })`. */
export function refuse(
  code: string,
  message: string,
  details: Omit<Problem, 'code' | 'message'> = {},
): Err {
  return err({ code, message, ...details })
}

/** The one exception type of the shells. */
export class ProblemError extends Error {
  readonly problem: Problem

  constructor(problem: Problem, options?: { cause?: unknown }) {
    super(describeProblem(problem), options)
    this.name = 'ProblemError'
    this.problem = problem
  }
}

/** Turns a refusal into an exception, at the border between core and shell. */
export function unwrap<T>(result: Result<T>): T {
  if (result.ok) return result.value
  throw new ProblemError(result.error)
}

/** One readable line: sentence, expected, found, next step. */
export function describeProblem(problem: Problem): string {
  const parts = [problem.message]
  if (problem.expected !== undefined) parts.push(`expected ${problem.expected}`)
  if (problem.found !== undefined) parts.push(`found ${problem.found}`)
  if (problem.next !== undefined) parts.push(`next: ${problem.next}`)
  return `${parts.join('; ')} [${problem.code}]`
}

/** Any thrown value as a `Problem`, so that adapters report unknown failures with a code too. */
export function toProblem(cause: unknown, code: string): Problem {
  if (cause instanceof ProblemError) return cause.problem
  return { code, message: cause instanceof Error ? cause.message : String(cause) }
}
