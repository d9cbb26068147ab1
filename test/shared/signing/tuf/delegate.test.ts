/** Changes of delegations as data, and the walk over all of them. */
import { describe, expect, it } from 'vitest'
import { isJsonObject, type JsonObject } from '../../../../shared/signing/canonical-json.ts'
import { keyId } from '../../../../shared/signing/keys.ts'
import { withDelegation, withoutDelegation } from '../../../../shared/signing/tuf/delegate.ts'
import { runTufSync } from '../../../../shared/signing/tuf/effects.ts'
import { type DelegationPlan, targetsMetadata } from '../../../../shared/signing/tuf/publish.ts'
import { walkRoles } from '../../../../shared/signing/tuf/walk.ts'
import { signerNumber } from '../build-assignment.ts'
import { dayMs, delegationTo, startMs, TestClient, TestRepository } from './build-repository.ts'

const [ada, bob] = [signerNumber(80), signerNumber(81)]
const laterMs = startMs + dayMs
const plan = (name: string, more: Partial<DelegationPlan> = {}): DelegationPlan => ({
  ...{ name, paths: ['*/*/*'], terminating: false, keys: [ada.key], threshold: 1, ...more },
})
const empty = targetsMetadata({ version: 4, expiresMs: startMs, targets: [] })
const delegationsOf = ({ delegations }: JsonObject) =>
  delegations as unknown as { keys: JsonObject; roles: { name: string; keyids: string[] }[] }

describe('delegating', () => {
  it('looks for what is proven before what is not, whatever came first', () => {
    const names = ['staging', 'model-camera', 'production', 'model-motor']
    const signed = names.reduce((s, name) => withDelegation(s, plan(name), laterMs), empty)
    expect(signed.version).toBe(8)
    expect(delegationsOf(signed).roles.map(({ name }) => name)).toEqual([
      ...['model-camera', 'model-motor', 'production', 'staging'],
    ])
  })

  it('replaces a role of the same name, and forgets keys that no role names', () => {
    const first = withDelegation(empty, plan('model-camera'), laterMs)
    const next = withDelegation(first, plan('model-camera', { keys: [bob.key] }), laterMs)
    const { keys, roles } = delegationsOf(next)
    expect(roles.map(({ name, keyids }) => [name, keyids])).toEqual([
      ['model-camera', [keyId(bob.key)]],
    ])
    expect(Object.keys(keys)).toEqual([keyId(bob.key)])
  })

  it('keeps fields that it does not know, and leaves none behind with the last role', () => {
    const first = withDelegation(empty, plan('model-camera'), laterMs)
    const { delegations } = first
    const odd = { ...first, 'x-note': 1, delegations: { ...(delegations as object), 'x-more': 2 } }
    const next = withDelegation(odd as JsonObject, plan('model-motor'), laterMs)
    expect([next['x-note'], isJsonObject(next.delegations!) && next.delegations['x-more']]).toEqual(
      [1, 2],
    )
    const one = withoutDelegation(next, 'model-motor', laterMs)
    expect(withoutDelegation(one, 'model-camera', laterMs)).not.toHaveProperty('delegations')
  })
})

describe('the walk over all roles', () => {
  const walk = (change: ConstructorParameters<typeof TestRepository>[0]) => {
    const client = new TestClient(new TestRepository(change))
    const trusted = client.refresh()
    if (typeof trusted === 'string') throw new Error(trusted)
    return runTufSync(walkRoles(trusted), client.ports)
  }
  const none = { version: 1, targets: [], delegations: [] }

  it('follows the order of a search, and names what is delegated but not there', () => {
    const found = walk((model) => {
      model.delegations = ['a', 'gone', 'b'].map((name) => delegationTo(name))
      model.delegated.set('a', { ...none, delegations: [delegationTo('a-below')] })
      model.delegated.set('a-below', none)
      model.delegated.set('b', none)
    })
    expect(found.ok && found.value.roles.map(({ chain }) => chain.join(' > '))).toEqual([
      ...['targets', 'targets > a', 'targets > a > a-below', 'targets > b'],
    ])
    expect(found.ok && found.value.missing.map(({ name, before }) => [name, before])).toEqual([
      ['gone', 3],
    ])
  })

  it('trusts a role only for what every link of its chain is trusted for', () => {
    const found = walk((model) => {
      model.delegations = [delegationTo('camera', { paths: ['camera/*/*'] })]
      const wider = delegationTo('wider', { paths: ['*/*/*'] })
      model.delegated.set('camera', { ...none, delegations: [wider] })
      model.delegated.set('wider', none)
    })
    const wider = found.ok ? found.value.roles.at(-1)! : undefined
    expect(wider?.trustsPath('camera/1.0.0/manifest.json')).toBe(true)
    expect(wider?.trustsPath('motor/1.0.0/manifest.json')).toBe(false)
  })

  it('refuses a role that two delegate to, a cycle among them', () => {
    const found = walk((model) => {
      model.delegations = [delegationTo('a')]
      model.delegated.set('a', { ...none, delegations: [delegationTo('a')] })
    })
    expect(found).toMatchObject({ ok: false, error: { code: 'tuf.malformed', found: 'a' } })
  })
})
