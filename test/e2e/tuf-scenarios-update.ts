/** More rows of `tuf-scenarios.ts`: going back, running out, downloads. */
import { sha512 } from '@noble/hashes/sha2.js'
import { toHex, utf8 } from '../../shared/kernel/bytes.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { JsonObject } from '../../shared/signing/canonical-json.ts'
import { signerNumber } from '../shared/signing/build-assignment.ts'
import { dayMs, type RepositoryModel } from '../shared/signing/tuf/build-repository.ts'
import type { Scenario } from './tuf-scenarios.ts'
import type { Before, Step, World } from './tuf-world.ts'

const AGAIN = ['2.root.json', 'timestamp.json', '2.snapshot.json', '2.targets.json']
const run = { refresh: true } as const
const all = (version: number) => ({
  ...{ timestamp: version, snapshot: version, targets: version },
})
const get = (name: string) => ({ download: name })

const publish =
  (change: (model: RepositoryModel) => void = () => {}): Before =>
  ({ repository }) =>
    repository.next(change)

const withVersions =
  (versions: Partial<RepositoryModel['versions']>): Before =>
  ({ repository }) => {
    Object.assign(repository.model.versions, versions)
    repository.publishRest()
  }

/** Lists files by version alone, as most repositories do. */
const bare = ({ repository: { model } }: World): void => {
  const without = (signed: JsonObject): JsonObject => {
    const meta = Object.entries(signed.meta as JsonObject)
    const versions = meta.map(([name, file]) => [name, { version: (file as JsonObject).version }])
    return { ...signed, meta: Object.fromEntries(versions) as JsonObject }
  }
  model.twist.timestamp = without
  model.twist.snapshot = without
}

const goingBack = (hashes: boolean): readonly Scenario[] => {
  const init = hashes ? undefined : bare
  const of = (name: string, steps: readonly Step[]): Scenario => ({
    name: `${name}, ${hashes ? 'with' : 'without'} hashes`,
    ...(init && { init }),
    steps: [{ run, exit: 0, trusts: { root: 1, ...all(2) }, first: publish() }, ...steps],
  })
  return [
    of('an older timestamp is refused', [
      {
        ...{ run, exit: 1, asksLast: 'timestamp.json', trusts: { root: 1, ...all(2) } },
        first: withVersions({ timestamp: 1 }),
      },
    ]),
    of('an older snapshot is refused by the timestamp alone', [
      {
        ...{ run, exit: 1, asksLast: 'timestamp.json', trusts: { root: 1, ...all(2) } },
        first: withVersions({ timestamp: 3, snapshot: 1 }),
      },
    ]),
    of('older targets are refused by the snapshot alone', [
      {
        ...{ run, exit: 1, asksLast: '3.snapshot.json' },
        trusts: { root: 1, ...all(2), timestamp: 3 },
        first: withVersions({ timestamp: 3, snapshot: 3, targets: 1 }),
      },
    ]),
    of('another content under the trusted version changes nothing', [
      {
        ...{ run, exit: 0, asksLast: 'timestamp.json', trusts: { root: 1, ...all(2) } },
        first: withVersions({ timestamp: 2, snapshot: 100 }),
      },
    ]),
  ]
}

const recovery = (role: 'timestamp' | 'snapshot'): Scenario => ({
  name: `a new ${role} key lets versions start over after a fast-forward`,
  steps: [
    {
      ...{ run, exit: 0, trusts: { root: 1, ...all(99_999) } },
      first: withVersions(all(99_999)),
    },
    {
      ...{ run, exit: 0, trusts: { root: 2, ...all(1) } },
      first(world) {
        world.repository.nextRoot((model) => {
          model.signers[role] = [signerNumber(90)]
        })
        withVersions(all(1))(world)
      },
    },
  ],
})

const expired = (
  role: 'timestamp' | 'snapshot' | 'targets',
  asksLast: string,
  trusts: Record<string, number>,
): Scenario => ({
  name: `an expired ${role} file stops there`,
  steps: [
    { run, exit: 0 },
    {
      ...{ run, exit: 1, asksLast, trusts: { root: 1, ...trusts } },
      first: publish((model) => {
        model.expiresMs[role] = Date.now() - 5 * dayMs
      }),
    },
  ],
})

const ranOut = (role: 'timestamp' | 'snapshot' | 'targets'): Scenario => ({
  name: `a ${role} file that ran out on the disk is not used, its next version is`,
  steps: [
    {
      ...{ run, exit: 0, trusts: { root: 1, ...all(2) } },
      first: publish((model) => {
        model.expiresMs[role] = Date.now() + 7 * dayMs
      }),
    },
    { run, days: 18, exit: 1, trusts: { root: 1, ...all(2) } },
    {
      ...{ run, days: 18, exit: 0, trusts: { root: 1, ...all(3) } },
      first: publish((model) => {
        model.expiresMs[role] = Date.now() + 21 * dayMs
      }),
    },
  ],
})

