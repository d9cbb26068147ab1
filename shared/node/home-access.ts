/** Who may look into the home of a program. Its files are closed to others; their names are not. */
import { statSync } from 'node:fs'

/** The mode of a home that others than its user may look into; undefined where nobody else may. */
export function openMode(home: string): string | undefined {
  // Windows has no such bits.
  if (process.platform === 'win32') return undefined
  const { mode } = statSync(home)
  return (mode & 0o077) === 0 ? undefined : `0${(mode & 0o777).toString(8)}`
}
