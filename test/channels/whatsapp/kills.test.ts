import t, { type Test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { freshDatabase, run } from '../../support/helper.ts'
import { contact, from, secondsAgo, signed, startMeta, status, text, webhook, type Sent } from '../../support/meta.ts'
import { connect, layCable, openPlace, until } from '../../support/process.ts'

// WhatsApp when servers are killed: every message is answered, and none twice unless that cannot be avoided.

t.jobs = 2 // for tests that are `buffered`

/** A kill at every exchange takes minutes (`npm run test:kills`). A run of all tests kills at some exchanges, which change every day. */
const STEP = Number(process.env['KILL_EVERY'] ?? 20)
const FIRST = 1 + Math.floor(Date.now() / 86_400_000) % STEP

/** Posts a webhook repeatedly until it is accepted, as Meta does. */
async function deliver (url: () => string, body: object) {
  const raw = JSON.stringify(body)
  await until(async () => {
    const answer = await fetch(`${url()}/chat/whatsapp`, { method: 'POST', body: raw, headers: signed(raw) }).catch(() => undefined)
    if (answer?.status !== 200) await sleep(50)
    return answer?.status === 200
  })
}

/**
 * For each contact, a server gets a message and is killed at the n-th exchange with the database or Meta. The next contact's n is
 * higher, until there are fewer than n exchanges. Meta's statuses arrive before its response, or after the response is stored; after
 * a kill they arrive later than we wait for them. With `isHeld`, Meta refuses the first attempt because of our account, so that all
 * messages are held until a probe succeeds, and the contact edits the message after it was answered.
 */
async function killInTurn (t: Test, { isEarly, isHeld }: { isEarly: boolean, isHeld: boolean }) {
  const database = await freshDatabase(t)
  const postgres = await connect(t, database)
  const place = await openPlace(t)
  let server: Awaited<ReturnType<typeof place.serve>>
  const told = new Map<string, Promise<void>>()
  const url = () => server.url
  const tellOne = ({ id, to }: Sent, is: string) => deliver(url, webhook({ contacts: [contact(to)], statuses: [status(id, to, is, { timestamp: secondsAgo() })] }))
  const meta = await startMeta(t, async sent => {
    if (!isEarly) return
    const first = tellOne(sent, 'delivered')
    told.set(sent.id, first.then(() => tellOne(sent, 'sent')).then(() => tellOne(sent, 'read')))
    // A killed server handles the webhook after its restart, but no client waits for the response any more.
    await Promise.race([first, server.ended])
  })

  /** Counts the exchanges after a webhook, in both directions, and kills the server at the n-th, which is not forwarded. */
  let counted = 0
  let killAt: number | undefined
  const passes = () => {
    if (killAt === undefined) return true
    if (++counted === killAt) server.kill('SIGKILL')
    return counted < killAt
  }
  const toDatabase = await layCable(t, database, passes)
  const toMeta = await layCable(t, { host: '127.0.0.1', port: Number(new URL(meta.url).port) }, passes)
  await toDatabase.open()
  await toMeta.open()
  const serve = () => place.serve({
    ...meta.settings, DATABASE_URL: toDatabase.url, META_API_URL: `http://127.0.0.1:${toMeta.port}`, WHATSAPP_BOT: 'favorite-song'
  })
  /** Lets the time pass after which a silent worker is considered dead. */
  const forgetTheDead = () => postgres.query(`UPDATE workers SET seen_at = seen_at - interval '1 minute';
    UPDATE graphile_worker._private_jobs SET locked_at = locked_at - interval '1 minute'`)
  /** Lets the time pass in which we wait for Meta's status of an accepted message. */
  const stopDoubting = () => postgres.query(`UPDATE whatsapp_deliveries SET try_at = least(try_at, now()) WHERE doubted_at IS NOT NULL;
    UPDATE graphile_worker._private_jobs SET run_at = least(run_at, now()) WHERE locked_at IS NULL AND key LIKE 'whatsapp%';
    SELECT pg_notify('jobs:insert', '{"r":"0","count":2}')`)

  /** Lets the minute pass after which the probe tries one message while all are held. */
  const tryAgain = () => postgres.query(`UPDATE graphile_worker._private_jobs SET run_at = now() WHERE locked_at IS NULL AND key = 'whatsapp-probe' AND run_at > now();
    SELECT pg_notify('jobs:insert', '{"r":"0","count":1}')`)

  /** Waits until a contact's message is answered, the status of the reply is the final one, and no job is left. */
  async function isThrough (to: string, stop: () => boolean) {
    while (!stop()) {
      await sleep(20)
      const { rows: [row] } = await postgres.query(`SELECT
        (SELECT array_agg(state || ' ' || coalesce(whatsapp_id, '')) FROM whatsapp_deliveries WHERE contact = $1) AS replies,
        (SELECT count(*) FROM graphile_worker.jobs WHERE task_identifier <> 'tidy')::int AS jobs,
        EXISTS (SELECT FROM whatsapp_inbox WHERE contact = $1 AND handled_at IS NULL) AS waits,
        EXISTS (SELECT FROM whatsapp_holds) AS held,
        EXISTS (SELECT FROM whatsapp_deliveries WHERE contact = $1 AND doubted_at IS NOT NULL) AS doubts`, [to])
      if (row.held) await tryAgain()
      const [state, id] = row.replies?.[0].split(' ') ?? []
      if (state === 'read' && row.jobs === 0 && !row.waits) {
        if (!isHeld || edited.has(to)) return true
        edited.add(to)
        deliver(url, webhook({ messages: [text(to, '', { type: 'edit', edit: { original_message_id: originals.get(to), message: { type: 'text', text: { body: 'hello!' } } } })] }))
          .then(() => edits.add(to))
      }
      if (edited.has(to) && !edits.has(to)) continue
      if (state === 'sent' && !isEarly && !told.has(id)) {
        const sent = meta.sent.find(sent => sent.id === id)!
        told.set(id, tellOne(sent, 'sent').then(() => tellOne(sent, 'delivered')).then(() => tellOne(sent, 'read')))
      }
      if (row.doubts) {
        await Promise.all(told.values())
        await stopDoubting()
      }
    }
    return false
  }

  /** Waits until the server has ended, and its connections to the database with it. */
  async function itsDeath () {
    await server.ended
    await until(async () => (await postgres.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'parley%'")).rowCount === 0)
  }

  /** `edited` has the contacts whose edit Meta has sent, `edits` those whose edit the server has accepted. */
  const edited = new Set<string>()
  const edits = new Set<string>()
  const originals = new Map<string, string>()
  const complaints: string[] = []
  const counts = { killed: 0, unknown: 0 }
  let through = 0
  server = await serve()
  // Held messages need more exchanges, so a run of all tests kills at fewer of them.
  const step = isHeld && STEP > 1 ? 3 * STEP : STEP
  for (let n = FIRST; ; n += step) {
    const to = `4900${n}`
    const answers = () => meta.sent.filter(sent => sent.to === to).map(({ text }) => text)
    const expected = ['What is your name?']
    let isDead = false
    server.ended.then(() => { isDead = true })
    counted = 0
    killAt = n
    const hello = from(to, 'hello')
    originals.set(to, hello.entry[0]!.changes[0]!.value.messages![0]!.id)
    if (isHeld) meta.plan({ status: 401, error: { code: 190, message: 'The token has expired' } })
    const delivering = deliver(url, hello)
    const isOver = await isThrough(to, () => isDead)
    killAt = undefined
    if (!isOver) {
      await itsDeath()
      counts.killed++
      const { rowCount: unanswered } = await postgres.query('SELECT FROM whatsapp_deliveries WHERE contact = $1 AND attempted_at IS NOT NULL', [to])
      if (unanswered === 1 && answers().length === 1) {
        counts.unknown++
        // The only exception: Meta accepted the message, but neither its response nor a status arrived in time.
        if (!isEarly) expected.push(...expected)
      }
      await forgetTheDead()
      server = await serve()
      await delivering
      await isThrough(to, () => false)
    }
    await Promise.all(told.values())
    if (answers().join() !== expected.join()) complaints.push(`killed at ${n}: ${answers().length} answers instead of ${expected.length}: ${answers().join()}`)
    // The number of exchanges can vary a little between contacts, since they use several connections.
    if (isOver && ++through === 3) {
      t.ok(n > 100, `there are ${counted} exchanges`)
      break
    }
  }
  t.same(complaints, [], `killed ${counts.killed} times, ${counts.unknown} of them while Meta's response was on its way`)
  const inLog = 'SELECT count(*)::int AS said, count(DISTINCT client_id)::int AS heard FROM messages GROUP BY sender ORDER BY sender'
  const each = counts.killed + through
  if (isHeld) {
    t.same(await run(database, "SELECT DISTINCT text FROM messages WHERE sender = 'user'"), [{ text: 'hello!' }], 'every message was edited')
    t.same(await run(database, 'SELECT FROM whatsapp_holds'), [], 'no messages are held any more')
  }
  t.same(await run(database, inLog), [{ said: each, heard: each }, { said: each, heard: 0 }], 'each contact’s message and its reply are in the log once')
}

for (const [how, isEarly, isHeld] of [['come before its answer', true, false], ['come long after its answer', false, false], ['come late, and that refuses us at first', false, true]] as const) {
  t.test(`kill -9 at each exchange with the database and with Meta, whose statuses ${how}`, { buffered: true }, t => killInTurn(t, { isEarly, isHeld }))
}
