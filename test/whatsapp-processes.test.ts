import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { freshDatabase, run, startApp } from './helper.js'
import { contact, from, secondsAgo, signed, startMeta, status, webhook, type Sent } from './meta.js'
import { connect, layCable, openPlace, until, urlOf } from './process.js'

// WhatsApp where servers are killed and the database goes away: every message is answered, and none twice.

t.jobs = 2 // for tests that are `buffered`

/** Posts a webhook until it is taken, as Meta does. */
async function deliver (url: () => string, body: object) {
  const raw = JSON.stringify(body)
  await until(async () => {
    const answer = await fetch(`${url()}/chat/whatsapp`, { method: 'POST', body: raw, headers: signed(raw) }).catch(() => undefined)
    if (answer?.status !== 200) await sleep(50)
    return answer?.status === 200
  })
}

/** What Meta tells of a message that it has sent, in the order in which it likes to. */
async function tell (url: () => string, { id, to }: Sent) {
  const tellOne = (is: string) => deliver(url, webhook({ contacts: [contact(to)], statuses: [status(id, to, is, { timestamp: secondsAgo() })] }))
  await Promise.all([tellOne('delivered'), tellOne('sent')])
  await tellOne('read')
}

t.test('kill -9 at each exchange with the database and with Meta', { buffered: true, timeout: 115_000 }, async t => {
  const KILLS = 16
  const database = await freshDatabase(t)
  const postgres = await connect(t, database)
  const place = await openPlace(t)
  let server: Awaited<ReturnType<typeof place.serve>>
  const url = () => server.url
  const told: Array<Promise<void>> = []
  const meta = await startMeta(t, async sent => {
    const telling = tell(url, sent)
    told.push(telling)
    // Every other time the statuses are there before Meta's answer.
    if (told.length % 2 === 0) await Promise.race([telling, sleep(300)])
  })

  /** Counts what goes by from the first webhook on, and kills at the n-th. */
  let counted: number | undefined
  let killAt = Infinity
  const passes = () => {
    if (counted === undefined) return true
    if (++counted === killAt) server.kill('SIGKILL')
    return counted < killAt
  }
  const toDatabase = await layCable(t, database, passes)
  const toMeta = await layCable(t, { host: '127.0.0.1', port: Number(new URL(meta.url).port) }, passes)
  await toDatabase.open()
  await toMeta.open()
  const serve = () => place.serve({
    ...meta.settings,
    DATABASE_URL: toDatabase.url,
    META_API_URL: `http://127.0.0.1:${toMeta.port}`,
    WHATSAPP_BOT: 'favorite-song'
  })
  const isDone = async (to: string) => {
    await sleep(50)
    const { rows: [row] } = await postgres.query(`SELECT
      (SELECT count(*) FROM whatsapp_deliveries WHERE contact = $1 AND state = 'read')::int AS read,
      (SELECT count(*) FROM whatsapp_inbox WHERE contact = $1 AND handled_at IS NULL)::int AS waiting`, [to])
    return row.read === 2 && row.waiting === 0
  }
  /** The time passes that a worker which says nothing is given. */
  const forgetTheDead = () => postgres.query(`UPDATE workers SET seen_at = seen_at - interval '1 minute';
    UPDATE graphile_worker._private_jobs SET locked_at = locked_at - interval '1 minute'`)
  /** The time passes in which we would hear of what Meta has taken. */
  const lookAgain = () => postgres.query(`UPDATE whatsapp_deliveries SET try_at = least(try_at, now()) WHERE doubted_at IS NOT NULL;
    UPDATE graphile_worker._private_jobs SET run_at = least(run_at, now()) WHERE locked_at IS NULL AND key LIKE 'whatsapp%';
    SELECT pg_notify('jobs:insert', '{"r":"0","count":2}')`)

  server = await serve()
  counted = 0
  await deliver(url, from('4900', 'hello', 'John'))
  await until(() => isDone('4900'))
  await Promise.all(told)
  const exchanges = counted
  t.ok(exchanges > 60, `${exchanges} exchanges`)

  const complaints: string[] = []
  for (let n = 1; n <= KILLS; n++) {
    const to = `4900${n}`
    counted = 0
    killAt = Math.ceil(n * exchanges / (KILLS + 1))
    const delivering = deliver(url, from(to, 'hello', 'John'))
    await server.ended
    counted = undefined
    killAt = Infinity
    await forgetTheDead()
    server = await serve()
    await delivering
    await until(async () => {
      if (await isDone(to)) return true
      await Promise.all(told)
      await lookAgain()
    })
    await Promise.all(told)
    const answers = meta.sent.filter(sent => sent.to === to).map(({ text }) => text)
    if (answers.join() !== 'What is your name?,Hello John, what is your favorite song?') complaints.push(`killed at ${killAt}: ${answers.join()}`)
  }
  t.same(complaints, [], `killed ${KILLS} times: each message has one answer`)
  t.same(await run(database, "SELECT count(*)::int AS count FROM messages WHERE sender = 'user'"), [{ count: 2 * (KILLS + 1) }], 'and is in the log once')
})

