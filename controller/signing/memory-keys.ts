/** Online keys in memory, for simulation and tests: the same contract, no files. */
import { assert } from '../../shared/kernel/assert.ts'
import type { SyncSigner } from '../../shared/signing/keys.ts'
import type { OnlineKeys, OnlineSigners } from './online-keys.ts'

/** @param make gives a new key; without it nothing can be rotated. */
export function createMemoryKeys(signers: OnlineSigners, make?: () => SyncSigner): OnlineKeys {
  let present = signers
  let next: OnlineSigners | undefined
  return {
    signers: () => present,
    next: () => next,
    async prepare(roles) {
      assert(make !== undefined, 'these keys are never rotated')
      const fresh = Object.fromEntries(roles.map((role) => [role, make()]))
      next ??= { ...present, ...fresh }
      return next
    },
    switchToNext() {
      assert(next !== undefined, 'there are keys that wait')
      present = next
      next = undefined
    },
    keep: async () => undefined,
  }
}
