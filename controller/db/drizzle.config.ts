import { defineConfig } from 'drizzle-kit'

/** Paths are relative to where npm runs: the repository root. */
export default defineConfig({
  dialect: 'sqlite',
  schema: './controller/db/schema.ts',
  out: './controller/db/migrations',
})
