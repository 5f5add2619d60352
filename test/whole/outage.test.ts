import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { migrateUp } from '../../src/db/migrate.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { freshDatabase, run, silent } from '../support/helper.ts'
import { connect as dial, follow } from '../support/live.ts'
import { startPostgres } from '../support/postgres.ts'
import { connect, isWaiting, openPlace, until, urlOf, type Answer } from '../support/process.ts'
import { isPrompt } from '../support/prompt.ts'

// A database that stops or is blocked while the server is busy.

t.jobs = 2 // for tests that are `buffered`

const STOPPED = 30_000

t.test('Postgres is stopped for 30 seconds under load', { buffered: true }, async t => {
  const place = await openPlace(t)
  const postgres = await startPostgres(t)
  const server = await place.serve({ DATABASE_URL: urlOf(postgres.connection) })
  const ann = await server.join('ann')
  const ids = await Promise.all([1, 2, 3, 4].map(async n => (await ann.post('/api/conversations', { name: `Talk ${n}` })).body.id as number))
  const socket = await dial(t, server.url, { auth: { token: ann.cookie.split('=')[1] }, reconnection: true })
  const room = follow(socket)
  await room.join(ids[0]!)

  const over = new AbortController()
  let state: 'up' | 'down' | 'between' | 'back' = 'up'
  let slowest = 0
  const seen = { up: new Set<number>(), down: new Set<number>(), between: new Set<number>(), back: new Set<number>() }

  async function ask (send: () => Promise<Answer>) {
    const before = state
    const began = performance.now()
    const answer = await send()
    slowest = Math.max(slowest, performance.now() - began)
    if (before === state) seen[state].add(answer.status)
    if (answer.status === 503 && !(answer.headers.has('retry-after') && answer.body.code === 'UNAVAILABLE')) t.fail(JSON.stringify(answer.body))
    return answer
  }

  /** Sends messages one after the other, and repeats each until it is answered. Returns their number. */
  const load = ids.map(async (id, nth) => {
    let sent = 0
    for (; !over.signal.aborted; sent++) {
      const message = { text: `Message ${sent}`, client_id: `${nth}-${sent}` }
      while ((await ask(() => ann.post(`/api/conversations/${id}/messages`, message))).status !== 201) await sleep(100)
      await ask(() => ann.get('/api/conversations'))
      await ask(() => server.post('/chat', { user_phone: `111${nth}`, user_message: 'hello' }))
      await sleep(20)
    }
    return sent
  })

  await until(() => seen.up.size >= 2)
  await sleep(1_000)
  state = 'between'
  await postgres.stop()
  await until(async () => (await server.get('/health/ready')).status === 503)
  state = 'down'
  await sleep(STOPPED)
  t.equal((await server.get('/health/live')).status, 200, 'the server still runs')
  t.equal((await server.get('/health/ready')).status, 503)
  state = 'between'
  await postgres.start()
  const began = performance.now()
  await until(async () => (await server.get('/health/ready')).status === 200 || sleep(50).then(() => false))
  isPrompt(t, began, 3_000, 'ready again')
  state = 'back'
  await until(() => seen.back.size >= 2)
  await sleep(2_000)
  over.abort()
  const sent = await Promise.all(load)

  t.same(seen.up, new Set([200, 201]))
  t.same(seen.down, new Set([503]), 'all requests get 503 while Postgres is down')
  t.same(seen.back, new Set([200, 201]), 'all requests succeed when Postgres is back')
  isPrompt(t, performance.now() - slowest, 10_000, 'the slowest request')
  for (const [nth, id] of ids.entries()) {
    const texts = await run(postgres.connection, "SELECT text FROM messages WHERE conversation_id = $1 AND sender = 'user' ORDER BY id", [id])
    t.same(texts.map(({ text }) => text), Array.from({ length: sent[nth]! }, (_, n) => `Message ${n}`), 'each message is stored once')
  }
  await room.join(ids[0]!)
  await until(() => room.heard.some(({ text }) => text === `Message ${sent[0]! - 1}`))
  await ann.post(`/api/conversations/${ids[0]}/messages`, { text: 'Live again' })
  await until(() => room.heard.some(({ text }) => text === 'Live again'))
  t.equal(new Set(room.heard.map(({ id, rev }) => `${id} ${rev}`)).size, room.heard.length)
  socket.close()
  server.kill('SIGTERM')
  t.equal((await server.ended).code, 0)
})

