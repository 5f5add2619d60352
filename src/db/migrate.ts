import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { runMigrations as migrateJobs } from 'graphile-worker'
import pg from 'pg'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import type { FastifyBaseLogger } from 'fastify'
import { pino } from 'pino'
import { CANNOT_START } from '../errors.ts'
import { createDb, prepareSession, reasonOf } from './client.ts'

const folder = fileURLToPath(new URL('../../drizzle', import.meta.url))
const ADVISORY_LOCK_KEY = 0x5061726c
const NAME = 'parley-migrations'

type Log = Pick<FastifyBaseLogger, 'warn'>
const silent = pino({ enabled: false })

/** How long a migration waits for a lock before it lets others have the table and tries again, in milliseconds. */
const LOCK_TIMEOUT_MS = 2_000
const RETRY_INTERVAL_MS = 5_000
const LOCK_NOT_AVAILABLE = '55P03'

/** The only encoding that has every character of a message. Another one would refuse some messages, or damage them. */
export const ENCODING = 'UTF8'

export function wrongEncoding (encoding: string): string {
  return `Its encoding is ${encoding}, which cannot store every message. Please create a database with TEMPLATE template0 ENCODING '${ENCODING}'.`
}

/**
 * Applies the missing migrations, ours and those of the job queue. If several processes do this at once, one works and the
 * others wait. Logs a warning when it waits for them or for a lock.
 * @throws CANNOT_START with the database's error
 */
export async function migrateUp (connection: pg.ClientConfig, log: Log = silent): Promise<void> {
  try {
    await alone(connection, async client => {
      await checkEncoding(client)
      await migrateTables(client, log)
      await migrateQueue(connection)
    }, log)
  } catch (error) {
    throw new CANNOT_START(`The tables cannot be made or updated: ${reasonOf(error).message.replace(/\.?$/, '.')}`, { cause: error })
  }
}

/** Refuses to make the tables in a database of another encoding. A database that has them already is left to the doctor. */
async function checkEncoding (client: pg.Client) {
  const { rows: [{ encoding }] } = await client.query("SELECT current_setting('server_encoding') AS encoding")
  if (encoding !== ENCODING && (await appliedMigrations(client)).length === 0) throw new CANNOT_START(wrongEncoding(encoding))
}

/**
 * A migration needs some tables for itself. While it waits for a long query, such as a backup, all later queries of other
 * instances on that table would wait behind it. So it waits for a short time only, and tries again later.
 */
async function migrateTables (client: pg.Client, log: Log): Promise<void> {
  await client.query(`SET lock_timeout = ${LOCK_TIMEOUT_MS}`)
  for (;;) {
    try {
      return await migrate(drizzle({ client }), { migrationsFolder: folder })
    } catch (error) {
      if (reasonOf(error).code !== LOCK_NOT_AVAILABLE) throw error
      log.warn('Waiting to update the tables: another query uses them, such as a backup')
      await sleep(RETRY_INTERVAL_MS)
    }
  }
}

/** Lets graphile-worker create its own schema, for which it needs a pool. Errors are thrown, so the pool need not log them. */
async function migrateQueue (connection: pg.ClientConfig) {
  const { $client: pgPool } = createDb({ application_name: NAME, ...connection, min: 0, max: 1 }, silent)
  try {
    await migrateJobs({ pgPool })
  } finally {
    await pgPool.end()
  }
}

/** Undoes the newest migration. Returns its name; undefined when there is none. */
export async function migrateDown (connection: pg.ClientConfig): Promise<string | undefined> {
  return await alone(connection, async client => {
    await client.query('BEGIN')
    const undone = await undoNewest(client)
    await client.query('COMMIT')
    return undone
  })
}

async function undoNewest (client: pg.Client) {
  const newest = (await appliedMigrations(client)).at(-1)
  if (newest === undefined) return
  await client.query(await readFile(`${folder}/${newest.tag}.down.sql`, 'utf8'))
  await client.query('DELETE FROM drizzle.__drizzle_migrations WHERE created_at = $1', [newest.when])
  return newest.tag
}

/** Removes everything of Parley from the database, jobs included, in the caller's transaction. Tables of other programs stay. */
export async function removeAll (client: pg.Client): Promise<void> {
  while (await undoNewest(client) !== undefined) { /* one by one, newest first */ }
  await client.query('DROP SCHEMA IF EXISTS drizzle, graphile_worker CASCADE')
}

/**
 * Lists the migrations that were applied, oldest first.
 * @throws CANNOT_START when this version of Parley does not know one of them
 */
export async function appliedMigrations (client: pg.Client): Promise<Array<{ when: number, tag: string }>> {
  const { rows: [known] } = await client.query("SELECT to_regclass('drizzle.__drizzle_migrations') AS journal")
  if (known.journal === null) return []
  const { rows } = await client.query('SELECT created_at FROM drizzle.__drizzle_migrations ORDER BY created_at')
  const entries = await knownMigrations()
  return rows.map(({ created_at: when }) => {
    const entry = entries.find(entry => entry.when === Number(when))
    if (entry === undefined) throw new CANNOT_START('The newest migration of this database belongs to another version of Parley: please use that version.')
    return entry
  })
}

/** Lists all migrations of this version, oldest first. */
export async function knownMigrations (): Promise<Array<{ when: number, tag: string }>> {
  return JSON.parse(await readFile(`${folder}/meta/_journal.json`, 'utf8')).entries
}

/** Gives the SQL of all applied migrations, ours and those of the job queue. */
export async function schemaOf (client: pg.Client): Promise<string> {
  const ours = (await appliedMigrations(client)).map(({ tag }) => `${folder}/${tag}.sql`)
  const { rows: [queue] } = await client.query('SELECT max(id) AS version FROM graphile_worker.migrations')
  const queueFolder = path.resolve(createRequire(import.meta.url).resolve('graphile-worker'), '../../sql')
  const theirs = (await readdir(queueFolder)).sort().slice(0, queue.version).map(file => path.join(queueFolder, file))
  const texts = await Promise.all([...ours, ...theirs].map(async file => await readFile(file, 'utf8')))
  return [JOURNALS, ...texts].join('\n').replaceAll(/:GRAPHILE_WORKER_SCHEMA\b/g, 'graphile_worker')
}

/** The tables in which drizzle and graphile-worker record the applied migrations. They create them before the first one. */
const JOURNALS = `
CREATE SCHEMA drizzle;
CREATE TABLE drizzle.__drizzle_migrations (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint);
CREATE SCHEMA graphile_worker;
CREATE TABLE graphile_worker.migrations (id int PRIMARY KEY, ts timestamptz NOT NULL DEFAULT now(), breaking boolean NOT NULL DEFAULT false);
`

/** Calls `work` with a connection that holds the lock on migrations, so that no other process migrates meanwhile. Logs a warning when it waits for one. */
export async function alone<T> (connection: pg.ClientConfig, work: (client: pg.Client) => Promise<T>, log: Log = silent): Promise<T> {
  const client = new pg.Client({ application_name: NAME, ...connection })
  client.on('error', () => { /* the running query rejects with it too */ })
  await client.connect()
  await prepareSession(client)
  try {
    const { rows: [lock] } = await client.query('SELECT pg_try_advisory_lock($1) AS taken', [ADVISORY_LOCK_KEY])
    if (!lock.taken) {
      log.warn('Waiting for another process that updates or restores the tables')
      await client.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCK_KEY])
    }
    return await work(client)
  } finally {
    await client.end()
  }
}
