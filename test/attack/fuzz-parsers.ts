/**
 * More of what reads strangers' bytes: device messages in both forms, and files. Messages come signed
 * and, as a thief of a device's key sends them, unsigned: then a changed one may well be read, but must
 * be whole, small and quick. Rows of `fuzz-subjects.ts`.
 */
import { fromUtf8, utf8 } from '../../shared/kernel/bytes.ts'
import type { Result } from '../../shared/kernel/result.ts'
import { auditEntrySchema } from '../../shared/model/audit.ts'
import { decodeGolden, encodeGolden } from '../../shared/model/golden.ts'
import { encodeModel } from '../../shared/onnx/graph-writer.ts'
import { readModelSignature } from '../../shared/onnx/model-signature.ts'
import { decodeTensor, encodeTensor } from '../../shared/onnx/tensor-codec.ts'
import { decodeMessage, encodeMessage, type MessageOf } from '../../shared/protocol/codec.ts'
import { auditHash, CHAIN_START, followChain } from '../../shared/signing/audit-chain.ts'
import { emptyWindow } from '../../shared/sketch/window.ts'
import { recordRequest } from '../../shared/sketch/window-record.ts'
import { someShape } from '../fixtures/sketch-builders.ts'
import type { FuzzSubject } from './fuzz-subjects.ts'

const atMs = 1_790_000_000_000

export const telemetryMessage = ((): MessageOf['telemetry'] => {
  const shape = someShape()
  const window = emptyWindow(shape)
  for (let i = 0; i < 20; i++) recordRequest(window, shape, { latencyMs: { total: 5 + i } })
  return {
    ...{ boot: 'boot', seq: 7, model: 'motor', generation: 3, rollout: null, share: 0 },
    ...{ startedAtMs: atMs, durationMs: 10_000 },
    arms: [{ arm: 'baseline', version: '1.0.0', variant: 'fp32', window }],
  }
})()

export const reportMessage: MessageOf['report'] = {
  ...{ boot: 'boot', seq: 8, atMs, qualifications: [] },
  report: {
    ...{ directorEpoch: 1, generation: 3, status: 'applied', slots: [], job: null, failures: [] },
    attacks: [{ kind: 'rollback', subject: 'timestamp', atMs }],
  },
}

/** Nothing vouches for the bytes: all that counts is that they are read or refused. */
function readBy(
  name: string,
  honest: readonly Uint8Array[],
  read: (bytes: Uint8Array) => Result<unknown>,
): FuzzSubject {
  return { name, honest, judge: (bytes) => (read(bytes).ok ? 'same' : 'refused') }
}

const messages = (kind: 'telemetry' | 'report', message: MessageOf[typeof kind]): FuzzSubject =>
  readBy(
    `unsigned ${kind} payloads`,
    [encodeMessage(kind, message), encodeMessage(kind, message, 'json')],
    (bytes) => decodeMessage(kind, bytes),
  )

/** A chain holds what it held, or it is broken. */
function auditTrail(): FuzzSubject {
  let previousHash = ''
  const entries = Array.from({ length: 8 }, (_, i) => {
    const entry = {
      ...{ id: i + 1, atMs: atMs + i, actor: 'ada', action: 'start', resource: `rollout/${i}` },
      ...{ outcome: 'done', metadata: { note: 'a "quoted" one' }, previousHash },
    }
    previousHash = auditHash(entry)
    return { ...entry, hash: previousHash }
  })
  const honest = entries.map((entry) => JSON.stringify(entry)).join('\n')
  return {
    name: 'audit exports',
    honest: [utf8(honest)],
    judge(bytes) {
      let end = CHAIN_START
      const text = fromUtf8(bytes)
      for (const line of (text ?? '{').split('\n')) {
        const entry = auditEntrySchema.safeParse(jsonOf(line))
        const next = entry.success ? followChain(end, entry.data) : undefined
        if (!next?.ok) return 'refused'
        end = next.value
      }
      // A trail cut short is for the signed head to find.
      return entries[end.id - 1]?.hash === end.hash ? 'same' : 'accepted'
    },
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const data = new Float32Array(16)
const model = encodeModel({
  ...{ irVersion: 9, opsets: [{ domain: '', version: 17 }], producer: 'linnet' },
  graph: {
    name: 'tiny',
    inputs: [{ name: 'x', datatype: 'FP32', shape: ['batch', 4] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: ['batch', 4] }],
    initializers: [{ name: 'w', datatype: 'FP32', shape: [4, 4], data }],
    nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
  },
})
const tensor = { name: 'x', datatype: 'FP32' as const, shape: [1, 16] }
const golden = { ...tensor, data: new Uint8Array(data.buffer) }

export function parserSubjects(): FuzzSubject[] {
  return [
    messages('telemetry', telemetryMessage),
    messages('report', reportMessage),
    auditTrail(),
    readBy('ONNX models', [model], readModelSignature),
    readBy('ONNX tensors', [encodeTensor({ ...tensor, data })], decodeTensor),
    readBy('golden vectors', [encodeGolden([{ inputs: [golden], outputs: [golden] }])], (bytes) =>
      decodeGolden(bytes),
    ),
  ]
}
