import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../../../shared/signing/canonical-json.ts'
import type { SyncSigner } from '../../../../shared/signing/keys.ts'
import { refresh } from '../../../../shared/signing/tuf/client.ts'
import { runTufSync } from '../../../../shared/signing/tuf/effects.ts'
import { defaultTufLimits } from '../../../../shared/signing/tuf/limits.ts'
import { signerNumber } from '../build-assignment.ts'
import {
  dayMs,
  resign,
  setUp,
  signedOf,
  startMs,
  TestClient,
  TestRepository,
  updated,
} from './build-repository.ts'

const signers = Array.from({ length: 10 }, (_, i) => signerNumber(100 + i))

describe('clause 5.2: the trusted root', () => {
  it.each<[string, (root: JsonObject) => JsonObject | undefined, string]>([
    ['is missing', () => undefined, 'tuf.no_trusted_root'],
    ['lacks a version', ({ version: _, ...rest }) => rest, 'tuf.malformed'],
    ['is for another specification', (root) => ({ ...root, spec_version: '2.0' }), 'tuf.malformed'],
    ['has a threshold of zero', withRootThreshold(0), 'tuf.malformed'],
    ['wants more signatures than it has', withRootThreshold(2), 'tuf.signature'],
  ])('stops everything when it %s', (_, change, code) => {
    const { repository, client } = setUp()
    const root = change(signedOf(repository.files.get('1.root.json')!))
    if (root === undefined) client.trusted.delete('root')
    else client.trusted.set('root', resign(root, repository.model.signers.root))
    expect(client.verdict()).toBe(code)
    expect(client.fetched).toEqual([])
  })

  it('stops everything when it is not signed by itself', () => {
    const { repository, client } = setUp()
    const root = signedOf(repository.files.get('1.root.json')!)
    client.trusted.set('root', resign(root, [signerNumber(99)]))
    expect(client.verdict()).toBe('tuf.signature')
    expect(client.fetched).toEqual([])
  })

  it('may have expired when there is a newer one', () => {
    const repository = new TestRepository((model) => {
      model.expiresMs.root = startMs - dayMs
    })
    const client = new TestClient(repository)
    expect(client.verdict()).toBe('tuf.expired')
    repository.nextRoot((model) => {
      model.expiresMs.root = startMs + dayMs
    })
    expect(client.verdict()).toBe('ok')
  })
})

describe('clause 5.3: the chain of roots', () => {
  /** Keys, threshold and signers of each version by number; whether the last is accepted. */
  const chains: [string, [number[], number, number[]][], boolean][] = [
    [
      'one key after another',
      [
        [[1], 1, [1]],
        [[2], 1, [1, 2]],
        [[2], 1, [2]],
      ],
      true,
    ],
    [
      'signatures of strangers',
      [
        [[1], 1, [3, 1, 4]],
        [[2], 1, [3, 2, 1, 4]],
      ],
      true,
    ],
    [
      '3 of 5, any three',
      [
        [[0, 1, 2, 3, 4], 3, [0, 2, 4]],
        [[0, 1, 2, 3, 4], 3, [0, 4, 1]],
      ],
      true,
    ],
    [
      '3 of 5, one exchanged',
      [
        [[0, 1, 2, 3, 4], 3, [0, 2, 4]],
        [[0, 1, 3, 4, 5], 3, [0, 4, 1]],
      ],
      true,
    ],
    [
      '3 of 5, all exchanged',
      [
        [[0, 1, 2, 3, 4], 3, [0, 2, 4]],
        [[5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7]],
        [[5, 6, 7, 8, 9], 3, [5, 6, 7]],
      ],
      true,
    ],
    [
      'a higher threshold',
      [
        [[1, 2, 3], 1, [1]],
        [[1, 2, 3], 2, [1, 2]],
      ],
      true,
    ],
    [
      'a lower threshold',
      [
        [[1, 2, 3], 2, [1, 2]],
        [[1, 2, 3], 1, [1, 2]],
        [[1, 2, 3], 1, [1]],
      ],
      true,
    ],
    [
      'not signed by the old key',
      [
        [[1], 1, [1]],
        [[2], 1, [2, 3, 4]],
      ],
      false,
    ],
    [
      'not signed by the new key',
      [
        [[1], 1, [1]],
        [[2], 1, [1, 3, 4]],
      ],
      false,
    ],
    [
      'too few of the new keys',
      [
        [[0, 1, 2, 3, 4], 3, [0, 2, 4]],
        [[0, 1, 3, 4, 5], 3, [0, 2, 4]],
      ],
      false,
    ],
    [
      'too few of the old keys',
      [
        [[0, 1, 2, 3, 4], 3, [0, 2, 4]],
        [[0, 1, 3, 4, 5], 3, [0, 4, 5]],
      ],
      false,
    ],
    [
      'below the new threshold',
      [
        [[1, 2, 3], 1, [1]],
        [[1, 2, 3], 2, [2]],
      ],
      false,
    ],
    [
      'below the old threshold',
      [
        [[1, 2, 3], 2, [1, 2]],
        [[1, 2, 3], 1, [1]],
      ],
      false,
    ],
  ]

  it.each(chains)('%s', (_, versions, accepted) => {
    const repository = new TestRepository()
    versions.forEach(([keys, threshold, by], i) => {
      const { model } = repository
      model.versions.root = i + 1
      model.signers.root = by.map((n) => signers[n]!)
      model.thresholds.root = threshold
      model.twist.root = (signed) =>
        withRootKeys(
          signed,
          keys.map((n) => signers[n]!),
        )
      repository.publishRoot()
    })
    const client = new TestClient(repository)
    expect(client.verdict()).toBe(accepted ? 'ok' : 'tuf.signature')
    expect(client.versions().root).toBe(accepted ? versions.length : versions.length - 1)
  })

  it('is followed over many versions in one update, and no further than the limit', () => {
    const { repository, client } = setUp()
    for (let i = 0; i < 20; i++) {
      repository.nextRoot((model) => {
        model.signers.root = [signerNumber(30 + i)]
      })
    }
    const limited = refresh(startMs, { ...defaultTufLimits, rootRotationsMax: 5 })
    expect(runTufSync(limited, client.ports)).toMatchObject({
      error: { code: 'tuf.too_many_roots' },
    })
    expect(client.versions().root).toBe(7)
    expect(client.verdict()).toBe('ok')
    expect(client.versions().root).toBe(21)
  })

  it('refuses a version left out, and one below', () => {
    for (const version of [4, 1]) {
      const { repository, client } = setUp()
      repository.nextRoot((model) => {
        model.twist.root = (signed) => ({ ...signed, version: 2 })
      })
      expect(client.verdict()).toBe('ok')
      const root = { ...signedOf(repository.files.get('2.root.json')!), version }
      repository.files.set('3.root.json', resign(root, repository.model.signers.root))
      expect(client.verdict()).toBe('tuf.rollback')
      expect(client.versions().root).toBe(2)
    }
  })

  it('refuses the same version again (5.3.5: precisely N+1)', () => {
    const { repository, client } = setUp()
    repository.files.set('2.root.json', repository.files.get('1.root.json')!)
    expect(client.verdict()).toBe('tuf.rollback')
    expect(client.versions().root).toBe(1)
  })

  it('trusts a root that has expired, and then stops (5.3.10)', () => {
    const { repository, client } = updated()
    repository.nextRoot((model) => {
      model.expiresMs.root = startMs
    })
    repository.next()
    expect(client.verdict()).toBe('tuf.expired')
    expect(client.versions()).toEqual({ root: 2, timestamp: 1, snapshot: 1, targets: 1 })
  })

  it('keeps what nobody asked for: unknown fields are signed and accepted', () => {
    const { repository, client } = setUp()
    repository.nextRoot((model) => {
      model.twist.root = (signed) => ({ ...signed, 'x-note': { a: [1, { b: null }] } })
    })
    expect(client.verdict()).toBe('ok')
    const root = signedOf(client.trusted.get('root')!)
    client.trusted.set('root', resign(root, [signerNumber(99)]))
    expect(client.verdict()).toBe('tuf.signature')
  })
})

