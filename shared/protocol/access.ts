/**
 * Who may publish and subscribe to what, as a table (design page trust.md, Identity). Pure.
 * Invariant: a filter is allowed only if every topic that it can ever match is allowed. Who a
 * client is was decided before; what a message says is checked after.
 */
import { ok, type Result, refuse } from '../kernel/result.ts'
import { isTopicId, parseTopic, placeholderOf } from './topics.ts'

/** Who stands at the other end of an authenticated connection. */
export type Identity =
  | { readonly kind: 'device'; readonly fleet: string; readonly device: string }
  /** Telemetry consumers: Telegraf, Node-RED, a data team. */
  | { readonly kind: 'consumer'; readonly fleet: string }
  /** A controller that uses an external broker; an embedded one never connects to itself. */
  | { readonly kind: 'controller' }

interface AccessRow {
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
}

/**
 * `{fleet}` and `{device}` stand for the client's own; a `{level}` that the identity does not have
 * stands for any one valid id, never for a wildcard; `+` for one level, id or wildcard; `#` for the
 * rest, wildcards included. A device may look at the pulse of any cohort of its fleet: cohorts
 * change with each rollout while the connection stays, and a pulse says nothing but "look again".
 */
export const ACCESS: Readonly<Record<Identity['kind'], AccessRow>> = {
  device: {
    publish: ['ln1/{fleet}/d/{device}/up/#'],
    subscribe: [
      'ln1/{fleet}/d/{device}/dn/#',
      'ln1/{fleet}/g/{cohort}/dn/pulse',
      'ln1/{fleet}/c/state',
    ],
  },
  consumer: {
    publish: [],
    subscribe: ['ln1/{fleet}/c/#'],
  },
  controller: {
    // Also `up/`: deleting a device clears its retained state.
    publish: ['ln1/#'],
    subscribe: ['ln1/+/d/+/up/#'],
  },
}

/**
 * Whether this client may publish on this topic, by message or by last will.
 * @returns refusals `access.topic_unknown`, `access.publish_refused`.
 */
export function mayPublish(identity: Identity, topic: string): Result<undefined> {
  const parsed = parseTopic(topic)
  if (parsed === undefined) {
    return refuse('access.topic_unknown', 'This is not a topic of Linnet.', {
      found: excerpt(topic),
    })
  }
  const patterns = ACCESS[identity.kind].publish
  if (patterns.some((pattern) => covers(pattern, identity, topic))) return ok()
  return refuse('access.publish_refused', 'This client may not publish on this topic.', {
    expected: patterns.join(' or ') || 'no publishing',
    found: excerpt(topic),
  })
}

/**
 * Whether this client may subscribe to this filter.
 * @returns refusals `access.shared_subscription`, `access.subscribe_refused`.
 */
export function maySubscribe(identity: Identity, filter: string): Result<undefined> {
  if (filter.startsWith('$share')) {
    return refuse('access.shared_subscription', 'Shared subscriptions are not supported.', {
      found: excerpt(filter),
    })
  }
  const patterns = ACCESS[identity.kind].subscribe
  if (patterns.some((pattern) => covers(pattern, identity, filter))) return ok()
  return refuse('access.subscribe_refused', 'This client may not subscribe to this filter.', {
    expected: patterns.join(' or '),
    found: excerpt(filter),
  })
}

/** True when every topic that `filter` matches is one that `pattern` means for this identity. */
function covers(pattern: string, identity: Identity, filter: string): boolean {
  const own: Readonly<Record<string, unknown>> = { ...identity }
  const levels = pattern.split('/')
  const found = filter.split('/')
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i]!
    if (level === '#') return found.length >= i && isFilterTail(found.slice(i))
    const value = found[i]
    if (value === undefined) return false
    if (!coversLevel(level, own, value)) return false
  }
  return found.length === levels.length
}

function coversLevel(
  level: string,
  own: Readonly<Record<string, unknown>>,
  value: string,
): boolean {
  if (level === '+') return value === '+' || isTopicId('', value)
  const name = placeholderOf(level)
  if (name === undefined) return level === value
  return name in own ? own[name] === value : isTopicId(name, value)
}

/**
 * What MQTT 3.1.1 section 4.7.1 allows after the fixed levels: `#` stands last, wildcards alone.
 */
function isFilterTail(levels: readonly string[]): boolean {
  return levels.every(
    (level, i) =>
      (level === '#' && i === levels.length - 1) || level === '+' || !/[+#]/.test(level),
  )
}

/** Topics come from strangers: what goes into messages and logs is bounded. */
function excerpt(topic: string): string {
  return topic.length <= 120 ? topic : `${topic.slice(0, 117)}...`
}
