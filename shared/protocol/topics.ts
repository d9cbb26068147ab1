/**
 * The one table of MQTT topics: pattern, direction, QoS, retain and size limit (design page
 * wire.md).
 * Invariant: every topic that formatTopic makes is read back by parseTopic as the same route, and
 * no topic matches two routes. The meaning of payloads is in messages.ts, who may use them in
 * access.ts.
 */
import { assert } from '../kernel/assert.ts'

/** Limits of AWS IoT that every broker we know keeps: payload bytes and slashes of a topic. */
const PAYLOAD_BYTES_MAX = 128 * 1024
const TOPIC_LENGTH_MAX = 512

export interface TopicRow {
  /** Levels in braces are ids, named in `ID_PATTERNS` or else `[A-Za-z0-9_-]{1,64}`. */
  readonly pattern: string
  /**
   * up: device to controller; down: controller to devices; out: controller to anyone who may read.
   */
  readonly direction: 'up' | 'down' | 'out'
  /** What our own publishers use; a message at the other QoS is accepted. */
  readonly qos: 0 | 1
  /** Whether a message may be retained; a client's retained message elsewhere is refused. */
  readonly retain: boolean
  /** The largest payload, in bytes. */
  readonly bytesMax: number
}

export const TOPICS = {
  // Last will on the same topic: `lost`.
  'up/state': up('state', true, 16 * 1024),
  'up/report': up('report', false, 64 * 1024),
  'up/telemetry': up('telemetry', false, 64 * 1024),
  'up/event': up('event', false, 16 * 1024),
  'dn/desired': {
    pattern: 'ln1/{fleet}/d/{device}/dn/desired',
    direction: 'down',
    qos: 1,
    retain: true,
    bytesMax: PAYLOAD_BYTES_MAX,
  },
  // Kept free: nothing is sent here and no agent listens, until there is a command to sign.
  'dn/command': {
    pattern: 'ln1/{fleet}/d/{device}/dn/command',
    direction: 'down',
    qos: 1,
    retain: false,
    bytesMax: 16 * 1024,
  },
  'dn/ack': {
    pattern: 'ln1/{fleet}/d/{device}/dn/ack',
    direction: 'down',
    qos: 0,
    retain: false,
    bytesMax: 16 * 1024,
  },
  'dn/pulse': {
    pattern: 'ln1/{fleet}/g/{cohort}/dn/pulse',
    direction: 'down',
    qos: 0,
    retain: false,
    bytesMax: 1024,
  },
  // Last will of a controller that uses an external broker.
  'c/state': {
    pattern: 'ln1/{fleet}/c/state',
    direction: 'out',
    qos: 1,
    retain: true,
    bytesMax: 4 * 1024,
  },
  'c/aggregate': {
    pattern: 'ln1/{fleet}/c/aggregate/{model}/{release}/{profile}',
    direction: 'out',
    qos: 1,
    retain: true,
    bytesMax: PAYLOAD_BYTES_MAX,
  },
  'c/alert': {
    pattern: 'ln1/{fleet}/c/alert/{severity}',
    direction: 'out',
    qos: 1,
    retain: false,
    bytesMax: 16 * 1024,
  },
} as const satisfies Record<string, TopicRow>

function up<L extends string>(leaf: L, retain: boolean, bytesMax: number) {
  const pattern = `ln1/{fleet}/d/{device}/up/${leaf}` as const
  return { pattern, direction: 'up', qos: 1, retain, bytesMax } as const
}

export type TopicName = keyof typeof TOPICS

type Placeholders<P extends string> = P extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never

/** The ids that a topic of this name needs, for example `{ fleet, device }`. */
export type TopicParams<N extends TopicName> = {
  readonly [K in Placeholders<(typeof TOPICS)[N]['pattern']>]: string
}

const ID = /^[A-Za-z0-9_-]{1,64}$/
const ID_WITH_DOTS = /^[A-Za-z0-9._-]{1,64}$/
const ID_PATTERNS: Readonly<Record<string, RegExp>> = { release: ID_WITH_DOTS }

/** Whether `text` can stand for the level `{name}` of a pattern. */
export function isTopicId(name: string, text: string): boolean {
  return (ID_PATTERNS[name] ?? ID).test(text)
}

/** The topic of this name. An id that does not fit its level is our bug: it was not checked. */
export function formatTopic<N extends TopicName>(name: N, params: TopicParams<N>): string {
  const values: Readonly<Record<string, string>> = params
  return TOPICS[name].pattern.replace(/\{(\w+)\}/g, (_, level: string) => {
    const value = values[level] ?? ''
    assert(isTopicId(level, value), `${name}: ${JSON.stringify(value)} is no ${level} id`)
    return value
  })
}

/** Which row a topic belongs to, with the ids found in it. */
export type ParsedTopic = {
  [N in TopicName]: { readonly name: N; readonly row: TopicRow; readonly params: TopicParams<N> }
}[TopicName]

interface Route {
  readonly name: TopicName
  readonly levels: readonly string[]
}

const ROUTES: readonly Route[] = (Object.keys(TOPICS) as TopicName[]).map((name) => ({
  name,
  levels: TOPICS[name].pattern.split('/'),
}))

/** @returns undefined for whatever is not a topic of the table, wildcards included. */
export function parseTopic(topic: string): ParsedTopic | undefined {
  if (topic.length > TOPIC_LENGTH_MAX) return undefined
  const found = topic.split('/')
  for (const { name, levels } of ROUTES) {
    const params = matchLevels(levels, found)
    // The cast ties name and params together, which holds because both come from one row.
    if (params !== undefined) return { name, row: TOPICS[name], params } as ParsedTopic
  }
  return undefined
}

/** The level name of `{name}`, or undefined for a literal level. */
export function placeholderOf(level: string): string | undefined {
  return level.startsWith('{') ? level.slice(1, -1) : undefined
}

function matchLevels(
  levels: readonly string[],
  found: readonly string[],
): Record<string, string> | undefined {
  if (levels.length !== found.length) return undefined
  const params: Record<string, string> = {}
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i]!
    const value = found[i]!
    const name = placeholderOf(level)
    if (name === undefined ? level !== value : !isTopicId(name, value)) return undefined
    if (name !== undefined) params[name] = value
  }
  return params
}
