/**
 * An answer to the wire: JSON alone, or a JSON header followed by the binary outputs (Open Inference
 * Protocol v2 with its binary tensor data extension). Output bytes are written as views.
 */
import { utf8 } from '../../shared/kernel/bytes.ts'
import type { InferAnswer } from '../data-plane.ts'
import { bytesFromElements } from './binary-tensor.ts'
import { jsonFromElements } from './json-tensor.ts'
import type { WireAnswer } from './refusal.ts'

/**
 * The JSON is put together by hand, for an object per request costs more than the model of a small
 * device takes; whatever could need escaping goes through JSON.stringify.
 */
export function encodeAnswer(
  answer: InferAnswer,
  id: string | undefined,
  binaryOutput: (name: string) => boolean,
): WireAnswer {
  const binary: Uint8Array[] = []
  let outputs = ''
  for (const tensor of answer.outputs) {
    const { name, datatype, shape } = tensor
    outputs += `${outputs === '' ? '' : ','}{"name":${quote(name)},"datatype":"${datatype}"`
    outputs += `,"shape":[${shape.join(',')}],`
    if (binaryOutput(name)) {
      const bytes = bytesFromElements(tensor)
      binary.push(bytes)
      outputs += `"parameters":{"binary_data_size":${bytes.length}}}`
    } else {
      outputs += `"data":${JSON.stringify(jsonFromElements(tensor))}}`
    }
  }
  const { model, version, arm, variant, provider } = answer
  const text = `{"model_name":${quote(model)},"model_version":${quote(version)}${
    id === undefined ? '' : `,"id":${quote(id)}`
  },"parameters":{"arm":"${arm}","variant":${quote(variant)},"provider":"${provider}"},"outputs":[${
    outputs
  }]}`
  const release = `${model}@${version}`
  return binary.length === 0 ? plain(text, arm, release) : withBinary(text, binary, arm, release)
}

const quote = (text: string): string => JSON.stringify(text)

function plain(body: string, arm: string, release: string): WireAnswer {
  const headers = {
    'linnet-arm': arm,
    'linnet-release': release,
    'content-type': 'application/json',
  }
  return { status: 200, headers, body }
}

function withBinary(
  text: string,
  parts: readonly Uint8Array[],
  arm: string,
  release: string,
): WireAnswer {
  const header = utf8(text)
  let at = header.length
  const body = new Uint8Array(parts.reduce((sum, part) => sum + part.length, at))
  body.set(header)
  for (const part of parts) {
    body.set(part, at)
    at += part.length
  }
  const headers = {
    'linnet-arm': arm,
    'linnet-release': release,
    'content-type': 'application/octet-stream',
    'inference-header-content-length': String(header.length),
  }
  return { status: 200, headers, body }
}
