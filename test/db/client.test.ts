import t from 'tap'
import { createDb } from '../../src/db/client.ts'
import { freshDatabase } from '../support/helper.ts'
import { connect, until } from '../support/process.ts'

// The pool of connections.

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
