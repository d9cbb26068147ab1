/**
 * `ingest`: CPU time that one signed two-arm telemetry window costs the controller before it is
 * merged (frame, Ed25519, CBOR, positional form, schema, consistency), and to merge it; beside the
 * signature alone, which nothing here can make cheaper.
 */
import { createPrng } from '../../shared/kernel/prng.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { generatePrivateKey, nodeSigner } from '../../shared/node/signer-node.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { openMessage, sealMessage } from '../../shared/protocol/frame.ts'
import type { Telemetry } from '../../shared/protocol/messages.ts'
import { checkSync } from '../../shared/signing/keys.ts'
import { buildReference } from '../../shared/sketch/reference-profile.ts'
import { emptyWindow, mergeWindows, type Window, windowShape } from '../../shared/sketch/window.ts'
import { recordLabel, recordRequest } from '../../shared/sketch/window-record.ts'
import { type BenchReport, figure } from './report.ts'

const ROUNDS = 7
const MESSAGES = 400
const DEVICES = 40
const REQUESTS = 1_000
const FEATURES = ['mean', 'std', 'rms', 'crest', 'kurtosis', 'band']
const CLASSES = ['still', 'healthy', 'imbalance', 'bearing']

const address = (device: string) => ({
  fleet: 'plant',
  device,
  topic: `ln1/plant/d/${device}/up/telemetry`,
})

export async function run(): Promise<BenchReport> {
  const prng = createPrng('ingest')
  const shape = motorShape(prng)
  const sent = Array.from({ length: DEVICES }, (_, i) => {
    const device = `d${i}`
    const signer = nodeSigner(generatePrivateKey('ed25519'))
    const message = telemetry(shape, prng)
    const bytes = sealMessage('telemetry', message, address(device), signer)
    return { device, key: signer.key, bytes, message, signature: signer.sign(bytes) }
  })
  const open = () => {
    for (let i = 0; i < MESSAGES; i++) {
      const { device, key, bytes } = sent[i % DEVICES]!
      unwrap(checkSync(openMessage('telemetry', bytes, address(device), key), nodeVerifier))
    }
  }
  const verify = () => {
    for (let i = 0; i < MESSAGES; i++) {
      const { key, bytes, signature } = sent[i % DEVICES]!
      nodeVerifier.verify(key, bytes, signature)
    }
  }
  const merge = () => {
    const sums: Window[] = [emptyWindow(shape), emptyWindow(shape)]
    for (let i = 0; i < MESSAGES; i++) {
      for (const [arm, { window }] of sent[i % DEVICES]!.message.arms.entries()) {
        sums[arm] = unwrap(mergeWindows(sums[arm]!, window))
      }
    }
  }
  const of = `two arms of ${REQUESTS} requests, ${sent[0]?.bytes.length} bytes`
  const costs = measure([open, verify, merge])
  const ratios = costs.map(([opened = 0, verified = 1]) => opened / verified)
  const ms = (task: number) => costs.map((round) => round[task] ?? 0)
  return {
    bench: 'ingest',
    results: [
      // A ratio, because it stays the same on a busy machine.
      figure({ case: of, metric: 'CPU to open a message over its signature', limit: 4 }, ratios),
      figure({ case: of, metric: 'CPU ms to open a message', limit: null }, ms(0)),
      figure({ case: of, metric: 'CPU ms of its signature', limit: null }, ms(1)),
      figure({ case: of, metric: 'CPU ms to merge it', limit: null }, ms(2)),
    ],
  }
}

/** CPU milliseconds of one message: for each round, of each task in turn. */
function measure(tasks: readonly (() => void)[]): number[][] {
  for (const task of tasks) task()
  return Array.from({ length: ROUNDS }, () =>
    tasks.map((task) => {
      const before = process.cpuUsage()
      task()
      const { user, system } = process.cpuUsage(before)
      return (user + system) / 1_000 / MESSAGES
    }),
  )
}

type Prng = ReturnType<typeof createPrng>

function motorShape(prng: Prng) {
  const rows = Array.from({ length: 2_000 }, () => FEATURES.map(() => prng.normal()))
  return windowShape({
    serviceLevels: {
      latencyMsMax: 20,
      latencyBadShareMax: 0.05,
      errorRateMax: 0.02,
      qualityDropMax: 0.05,
    },
    reference: unwrap(buildReference(rows, FEATURES)),
    classes: { tensor: 'scores', names: CLASSES },
  })
}

function telemetry(shape: ReturnType<typeof motorShape>, prng: Prng): Telemetry {
  const arm = (name: 'baseline' | 'canary', version: string) => {
    const window = emptyWindow(shape)
    for (let i = 0; i < REQUESTS; i++) {
      const totalMs = 5 * Math.exp(0.3 * prng.normal())
      const latencyMs = {
        queue: 0.1 * totalMs,
        input: 0.05 * totalMs,
        compute: 0.8 * totalMs,
        output: 0.05 * totalMs,
        total: totalMs,
      }
      const prediction = { classIndex: prng.below(CLASSES.length), confidence: prng.unit() }
      const features = FEATURES.map(() => prng.normal())
      recordRequest(window, shape, { latencyMs, features, prediction })
      if (i % 5 === 0) recordLabel(window, prediction.classIndex, prng.below(CLASSES.length))
    }
    return { arm: name, version, variant: 'fp32', window }
  }
  return {
    boot: 'boot-1',
    seq: 1,
    model: 'motor',
    generation: 3,
    rollout: { id: 'r1', wave: 1 },
    share: 500_000,
    startedAtMs: 1_790_000_000_000,
    durationMs: 60_000,
    arms: [arm('baseline', '1.0.0'), arm('canary', '1.1.0')],
  }
}
