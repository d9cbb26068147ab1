import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  formatTopic,
  isTopicId,
  parseTopic,
  placeholderOf,
  TOPICS,
  type TopicName,
} from '../../../shared/protocol/topics.ts'

const names = Object.keys(TOPICS) as TopicName[]
const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/)

/** A topic of any row with arbitrary ids, built from the pattern alone. */
const anyTopic = fc.constantFrom(...names).chain((name) => {
  const levels = TOPICS[name].pattern.split('/')
  return fc
    .tuple(...levels.map((level) => (placeholderOf(level) ? id : fc.constant(level))))
    .map((filled) => ({ name, levels, filled }))
})

describe('the table of topics', () => {
  it('keeps the limits of AWS IoT: at most 7 slashes, 128 KB, QoS 0 or 1', () => {
    for (const name of names) {
      const row = TOPICS[name]
      expect(row.pattern.split('/').length - 1, name).toBeLessThanOrEqual(7)
      expect(row.bytesMax, name).toBeLessThanOrEqual(128 * 1024)
      expect([0, 1], name).toContain(row.qos)
    }
  })

  it('stays below the 512 bytes that a topic may have, with the longest ids', () => {
    const longest = 'x'.repeat(64)
    for (const name of names) {
      const topic = TOPICS[name].pattern.replace(/\{\w+\}/g, longest)
      expect(parseTopic(topic)?.name, name).toBe(name)
    }
  })

  it('writes the topics of the design', () => {
    const device = { fleet: 'plant-7', device: 'press_01' }
    expect(formatTopic('up/telemetry', device)).toBe('ln1/plant-7/d/press_01/up/telemetry')
    expect(formatTopic('dn/desired', device)).toBe('ln1/plant-7/d/press_01/dn/desired')
    expect(formatTopic('dn/pulse', { fleet: 'f', cohort: 'w2' })).toBe('ln1/f/g/w2/dn/pulse')
    expect(formatTopic('c/state', { fleet: 'f' })).toBe('ln1/f/c/state')
    const aggregate = { fleet: 'f', model: 'vibration', release: '1.2.0', profile: 'pi4' }
    expect(formatTopic('c/aggregate', aggregate)).toBe('ln1/f/c/aggregate/vibration/1.2.0/pi4')
  })

  it('reads back every topic it can write, as the same row with the same ids', () => {
    fc.assert(
      fc.property(anyTopic, ({ name, levels, filled }) => {
        const parsed = parseTopic(filled.join('/'))
        expect(parsed?.name).toBe(name)
        const params: Readonly<Record<string, string>> = parsed?.params ?? {}
        levels.forEach((level, i) => {
          const param = placeholderOf(level)
          if (param !== undefined) expect(params[param]).toBe(filled[i])
        })
      }),
    )
  })

  it('lets no text through that is not a topic', () => {
    for (const topic of [
      '',
      'ln1',
      'ln1/f/d/dev/up',
      'ln1/f/d/dev/up/state/',
      '/ln1/f/d/dev/up/state',
      'ln2/f/d/dev/up/state',
      'ln1/+/d/dev/up/state',
      'ln1/f/d/dev/up/#',
      'ln1/f/d/a b/up/state',
      'ln1/f/d/../up/state',
      `ln1/f/d/${'x'.repeat(65)}/up/state`,
      '$SYS/broker',
      '$share/g/ln1/f/c/state',
      'x'.repeat(70_000),
    ]) {
      expect(parseTopic(topic), topic.slice(0, 60)).toBeUndefined()
    }
  })

  it('allows dots in the release level only', () => {
    expect(isTopicId('release', '1.2.0')).toBe(true)
    expect(isTopicId('device', '1.2.0')).toBe(false)
  })

  it('treats an unchecked id as a broken invariant', () => {
    expect(() => formatTopic('c/state', { fleet: 'a/b' })).toThrow('is no fleet id')
  })
})
