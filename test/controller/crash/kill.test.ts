import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { openLibsqlStore } from '../../../controller/db/libsql-store.ts'
import { createPrng } from '../../../shared/kernel/prng.ts'
import { programAt } from '../../../shared/node/program.ts'
import { sealMessage } from '../../../shared/protocol/frame.ts'
import { formatTopic } from '../../../shared/protocol/topics.ts'
import { countedWindow } from '../../fixtures/controller-builder.ts'
import { signerNumber } from '../../shared/signing/build-assignment.ts'

const MESSAGES = 600
const KILLS = 2
/** Three processes are started from source, which takes its time on a busy machine. */
const TIMEOUT_MS = 180_000
const address = { fleet: 'plant', device: 'press-1' }
const topic = formatTopic('up/telemetry', address)
const children: ChildProcess[] = []
const folders: string[] = []

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

/** One request each, so that requests stored are messages stored. */
function sealedWindows(): Map<number, string> {
  const window = countedWindow(1, 0)
  const signer = signerNumber(1)
  const seqs = Array.from({ length: MESSAGES }, (_, i) => i + 1)
  return new Map(
    seqs.map((seq) => {
      const message = {
        boot: 'boot-1',
        seq,
        model: 'motor',
        generation: 1,
        rollout: null,
        share: 0,
        startedAtMs: 1_790_000_000_000 + seq * 1_000,
        durationMs: 1_000,
        arms: [{ arm: 'baseline' as const, version: '1.0.0', variant: 'fp32', window }],
      }
      const bytes = sealMessage('telemetry', message, { ...address, topic }, signer)
      return [seq, Buffer.from(bytes).toString('base64')] as const
    }),
  )
}

async function startController(url: string, onStored: (stored: number[]) => void) {
  const { file, execArgv } = programAt(import.meta.url, './controller-main')
  const child = fork(file, [url], { execArgv: [...execArgv] })
  children.push(child)
  child.on('message', (said: { stored?: number[] }) => onStored(said.stored ?? []))
  await once(child, 'message')
  return child
}

/** Resolves with the next message of the child, or after a second without one. */
async function nextAnswer(child: ChildProcess): Promise<void> {
  const patience = new AbortController()
  await Promise.race([
    once(child, 'message', { signal: patience.signal }),
    sleep(1_000, undefined, { signal: patience.signal }),
  ])
  patience.abort()
}

describe('a controller that is killed while it writes', () => {
  it(
    'has stored everything that it acknowledged, and counts nothing twice',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'linnet-kill-'))
      folders.push(folder)
      const url = `file:${join(folder, 'linnet.db')}`
      const unacknowledged = sealedWindows()
      const onStored = (stored: number[]) => {
        for (const seq of stored) unacknowledged.delete(seq)
      }
      const prng = createPrng('kill')
      let hadProgress = 0
      for (let round = 0; round <= KILLS; round++) {
        const child = await startController(url, onStored)
        const before = unacknowledged.size
        const sendings = round === KILLS ? 1_000 : 3 + prng.below(3)
        for (let i = 0; i < sendings && unacknowledged.size > 0; i++) {
          // As a device does: what is not acknowledged is sent again.
          for (const [, payload] of [...unacknowledged].slice(0, 60)) child.send({ topic, payload })
          // The last batch of a round is killed on its way to the database.
          if (round < KILLS && i === sendings - 1) await sleep(prng.below(40))
          else await nextAnswer(child)
        }
        if (unacknowledged.size < before) hadProgress++
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      expect(unacknowledged.size).toBe(0)
      expect(hadProgress).toBeGreaterThan(1)
      const store = await openLibsqlStore({ url })
      const { seen } = await store.load()
      expect(seen.map(({ ranges }) => ranges)).toEqual([[1, MESSAGES]])
      const rows = await store.windowsBetween(0, 1e9)
      await store.close()
      expect(rows.reduce((sum, { messages }) => sum + messages, 0)).toBe(MESSAGES)
      expect(rows.reduce((sum, { window }) => sum + window.n, 0)).toBe(MESSAGES)
    },
    TIMEOUT_MS,
  )
})
