/** What a failure of a port means: worth another try, a loss on disk, or final. */
import { type Problem, toProblem } from '../shared/kernel/result.ts'
import type { DeviceEvent } from '../shared/update/state.ts'

/**
 * Trying again later may help: the network, the disk, metadata that is being renewed or was damaged
 * on its way (`json`, `envelope`; the codes of a damaged assignment or manifest are their own).
 */
export function isTransient({ code }: Problem): boolean {
  return /^(net|disk|tuf|busy|json|envelope)\./.test(code)
}

/** The disk lost or changed files that were right when the release was installed. */
function isLoss(code: string): boolean {
  return ['artifact.missing', 'artifact.digest', 'release.not_on_device'].includes(code)
}

/** A release that could not be loaded: its files are fetched again, or it leaves its slot for good. */
export function eventsOfBroken(sha256: string, problem: Problem): readonly DeviceEvent[] {
  if (!isLoss(problem.code)) return [{ kind: 'releaseBroke', sha256, problem }]
  // A file that was right and is not any more: somebody's doing, or a disk that rots.
  const subject = `artifact ${sha256.slice(0, 12)}`
  return [
    { kind: 'attackSeen', subject, problem },
    { kind: 'filesLost', sha256 },
  ]
}

/** Failures of ports that throw instead of refusing: worth another try. */
export function unexpected(cause: unknown): Problem {
  const { message } = toProblem(cause, 'busy.unexpected')
  return { code: 'busy.unexpected', message: message.slice(0, 500) }
}
