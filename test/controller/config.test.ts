/** What the controller is told at its start. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { readConfig } from '../../controller/config.ts'
import { CONTROLLER_VERSION } from '../../controller/version.ts'
import { unwrap } from '../../shared/kernel/result.ts'

test('defaults: loopback, 7420 and 7421, ./.linnet', () => {
  const config = unwrap(readConfig([], {}))
  expect(config).toMatchObject({ listen: '127.0.0.1', httpPort: 7420, mqttPort: 7421 })
  expect(config.home.endsWith('/.linnet')).toBe(true)
})

test('a flag wins over the environment', () => {
  const env = { LINNET_HTTP_PORT: '1', LINNET_MQTT_PORT: '2' }
  expect(unwrap(readConfig(['--http-port', '3'], env))).toMatchObject({ httpPort: 3, mqttPort: 2 })
})

test.each(['0.0.0.0', '::', '192.168.1.5', 'plant.example', '127.0.0.1.example'])(
  'listening on %s needs the flag that says so',
  (listen) => {
    expect(readConfig(['--listen', listen], {})).toMatchObject({
      ok: false,
      error: { code: 'config.insecure_listen', found: listen },
    })
    expect(readConfig(['--listen', listen, '--insecure-listen'], {}).ok).toBe(true)
  },
)

test.each([
  [['--http-port', '70000']],
  [['--http-port', 'many']],
  [['--frob']],
  [['--fleet', 'a/b']],
  [['--window-seconds', '0']],
  [['--broker-url', 'http://x']],
  [['--broker-url', 'mqtts://user:secret@plant.example']],
])('%j is a usage error', (args) => {
  expect(readConfig(args, {})).toMatchObject({ ok: false, error: { code: 'config.usage' } })
})

test("an external broker's credentials come by the environment alone", () => {
  const args = ['--broker-url', 'mqtts://plant.example:8883']
  const env = { LINNET_BROKER_USERNAME: 'linnet', LINNET_BROKER_PASSWORD: 'secret' }
  expect(readConfig(args, env)).toMatchObject({
    value: {
      brokerUrl: 'mqtts://plant.example:8883',
      brokerUsername: 'linnet',
      brokerPassword: 'secret',
    },
  })
})

test('the version is that of package.json', async () => {
  const { version } = JSON.parse(await readFile('package.json', 'utf8'))
  expect(CONTROLLER_VERSION).toBe(version)
})
