import t from 'tap'
import { existsSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { generateDrizzleJson, generateMigration } from 'drizzle-kit/api'
import { examineDatabase } from '../../src/db/examine.ts'
import { alone, migrateDown, migrateUp } from '../../src/db/migrate.ts'
import * as tables from '../../src/db/tables.ts'
import { freshDatabase, run, startApp } from '../support/helper.ts'
import { connect, isWaiting, until } from '../support/process.ts'

/** The whole schema of the database, as text. */
const SCHEMA = `
  SELECT 'column' AS kind, table_name || '.' || column_name AS name, concat_ws(' ', data_type, udt_name, datetime_precision, is_nullable, column_default, identity_generation) AS is
  FROM information_schema.columns WHERE table_schema = 'public'
  UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
  UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT 'function', proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT 'view', viewname, definition FROM pg_views WHERE schemaname = 'public'
  UNION ALL SELECT 'enum', t.typname, string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.typname
  UNION ALL SELECT 'bot', name, engine || settings::text FROM chatbots
  ORDER BY 1, 2`

const NOTHING_LEFT = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace"

const known = readdirSync('drizzle').filter(file => /^\d+_\w+\.sql$/.test(file)).map(file => file.replace('.sql', ''))

t.test('migrating up, down and up again gives the same schema', async t => {
  const connection = await freshDatabase(t)
  const before = await run(connection, SCHEMA)
  t.ok(before.length > 100)
  const undone = []
  for (let tag = await migrateDown(connection); tag !== undefined; tag = await migrateDown(connection)) undone.push(tag)
  t.same(undone.reverse(), known, 'every migration can be undone')
  t.same(await run(connection, NOTHING_LEFT), [], 'nothing is left behind')
  await migrateUp(connection)
  t.same(await run(connection, SCHEMA), before)
  for (const tag of known) t.ok(existsSync(`drizzle/${tag}.down.sql`))
})

t.test('a rollback does nothing without migrations, and refuses an unknown migration', async t => {
  const empty = await freshDatabase(t, 'template0')
  t.equal(await migrateDown(empty), undefined)
  const newer = await freshDatabase(t)
  await run(newer, "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('of a later version', 99999999999999)")
  await t.rejects(migrateDown(newer), { message: /another version of Parley/ })
})

t.test('no tables are made in a database whose encoding cannot store every message', async t => {
  const latin = await freshDatabase(t, "template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
  await t.rejects(migrateUp(latin), { message: /^The tables cannot be made or updated: Its encoding is LATIN1, which cannot store every message\. .*ENCODING 'UTF8'\.$/ })
  t.same(await run(latin, NOTHING_LEFT), [])
})

t.test('the tables are made and used where the role has a schema of its own', async t => {
  const connection = await freshDatabase(t, 'template0')
  await run(connection, `CREATE SCHEMA own; ALTER DATABASE ${connection.database} SET search_path = own`)
  await migrateUp(connection)
  const { as } = await startApp(t, {}, undefined, connection)
  const ann = await as('ann')
  t.equal((await ann.get('/api/conversations')).statusCode, 200)
  t.same(await run(connection, "SELECT FROM pg_class WHERE relnamespace = 'own'::regnamespace"), [])
  t.match(await examineDatabase(connection), { problem: undefined, bots: { length: 3 } }, 'the doctor finds them, too')
})

t.test('several processes that start at the same time migrate once', async t => {
  const empty = await freshDatabase(t, 'template0')
  await Promise.all(Array.from({ length: 5 }, () => migrateUp(empty)))
  t.equal((await run(empty, 'SELECT FROM drizzle.__drizzle_migrations')).length, known.length)
  t.same(await run(empty, 'SELECT * FROM graphile_worker.jobs'), [], 'the job queue exists, too')
})

t.test('a process that waits for another one to migrate says so', async t => {
  const connection = await freshDatabase(t)
  const other = Promise.withResolvers<void>()
  const working = new Promise<void>(resolve => { alone(connection, async () => { resolve(); await other.promise }) })
  await working
  const said: string[] = []
  const migrated = migrateUp(connection, { warn: (sentence: string) => { said.push(sentence) } } as never)
  await isWaiting(await connect(t, connection))
  t.same(said, ['Waiting for another process that updates or restores the tables'])
  other.resolve()
  await migrated
  await migrateUp(connection, { warn: (sentence: string) => { said.push(sentence) } } as never)
  t.equal(said.length, 1)
})

t.test('a process waits for another one to migrate for longer than the timeouts that the database has', async t => {
  const connection = await freshDatabase(t)
  const postgres = await connect(t, connection)
  const { rows } = await postgres.query<{ name: string }>("SELECT name FROM pg_settings WHERE name LIKE '%\\_timeout' AND context = 'user' AND name !~ '^(tcp|wal)_'")
  t.ok(rows.length >= 4, 'statements, locks, transactions, idle sessions')
  for (const { name: timeout } of rows) {
    await postgres.query(`ALTER DATABASE ${connection.database} SET ${timeout} = 100`)
    const other = Promise.withResolvers<void>()
    const working = Promise.withResolvers<void>()
    const ended = alone(connection, async client => {
      await client.query('BEGIN')
      working.resolve()
      await other.promise
      await client.query('COMMIT')
    })
    ended.catch(() => { /* reported below */ })
    await working.promise
    const migrated = migrateUp(connection)
    migrated.catch(() => { /* reported below */ })
    await Promise.race([migrated, sleep(500)]).catch(() => { /* reported below */ })
    other.resolve()
    await t.resolves(ended, `${timeout} of the process that works`)
    await t.resolves(migrated, `${timeout} of the process that waits`)
    await postgres.query(`ALTER DATABASE ${connection.database} RESET ${timeout}`)
  }
})

t.test('a migration that waits for a long query, such as a backup, does not hold up requests', async t => {
  const connection = await freshDatabase(t)
  for (let undone; undone !== '0032_token_order';) undone = await migrateDown(connection)
  const backup = await connect(t, connection)
  await backup.query('BEGIN; LOCK TABLE external_users IN ACCESS SHARE MODE')
  const said: string[] = []
  const migrated = migrateUp(connection, { warn: (sentence: string) => { said.push(sentence) } } as never)
  const server = await connect(t, { ...connection, statement_timeout: 10_000 })
  await isWaiting(server)
  await server.query('SELECT FROM external_users')
  t.pass('a request gets its answer while the backup is still being written')
  await until(() => said.length > 0)
  t.match(said[0], /^Waiting to update the tables/)
  await backup.query('COMMIT')
  await migrated
  t.equal((await run(connection, 'SELECT FROM drizzle.__drizzle_migrations')).length, known.length)
})

t.test('the migrations create the schema of tables.ts', async t => {
  const journal = readdirSync('drizzle/meta').filter(file => file.endsWith('_snapshot.json')).sort()
  const { default: newest } = await import(`../../drizzle/meta/${journal.at(-1)}`, { with: { type: 'json' } })
  t.same(await generateMigration(newest, generateDrizzleJson(tables, newest.id, undefined, 'snake_case')), [])
})
