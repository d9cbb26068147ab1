/** Ending and starting again in good order, while applications ask: nothing is lost. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildMotorFleet, MODEL, type MotorFleet } from './motor-fleet.ts'
import { type Program, startProgram } from './programs.ts'
import { until } from './stage.ts'

let fleet: MotorFleet
beforeAll(async () => {
  const profiles = { press: 'raspberry-pi-5', pump: 'intel-n100' }
  fleet = await buildMotorFleet(profiles, { seed: 'restart', requestsPerSecond: 20 })
}, 240_000)
afterAll(() => fleet?.end(), 60_000)

/** A program's last words may be read after its end. */
const said = (program: Program, words: string) =>
  expect.poll(() => program.lines.join('\n')).toContain(words)

test.each([
  ['HTTP', 'http.port_in_use'],
  ['MQTT', 'mqtt.port_in_use'],
] as const)(
  'a second controller on the same %s port says so and ends with 2',
  async (which, code) => {
    const taken = { HTTP: new URL(fleet.url).port, MQTT: `${fleet.mqttPort}` }
    const ports = { HTTP: '0', MQTT: '0', [which]: taken[which] }
    const flags = ['--home', `${fleet.home}/second`, '--json-logs']
    flags.push('--http-port', ports.HTTP, '--mqtt-port', ports.MQTT)
    const second = startProgram('second', 'controller', flags, {})
    expect(await second.ended).toBe(2)
    await said(second, code)
  },
)

test('a second controller or agent on the same home is refused, and the first goes on', async () => {
  const { home, device, profile } = fleet.devices[0]!
  const ports = ['--http-port', '0', '--mqtt-port', '0']
  const controller = startProgram('second', 'controller', ['--home', fleet.home, ...ports], {})
  const flags = ['--controller', fleet.url, '--home', home, '--profile', profile]
  const agent = startProgram('second', 'agent', [...flags, '--listen', '127.0.0.1:0'], {})
  for (const [second, name] of [
    [controller, 'controller'],
    [agent, device],
  ] as const) {
    expect(await second.ended).toBe(2)
    await said(second, 'home.in_use')
    await said(second, `process ${fleet.program(name).pid}`)
  }
})

test('an agent whose port another program has says so, and says what to do', async () => {
  const { home, device, profile } = fleet.devices[0]!
  const taken = new URL(fleet.url).host
  await fleet.program(device).kill('SIGTERM')
  const flags = ['--controller', fleet.url, '--home', home, '--profile', profile]
  const second = startProgram('second', 'agent', [...flags, '--listen', taken], {})
  expect(await second.ended).toBe(2)
  await said(second, 'serve.cannot_listen')
  await said(second, 'choose another port')
  await fleet.startAgent(device)
})

test('SIGTERM of controller and agent under traffic loses no request and no count', async () => {
  const [press, pump] = ['press', 'pump'].map((device) => fleet.traffic.counts.get(device)!)
  const failedBefore = pump!.failed
  for (let round = 0; round < 2; round++) {
    expect(await fleet.program('controller').kill('SIGTERM')).toBe(0)
    await sleep(1_500)
    await fleet.startControllerAgain()
    await sleep(1_500)
  }
  expect(await fleet.program('press').kill('SIGTERM')).toBe(0)
  await fleet.startAgent('press')
  await fleet.traffic.stop()
  expect(pump!.failed - failedBefore).toBe(0)
  const stored = async (profile: string) =>
    (await fleet.stored(MODEL))
      .filter((row) => row.profile === profile)
      .reduce((sum, { requests }) => sum + requests, 0)
  const look = () => Promise.all([stored('raspberry-pi-5'), stored('intel-n100')])
  const wanted = [press!.answered, pump!.answered]
  await until(
    `${wanted} stored`,
    async () => (await look()).every((count, i) => count >= wanted[i]!),
    60_000,
    look,
  )
  expect(await look()).toEqual(wanted)
}, 120_000)
