/**
 * The real release repository of the agent over simulated files and a simulated network: the TUF
 * client, the checks of assignments and manifests are those that run on devices.
 */
import { TufRepository } from '../../agent/artifact/tuf-repository.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import type { SyncVerifier } from '../../shared/signing/keys.ts'
import type { FetchReply, TufPorts } from '../../shared/signing/tuf/effects.ts'
import { createSimSmallFiles, type Disk } from './disk.ts'
import type { Power } from './power.ts'
import type { SimHttp } from './sim-http.ts'

const WRITE_MS = 2

export interface SimRepositoryParts {
  readonly fleet: string
  readonly device: string
  readonly deviceKey: string
  readonly profile: FirmwareProfile
  readonly verifier: SyncVerifier
  readonly disk: Disk
  readonly power: Power
  readonly http: SimHttp
  readonly nowMs: () => number
}

export function createSimRepository(parts: SimRepositoryParts): TufRepository {
  const { disk, power, http, verifier } = parts
  const { fleet, device, deviceKey, profile, nowMs } = parts
  const tuf: TufPorts = {
    verifier,
    load: (role) => disk.metadata.get(role),
    fetch: (path, bytesMax) => fetchSmall(http, `/tuf/metadata/${path}`, bytesMax),
    async persist(role, bytes) {
      disk.checkRoom()
      await power.effect('metadata: write', WRITE_MS)
      disk.metadata.set(role, bytes)
    },
    async forget(role) {
      disk.metadata.delete(role)
    },
  }
  return new TufRepository({
    tuf,
    fetchTarget: (path, bytesMax) => fetchSmall(http, `/tuf/targets/${path}`, bytesMax),
    targetsUrl: '/tuf/targets',
    cache: createSimSmallFiles(disk, power),
    ...{ fleet, device, deviceKey, profile, staging: false, clock: { nowMs, monotonicMs: nowMs } },
  })
}

async function fetchSmall(http: SimHttp, path: string, bytesMax: number): Promise<FetchReply> {
  const reply = await http.get(path, 0)
  if (!reply.ok) {
    const { code } = reply.error
    return code === 'net.http' ? { kind: 'absent' } : { kind: 'failed', problem: reply.error }
  }
  const { bytes, whole } = unwrap(reply)
  if (bytes.length > bytesMax) return failed('tuf.endless_data', 'There are too many bytes.')
  if (!whole) return failed('net.interrupted', 'The download ended early.')
  return { kind: 'fetched', bytes }
}

function failed(code: string, message: string): FetchReply {
  return { kind: 'failed', problem: { code, message } }
}
