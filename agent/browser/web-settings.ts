/**
 * How each release was qualified in this browser (its layout), kept over visits: the host must run a
 * release exactly as it was proved. Read once at the start; a lost one means the provider's default.
 */

import type { SmallFiles } from '../ports.ts'
import type { RunSettings } from '../runtime/host-plan.ts'

export interface WebSettings {
  get(sha256: string): RunSettings
  put(sha256: string, settings: RunSettings): Promise<void>
}

/** Releases that one device remembers; the oldest is forgotten first. */
const ENTRIES_MAX = 256

export async function openWebSettings(files: SmallFiles, threads: number): Promise<WebSettings> {
  const known = new Map<string, RunSettings>()
  for (const name of await files.names()) {
    const text = await files.read(name)
    const layout = text === 'NCHW' || text === 'NHWC' ? text : null
    known.set(name, { threads, layout })
  }
  return {
    get: (sha256) => known.get(sha256) ?? { threads, layout: null },
    async put(sha256, settings) {
      known.set(sha256, settings)
      const oldest = known.keys().next()
      if (known.size > ENTRIES_MAX && !oldest.done) {
        known.delete(oldest.value)
        await files.remove(oldest.value)
      }
      await files.write(sha256, settings.layout ?? 'default')
    },
  }
}
