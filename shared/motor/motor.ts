/**
 * A simulated electric motor with a three-axis accelerometer: the world of the demo. The same code
 * makes the training data, the plant's requests and the browser page's, so that drift in the demo
 * is drift away from what the models were trained on.
 * Invariant: pure and seeded; the n-th window of a motor depends only on its seed and on the knobs
 * and states given so far. Vibration is in g with gravity removed.
 * The physics follows the textbook signatures of rotating machines (ISO 13373-1; Randall and
 * Antoni, "Rolling element bearing diagnostics", 2011), simplified to what a window can show.
 */
import { createPrng, type Prng } from '../kernel/prng.ts'
import { exponential, normalNoise, sineOfTurns, uniform } from './portable-math.ts'

/** In the order of the models' output. */
export const MOTOR_STATES = ['still', 'healthy', 'imbalance', 'bearing_fault'] as const
export type MotorState = (typeof MOTOR_STATES)[number]

const AXES = 3
export const SAMPLES = 128
export const SAMPLE_RATE_HZ = 1_024

/** What a person can turn; the models are trained around NOMINAL. */
export interface MotorKnobs {
  /** Nominal rotation, 25 Hz is 1,500 rpm. */
  readonly speedHz: number
  /** Share of rated torque, 0 to 1. */
  readonly load: number
  /** Multiplies sensor and process noise; 1 is normal. */
  readonly noise: number
  /** 0 is the world of the training data; 1 is a loosened, ageing sensor mount. */
  readonly drift: number
}

const NOMINAL: MotorKnobs = { speedHz: 25, load: 0.6, noise: 1, drift: 0 }

export interface MotorWindow {
  /** [1, 3, 128] row-major: x (radial), y (radial), z (axial). */
  readonly vibration: Float32Array
  /** The truth. */
  readonly state: MotorState
  readonly classIndex: number
}

export interface Motor {
  /** The next 125 ms in the given state, drawn at random when absent. */
  next(state?: MotorState): MotorWindow
  turn(knobs: Partial<MotorKnobs>): void
}

export interface MotorOptions {
  readonly seed: string | number
  readonly knobs?: Partial<MotorKnobs>
}

export function createMotor({ seed, knobs = {} }: MotorOptions): Motor {
  const random = createPrng(`motor:${seed}`)
  let now: MotorKnobs = { ...NOMINAL, ...knobs }
  // What differs between two motors of one type, and stays.
  const unit: UnitTraits = {
    gain: uniform(random, 0.9, 1.1),
    residual: uniform(random, 0.04, 0.09),
    bearingRatio: uniform(random, 3.5, 3.65),
    resonanceHz: uniform(random, 290, 340),
  }
  return {
    next(state) {
      const drawn = state ?? MOTOR_STATES[random.u32() % MOTOR_STATES.length]!
      const vibration = simulateWindow(random, unit, now, drawn)
      return { vibration, state: drawn, classIndex: MOTOR_STATES.indexOf(drawn) }
    },
    turn(change) {
      now = { ...now, ...change }
    },
  }
}

interface UnitTraits {
  readonly gain: number
  /** Residual unbalance of a healthy rotor, in g at nominal speed. */
  readonly residual: number
  /** Outer-race ball pass frequency over rotation frequency. */
  readonly bearingRatio: number
  readonly resonanceHz: number
}

/** Adds the parts of one window in turn; each returns to nothing but the samples. */
function simulateWindow(
  random: Prng,
  unit: UnitTraits,
  knobs: MotorKnobs,
  state: MotorState,
): Float32Array {
  const window = new Float64Array(AXES * SAMPLES)
  const slip = 1 - 0.03 * knobs.load
  const speedHz = knobs.speedHz * slip * uniform(random, 0.9, 1.1)
  const load = clampUnit(knobs.load + uniform(random, -0.3, 0.3))
  if (state === 'still') {
    addNeighbour(window, random, uniform(random, 0.005, 0.05))
    addNoise(window, random, 0.02 * knobs.noise)
  } else {
    const severity = state === 'imbalance' ? uniform(random, 0.09, 0.4) : 0
    addRotation(window, random, speedHz, unit.residual * uniform(random, 0.5, 1.5) + severity)
    addHarmonics(window, random, speedHz, load)
    addNeighbour(window, random, uniform(random, 0, 0.05))
    addNoise(window, random, (0.035 + 0.035 * load) * uniform(random, 0.8, 1.3) * knobs.noise)
    if (state === 'bearing_fault') {
      addBearing(window, random, unit, speedHz, uniform(random, 0.13, 0.6) * (0.6 + 0.6 * load))
    }
  }
  return readSensor(window, random, unit, knobs.drift)
}

