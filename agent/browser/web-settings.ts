/**
 * How each release was qualified in this browser (threads, layout), kept over visits: the host must run
 * a release exactly as it was proved. Read once at the start; a lost one means a single thread and the
 * provider's own layout, which is how most proofs are made.
 */

import type { SmallFiles } from '../ports.ts'
import type { RunSettings } from '../runtime/host-plan.ts'

export interface WebSettings {
  get(sha256: string): RunSettings
  put(sha256: string, settings: RunSettings): Promise<void>
}

/** Releases that one device remembers; the oldest is forgotten first. */
const ENTRIES_MAX = 256

const DEFAULT: RunSettings = { threads: 1, layout: null }

export async function openWebSettings(files: SmallFiles): Promise<WebSettings> {
  const known = new Map<string, RunSettings>()
  for (const name of await files.names()) known.set(name, parse(await files.read(name)))
  return {
    get: (sha256) => known.get(sha256) ?? DEFAULT,
    async put(sha256, settings) {
      known.set(sha256, settings)
      const oldest = known.keys().next()
      if (known.size > ENTRIES_MAX && !oldest.done) {
        known.delete(oldest.value)
        await files.remove(oldest.value)
      }
      await files.write(sha256, `${settings.threads} ${settings.layout ?? 'default'}`)
    },
  }
}

function parse(text = ''): RunSettings {
  const [threads = '1', layout] = text.split(' ')
  const isLayout = layout === 'NCHW' || layout === 'NHWC'
  return /^[1-9]$/.test(threads)
    ? { threads: Number(threads), layout: isLayout ? layout : null }
    : DEFAULT
}