t.test('the database away for ten seconds in the middle of 500 webhooks, which Meta sends again', { buffered: true, timeout: 115_000 }, async t => {
  const database = await freshDatabase(t)
  const cable = await layCable(t, database)
  await cable.open()
  const told: Array<Promise<unknown>> = []
  const meta = await startMeta(t, ({ id, to }) => { told.push(deliver(webhook({ statuses: [status(id, to, 'read')] }))) })
  const { anyone, work } = await startApp(t, { ...meta.settings, WHATSAPP_BOT: 'simulated' }, undefined, { connectionString: cable.url })
  await work()
  const answers = new Set<number>()
  async function deliver (body: object) {
    const raw = JSON.stringify(body)
    for (;;) {
      const { statusCode } = await anyone.post('/chat/whatsapp', raw, signed(raw))
      answers.add(statusCode)
      if (statusCode === 200) return
      await sleep(500)
    }
  }
  const all = Array.from({ length: 500 }, (_, n) => from(`49170${n % 50}`, `Message ${n}`))
  const before = Promise.all(all.slice(0, 200).map(deliver))
  await meta.has(20)
  await cable.close()
  const meanwhile = Promise.all(all.slice(200).map(deliver))
  await sleep(10_000)
  await cable.open()
  await Promise.all([before, meanwhile])
  const postgres = await connect(t, database)
  await until(async () => {
    await sleep(200)
    return (await postgres.query("SELECT FROM whatsapp_deliveries WHERE state = 'read'")).rowCount === 500
  })
  t.same([...answers].sort(), [200, 503])
  await Promise.all(told)
  t.equal(meta.sent.length, 500, 'each was answered, and none twice')
  t.equal(new Set(meta.sent.map(({ to, text }) => `${to} ${text}`)).size, 500)
  t.same(await run(database, "SELECT count(*)::int AS count FROM messages WHERE sender = 'user'"), [{ count: 500 }], 'and is in the log once')
})

t.test('a server says at its start what WhatsApp lacks', { buffered: true }, async t => {
  const place = await openPlace(t)
  const database = await freshDatabase(t)
  const server = await place.serve({ DATABASE_URL: urlOf(database), META_APP_SECRET: 'secret', META_VERIFY_TOKEN: 'token' })
  await server.hasSaid(/"level":40[^\n]*WhatsApp is set up in part only, and does not work without META_ACCESS_TOKEN and META_PHONE_NUMBER_ID/)
  const complete = await place.serve({ DATABASE_URL: urlOf(database), META_APP_SECRET: 's', META_VERIFY_TOKEN: 't', META_ACCESS_TOKEN: 't', META_PHONE_NUMBER_ID: '1' })
  t.notMatch(complete.said.stdout, /WhatsApp/)
})
