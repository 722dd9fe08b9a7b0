/** `npx drizzle-kit generate` compares `db/schema/` with the last snapshot and writes the next migration; review it. */
import { defineConfig } from 'drizzle-kit';

// drizzle-kit reads the default export; nothing else in Slipway has one.
// oxlint-disable-next-line import/no-default-export
export default defineConfig({
  dialect: 'postgresql',
  schema: './db/schema/*.ts',
  out: './migrations',
});
