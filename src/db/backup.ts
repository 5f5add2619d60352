import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, existsSync, rmSync } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { createGzip } from 'node:zlib'
import pg from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import { CANNOT_START } from '../errors.ts'
import { prepareSession } from './client.ts'
import { makeFolder } from './embedded/place.ts'
import { appliedMigrations, schemaOf } from './migrate.ts'

/** The last line of a complete backup, whichever way it was made. */
export const LAST_LINE = '-- PostgreSQL database dump complete'

const ADVISORY_LOCK_KEY = 0x6261636b

/**
 * Writes a consistent snapshot of the whole database into a file, while others may go on writing. The file is gzipped SQL,
 * with the rows in `COPY` format. It is made by pg_dump if there is one (and not `isPlain`), else by our own code; `restore`
 * and psql can read both. pg_dump would write the tables of other programs too, which a restore keeps, so that they would collide. An existing file of this name is replaced only when the new one is complete.
 * If another backup is being written into the same file, it waits until that one has ended.
 * @returns which way it was made, as a part of a sentence
 * @throws CANNOT_START with what is wrong
 */
export async function backUp (connection: pg.ClientConfig, file: string, isPlain = false): Promise<string> {
  if (existsSync(file) && !(await stat(file)).isFile()) throw new CANNOT_START(`${file} is not a file. Please name the file to write, such as FILE=/mnt/backups/parley.sql.gz.`)
  const client = new pg.Client({ application_name: 'parley-backup', ...connection })
  client.on('error', () => { /* the running query rejects with it too */ })
  await client.connect()
  try {
    await prepareSession(client)
    await client.query('SELECT pg_advisory_lock($1, hashtext($2))', [ADVISORY_LOCK_KEY, file])
    if ((await appliedMigrations(client)).length === 0) throw new CANNOT_START('There is nothing to back up: Parley has no tables in this database.')
    const pgDump = isPlain || await isShared(client) ? undefined : await findPgDump(client)
    await write(pgDump === undefined ? copyAll(client) : dump(pgDump, connection), file)
    return pgDump === undefined ? 'written by Parley itself' : 'written by pg_dump'
  } finally {
    await client.end()
  }
}

async function write (sql: AsyncGenerator<Buffer | string>, file: string) {
  const draft = `${file}.part`
  // Ctrl-C ends the process before the `finally` below has run. A draft that stays has all password hashes in it.
  const discard = () => { rmSync(draft, { force: true }) }
  await makeFolder(path.dirname(file), 0o700)
  process.once('exit', discard)
  try {
    await pipeline(sql, createGzip(), createWriteStream(draft, { mode: 0o600, flush: true }))
    await rename(draft, file)
  } finally {
    process.off('exit', discard)
    await rm(draft, { force: true }).catch(() => { /* the folder cannot be entered, so there is no draft in it */ })
  }
}

/** Whether the database has tables or views of other programs. */
async function isShared (client: pg.Client) {
  const { rowCount } = await client.query(FOREIGN, [await schemaOf(client)])
  return rowCount !== 0
}

/** Finds a pg_dump of the server's own major version. The output of a newer one may not load into this server. */
async function findPgDump (client: pg.Client) {
  const { rows: [server] } = await client.query("SELECT current_setting('server_version_num')::int / 10000 AS major")
  const programs = await Promise.all(['pg_dump', `/usr/lib/postgresql/${server.major}/bin/pg_dump`].map(async program => {
    const { stdout } = await promisify(execFile)(program, ['--version']).catch(() => ({ stdout: '' }))
    return { program, isRight: stdout.includes(`(PostgreSQL) ${server.major}.`) }
  }))
  return programs.find(({ isRight }) => isRight)?.program
}