t.test('while a slow query uses the only connection, others get an error soon', { buffered: true }, async t => {
  const database = await freshDatabase(t)
  const place = await openPlace(t)
  const server = await place.serve({ DATABASE_URL: urlOf(database), DATABASE_POOL: '1' })
  const ann = await server.join('ann')
  const { body: { id } } = await ann.post('/api/conversations', { name: 'Talk' })
  const postgres = await connect(t, database)
  await postgres.query('BEGIN; LOCK TABLE conversations')
  const timed = async (asked: Promise<Answer>) => {
    const began = performance.now()
    const { status, headers, body } = await asked
    return { status, retryAfter: headers.get('retry-after'), body, took: performance.now() - began }
  }
  const stuck = timed(ann.post(`/api/conversations/${id}/messages`, { text: 'Stuck' }))
  await isWaiting(postgres)
  const others = await Promise.all([
    ann.get('/api/me'), ann.get('/api/conversations'), server.post('/chat', { user_phone: '111', user_message: 'hello' }), server.get('/health/ready'),
    server.post('/api/login', { username: 'ann', password: 'correct horse' })
  ].map(timed))
  for (const { status, retryAfter, body, took } of [...others, await stuck]) {
    t.match({ status, retryAfter, body }, { status: 503, retryAfter: /^\d+$/, body: { code: 'UNAVAILABLE' } })
    isPrompt(t, performance.now() - took, 10_000, 'answered')
  }
  t.equal((await server.get('/health/live')).status, 200)
  await postgres.query('ROLLBACK')
  await until(async () => (await server.get('/health/ready')).status === 200)
  t.equal((await ann.post(`/api/conversations/${id}/messages`, { text: 'Free again' })).status, 201)
  t.same(await run(database, 'SELECT text FROM messages ORDER BY id'), [{ text: 'Free again' }, { text: 'You said: Free again' }], 'refused messages were not stored')
})

t.test('while the database is read-only, as after a failover or with a full disk, what writes gets 503 and the rest works', { buffered: true }, async t => {
  const database = await freshDatabase(t)
  const place = await openPlace(t)
  const server = await place.serve({ DATABASE_URL: urlOf(database) })
  const ann = await server.join('ann')
  const { body: { id } } = await ann.post('/api/conversations', { name: 'Talk' })
  const postgres = await connect(t, database)
  const becomes = async (what: string) => {
    await postgres.query(`ALTER DATABASE ${database.database} ${what}`)
    await postgres.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()')
  }
  await becomes('SET default_transaction_read_only = on')
  await until(async () => (await ann.get('/api/conversations')).status === 200)
  const writes = {
    message: () => ann.post(`/api/conversations/${id}/messages`, { text: 'Hello' }),
    'conversation, in a transaction': () => ann.post('/api/conversations', { name: 'Another' }),
    'guided chat': () => server.post('/chat', { user_phone: '111', user_message: 'hello' }),
    login: () => server.post('/api/login', { username: 'ann', password: 'correct horse' })
  }
  for (const [what, write] of Object.entries(writes)) {
    const { status, headers, body } = await write()
    t.match({ status, retryAfter: headers.get('retry-after'), body }, { status: 503, retryAfter: /^\d+$/, body: { code: 'UNAVAILABLE' } }, what)
  }
  t.same((await ann.get('/api/conversations')).body.map(({ name }: { name: string }) => name), ['Talk'])
  await becomes('RESET default_transaction_read_only')
  for (const [what, write] of Object.entries(writes)) {
    await until(async () => [200, 201].includes((await write()).status))
    t.pass(`${what}: works again`)
  }
})

t.test('jobs that end while the database is down are run again, and later jobs are run too', { buffered: true }, async t => {
  const postgres = await startPostgres(t)
  await migrateUp(postgres.connection)
  const add = (n: number) => run(postgres.connection, "SELECT graphile_worker.add_job('wait', json_build_object('n', $1::int))", [n])
  for (const n of [1, 2, 3, 4]) await add(n)
  const begun: number[] = []
  const ends: Array<() => void> = []
  const tasks = {
    async wait (payload: unknown) {
      begun.push((payload as { n: number }).n)
      if (begun.length <= 4) await new Promise<void>(resolve => ends.push(resolve))
    }
  }
  let refused = 0
  const error = (_about: unknown, what = '') => { if (what.startsWith('Failed to complete jobs')) refused++ }
  const worker = await startWorker({ connection: postgres.connection, tasks, log: { ...silent, error } })
  await until(() => ends.length === 4 || sleep(20).then(() => false))
  await postgres.stop()
  for (const [nth, end] of ends.entries()) {
    end()
    await until(() => refused > nth || sleep(20).then(() => false))
  }
  await postgres.start()
  await add(5)
  await until(() => begun.length === 9 || sleep(50).then(() => false))
  t.same(begun.toSorted(), [1, 1, 2, 2, 3, 3, 4, 4, 5])
  t.ok(worker.isWorking())
  await worker.stop()
  t.same(await run(postgres.connection, 'SELECT FROM graphile_worker.jobs'), [], 'no job is left')
  await until(async () => (await run(postgres.connection, "SELECT FROM pg_stat_activity WHERE application_name = 'parley-jobs'")).length === 0)
})
