import { describe, expect, it } from 'vitest'
import { unwrap } from '../../../../shared/kernel/result.ts'
import { nodeVerifier } from '../../../../shared/node/verifier-node.ts'
import { acceptAssignment } from '../../../../shared/signing/assignment.ts'
import { checkSync, keyId } from '../../../../shared/signing/keys.ts'
import { directorOf } from '../../../../shared/signing/tuf/director.ts'
import { runTufSync } from '../../../../shared/signing/tuf/effects.ts'
import {
  addSignatures,
  nextTargets,
  releaseTargets,
  signTimestamp,
} from '../../../../shared/signing/tuf/publish.ts'
import {
  checkReleaseTarget,
  type ReleaseConstraints,
  STAGING_ROLE,
  verifiedTargets,
} from '../../../../shared/signing/tuf/release-target.ts'
import { buildRepository } from '../../../../shared/signing/tuf/repository.ts'
import { type FoundTarget, findTarget, findTargets } from '../../../../shared/signing/tuf/search.ts'
import { targetFileName, targetUrlPath } from '../../../../shared/signing/tuf/store-layout.ts'
import { checkFile } from '../../../../shared/signing/tuf/target-file.ts'
import {
  buildAssignment,
  buildInput,
  deviceKey,
  director,
  signedBytes,
  signerNumber,
} from '../build-assignment.ts'
import {
  dayMs,
  delegationTo,
  resign,
  signedOf,
  startMs,
  TestClient,
  TestRepository,
  targetOf,
} from './build-repository.ts'

const publishers = [signerNumber(80), signerNumber(81)]
const release = {
  model: 'motor',
  version: '1.1.0',
  profiles: ['edge-cpu'],
  releaseCounter: 5,
  minCounter: 3,
}
const artifact = { file: 'fp32.onnx', sha256: 'ab'.repeat(32), length: 900 }

/** One release, proven by two publishers; another one for staging only; a director. */
function releases(): TestRepository {
  return new TestRepository((model) => {
    model.director = { keys: [director.key], threshold: 1, directorEpoch: 3 }
    model.versions = { root: 1, timestamp: 4, snapshot: 4, targets: 4 }
    model.delegations = [
      delegationTo('production', { paths: ['*/*/*'], signers: publishers, threshold: 2 }),
      delegationTo(STAGING_ROLE, { paths: ['*/*/*'] }),
    ]
    const proven = {
      version: 1,
      targets: [...releaseTargets(release, [artifact])],
      delegations: [],
    }
    model.delegated.set('production', proven)
    const unproven = { ...release, version: '1.2.0', releaseCounter: 6 }
    const staged = { version: 1, targets: [...releaseTargets(unproven, [artifact])] }
    model.delegated.set(STAGING_ROLE, { ...staged, delegations: [] })
  })
}

function found(client: TestClient, path: string): FoundTarget {
  const trusted = client.refresh()
  if (typeof trusted === 'string') throw new Error(trusted)
  return unwrap(runTufSync(findTarget(trusted, path), client.ports))
}

