/**
 * What the public conformance suite for TUF clients asks of one, as rows of our own: what the
 * repository does, what the client is told to do, and all that can be seen of it from outside.
 */
import { generateKeyPairSync, sign } from 'node:crypto'
import { fromUtf8, utf8 } from '../../shared/kernel/bytes.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { generatePrivateKey, nodeSigner } from '../../shared/node/signer-node.ts'
import type { JsonObject } from '../../shared/signing/canonical-json.ts'
import { keyId, type SyncSigner } from '../../shared/signing/keys.ts'
import { signerNumber } from '../shared/signing/build-assignment.ts'
import { dayMs, resign, signedOf, withBareMeta } from '../shared/signing/tuf/build-repository.ts'
import type { Before, Step, World } from './tuf-world.ts'

export interface Scenario {
  readonly name: string
  /** Also run with the built program and in a browser; the others run in this process. */
  readonly everywhere?: true
  readonly init?: (world: World) => void
  readonly steps: readonly Step[]
}

type Role = 'root' | 'timestamp' | 'snapshot' | 'targets'

const FIRST = ['2.root.json', 'timestamp.json', '1.snapshot.json', '1.targets.json']
const ONE = { root: 1, timestamp: 1, snapshot: 1, targets: 1 }
const TWO = { root: 1, timestamp: 2, snapshot: 2, targets: 2 }
const run = { refresh: true } as const
const refreshed: Step = { run, exit: 0, trusts: ONE }
const stranger = signerNumber(77)

const publish =
  (change: (world: World) => void = () => {}): Before =>
  (world) => {
    change(world)
    world.repository.next()
  }

/** Changes the JSON of a file that is served, its signatures as they are. */
function edit(world: World, path: string, change: (envelope: Envelope) => unknown): void {
  const envelope = JSON.parse(fromUtf8(world.repository.files.get(path)!)!) as Envelope
  world.repository.files.set(path, utf8(JSON.stringify(change(envelope))))
}
interface Envelope {
  signed: JsonObject
  signatures: { keyid: string; sig: string }[]
}

const withMoreFields = (signed: JsonObject): JsonObject => {
  const more = '"keyid_hash_algorithms":"md5","x":{"a":1},'
  const text = JSON.stringify(signed).replaceAll(/(?="keytype"|"threshold")/g, more)
  return { ...JSON.parse(text), 'x-more': { a: [1, { b: null }] } }
}

const BASICS: readonly Scenario[] = [
  {
    ...{ name: 'a first refresh asks for four files and trusts them', everywhere: true },
    steps: [{ run, exit: 0, asks: FIRST, trusts: ONE }],
  },
  {
    name: 'a download refreshes first, also for a target that nobody signed',
    steps: [{ run: { download: 'no such artifact' }, exit: 1, asks: FIRST, trusts: ONE }],
  },
  {
    name: 'a first root without version leads to no request',
    init: (world) => {
      const { version: _, ...signed } = signedOf(world.initialRoot)
      world.initialRoot = resign(signed, world.repository.model.signers.root)
    },
    steps: [{ run, exit: 1, asks: [] }],
  },
  {
    name: 'a first root that is signed wrongly leads to no request',
    init: (world) => {
      world.initialRoot = resign(signedOf(world.initialRoot), [stranger])
    },
    steps: [{ run, exit: 1, asks: [] }],
  },
  {
    name: 'files are kept byte by byte, blanks and all',
    steps: [
      {
        ...{ run, exit: 0, trusts: ONE },
        first({ repository }) {
          const text = fromUtf8(repository.files.get('timestamp.json')!)!
          repository.files.set('timestamp.json', utf8(`${text} \n`))
        },
      },
    ],
  },
  {
    name: 'fields that nobody knows are signed and harmless, key ids need not be digests',
    steps: [
      refreshed,
      {
        ...{ run, exit: 0, trusts: { ...TWO, root: 2 } },
        first(world) {
          const { repository } = world
          const id = keyId(repository.model.signers.targets[0]!.key)
          const renamed = <T>(value: T): T =>
            JSON.parse(JSON.stringify(value).replaceAll(id, 'a key of ours'))
          repository.model.twist.snapshot = withBareMeta('targets.json', 2)
          repository.nextRoot((model) => {
            model.twist.root = (signed) => withMoreFields(renamed(signed))
          })
          repository.next()
          edit(world, '2.targets.json', ({ signed, signatures }) => ({
            signed,
            signatures: renamed(signatures),
          }))
        },
      },
    ],
  },
  {
    ...{ name: 'time comes from the clock: a root that expires in 7 days', everywhere: true },
    steps: [
      {
        ...{ run, exit: 0, trusts: { ...ONE, root: 2 } },
        first: ({ repository }) =>
          repository.nextRoot((model) => {
            model.expiresMs.root = Date.now() + 7 * dayMs
          }),
      },
      { run, days: 8, exit: 1, trusts: { ...ONE, root: 2 } },
    ],
  },
]

