import t, { type Test } from 'tap'
import type pg from 'pg'
import { createDb, isUnavailable } from '../../src/db/client.ts'
import { createPipeline } from '../../src/db/pipeline.ts'
import { freshDatabase, holdLock, run, silent } from '../support/helper.ts'

// Reads that share connections.

async function pipeline (t: Test, options: pg.PoolConfig = {}) {
  const connection = await freshDatabase(t)
  const { $client: pool } = createDb({ ...connection, ...options }, silent)
  t.teardown(() => pool.end())
  return { read: createPipeline(pool), pool, connection }
}

const ask = (n: number) => ({ name: 'number', text: 'SELECT $1::int AS n, pg_backend_pid() AS connection', values: [n] })

t.test('queries that begin together share a connection, and each gets its own result', async t => {
  const { read, pool } = await pipeline(t)
  const numbers = Array.from({ length: 40 }, (_, n) => n)
  const results = await Promise.all(numbers.map(n => read<{ n: number, connection: number }>(ask(n))))
  t.same(results.map(({ rows }) => rows[0]!.n), numbers)
  t.ok(new Set(results.map(({ rows }) => rows[0]!.connection)).size <= 3, 'up to 16 queries share one')
  t.equal(pool.idleCount, pool.totalCount, 'the connections are returned')
})

t.test('a query that fails does not affect the ones before and after it', async t => {
  const { read } = await pipeline(t)
  const outcome = (query: Parameters<typeof read>[0]) => read<{ n: number }>(query).then(({ rows }) => rows[0]!.n, error => error.message)
  t.same(await Promise.all([
    ask(1),
    { name: 'nonsense', text: 'SELECT nonsense', values: [] },
    ask(2),
    { name: 'quotient', text: 'SELECT 1 / $1::int AS n', values: [0] },
    { name: 'number', text: 'SELECT 3 AS n', values: [] },
    { name: 'quotient', text: 'SELECT 1 / $1::int AS n', values: [1] }
  ].map(outcome)), [
    1, 'column "nonsense" does not exist', 2, 'division by zero', 'Prepared statements must be unique - \'number\' was used for a different statement', 1
  ])
})

t.test('a lost connection fails the queries that it carries, as unavailable, and the next ones get another', async t => {
  const { read, connection } = await pipeline(t)
  const { rows: [first] } = await read<{ connection: number }>(ask(1))
  const reads = [read(ask(2)), read({ name: 'slow', text: 'SELECT pg_sleep(60)', values: [] }), read(ask(3))]
  const outcomes = Promise.allSettled(reads)
  await reads[0]
  await run(connection, 'SELECT pg_terminate_backend($1)', [first!.connection])
  t.match(await outcomes, [{ status: 'fulfilled' }, { status: 'rejected' }, { status: 'rejected' }])
  for (const outcome of await outcomes) if (outcome.status === 'rejected') t.ok(isUnavailable(outcome.reason), outcome.reason.message)
  t.match(await read(ask(4)), { rows: [{ n: 4 }] })
})

t.test('a prepared statement that a migration has broken fails once', async t => {
  const { read, connection } = await pipeline(t)
  await run(connection, 'CREATE TABLE things AS SELECT 1 AS id')
  const things = { name: 'things', text: 'SELECT * FROM things', values: [] }
  t.same((await read(things)).rows, [{ id: 1 }])
  await run(connection, "ALTER TABLE things ADD note text DEFAULT 'new'")
  await t.rejects(read(things), { message: 'cached plan must not change result type' })
  t.same((await read(things)).rows, [{ id: 1, note: 'new' }])
})

t.test('a query whose statement could not be prepared by the one before it is refused as unavailable', async t => {
  const { read, connection } = await pipeline(t, { statement_timeout: 100 })
  await run(connection, 'CREATE TABLE things (id int)')
  const { query } = await holdLock(t, connection, 0)
  await query('LOCK TABLE things')
  const things = { name: 'things', text: 'SELECT * FROM things', values: [] }
  const outcomes = await Promise.allSettled([read(things), read(things)])
  for (const outcome of outcomes) t.ok(outcome.status === 'rejected' && isUnavailable(outcome.reason), JSON.stringify(outcome))
})
