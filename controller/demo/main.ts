/**
 * `linnet demo`: a controller, a small plant of agents on different firmware profiles, and the story
 * of a good and a bad release. `--once --json` tells it unattended and exits 0 only if it ended well.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createClient } from '../../shared/api/client.ts'
import { describeProblem, toProblem } from '../../shared/kernel/result.ts'
import { requireUnlocked } from '../../shared/node/home-lock.ts'
import { type Plant, startPlant } from './plant.ts'
import { createProcesses, type Processes } from './processes.ts'
import {
  canaryRelease,
  everywhere,
  firstRelease,
  MODEL,
  publishRelease,
  type Stage,
  type Summary,
  summarise,
} from './story.ts'

/** Eight devices on five profiles; the Zero gets the int8 variant, by its profile. */
const FLEET: readonly { device: string; profile: string; site: string }[] = [
  { device: 'press-1', profile: 'raspberry-pi-5', site: 'hall-1' },
  { device: 'press-2', profile: 'raspberry-pi-5', site: 'hall-1' },
  { device: 'pump-1', profile: 'raspberry-pi-zero-2w', site: 'hall-1' },
  { device: 'pump-2', profile: 'raspberry-pi-5', site: 'hall-2' },
  { device: 'fan-1', profile: 'intel-n100', site: 'hall-2' },
  { device: 'fan-2', profile: 'intel-n100', site: 'hall-2' },
  { device: 'conveyor-1', profile: 'jetson-orin-nano', site: 'hall-3' },
  { device: 'gateway-1', profile: 'x86-64-server', site: 'hall-3' },
]
const MODELS = fileURLToPath(new URL('models', import.meta.url))

const USAGE = `linnet demo [options]
  --once                 tells the story and ends; 0 only if it ended well
  --json                 prints the story as one line of JSON
  --home DIR             deleted at the start (./.linnet/demo, or LINNET_HOME)
  --http-port N          the console (7420)
  --mqtt-port N          for devices (7421)
  --first-local-port N   the first of the devices' local APIs (8000)
  --rate N               requests per second to every device (20)
Examples:
  npm start
  linnet demo --once --json
  linnet demo --http-port 7520 --mqtt-port 7521 --first-local-port 8100`

const FLAGS = {
  options: {
    once: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    home: { type: 'string', default: process.env.LINNET_HOME ?? '.linnet/demo' },
    'http-port': { type: 'string', default: '7420' },
    'mqtt-port': { type: 'string', default: '7421' },
    'first-local-port': { type: 'string', default: '8000' },
    rate: { type: 'string', default: '20' },
    help: { type: 'boolean', default: false },
  },
} as const

function readOptions() {
  try {
    return parseArgs(FLAGS).values
  } catch (cause) {
    process.stderr.write(
      `linnet demo: ${(cause as Error).message}; next: linnet demo --help [usage]\n`,
    )
    process.exit(1)
  }
}

const options = readOptions()
if (options.help) {
  process.stdout.write(`${USAGE}\n`)
  process.exit(0)
}
const home = resolve(options.home)
const startedMs = Date.now()
const say = (line: string): void => {
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1).padStart(6)
  process.stderr.write(`${seconds} s  ${line}\n`)
}

let processes: Processes | undefined
let plant: Plant | undefined
let stopping = false

async function main(): Promise<number> {
  requireUnlocked(home, 'controller')
  await rm(home, { recursive: true, force: true })
  await mkdir(resolve(home, 'logs'), { recursive: true })
  processes = createProcesses({
    logs: resolve(home, 'logs'),
    environment: {
      LINNET_HOME: home,
      LINNET_CONTROLLER: `http://127.0.0.1:${options['http-port']}`,
      // The demo's keys protect nothing and are deleted with its folder.
      LINNET_PASSPHRASE: 'linnet demo',
    },
  })
  const { stage, loginUrl } = await startController(processes)
  say(`console, once: ${loginUrl}`)
  await startFleet(stage)
  const summary = await tellStory(stage)
  if (options.json) process.stdout.write(`${JSON.stringify(summary)}\n`)
  const { sent, answered } = summary.requests
  const well = summary.promoted !== null && summary.rolledBack !== null && sent === answered
  if (options.once) return well ? 0 : 3
  say(well ? 'The story is told; the fleet goes on.' : 'The story did not end as it should.')
  await sayWhereToLook(stage)
  // Until a signal ends it.
  return new Promise<number>(() => {})
}

