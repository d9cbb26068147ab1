/** The hosts as the front knows them: sessions that stay, hosts that end, work that is measured. */
import { describe, expect, it } from 'vitest'
import type { FrontHost } from '../../../agent/front/front-protocol.ts'
import { createHostTable } from '../../../agent/front/host-table.ts'
import type { Session } from '../../../agent/front/session-of.ts'

const host = (i: number, more: Partial<FrontHost> = {}): FrontHost => ({
  ...{ id: `${i}`, life: 1, weight: 1, takes: true, ends: false, socketPath: `host-${i}` },
  ...more,
})
const stream = (i: number, isLast = false): Session => ({
  ...{ key: `s/${i}`, isStream: true, isLast },
})

function table(...hosts: FrontHost[]) {
  let nowMs = 0
  const drained: string[] = []
  const made = createHostTable({
    ...{ policy: 'least-connections', draw: () => 0, nowMs: () => nowMs },
    onDrained: ({ id }) => void drained.push(id),
  })
  made.set(hosts)
  const ask = (session?: Session): string | undefined => {
    const passage = made.pick({ session })
    if (passage !== undefined) made.answered(passage)
    return passage?.socketPath
  }
  const wait = (ms: number): void => {
    nowMs += ms
  }
  return { ...made, ask, drained, wait }
}

const streams = Array.from({ length: 100 }, (_, i) => i)

describe('Sessions', () => {
  it('stay where they are when hosts are added', () => {
    const hosts = table(host(0))
    for (const i of streams) expect(hosts.ask(stream(i))).toBe('host-0')
    hosts.set([host(0), host(1), host(2)])
    for (const i of streams) expect(hosts.ask(stream(i))).toBe('host-0')
    // New ones go everywhere.
    expect(new Set(streams.map((i) => hosts.ask(stream(1_000 + i)))).size).toBe(3)
  })

  it('go on with a host that ends, which takes nothing new', () => {
    const hosts = table(host(0), host(1))
    const homes = streams.map((i) => hosts.ask(stream(i)))
    hosts.set([host(0), host(1, { takes: false, ends: true })])
    expect(streams.map((i) => hosts.ask(stream(i)))).toEqual(homes)
    for (let i = 0; i < 50; i++) expect(hosts.ask(stream(2_000 + i))).toBe('host-0')
    for (let i = 0; i < 10; i++) expect(hosts.ask()).toBe('host-0')
  })

  it('move when their host is gone, and are at home there then', () => {
    const hosts = table(host(0), host(1))
    for (const i of streams) hosts.ask(stream(i))
    hosts.set([host(0), host(1, { takes: false })])
    for (const i of streams) expect(hosts.ask(stream(i))).toBe('host-0')
    hosts.set([host(0), host(1, { life: 2 })])
    for (const i of streams) expect(hosts.ask(stream(i))).toBe('host-0')
  })
})

describe('A host that ends', () => {
  it('has drained when it answered everything', () => {
    const hosts = table(host(0), host(1))
    const passages = [hosts.pick()!, hosts.pick()!]
    hosts.set([host(0), host(1, { takes: false, ends: true })])
    expect(hosts.drained).toEqual([])
    for (const passage of passages) hosts.answered(passage)
    expect(new Set(hosts.drained)).toEqual(new Set(['1']))
  })

  it('keeps its streams until their last part, or until nobody goes on with them', () => {
    const hosts = table(host(0), host(1))
    const own = streams.filter((i) => hosts.ask(stream(i)) === 'host-1').slice(0, 2)
    for (const i of streams) if (!own.includes(i)) hosts.ask(stream(i, true))
    hosts.set([host(0), host(1, { takes: false, ends: true })])
    expect(hosts.ask(stream(own[0]!, true))).toBe('host-1')
    expect(hosts.drained).toEqual([])
    hosts.wait(59_000)
    hosts.load()
    expect(hosts.drained).toEqual([])
    hosts.wait(2_000)
    hosts.load()
    expect(hosts.drained).toContain('1')
  })
})

describe('Work', () => {
  it('is the share of time in which hosts had something to answer, and what waits', () => {
    const hosts = table(host(0), host(1))
    hosts.wait(500)
    const passages = [hosts.pick()!, hosts.pick()!, hosts.pick()!]
    hosts.wait(500)
    expect(hosts.load()).toEqual({ utilisation: 0.5, queued: 1 })
    for (const passage of passages) hosts.answered(passage)
    hosts.wait(1_000)
    expect(hosts.load()).toEqual({ utilisation: 0, queued: 0 })
  })
})

it('The requests sent to a number of a host go on counting when that number is given again', () => {
  const hosts = table(host(0), host(1))
  for (let i = 0; i < 4; i++) hosts.ask()
  hosts.set([host(0)])
  hosts.set([host(0), host(1, { life: 2 })])
  for (let i = 0; i < 2; i++) hosts.ask()
  const sent = hosts.counts().map((row) => row.sent)
  expect(sent.reduce((sum, n) => sum + n)).toBe(6)
})
