/**
 * Reads one connection of server-sent events (HTML standard, clause 9.2.6) through fetch: unlike
 * EventSource it sees the heartbeats, which are comments, and the status of a refusal.
 * Reconnecting is live.ts.
 */
import type { ChangeResource } from '../../../shared/api/resources.ts'

/** An event that does not end after this many characters is not ours. */
const EVENT_CHARS_MAX = 65_536

export interface StreamListener {
  onOpen(): void
  /** Anything came, be it a heartbeat. */
  onActivity(): void
  onChange(change: ChangeResource): void
}

/** Resolves when the connection ends: with the status of a refusal, or undefined. */
export async function readEvents(
  url: string,
  lastEventId: number | undefined,
  listener: StreamListener,
): Promise<number | undefined> {
  const headers: Record<string, string> = { accept: 'text/event-stream' }
  if (lastEventId !== undefined) headers['last-event-id'] = String(lastEventId)
  const answer = await fetch(url, { headers, cache: 'no-store', credentials: 'same-origin' })
  if (!answer.ok || answer.body === null) return answer.status
  listener.onOpen()
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return undefined
    listener.onActivity()
    const blocks = (rest + value).replaceAll('\r\n', '\n').split('\n\n')
    rest = blocks.pop() ?? ''
    if (rest.length > EVENT_CHARS_MAX) return undefined
    for (const block of blocks) {
      const change = parseChange(block)
      if (change !== undefined) listener.onChange(change)
    }
  }
}

function parseChange(block: string): ChangeResource | undefined {
  const data = block
    .split('\n')
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).trimStart())
    .join('\n')
  if (data === '') return undefined
  try {
    const change = JSON.parse(data) as Partial<ChangeResource>
    const isChange = typeof change.id === 'number' && typeof change.subject === 'string'
    return isChange ? (change as ChangeResource) : undefined
  } catch {
    return undefined
  }
}
