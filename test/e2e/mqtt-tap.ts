/**
 * Someone between a device and its broker: passes every byte on, and can slip a PUBLISH of their own
 * to the device, on any topic, retained, as whoever owns the broker could.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface MqttTap {
  readonly port: number
  /** To every device that is connected; waits for the end of a packet that is under way. */
  publish(topic: string, payload: Uint8Array): void
  close(): Promise<void>
}

interface Line {
  readonly device: Socket
  /** Bytes from the broker that do not make a whole packet yet. */
  rest: Buffer
  readonly injected: Buffer[]
}

export async function openMqttTap(brokerPort: number): Promise<MqttTap> {
  const lines = new Set<Line>()
  const server = createServer((device) => {
    const broker = connect(brokerPort, '127.0.0.1')
    const line: Line = { device, rest: Buffer.alloc(0), injected: [] }
    lines.add(line)
    device.on('data', (chunk) => broker.write(chunk))
    broker.on('data', (chunk: Buffer) => forward(line, chunk))
    for (const [socket, other] of [[device, broker] as const, [broker, device] as const]) {
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        lines.delete(line)
        other.destroy()
      })
    }
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    port: (server.address() as AddressInfo).port,
    publish(topic, payload) {
      for (const line of lines) {
        line.injected.push(publishPacket(topic, payload))
        forward(line, Buffer.alloc(0))
      }
    },
    close: () => {
      for (const { device } of lines) device.destroy()
      return new Promise((closed) => server.close(() => closed()))
    },
  }
}

/** Whole packets only, so that what is slipped in stands between two of them. */
function forward(line: Line, chunk: Buffer): void {
  const bytes = Buffer.concat([line.rest, chunk])
  let end = 0
  for (let next = packetEnd(bytes, end); next !== undefined; next = packetEnd(bytes, end)) {
    end = next
  }
  line.device.write(bytes.subarray(0, end))
  line.rest = bytes.subarray(end)
  for (const packet of line.injected.splice(0)) line.device.write(packet)
}

/** MQTT 3.1.1 section 2.2.3. @returns where the packet at `start` ends, if it is all there. */
function packetEnd(bytes: Buffer, start: number): number | undefined {
  let length = 0
  for (let i = 0; i < 4; i++) {
    const byte = bytes[start + 1 + i]
    if (byte === undefined) return undefined
    length += (byte & 0x7f) * 128 ** i
    if (byte < 0x80) {
      const end = start + 2 + i + length
      return end <= bytes.length ? end : undefined
    }
  }
  throw new Error('the broker sent no MQTT')
}

/** QoS 0 with the retain flag, as a new subscriber gets what was retained. */
function publishPacket(topic: string, payload: Uint8Array): Buffer {
  const name = Buffer.from(topic)
  const head = Buffer.alloc(2)
  head.writeUInt16BE(name.length)
  const body = Buffer.concat([head, name, payload])
  return Buffer.concat([Buffer.from([0x31]), remainingLength(body.length), body])
}

/** MQTT 3.1.1 section 2.2.3, for any length up to 2^28 - 1. */
export function remainingLength(length: number): Buffer {
  const bytes: number[] = []
  for (let left = length; ; left = Math.floor(left / 128)) {
    if (left < 128) return Buffer.from([...bytes, left])
    bytes.push((left % 128) + 128)
  }
}
