/**
 * Positional form: what a zod object says by names, an array says by places, in the order in which
 * the schema lists its fields. So a schema is the only description of a message, and adding a field
 * to one is a new schema id. Optional fields that are absent travel as null; records as pairs.
 *
 * Invariant: `fromPositional(schema, toPositional(schema, value))` is `value` for every value that
 * the schema accepts. Decoding checks shapes only so far as it must; the schema has the last word.
 */
import { z } from 'zod'
import type { Problem } from '../kernel/result.ts'
import type { Window } from '../sketch/window.ts'
import { windowSchema } from '../sketch/window.ts'
import { windowFromWire, windowToWire } from '../sketch/window-wire.ts'

type Schema = z.core.$ZodType

export function toPositional(schema: Schema, value: unknown): unknown {
  if (schema === windowSchema) return windowToWire(value as Window)
  if (value === undefined || value === null) return null
  if (schema instanceof z.ZodNullable || isOptional(schema)) {
    return toPositional(schema.unwrap(), value)
  }
  if (schema instanceof z.ZodObject) {
    const object = value as Readonly<Record<string, unknown>>
    return fieldsOf(schema).map(([key, field]) => toPositional(field, object[key]))
  }
  if (schema instanceof z.ZodArray) {
    return (value as readonly unknown[]).map((item) => toPositional(schema.element, item))
  }
  if (schema instanceof z.ZodRecord) return Object.entries(value)
  return value
}

/**
 * What does not have the form stays as it is and fails the schema afterwards, under its own path.
 * A window that is refused leaves its reason in `problems`.
 */
export function fromPositional(schema: Schema, wire: unknown, problems: Problem[]): unknown {
  if (schema === windowSchema) {
    const window = windowFromWire(wire)
    if (window.ok) return window.value
    problems.push(window.error)
    return undefined
  }
  if (isOptional(schema)) {
    return wire === null ? undefined : fromPositional(schema.unwrap(), wire, problems)
  }
  if (wire === null) return null
  if (schema instanceof z.ZodNullable) return fromPositional(schema.unwrap(), wire, problems)
  if (!Array.isArray(wire)) return wire
  if (schema instanceof z.ZodObject) {
    const fields = fieldsOf(schema)
    if (wire.length !== fields.length) return wire
    const entries = fields.map(([key, field], i) => [key, fromPositional(field, wire[i], problems)])
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
  }
  if (schema instanceof z.ZodArray) {
    return wire.map((item) => fromPositional(schema.element, item, problems))
  }
  if (schema instanceof z.ZodRecord) return isPairs(wire) ? Object.fromEntries(wire) : wire
  return wire
}

function isOptional(schema: Schema): schema is z.ZodOptional | z.ZodExactOptional {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodExactOptional
}

function fieldsOf(schema: z.ZodObject): [string, Schema][] {
  return Object.entries(schema.shape)
}

function isPairs(wire: readonly unknown[]): wire is readonly [string, unknown][] {
  return wire.every(
    (pair) => Array.isArray(pair) && pair.length === 2 && typeof pair[0] === 'string',
  )
}