/* c8 ignore start -- not every machine has pg_dump; the tests use one if they find it */
async function * dump (program: string, connection: pg.ClientConfig) {
  const options = ['--encoding=UTF8', '--no-owner', '--no-privileges', '--no-comments', '--no-publications', '--no-subscriptions']
  const child = spawn(program, options, { env: { ...process.env, ...environmentOf(connection) }, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', text => { said += text })
  const ended = once(child, 'close')
  try {
    yield * child.stdout
    const [code] = await ended
    if (code !== 0) throw new CANNOT_START(`pg_dump failed: ${said.trim()}`)
  } finally {
    child.kill()
  }
}

/** Our connection settings for pg_dump, as environment variables: every user of the machine can see a program's arguments. */
function environmentOf (connection: pg.ClientConfig): NodeJS.ProcessEnv {
  const { host, port, user, password, database } = new pg.Client(connection)
  const [, query] = (connection.connectionString ?? '').split('?')
  const ssl = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'].flatMap(name => {
    const value = new URLSearchParams(query).get(name)
    // Our driver's `no-verify` is the `require` of pg_dump: encrypted, with any certificate.
    return value === null ? [] : [[`PG${name.toUpperCase()}`, value === 'no-verify' ? 'require' : value]]
  })
  return { PGHOST: host, PGPORT: `${port}`, PGUSER: user, PGDATABASE: database, ...password && { PGPASSWORD: password }, ...Object.fromEntries(ssl) }
}
/* c8 ignore stop */

/** Writes the SQL of the migrations, then the rows of each table. Tables come before those that refer to them. */
async function * copyAll (client: pg.Client) {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  const schema = await schemaOf(client)
  const { rows: tables } = await client.query<{ name: string, columns: string }>(TABLES, [schema])
  const names = tables.map(({ name }) => name).join(', ')
  await client.query(`LOCK TABLE ${names} IN ACCESS SHARE MODE`) // so that nobody changes their columns meanwhile
  yield `${schema}\n-- Rows that the migrations inserted are in the backup too.\nTRUNCATE ${names};\n`
  for (const { name, columns } of tables) {
    yield `COPY ${name} (${columns}) FROM stdin;\n`
    yield * client.query(copyTo(`COPY ${name} (${columns}) TO STDOUT`))
    yield '\\.\n'
  }
  const { rows: sequences } = await client.query<{ statement: string }>(SEQUENCES)
  for (const { statement } of sequences) yield `${statement}\n`
  yield `${LAST_LINE}\n`
}

/** Our own tables, with their columns except for generated ones. A table comes before those that refer to it. */
const TABLES = `
  WITH RECURSIVE level (oid, depth) AS (
    SELECT oid, 0 FROM pg_class
    WHERE relkind = 'r' AND (relnamespace = ANY (ARRAY[to_regnamespace('drizzle'), to_regnamespace('graphile_worker')]) OR
      relnamespace = 'public'::regnamespace AND strpos($1, 'CREATE TABLE "' || relname || '"') > 0)
    UNION
    SELECT conrelid, depth + 1 FROM pg_constraint JOIN level ON confrelid = level.oid
    WHERE contype = 'f' AND conrelid <> confrelid
  )
  SELECT format('%I.%I', nspname, relname) AS name, (
    SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
  ) AS columns
  FROM level JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
  GROUP BY c.oid, nspname, relname
  ORDER BY max(depth), name`

/** Tables and views that neither a migration nor an extension has created. */
const FOREIGN = `
  SELECT FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname NOT IN ('information_schema', 'drizzle', 'graphile_worker') AND NOT starts_with(nspname, 'pg_')
    AND NOT (nspname = 'public' AND (strpos($1, 'CREATE TABLE "' || relname || '"') > 0 OR strpos($1, 'CREATE VIEW "public"."' || relname || '"') > 0))
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
  LIMIT 1`

/** The value of each sequence. Read after the rows, so that it is never behind them, though others may have advanced it since. */
const SEQUENCES = `
  SELECT format('SELECT pg_catalog.setval(%L, %s);', format('%I.%I', schemaname, sequencename), last_value) AS statement
  FROM pg_sequences WHERE schemaname IN ('public', 'drizzle', 'graphile_worker') AND last_value IS NOT NULL`
