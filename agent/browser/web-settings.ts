/**
 * How each release was qualified in this browser (threads, layout, batches), kept over visits: the host must run
 * a release exactly as it was proved. Read once at the start; a lost one means a single thread and the
 * provider's own layout, which is how most proofs are made.
 */

import type { ResolvedRelease, SmallFiles } from '../ports.ts'
import { readBatchSettings } from '../runtime/batch-settings.ts'
import { proofName, proofSubject } from '../runtime/proof-subject.ts'
import { type RunSettings, USUAL_SETTINGS } from '../runtime/run-settings.ts'

export interface WebSettings {
  get(release: ResolvedRelease): RunSettings
  put(release: ResolvedRelease, settings: RunSettings): Promise<void>
}

/** Releases that one device remembers; the oldest is forgotten first. */
const ENTRIES_MAX = 256

export async function openWebSettings(files: SmallFiles): Promise<WebSettings> {
  const known = new Map<string, RunSettings>()
  for (const name of await files.names()) known.set(name, parse(await files.read(name)))
  return {
    get: (release) => known.get(proofName(proofSubject(release))) ?? USUAL_SETTINGS,
    async put(release, settings) {
      const name = proofName(proofSubject(release))
      known.set(name, settings)
      const oldest = known.keys().next()
      if (known.size > ENTRIES_MAX && !oldest.done) {
        known.delete(oldest.value)
        await files.remove(oldest.value)
      }
      const { threads, layout, batching } = settings
      const batches = batching == null ? '' : ` ${JSON.stringify(batching)}`
      await files.write(name, `${threads} ${layout ?? 'default'}${batches}`)
    },
  }
}

function parse(text = ''): RunSettings {
  const parts = /^([1-9]) (NCHW|NHWC|default)(?: (.+))?$/s.exec(text)
  if (parts === null) return USUAL_SETTINGS
  const [, threads, layout, batching] = parts
  const isLayout = layout === 'NCHW' || layout === 'NHWC'
  return {
    threads: Number(threads),
    layout: isLayout ? layout : null,
    batching: readBatchSettings(batching === undefined ? null : jsonOf(batching)),
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
