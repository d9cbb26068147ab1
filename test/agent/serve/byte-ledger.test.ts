/** What clients make the host hold has one limit for all of them. */
import { describe, expect, it } from 'vitest'
import { createByteLedger } from '../../../agent/serve/byte-ledger.ts'

describe('Bytes held for clients', () => {
  it('past the limit the one that holds longest is cut, once, and the newest never', () => {
    const ledger = createByteLedger(100)
    const cut: string[] = []
    const [a, b, c] = ['a', 'b', 'c'].map((name) => ledger.enter(() => cut.push(name)))
    a!.add(40)
    b!.add(40)
    expect(cut).toEqual([])
    c!.add(50)
    expect(cut).toEqual(['a'])
    expect(ledger.held()).toBe(90)
    a!.add(500)
    expect(ledger.held()).toBe(90)
    c!.add(200)
    expect(cut).toEqual(['a', 'b'])
    expect(ledger.held()).toBe(250)
    expect(ledger.cuts()).toBe(2)
    for (const holder of [a, b, c]) holder!.leave()
    expect(ledger.held()).toBe(0)
  })
})
