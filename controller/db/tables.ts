/** Every table by the name that the store knows it by. */
import * as schema from './schema.ts'

export const TABLES = schema
