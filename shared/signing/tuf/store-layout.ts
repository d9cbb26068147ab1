/**
 * Where files are, on the server and in the client's folder (clauses 4, 5 and 6.2). Role names and
 * target paths are the publisher's; here they become parts of URLs and file names that cannot leave
 * their folder.
 */
import type { TargetFile } from './target-file.ts'

/** Percent-encodes everything but letters, digits, `-`, `.`, `_` and `~`. */
function encodeSegment(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/** `targets.json`; `..%2Fx.json` for a role named `../x`. */
export function roleFileName(role: string): string {
  return `${encodeSegment(role)}.json`
}

/** `7.targets.json`, or `targets.json` without a version. */
export function rolePath(role: string, version: number | undefined): string {
  return version === undefined ? roleFileName(role) : `${version}.${roleFileName(role)}`
}

/**
 * The path of a target below the targets base URL, encoded: with consistent snapshots
 * `<dir>/<digest>.<name>` (clause 6.2). Undefined for a path that would climb out.
 */
export function targetUrlPath(
  path: string,
  target: TargetFile,
  consistentSnapshot: boolean,
): string | undefined {
  const folders = path.split('/')
  const name = folders.pop() ?? ''
  const digest = target.hashes.get('sha256') ?? [...target.hashes.values()][0]
  const segments = [...folders, consistentSnapshot ? `${digest}.${name}` : name]
  if (segments.some((segment) => segment === '.' || segment === '..')) return undefined
  return segments.map(encodeSegment).join('/')
}

/** One flat, safe file name for a target path. */
export function targetFileName(path: string): string {
  return encodeSegment(path).replace(/^\./, '%2E')
}