describe('a release in the repository', () => {
  const client = new TestClient(releases())
  const device: ReleaseConstraints = {
    model: 'motor',
    profile: 'edge-cpu',
    staging: false,
    minCounterSeen: 0,
  }
  const proven = found(client, 'motor/1.1.0/fp32.onnx')
  const staged = found(client, 'motor/1.2.0/fp32.onnx')
  const code = (target: FoundTarget, changes: Partial<ReleaseConstraints> = {}): string => {
    const result = checkReleaseTarget(target, { ...device, ...changes })
    return result.ok ? result.value.version : result.error.code
  }

  it('suits the device that it was signed for', () => {
    expect(proven.roles).toEqual(['targets', 'production'])
    expect(code(proven)).toBe('1.1.0')
    expect(code(proven, { minCounterSeen: 5 })).toBe('1.1.0')
  })

  it('is refused for another model or profile, superseded, or not proven', () => {
    expect(code(proven, { model: 'pump' })).toBe('release.model')
    expect(code(proven, { profile: 'browser' })).toBe('release.profile')
    expect(code(proven, { minCounterSeen: 6 })).toBe('release.superseded')
    expect(code(staged)).toBe('release.unproven')
    expect(code(staged, { staging: true })).toBe('1.2.0')
  })

  it('is refused under the path of another release, or without its facts', () => {
    expect(code({ ...proven, path: 'motor/9.9.9/fp32.onnx' })).toBe('release.model')
    const { length, hashes } = proven.file
    const bare = { ...proven, file: { length, hashes, custom: undefined } }
    expect(code(bare)).toBe('release.malformed')
  })

  it('needs both publishers for production', () => {
    const repository = releases()
    repository.model.delegations[0]!.signers = publishers.slice(0, 1)
    repository.publishRest()
    const one = new TestClient(repository)
    expect(() => found(one, 'motor/1.1.0/fp32.onnx')).toThrow(/tuf.signature/)
  })

  it('is what an assignment of the director may name, and nothing else', () => {
    const trusted = client.refresh()
    if (typeof trusted === 'string') throw new Error(trusted)
    const targets = verifiedTargets(trusted.snapshot.version, [proven])
    const known = unwrap(directorOf(trusted.root))
    expect([...known.keys.keys()]).toEqual([keyId(director.key)])
    const verdict = (target: string): string => {
      const slots = [{ ...buildAssignment().slots[0]!, target }]
      const input = buildInput({ bytes: signedBytes({ slots }), director: known, targets })
      const result = checkSync(acceptAssignment(input), nodeVerifier)
      return result.ok ? result.value.assignment.deviceKey : result.error.code
    }
    expect(verdict('motor/1.1.0/fp32.onnx')).toBe(deviceKey)
    expect(verdict('motor/1.2.0/fp32.onnx')).toBe('assignment.target_mismatch')
  })

  it('is gone once it is removed from targets', () => {
    const repository = releases()
    const before = new TestClient(repository)
    found(before, 'motor/1.1.0/fp32.onnx')
    repository.next(({ delegated }) => {
      const role = delegated.get('production')!
      delegated.set('production', { ...role, version: 2, targets: [] })
    })
    expect(() => found(before, 'motor/1.1.0/fp32.onnx')).toThrow(/tuf.target_unknown/)
  })
})

describe('the publisher', () => {
  it('changes targets and keeps everything else, unknown fields included', () => {
    const repository = new TestRepository()
    const signed = { ...signedOf(repository.files.get('1.targets.json')!), 'x-note': 'kept' }
    const next = nextTargets(signed, {
      expiresMs: startMs + dayMs,
      add: [targetOf('new.txt'), targetOf('__proto__')],
      remove: ['file.txt'],
    })
    expect(Object.keys(next.targets as object)).toEqual(['new.txt', '__proto__'])
    expect(next).toMatchObject({ version: 2, expires: '2026-11-24T15:00:00Z', 'x-note': 'kept' })
  })

  it('collects signatures from people in separate places', () => {
    const repository = new TestRepository((model) => {
      model.signers.root = [...publishers]
      model.thresholds.root = 2
    })
    const root = signedOf(repository.files.get('1.root.json')!)
    const alone = resign(root, publishers.slice(0, 1))
    const client = new TestClient(repository)
    client.trusted.set('root', alone)
    expect(client.verdict()).toBe('tuf.signature')
    const together = unwrap(addSignatures(alone, publishers.slice(1)))
    client.trusted.set('root', unwrap(addSignatures(together, publishers.slice(1))))
    expect(client.verdict()).toBe('ok')
  })

  it('keeps a quiet repository fresh by a new timestamp alone', () => {
    const repository = new TestRepository((model) => {
      model.expiresMs.timestamp = startMs + dayMs
    })
    const client = new TestClient(repository)
    expect(client.verdict()).toBe('ok')
    expect(client.verdict(startMs + 2 * dayMs)).toBe('tuf.expired')
    const snapshot = repository.files.get('1.snapshot.json')!
    const role = { version: 2, expiresMs: startMs + 3 * dayMs }
    const signers = repository.model.signers.timestamp
    const timestamp = unwrap(signTimestamp(snapshot, { ...role, signers }))
    repository.files.set(timestamp.path, timestamp.bytes)
    expect(client.verdict(startMs + 2 * dayMs)).toBe('ok')
    expect(client.fetched).toEqual(['2.root.json', 'timestamp.json'])
  })

  it('makes a whole repository from nothing', () => {
    const client = new TestClient(new TestRepository())
    const expiresMs = startMs + dayMs
    const files = buildRepository({
      signers: {
        root: publishers,
        timestamp: [signerNumber(82)],
        snapshot: [signerNumber(82)],
        targets: publishers,
      },
      expiresMs: {
        root: expiresMs,
        timestamp: expiresMs,
        snapshot: expiresMs,
        targets: expiresMs,
      },
      director: { keys: [director.key], threshold: 1, directorEpoch: 1 },
      targets: [targetOf('x')],
      delegations: [delegationTo('production', { signers: publishers, threshold: 2 })],
    })
    client.repository.files.clear()
    for (const { path, bytes } of unwrap(files)) client.repository.files.set(path, bytes)
    expect([...client.repository.files.keys()]).toEqual([
      '1.root.json',
      '1.targets.json',
      '1.production.json',
      '1.snapshot.json',
      'timestamp.json',
    ])
    client.trusted.set('root', client.repository.files.get('1.root.json')!)
    expect(found(client, 'x').roles).toEqual(['targets'])
    expect(() => found(client, 'y')).toThrow(/tuf.target_unknown/)
    expect(client.trusted.has('production')).toBe(true)
  })

  it('names no director in a root of other people', () => {
    const client = new TestClient(new TestRepository())
    const trusted = client.refresh()
    if (typeof trusted === 'string') throw new Error(trusted)
    expect(directorOf(trusted.root)).toMatchObject({ error: { code: 'tuf.malformed' } })
  })
})

