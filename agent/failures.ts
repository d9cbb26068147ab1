/** What a failure of a port means: worth another try, a loss on disk, or final. */
import { type Problem, toProblem } from '../shared/kernel/result.ts'

/**
 * Trying again later may help: the network, the disk, metadata that is being renewed or was damaged
 * on its way (`json`, `envelope`; the codes of a damaged assignment or manifest are their own).
 */
export function isTransient({ code }: Problem): boolean {
  return /^(net|disk|tuf|busy|json|envelope)\./.test(code)
}

/** The disk lost or changed files that were right when the release was installed. */
export function isLoss(code: string): boolean {
  return ['artifact.missing', 'artifact.digest', 'release.not_on_device'].includes(code)
}

/** Failures of ports that throw instead of refusing: worth another try. */
export function unexpected(cause: unknown): Problem {
  const { message } = toProblem(cause, 'busy.unexpected')
  return { code: 'busy.unexpected', message: message.slice(0, 500) }
}
