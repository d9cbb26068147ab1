/** Drives the device's update machine in tests: keeps the state, collects the effects. */
import type { Assignment } from '../../../shared/model/assignment.ts'
import {
  type DeviceEffect,
  type DeviceEvent,
  type DeviceState,
  initialDeviceState,
} from '../../../shared/update/state.ts'
import { step } from '../../../shared/update/step.ts'
import { aQualification, aSha } from '../../fixtures/device-builders.ts'

export class Machine {
  state: DeviceState
  nowMs = 1_000

  constructor(state: DeviceState = initialDeviceState()) {
    this.state = state
  }

  /** The effects of this event alone. */
  send(event: DeviceEvent): readonly DeviceEffect[] {
    const next = step(this.state, event, this.nowMs)
    this.state = next.state
    return next.effects
  }

  kinds(event: DeviceEvent): string[] {
    return this.send(event).map((effect) => effect.kind)
  }

  accept(assignment: Assignment): readonly DeviceEffect[] {
    const digest = aSha(`assignment ${assignment.generation}`)
    return this.send({ kind: 'assignmentAccepted', assignment, digest })
  }

  /** Brings the job's release through all phases. */
  install(): readonly DeviceEffect[] {
    const sha256 = this.state.job!.release.sha256
    this.send({ kind: 'resolved', sha256 })
    this.send({ kind: 'fetched', sha256 })
    this.send({ kind: 'verified', sha256 })
    return this.send({ kind: 'qualified', sha256, qualification: aQualification(sha256) })
  }

  served(): readonly DeviceEffect[] {
    return this.send({ kind: 'served', plan: this.state.plan })
  }

  slots(model = 'motor') {
    const slots = this.state.durable.models.find((entry) => entry.model === model)
    return {
      current: slots?.current?.version ?? null,
      candidate: slots?.candidate?.version ?? null,
      previous: slots?.previous?.version ?? null,
    }
  }
}
