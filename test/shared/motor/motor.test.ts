/** The demo's motors: reproducible, and with the signatures that a maintenance engineer expects. */
import { describe, expect, it } from 'vitest'
import {
  createMotor,
  MOTOR_STATES,
  type MotorState,
  SAMPLE_RATE_HZ,
  SAMPLES,
} from '../../../shared/motor/motor.ts'

const axis = (window: Float32Array, a: number) => window.subarray(a * SAMPLES, (a + 1) * SAMPLES)
const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

/** Amplitude in g at one frequency, by correlation with a Hann-windowed sine and cosine. */
function amplitudeAt(samples: Float32Array, hz: number): number {
  let [re, im, weights] = [0, 0, 0]
  samples.forEach((value, i) => {
    const weight = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SAMPLES)
    const angle = (2 * Math.PI * hz * i) / SAMPLE_RATE_HZ
    re += weight * value * Math.cos(angle)
    im += weight * value * Math.sin(angle)
    weights += weight
  })
  return (2 * Math.hypot(re, im)) / weights
}

/** Mean of a measure over windows of ten motors. */
function typical(state: MotorState, measure: (window: Float32Array) => number): number {
  const values: number[] = []
  for (let seed = 0; seed < 10; seed++) {
    const motor = createMotor({ seed })
    for (let i = 0; i < 20; i++) values.push(measure(motor.next(state).vibration))
  }
  return mean(values)
}

const rms = (window: Float32Array): number => Math.sqrt(mean(window.map((value) => value * value)))

describe('a simulated motor', () => {
  it('gives the same windows for the same seed, and others for another', () => {
    const take = (seed: string) => {
      const motor = createMotor({ seed })
      return Array.from({ length: 5 }, () => motor.next())
    }
    expect(take('a')).toEqual(take('a'))
    expect(take('a')).not.toEqual(take('b'))
  })

  it('gives three axes of 128 finite samples and the true state', () => {
    const motor = createMotor({ seed: 1 })
    for (const state of MOTOR_STATES) {
      const window = motor.next(state)
      expect(window.vibration).toHaveLength(3 * SAMPLES)
      expect(window.vibration.every((value) => Number.isFinite(value))).toBe(true)
      expect(MOTOR_STATES[window.classIndex]).toBe(state)
    }
  })

  it('draws every state about equally often when none is asked for', () => {
    const motor = createMotor({ seed: 'states' })
    const counts = [0, 0, 0, 0]
    for (let i = 0; i < 400; i++) counts[motor.next().classIndex]! += 1
    for (const count of counts) expect(Math.abs(count - 100)).toBeLessThan(35)
  })

  it('hardly moves when it stands still', () => {
    expect(typical('still', rms)).toBeLessThan(0.05)
    expect(typical('healthy', rms)).toBeGreaterThan(0.07)
  })

  it('shows imbalance as a large radial vibration at the rotation frequency', () => {
    const once = (window: Float32Array) => amplitudeAt(axis(window, 0), 25)
    const axial = (window: Float32Array) => amplitudeAt(axis(window, 2), 25)
    expect(typical('imbalance', once)).toBeGreaterThan(2 * typical('healthy', once))
    expect(typical('imbalance', axial)).toBeLessThan(0.4 * typical('imbalance', once))
  })

  it('shows a bearing fault as energy at the resonance of the housing, in impulses', () => {
    const band = Array.from({ length: 9 }, (_, i) => 280 + 8 * i)
    const ring = (window: Float32Array) => mean(band.map((hz) => amplitudeAt(axis(window, 0), hz)))
    expect(typical('bearing_fault', ring)).toBeGreaterThan(2 * typical('healthy', ring))
    // Kurtosis is 3 for noise, 1.5 for a sine, and more for impulses.
    const kurtosis = (window: Float32Array) => {
      const x = axis(window, 0)
      const m = mean(x)
      const squares = mean(x.map((value) => (value - m) ** 2))
      return mean(x.map((value) => (value - m) ** 4)) / squares ** 2
    }
    expect(typical('bearing_fault', kurtosis)).toBeGreaterThan(typical('healthy', kurtosis) + 0.5)
  })

  it('vibrates more at a higher speed, and measures more with noise and drift', () => {
    const rmsWith = (knobs: { speedHz?: number; noise?: number; drift?: number }) => {
      const motor = createMotor({ seed: 'knobs' })
      motor.turn(knobs)
      return mean(Array.from({ length: 50 }, () => rms(motor.next('healthy').vibration)))
    }
    const nominal = rmsWith({})
    expect(rmsWith({ speedHz: 35 })).toBeGreaterThan(1.1 * nominal)
    expect(rmsWith({ noise: 3 })).toBeGreaterThan(1.5 * nominal)
    expect(rmsWith({ drift: 1 })).toBeGreaterThan(1.4 * nominal)
  })

  it('drifts as a raised mean, which no state of a sound sensor has', () => {
    const motor = createMotor({ seed: 'drift' })
    const before = mean(Array.from({ length: 50 }, () => mean(axis(motor.next().vibration, 1))))
    motor.turn({ drift: 1 })
    const after = mean(Array.from({ length: 50 }, () => mean(axis(motor.next().vibration, 1))))
    expect(Math.abs(before)).toBeLessThan(0.02)
    expect(after - before).toBeCloseTo(0.08, 1)
  })
})
