/** What is refused before it runs, each with a code: types that cannot be carried, operators that are not there. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { admit } from '../../../../agent/runtime/qualify/admission.ts'
import { loadProblem } from '../../../../agent/runtime/qualify/load-problem.ts'
import { qualifyInProcess } from '../../../../agent/runtime/qualify/qualify-in-process.ts'
import { encodeModel, type ModelDescription } from '../../../../shared/onnx/graph-writer.ts'
import { PROFILE, tinyClassifier, writeRelease } from '../release-builder.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-admission-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Each of them throws in the binding of Node, or (four bits) aborts the process. */
const UNCARRIED = [
  ...['BF16', 'FP8_E4M3FN', 'FP8_E4M3FNUZ', 'FP8_E5M2', 'FP8_E5M2FNUZ'],
  ...['UINT4', 'INT4', 'FP4_E2M1', 'COMPLEX64', 'COMPLEX128'],
] as const

describe('Admission', () => {
  it.each(UNCARRIED)('refuses %s as input and as output, without loading the file', (datatype) => {
    const { graph, ...model } = tinyClassifier()
    const strange = { name: 'odd', datatype, shape: [1] } as ModelDescription['graph']['inputs'][0]
    for (const role of ['inputs', 'outputs'] as const) {
      const bytes = encodeModel({
        ...model,
        graph: { ...graph, [role]: [...graph[role], strange] },
      })
      const artifact = { file: 'model.onnx', sha256: '0'.repeat(64), length: bytes.length }
      const limits = { artifactBytesMax: bytes.length }
      expect(admit(bytes, { inputs: [], outputs: [] }, { artifact }, limits)).toMatchObject({
        ok: false,
        error: { code: 'admission.unsupported_type', found: `odd: ${datatype}` },
      })
    }
  })

  it.each([
    ['an operator that nobody knows', { op: 'Frobnicate' }, 13, 'admission.unsupported_operator'],
    ['a domain that is not there', { domain: 'my.ops' }, 13, 'admission.unsupported_operator'],
    ['an operator set of the future', {}, 99, 'admission.unsupported_opset'],
  ])(
    'refuses %s, in a process that may die',
    { timeout: 60_000 },
    async (what, node, version, code) => {
      const model = tinyClassifier()
      const nodes = model.graph.nodes.map((n) => (n.op === 'Softmax' ? { ...n, ...node } : n))
      const description = {
        ...{ ...model, opsets: [{ domain: '', version }], graph: { ...model.graph, nodes } },
      }
      const release = writeRelease(folder, { version: `1.0.${what.length}`, description })
      const refused = await qualifyInProcess(release, {
        ...{ profile: PROFILE, artifactPath: (sha256: string) => join(folder, sha256) },
        ...{ timeMsMax: 60_000, signal: new AbortController().signal },
      })
      expect(refused).toMatchObject({ ok: false, error: { code } })
    },
  )

  it('names other reasons as they are, without the places in the source of the library', () => {
    const where =
      '/onnxruntime_src/onnxruntime/core/x.cc:136 void onnxruntime::X::Y(int)::<lambda()>'
    const cause = new Error(
      `${where} result.status == Success was false. Failed to get an adapter.`,
    )
    expect(loadProblem(cause)).toEqual({
      code: 'qualify.load_failed',
      message: 'ONNX Runtime cannot load this model.',
      found: 'Failed to get an adapter.',
    })
  })
})
