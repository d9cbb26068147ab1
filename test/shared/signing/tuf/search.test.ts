import { describe, expect, it } from 'vitest'
import { sha256Hex } from '../../../../shared/kernel/sha256.ts'
import type { JsonObject } from '../../../../shared/signing/canonical-json.ts'
import { runTufSync } from '../../../../shared/signing/tuf/effects.ts'
import type { DelegationPlan } from '../../../../shared/signing/tuf/publish.ts'
import { findTarget, findTargets } from '../../../../shared/signing/tuf/search.ts'
import { signerNumber } from '../build-assignment.ts'
import {
  delegationTo,
  type RepositoryModel,
  startMs,
  TestClient,
  TestRepository,
  targetOf,
} from './build-repository.ts'

type Graph = [delegator: string, role: string, changes?: Partial<DelegationPlan>][]

function clientOf(
  graph: Graph,
  targets: [role: string, path: string][] = [],
  change: (model: RepositoryModel) => void = () => {},
): TestClient {
  return new TestClient(
    new TestRepository((model) => {
      for (const [delegator, name, changes] of graph) {
        const plan = delegationTo(name, changes)
        const role = roleOf(model, name)
        if (delegator === 'targets') model.delegations.push(plan)
        else roleOf(model, delegator).delegations.push(plan)
        role.targets.push(
          ...targets.filter(([by]) => by === name).map(([, path]) => targetOf(path)),
        )
        targets = targets.filter(([by]) => by !== name)
      }
      model.targets.push(...targets.map(([, path]) => targetOf(path)))
      change(model)
    }),
  )
}

function roleOf(model: RepositoryModel, name: string) {
  const role = model.delegated.get(name) ?? { version: 1, targets: [], delegations: [] }
  model.delegated.set(name, role)
  return role
}

/** The roles visited while looking for `path`, and who vouched for it or why nobody did. */
function search(client: TestClient, path: string): { visited: string[]; found: string } {
  const trusted = client.refresh()
  if (typeof trusted === 'string') return { visited: [], found: trusted }
  client.fetched = []
  const result = runTufSync(findTarget(trusted, path), client.ports)
  const visited = client.fetched.map((file) => decodeURIComponent(file.split('.')[1]!))
  return { visited, found: result.ok ? result.value.roles.join(' > ') : result.error.code }
}

describe('clause 5.6.7: the order of the search', () => {
  it.each<[string, Graph, string[]]>([
    ['one delegation', [['targets', 'A']], ['A']],
    [
      'two, in order',
      [
        ['targets', 'A'],
        ['targets', 'B'],
      ],
      ['A', 'B'],
    ],
    [
      'two levels',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['B', 'C'],
      ],
      ['A', 'B', 'C'],
    ],
    [
      'depth first',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['A', 'C'],
        ['A', 'D'],
      ],
      ['A', 'C', 'D', 'B'],
    ],
    [
      'a terminating delegation and what it delegates end the search',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['A', 'C', { terminating: true }],
        ['A', 'D'],
        ['C', 'E'],
      ],
      ['A', 'C', 'E'],
    ],
    [
      'a terminating delegation for other paths ends nothing',
      [
        ['targets', 'A', { terminating: true, paths: ['*.py'] }],
        ['targets', 'B'],
      ],
      ['B'],
    ],
    [
      'branches for other paths are left out',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['A', 'C', { paths: ['*.py'] }],
        ['C', 'D'],
      ],
      ['A', 'B'],
    ],
    [
      'a cycle ends',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['B', 'C'],
        ['C', 'D'],
        ['D', 'B'],
      ],
      ['A', 'B', 'C', 'D'],
    ],
    [
      'a role is visited once, under the first that delegates to it',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['B', 'C'],
        ['A', 'C'],
      ],
      ['A', 'C', 'B'],
    ],
  ])('%s', (_, graph, visited) => {
    const expected = { visited, found: 'tuf.target_unknown' }
    expect(search(clientOf(graph), 'missing')).toEqual(expected)
  })

  it('stops after the limit of visited roles', () => {
    const names = Array.from({ length: 40 }, (_, i) => `role${i}`)
    const client = clientOf(names.map((name) => ['targets', name]))
    expect(search(client, 'missing').visited).toHaveLength(32)
  })
})

