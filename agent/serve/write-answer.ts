/**
 * An answer to a socket: its status line, its fields, those that HTTP/1.1 asks of every server (Date,
 * Connection; RFC 9110, 6.6.1; RFC 9112, 9.3) and its body, in as few writes and copies as its size
 * allows. Invariant: no field can hold what would end it.
 */
import { STATUS_CODES } from 'node:http'
import type { Writable } from 'node:stream'
import { assert } from '../../shared/kernel/assert.ts'
import { KEEP_ALIVE_MS } from './connection-limits.ts'
import type { WireAnswer } from './refusal.ts'

/** Up to this, copying costs less than a second piece of the write. */
const ONE_PIECE_BYTES_MAX = 16_384
const UNSAFE = /[^\x20-\x7e]/

/**
 * @param isLast the connection ends with this answer.
 * @returns whether all of it left the process, or nearly; else 'drain' tells when.
 */
export function writeAnswer(socket: Writable, answer: WireAnswer, isLast: boolean): boolean {
  const { body } = answer
  const bodyBytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length
  const head = headOf(answer, bodyBytes, isLast)
  if (typeof body === 'string') {
    return socket.write(head + body, bodyBytes === body.length ? 'latin1' : 'utf8')
  }
  if (bodyBytes <= ONE_PIECE_BYTES_MAX) {
    const bytes = Buffer.allocUnsafe(head.length + bodyBytes)
    bytes.write(head, 'latin1')
    bytes.set(body, head.length)
    return socket.write(bytes)
  }
  socket.cork()
  socket.write(head, 'latin1')
  socket.write(body)
  socket.uncork()
  return !socket.writableNeedDrain
}

function headOf({ status, headers }: WireAnswer, bodyBytes: number, isLast: boolean): string {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`
  for (const name in headers) {
    const value = headers[name]!
    assert(!UNSAFE.test(value), `the field ${name} cannot be sent`)
    head += `${name}: ${value}\r\n`
  }
  return `${head}content-length: ${bodyBytes}\r\n${dateLine()}${isLast ? LAST : KEPT}`
}

const KEPT = `connection: keep-alive\r\nkeep-alive: timeout=${KEEP_ALIVE_MS / 1000}\r\n\r\n`
const LAST = 'connection: close\r\n\r\n'

let dateSecond = 0
let date = ''

/** Written once a second. */
function dateLine(): string {
  const nowMs = Date.now()
  const second = Math.floor(nowMs / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    date = `date: ${new Date(nowMs).toUTCString()}\r\n`
  }
  return date
}