describe('clause 5.3.11: recovery from a fast-forward attack', () => {
  const far = 1_000_000

  it.each(['timestamp', 'snapshot'] as const)('when the %s key is exchanged', (role) => {
    const { repository, client } = setUp()
    repository.next((model) => {
      model.versions = { root: 1, timestamp: far, snapshot: far, targets: far }
    })
    expect(client.verdict()).toBe('ok')
    repository.nextRoot((model) => {
      model.signers[role] = [signerNumber(50)]
      model.versions = { root: 2, timestamp: 2, snapshot: 2, targets: 2 }
    })
    repository.publishRest()
    expect(client.verdict()).toBe('ok')
    expect(client.versions()).toEqual({ root: 2, timestamp: 2, snapshot: 2, targets: 2 })
  })

  it('also when the root that exchanged the key had expired before the next one came', () => {
    const { repository, client } = setUp()
    repository.next((model) => {
      model.versions = { root: 1, timestamp: far, snapshot: far, targets: far }
    })
    expect(client.verdict()).toBe('ok')
    const { root: validMs } = repository.model.expiresMs
    repository.nextRoot((model) => {
      model.signers.snapshot = [signerNumber(50)]
      model.expiresMs.root = startMs
    })
    expect(client.verdict()).toBe('tuf.expired')
    repository.nextRoot((model) => {
      model.expiresMs.root = validMs
      model.versions = { root: 3, timestamp: 2, snapshot: 2, targets: 2 }
    })
    repository.publishRest()
    expect(client.verdict()).toBe('ok')
    expect(client.versions()).toEqual({ root: 3, timestamp: 2, snapshot: 2, targets: 2 })
  })

  it('does not happen when a key is added', () => {
    const { repository, client } = setUp()
    repository.next((model) => {
      model.versions.timestamp = far
    })
    expect(client.verdict()).toBe('ok')
    repository.nextRoot((model) => {
      model.signers.timestamp.push(signerNumber(50))
      model.versions.timestamp = 2
    })
    repository.publishRest()
    expect(client.verdict()).toBe('tuf.rollback')
  })
})

function withRootThreshold(threshold: number): (root: JsonObject) => JsonObject {
  return (root) => {
    const roles = root.roles as Record<string, JsonObject>
    return { ...root, roles: { ...roles, root: { ...roles.root, threshold } } }
  }
}

/** Names other keys for root than those that sign. */
function withRootKeys(root: JsonObject, by: readonly SyncSigner[]): JsonObject {
  const repository = new TestRepository((model) => {
    model.signers.root = [...by]
  })
  const named = signedOf(repository.files.get('1.root.json')!)
  const roles = root.roles as Record<string, JsonObject>
  const namedRoles = named.roles as Record<string, JsonObject>
  const keyids = namedRoles.root!.keyids!
  return {
    ...root,
    keys: { ...(root.keys as JsonObject), ...(named.keys as JsonObject) },
    roles: { ...roles, root: { ...roles.root, keyids } },
  }
}
