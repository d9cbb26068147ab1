/** For `npm run db:generate`. Paths are relative to where npm runs: the repository root. */
import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'sqlite',
  schema: './controller/db/schema.ts',
  out: './controller/db/migrations',
})
