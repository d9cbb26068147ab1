/**
 * The other process of `overhead`: takes turns between a bare `session.run` of its own, the same
 * input sent to the model host over its Unix socket, and an echo of the same bytes over another, and
 * prints the medians. It writes and reads whole messages and nothing else, as a native client would.
 */
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { z } from 'zod'
import { binaryRequest } from './binary-request.ts'
import { onAnswers } from './load.ts'

const textSchema = z.string().min(1)
const argumentsSchema = z.tuple([
  textSchema,
  textSchema,
  textSchema,
  textSchema,
  z.coerce.number().int().min(1),
])
const [modelPath, urlPath, socketPath, echoPath, calls] = argumentsSchema.parse(
  process.argv.slice(2),
)

const session = await InferenceSession.create(await readFile(modelPath), {
  ...{ intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4 },
})
const metadata = session.inputMetadata[0]
if (metadata === undefined || !metadata.isTensor) throw new Error('the model takes no tensor')
const shape = metadata.shape.map((size) => (typeof size === 'number' ? size : 1))
const size = shape.reduce((product, next) => product * next, 1)
const data = Float32Array.from({ length: size }, (_, i) => (i % 255) / 255)
const bare = () => session.run({ [metadata.name]: new Tensor('float32', data, shape) })

const request = binaryRequest(`${urlPath}/infer`, { name: metadata.name, shape, data })
const host = await opened(socketPath)
let answer: (status: number) => void = () => undefined
let answerBytes = 0
host.on('data', (chunk: Buffer) => {
  answerBytes += chunk.length
})
onAnswers(host, (status) => answer(status))

async function ask(): Promise<void> {
  answerBytes = 0
  const status = await new Promise<number>((resolve) => {
    answer = resolve
    host.write(request)
  })
  if (status !== 200) throw new Error(`the model host answered ${status}`)
}

// The echo gives back as many bytes as the answer has.
await ask()
const echoing = await opened(echoPath)
const lengths = Buffer.alloc(8)
lengths.writeUInt32BE(request.length, 0)
lengths.writeUInt32BE(answerBytes, 4)
echoing.write(lengths)
const replyBytes = answerBytes
let echoed: () => void = () => undefined
let echoedBytes = 0
echoing.on('data', (chunk: Buffer) => {
  echoedBytes += chunk.length
  if (echoedBytes >= replyBytes) echoed()
})

function echo(): Promise<void> {
  echoedBytes = 0
  return new Promise((resolve) => {
    echoed = resolve
    echoing.write(request)
  })
}

const taken = { bare: [] as number[], ask: [] as number[], echo: [] as number[] }
for (let i = -Math.ceil(calls / 2); i < calls; i++) {
  const bareMs = await time(bare)
  const askMs = await time(ask)
  const echoMs = await time(echo)
  if (i < 0) continue
  taken.bare.push(bareMs)
  taken.ask.push(askMs)
  taken.echo.push(echoMs)
}
process.stdout.write(`${JSON.stringify(taken)}\n`)
process.exit(0)

async function time(call: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await call()
  return performance.now() - startMs
}

function opened(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path })
    socket.once('connect', () => resolve(socket))
    socket.once('error', reject)
  })
}
