import { readFileSync, rmSync } from 'node:fs'
import { joinPostgres } from '../../src/db/embedded.ts'
import { connectionFile, run, TEMPLATE, TEST_FOLDER } from './helper.ts'

// Once after all tests: the last one to leave stops the Postgres of our own; one of the user's loses the template.
if (process.env['TEST_DATABASE_URL'] === undefined) {
  const { leave } = await joinPostgres(TEST_FOLDER)
  await leave()
} else {
  await run(JSON.parse(readFileSync(connectionFile, 'utf8')), `DROP DATABASE ${TEMPLATE}`)
}
rmSync(TEST_FOLDER, { recursive: true })
