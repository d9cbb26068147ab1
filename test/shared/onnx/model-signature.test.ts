/** What an ONNX file says about itself, and what is refused instead of believed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes, utf8 } from '../../../shared/kernel/bytes.ts'
import { type Result, unwrap } from '../../../shared/kernel/result.ts'
import { encodeModel, type Graph } from '../../../shared/onnx/graph-writer.ts'
import { readModelSignature } from '../../../shared/onnx/model-signature.ts'

const weights = (count: number) => ({
  name: 'w',
  datatype: 'FP32' as const,
  shape: [4, count / 4],
  data: new Float32Array(count),
})

function model(graph: Partial<Graph> = {}, irVersion = 9): Uint8Array {
  return encodeModel({
    irVersion,
    opsets: [{ domain: '', version: 17 }],
    producer: 'linnet',
    graph: {
      name: 'tiny',
      inputs: [{ name: 'x', datatype: 'FP32', shape: ['batch', 4] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: ['batch', 4] }],
      initializers: [weights(16)],
      nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
      ...graph,
    },
  })
}

const codeOf = (result: Result<unknown>): string => (result.ok ? 'ok' : result.error.code)

/** A length-delimited protobuf field. */
function field(number: number, value: Uint8Array): Uint8Array {
  const length: number[] = []
  let rest = value.length
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128)
  return concatBytes(Uint8Array.of((number << 3) | 2, ...length, rest), value)
}
const varint = (number: number, value: number) => Uint8Array.of(number << 3, value)

describe('the signature of a model', () => {
  it('names inputs and outputs with protocol types and symbolic dimensions', () => {
    const signature = unwrap(readModelSignature(model()))
    expect(signature).toEqual({
      irVersion: 9,
      opsets: [{ domain: '', version: 17 }],
      producer: 'linnet',
      graphName: 'tiny',
      inputs: [{ name: 'x', datatype: 'FP32', shape: ['batch', 4], rankKnown: true }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: ['batch', 4], rankKnown: true }],
      operators: [{ domain: '', type: 'MatMul' }],
      externalData: [],
      nodeCount: 1,
      initializerCount: 1,
    })
  })

  it('leaves initialisers out of the inputs, where IR 3 lists them', () => {
    const inputs = [
      { name: 'x', datatype: 'FP32' as const, shape: [1, 4] },
      { name: 'w', datatype: 'FP32' as const, shape: [4, 4] },
    ]
    const signature = unwrap(readModelSignature(model({ inputs }, 3)))
    expect(signature.inputs.map((input) => input.name)).toEqual(['x'])
  })

  it('names types that the protocol lacks honestly', () => {
    const types = ['BF16', 'FP8_E4M3FN', 'INT4', 'INT64', 'BYTES', 'FP16', 'BOOL'] as const
    const outputs = types.map((datatype) => ({ name: `o${datatype}`, datatype, shape: [1] }))
    const signature = unwrap(readModelSignature(model({ outputs })))
    expect(signature.outputs.map((output) => output.datatype)).toEqual(types)
  })

  it('tells a missing shape from a scalar, and a sequence from a tensor', () => {
    const noShape = field(1, varint(1, 1))
    const scalar = field(1, concatBytes(varint(1, 7), field(2, new Uint8Array(0))))
    const sequence = field(4, field(1, noShape))
    const value = (name: string, type: Uint8Array) =>
      field(12, concatBytes(field(1, utf8(name)), field(2, type)))
    const graph = concatBytes(value('a', noShape), value('b', scalar), value('c', sequence))
    const bytes = concatBytes(varint(1, 2), field(7, graph))
    expect(unwrap(readModelSignature(bytes)).outputs).toEqual([
      { name: 'a', datatype: 'FP32', shape: [], rankKnown: false },
      { name: 'b', datatype: 'INT64', shape: [], rankKnown: true },
      { name: 'c', datatype: 'SEQUENCE', shape: [], rankKnown: false },
    ])
  })

  it('takes an optional tensor for a tensor, and no other optional', () => {
    const tensor = { datatype: 'FP32' as const, shape: ['n'] }
    const outputs = [
      { name: 'a', ...tensor, within: ['optional'] as const },
      { name: 'b', ...tensor, within: ['optional', 'sequence'] as const },
      { name: 'c', ...tensor, within: ['optional', 'optional'] as const },
      { name: 'd', ...tensor, within: ['sequence', 'optional'] as const },
    ]
    const signature = unwrap(readModelSignature(model({ outputs })))
    expect(signature.outputs).toEqual([
      { name: 'a', datatype: 'FP32', shape: ['n'], rankKnown: true },
      { name: 'b', datatype: 'OPTIONAL', shape: [], rankKnown: false },
      { name: 'c', datatype: 'OPTIONAL', shape: [], rankKnown: false },
      { name: 'd', datatype: 'SEQUENCE', shape: [], rankKnown: false },
    ])
  })

  it('finds operators and external data inside subgraphs', () => {
    const entry = concatBytes(field(1, utf8('location')), field(2, utf8('weights.bin')))
    const tensor = concatBytes(field(8, utf8('t')), field(13, entry), varint(14, 1))
    const inner = concatBytes(field(1, field(4, utf8('Inner'))), field(5, tensor))
    const node = concatBytes(field(4, utf8('If')), field(5, field(6, inner)), field(7, utf8('own')))
    const graph = concatBytes(field(1, node), field(12, field(1, utf8('y'))))
    const signature = unwrap(readModelSignature(concatBytes(varint(1, 2), field(7, graph))))
    expect(signature.operators).toEqual([
      { domain: '', type: 'Inner' },
      { domain: 'own', type: 'If' },
    ])
    expect(signature.externalData).toEqual(['weights.bin'])
  })
})

