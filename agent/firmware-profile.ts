/** Firmware profiles are data files beside the program: one JSON for each, named after it. */
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { fromUtf8 } from '../shared/kernel/bytes.ts'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import { type FirmwareProfile, profileSchema } from '../shared/model/profile.ts'
import { readFileBounded } from '../shared/node/atomic-file.ts'

const FOLDER = fileURLToPath(new URL('../firmware-profiles/', import.meta.url))
const PROFILE_BYTES_MAX = 65_536

/** All of them, by name. Errors: `profile.malformed`. */
export async function listProfiles(folder = FOLDER): Promise<Result<FirmwareProfile[]>> {
  const profiles: FirmwareProfile[] = []
  for (const name of await namesIn(folder)) {
    const profile = await loadProfile(name, folder)
    if (!profile.ok) return profile
    profiles.push(profile.value)
  }
  return ok(profiles)
}

/** Errors: `profile.unknown`, with the names there are; `profile.malformed`. */
export async function loadProfile(name: string, folder = FOLDER): Promise<Result<FirmwareProfile>> {
  const names = await namesIn(folder)
  if (!names.includes(name)) {
    return refuse('profile.unknown', `There is no firmware profile ${name}.`, {
      expected: names.join(', '),
      next: 'see firmware-profiles/README.md for how to add one',
    })
  }
  const bytes = await readFileBounded(`${folder}/${name}.json`, PROFILE_BYTES_MAX)
  try {
    const profile = profileSchema.parse(JSON.parse(fromUtf8(bytes!) ?? ''))
    if (profile.name === name) return ok(profile)
    return refuse('profile.malformed', `The file of ${name} describes ${profile.name}.`)
  } catch (cause) {
    return refuse('profile.malformed', `The firmware profile ${name} has not the expected form.`, {
      found: String(cause).slice(0, 300),
    })
  }
}

async function namesIn(folder: string): Promise<string[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.json'))
  return files.map((file) => file.slice(0, -'.json'.length)).toSorted()
}
