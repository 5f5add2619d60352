import t from 'tap'
import { sql } from 'drizzle-orm'
import { createDb } from '../../src/db/client.ts'
import { freshDatabase } from '../support/helper.ts'
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
