/**
 * The chain of trust as this browser verified it: the root that the token named, the roles under it,
 * the director's assignment and the release. Only what the TUF client persisted, so only what held.
 */
import { fromUtf8 } from '../../../shared/kernel/bytes.ts'
import { sha256Hex } from '../../../shared/kernel/sha256.ts'
import type { DurableState } from '../../../shared/update/state.ts'
import { byId, make, setText } from './dom.ts'
import { shortDigest } from './format.ts'

export interface TrustPanel {
  trusted(role: string, bytes: Uint8Array): void
  assignment(durable: DurableState): void
}

/** The parts of metadata that are shown; what is trusted has passed the client's own checks. */
interface Shown {
  readonly signed: {
    readonly version: number
    readonly expires: string
    readonly roles?: Readonly<Record<string, { keyids: readonly string[]; threshold: number }>>
  }
  readonly signatures: readonly { readonly keyid: string }[]
}

const WHAT: Readonly<Record<string, string>> = {
  root: 'Who may sign what',
  targets: 'Releases, by the publishers',
  snapshot: 'Which metadata belong together',
  timestamp: 'That they are fresh',
  production: 'Releases that are proven',
}

export function createTrustPanel(fingerprint: string): TrustPanel {
  const list = byId('trust', HTMLDListElement)
  const rows = new Map<string, HTMLElement>()
  const row = (key: string, title: string): HTMLElement => {
    const found = rows.get(key)
    if (found !== undefined) return found
    const value = make('dd', '')
    list.append(make('dt', '', title), value)
    rows.set(key, value)
    return value
  }
  setText(row('device', 'This device'), `key ${shortDigest(fingerprint)}`)

  return {
    trusted(role, bytes) {
      const text = fromUtf8(bytes)
      if (text === undefined) return
      const { signed, signatures } = JSON.parse(text) as Shown
      const parts = [`version ${signed.version}`, `until ${signed.expires.slice(0, 10)}`]
      const keys = signed.roles?.[role]
      if (keys !== undefined) parts.push(`${keys.threshold} of ${keys.keyids.length} keys`)
      else parts.push(`${signatures.length} signed`)
      if (role === 'root') parts.push(`SHA-256 ${shortDigest(sha256Hex(bytes))}`)
      const what = WHAT[role]
      setText(row(role, role), [...(what === undefined ? [] : [what]), ...parts].join(' · '))
    },
    assignment({ desired, models }) {
      if (desired !== null) {
        const facts = [`generation ${desired.generation}`, `epoch ${desired.directorEpoch}`]
        setText(row('assignment', 'assignment'), `For this device only · ${facts.join(' · ')}`)
      }
      for (const { model, current, candidate } of models) {
        for (const [slot, release] of Object.entries({ current, candidate })) {
          const key = `${model}/${slot}`
          if (release === null) {
            if (rows.has(key)) setText(row(key, slot), 'empty')
          } else {
            const digest = shortDigest(release.sha256)
            setText(row(key, slot), `${release.target} · SHA-256 ${digest} · verified`)
          }
        }
      }
    },
  }
}
