/** What a device tells of refusals that repeat, and that an attack that goes on is not forgotten. */
import { describe, expect, it } from 'vitest'
import type { DeviceEffect } from '../../../shared/update/state.ts'
import { Machine } from './machine.ts'

const MINUTE_MS = 60_000
const forged = (code = 'assignment.signature') =>
  ({ kind: 'assignmentRefused', problem: { code, message: 'No.' } }) as const
const seen = (subject: string) =>
  ({ kind: 'attackSeen', subject, problem: { code: 'tuf.signature', message: 'No.' } }) as const
const noticesOf = (effects: readonly DeviceEffect[]) =>
  effects.flatMap((effect) => (effect.kind === 'notify' ? [effect.notice] : []))
const reportsOf = (effects: readonly DeviceEffect[]) =>
  effects.flatMap((effect) => (effect.kind === 'report' ? [effect.report] : []))

describe('a thousand forged assignments within a second', () => {
  it('are five notices and as many reports', () => {
    const machine = new Machine()
    const effects = Array.from({ length: 1_000 }, () => machine.send(forged())).flat()
    expect(noticesOf(effects)).toHaveLength(5)
    expect(reportsOf(effects)).toHaveLength(5)
    expect(machine.state.told).toHaveLength(1)
  })

  it('are counted, which the first notice of the next hour tells', () => {
    const machine = new Machine()
    for (let i = 0; i < 1_000; i++) machine.send(forged())
    machine.nowMs += 60 * MINUTE_MS
    expect(noticesOf(machine.send(forged()))).toMatchObject([{ times: 996 }])
    expect(noticesOf(machine.send(forged()))[0]).not.toHaveProperty('times')
  })

  it('do not silence what is refused for another reason', () => {
    const machine = new Machine()
    for (let i = 0; i < 1_000; i++) machine.send(forged())
    expect(noticesOf(machine.send(forged('assignment.generation')))).toHaveLength(1)
  })

  it('of a thousand kinds are forgotten from the oldest on: memory has a bound', () => {
    const machine = new Machine()
    for (let i = 0; i < 1_000; i++) machine.send(forged(`assignment.${i}`))
    expect(machine.state.told).toHaveLength(32)
    expect(noticesOf(machine.send(forged('assignment.0')))).toHaveLength(1)
  })
})

describe('an attack that goes on', () => {
  it('is told once an hour, and reported each minute with its newest time', () => {
    const machine = new Machine()
    const startMs = machine.nowMs
    expect(noticesOf(machine.send(seen('release metadata')))).toHaveLength(1)
    const later: [number, number][] = []
    for (let minute = 1; minute <= 50; minute++) {
      machine.nowMs = startMs + minute * MINUTE_MS
      const effects = machine.send(seen('release metadata'))
      expect(noticesOf(effects)).toEqual([])
      for (const { attacks } of reportsOf(effects)) {
        later.push([minute, (attacks![0]!.atMs - startMs) / MINUTE_MS])
      }
      machine.nowMs += 1_000
      expect(reportsOf(machine.send(seen('release metadata')))).toEqual([])
    }
    expect(later).toEqual(Array.from({ length: 50 }, (_, i) => [i + 1, i + 1]))
  })

  it('is told again after an hour, and at once when the clock was set back', () => {
    const machine = new Machine()
    machine.nowMs = 2 * 60 * MINUTE_MS
    machine.send(seen('release metadata'))
    machine.nowMs += 60 * MINUTE_MS
    expect(noticesOf(machine.send(seen('release metadata')))).toHaveLength(1)
    machine.nowMs = 1_000
    expect(noticesOf(machine.send(seen('release metadata')))).toHaveLength(1)
  })

  it('on two subjects by turns is two notices', () => {
    const machine = new Machine()
    const effects = Array.from({ length: 20 }, (_, i) => machine.send(seen(`subject ${i % 2}`)))
    expect(noticesOf(effects.flat())).toHaveLength(2)
  })
})
