/** The five releases of the runtime contract, written to a temporary folder. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ModelDescription } from '../../../shared/onnx/graph-writer.ts'
import { tinyClassifier, writeRelease } from './release-builder.ts'

function notANumber(): ModelDescription {
  const model = tinyClassifier()
  const nodes = [
    ...model.graph.nodes.slice(0, 2),
    { op: 'Sub', inputs: ['logits', 'logits'], outputs: ['zero'] },
    { op: 'Div', inputs: ['zero', 'zero'], outputs: ['scores'] },
  ]
  return { ...model, graph: { ...model.graph, nodes } }
}

export function createBenchReleases() {
  const folder = mkdtempSync(join(tmpdir(), 'linnet-runtime-'))
  const unloadable = writeRelease(folder, { version: '1.4.0', bias: 0.4 })
  // What was verified at download has rotted on disk since.
  writeFileSync(join(folder, unloadable.variant.artifact.sha256), 'rotten')
  const incompatible = writeRelease(folder, {
    version: '1.3.0',
    description: tinyClassifier(0.3, 'y'),
    input: 'y',
    bias: 0.3,
  })
  return {
    folder,
    good: writeRelease(folder, { version: '1.0.0' }),
    better: writeRelease(folder, { version: '1.1.0', bias: 0.1 }),
    wrong: writeRelease(folder, { version: '1.2.0', bias: 0.2, wrongGolden: true }),
    incompatible,
    unloadable,
    /** Loads, and gives NaN for every request. */
    notANumber: writeRelease(folder, { version: '1.5.0', description: notANumber() }),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  }
}
