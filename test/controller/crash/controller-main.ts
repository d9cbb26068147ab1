/**
 * A real controller process on a database file, for the crash test: what the parent sends over IPC
 * is what the broker delivers, and acknowledgements go back the same way.
 */

import { createController } from '../../../controller/controller.ts'
import { openLibsqlStore } from '../../../controller/db/libsql-store.ts'
import { silentLog } from '../../../controller/ports.ts'
import { createMemoryBlobs } from '../../../controller/signing/memory-blobs.ts'
import { createMemoryKeys } from '../../../controller/signing/memory-keys.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import { nodeVerifier } from '../../../shared/node/verifier-node.ts'
import { decodeMessage } from '../../../shared/protocol/codec.ts'
import { openFrame } from '../../../shared/protocol/frame.ts'
import { keyId } from '../../../shared/signing/keys.ts'
import { createMemoryBroker } from '../../fixtures/memory-broker.ts'
import { online, PROFILES } from '../../fixtures/release-builders.ts'
import { buildFacts } from '../../fixtures/rollout-builders.ts'
import { signerNumber } from '../../shared/signing/build-assignment.ts'

const [, , url = ''] = process.argv
const store = await openLibsqlStore({ url })
const { key } = signerNumber(1)
const facts = buildFacts()
const device = { device: 'press-1', deviceKey: keyId(key), publicKey: key, facts }
await store.write([
  { put: 'devices', row: { ...device, enrolledAtMs: 0, approvedAtMs: 0, revokedAtMs: null } },
])

const broker = createMemoryBroker()
broker.publish = async ({ topic, payload }) => {
  if (!topic.endsWith('/dn/ack') || typeof payload === 'string') return
  const frame = unwrap(openFrame(payload, 8_192))
  process.send?.({ stored: unwrap(decodeMessage('ack', frame.payload)).stored })
}
const controller = await createController({
  rolloutId: (number) => `r${number}`,
  fleet: 'plant',
  version: '0.1.0',
  store,
  blobs: createMemoryBlobs(),
  keys: createMemoryKeys(online),
  verifier: nodeVerifier,
  profiles: PROFILES,
  clock: {
    nowMs: () => Date.now(),
    after(delayMs, task) {
      const timer = setTimeout(task, delayMs)
      return () => clearTimeout(timer)
    },
  },
  log: silentLog,
  openBroker: async () => broker,
  urls: { mqttUrl: '', wsUrl: '' },
  tickMs: 5,
})
await controller.start()
process.on('message', ({ topic, payload }: { topic: string; payload: string }) =>
  broker.deliver(topic, Buffer.from(payload, 'base64')),
)
process.send?.({ ready: true })
