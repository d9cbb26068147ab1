/** The small requests of the Open Inference Protocol v2 over gRPC, from their bytes. */
import { err, ok, ProblemError, type Result, toProblem } from '../../shared/kernel/result.ts'
import {
  type FieldReader,
  onBytes,
  onInteger,
  onString,
  readFields,
} from '../../shared/onnx/wire-fields.ts'

export const NAME_BYTES_MAX = 1_024
/** Of a message, known or not: one of millions of empty fields would stop everybody else. */
export const FIELDS_MAX = 1_024
const PARAMETERS_MAX = 64
/** Of a configuration that comes with a load. */
const TEXT_BYTES_MAX = 65_536

/** `{ name = 1, version = 2 }`, of the requests about a model. Errors: `request.malformed`. */
export function decodeModelName(message: Uint8Array): Result<{ name: string; version: string }> {
  return reading(() => {
    const asked = { name: '', version: '' }
    readFields(message, { 1: into(asked, 'name'), 2: into(asked, 'version') }, FIELDS_MAX)
    return asked
  })
}

/** What a refused `ModelInferRequest` is answered under; empty where even that cannot be read. */
export function readIdentity(message: Uint8Array): { readonly model: string; readonly id: string } {
  const asked = { model: '', id: '' }
  reading(() => readFields(message, { 1: into(asked, 'model'), 3: into(asked, 'id') }, FIELDS_MAX))
  return asked
}

/** `RepositoryIndexRequest` -> whether only models that serve are asked for. */
export function decodeIndexRequest(message: Uint8Array): Result<boolean> {
  return reading(() => {
    let ready = false
    const asked = onInteger((value) => {
      ready = value !== 0
    })
    readFields(message, { 2: asked }, FIELDS_MAX)
    return ready
  })
}

/** `RepositoryModelLoadRequest` and `...UnloadRequest`; of its parameters the texts have a value. */
export function decodeChange(message: Uint8Array): Result<{
  model: string
  parameters: readonly (readonly [name: string, text: string | undefined])[]
}> {
  return reading(() => {
    const asked = { model: '' }
    const parameters: [string, string | undefined][] = []
    const parameter = onBytes((entry) => {
      const named: { key: string; text?: string } = { key: '' }
      const text = onString((value) => {
        named.text = value
      }, TEXT_BYTES_MAX)
      const value = onBytes((choice) => readFields(choice, { 3: text }, FIELDS_MAX))
      readFields(entry, { 1: into(named, 'key'), 2: value }, FIELDS_MAX)
      if (parameters.length < PARAMETERS_MAX) parameters.push([named.key, named.text])
    })
    readFields(message, { 2: into(asked, 'model'), 3: parameter }, FIELDS_MAX)
    return { ...asked, parameters }
  })
}

/** `HealthCheckRequest` -> its service. */
export function decodeHealthRequest(message: Uint8Array): Result<string> {
  return reading(() => {
    const asked = { service: '' }
    readFields(message, { 1: into(asked, 'service') }, FIELDS_MAX)
    return asked.service
  })
}

/** A string field, kept under `key`. */
export function into<K extends string>(target: { [P in K]?: string }, key: K): FieldReader {
  return onString((text) => {
    target[key] = text
  }, NAME_BYTES_MAX)
}

/** What the reader of the wire throws is told in the words of this protocol. */
export function reading<T>(decode: () => T): Result<T> {
  try {
    return ok(decode())
  } catch (cause) {
    const { code, message, found } = toProblem(cause, 'request.malformed')
    const isOurs = cause instanceof ProblemError && !code.startsWith('onnx.')
    return err(isOurs ? cause.problem : malformed('a protobuf message', found ?? message).problem)
  }
}

export function malformed(expected: string, found: string): ProblemError {
  return new ProblemError({
    code: 'request.malformed',
    message: 'This is not an inference request.',
    expected,
    found,
  })
}
