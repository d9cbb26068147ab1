import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseArguments, USAGE } from '../../agent/arguments.ts'
import { AGENT_VERSION } from '../../agent/version.ts'
import { unwrap } from '../../shared/kernel/result.ts'

const NEEDED = ['--controller', 'http://plant:7420/', '--profile', 'intel-n100']

describe('the command line of the agent', () => {
  it('has defaults for everything but controller and profile', () => {
    expect(unwrap(parseArguments(NEEDED))).toEqual({
      controller: 'http://plant:7420',
      profile: 'intel-n100',
      token: undefined,
      tokenFile: undefined,
      encrypt: false,
      artifactKeyFile: undefined,
      artifactPassphraseFile: undefined,
      home: '.linnet/device',
      device: undefined,
      listen: { host: '127.0.0.1', port: 8000 },
      socket: null,
      grpc: null,
      idleUnloadMs: null,
      sharing: null,
      labels: {},
      staging: false,
      tuningSeconds: 20,
      jsonLogs: false,
    })
  })

  it('takes labels, addresses and switches', () => {
    const more = [
      '--label',
      'site=hall-1',
      '--label',
      'line=a=b',
      '--listen',
      '[::1]:0',
      '--staging',
    ]
    expect(unwrap(parseArguments([...NEEDED, ...more]))).toMatchObject({
      labels: { site: 'hall-1', line: 'a=b' },
      listen: { host: '::1', port: 0 },
      staging: true,
    })
  })

  it.each([
    [['--hosts', '1'], null],
    [['--hosts', '3'], { hostsMin: 3, hostsMax: 3, policy: 'least-connections', weights: [1] }],
    [
      ['--hosts', '1..4', '--balance', 'weighted', '--host-weights', '2,1'],
      { hostsMin: 1, hostsMax: 4, policy: 'weighted', weights: [2, 1] },
    ],
  ])('takes %j', (more, sharing) => {
    expect(unwrap(parseArguments([...NEEDED, ...more])).sharing).toEqual(sharing)
  })

  it('takes gRPC on loopback only, and a time for idle models', () => {
    const more = ['--grpc', '127.0.0.1:8001', '--idle-unload-s', '90']
    expect(unwrap(parseArguments([...NEEDED, ...more]))).toMatchObject({
      grpc: { host: '127.0.0.1', port: 8001 },
      idleUnloadMs: 90_000,
    })
  })

  it.each([
    ['gRPC for everybody', [...NEEDED, '--grpc', '0.0.0.0:8001']],
    ['an API for everybody', [...NEEDED, '--listen', '0.0.0.0:8000']],
    ['an API for every IPv6 address', [...NEEDED, '--listen', '[::]:8000']],
    ['an API for a network', [...NEEDED, '--listen', '192.168.1.20:8000']],
    ['a name that only begins like loopback', [...NEEDED, '--listen', '127.0.0.1.example:8000']],
    ['gRPC over many hosts', [...NEEDED, '--grpc', '127.0.0.1:8001', '--hosts', '2']],
    ['no time', [...NEEDED, '--idle-unload-s', '0']],
    ['a time without end', [...NEEDED, '--idle-unload-s', '1e300']],
    ['no controller', ['--profile', 'x']],
    ['a controller that is no URL', ['--controller', 'plant', '--profile', 'x']],
    ['no profile', ['--controller', 'http://plant']],
    ['a port out of range', [...NEEDED, '--listen', '127.0.0.1:70000']],
    ['an address without a port', [...NEEDED, '--listen', 'localhost']],
    ['a label without a value', [...NEEDED, '--label', 'site']],
    ['a label in capitals', [...NEEDED, '--label', 'Site=x']],
    ['a device id with a slash', [...NEEDED, '--device', 'a/b']],
    ['hosts that are no number', [...NEEDED, '--hosts', 'many']],
    ['fewer hosts than the least', [...NEEDED, '--hosts', '4..2']],
    ['no host', [...NEEDED, '--hosts', '0']],
    ['a balance without hosts', [...NEEDED, '--balance', 'weighted']],
    ['an unknown balance', [...NEEDED, '--hosts', '2', '--balance', 'fair']],
    ['a weight of nothing', [...NEEDED, '--hosts', '2', '--host-weights', '1,0']],
    ['an unknown option', [...NEEDED, '--colour', 'red']],
    ['a word too many', [...NEEDED, 'now']],
  ])('refuses %s', (_, args) => {
    expect(parseArguments(args)).toMatchObject({ ok: false, error: { code: 'usage' } })
  })

  it('explains every option that it takes', () => {
    for (const option of ['token', 'home', 'device', 'listen', 'socket', 'label', 'json-logs']) {
      expect(USAGE).toContain(`--${option}`)
    }
  })
})

it('the agent has the version of the package', () => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  expect(AGENT_VERSION).toBe((JSON.parse(text) as { version: string }).version)
})
