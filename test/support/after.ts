import { readFileSync, rmSync } from 'node:fs'
import { joinPostgres } from '../../src/db/embedded.ts'
import { TEST_FOLDER } from './constants.ts'
import { connectionFile, run, TEMPLATE } from './helper.ts'

// Runs once after all tests. Leaves the tests' own Postgres, which stops it. On the server of TEST_DATABASE_URL, it drops the template database.
if (process.env['TEST_DATABASE_URL'] === undefined) {
  const { leave } = await joinPostgres(TEST_FOLDER)
  await leave()
} else {
  await run(JSON.parse(readFileSync(connectionFile, 'utf8')), `DROP DATABASE ${TEMPLATE}`)
}
rmSync(TEST_FOLDER, { recursive: true })
