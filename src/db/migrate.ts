import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runMigrations as migrateJobs } from 'graphile-worker'
import pg from 'pg'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import { pino } from 'pino'
import { CANNOT_START } from '../errors.js'
import { createDb, reasonOf } from './client.js'

const folder = fileURLToPath(new URL('../../drizzle', import.meta.url))
const LOCK = 0x5061726c
const NAME = 'parley-migrations'

/**
 * Applies the migrations that the database lacks, and those of its job queue. Several processes may do so at once: one works, the others wait.
 * @throws CANNOT_START with what the database says
 */
export async function migrateUp (connection: pg.ClientConfig): Promise<void> {
  try {
    await alone(connection, async client => {
      await migrate(drizzle({ client }), { migrationsFolder: folder })
      await migrateQueue(connection)
    })
  } catch (error) {
    throw new CANNOT_START(`The tables cannot be made or updated: ${reasonOf(error).message}.`, { cause: error })
  }
}

/** graphile-worker makes its own schema, over a pool only. What goes wrong is thrown, and need not be logged. */
async function migrateQueue (connection: pg.ClientConfig) {
  const { $client: pgPool } = createDb({ application_name: NAME, ...connection, min: 0, max: 1 }, pino({ enabled: false }))
  try {
    await migrateJobs({ pgPool })
  } finally {
    await pgPool.end()
  }
}

/** Forgets all jobs, done or not: their queue is made anew by the next start. */
export async function dropQueue (connection: pg.ClientConfig): Promise<void> {
  await alone(connection, client => client.query('DROP SCHEMA IF EXISTS graphile_worker CASCADE'))
}

/** Undoes the newest migration and gives its name; undefined when there is none. */
export async function migrateDown (connection: pg.ClientConfig): Promise<string | undefined> {
  return await alone(connection, async client => {
    const { rows: [known] } = await client.query("SELECT to_regclass('drizzle.__drizzle_migrations') AS journal")
    if (known.journal === null) return
    const { rows: [newest] } = await client.query(
      'SELECT id, created_at FROM drizzle.__drizzle_migrations ORDER BY created_at DESC LIMIT 1')
    if (newest === undefined) return
    const { entries } = JSON.parse(await readFile(`${folder}/meta/_journal.json`, 'utf8')) as { entries: Array<{ when: number, tag: string }> }
    const entry = entries.find(({ when }) => when === Number(newest.created_at))
    if (entry === undefined) throw new CANNOT_START('The newest migration of this database comes from another version of Parley: please undo it with that one.')
    await client.query('BEGIN')
    await client.query(await readFile(`${folder}/${entry.tag}.down.sql`, 'utf8'))
    await client.query('DELETE FROM drizzle.__drizzle_migrations WHERE id = $1', [newest.id])
    await client.query('COMMIT')
    return entry.tag
  })
}

async function alone<T> (connection: pg.ClientConfig, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ application_name: NAME, ...connection })
  client.on('error', () => { /* the query under way gets it too */ })
  await client.connect()
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK])
    return await work(client)
  } finally {
    await client.end()
  }
}
