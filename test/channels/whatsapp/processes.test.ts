import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { joinPostgres } from '../../../src/db/embedded.ts'
import { freshDatabase, run } from '../../support/helper.ts'
import { from, signed, startMeta, status, webhook } from '../../support/meta.ts'
import { connect, isWaiting, openPlace, until, urlOf } from '../../support/process.ts'

// WhatsApp while the database is down, and the warnings at the start of a server.

t.jobs = 2 // for tests that are `buffered`

t.test('Postgres is stopped for ten seconds during 500 webhooks, which Meta sends again', { buffered: true }, async t => {
  const place = await openPlace(t)
  const first = await joinPostgres(place.dataDir, { fsync: 'off' })
  const told: Array<Promise<unknown>> = []
  const meta = await startMeta(t, ({ id, to }) => { told.push(post(webhook({ statuses: [status(id, to, 'read')] }))) })
  const server = await place.serve({ ...meta.settings, DATABASE_URL: urlOf(first.connection), WHATSAPP_BOT: 'simulated' })
  const answers = new Set<number>()
  async function post (body: object) {
    const raw = JSON.stringify(body)
    for (;;) {
      const { status } = await fetch(`${server.url}/chat/whatsapp`, { method: 'POST', body: raw, headers: signed(raw) })
      answers.add(status)
      if (status === 200) return
      await sleep(500)
    }
  }
  const all = Array.from({ length: 500 }, (_, n) => from(`49170${n % 50}`, `Message ${n}`))
  const before = Promise.all(all.slice(0, 200).map(post))
  await meta.has(20)
  await first.leave()
  t.equal(await place.runningPostgres(), undefined, 'Postgres is down')
  const meanwhile = Promise.all(all.slice(200).map(post))
  await sleep(10_000)
  const { connection, leave } = await joinPostgres(place.dataDir)
  t.teardown(leave)
  await Promise.all([before, meanwhile])
  const postgres = await connect(t, connection)
  await until(async () => {
    await sleep(200)
    return (await postgres.query("SELECT FROM whatsapp_deliveries WHERE state = 'read'")).rowCount === 500
  })
  await Promise.all(told)
  t.same([...answers].sort(), [200, 503])
  t.equal(meta.sent.length, 500, 'each message was answered once')
  t.equal(new Set(meta.sent.map(({ to, text }) => `${to} ${text}`)).size, 500)
  t.same(await run(connection, "SELECT count(*)::int AS count FROM messages WHERE sender = 'user'"), [{ count: 500 }], 'each message is in the log once')
  server.kill('SIGTERM')
  t.match(await server.ended, { code: 0 }, 'the server still shuts down normally')
})

t.test('a reply whose response arrives while the server is paused is not sent again; one without a response is in doubt', { buffered: true }, async t => {
  const place = await openPlace(t)
  const database = await freshDatabase(t)
  const meta = await startMeta(t, () => { server.kill('SIGSTOP') })
  const server = await place.serve({ ...meta.settings, DATABASE_URL: urlOf(database), WHATSAPP_BOT: 'simulated' })
  const say = async (body: string) => {
    const raw = JSON.stringify(from('491701', body))
    t.equal((await fetch(`${server.url}/chat/whatsapp`, { method: 'POST', body: raw, headers: signed(raw) })).status, 200)
  }
  const outcome = async (id: number) => await until(async () =>
    (await run(database, `SELECT state, attempts, error FROM whatsapp_deliveries WHERE id = ${id} AND (state = 'sent' OR error IS NOT NULL)`))[0])

  await say('one')
  await meta.has(1)
  await sleep(11_000) // longer than a server waits for a response
  server.kill('SIGCONT')
  t.same(await outcome(1), { state: 'sent', attempts: 1, error: null })

  meta.plan({ hold: new Promise(() => { /* Meta never answers */ }) })
  await say('two')
  t.same(await outcome(2), { state: 'queued', attempts: 1, error: 'The operation was aborted due to timeout' })
  t.equal(meta.asked, 2)
  server.kill('SIGTERM')
  t.match(await server.ended, { code: 0 })
})

t.test('a server that was paused before it sent a reply does not send it when another one has sent it meanwhile', { buffered: true }, async t => {
  const place = await openPlace(t)
  const database = await freshDatabase(t)
  const postgres = await connect(t, database)
  const meta = await startMeta(t)
  const settings = { ...meta.settings, DATABASE_URL: urlOf(database), WHATSAPP_BOT: 'simulated' }
  const first = await place.serve(settings)
  const raw = JSON.stringify(from('491701', 'hello'))
  meta.plan({ status: 503, headers: { 'retry-after': '1000' } })
  t.equal((await fetch(`${first.url}/chat/whatsapp`, { method: 'POST', body: raw, headers: signed(raw) })).status, 200)
  const isWaitingToRetry = "SELECT FROM graphile_worker.jobs WHERE key LIKE 'whatsapp-send%' AND run_at > now() AND locked_at IS NULL"
  await until(async () => (await postgres.query(isWaitingToRetry)).rowCount === 1)

  // The first server has asked for what to send, and is paused before it has heard the response.
  await postgres.query('BEGIN; LOCK whatsapp_holds')
  await run(database, `UPDATE whatsapp_deliveries SET try_at = now(); UPDATE graphile_worker._private_jobs SET run_at = now() WHERE key LIKE 'whatsapp-send%';
    SELECT pg_notify('jobs:insert', '{"r":"0","count":1}')`)
  await isWaiting(postgres)
  first.kill('SIGSTOP')
  await postgres.query('ROLLBACK')

  // The other one takes over its jobs after ten seconds without a heartbeat.
  await place.serve(settings)
  await postgres.query("UPDATE workers SET seen_at = now() - interval '1 minute'; UPDATE graphile_worker._private_jobs SET locked_at = now() - interval '1 minute' WHERE locked_at IS NOT NULL")
  await meta.has(1)
  await until(async () => (await postgres.query("SELECT FROM whatsapp_deliveries WHERE state = 'sent'")).rowCount === 1)
  first.kill('SIGCONT')
  first.kill('SIGTERM')
  t.match(await first.ended, { code: 0 }, 'it has ended its jobs')
  t.equal(meta.sent.length, 1)
  t.match((await postgres.query('SELECT state, attempts FROM whatsapp_deliveries')).rows, [{ state: 'sent', attempts: 2 }])
})

t.test('at the start, a server warns about missing settings of WhatsApp', { buffered: true }, async t => {
  const place = await openPlace(t)
  const database = await freshDatabase(t)
  const server = await place.serve({ DATABASE_URL: urlOf(database), META_APP_SECRET: 'secret', META_VERIFY_TOKEN: 'token' })
  await server.hasSaid(/"level":40[^\n]*WhatsApp is set up in part only, and does not work without META_ACCESS_TOKEN and META_PHONE_NUMBER_ID/)
  const complete = await place.serve({ DATABASE_URL: urlOf(database), META_APP_SECRET: 's', META_VERIFY_TOKEN: 't', META_ACCESS_TOKEN: 't', META_PHONE_NUMBER_ID: '1' })
  t.notMatch(complete.said.stdout, /WhatsApp/)
  server.kill('SIGTERM')
  t.match(await server.ended, { code: 0 })
})
