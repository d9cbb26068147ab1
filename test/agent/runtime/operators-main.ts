/**
 * A program of operators.test.ts: runs the cases with these numbers, each either on ONNX Runtime itself
 * (`raw`) or on the whole way of Linnet in one process (`linnet`): derivation, proof, load, and one
 * request as JSON and one as binary data. Prints one line of JSON for each; some raw ones end it. Asked
 * to `describe` them, it writes into a folder what a device would get of each, and prints the release;
 * proved on the case's own inputs.
 */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { ResolvedRelease } from '../../../agent/ports.ts'
import { loadRelease } from '../../../agent/runtime/load-release.ts'
import { toOrt } from '../../../agent/runtime/model-session.ts'
import { createHostPlane } from '../../../agent/runtime/plane/host-plane.ts'
import { createModelRoute } from '../../../agent/runtime/plane/model-route.ts'
import { derive } from '../../../agent/runtime/qualify/derive-command.ts'
import type { Derived, DeriveTask } from '../../../agent/runtime/qualify/derive-in-process.ts'
import { proveRelease } from '../../../agent/runtime/qualify/prove-release.ts'
import { qualifyRelease } from '../../../agent/runtime/qualify/qualify-release.ts'
import { localProfile, unsignedRelease } from '../../../agent/runtime/unsigned-release.ts'
import { bytesFromElements } from '../../../agent/serve/binary-tensor.ts'
import { answerInfer } from '../../../agent/serve/infer-exchange.ts'
import { jsonFromElements } from '../../../agent/serve/json-tensor.ts'
import { concatBytes, utf8 } from '../../../shared/kernel/bytes.ts'
import { ok, ProblemError, type Result, unwrap } from '../../../shared/kernel/result.ts'
import { goldenTensor } from '../../../shared/model/golden-compare.ts'
import type { TensorValue } from '../../../shared/model/tensor-value.ts'
import { chosenCases } from '../../conformance/chosen-cases.ts'
import type { OperatorCase } from '../../fixtures/operators/case.ts'

const [mode = '', wanted = '', out = ''] = process.argv.slice(2)
const folder = mkdtempSync(join(tmpdir(), 'linnet-operators-'))
const profile = localProfile(['cpu'], 1)

async function onRaw({ model, feeds }: OperatorCase): Promise<undefined> {
  const session = await InferenceSession.create(model, { logSeverityLevel: 4 })
  const inputs: Record<string, Tensor> = Object.create(null)
  for (const feed of feeds) inputs[feed.name] = toOrt(feed, Tensor)
  await session.run(inputs)
  await session.release()
}

async function describe(model: Uint8Array, name: string, feeds?: readonly TensorValue[]) {
  const path = join(folder, 'model.onnx')
  writeFileSync(path, model)
  const files = new Map<string, string>()
  const file = { model: name, version: '1.0.0', path }
  const trials = feeds && [{ inputs: feeds.map(goldenTensor), outputs: [] }]
  const options = { spec: {}, folder, files, trials, derive: deriveHere }
  return { path, files, resolved: unwrap(await unsignedRelease(file, options)) }
}

async function writeDescribed(
  { model, feeds }: OperatorCase,
  name: string,
): Promise<ResolvedRelease> {
  const { files, resolved } = await describe(model, name, feeds)
  for (const [sha256, path] of files) copyFileSync(path, join(out, sha256))
  return resolved
}

async function onLinnet({ model, feeds }: OperatorCase): Promise<undefined> {
  const { path, files, resolved } = await describe(model, 'operator')
  const artifactPath = (sha256: string) => files.get(sha256)
  const prove = async (task: Parameters<typeof proveRelease>[0]) =>
    ok(await proveRelease(task, () => undefined))
  const proof = unwrap(
    await qualifyRelease(resolved, {
      ...{ profile, artifactPath, prove, choose: 'first', batching: 'off' },
    }),
  )
  const live = await loadRelease({
    ...{ resolved, provider: proof.qualification.chosen, modelPath: path, ...proof.settings },
    goldenPath: artifactPath(resolved.variant.golden.sha256) ?? null,
  })
  const plane = createHostPlane({
    ...{ nowMs: () => performance.now(), deadlineMsMax: 10_000, queueLengthMax: 8 },
    ...{ mark: () => undefined, defer: setImmediate, onBroke: () => undefined },
  })
  const route = createModelRoute({
    model: {
      ...{ model: 'operator', current: null, candidate: null, previous: null, rollout: null },
      ...{ trafficShare: 0, shadow: 0 },
    },
    ...{ generation: 0, seed: 'operators', current: live, candidate: null, previous: null },
    wallClockMs: Date.now,
  })
  live.letGo()
  plane.swap(new Map([['operator', route]]))
  const ask = async (body: Uint8Array, headerLength?: number) => {
    const answer = await answerInfer(plane, {
      ...{ model: 'operator', version: undefined, body, forcedArm: undefined, priority: undefined },
      headerLength: headerLength === undefined ? undefined : String(headerLength),
      ...{ arrivedAtMs: plane.nowMs(), isGone: undefined },
    })
    if (answer.status !== 200) throw new Error(`${answer.status} ${String(answer.body)}`)
  }
  const about = feeds.map(({ name, datatype, shape }) => ({ name, datatype, shape }))
  const inputs = about.map((input, i) => ({ ...input, data: jsonFromElements(feeds[i]!) }))
  await ask(utf8(JSON.stringify({ inputs })))
  const parts = feeds.map(bytesFromElements)
  const header = utf8(
    JSON.stringify({
      inputs: about.map((input, i) => ({
        ...{ ...input, parameters: { binary_data_size: parts[i]!.length } },
      })),
      parameters: { binary_data_output: true },
    }),
  )
  await ask(concatBytes(header, ...parts), header.length)
  plane.swap(new Map())
}

/** What a device does in a process of its own. */
async function deriveHere({ model, golden, inputs }: DeriveTask): Promise<Result<Derived>> {
  const argv = ['--model', model, '--out', golden, '--unsigned']
  if (inputs !== undefined) argv.push('--inputs', inputs)
  const derived = await derive(argv)
  if (!derived.ok) return derived
  const { random, unproved, ...tensors } = derived.value as Derived
  return ok({ inputs: tensors.inputs, outputs: tensors.outputs, random, unproved })
}

const write = process.stdout.write.bind(process.stdout)
// The command tells which recipe it tries; here nobody listens.
process.stdout.write = () => true
const cases = chosenCases()
for (const i of wanted.split(',').map(Number)) {
  const one = cases[i]!
  let why = ''
  let release: ResolvedRelease | undefined
  try {
    if (mode === 'describe') release = await writeDescribed(one, `case-${i}`)
    else await (mode === 'raw' ? onRaw(one) : onLinnet(one))
  } catch (cause) {
    why = cause instanceof ProblemError ? cause.problem.code : String(cause)
  }
  write(`${JSON.stringify({ i, passed: why === '', why: why.slice(0, 200), release })}\n`)
}
rmSync(folder, { recursive: true, force: true })