/** A login link works once, and the first may be used by now. */
async function sayWhereToLook({ client, processes: running }: Stage): Promise<void> {
  const link = await client.call('loginLinkCreate', { body: {} })
  if (link.ok) say(`console, once: ${link.value.url}`)
  const { token } = await running.command<{ token: string }>([
    ...['device', 'token', '--uses', '10', '--expires-in', '86400'],
  ])
  say(`this browser as a device: ${client.baseUrl}/demo/#token=${token}`)
  say('Ctrl-C ends the demo')
}

async function startController(running: Processes): Promise<{ stage: Stage; loginUrl: string }> {
  const controller = running.start('controller', 'controller', [
    ...['--home', home, '--http-port', options['http-port'], '--mqtt-port', options['mqtt-port']],
    ...['--window-seconds', '2'],
  ])
  const [, loginUrl = ''] = await controller.ready(/(http:\/\/\S+\/login\?code=\S+)/, 30_000)
  say('linnet controller')
  const token = (await readFile(resolve(home, 'token'), 'utf8')).trim()
  const baseUrl = `http://127.0.0.1:${options['http-port']}`
  const newKey = () => crypto.randomUUID()
  const client = createClient({ baseUrl, token, newKey, fetch: (url, init) => fetch(url, init) })
  return { stage: { processes: running, client, home, say }, loginUrl }
}

async function startFleet(stage: Stage): Promise<void> {
  await stage.processes.command(['key', 'new'])
  say('linnet key new')
  const { token } = await stage.processes.command<{ token: string }>([
    ...['device', 'token', '--uses', String(FLEET.length)],
  ])
  const tokenFile = resolve(home, 'enrolment-token')
  await writeFile(tokenFile, token, { mode: 0o600 })
  const published = publishRelease(stage, MODELS, '1.0.0')
  const agents = FLEET.map(({ device, profile, site }, i) =>
    stage.processes.start(`agent-${device}`, 'agent', [
      ...['--controller', `http://127.0.0.1:${options['http-port']}`],
      ...['--token-file', tokenFile],
      ...['--home', resolve(home, 'devices', device), '--device', device, '--profile', profile],
      ...['--label', `site=${site}`, '--listen', `127.0.0.1:${localPort(i)}`],
      // Nobody waits twenty seconds in a story.
      ...['--tuning-seconds', '2'],
    ]),
  )
  await Promise.all([published, ...agents.map((agent) => agent.ready(/ready/, 120_000))])
  say(`linnet agent, ${agents.length} times: ${new Set(FLEET.map((d) => d.profile)).size} profiles`)
}

const localPort = (index: number): number => Number(options['first-local-port']) + index

async function tellStory(stage: Stage): Promise<Summary> {
  // Nothing can be asked before the first release serves; its rollout is judged on installation.
  const first = firstRelease(stage, '1.0.0')
  await everywhere(stage, '1.0.0', FLEET.length)
  plant = startPlant({
    seed: 'plant',
    model: MODEL,
    apis: FLEET.map((_, i) => `http://127.0.0.1:${localPort(i)}`),
    requestsPerSecond: Number(options.rate),
    labelShare: 0.5,
  })
  const publishing = async () => {
    for (const version of ['1.1.0', '1.2.0']) await publishRelease(stage, MODELS, version)
  }
  await Promise.all([first, publishing()])
  const good = await canaryRelease(stage, '1.0.0', '1.1.0')
  await everywhere(stage, '1.1.0', FLEET.length)
  const bad = await canaryRelease(stage, '1.1.0', '1.2.0')
  const restored = await everywhere(stage, '1.1.0', FLEET.length)
  if (options.once) await plant.stop()
  for (const [reason, count] of plant.failures) say(`${count} requests failed: ${reason}`)
  const { sent, answered, failed } = plant.counts
  say(`requests: ${sent} sent, ${answered} answered, ${failed} failed`)
  const summary = summarise(good, bad, plant, FLEET.length)
  return restored ? summary : { ...summary, rolledBack: null }
}

async function shutDown(code: number): Promise<never> {
  await plant?.stop()
  await processes?.stopAll()
  process.exit(code)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (stopping) return
    stopping = true
    say('stopping')
    void shutDown(0)
  })
}

main().then(shutDown, async (cause: unknown) => {
  // What was under way when a signal came has not failed.
  if (stopping) return
  process.stderr.write(`linnet demo: ${describeProblem(toProblem(cause, 'demo.failed'))}\n`)
  await shutDown(1)
})
