/**
 * Brings one release onto the device, step by step, beside everything else.
 *
 * Invariants: one effect at a time; a new one waits until the aborted one has let go of its files;
 * the completion of an aborted effect is dropped, so the machine never hears of a job it has left.
 */
import { err, ok, type Result } from '../shared/kernel/result.ts'
import type { DeviceEffect, DeviceEvent, Job, ReleaseRef } from '../shared/update/state.ts'
import { isTransient, unexpected } from './failures.ts'
import type { ArtifactStore, Repository, ResolvedRelease, Runtime } from './ports.ts'

type JobEffect = Extract<DeviceEffect, { kind: 'resolve' | 'fetch' | 'verify' | 'qualify' }>

export interface JobLane {
  start(effect: JobEffect): void
  /** Aborts what runs for any other release than that of `job`. */
  keepOnly(job: Job | null): void
  /** Digests that garbage collection must spare: model and golden vectors of the running job. */
  filesInUse(): readonly string[]
  /** Aborts and waits until nothing runs. */
  close(): Promise<void>
}

export interface JobPorts {
  readonly repository: Repository
  readonly artifacts: ArtifactStore
  readonly runtime: Runtime
}

export function createJobLane(ports: JobPorts, dispatch: (event: DeviceEvent) => void): JobLane {
  let running: { release: ReleaseRef; abort: AbortController } | undefined
  let resolved: ResolvedRelease | undefined
  let tail: Promise<void> = Promise.resolve()

  async function run(effect: JobEffect, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const { sha256 } = effect.release
    const outcome = await perform(effect, signal).catch((cause) => err(unexpected(cause)))
    if (signal.aborted) return
    if (outcome.ok) return dispatch(outcome.value)
    const problem = outcome.error
    dispatch({ kind: 'jobFailed', sha256, problem, transient: isTransient(problem) })
  }

  async function perform(effect: JobEffect, signal: AbortSignal): Promise<Result<DeviceEvent>> {
    const { release } = effect
    const { sha256 } = release
    if (effect.kind === 'resolve') {
      const found = await ports.repository.resolve(release)
      if (!found.ok) return found
      resolved = found.value
      return ok({ kind: 'resolved', sha256 })
    }
    if (resolved?.release.target !== release.target) throw new Error('the job was not resolved')
    if (effect.kind === 'qualify') {
      const qualified = await ports.runtime.qualify(resolved, signal)
      if (!qualified.ok) return qualified
      return ok({ kind: 'qualified', sha256, qualification: qualified.value })
    }
    const kind = effect.kind === 'fetch' ? 'fetched' : 'verified'
    const files = effect.kind === 'fetch' ? fetchFiles(resolved, signal) : readFiles(resolved)
    const done = await files
    return done.ok ? ok({ kind, sha256 }) : done
  }

  async function fetchFiles(
    { release, variant }: ResolvedRelease,
    signal: AbortSignal,
  ): Promise<Result<undefined>> {
    for (const artifact of [variant.artifact, variant.golden]) {
      const url = ports.repository.artifactUrl(release, artifact)
      const fetched = await ports.artifacts.fetch(artifact, url, signal)
      if (!fetched.ok) return fetched
    }
    return ok()
  }

  /** What was verified while it streamed in is read back: a disk can lie too. */
  async function readFiles({ variant }: ResolvedRelease): Promise<Result<undefined>> {
    for (const { sha256, length } of [variant.artifact, variant.golden]) {
      const read = await ports.artifacts.read(sha256, length)
      if (!read.ok) return read
    }
    return ok()
  }

  return {
    start(effect) {
      running?.abort.abort()
      const abort = new AbortController()
      running = { release: effect.release, abort }
      tail = tail.then(() => run(effect, abort.signal))
    },
    keepOnly(job) {
      if (running !== undefined && running.release.target !== job?.release.target) {
        running.abort.abort()
        running = undefined
        resolved = undefined
      }
    },
    filesInUse() {
      if (running === undefined || resolved === undefined) return []
      return [resolved.variant.artifact.sha256, resolved.variant.golden.sha256]
    },
    async close() {
      running?.abort.abort()
      await tail
    },
  }
}
