/**
 * Reads only the fixed headers of a client's byte stream (MQTT 3.1.1 section 2.2) and refuses a
 * packet by its announced length, before a parser would collect it: aedes has no limit of its own
 * (80 MB of CONNECT were accepted). Pure: bytes in, decision out.
 * Invariant: until `accept()`, exactly one packet passes, a CONNECT of at most `connectBytesMax`;
 * after it, packets of at most `packetBytesMax`, both counted with their header.
 */

export interface PacketLimits {
  readonly connectBytesMax: number
  readonly packetBytesMax: number
}

export type GuardRefusal = 'not_mqtt' | 'malformed' | 'packet_too_large'

export interface PacketGuard {
  /**
   * @returns how many bytes of the chunk may pass now; fewer than all only when the rest has to
   * wait for `accept()`; or why the connection must end.
   */
  admit(chunk: Uint8Array): { readonly bytes: number } | { readonly refused: GuardRefusal }
  /** The CONNECT was accepted. */
  accept(): void
}

const CONNECT = 0x10
/** Section 2.2.3: the remaining length has at most four bytes. */
const LENGTH_BYTES_MAX = 4

export function createPacketGuard(limits: PacketLimits): PacketGuard {
  let accepted = false
  /** Bytes of the current packet still to come; undefined while its header is incomplete. */
  let bodyLeft: number | undefined
  let headerBytes = 0
  let length = 0
  let packets = 0

  function readHeaderByte(byte: number): GuardRefusal | undefined {
    if (headerBytes === 0) {
      // Section 3.1: the first packet is a CONNECT, flags zero. Everything else is no MQTT at all.
      if (packets === 0 && byte !== CONNECT) return 'not_mqtt'
      headerBytes = 1
      return undefined
    }
    length += (byte & 0x7f) * 128 ** (headerBytes - 1)
    headerBytes += 1
    const more = (byte & 0x80) !== 0
    if (more) return headerBytes > LENGTH_BYTES_MAX ? 'malformed' : undefined
    const bytesMax = packets === 0 ? limits.connectBytesMax : limits.packetBytesMax
    if (headerBytes + length > bytesMax) return 'packet_too_large'
    bodyLeft = length
    return undefined
  }

  function finishPacket(): void {
    packets = 1
    bodyLeft = undefined
    headerBytes = 0
    length = 0
  }

  return {
    admit(chunk) {
      let at = 0
      while (at < chunk.length) {
        if (packets > 0 && !accepted) return { bytes: at }
        if (bodyLeft === undefined) {
          const refused = readHeaderByte(chunk[at]!)
          if (refused !== undefined) return { refused }
          at += 1
        } else {
          const step = Math.min(bodyLeft, chunk.length - at)
          bodyLeft -= step
          at += step
        }
        if (bodyLeft === 0) finishPacket()
      }
      return { bytes: at }
    },
    accept() {
      accepted = true
    },
  }
}
