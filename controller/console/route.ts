/**
 * Where the person is, in the part of the address after `#`: a path and filters. It can be sent to
 * somebody else, and the back button works.
 */
import { signal } from '@preact/signals'

export interface Route {
  readonly path: readonly string[]
  readonly query: Readonly<Record<string, string>>
}

export const route = signal<Route>(parseRoute(location.hash))

addEventListener('hashchange', () => {
  const next = parseRoute(location.hash)
  const isElsewhere = next.path.join('/') !== route.peek().path.join('/')
  route.value = next
  if (isElsewhere) scrollTo(0, 0)
})

/** Filters replace the entry of the history: the back button leaves the view, not the last letter. */
export function setQuery(changes: Readonly<Record<string, string | undefined>>): void {
  const { path, query } = route.peek()
  const next = Object.entries({ ...query, ...changes }).filter(([, value]) => value)
  const found = Object.fromEntries(next) as Record<string, string>
  history.replaceState(null, '', href(path, found))
  route.value = { path, query: found }
}

export function href(
  path: readonly string[],
  query: Readonly<Record<string, string>> = {},
): string {
  const text = new URLSearchParams(query).toString()
  return `#/${path.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`
}

export const rolloutHref = (id: string) => href(['rollouts', id])
export const deviceHref = (device: string) => href(['devices', device])
export const releaseHref = (model: string, version: string) => href(['releases', model, version])

function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?')
  return {
    path: path.split('/').filter(Boolean).map(decode),
    query: Object.fromEntries(new URLSearchParams(query)),
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
