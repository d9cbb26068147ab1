/**
 * Downloads over a simulated line: 404, early ends, flipped bits, transfers that never end. The
 * server is whatever `serve` answers for a path, and gone while it answers undefined.
 */

import type { Prng } from '../../shared/kernel/prng.ts'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Weather } from './faults.ts'
import type { Line } from './network.ts'
import type { Life } from './world.ts'

export type HttpAnswer =
  | { readonly status: 200; readonly body: Uint8Array }
  | { readonly status: 404 }

/** undefined while no server runs. */
export type HttpServer = (path: string) => Promise<HttpAnswer | undefined>

export interface Download {
  readonly bytes: Uint8Array
  /** False when it ended early. */
  readonly whole: boolean
}

export interface SimHttp {
  /** Bytes from `from` on. Errors: `net.unreachable`, `net.refused`, `net.http`, `net.slow`. */
  get(path: string, from: number): Promise<Result<Download>>
}

const UNREACHABLE_MS = 10_000
const STALLED_MS = 60_000
const BYTES_PER_MS = 100

export function createSimHttp(
  ports: {
    readonly life: Life
    readonly line: Line
    readonly weather: Weather
    readonly random: Prng
    readonly told: (text: string) => void
  },
  serve: HttpServer,
): SimHttp {
  const { life, line, weather, random } = ports

  async function transfer(path: string, from: number): Promise<Result<Download>> {
    if (!line.isUp()) {
      await life.wait(UNREACHABLE_MS)
      return refuse('net.unreachable', `${path} cannot be reached.`)
    }
    await life.wait(line.delayMs())
    const answer = await serve(path)
    if (answer === undefined) return refuse('net.refused', 'Nobody listens.')
    if (answer.status === 404 || random.chance(weather.of('not_found') * 0.5)) {
      return refuse('net.http', `${path} answered 404.`)
    }
    if (random.chance(weather.of('stalled') * 0.3)) {
      await life.wait(STALLED_MS)
      return refuse('net.slow', 'The download is too slow.')
    }
    const rest = answer.body.subarray(from)
    await life.wait(line.delayMs() + rest.length / BYTES_PER_MS)
    return ok(damaged(rest, weather, random))
  }

  return {
    async get(path, from) {
      const outcome = await transfer(path, from)
      const told = outcome.ok ? `${outcome.value.bytes.length} bytes` : outcome.error.code
      if (life.alive) ports.told(`GET ${path} from ${from}: ${told}`)
      return outcome
    },
  }
}

function damaged(rest: Uint8Array, weather: Weather, random: Prng): Download {
  const isShort = rest.length > 0 && random.chance(weather.of('truncated') * 0.5)
  const bytes = rest.slice(0, isShort ? random.below(rest.length) : rest.length)
  if (bytes.length > 0 && random.chance(weather.of('corrupted') * 0.3)) {
    bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
  }
  return { bytes, whole: !isShort }
}