describe('how much of a file is read', () => {
  const graph = (parts: Uint8Array) => concatBytes(varint(1, 2), field(7, parts))
  const output = field(12, field(1, utf8('y')))
  const many = (part: Uint8Array) => concatBytes(...Array.from({ length: 500 }, () => part))

  it.each([
    ['unknown fields', concatBytes(model(), many(varint(15, 0)))],
    ['unknown fields of a graph', graph(concatBytes(output, many(varint(3, 0))))],
    [
      'values of attributes',
      graph(field(1, concatBytes(field(4, utf8('A')), field(5, many(varint(8, 1)))))),
    ],
    ['dimensions', graph(field(12, field(2, field(1, field(2, many(varint(3, 0)))))))],
    ['small messages', graph(many(field(12, field(1, utf8('y')))))],
  ])('ends at a number of fields over all messages: %s', (_, bytes) => {
    expect(readModelSignature(bytes, 400)).toMatchObject({
      error: { code: 'onnx.limit_exceeded', expected: 'at most 400 fields' },
    })
  })

  it('counts a message that it looks into as 16 fields, and nothing twice', () => {
    // The file, its graph, the output: 48; the version, the graph, the output, its name: 4.
    const bytes = graph(output)
    expect(codeOf(readModelSignature(bytes, 51))).toBe('onnx.limit_exceeded')
    expect(codeOf(readModelSignature(bytes, 52))).toBe('ok')
  })

  it('skips fields of every wire type and refuses a group, which could hide any number', () => {
    const skipped = concatBytes(
      ...[Uint8Array.of(15 << 3, 255, 127), Uint8Array.of((15 << 3) | 1, ...new Array(8).fill(9))],
      ...[field(15, utf8('text')), Uint8Array.of((15 << 3) | 5, 9, 9, 9, 9)],
    )
    expect(codeOf(readModelSignature(concatBytes(model(), skipped)))).toBe('ok')
    const group = Uint8Array.of((15 << 3) | 3, (15 << 3) | 4)
    expect(readModelSignature(concatBytes(model(), group))).toMatchObject({
      error: { code: 'onnx.not_a_model', found: expect.stringContaining('wire type 3') },
    })
  })
})