const clampUnit = (value: number): number => Math.min(1, Math.max(0, value))

/** Unbalance: a force that turns with the shaft, grows with speed squared, x and y 90 degrees apart. */
function addRotation(window: Float64Array, random: Prng, speedHz: number, g: number): void {
  const amplitude = g * (speedHz / 25) * (speedHz / 25)
  const phase = uniform(random, 0, 1)
  const ellipse = uniform(random, 0.7, 1)
  addTone(window, 0, speedHz, phase, amplitude)
  addTone(window, 1, speedHz, phase + 0.25, amplitude * ellipse)
  addTone(window, 2, speedHz, phase + 0.1, amplitude * 0.15)
}

/** Misalignment (2x, 3x) and twice the line frequency, all growing with load. */
function addHarmonics(window: Float64Array, random: Prng, speedHz: number, load: number): void {
  for (let axis = 0; axis < AXES; axis++) {
    const axial = axis === 2 ? 1.6 : 1
    addTone(window, axis, 2 * speedHz, uniform(random, 0, 1), 0.05 * load * axial)
    addTone(window, axis, 3 * speedHz, uniform(random, 0, 1), 0.025 * load)
    addTone(window, axis, 100, uniform(random, 0, 1), 0.02 * load)
  }
}

/** Another machine felt through the floor. */
function addNeighbour(window: Float64Array, random: Prng, g: number): void {
  const hz = uniform(random, 15, 60)
  const phase = uniform(random, 0, 1)
  for (let axis = 0; axis < AXES; axis++) {
    addTone(window, axis, hz, phase, g * uniform(random, 0.3, 1))
  }
}

/**
 * A defect on the outer race: each passing ball strikes it, the housing rings at its resonance and
 * dies away in some 4 ms; strikes are stronger in the load zone (once a turn) and slip by 2 %.
 */
function addBearing(
  window: Float64Array,
  random: Prng,
  unit: UnitTraits,
  speedHz: number,
  g: number,
): void {
  const spacing = SAMPLE_RATE_HZ / (speedHz * unit.bearingRatio)
  const decay = exponential(-1 / (0.004 * SAMPLE_RATE_HZ))
  const zone = uniform(random, 0, 1)
  const directions = [uniform(random, 0.6, 1), uniform(random, 0.6, 1), uniform(random, 0.2, 0.6)]
  // Start before the window, so that its first samples may still ring.
  let at = -uniform(random, 0, 1) * spacing
  while (at < SAMPLES) {
    const turns = zone + (at * speedHz) / SAMPLE_RATE_HZ
    const strength = g * (1 + 0.6 * sineOfTurns(turns)) * uniform(random, 0.7, 1.3)
    const first = Math.max(0, Math.ceil(at))
    let envelope = strength * exponential(-(first - at) / (0.004 * SAMPLE_RATE_HZ))
    for (let i = first; i < SAMPLES && envelope > 1e-4 * g; i++) {
      const ring = envelope * sineOfTurns(((i - at) * unit.resonanceHz) / SAMPLE_RATE_HZ)
      for (let axis = 0; axis < AXES; axis++)
        window[axis * SAMPLES + i]! += ring * directions[axis]!
      envelope *= decay
    }
    at += spacing * (1 + 0.02 * normalNoise(random))
  }
}

function addNoise(window: Float64Array, random: Prng, g: number): void {
  for (let i = 0; i < window.length; i++) window[i]! += g * normalNoise(random)
}

function addTone(window: Float64Array, axis: number, hz: number, phase: number, g: number): void {
  const step = hz / SAMPLE_RATE_HZ
  for (let i = 0; i < SAMPLES; i++) {
    window[axis * SAMPLES + i]! += g * sineOfTurns(phase + step * i)
  }
}

/**
 * The sensor: gain, and with drift a mount that rattles. Drift raises the gain by up to 60 %, turns
 * x towards z (the sensor tilts) and adds an offset, so that features move before the classes do.
 */
function readSensor(
  window: Float64Array,
  random: Prng,
  unit: UnitTraits,
  drift: number,
): Float32Array {
  const read = new Float32Array(window.length)
  const gain = unit.gain * (1 + 0.6 * drift)
  const tilt = 0.25 * drift
  const offset = 0.08 * drift
  for (let i = 0; i < SAMPLES; i++) {
    const x = window[i]!
    const z = window[2 * SAMPLES + i]!
    read[i] = gain * (x - tilt * z) + offset
    read[SAMPLES + i] = gain * window[SAMPLES + i]! + offset
    read[2 * SAMPLES + i] = gain * (z + tilt * x) + 0.03 * drift * normalNoise(random)
  }
  return read
}
