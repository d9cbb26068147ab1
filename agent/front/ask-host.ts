/** One small question of the front itself to one host; whoever does not answer in time said nothing. */
import { type Agent, request } from 'node:http'

export interface Question {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
}

export interface HostAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

const ANSWER_MS_MAX = 2_000
const ANSWER_BYTES_MAX = 8 * 1024 * 1024

export function askHost(
  agent: Agent,
  socketPath: string,
  { method, path, headers = {}, body }: Question,
): Promise<HostAnswer | undefined> {
  return new Promise((resolve) => {
    const asked = request({
      ...{ socketPath, agent, method, path },
      headers: { ...headers, 'content-length': body?.length ?? 0 },
    })
    const timer = setTimeout(() => asked.destroy(), ANSWER_MS_MAX)
    asked.on('close', () => {
      clearTimeout(timer)
      resolve(undefined)
    })
    asked.on('error', () => undefined)
    asked.on('response', (answer) => {
      const chunks: Buffer[] = []
      let total = 0
      answer.on('data', (chunk: Buffer) => {
        total += chunk.length
        if (total > ANSWER_BYTES_MAX) asked.destroy()
        else chunks.push(chunk)
      })
      answer.on('end', () => {
        const { statusCode: status = 502, headers } = answer
        resolve({ status, headers, body: Buffer.concat(chunks) })
      })
    })
    asked.end(body)
  })
}
