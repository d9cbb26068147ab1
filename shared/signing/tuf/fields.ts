/**
 * Reads the fields of verified JSON and notes the first flaws instead of throwing, so that a parser
 * reads as a list of fields. Own properties only; a field that is not asked for is ignored.
 */
import { isJsonObject, type Json, type JsonObject, member } from '../canonical-json.ts'

const FLAWS_MAX = 8
const NOTHING: JsonObject = {}

export class Fields {
  readonly object: JsonObject
  readonly #flaws: string[]
  /** Where this is; put together only for a flaw, since most objects have none. */
  readonly #name: string
  readonly #parent: Fields | undefined

  constructor(object: JsonObject, flaws: string[], name = '', parent?: Fields) {
    this.object = object
    this.#flaws = flaws
    this.#name = name
    this.#parent = parent
  }

  /** Notes that something is not as it must be. */
  flaw(name: string, expected: string): void {
    if (this.#flaws.length >= FLAWS_MAX) return
    this.#flaws.push(`${this.#place(name).slice(0, 160)}: ${expected}`)
  }

  #place(name: string): string {
    const where = this.#parent === undefined ? '' : this.#parent.#place(this.#name)
    return where === '' ? name : `${where}.${name}`
  }

  has(name: string): boolean {
    return member(this.object, name) !== undefined
  }

  integer(name: string, min: number): number {
    const value = member(this.object, name)
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min) return value
    this.flaw(name, `an integer of at least ${min}`)
    return min
  }

  text(name: string): string {
    const value = member(this.object, name)
    if (typeof value === 'string') return value
    this.flaw(name, 'a string')
    return ''
  }

  flag(name: string): boolean {
    const value = member(this.object, name)
    if (typeof value === 'boolean') return value
    this.flaw(name, 'true or false')
    return false
  }

  list(name: string, lengthMax: number): readonly Json[] {
    const value = member(this.object, name)
    if (Array.isArray(value) && value.length <= lengthMax) return value as readonly Json[]
    this.flaw(name, `a list of at most ${lengthMax}`)
    return []
  }

  texts(name: string, lengthMax: number): readonly string[] {
    const list = this.list(name, lengthMax)
    const texts = list.filter((item) => typeof item === 'string')
    if (texts.length < list.length) this.flaw(name, 'a list of strings')
    return texts
  }

  child(name: string): Fields {
    return this.#inside(name, member(this.object, name))
  }

  /** The members of this object that are objects themselves; at most `countMax`. */
  children(countMax: number): readonly (readonly [string, Fields])[] {
    const entries = Object.entries(this.object)
    if (entries.length > countMax) {
      this.flaw('', `at most ${countMax} entries`)
      return []
    }
    return entries.map(([name, value]) => [name, this.#inside(name, value)] as const)
  }

  /** The items of a list of objects. */
  items(name: string, lengthMax: number): readonly Fields[] {
    return this.list(name, lengthMax).map((item, i) => this.#inside(`${name}.${i}`, item))
  }

  #inside(name: string, value: Json | undefined): Fields {
    if (!isJsonObject(value)) this.flaw(name, 'an object')
    return new Fields(isJsonObject(value) ? value : NOTHING, this.#flaws, name, this)
  }
}
