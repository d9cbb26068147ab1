/** Keeps a local API busy with mnist at 8 connections until it is told to end; says when it began. */
import { load } from './load.ts'
import { mnistRequest } from './mnist-request.ts'

const port = Number(process.argv[2])
process.stdout.write('started\n')
for (;;) {
  const request = mnistRequest('/v2/models/mnist/infer', 'binary')
  await load({ to: { host: '127.0.0.1', port }, request, connections: 8, durationMs: 60_000 })
}