const wrongly = (role: Role, asksLast: string, trusts: Step['trusts']): Scenario => ({
  name: `a ${role} file by a key that is not trusted stops there`,
  ...(role === 'targets' && { everywhere: true }),
  steps: [
    {
      ...{ run, exit: 1, asksLast, trusts: trusts! },
      first({ repository }) {
        const path = role === 'timestamp' ? 'timestamp.json' : role === 'root' ? '2.root.json' : ''
        repository.model.twist.timestamp = withBareMeta('snapshot.json', 2)
        repository.model.twist.snapshot = withBareMeta('targets.json', 2)
        repository.nextRoot()
        repository.next()
        const file = path === '' ? `2.${role}.json` : path
        repository.files.set(file, resign(signedOf(repository.files.get(file)!), [stranger]))
      },
    },
  ],
})

const misnumbered = (role: Exclude<Role, 'timestamp'>, trusts: Step['trusts']): Scenario => ({
  name: `a ${role} file of another version than its name stops there`,
  steps: [
    {
      ...{ run, exit: 1, asksLast: `2.${role}.json`, trusts: trusts! },
      first({ repository }) {
        repository.model.twist.timestamp = withBareMeta('snapshot.json', 2)
        repository.model.twist.snapshot = withBareMeta('targets.json', 2)
        repository.nextRoot()
        repository.next()
        const signed = { ...signedOf(repository.files.get(`2.${role}.json`)!), version: 3 }
        const bytes = resign(signed, repository.model.signers[role])
        repository.files.set(`2.${role}.json`, bytes)
      },
    },
  ],
})

const missing = (role: Exclude<Role, 'root'>, trusts: Step['trusts'], cut = false): Scenario => ({
  name: `a ${role} file ${cut ? 'whose connection is cut' : 'that is not there'} stops there`,
  steps: [
    refreshed,
    {
      ...{ run, exit: 1, trusts: trusts! },
      asksLast: role === 'timestamp' ? 'timestamp.json' : `2.${role}.json`,
      first(world) {
        world.repository.next()
        const file = role === 'timestamp' ? 'timestamp.json' : `2.${role}.json`
        if (cut) world.cut.add(`metadata/${file}`)
        else world.repository.files.delete(file)
      },
    },
  ],
})

const AT_EACH_ROLE: readonly Scenario[] = [
  wrongly('root', '2.root.json', { root: 1 }),
  wrongly('timestamp', 'timestamp.json', { root: 2 }),
  wrongly('snapshot', '2.snapshot.json', { root: 2, timestamp: 2 }),
  wrongly('targets', '2.targets.json', { root: 2, timestamp: 2, snapshot: 2 }),
  misnumbered('root', { root: 1 }),
  misnumbered('snapshot', { root: 2, timestamp: 2 }),
  misnumbered('targets', { root: 2, timestamp: 2, snapshot: 2 }),
  missing('timestamp', ONE),
  missing('snapshot', { ...ONE, timestamp: 2 }),
  missing('targets', { ...TWO, targets: 1 }),
  missing('timestamp', ONE, true),
  missing('targets', { ...TWO, targets: 1 }, true),
  {
    name: 'a root of the version that is trusted already is refused',
    steps: [
      {
        ...{ run, exit: 1, asks: ['2.root.json'], trusts: { root: 1 } },
        first: ({ repository }) =>
          void repository.files.set('2.root.json', repository.files.get('1.root.json')!),
      },
    ],
  },
  {
    name: 'a snapshot in the place of a timestamp is refused, rightly signed as it is',
    steps: [
      {
        ...{ run, exit: 1, asks: ['2.root.json', 'timestamp.json'], trusts: { root: 1 } },
        first({ repository }) {
          const signed = signedOf(repository.files.get('1.snapshot.json')!)
          const like = { ...signed, meta: { 'snapshot.json': { version: 1 } } }
          repository.files.set('timestamp.json', resign(like, repository.model.signers.timestamp))
        },
      },
    ],
  },
  {
    name: 'targets that are newer than the snapshot says are not asked for',
    steps: [
      refreshed,
      {
        ...{ run, exit: 0, asks: ['2.root.json', 'timestamp.json'], trusts: ONE },
        first({ repository }) {
          const signed = { ...signedOf(repository.files.get('1.targets.json')!), version: 2 }
          const bytes = resign(signed, repository.model.signers.targets)
          repository.files.set('2.targets.json', bytes)
        },
      },
    ],
  },
  {
    name: 'a listed hash that does not match is refused, a matching one is not',
    steps: [
      refreshed,
      { run, exit: 0, trusts: TWO, first: publish() },
      {
        ...{ run, exit: 1, trusts: { root: 1, timestamp: 3, snapshot: 3, targets: 2 } },
        first: publish(({ repository }) => {
          repository.model.twist.snapshot = (signed) => {
            const hashes = { sha256: sha256Hex('something else') }
            return { ...signed, meta: { 'targets.json': { version: 3, hashes } } }
          }
        }),
      },
    ],
  },
]