const EXPIRY: readonly Scenario[] = [
  {
    name: 'an expired root is trusted, and nothing after it is asked for',
    steps: [
      { run, exit: 0 },
      {
        ...{ run, exit: 1, asks: ['2.root.json', '3.root.json'], trusts: { root: 2, ...all(1) } },
        first({ repository }) {
          repository.nextRoot((model) => {
            model.expiresMs.root = Date.now() - dayMs
          })
          repository.next()
        },
      },
    ],
  },
  expired('timestamp', 'timestamp.json', all(1)),
  expired('snapshot', '2.snapshot.json', { ...all(1), timestamp: 2 }),
  expired('targets', '2.targets.json', { ...all(2), targets: 1 }),
  ranOut('timestamp'),
  ranOut('snapshot'),
  ranOut('targets'),
]

const hashed = (algorithms: readonly string[], exit: 0 | 1): Scenario => {
  const content = 'target file contents'
  const digests: Readonly<Record<string, string>> = {
    sha256: sha256Hex(content),
    sha512: toHex(sha512(utf8(content))),
    unknown: 'ab'.repeat(32),
  }
  const hashes = Object.fromEntries(algorithms.map((name) => [name, digests[name]!]))
  return {
    name: `a target with ${algorithms.join(' and ')} is ${exit === 0 ? 'taken' : 'refused'}`,
    steps: [
      {
        ...{ run: get('file.txt'), exit, has: exit === 0 ? [content] : [] },
        first(world) {
          world.addTarget('file.txt', content)
          world.repository.model.twist.targets = (signed) => ({
            ...signed,
            targets: { 'file.txt': { length: content.length, hashes } },
          })
          world.repository.next()
        },
      },
    ],
  }
}

const offered =
  (path: string, content: string): Before =>
  (world) => {
    world.addTarget(path, content)
    world.repository.next()
  }

const DOWNLOADS: readonly Scenario[] = [
  {
    ...{ name: 'a target in folders is downloaded once', everywhere: true },
    steps: [
      {
        ...{ run: get('path/to/a/file.txt'), exit: 0, has: ['one'] },
        asks: [...AGAIN, `targets/path/to/a/${sha256Hex('one')}.file.txt`],
        first: offered('path/to/a/file.txt', 'one'),
      },
      {
        ...{ run: get('path/to/a/file.txt'), exit: 0, has: ['one'] },
        asks: ['2.root.json', 'timestamp.json'],
      },
    ],
  },
  {
    name: 'a target whose name needs quoting is asked for quoted, and kept in its folder',
    steps: [
      {
        ...{ run: get('a b/ü ?#%41/../.txt'), exit: 1, has: [] },
        first: offered('a b/ü ?#%41/../.txt', 'one'),
      },
      {
        ...{ run: get('a b/ü ?#%41.txt'), exit: 0, has: ['one'] },
        asksLast: `targets/a%20b/${sha256Hex('one')}.%C3%BC%20%3F%23%2541.txt`,
        first: offered('a b/ü ?#%41.txt', 'one'),
      },
      { run: get('a b/ü ?#%41.txt'), exit: 0, has: ['one'], asksLast: 'timestamp.json' },
    ],
  },
  {
    name: 'a refresh downloads no target',
    steps: [{ run, exit: 0, has: [], first: offered('file.txt', 'one') }],
  },
  {
    name: 'other bytes than signed are not taken, a newer target replaces the old',
    steps: [
      { run: get('file.txt'), exit: 0, has: ['one'], first: offered('file.txt', 'one') },
      {
        ...{ run: get('file.txt'), exit: 0, has: ['one'] },
        first: ({ targets }) => void targets.set('file.txt', 'bad'),
      },
      {
        ...{ run: get('file.txt'), exit: 1, has: ['one'] },
        first(world) {
          world.addTarget('file.txt', 'two')
          world.repository.next()
          world.targets.set('file.txt', 'bad')
        },
      },
      {
        ...{ run: get('file.txt'), exit: 0, has: ['two'] },
        first: ({ targets }) => void targets.set('file.txt', 'two'),
      },
    ],
  },
  {
    name: 'without consistent snapshots names have neither version nor digest',
    steps: [
      {
        ...{ run: get('a/file.txt'), exit: 0, has: ['one'], trusts: { root: 2, ...all(2) } },
        asks: [
          ...['2.root.json', '3.root.json', 'timestamp.json', 'snapshot.json', 'targets.json'],
          'targets/a/file.txt',
        ],
        first(world) {
          world.repository.nextRoot((model) => {
            model.consistentSnapshot = false
          })
          offered('a/file.txt', 'one')(world)
        },
      },
    ],
  },
  hashed(['sha256'], 0),
  hashed(['sha512'], 0),
  hashed(['sha256', 'sha512'], 0),
  hashed(['unknown'], 1),
]

export const UPDATE_SCENARIOS: readonly Scenario[] = [
  ...goingBack(true),
  ...goingBack(false),
  recovery('timestamp'),
  recovery('snapshot'),
  ...EXPIRY,
  ...DOWNLOADS,
]
