/**
 * A program of main.ts: `raw-main PROVIDER FOLDER` runs the cases whose numbers stand on stdin on ONNX
 * Runtime itself and prints a line of JSON for each. Some end it: whoever started it goes on behind
 * them in another process.
 */
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { fromOrt, toOrt } from '../../agent/runtime/model-session.ts'
import { casesIn, judge } from './onnx-case.ts'

const [provider = 'cpu', folder = '.'] = process.argv.slice(2)
const cases = casesIn(folder)

for (const i of (await text(process.stdin)).split(' ').map(Number)) {
  const one = cases[i]!
  let session: InferenceSession | undefined
  const verdict = await judge(i, one, async (inputs) => {
    // From its bytes, as Linnet loads; a path would let it find weights in other files.
    session ??= await InferenceSession.create(readFileSync(one.path), {
      ...{ executionProviders: [provider], logSeverityLevel: 4 },
    })
    const feeds: Record<string, Tensor> = Object.create(null)
    for (const input of inputs) feeds[input.name] = toOrt(input, Tensor)
    const fetched = await session.run(feeds)
    return Object.entries(fetched).map(([name, value]) => fromOrt(name, value as Tensor))
  })
  await session?.release()
  process.stdout.write(`${JSON.stringify(verdict)}\n`)
}