/** Nothing of ours signs so; others' repositories may. */
function pkcs1Signer(): SyncSigner {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  const text = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const key = { keytype: 'rsa', scheme: 'rsa-pkcs1v15-sha256', keyval: { public: text } }
  return { key, sign: (message) => sign('sha256', message, privateKey) }
}

const KEY_TYPES: readonly Scenario[] = [
  nodeSigner(generatePrivateKey('ed25519')),
  nodeSigner(generatePrivateKey('ecdsa-sha2-nistp256')),
  nodeSigner(generatePrivateKey('rsassa-pss-sha256')),
  pkcs1Signer(),
].map(
  (signer): Scenario => ({
    ...{ name: `${signer.key.scheme} signs a root, and a wrong signature of its form does not` },
    everywhere: true,
    steps: [
      {
        ...{ run, exit: 0, trusts: { ...ONE, root: 2 } },
        first: ({ repository }) =>
          repository.nextRoot((model) => {
            model.signers.root.push(signer)
            model.thresholds.root = 2
          }),
      },
      {
        ...{ run, exit: 1, asks: ['3.root.json'], trusts: { ...ONE, root: 2 } },
        first(world) {
          world.repository.nextRoot()
          edit(world, '3.root.json', ({ signed, signatures }) => ({
            signed,
            signatures: signatures.map(({ keyid, sig }) =>
              keyid === keyId(signer.key)
                ? { keyid, sig: Buffer.from(signer.sign(utf8('other'))).toString('hex') }
                : { keyid, sig },
            ),
          }))
        },
      },
    ],
  }),
)

const keysOfSnapshot = (count: number, threshold: number, signing: number): Before =>
  publish(({ repository }) => {
    const all = Array.from({ length: count }, (_, i) => signerNumber(80 + i))
    repository.nextRoot((model) => {
      model.signers.snapshot = all
      model.thresholds.snapshot = threshold
    })
    repository.model.signers.snapshot = all.slice(0, signing)
  })

const KEYS: readonly Scenario[] = [
  {
    name: 'a threshold of 3 takes 3 signatures and not 2',
    steps: [
      refreshed,
      { run, exit: 0, trusts: { ...TWO, root: 2 }, first: keysOfSnapshot(3, 3, 3) },
      {
        ...{ run, exit: 1, trusts: { root: 2, timestamp: 3, snapshot: 2, targets: 2 } },
        first: publish(({ repository }) => void repository.model.signers.snapshot.pop()),
      },
    ],
  },
  {
    name: 'a threshold over the number of keys is never reached',
    steps: [
      refreshed,
      {
        run,
        exit: 1,
        trusts: { root: 2, timestamp: 2, targets: 1 },
        first: keysOfSnapshot(5, 6, 5),
      },
    ],
  },
  {
    name: 'one key under many key ids, with one signature many times, counts once',
    steps: [
      {
        ...{ run, exit: 1 },
        first(world) {
          const { repository } = world
          const id = keyId(repository.model.signers.snapshot[0]!.key)
          repository.nextRoot((model) => {
            model.thresholds.snapshot = 6
            model.twist.root = (signed) => {
              const roles = signed.roles as Record<string, JsonObject>
              const keyids = Array.from({ length: 9 }, () => id)
              return { ...signed, roles: { ...roles, snapshot: { ...roles.snapshot, keyids } } }
            }
          })
          edit(world, '1.snapshot.json', ({ signed, signatures }) => ({
            signed,
            signatures: Array.from({ length: 9 }, () => signatures[0]!),
          }))
        },
      },
    ],
  },
  {
    name: 'the same signature twice is refused',
    steps: [
      {
        ...{ run, exit: 1, trusts: { root: 1, timestamp: 1 } },
        first(world) {
          world.repository.model.twist.timestamp = withBareMeta('snapshot.json', 1)
          world.repository.publishRest()
          edit(world, '1.snapshot.json', ({ signed, signatures }) => ({
            signed,
            signatures: [...signatures, ...signatures],
          }))
        },
      },
    ],
  },
  ...['00'.repeat(64), ''].map(
    (sig): Scenario => ({
      name: `a signature ${sig === '' ? 'of nothing' : 'that does not hold'} beside a good one does no harm`,
      steps: [
        {
          ...{ run, exit: 0, trusts: { ...ONE, root: 2 } },
          first(world) {
            const other = signerNumber(78)
            world.repository.nextRoot((model) => void model.signers.timestamp.push(other))
            world.repository.publishRest()
            edit(world, 'timestamp.json', ({ signed, signatures }) => ({
              signed,
              signatures: [{ ...signatures[1]!, sig }, signatures[0]!],
            }))
          },
        },
      ],
    }),
  ),
]

export const METADATA_SCENARIOS: readonly Scenario[] = [
  ...BASICS,
  ...AT_EACH_ROLE,
  ...KEY_TYPES,
  ...KEYS,
]
