import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../../shared/kernel/bytes.ts'
import { generatePrivateKey, nodeSigner } from '../../../../shared/node/signer-node.ts'
import type { JsonObject } from '../../../../shared/signing/canonical-json.ts'
import type { SyncSigner } from '../../../../shared/signing/keys.ts'
import { refresh } from '../../../../shared/signing/tuf/client.ts'
import { runTufAsync, runTufSync } from '../../../../shared/signing/tuf/effects.ts'
import { defaultTufLimits } from '../../../../shared/signing/tuf/limits.ts'
import { attackOf } from '../../../../shared/signing/tuf/problems.ts'
import { signerNumber } from '../build-assignment.ts'
import {
  dayMs,
  resign,
  signedOf,
  startMs,
  TestClient,
  TestRepository,
  targetOf,
} from './build-repository.ts'

function setUp(): { repository: TestRepository; client: TestClient } {
  const repository = new TestRepository()
  return { repository, client: new TestClient(repository) }
}

function updated(): { repository: TestRepository; client: TestClient } {
  const both = setUp()
  expect(both.client.verdict()).toBe('ok')
  return both
}

const signers = Array.from({ length: 10 }, (_, i) => signerNumber(100 + i))

describe('a first refresh', () => {
  it('asks for the next root, timestamp, snapshot and targets, and trusts them', () => {
    const { client } = setUp()
    expect(client.verdict()).toBe('ok')
    expect(client.fetched).toEqual([
      '2.root.json',
      'timestamp.json',
      '1.snapshot.json',
      '1.targets.json',
    ])
    expect(client.versions()).toEqual({ root: 1, timestamp: 1, snapshot: 1, targets: 1 })
  })

  it('asks for names without version where snapshots are not consistent', () => {
    const repository = new TestRepository((model) => {
      model.consistentSnapshot = false
    })
    const client = new TestClient(repository)
    expect(client.verdict()).toBe('ok')
    expect(client.fetched.slice(2)).toEqual(['snapshot.json', 'targets.json'])
  })

  it('keeps the bytes as they were sent', () => {
    const { repository, client } = setUp()
    const spaced = utf8(`${new TextDecoder().decode(repository.files.get('timestamp.json'))} `)
    repository.files.set('timestamp.json', spaced)
    expect(client.verdict()).toBe('ok')
    expect(client.trusted.get('timestamp')).toEqual(spaced)
  })

  it('gives the same with ports that answer later', async () => {
    const { client } = setUp()
    const { ports } = client
    const trusted = await runTufAsync(refresh(startMs), {
      verifier: { verify: async (...args) => ports.verifier.verify(...args) },
      load: async (role) => ports.load(role),
      fetch: async (path, bytesMax) => ports.fetch(path, bytesMax),
      persist: async (role, bytes) => ports.persist(role, bytes),
      forget: async (role) => ports.forget(role),
    })
    expect(trusted.ok).toBe(true)
    expect(client.versions()).toEqual({ root: 1, timestamp: 1, snapshot: 1, targets: 1 })
  })

  it('downloads next to nothing the second time', () => {
    const { client } = updated()
    expect(client.verdict()).toBe('ok')
    expect(client.fetched).toEqual(['2.root.json', 'timestamp.json'])
  })
})

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

  it('ends, without a refusal, at the same version again (5.3.5)', () => {
    const { repository, client } = setUp()
    repository.files.set('2.root.json', repository.files.get('1.root.json')!)
    expect(client.verdict()).toBe('ok')
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

describe('clauses 5.4 to 5.6: timestamp, snapshot, targets', () => {
  it.each<['timestamp' | 'snapshot' | 'targets', object]>([
    ['timestamp', { root: 1, timestamp: 0, snapshot: 0, targets: 0 }],
    ['snapshot', { root: 1, timestamp: 1, snapshot: 0, targets: 0 }],
    ['targets', { root: 1, timestamp: 1, snapshot: 1, targets: 0 }],
  ])('%s must be signed, of its type, fresh and there; the roles before it stay', (role, kept) => {
    const cases: [string, (repository: TestRepository) => void][] = [
      [
        'tuf.signature',
        ({ model }) => {
          model.signers[role] = [signerNumber(99)]
        },
      ],
      [
        'tuf.expired',
        ({ model }) => {
          model.expiresMs[role] = startMs
        },
      ],
      [
        'tuf.malformed',
        ({ model }) => {
          model.twist[role] = (s) => ({ ...s, _type: 'root' })
        },
      ],
      [
        'tuf.malformed',
        ({ model }) => {
          model.twist[role] = (s) => ({ ...s, spec_version: '1' })
        },
      ],
      [
        'tuf.malformed',
        ({ model }) => {
          model.twist[role] = (s) => ({ ...s, expires: 'x' })
        },
      ],
    ]
    for (const [code, change] of cases) {
      const { repository, client } = setUp()
      change(repository)
      repository.publishRest()
      expect(client.verdict()).toBe(code)
      expect(client.versions()).toEqual(kept)
    }
    const { repository, client } = setUp()
    repository.files.delete(role === 'timestamp' ? 'timestamp.json' : `1.${role}.json`)
    expect(client.verdict()).toBe('tuf.unavailable')
    expect(client.versions()).toEqual(kept)
  })

  it('a rolled back timestamp is refused (5.4.3.1)', () => {
    const { repository, client } = setUp()
    const first = repository.files.get('timestamp.json')!
    repository.next()
    expect(client.verdict()).toBe('ok')
    repository.files.set('timestamp.json', first)
    expect(client.verdict()).toBe('tuf.rollback')
    expect(client.versions().timestamp).toBe(2)
  })

  it('a timestamp of the same version changes nothing, whatever it says (5.4.3.1)', () => {
    const { repository, client } = updated()
    repository.model.twist.timestamp = withSnapshotVersion(100)
    repository.publishRest()
    expect(client.verdict()).toBe('ok')
    expect(client.fetched.at(-1)).toBe('timestamp.json')
  })

  it('a frozen timestamp is noticed although nothing is new', () => {
    const { client } = updated()
    expect(client.verdict(startMs + 30 * dayMs - 1)).toBe('ok')
    expect(client.verdict(startMs + 30 * dayMs)).toBe('tuf.expired')
  })

  it('expired trusted files still guard against rollback and still lead to new ones', () => {
    const { repository, client } = updated()
    repository.nextRoot((model) => {
      model.expiresMs.root = startMs + 90 * dayMs
    })
    repository.next((model) => {
      for (const role of ['timestamp', 'snapshot', 'targets'] as const) {
        model.expiresMs[role] = startMs + 60 * dayMs
      }
    })
    expect(client.verdict(startMs + 40 * dayMs)).toBe('ok')
    expect(client.versions()).toEqual({ root: 2, timestamp: 2, snapshot: 2, targets: 2 })
  })

  it('a rolled back snapshot is refused from the timestamp alone (5.4.3.2)', () => {
    const { repository, client } = setUp()
    repository.next()
    expect(client.verdict()).toBe('ok')
    repository.model.versions.snapshot = 1
    repository.model.versions.timestamp = 3
    repository.publishRest()
    expect(client.verdict()).toBe('tuf.rollback')
    expect(client.fetched.at(-1)).toBe('timestamp.json')
    expect(client.versions()).toMatchObject({ timestamp: 2, snapshot: 2 })
  })

  it('rolled back or dropped targets are refused from the snapshot alone (5.5.5)', () => {
    const { repository, client } = setUp()
    repository.next((model) => {
      model.delegated.set('motor', { version: 2, targets: [], delegations: [] })
    })
    expect(client.verdict()).toBe('ok')
    const { model } = repository
    repository.next(() => {
      model.versions.targets = 1
    })
    expect(client.verdict()).toBe('tuf.rollback')
    expect(client.versions()).toMatchObject({ timestamp: 3, snapshot: 2, targets: 2 })
    repository.next(() => {
      model.versions.targets = 4
      model.delegated.delete('motor')
    })
    expect(client.verdict()).toBe('tuf.rollback')
    expect(client.versions()).toMatchObject({ timestamp: 4, snapshot: 2, targets: 2 })
  })

  it('files of different moments do not mix (5.5.2, 5.5.4, 5.6.2, 5.6.4)', () => {
    for (const role of ['snapshot', 'targets'] as const) {
      const { repository, client } = updated()
      repository.next()
      const name = `2.${role}.json`
      const file = signedOf(repository.files.get(name)!)
      const other = resign({ ...file, 'x-other': 1 }, repository.model.signers[role])
      repository.files.set(name, other)
      expect(['tuf.mix_and_match', 'tuf.endless_data']).toContain(client.verdict())
      repository.files.set(name, repository.files.get(`1.${role}.json`)!)
      expect(client.verdict()).toBe('tuf.mix_and_match')
      expect(client.versions()[role]).toBe(1)
    }
  })

  it('a version that differs from the listed one is refused where no hashes are listed', () => {
    for (const [role, lister] of [
      ['snapshot', 'timestamp'],
      ['targets', 'snapshot'],
    ] as const) {
      const { repository, client } = setUp()
      repository.model.twist[lister] = withBareMeta(`${role}.json`, 3)
      repository.publishRest()
      repository.files.set(`3.${role}.json`, repository.files.get(`1.${role}.json`)!)
      expect(client.verdict()).toBe('tuf.mix_and_match')
      expect(client.versions()[role]).toBe(0)
    }
  })

  it('no more bytes are taken than signed or than the limit', () => {
    const { repository, client } = setUp()
    repository.files.set('1.targets.json', new Uint8Array(4_000).fill(32))
    expect(client.verdict()).toBe('tuf.endless_data')
    repository.files.set('timestamp.json', new Uint8Array(70_000).fill(32))
    expect(client.verdict()).toBe('tuf.endless_data')
  })

  it('a trusted file that was damaged on disk is fetched again', () => {
    for (const role of ['timestamp', 'snapshot', 'targets'] as const) {
      const { client } = updated()
      for (const junk of ['', '{', '{"signed":{},"signatures":[]}', '[[[[']) {
        client.trusted.set(role, utf8(junk))
        expect(client.verdict()).toBe('ok')
        expect(client.versions()[role]).toBe(1)
      }
    }
  })
})

describe('thresholds count distinct keys', () => {
  const two = [signerNumber(60), signerNumber(61)]

  function repositoryOfTwo(): TestClient {
    return new TestClient(
      new TestRepository((model) => {
        model.signers.snapshot = [...two]
        model.thresholds.snapshot = 2
      }),
    )
  }

  it('two of two', () => {
    expect(repositoryOfTwo().verdict()).toBe('ok')
  })

  it('one of two is too few', () => {
    const client = repositoryOfTwo()
    const { repository } = client
    repository.model.signers.snapshot = [two[0]!]
    repository.publishRest()
    expect(client.verdict()).toBe('tuf.signature')
  })

  it('one signature twice is refused as a form', () => {
    const client = repositoryOfTwo()
    const bytes = client.repository.files.get('1.snapshot.json')!
    const { signed, signatures } = JSON.parse(new TextDecoder().decode(bytes))
    client.repository.model.twist.timestamp = withBareMeta('snapshot.json', 1)
    client.repository.publishRest()
    client.repository.writeEnvelope('1.snapshot.json', {
      signed,
      signatures: [signatures[0], signatures[0], signatures[1]],
    })
    expect(client.verdict()).toBe('envelope.malformed')
  })

  it('one key under two key ids counts once', () => {
    const client = repositoryOfTwo()
    const { repository } = client
    const bytes = repository.files.get('1.snapshot.json')!
    const { signed, signatures } = JSON.parse(new TextDecoder().decode(bytes))
    const alias = 'ab'.repeat(32)
    repository.nextRoot((model) => {
      model.twist.root = (root) => withAlias(root, signatures[0].keyid, alias)
    })
    repository.model.twist.timestamp = withBareMeta('snapshot.json', 1)
    repository.publishRest()
    const [first] = signatures
    const twice = [first, { keyid: alias, sig: first.sig }]
    repository.writeEnvelope('1.snapshot.json', { signed, signatures: twice })
    expect(client.verdict()).toBe('tuf.signature')
    expect(client.versions().root).toBe(2)
  })

  it('the same key id twice in a role is refused', () => {
    const { repository, client } = setUp()
    repository.nextRoot((model) => {
      model.twist.root = (root) => {
        const { roles } = root as { roles: Record<string, { keyids: string[]; threshold: number }> }
        const { keyids, threshold } = roles.snapshot!
        return {
          ...root,
          roles: { ...roles, snapshot: { keyids: [...keyids, ...keyids], threshold } },
        }
      }
    })
    expect(client.verdict()).toBe('tuf.malformed')
  })

  it('a wrong or empty signature beside enough good ones does no harm', () => {
    const { repository, client } = setUp()
    const { signed, signatures } = JSON.parse(
      new TextDecoder().decode(repository.files.get('timestamp.json')),
    )
    for (const sig of ['', '00', 'zz', 'ab'.repeat(64)]) {
      repository.nextRoot((model) => {
        model.signers.timestamp = [...model.signers.timestamp.slice(0, 1), signerNumber(62)]
      })
      const other = { keyid: 'ef'.repeat(32), sig }
      repository.writeEnvelope('timestamp.json', { signed, signatures: [other, ...signatures] })
      expect(client.verdict()).toBe('ok')
    }
  })
})

describe('the three signature schemes', () => {
  it.each(['ed25519', 'ecdsa-sha2-nistp256', 'rsassa-pss-sha256'] as const)('%s', (scheme) => {
    const signer = nodeSigner(generatePrivateKey(scheme))
    const { repository, client } = setUp()
    repository.nextRoot((model) => {
      model.signers.root = [...model.signers.root, signer]
      model.thresholds.root = 2
    })
    expect(client.verdict()).toBe('ok')
    repository.nextRoot()
    const bytes = repository.files.get('3.root.json')!
    const envelope = JSON.parse(new TextDecoder().decode(bytes))
    envelope.signatures[1].sig = envelope.signatures[1].sig.replace(/.{8}$/, '00000000')
    repository.writeEnvelope('3.root.json', envelope)
    expect(client.verdict()).toBe('tuf.signature')
    expect(client.versions().root).toBe(2)
  })
})

describe('a refusal', () => {
  it('says which attack it looked like', () => {
    const attack = (code: string) => attackOf({ code, message: '' })
    expect(attack('tuf.signature')).toBe('arbitrary_software')
    expect(attack('tuf.rollback')).toBe('rollback')
    expect(attack('tuf.expired')).toBe('freeze')
    expect(attack('tuf.mix_and_match')).toBe('mix_and_match')
    expect(attack('tuf.endless_data')).toBe('endless_data')
    expect(attack('tuf.slow_retrieval')).toBe('slow_retrieval')
    expect(attack('tuf.target_unknown')).toBeUndefined()
  })

  it('of the network leaves everything as it was', () => {
    const { repository, client } = updated()
    repository.next((model) => void model.targets.push(targetOf('new.txt')))
    const problem = { code: 'tuf.unavailable', message: 'no connection' }
    const offline = { ...client.ports, fetch: () => ({ kind: 'failed', problem }) as const }
    expect(runTufSync(refresh(startMs), offline)).toEqual({ ok: false, error: problem })
    expect(client.versions()).toEqual({ root: 1, timestamp: 1, snapshot: 1, targets: 1 })
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

/** The same key again, under another key id, in the snapshot role. */
function withAlias(root: JsonObject, keyid: string, alias: string): JsonObject {
  const keys = root.keys as Record<string, JsonObject>
  const roles = root.roles as Record<string, JsonObject>
  return {
    ...root,
    keys: { ...keys, [alias]: keys[keyid]! },
    roles: { ...roles, snapshot: { keyids: [keyid, alias], threshold: 2 } },
  }
}

function withSnapshotVersion(version: number): (signed: JsonObject) => JsonObject {
  return (signed) => ({ ...signed, meta: { 'snapshot.json': { version } } })
}

function withBareMeta(name: string, version: number): (signed: JsonObject) => JsonObject {
  return (signed) => ({ ...signed, meta: { ...(signed.meta as JsonObject), [name]: { version } } })
}
