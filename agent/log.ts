/** Logs on stderr: JSON lines through pino, or lines for people. Secrets never reach a log. */
import { pino } from 'pino'
import type { Log } from './ports.ts'

const REDACTED = ['token', 'password', 'secret', '*.token', '*.password', '*.secret']

export function createLog(json: boolean, base: Readonly<Record<string, unknown>>): Log {
  if (!json) {
    const print = (level: string) => (message: string, facts?: Readonly<Record<string, unknown>>) =>
      void process.stderr.write(`${level} ${message}${factsText(facts)}\n`)
    return { info: print('info'), warn: print('warn') }
  }
  const logger = pino({ base, redact: REDACTED }, pino.destination({ dest: 2, sync: true }))
  return {
    info: (message, facts) => logger.info(facts ?? {}, message),
    warn: (message, facts) => logger.warn(facts ?? {}, message),
  }
}

function factsText(facts: Readonly<Record<string, unknown>> = {}): string {
  return Object.entries(facts)
    .filter(([key]) => !REDACTED.includes(key))
    .map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('')
}
