import { describe, expect, it } from 'vitest'
import { createAudit } from '../../controller/audit.ts'
import { createMemoryStore } from '../../controller/db/memory-store.ts'
import { createLedger } from '../../controller/ledger.ts'
import { findBrokenLink } from '../../shared/signing/audit-chain.ts'

const entry = { actor: 'stranger', action: 'enrol', resource: 'p1', outcome: 'refused' }

async function buildAudit() {
  const store = createMemoryStore()
  const ledger = createLedger(await store.load())
  const audit = createAudit(ledger, '')
  const rows = async () => {
    await store.write(ledger.take())
    return (await store.audit(1_000)).toReversed()
  }
  return { audit, rows }
}

describe('the audit trail', () => {
  it('is a chain in which a change, a removal and a swap show', async () => {
    const { audit, rows } = await buildAudit()
    for (let i = 0; i < 4; i++) audit.append({ ...entry, resource: `p${i}` }, i)
    const written = await rows()
    const [first, second, third, fourth] = written
    expect(findBrokenLink(written)).toBeUndefined()
    expect(findBrokenLink([first!, { ...second!, outcome: 'done' }, third!, fourth!])).toBe(2)
    expect(findBrokenLink([first!, third!, fourth!])).toBe(3)
    expect(findBrokenLink([first!, third!, second!, fourth!])).toBe(3)
  })

  it('takes at most 100 refusals a minute and says how many it left out', async () => {
    const { audit, rows } = await buildAudit()
    for (let i = 0; i < 250; i++) audit.refused(entry, 1_000)
    audit.refused(entry, 61_000)
    const written = await rows()
    expect(written).toHaveLength(101)
    expect(written.at(-1)?.metadata).toEqual({ skippedBefore: '150' })
    expect(findBrokenLink(written)).toBeUndefined()
  })
})
