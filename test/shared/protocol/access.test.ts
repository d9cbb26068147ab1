import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  ACCESS,
  maySubscribe as decideSubscribe,
  type Identity,
  mayPublish,
} from '../../../shared/protocol/access.ts'
import { parseTopic, TOPICS, type TopicName } from '../../../shared/protocol/topics.ts'

const device: Identity = { kind: 'device', fleet: 'f', device: 'me' }
const consumer: Identity = { kind: 'consumer', fleet: 'f' }
const controller: Identity = { kind: 'controller' }

const publishCode = (who: Identity, topic: string) => codeOf(mayPublish(who, topic))
const subscribeCode = (who: Identity, filter: string) => codeOf(decideSubscribe(who, filter))
function codeOf(result: ReturnType<typeof mayPublish>): string {
  return result.ok ? 'allowed' : result.error.code
}

describe('what a device may publish', () => {
  it.each(['state', 'report', 'telemetry', 'event'])('its own up/%s', (leaf) => {
    expect(publishCode(device, `ln1/f/d/me/up/${leaf}`)).toBe('allowed')
  })

  it.each([
    ['another device', 'ln1/f/d/you/up/state', 'access.publish_refused'],
    ['another fleet', 'ln1/g/d/me/up/state', 'access.publish_refused'],
    ['its own assignment', 'ln1/f/d/me/dn/desired', 'access.publish_refused'],
    ['the pulse', 'ln1/f/g/w1/dn/pulse', 'access.publish_refused'],
    ['the controller state', 'ln1/f/c/state', 'access.publish_refused'],
    ['an invented topic', 'ln1/f/d/me/up/other', 'access.topic_unknown'],
    ['the broker itself', '$SYS/x/new/clients', 'access.topic_unknown'],
  ])('not %s', (_, topic, code) => {
    expect(publishCode(device, topic)).toBe(code)
  })
})

describe('what a device may subscribe to', () => {
  it.each([
    'ln1/f/d/me/dn/desired',
    'ln1/f/d/me/dn/command',
    'ln1/f/d/me/dn/ack',
    'ln1/f/d/me/dn/+',
    'ln1/f/d/me/dn/#',
    'ln1/f/g/wave-2/dn/pulse',
    'ln1/f/c/state',
  ])('%s', (filter) => {
    expect(subscribeCode(device, filter)).toBe('allowed')
  })

  it.each([
    '#',
    '+/f/d/me/dn/desired',
    'ln1/#',
    'ln1/+/d/me/dn/desired',
    'ln1/f/d/+/dn/desired',
    'ln1/f/d/me/#',
    'ln1/f/d/me/+/desired',
    'ln1/f/d/you/dn/desired',
    'ln1/f/d/me/up/state',
    'ln1/f/g/+/dn/pulse',
    'ln1/f/g/#',
    'ln1/f/c/#',
    'ln1/f/c/alert/page',
    'ln1/f/d/me/dn/#/x',
    'ln1/f/d/me/dn/a+',
    '$SYS/#',
    '',
  ])('not %s', (filter) => {
    expect(subscribeCode(device, filter)).toBe('access.subscribe_refused')
  })

  it('not a shared subscription, which brokers grant and then deliver nothing', () => {
    const filter = '$share/group/ln1/f/d/me/dn/desired'
    expect(subscribeCode(device, filter)).toBe('access.shared_subscription')
    expect(subscribeCode(consumer, '$share/g/ln1/f/c/#')).toBe('access.shared_subscription')
  })
})

describe('what a consumer may do', () => {
  it.each(['ln1/f/c/#', 'ln1/f/c/state', 'ln1/f/c/aggregate/#', 'ln1/f/c/alert/+'])(
    'read %s',
    (filter) => expect(subscribeCode(consumer, filter)).toBe('allowed'),
  )

  it.each(['ln1/g/c/#', 'ln1/+/c/#', 'ln1/f/#', 'ln1/f/d/me/up/state', 'ln1/f/+/state'])(
    'not read %s',
    (filter) => expect(subscribeCode(consumer, filter)).toBe('access.subscribe_refused'),
  )

  it('publish nothing, whatever the topic', () => {
    for (const row of Object.values(TOPICS)) {
      const topic = row.pattern.replace('{fleet}', 'f').replace(/\{\w+\}/g, 'x')
      expect(publishCode(consumer, topic)).toBe('access.publish_refused')
    }
  })
})

describe('what a controller on an external broker may do', () => {
  it('publish every topic of the table and read all that devices send', () => {
    for (const name of Object.keys(TOPICS) as TopicName[]) {
      const topic = TOPICS[name].pattern.replace(/\{\w+\}/g, 'x')
      expect(publishCode(controller, topic), name).toBe('allowed')
    }
    expect(subscribeCode(controller, 'ln1/+/d/+/up/+')).toBe('allowed')
    expect(subscribeCode(controller, '#')).toBe('access.subscribe_refused')
  })
})

describe('the rules as a whole', () => {
  const level = fc.constantFrom(
    'ln1',
    'f',
    'g',
    'd',
    'c',
    'me',
    'you',
    'dn',
    'up',
    'state',
    '+',
    '#',
  )
  const filter = fc.array(level, { maxLength: 7 }).map((levels) => levels.join('/'))
  const topic = fc
    .array(fc.constantFrom('ln1', 'f', 'g', 'd', 'c', 'me', 'you', 'dn', 'desired', 'state'), {
      maxLength: 7,
    })
    .map((levels) => levels.join('/'))

  it('a device never gets a filter that matches what is not meant for it', () => {
    const foreign = [
      'ln1/f/d/you/dn/desired',
      'ln1/f/d/you/up/state',
      'ln1/f/d/me/up/state',
      'ln1/g/d/me/dn/desired',
      'ln1/f/c/alert/page',
    ]
    fc.assert(
      fc.property(filter, (text) => {
        if (subscribeCode(device, text) !== 'allowed') return
        for (const secret of foreign) expect(matches(text, secret), text).toBe(false)
      }),
      { numRuns: 2000 },
    )
  })

  it('what a device may publish is always a topic of the table under its own up/', () => {
    fc.assert(
      fc.property(topic, (text) => {
        if (publishCode(device, text) !== 'allowed') return
        expect(text.startsWith('ln1/f/d/me/up/')).toBe(true)
        expect(parseTopic(text)?.row.direction).toBe('up')
      }),
      { numRuns: 2000 },
    )
  })

  it('has a row for every kind of client', () => {
    expect(Object.keys(ACCESS)).toEqual(['device', 'consumer', 'controller'])
  })
})

/** MQTT matching, written again and naively, so that the rules cannot fool their own test. */
function matches(pattern: string, text: string): boolean {
  const source = pattern
    .split('/')
    .map((part) => (part === '+' ? '[^/]*' : part === '#' ? '.*' : part.replace(/[$]/g, '\\$&')))
    .join('/')
    .replace(/\/\.\*$/, '(/.*)?')
  return new RegExp(`^${source}$`).test(text)
}
