/**
 * A bare echo over a Unix socket, the least that any exchange between two processes costs. The first
 * eight bytes of a connection say how long its requests and answers are (two uint32, big endian);
 * then it answers every whole request with that many bytes.
 */
import { createServer } from 'node:net'

const [path = ''] = process.argv.slice(2)
const HEAD_BYTES = 8

const server = createServer((socket) => {
  let requestBytes = 0
  let reply: Buffer | undefined
  let received = 0
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length
    if (reply === undefined) {
      requestBytes = chunk.readUInt32BE(0)
      reply = Buffer.alloc(chunk.readUInt32BE(4))
      received -= HEAD_BYTES
    }
    if (received < requestBytes) return
    received -= requestBytes
    socket.write(reply)
  })
  socket.on('error', () => socket.destroy())
})
server.listen({ path }, () => process.stdout.write('ready 0\n'))
