/** More rows of `tuf-scenarios.ts`: which delegated roles a search visits, and how they are named. */
import type { DelegationPlan } from '../../shared/signing/tuf/publish.ts'
import { roleFileName } from '../../shared/signing/tuf/store-layout.ts'
import { dayMs, delegationTo, targetOf } from '../shared/signing/tuf/build-repository.ts'
import type { Scenario } from './tuf-scenarios.ts'
import type { Before } from './tuf-world.ts'

const TOP = { root: 1, timestamp: 2, snapshot: 2, targets: 2 }
const get = (name: string) => ({ download: name })

type Link = readonly [by: string, to: string, changes?: Partial<DelegationPlan>]

/** Delegations and the targets that each role lists; published as version 2. */
function tree(links: readonly Link[], targets: readonly [string, string][] = []): Before {
  return (world) => {
    const { model } = world.repository
    const by = (name: string) =>
      links.filter(([from]) => from === name).map(([, to, changes]) => delegationTo(to, changes))
    model.delegations = by('targets')
    for (const name of new Set(links.map(([, to]) => to))) {
      const mine = targets.filter(([role]) => role === name)
      for (const [, path] of mine) world.targets.set(path, `content of ${path}`)
      const listed = mine.map(([, path]) => targetOf(path))
      model.delegated.set(name, { version: 1, targets: listed, delegations: by(name) })
    }
    world.repository.next()
  }
}

const AGAIN = ['2.root.json', 'timestamp.json', '2.snapshot.json', '2.targets.json']
const visiting = (names: readonly string[]) => [
  ...AGAIN,
  ...names.map((name) => `1.${roleFileName(name)}`),
]

const order = (name: string, links: readonly Link[], visited: readonly string[]): Scenario => ({
  name: `delegations are looked at in order: ${name}`,
  steps: [
    { run: get('missing'), exit: 1, asks: visiting(visited), first: tree(links) },
    // What was trusted is not asked for again.
    { run: get('missing'), exit: 1, asks: ['2.root.json', 'timestamp.json'] },
  ],
})

const TREE: readonly Link[] = [
  ['targets', 'A', { paths: ['*.doc', '*.md'] }],
  ['targets', 'B', { paths: ['releases/*/*'] }],
  ['B', 'C', { paths: ['releases/x/*'] }],
  ['B', 'D', { paths: ['releases/y/*.zip'] }],
]
const LISTED: readonly [string, string][] = [
  ['A', 'README.md'],
  ['C', 'releases/x/x_v1'],
  ['D', 'releases/y/y_v1.zip'],
  ['D', 'releases/z/z_v1.zip'],
]
const found = (path: string, visited: readonly string[], exit: 0 | 1): Scenario => ({
  name: `${path} is ${exit === 0 ? 'found' : 'not found'} by way of ${visited.join(', ')}`,
  ...(path.includes('y_v1') && { everywhere: true }),
  steps: [
    {
      ...{ run: get(path), exit, has: exit === 0 ? [`content of ${path}`] : [] },
      first: tree(TREE, LISTED),
    },
  ],
})

export const DELEGATION_SCENARIOS: readonly Scenario[] = [
  order('one', [['targets', 'A']], ['A']),
  order(
    'depth first',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['A', 'C'],
      ['A', 'D'],
    ],
    [...'ACDB'],
  ),
  order(
    'a terminating one ends it',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['A', 'C', { terminating: true }],
      ['A', 'D'],
      ['C', 'E'],
    ],
    [...'ACE'],
  ),
  order(
    'none that does not match, nor below it',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['A', 'C', { paths: ['*.py'] }],
      ['C', 'D'],
    ],
    [...'AB'],
  ),
  order(
    'a circle ends',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['B', 'C'],
      ['C', 'D'],
      ['D', 'B'],
    ],
    [...'ABCD'],
  ),
  order(
    'one that two point to is reached once',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['B', 'C'],
      ['A', 'C'],
    ],
    [...'ACB'],
  ),
  found('README.md', ['A'], 0),
  found('releases/x/x_v1', ['B', 'C'], 0),
  found('releases/y/y_v1.zip', ['B', 'D'], 0),
  found('releases/z/z_v1.zip', ['B'], 1),
  ...['?', '#', '/delegated', '../delegated', '.', '..', 'sp ace', 'ünlich', '%2F'].map(
    (name): Scenario => ({
      name: `a role named ${name} is asked for and kept under a quoted name`,
      steps: [
        {
          ...{ run: get('missing'), exit: 1, asks: visiting([name]) },
          trusts: { ...TOP, [roleFileName(name).slice(0, -5)]: 1 },
          first: tree([['targets', name]]),
        },
      ],
    }),
  ),
  {
    name: 'a delegated role that has expired is neither used nor kept',
    steps: [
      {
        ...{ run: get('d/x'), exit: 1, has: [], trusts: TOP },
        first(world) {
          world.repository.model.twist.D = (signed) => ({
            ...signed,
            expires: new Date(Date.now() - dayMs).toISOString(),
          })
          tree([['targets', 'D', { paths: ['d/*'] }]], [['D', 'd/x']])(world)
        },
      },
    ],
  },
  {
    name: 'a delegated role that ran out since is not used, its next version is',
    steps: [
      {
        ...{ run: get('d/x'), exit: 0, has: ['content of d/x'] },
        first(world) {
          world.repository.model.twist.D = (signed) => ({
            ...signed,
            expires: new Date(Date.now() + 7 * dayMs).toISOString(),
          })
          const listed: [string, string][] = [
            ['D', 'd/x'],
            ['D', 'd/y'],
          ]
          tree([['targets', 'D', { paths: ['d/*'] }]], listed)(world)
        },
      },
      { run: get('d/y'), days: 18, exit: 1, has: ['content of d/x'] },
      {
        ...{ run: get('d/y'), days: 18, exit: 0, has: ['content of d/x', 'content of d/y'] },
        first({ repository }) {
          repository.model.twist = {}
          repository.model.delegated.get('D')!.version = 2
          repository.next()
        },
      },
    ],
  },
]