describe('targets as files', () => {
  const { length, sha256 } = targetOf('a/b.txt', 'hello')
  const file = { length, hashes: new Map([['sha256', sha256]]), custom: undefined }
  const bytes = new TextEncoder().encode('hello')
  const code = (data: Uint8Array, hashes = file.hashes): string => {
    const result = checkFile(data, { ...file, hashes }, 'a file')
    return result.ok ? 'ok' : result.error.code
  }

  it('have the signed length and hashes', () => {
    expect(code(bytes)).toBe('ok')
    expect(code(new TextEncoder().encode('hellO'))).toBe('tuf.mix_and_match')
    expect(code(bytes.subarray(1))).toBe('tuf.mix_and_match')
    expect(code(new Uint8Array(6))).toBe('tuf.endless_data')
  })

  it('must match every hash that can be checked, and one at least', () => {
    const both = new Map([...file.hashes, ['sha512', '00'.repeat(64)]])
    expect(code(bytes, both)).toBe('tuf.mix_and_match')
    expect(code(bytes, new Map([...file.hashes, ['md5', 'x']]))).toBe('ok')
    expect(code(bytes, new Map([['md5', 'x']]))).toBe('tuf.malformed')
  })

  it('are served under their digest where snapshots are consistent', () => {
    expect(targetUrlPath('a/b c.txt', file, true)).toBe(`a/${sha256}.b%20c.txt`)
    expect(targetUrlPath('a/b c.txt', file, false)).toBe('a/b%20c.txt')
    expect(targetUrlPath('a/../b', file, true)).toBeUndefined()
    expect(targetUrlPath('..', file, false)).toBeUndefined()
  })

  it('are stored under one flat name', () => {
    expect(targetFileName('a/../b')).toBe('a%2F..%2Fb')
    expect(targetFileName('..')).toBe('%2E.')
    expect(targetFileName('plain.txt')).toBe('plain.txt')
  })
})

describe('delegated search over several targets', () => {
  it('refuses all when one is missing', () => {
    const client = new TestClient(releases())
    const trusted = client.refresh()
    if (typeof trusted === 'string') throw new Error(trusted)
    const paths = ['motor/1.1.0/fp32.onnx', 'motor/1.1.0/missing.onnx']
    const result = runTufSync(findTargets(trusted, paths), client.ports)
    expect(result).toMatchObject({ error: { code: 'tuf.target_unknown' } })
  })
})
