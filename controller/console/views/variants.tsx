/** Variants against the firmware profiles of the fleet: which file a device of each would get. */

import type { ReleaseResource } from '../../../shared/api/resources.ts'
import { bytes } from '../../../shared/view/words.ts'
import { devices } from '../live/store.ts'
import { shortDigest } from '../model/format.ts'
import { type Head, TableHead } from '../parts/table-head.tsx'

export function VariantTable({ release }: { release: ReleaseResource }) {
  const { variants } = release.manifest
  const named = variants.flatMap(({ profiles }) => profiles)
  const present = devices.value.map(({ facts }) => facts.profile)
  const profiles = [...new Set([...named, ...present])].toSorted()
  return (
    <div class="scroll">
      <table class="matrix">
        <caption class="hidden">Variants and the firmware profiles that they are meant for</caption>
        <TableHead
          heads={[
            'Variant',
            ['Size', 'num'],
            'SHA-256',
            ...profiles.map((profile): Head => [profile, 'cross']),
          ]}
        />
        <tbody>
          {variants.map((variant) => (
            <tr key={variant.name}>
              <th scope="row">
                {variant.name} <span class="soft">{variant.precision}</span>
              </th>
              <td class="num">{bytes(variant.artifact.length)}</td>
              <td>
                <code title={variant.artifact.sha256}>{shortDigest(variant.artifact.sha256)}</code>
              </td>
              {profiles.map((profile) => (
                <td key={profile} class="cross">
                  <Fit profiles={variant.profiles} profile={profile} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Fit({ profiles, profile }: { profiles: readonly string[]; profile: string }) {
  if (profiles.includes(profile)) return <span class="mark good">● meant for it</span>
  if (profiles.length === 0) return <span class="soft">○ if it suits</span>
  return <span class="soft">– no</span>
}
