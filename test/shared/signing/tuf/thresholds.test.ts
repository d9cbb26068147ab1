import { describe, expect, it } from 'vitest'
import { generatePrivateKey, nodeSigner } from '../../../../shared/node/signer-node.ts'
import { nodeVerifier } from '../../../../shared/node/verifier-node.ts'
import type { JsonObject } from '../../../../shared/signing/canonical-json.ts'
import { keyIdentity } from '../../../../shared/signing/keys.ts'
import { signerNumber } from '../build-assignment.ts'
import { setUp, TestClient, TestRepository, withBareMeta } from './build-repository.ts'

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

  it.each<[string, (pem: string) => string]>([
    ['as a bare point', pointOf],
    ['on one line', (pem) => pem.replaceAll(/(?<=[A-Za-z0-9+/=])\n(?=[A-Za-z0-9+/=])/g, '')],
    ['with other bits where the last letter has some too many', withSpareBits],
    ['before more text', (pem) => `${pem}\nand more`],
  ])('one key written %s too counts once', (_, write) => {
    const { key, sign } = nodeSigner(generatePrivateKey('ecdsa-sha2-nistp256'))
    const other = { ...key, keyval: { public: write(key.keyval.public) } }
    const message = Uint8Array.of(1, 2, 3)
    expect(nodeVerifier.verify(other, message, sign(message))).toBe(true)
    expect(keyIdentity(other)).toBe(keyIdentity(key))
  })

  it('and different keys are told apart', () => {
    const schemes = ['ed25519', 'ecdsa-sha2-nistp256', 'rsassa-pss-sha256'] as const
    const keys = schemes.flatMap((scheme) => [1, 2].map(() => generatePrivateKey(scheme)))
    const identities = keys.map((key) => keyIdentity(nodeSigner(key).key))
    expect(new Set(identities).size).toBe(6)
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

function pointOf(pem: string): string {
  const der = Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64')
  return der.subarray(-65).toString('hex')
}

/** A key of 91 bytes leaves four bits of its last letter unused. */
function withSpareBits(pem: string): string {
  return pem.replace(
    /(.)==/,
    (_, last: string) => `${String.fromCharCode(last.charCodeAt(0) + 1)}==`,
  )
}
