/**
 * How each release was qualified on this device (threads, layout, batches), kept over restarts: the host must
 * run a release exactly as it was proved. One small file per release; a lost one means a single
 * thread and the provider's own layout, which is how most proofs are made.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { readBatchSettings } from './batch-settings.ts'
import type { RunSettings } from './host-plan.ts'

export interface SettingsStore {
  get(sha256: string): RunSettings
  put(sha256: string, settings: RunSettings): Promise<void>
}

const DEFAULT: RunSettings = { threads: 1, layout: null }

export function createSettingsStore(directory: string): SettingsStore {
  mkdirSync(directory, { recursive: true })
  const known = new Map<string, RunSettings>()
  const pathOf = (sha256: string): string => join(directory, `${sha256}.json`)
  return {
    get(sha256) {
      const found = known.get(sha256) ?? readSettings(pathOf(sha256))
      known.set(sha256, found)
      return found
    },
    async put(sha256, settings) {
      known.set(sha256, settings)
      await writeFileAtomic(pathOf(sha256), JSON.stringify(settings))
    },
  }
}

function readSettings(path: string): RunSettings {
  try {
    const kept = JSON.parse(readFileSync(path, 'utf8')) as Partial<RunSettings>
    const { threads, layout } = kept
    const isCount = Number.isInteger(threads) && threads !== undefined && threads >= 1
    return {
      threads: isCount ? Math.min(threads, 1024) : DEFAULT.threads,
      layout: layout === 'NCHW' || layout === 'NHWC' ? layout : null,
      batching: readBatchSettings(kept.batching),
    }
  } catch {
    return DEFAULT
  }
}
