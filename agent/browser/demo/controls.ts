/** The knobs of the simulated motor, and the choice between it and the phone's sensor. */
import { MOTOR_STATES, type MotorState } from '../../../shared/motor/motor.ts'
import { byId, make, setText } from './dom.ts'
import { percentText } from './format.ts'
import { hasPhoneSensor, openMotor, openPhone, type PhoneSource, type Sample } from './sources.ts'

export const STATE_NAMES: Readonly<Record<MotorState, string>> = {
  still: 'still',
  healthy: 'healthy',
  imbalance: 'imbalance',
  bearing_fault: 'bearing fault',
}

export interface Controls {
  /** The next window; undefined while the phone gathers its first. */
  next(): Sample | undefined
}

const RANDOM = 'random'
/** A random state stays for so many windows, so that a person can follow. */
const WINDOWS_PER_STATE = 12

/** @param seed makes each device's motor its own. */
export function createControls(seed: string): Controls {
  const motor = openMotor(seed)
  const speed = slider('speed', (value) => `${(value * 60).toFixed(0)} rpm`)
  const load = slider('load', percentText)
  const noise = slider('noise', (value) => `${value.toFixed(1)}×`)
  const drift = slider('drift', percentText)
  const chosen = createStateChoice()
  let phone: PhoneSource | undefined
  let windows = 0
  let random: MotorState = 'healthy'

  void hasPhoneSensor().then((isHere) => {
    byId('phone-choice', HTMLLabelElement).hidden = !isHere
    byId('source', HTMLFieldSetElement).hidden = !isHere
  })
  byId('source', HTMLFieldSetElement).addEventListener('change', () => {
    void switchSource()
  })

  async function switchSource(): Promise<void> {
    const wanted = new FormData(byId('controls', HTMLFormElement)).get('source')
    phone?.stop()
    phone = wanted === 'phone' ? await openPhone() : undefined
    const isPhone = phone !== undefined
    for (const id of ['speed', 'load', 'noise', 'drift']) {
      byId(id, HTMLInputElement).disabled = isPhone
    }
    byId('state', HTMLFieldSetElement).disabled = isPhone
    const text = isPhone
      ? 'The phone samples about 60 times a second where the model knows 1,024: to it, that is drift.'
      : 'Drift loosens the sensor’s mount: the inputs leave what the model was validated on, and the console shows it.'
    setText(byId('drift-help', HTMLParagraphElement), text)
  }

  return {
    next() {
      if (phone !== undefined) return phone.next()
      motor.turn({ speedHz: speed(), load: load(), noise: noise(), drift: drift() })
      const state = chosen()
      if (windows % WINDOWS_PER_STATE === 0) {
        random = MOTOR_STATES[Math.floor(Math.random() * MOTOR_STATES.length)]!
      }
      windows += 1
      const { vibration, state: truth } = motor.next(state ?? random)
      return { vibration, truth }
    },
  }
}

function slider(id: string, words: (value: number) => string): () => number {
  const input = byId(id, HTMLInputElement)
  const output = byId(`${id}-value`, HTMLOutputElement)
  const show = (): void => {
    setText(output, words(input.valueAsNumber))
    input.setAttribute('aria-valuetext', words(input.valueAsNumber))
  }
  input.addEventListener('input', show)
  show()
  return () => input.valueAsNumber
}

/** @returns the chosen state; undefined for a random one. */
function createStateChoice(): () => MotorState | undefined {
  const fieldset = byId('state', HTMLFieldSetElement)
  for (const [value, name] of [[RANDOM, 'changes'], ...Object.entries(STATE_NAMES)] as const) {
    const input = make('input', '')
    Object.assign(input, { type: 'radio', name: 'state', value, checked: value === RANDOM })
    fieldset.append(make('label', '', input, ` ${name}`))
  }
  return () => {
    const form = byId('controls', HTMLFormElement)
    const value = String(new FormData(form).get('state') ?? RANDOM)
    return MOTOR_STATES.find((state) => state === value)
  }
}
