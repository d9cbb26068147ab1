/**
 * Where the vibration comes from: the simulated motor with its knobs, or this phone's accelerometer.
 * The phone samples some 60 times a second where the models know 1,024: to them that is drift, which
 * is a thing to see.
 */
import { createMotor, type Motor, type MotorState, SAMPLES } from '../../../shared/motor/motor.ts'

export interface Sample {
  /** [1, 3, 128], in g without gravity. */
  readonly vibration: Float32Array
  /** The truth, where it is known. */
  readonly truth: MotorState | undefined
}

const STANDARD_GRAVITY = 9.80665

export interface PhoneSource {
  /** @returns undefined until 128 samples are there. */
  next(): Sample | undefined
  stop(): void
}

/** Permission to read the sensor must be asked in a click. @returns undefined when it is refused. */
export async function openPhone(): Promise<PhoneSource | undefined> {
  const asking = DeviceMotionEvent as { requestPermission?: () => Promise<string> }
  const granted = (await asking.requestPermission?.().catch(() => 'denied')) ?? 'granted'
  if (granted !== 'granted') return undefined
  const axes = [0, 1, 2].map(() => new Float32Array(SAMPLES))
  let count = 0
  const take = ({ acceleration }: DeviceMotionEvent): void => {
    if (acceleration === null) return
    const { x, y, z } = acceleration
    for (const [axis, value] of [x, y, z].entries()) {
      const samples = axes[axis]!
      samples.copyWithin(0, 1)
      samples[SAMPLES - 1] = (value ?? 0) / STANDARD_GRAVITY
    }
    count += 1
  }
  addEventListener('devicemotion', take)
  return {
    next() {
      if (count < SAMPLES) return undefined
      const vibration = new Float32Array(3 * SAMPLES)
      for (const [axis, samples] of axes.entries()) vibration.set(samples, axis * SAMPLES)
      return { vibration, truth: undefined }
    },
    stop: () => removeEventListener('devicemotion', take),
  }
}

/** Whether this device has such a sensor; desktops know the event and never send it. */
export function hasPhoneSensor(): Promise<boolean> {
  if (!('DeviceMotionEvent' in globalThis)) return Promise.resolve(false)
  // Such a phone says nothing before it is asked.
  const isSilent = 'requestPermission' in DeviceMotionEvent && navigator.maxTouchPoints > 0
  if (isSilent) return Promise.resolve(true)
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), 2_000)
    const heard = ({ acceleration }: DeviceMotionEvent): void => {
      if (acceleration?.x == null) return
      clearTimeout(timer)
      removeEventListener('devicemotion', heard)
      resolve(true)
    }
    addEventListener('devicemotion', heard)
  })
}

export function openMotor(seed: string): Motor {
  return createMotor({ seed })
}
