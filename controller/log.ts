/**
 * Logs on stderr: JSON lines, or readable ones on a terminal. What could admit somebody is redacted
 * wherever it stands in the first two levels of a record.
 */
import { type Logger, pino } from 'pino'

const SECRETS = ['token', 'password', 'passphrase', 'secret', 'authorization', 'cookie']
const REDACTED = SECRETS.flatMap((name) => [name, `*.${name}`])

export function createLog(options: { level: string; readable: boolean }): Logger {
  const base = { level: options.level, base: { program: 'controller' }, redact: REDACTED }
  if (!options.readable) return pino(base, pino.destination({ dest: 2, sync: false }))
  return pino(base, { write: (line: string) => void process.stderr.write(readableLine(line)) })
}

/** `12:04:05 warn  message  key=value`. */
function readableLine(line: string): string {
  const { level, time, msg, program: _, ...fields } = JSON.parse(line) as Record<string, unknown>
  const clock = new Date(Number(time)).toISOString().slice(11, 19)
  const word = (pino.levels.labels[Number(level)] ?? '').padEnd(5)
  const facts = Object.entries(fields).map(([key, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    return `  ${key}=${text}`
  })
  return `${clock} ${word} ${String(msg)}${facts.join('')}\n`
}
