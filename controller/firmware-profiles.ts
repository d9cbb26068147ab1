/** The firmware profiles that this controller knows: the JSON files of firmware-profiles/. */
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { ProblemError } from '../shared/kernel/result.ts'
import { type FirmwareProfile, profileSchema } from '../shared/model/profile.ts'

const FOLDER = fileURLToPath(new URL('../firmware-profiles/', import.meta.url))

/** Errors (thrown): `profile.malformed`, with the file. */
export async function readFirmwareProfiles(): Promise<ReadonlyMap<string, FirmwareProfile>> {
  const profiles = new Map<string, FirmwareProfile>()
  const files = (await readdir(FOLDER)).filter((file) => file.endsWith('.json'))
  for (const file of files.toSorted()) {
    const parsed = profileSchema.safeParse(JSON.parse(await readFile(`${FOLDER}${file}`, 'utf8')))
    if (!parsed.success || `${parsed.data.name}.json` !== file) {
      const found = parsed.success ? parsed.data.name : z.prettifyError(parsed.error)
      throw new ProblemError({
        code: 'profile.malformed',
        message: `${file} is no firmware profile.`,
        expected: 'the fields of firmware-profiles/README.md, and its own name',
        found,
      })
    }
    profiles.set(parsed.data.name, parsed.data)
  }
  return profiles
}
