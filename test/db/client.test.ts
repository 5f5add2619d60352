import t, { type Test } from 'tap'
import { sql } from 'drizzle-orm'
import { once } from 'node:events'
import net from 'node:net'
import type pg from 'pg'
import { createDb } from '../../src/db/client.ts'
import { migrateUp } from '../../src/db/migrate.ts'
import { freshDatabase, run, startApp } from '../support/helper.ts'
import { connect, until } from '../support/process.ts'

// The pool of connections.

const silent = { info () {}, warn () {}, error () {} }

t.test('a lost connection is logged, unless the pool is being closed', async t => {
  const connection = await freshDatabase(t)
  const lost: unknown[] = []
  const db = createDb({ ...connection, max: 2 }, { info () {}, warn: (...words: unknown[]) => { lost.push(words[1]) }, error () {} } as never)
  const postgres = await connect(t, connection)
  const [first, second] = [await db.$client.connect(), await db.$client.connect()]
  const loses = async (client: typeof first) => {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
    const gone = new Promise(resolve => { client.once('end', resolve) })
    await postgres.query('SELECT pg_terminate_backend($1)', [rows[0]!.pid])
    await gone
    client.release()
  }
  await loses(first)
  await until(() => lost.length > 0)
  t.same(new Set(lost), new Set(['A database connection was lost']))
  lost.length = 0
  const ended = db.$client.end()
  await loses(second)
  await ended
  t.same(lost, [])
})

t.test('a transaction whose connection no longer answers leaves room for the next query', async t => {
  const connection = await freshDatabase(t)
  const db = createDb({ ...connection, max: 1, query_timeout: 500, connectionTimeoutMillis: 2_000 }, silent)
  t.teardown(() => db.$client.end())
  const backend = async (on: Pick<typeof db, 'execute'>) => (await on.execute<{ pid: number }>(sql`SELECT pg_backend_pid() AS pid`)).rows[0]!.pid
  const freeze = (pid: number) => {
    process.kill(pid, 'SIGSTOP')
    t.teardown(() => process.kill(pid, 'SIGCONT'))
  }

  await t.test('before it begins', async t => {
    const first = await backend(db)
    freeze(first)
    await t.rejects(db.transaction(backend), /Failed query/)
    t.not(await backend(db), first)
  })

  await t.test('in the middle', async t => {
    const pids: number[] = []
    const stuck = db.transaction(async tx => {
      pids.push(await backend(tx))
      freeze(pids[0]!)
      return await backend(tx)
    })
    await t.rejects(stuck, /Failed query/)
    t.not(await backend(db), pids[0])
  })

  await t.test('but a refusal of ours keeps the connection', async t => {
    const before = await backend(db)
    await t.rejects(db.transaction(async () => { throw new Error('refused') }), /refused/)
    t.equal(await backend(db), before)
  })
  await t.test('and so does a transaction that Postgres refuses, as in a deadlock', async t => {
    const before = await backend(db)
    const ends = {
      'a deadlock': sql`DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END $$`,
      'a row that was just deleted': sql`INSERT INTO sessions (id, user_id, kind, expires_at) VALUES (gen_random_uuid(), 2147483647, 'cookie', now())`,
      'a lock that others have': sql`DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'lock_not_available'; END $$`,
      'a slow query': sql`SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)`
    }
    for (const [what, statement] of Object.entries(ends)) {
      await t.rejects(db.transaction(async tx => await tx.execute(statement)), /Failed query/)
      t.equal(await backend(db), before, what)
    }
    await t.rejects(db.transaction(async tx => await tx.execute(sql`SET TRANSACTION READ ONLY; CREATE TABLE later ()`)), /Failed query/)
    t.not(await backend(db), before, 'but not a server that takes no writes: after a failover, a new connection reaches the new one')
  })
})

/** The settings that PgBouncer accepts in a startup message. It refuses others, unless its own settings say to ignore them. */
const STARTUP_SETTINGS = ['user', 'database', 'client_encoding', 'datestyle', 'timezone', 'standard_conforming_strings', 'application_name']

/** A proxy in front of a database that refuses connections as PgBouncer does. */
async function startPooler (t: Test, { host, port, ...connection }: pg.PoolConfig): Promise<pg.PoolConfig> {
  const server = net.createServer(client => {
    client.once('data', startup => {
      const settings = startup.toString('utf8', 8).split('\0').filter((word, nth) => nth % 2 === 0 && word !== '')
      const refused = settings.find(name => !STARTUP_SETTINGS.includes(name.toLowerCase()))
      if (refused !== undefined) return client.end(fatal(`unsupported startup parameter: ${refused}`))
      const database = net.connect(`${host}/.s.PGSQL.${port}`)
      for (const [end, other] of [[client, database], [database, client]] as const) end.on('error', () => other.destroy()).pipe(other)
      database.write(startup)
    }).on('error', () => { /* 'close' follows */ })
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  return { ...connection, host: '127.0.0.1', port: (server.address() as net.AddressInfo).port }
}

/** @see https://www.postgresql.org/docs/current/protocol-message-formats.html for ErrorResponse */
function fatal (message: string) {
  const fields = Buffer.from(`SFATAL\0C08P01\0M${message}\0\0`)
  const length = Buffer.alloc(4)
  length.writeInt32BE(length.length + fields.length)
  return Buffer.concat([Buffer.from('E'), length, fields])
}

t.test('through a connection pooler that refuses most settings in the startup message', async t => {
  const database = await freshDatabase(t, 'template0')
  const pooler = await startPooler(t, database)
  await migrateUp(pooler)
  const { as, work, db } = await startApp(t, {}, undefined, pooler)
  t.ok((await work()).isWorking(), 'jobs run')
  const ann = await as('ann')
  t.equal((await ann.post('/api/conversations', { name: 'Talk' })).statusCode, 201)
  await until(async () => (await run(database, "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'parley-listener'")).length === 1)
  t.same((await db.$client.query('SHOW statement_timeout')).rows, [{ statement_timeout: '10s' }])
})
