/**
 * Counts what the arms of one model do under one plan. A request keeps the recorder it was drawn
 * under, so an interval never spans a change of share, even when the answer comes after the change.
 * Invariants: what was flushed is not flushed again; how long an interval took is told by a clock that
 * nobody sets, and when it began by the other one as it stands at its end.
 */
import type { RolloutRef } from '../../../shared/model/assignment.ts'
import type { Arm } from '../../../shared/protocol/messages.ts'
import { hasFewValues } from '../../../shared/sketch/few-values.ts'
import { emptyWindow, type Window, type WindowShape } from '../../../shared/sketch/window.ts'
import {
  type RequestSample,
  recordLabel,
  recordRequest,
  recordShadow,
} from '../../../shared/sketch/window-record.ts'
import type { ArmWindow, ClosedInterval } from '../../ports.ts'
import { countTogether } from './count-together.ts'

/** One release, in the arm it serves. */
export interface RecordedArm {
  readonly arm: Arm
  readonly sha256: string
  readonly version: string
  readonly variant: string
  readonly shape: WindowShape
}

export interface RecorderPlan {
  readonly model: string
  readonly generation: number
  readonly rollout: RolloutRef | null
  /** Parts per million. */
  readonly share: number
  readonly arms: readonly RecordedArm[]
}

export interface IntervalRecorder {
  record(arm: Arm, sample: RequestSample): void
  recordShadow(agreed: boolean): void
  /** @returns false when that release is in no arm of this plan any more. */
  recordLabel(sha256: string, predicted: number, truth: number): boolean
  /** What was counted since the last flush; undefined when there is nothing. */
  flush(): ClosedInterval | undefined
}

/** @param nowMs only ever grows. */
export function createIntervalRecorder(
  plan: RecorderPlan,
  wallClockMs: () => number,
  nowMs: () => number = () => performance.now(),
): IntervalRecorder {
  const { arms, ...identity } = plan
  let beganMs = nowMs()
  let dirty = false
  const windows = new Map<Arm, Window>(arms.map(({ arm, shape }) => [arm, emptyWindow(shape)]))
  const shapes = new Map<Arm, WindowShape>(arms.map(({ arm, shape }) => [arm, shape]))
  const seen = countTogether<{ arm: Arm; sample: RequestSample }>(({ arm, sample }) => {
    const window = windows.get(arm)
    const shape = shapes.get(arm)
    if (window === undefined || shape === undefined) return
    recordRequest(window, shape, sample)
    dirty = true
  })

  return {
    record: (arm, sample) => seen.add({ arm, sample }),
    recordShadow(agreed) {
      const window = windows.get('canary')
      if (window === undefined) return
      recordShadow(window, agreed)
      dirty = true
    },
    recordLabel(sha256, predicted, truth) {
      const arm = arms.find((candidate) => candidate.sha256 === sha256)?.arm
      const window = arm === undefined ? undefined : windows.get(arm)
      if (window === undefined) return false
      recordLabel(window, predicted, truth)
      dirty = true
      return true
    },
    flush() {
      seen.settle()
      const endMs = nowMs()
      const durationMs = Math.round(endMs - beganMs)
      beganMs = endMs
      if (!dirty) return undefined
      const interval: ClosedInterval = {
        ...identity,
        startedAtMs: Math.max(0, wallClockMs() - durationMs),
        durationMs,
        arms: arms.map((recorded) => closedArm(recorded, windows.get(recorded.arm)!)),
      }
      dirty = false
      for (const { arm, shape } of arms) windows.set(arm, emptyWindow(shape))
      return interval
    },
  }
}

/** With what disguise-interval.ts needs, where there is something to be disguised. */
function closedArm({ arm, version, variant, shape }: RecordedArm, window: Window): ArmWindow {
  const { noise, features } = shape
  return {
    ...{ arm, version, variant, window },
    ...(noise && { noise }),
    ...(hasFewValues(window) && { features }),
  }
}
