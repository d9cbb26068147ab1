/**
 * What a command works with: the terminal, the folder, and the controller through its interface.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { type Client, createClient } from '../../shared/api/client.ts'
import { ProblemError } from '../../shared/kernel/result.ts'
import { openTerminal, type Terminal } from './terminal.ts'

const REQUEST_TIMEOUT_MS = 30_000

/** Options that every command has. */
export interface CommonOptions {
  readonly home: string
  readonly controller: string
  readonly token?: string
  readonly json?: boolean
}

export interface Context {
  readonly terminal: Terminal
  readonly home: string
  readonly json: boolean
  readonly baseUrl: string
  readonly token: string | undefined
  readonly client: Client
  /** Data: as JSON with `--json`, else the text that `text` makes of it. */
  show<T>(data: T, text: (data: T) => string): void
}

export function withCommonOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--controller <url>', 'the controller to talk to')
        .env('LINNET_CONTROLLER')
        .default('http://127.0.0.1:7420'),
    )
    .addOption(new Option('--token <token>', 'bearer token').env('LINNET_TOKEN'))
    .addOption(
      new Option('--home <folder>', 'keys, releases and the local token')
        .env('LINNET_HOME')
        .default('.linnet'),
    )
    .option('--json', 'data as JSON on stdout')
}

export function openContext(options: CommonOptions): Context {
  const terminal = openTerminal()
  const home = resolve(options.home)
  const json = options.json ?? false
  const baseUrl = originOf(options.controller)
  const token = options.token ?? localToken(home)
  const client = createClient({
    baseUrl,
    ...(token === undefined ? {} : { token }),
    newKey: randomUUID,
    fetch: (url, { method, headers, body }) =>
      fetch(url, {
        method,
        headers: { ...headers },
        ...(body === undefined ? {} : { body: body as NonNullable<RequestInit['body']> }),
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      }).catch(reasonOf),
  })
  return {
    terminal,
    home,
    json,
    baseUrl,
    token,
    client,
    show: (data, text) => terminal.print(json ? JSON.stringify(data) : text(data)),
  }
}

/** `fetch failed` says nothing; its cause does. */
function reasonOf(cause: unknown): never {
  const inner = cause instanceof Error ? cause.cause : undefined
  if (inner instanceof AggregateError) throw inner.errors[0]
  throw inner instanceof Error ? inner : cause
}

function originOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed !== undefined && /^https?:$/.test(parsed.protocol)) return parsed.origin
  throw new ProblemError({
    code: 'cli.usage',
    message: 'The address of the controller is no URL.',
    expected: 'http://host:port',
    found: url,
  })
}

/** The admin token that a controller on this machine wrote for its owner. */
function localToken(home: string): string | undefined {
  try {
    return readFileSync(join(home, 'token'), 'utf8').trim()
  } catch {
    return undefined
  }
}
