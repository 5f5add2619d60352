import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import type pg from 'pg'
import { joinPostgres } from '../../src/db/embedded.ts'
import { migrateUp } from '../../src/db/migrate.ts'
import { PREPARED_FOLDER, TEST_FOLDER } from './constants.ts'
import { bundlePackages } from './bundle.ts'
import { connectionFile, run, TEMPLATE } from './helper.ts'
import { stripTypes } from './load-faster.ts'

// Runs once before all tests. Prepares a Postgres (TEST_DATABASE_URL, or an embedded one, which keeps running when this program
// ends because it does not call `leave`), and in it a template database with all migrations, which the tests copy.
const url = process.env['TEST_DATABASE_URL']
const connection: pg.ClientConfig = url === undefined
  ? (await joinPostgres(TEST_FOLDER, { fsync: 'off', max_connections: '300', max_wal_size: '128MB' })).connection
  : { connectionString: url }

mkdirSync(TEST_FOLDER, { recursive: true })
rmSync(connectionFile, { force: true })
await run(connection, `DROP DATABASE IF EXISTS ${TEMPLATE} WITH (FORCE)`)
await run(connection, `CREATE DATABASE ${TEMPLATE}`)
const described = url === undefined ? connection : fromUrl(url)
await migrateUp({ ...described, database: TEMPLATE })
process.removeAllListeners('warning') // Node.js would print that stripping types by a call is experimental
stripTypes(PREPARED_FOLDER)
await bundlePackages(PREPARED_FOLDER)
writeFileSync(connectionFile, JSON.stringify(described))
process.exit()

function fromUrl (text: string): pg.ClientConfig {
  const { hostname, port, username, password, pathname } = new URL(text)
  return {
    host: hostname, port: Number(port || 5432), user: decodeURIComponent(username), password: decodeURIComponent(password), database: pathname.slice(1)
  }
}
