/**
 * An answer to the wire: JSON alone, or a JSON header followed by the binary outputs (Open Inference
 * Protocol v2 with its binary tensor data extension). Output bytes are written as views.
 */
import { utf8 } from '../../shared/kernel/bytes.ts'
import { ok, type Result } from '../../shared/kernel/result.ts'
import type { InferAnswer } from '../data-plane.ts'
import { bytesFromElements } from './binary-tensor.ts'
import { jsonFromElements } from './json-tensor.ts'
import type { WireAnswer } from './refusal.ts'

/** Errors: `infer.output_not_json`. */
export function encodeAnswer(
  answer: InferAnswer,
  id: string | undefined,
  binaryOutput: (name: string) => boolean,
): Result<WireAnswer> {
  const binary: Uint8Array[] = []
  const outputs: Record<string, unknown>[] = []
  for (const tensor of answer.outputs) {
    const { name, datatype, shape } = tensor
    if (binaryOutput(name)) {
      const bytes = bytesFromElements(tensor)
      binary.push(bytes)
      outputs.push({ name, datatype, shape, parameters: { binary_data_size: bytes.length } })
    } else {
      const data = jsonFromElements(tensor)
      if (!data.ok) return data
      outputs.push({ name, datatype, shape, data: data.value })
    }
  }
  const { model, version, arm, variant, provider } = answer
  const text = JSON.stringify({
    model_name: model,
    model_version: version,
    ...(id === undefined ? {} : { id }),
    parameters: { arm, variant, provider },
    outputs,
  })
  const shared = { 'linnet-arm': arm, 'linnet-release': `${model}@${version}` }
  if (binary.length === 0) {
    const headers = { ...shared, 'content-type': 'application/json' }
    return ok({ status: 200, headers, body: text })
  }
  const header = utf8(text)
  return ok({
    status: 200,
    headers: {
      ...shared,
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(header.length),
    },
    body: joined(header, binary),
  })
}

function joined(header: Uint8Array, parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const total = parts.reduce((sum, part) => sum + part.length, header.length)
  const body = new Uint8Array(total)
  body.set(header)
  let at = header.length
  for (const part of parts) {
    body.set(part, at)
    at += part.length
  }
  return body
}
