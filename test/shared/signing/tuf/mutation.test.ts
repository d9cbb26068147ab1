import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runTufSync } from '../../../../shared/signing/tuf/effects.ts'
import { findTarget } from '../../../../shared/signing/tuf/search.ts'
import { delegationTo, signedOf, TestClient, TestRepository, targetOf } from './build-repository.ts'

const repository = new TestRepository((model) => {
  model.delegations = [delegationTo('A')]
  model.delegated.set('A', { version: 1, targets: [targetOf('x')], delegations: [] })
  // Without listed hashes, so that a change reaches the signature check.
  model.twist.timestamp = (signed) => ({ ...signed, meta: { 'snapshot.json': { version: 1 } } })
  model.twist.snapshot = (signed) => ({
    ...signed,
    meta: { 'targets.json': { version: 1 }, 'A.json': { version: 1 } },
  })
})
repository.nextRoot()
const originals = new Map(repository.files)
const names = [...originals.keys()].filter((name) => name !== '1.root.json')

/** Everything that the client came to trust, as values. */
function outcome(): unknown {
  const client = new TestClient(repository)
  const trusted = client.refresh()
  if (typeof trusted === 'string') return { code: trusted }
  const found = runTufSync(findTarget(trusted, 'x'), client.ports)
  const roles = [...client.trusted].map(([role, bytes]) => [role, signedOf(bytes)])
  return { roles: Object.fromEntries(roles), found: found.ok ? found.value : found.error.code }
}

const expected = outcome() as { roles: Record<string, unknown> }

describe('a mutated metadata file', () => {
  it('never leads to anything but a refusal or what was signed', () => {
    const mutation = fc.record({
      name: fc.constantFrom(...names),
      at: fc.nat(),
      byte: fc.nat(255),
      cut: fc.constantFrom(0, 1, 1, 1, 5, 300),
    })
    fc.assert(
      fc.property(mutation, ({ name, at, byte, cut }) => {
        const bytes = [...originals.get(name)!]
        bytes.splice(at % bytes.length, cut, byte)
        repository.files.set(name, Uint8Array.from(bytes))
        const seen = outcome() as {
          code?: string
          roles?: Record<string, unknown>
          found?: unknown
        }
        repository.files.set(name, originals.get(name)!)
        if (seen.code !== undefined) {
          expect(seen.code).toMatch(/^(tuf|json|envelope)\./)
          return
        }
        // The same version as the trusted root's ends the chain: then the first root stays.
        for (const [role, signed] of Object.entries(seen.roles ?? {})) {
          expect(signed).toEqual(expected.roles[role])
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it.each<[string, string]>([
    ['nested too deeply', `{"signed":${'['.repeat(5_000)}${']'.repeat(5_000)},"signatures":[]}`],
    ['with a huge number', '{"signed":{"version":1e400},"signatures":[]}'],
    ['with a number beyond 2^53', '{"signed":{"version":9007199254740993},"signatures":[]}'],
    ['with a prototype', '{"signed":{"__proto__":{"_type":"timestamp"}},"signatures":[]}'],
    ['that is a list', '[]'],
    ['that is null', 'null'],
    ['with signatures that are none', '{"signed":{},"signatures":[null,1,{}]}'],
  ])('%s is refused', (_, text) => {
    for (const name of names) {
      repository.files.set(name, new TextEncoder().encode(text))
      expect(outcome()).not.toHaveProperty('roles.targets.version', 2)
      const seen = outcome() as { code?: string; found?: unknown }
      expect(seen.code ?? seen.found).toMatch(/^(tuf|json|envelope)\./)
      repository.files.set(name, originals.get(name)!)
    }
  })
})
