/** TLS from given files: HTTPS and MQTTS, and nothing in clear beside them. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { get } from 'node:https'
import { join } from 'node:path'
import { connect as connectTls, type PeerCertificate } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readConfig } from '../../controller/config.ts'
import {
  type ControllerProgram,
  removeFolder,
  scratchFolder,
  startController,
} from '../fixtures/controller-program.ts'

/** Node itself makes no certificates. */
const OPENSSL = ['/usr/bin/openssl', '/usr/local/bin/openssl', '/opt/homebrew/bin/openssl'].find(
  (path) => existsSync(path),
)

function makeCertificate(folder: string, name: string): { cert: string; key: string } {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)]
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-x509']
  const files = ['-days', '2', '-keyout', key, '-out', cert]
  execFileSync(OPENSSL ?? '', ['req', ...kind, ...subject, ...files], { stdio: 'ignore' })
  return { cert, key }
}

describe.skipIf(OPENSSL === undefined)('with TLS (needs openssl to make certificates)', () => {
  let home: string
  let controller: ControllerProgram
  let files: { cert: string; key: string }
  beforeAll(async () => {
    home = await scratchFolder('tls')
    files = makeCertificate(home, 'first')
    const flags = ['--tls-cert', files.cert, '--tls-key', files.key, '--host-name', '127.0.0.1']
    controller = await startController(home, flags)
  }, 60_000)
  afterAll(async () => {
    await controller.stop()
    await removeFolder(home)
  })

  /** Whose certificate a new connection is shown; the connection must verify against it. */
  function certificateAt(port: number, ca: Buffer): Promise<PeerCertificate> {
    return new Promise((resolve, reject) => {
      const socket = connectTls({ host: '127.0.0.1', port, ca }, () => {
        resolve(socket.getPeerCertificate())
        socket.destroy()
      })
      socket.once('error', reject)
    })
  }

  test('HTTP, console link and MQTT are all under the certificate', async () => {
    const ca = readFileSync(files.cert)
    expect(controller.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    expect(controller.loginUrl).toMatch(/^https:/)
    const status = await new Promise((resolve, reject) => {
      get(`${controller.url}/healthz`, { ca }, (answer) => resolve(answer.statusCode)).once(
        'error',
        reject,
      )
    })
    expect(status).toBe(200)
    expect((await certificateAt(controller.mqttPort, ca)).subject.CN).toBe('first')
    const plain = controller.url.replace('https:', 'http:')
    await expect(fetch(`${plain}/healthz`)).rejects.toThrow()
  })

  test('the command line trusts it when told to, and not otherwise', async () => {
    const trusting = { NODE_EXTRA_CA_CERTS: files.cert }
    const { code, stdout } = await controller.linnet(['device', 'list', '--json'], trusting)
    expect([code, JSON.parse(stdout)]).toEqual([0, { devices: [] }])
    expect((await controller.linnet(['device', 'list'])).code).toBe(5)
  }, 120_000)

  test('SIGHUP reads the files again; files that do not fit leave the old ones in use', async () => {
    const before = readFileSync(files.cert)
    const second = makeCertificate(home, 'second')
    const { port } = new URL(controller.url)
    copyFileSync(second.cert, files.cert)
    controller.process.kill('SIGHUP')
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect((await certificateAt(Number(port), before)).subject.CN).toBe('first')
    copyFileSync(second.key, files.key)
    controller.process.kill('SIGHUP')
    const ca = readFileSync(second.cert)
    await expect
      .poll(
        () =>
          certificateAt(Number(port), ca).then(
            ({ subject }) => subject.CN,
            () => 'none',
          ),
        {
          timeout: 30_000,
        },
      )
      .toBe('second')
    expect((await certificateAt(controller.mqttPort, ca)).subject.CN).toBe('second')
  })
})

describe('without TLS', () => {
  const codeOf = (...args: string[]): string => {
    const config = readConfig(args, {})
    return config.ok ? 'ok' : config.error.code
  }
  test.each([
    [[], 'ok'],
    [['--listen', '0.0.0.0'], 'config.insecure_listen'],
    [['--listen', '0.0.0.0', '--insecure-listen'], 'ok'],
    [['--listen', '0.0.0.0', '--tls-cert', 'a', '--tls-key', 'b'], 'ok'],
    [['--tls-cert', 'a'], 'config.usage'],
  ])('%j: %s', (args, code) => {
    expect(codeOf(...args)).toBe(code)
  })
})