describe('a target', () => {
  const graph: Graph = [
    ['targets', 'A', { paths: ['*.doc', '*.md'] }],
    ['targets', 'B', { paths: ['releases/*/*'] }],
    ['B', 'C', { paths: ['releases/x/*'] }],
    ['B', 'D', { paths: ['releases/y/*.zip'] }],
  ]
  const client = () =>
    clientOf(graph, [
      ['targets', 'plain'],
      ['A', 'README.md'],
      ['C', 'releases/x/v1'],
      ['D', 'releases/y/v1.zip'],
      ['D', 'releases/z/v1.zip'],
    ])

  it.each([
    ['plain', 'targets', []],
    ['README.md', 'targets > A', ['A']],
    ['releases/x/v1', 'targets > B > C', ['B', 'C']],
    ['releases/y/v1.zip', 'targets > B > D', ['B', 'D']],
    ['releases/z/v1.zip', 'tuf.target_unknown', ['B']],
    ['__proto__', 'tuf.target_unknown', []],
    ['constructor', 'tuf.target_unknown', []],
  ])('%s is vouched for by %s', (path, found, visited) => {
    expect(search(client(), path)).toEqual({ visited, found })
  })

  it('of the role with priority wins', () => {
    const both = clientOf(
      [
        ['targets', 'A'],
        ['targets', 'B'],
      ],
      [
        ['A', 'same'],
        ['B', 'same'],
      ],
    )
    expect(search(both, 'same').found).toBe('targets > A')
  })

  it('is looked up together with others without loading a role twice', () => {
    const one = client()
    const trusted = one.refresh()
    if (typeof trusted === 'string') throw new Error(trusted)
    one.fetched = []
    const paths = ['releases/x/v1', 'releases/y/v1.zip', 'plain']
    const found = runTufSync(findTargets(trusted, paths), one.ports)
    expect(found.ok && found.value.map(({ path }) => path)).toEqual(paths)
    expect(one.fetched).toEqual(['1.B.json', '1.C.json', '1.D.json'])
  })

  it('is found from the trusted files alone the next time', () => {
    const one = client()
    expect(search(one, 'releases/x/v1').visited).toEqual(['B', 'C'])
    expect(search(one, 'releases/x/v1')).toEqual({ visited: [], found: 'targets > B > C' })
  })
})

