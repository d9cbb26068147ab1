import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { loadProfile } from '../../agent/firmware-profile.ts'
import { unwrap } from '../../shared/kernel/result.ts'

const FOLDER = fileURLToPath(new URL('../../firmware-profiles/', import.meta.url))
const NAMES = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.replace('.json', ''))

describe('firmware profiles', () => {
  it.each(NAMES)('%s has the form that profile.ts asks for', async (name) => {
    const profile = unwrap(await loadProfile(name))
    expect(profile.name).toBe(name)
    expect(profile.sources.some((source) => source.startsWith('https://'))).toBe(true)
    expect(new Set(profile.executionProviders).size).toBe(profile.executionProviders.length)
  })

  it.each(NAMES)('%s can fall back to a provider that is always there', async (name) => {
    const { executionProviders } = unwrap(await loadProfile(name))
    expect(executionProviders.at(-1)).toBe(name.includes('browser') ? 'wasm' : 'cpu')
  })

  it.each(NAMES)('%s promises no more than such a device has', async (name) => {
    const { limits, memoryMb, cpu } = unwrap(await loadProfile(name))
    expect(limits.sessionMemoryMb).toBeLessThanOrEqual(memoryMb / 2)
    expect(limits.threadsMax).toBeLessThanOrEqual(cpu.cores)
    expect(limits.artifactBytesMax).toBeLessThanOrEqual(limits.diskMb * 1024 * 1024)
  })

  it('gives the smallest device int8 variants only', async () => {
    expect(unwrap(await loadProfile('raspberry-pi-zero-2w')).precisions).toEqual(['int8'])
  })

  it('names the profiles there are when asked for another', async () => {
    const refused = await loadProfile('toaster')
    expect(refused).toMatchObject({ ok: false, error: { code: 'profile.unknown' } })
  })
})