describe('what is not an ONNX model', () => {
  it.each([
    ['an empty file', new Uint8Array(0), 'an empty file'],
    ['text', utf8('hello, this is no model'), 'malformed protobuf'],
    ['JSON', utf8('{"model": 1}'), 'JSON text'],
    ['a zip', utf8('PK\u0003\u0004....'), 'zip'],
    ['a Git LFS pointer', utf8('version https://git-lfs.github.com/spec/v1\n'), 'LFS'],
    ['a .ort file', utf8('\u0018\0\0\0ORTM\0\0\0\0'), '.ort'],
    ['a message without a graph', varint(1, 9), 'no graph'],
    ['a graph without outputs', model({ outputs: [] }), 'without outputs'],
    [
      'a model without operator sets',
      concatBytes(varint(1, 9), field(7, field(12, field(1, utf8('y'))))),
      'no operator set',
    ],
    ['a graph without an IR version', field(7, field(12, field(1, utf8('y')))), 'no IR version'],
  ])('%s is refused with what it is', (_, bytes, found) => {
    const result = readModelSignature(bytes)
    expect(codeOf(result)).toBe('onnx.not_a_model')
    expect(result.ok ? '' : result.error.found).toContain(found)
    expect(result.ok ? '' : result.error.next).toContain('.onnx')
  })

  it('refuses subgraphs nested past the limit', () => {
    let graph = field(12, field(1, utf8('y')))
    for (let depth = 0; depth < 40; depth++) {
      graph = field(1, concatBytes(field(4, utf8('If')), field(5, field(6, graph))))
    }
    const bytes = concatBytes(varint(1, 2), field(7, graph))
    expect(codeOf(readModelSignature(bytes))).toBe('onnx.limit_exceeded')
  })

  it('refuses a model with more outputs than anyone serves', () => {
    const outputs = Array.from({ length: 5_000 }, (_, i) => ({
      name: `y${i}`,
      datatype: 'FP32' as const,
      shape: [1],
    }))
    expect(codeOf(readModelSignature(model({ outputs })))).toBe('onnx.limit_exceeded')
  })

  it('answers any bytes with a result', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(['ok', 'onnx.not_a_model', 'onnx.limit_exceeded']).toContain(
          codeOf(readModelSignature(bytes)),
        )
      }),
      { numRuns: 500 },
    )
  })

  it('answers any truncated or mutated model with a result', () => {
    const bytes = model()
    fc.assert(
      fc.property(
        fc.nat(bytes.length),
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 6 }),
        (length, edits) => {
          const mutated = bytes.slice()
          for (const [at, value] of edits) mutated[at] = value
          readModelSignature(mutated.subarray(0, length))
        },
      ),
      { numRuns: 1_000 },
    )
  })

  it('passes over 100 MB of weights', () => {
    const bytes = model({ initializers: [weights(25_000_000)] })
    expect(bytes.length).toBeGreaterThan(100_000_000)
    expect(unwrap(readModelSignature(bytes)).initializerCount).toBe(1)
  })
})

const models = new URL('../../../../shared/models/', import.meta.url)

describe.skipIf(!existsSync(models))(
  'real models of ../shared/models (skipped when absent)',
  () => {
    const files = existsSync(models)
      ? readdirSync(models, { recursive: true, encoding: 'utf8' }).filter((f) =>
          f.endsWith('.onnx'),
        )
      : []
    const read = (file: string) => readModelSignature(readFileSync(new URL(file, models)))

    it.each([
      ['mnist/mnist.onnx', 'Input3 FP32 1,1,28,28 -> Plus214_Output_0'],
      ['silero-vad/silero_vad.onnx', 'input FP32 ,;state FP32 2,,128;sr INT64  -> output;stateN'],
      [
        'silero-vad/silero_vad_half.onnx',
        'input FP32 batch,sequence;state FP32 2,batch,128 -> output;stateN',
      ],
      ['ultraface/version-slim-320.onnx', 'input FP32 1,3,240,320 -> scores;boxes'],
      ['light/light_resnet50.onnx', 'gpu_0/data_0 FP32 1,3,224,224 -> gpu_0/softmax_1'],
    ])('%s', (file, expected) => {
      const { inputs, outputs } = unwrap(read(file))
      const took = inputs.map((t) => `${t.name} ${t.datatype} ${t.shape.join(',')}`).join(';')
      expect(`${took} -> ${outputs.map((output) => output.name).join(';')}`).toBe(expected)
    })

    it('finds the LSTM that silero-vad keeps in the branches of an If', () => {
      const { operators, opsets } = unwrap(read('silero-vad/silero_vad.onnx'))
      expect(operators).toContainEqual({ domain: '', type: 'LSTM' })
      expect(opsets).toEqual([{ domain: '', version: 16 }])
    })

    it('refuses each of them cut short', () => {
      for (const file of files) {
        const bytes = readFileSync(new URL(file, models))
        for (const share of [0.1, 0.5, 0.9, 0.99]) {
          const cut = readModelSignature(bytes.subarray(0, Math.floor(bytes.length * share)))
          expect(codeOf(cut), `${file} at ${share}`).toBe('onnx.not_a_model')
        }
      }
    })

    it('answers each of them with flipped bytes', () => {
      for (const file of files) {
        const bytes = new Uint8Array(readFileSync(new URL(file, models)))
        for (let i = 0; i < 20; i++) {
          const mutated = bytes.slice()
          for (let k = 0; k < 50; k++)
            mutated[(i * 7919 + k * 104_729) % 4_096] = (i * 31 + k) & 255
          readModelSignature(mutated)
        }
      }
    })
  },
)
