import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../../shared/kernel/bytes.ts'
import { attackOf } from '../../../../shared/model/attack.ts'
import type { JsonObject } from '../../../../shared/signing/canonical-json.ts'
import { refresh } from '../../../../shared/signing/tuf/client.ts'
import { runTufAsync, runTufSync } from '../../../../shared/signing/tuf/effects.ts'
import { signerNumber } from '../build-assignment.ts'
import {
  dayMs,
  resign,
  setUp,
  signedOf,
  startMs,
  TestClient,
  TestRepository,
  targetOf,
  updated,
  withBareMeta,
} from './build-repository.ts'

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

  it('takes a snapshot of 2^14 bins (TAP 15)', () => {
    const bins = Array.from({ length: 2 ** 14 }, (_, i) => [
      `bin-${i.toString(16)}.json`,
      { version: 1 },
    ])
    const repository = new TestRepository((model) => {
      model.twist.timestamp = withBareMeta('snapshot.json', 1)
      model.twist.snapshot = (signed) => {
        const meta = { ...Object.fromEntries(bins), 'targets.json': { version: 1 } }
        return { ...signed, meta }
      }
    })
    expect(new TestClient(repository).verdict()).toBe('ok')
  })

  it('downloads next to nothing the second time', () => {
    const { client } = updated()
    expect(client.verdict()).toBe('ok')
    expect(client.fetched).toEqual(['2.root.json', 'timestamp.json'])
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

function withSnapshotVersion(version: number): (signed: JsonObject) => JsonObject {
  return (signed) => ({ ...signed, meta: { 'snapshot.json': { version } } })
}
