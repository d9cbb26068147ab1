/**
 * The key ceremony of the simulated fleet: a root that names publishers and controller, and targets
 * metadata over the published releases, as `linnet key` and `linnet release` would make them.
 */
import type { OnlineSigners } from '../../controller/signing/online-keys.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import type { SyncSigner } from '../../shared/signing/keys.ts'
import {
  type RolePlan,
  rootMetadata,
  signRole,
  targetsMetadata,
} from '../../shared/signing/tuf/publish.ts'
import { type PublishedRelease, targetsOf } from './publisher.ts'
import { type SignatureKind, signerNamed } from './sim-keys.ts'
import { WORLD_START_MS } from './world.ts'

const YEAR_MS = 365 * 86_400_000

export interface Ceremony {
  readonly online: OnlineSigners
  readonly root: Uint8Array
  readonly targets: Uint8Array
}

export function holdCeremony(
  releases: readonly PublishedRelease[],
  signatures: SignatureKind,
): Ceremony {
  const signer = (name: string): SyncSigner => signerNamed(name, signatures)
  const alone = (...signers: readonly SyncSigner[]): RolePlan => ({
    keys: signers.map(({ key }) => key),
    threshold: 1,
  })
  const online: OnlineSigners = {
    director: signer('director'),
    snapshot: signer('snapshot'),
    timestamp: signer('timestamp'),
  }
  const [rootSigner, publisher] = [signer('root'), signer('publisher')]
  const expiresMs = WORLD_START_MS + YEAR_MS
  const root = rootMetadata({
    version: 1,
    expiresMs,
    roles: {
      root: alone(rootSigner),
      targets: alone(publisher),
      snapshot: alone(online.snapshot),
      timestamp: alone(online.timestamp),
    },
    director: { ...alone(online.director), directorEpoch: 1 },
  })
  const entries = releases.flatMap((release, i) => targetsOf(release, i + 1))
  const targets = targetsMetadata({ version: 1, expiresMs, targets: entries })
  return {
    online,
    root: unwrap(signRole('root', root, [rootSigner])).bytes,
    targets: unwrap(signRole('targets', targets, [publisher])).bytes,
  }
}
