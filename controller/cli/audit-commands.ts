/** `linnet audit`: who did what, and whether the trail still is what it was. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { Command } from 'commander'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import {
  type AuditEntry,
  auditEntrySchema,
  type SignedAuditHead,
  signedAuditHeadSchema,
} from '../../shared/model/audit.ts'
import { textTable } from '../../shared/view/text-table.ts'
import { ago, count } from '../../shared/view/words.ts'
import { type AuditPage, verifyAudit } from './audit-verify.ts'
import { type CommonOptions, type Context, openContext, withCommonOptions } from './context.ts'
import { whole } from './device-commands.ts'
import { publisherFolder } from './publisher-folder.ts'
import { newestRoot, verifyRepository } from './trusted-root.ts'

const PAGE_MAX = 1_000

export function auditCommands(): Command {
  const audit = new Command('audit')
  withCommonOptions(audit.command('list'))
    .description('the newest entries; with --all every one, as JSON lines for `verify --file`')
    .option('--limit <n>', 'how many', whole, 50)
    .option('--all', 'every entry and the signed head, one JSON object a line')
    .addHelpText(
      'after',
      `
Examples:
  linnet audit list
  linnet audit list --all > audit.jsonl
`,
    )
    .action((options: CommonOptions & { limit: number; all?: boolean }) =>
      options.all ? exportAll(openContext(options)) : list(openContext(options), options.limit),
    )
  withCommonOptions(audit.command('verify'))
    .description('recomputes the chain and checks its signed head')
    .option('--file <file>', 'an export instead of the controller')
    .addHelpText(
      'after',
      `
Any change, removal or reordering is found and named. The newest head that was verified is kept
under --home, so that a trail cut short behind an older head is found as well.

Examples:
  linnet audit verify
  linnet audit verify --file audit.jsonl
`,
    )
    .action((options: CommonOptions & { file?: string }) => verify(openContext(options), options))
  return audit
}

async function list(context: Context, limit: number): Promise<void> {
  const query = { limit: Math.min(limit, PAGE_MAX) }
  const page = unwrap(await context.client.call('audit', { query }))
  context.show(page, ({ entries }) => auditTable(entries))
}

function auditTable(entries: readonly AuditEntry[]): string {
  const nowMs = Date.now()
  const rows = entries.map((entry) => [
    String(entry.id),
    ago(entry.atMs, nowMs),
    entry.actor,
    entry.action,
    entry.resource,
    entry.outcome,
  ])
  const columns = ['ENTRY', 'WHEN', 'ACTOR', 'ACTION', 'RESOURCE', 'OUTCOME']
  return textTable({ columns, rows }, { empty: 'Nothing is recorded yet.' })
}

async function exportAll(context: Context): Promise<void> {
  for await (const { entries, head } of remotePages(context)) {
    if (head !== null) context.terminal.print(JSON.stringify({ head }))
    for (const entry of entries) context.terminal.print(JSON.stringify(entry))
  }
}

async function verify(context: Context, options: { file?: string }): Promise<void> {
  const folder = publisherFolder(context.home)
  const trusted = options.file === undefined ? await verifyRepository(context, folder) : undefined
  const root = trusted?.root ?? (await newestRoot(folder)).root
  const pages = options.file === undefined ? remotePages(context) : filePages(options.file)
  const found = await verifyAudit({
    pages,
    keys: root.roles.timestamp,
    knownPath: folder.auditHead,
  })
  context.show(found, ({ entries, signed, unsigned, signedAtMs }) => {
    const rest =
      unsigned === 0 ? '' : ` ${count(unsigned, 'newer entry', 'newer entries')} not signed yet.`
    const when = ago(signedAtMs, Date.now())
    return `The audit trail is whole: ${count(entries, 'entry', 'entries')}, signed up to ${signed} (${when}).${rest}`
  })
}

/** Oldest first; the head comes with the first page, so that it is in what follows. */
async function* remotePages({ client }: Context): AsyncGenerator<AuditPage> {
  let after = 0
  let first = true
  for (;;) {
    const query = { after, limit: PAGE_MAX }
    const { entries, head } = unwrap(await client.call('audit', { query }))
    yield { entries, head: first ? head : null }
    first = false
    const last = entries.at(-1)
    if (last === undefined || entries.length < PAGE_MAX) return
    after = last.id
  }
}

async function* filePages(path: string): AsyncGenerator<AuditPage> {
  const lines = createInterface({
    input: createReadStream(path),
    crlfDelay: Number.POSITIVE_INFINITY,
  })
  let number = 0
  for await (const line of lines) {
    number++
    if (line.trim() === '') continue
    yield parseLine(line, number)
  }
}

function parseLine(line: string, number: number): AuditPage {
  const value = jsonOf(line)
  const head = headOf(value)
  if (head !== undefined) return { entries: [], head }
  const entry = auditEntrySchema.safeParse(value)
  if (entry.success) return { entries: [entry.data], head: null }
  throw new ProblemError({
    code: 'audit.malformed',
    message: `Line ${number} is no entry of an audit trail.`,
    expected: 'what linnet audit list --all prints',
    found: line.slice(0, 80),
  })
}

function headOf(value: unknown): SignedAuditHead | undefined {
  const parsed = signedAuditHeadSchema.safeParse((value as { head?: unknown } | null)?.head)
  return parsed.success ? parsed.data : undefined
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