describe('delegated metadata', () => {
  it('must be signed by the keys that the delegating role names', () => {
    const other = signerNumber(70)
    const client = clientOf([['targets', 'A', { keys: [other.key] }]], [['A', 'x']])
    expect(search(client, 'x').found).toBe('tuf.signature')
  })

  it('need the threshold that the delegating role names', () => {
    const keys = [signerNumber(15).key, signerNumber(71).key]
    const client = clientOf([['targets', 'A', { keys, threshold: 2 }]], [['A', 'x']])
    expect(search(client, 'x').found).toBe('tuf.signature')
  })

  it('that have expired since they were trusted are not used', () => {
    const client = clientOf([['targets', 'A']], [['A', 'x']], (model) => {
      model.expiresMs.targets = startMs + 1_000
    })
    expect(search(client, 'x').found).toBe('targets > A')
    client.repository.next((model) => {
      model.twist.targets = (signed) => ({ ...signed, expires: '2027-01-01T00:00:00Z' })
    })
    const trusted = client.refresh(startMs + 2_000)
    if (typeof trusted === 'string') throw new Error(trusted)
    const result = runTufSync(findTarget(trusted, 'x'), client.ports)
    expect(result).toMatchObject({ error: { code: 'tuf.expired' } })
  })

  it('that the snapshot does not list end the search', () => {
    const client = clientOf([['targets', 'A']], [], (model) => void model.delegated.delete('A'))
    expect(search(client, 'x').found).toBe('tuf.mix_and_match')
  })

  it.each(['?', '#', '/delegated', '../delegated', 'sp ace', '.'])(
    'of a role named %s stay in their folder',
    (name) => {
      const client = clientOf([['targets', name]], [[name, 'x']])
      const trusted = client.refresh()
      if (typeof trusted === 'string') throw new Error(trusted)
      client.fetched = []
      expect(runTufSync(findTarget(trusted, 'x'), client.ports).ok).toBe(true)
      expect(client.fetched).toEqual([`1.${encodeURIComponent(name)}.json`])
      expect(client.trusted.has(name)).toBe(true)
    },
  )

  it.each<[string, (delegations: { roles: JsonObject[]; keys: JsonObject }) => void]>([
    [
      'named like a top-level role',
      ({ roles }) => {
        roles[0] = { ...roles[0], name: 'root' }
      },
    ],
    ['named twice', ({ roles }) => void roles.push(roles[0]!)],
    [
      'with paths and prefixes',
      ({ roles }) => {
        roles[0] = { ...roles[0], path_hash_prefixes: [] }
      },
    ],
    [
      'with neither',
      ({ roles }) => {
        roles[0] = omit(roles[0]!, 'paths')
      },
    ],
    [
      'without a threshold',
      ({ roles }) => {
        roles[0] = omit(roles[0]!, 'threshold')
      },
    ],
    [
      'with a very long name',
      ({ roles }) => {
        roles[0] = { ...roles[0], name: 'é'.repeat(80) }
      },
    ],
    [
      'with a pattern of more than 512 characters',
      ({ roles }) => {
        roles[0] = { ...roles[0], paths: ['['.repeat(513)] }
      },
    ],
    [
      'with patterns of more than 65,536 characters',
      ({ roles }) => {
        roles[0] = { ...roles[0], paths: Array.from({ length: 129 }, () => '*a'.repeat(255)) }
      },
    ],
  ])('of a role %s are refused', (_, change) => {
    const client = clientOf([['targets', 'A']], [], (model) => {
      model.twist.targets = (signed) => {
        const copy = structuredClone(signed) as { delegations?: never } & JsonObject
        if (copy.delegations !== undefined) change(copy.delegations)
        return copy
      }
    })
    expect(client.verdict()).toBe('tuf.malformed')
  })
})

describe('delegation by hash', () => {
  const digest = sha256Hex('a/b')

  it.each([
    [digest.slice(0, 1), true],
    [digest.slice(0, 8), true],
    [digest, true],
    [digest[0] === '0' ? '1' : '0', false],
  ])('with the prefix %s trusts: %s', (prefix, trusts) => {
    const client = clientOf([['targets', 'A']], [['A', 'a/b']], (model) => {
      model.twist.targets = (signed) => {
        const { keys, roles } = signed.delegations as { keys: JsonObject; roles: JsonObject[] }
        const role = { ...omit(roles[0]!, 'paths'), path_hash_prefixes: [prefix] }
        return { ...signed, delegations: { keys, roles: [role] } }
      }
    })
    expect(search(client, 'a/b').found).toBe(trusts ? 'targets > A' : 'tuf.target_unknown')
  })

  it('in succinct form picks the bin by the first bits (TAP 15)', () => {
    const bits = 5
    const bin = (Number.parseInt(digest.slice(0, 2), 16) >> (8 - bits)).toString(16)
    const name = `bin-${bin.padStart(2, '0')}`
    const client = clientOf([['targets', name]], [[name, 'a/b']], (model) => {
      model.twist.targets = (signed) => {
        const { keys, roles } = signed.delegations as { keys: JsonObject; roles: JsonObject[] }
        const { keyids, threshold } = roles[0]! as { keyids: string[]; threshold: number }
        const succinct = { keyids, threshold, bit_length: bits, name_prefix: 'bin' }
        return { ...signed, delegations: { keys, succinct_roles: succinct } }
      }
    })
    expect(search(client, 'a/b')).toEqual({ visited: [name], found: `targets > ${name}` })
  })
})

function omit(object: JsonObject, name: string): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== name))
}
