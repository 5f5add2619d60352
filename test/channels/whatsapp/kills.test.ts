import t, { type Test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { freshDatabase, run } from '../../support/helper.ts'
import { contact, from, secondsAgo, signed, startMeta, status, text, webhook, type Sent } from '../../support/meta.ts'
import { connect, layCable, openPlace, until } from '../../support/process.ts'

// WhatsApp when servers are killed: every message is answered, and none twice if that can be avoided.

t.jobs = 2 // for tests that are `buffered`

/** Every exchange takes minutes (`npm run test:kills`); a run of all tests takes some of them, each day others. */
const STEP = Number(process.env['KILL_EVERY'] ?? 20)
const FIRST = 1 + Math.floor(Date.now() / 86_400_000) % STEP

/** Posts a webhook until it is taken, as Meta does. */
async function deliver (url: () => string, body: object) {
  const raw = JSON.stringify(body)
  await until(async () => {
    const answer = await fetch(`${url()}/chat/whatsapp`, { method: 'POST', body: raw, headers: signed(raw) }).catch(() => undefined)
    if (answer?.status !== 200) await sleep(50)
    return answer?.status === 200
  })
}

/**
 * One contact after the other writes to a server, which is killed at the n-th exchange, for the next one at a later one,
 * until there is none so late. Meta's statuses come before its answer, or when the answer is noted, and after a kill later
 * than we wait for them. With `isHeld` Meta refuses the first attempt because of our account, so that everything is held
 * until a probe goes through; and the contact edits its message when it has been answered.
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
    // A server that is killed takes it when it is started again, and does not wait for an answer any more.
    await Promise.race([first, server.ended])
  })

  /** Counts what goes by, in either direction, from a webhook on, and kills at the n-th; nothing of that one gets through. */
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
  /** The time passes that a worker which says nothing is given. */
  const forgetTheDead = () => postgres.query(`UPDATE workers SET seen_at = seen_at - interval '1 minute';
    UPDATE graphile_worker._private_jobs SET locked_at = locked_at - interval '1 minute'`)
  /** The time passes in which we would hear of what Meta has taken. */
  const stopDoubting = () => postgres.query(`UPDATE whatsapp_deliveries SET try_at = least(try_at, now()) WHERE doubted_at IS NOT NULL;
    UPDATE graphile_worker._private_jobs SET run_at = least(run_at, now()) WHERE locked_at IS NULL AND key LIKE 'whatsapp%';
    SELECT pg_notify('jobs:insert', '{"r":"0","count":2}')`)

  /** The minute passes after which one message is tried while all are held. */
  const tryAgain = () => postgres.query(`UPDATE graphile_worker._private_jobs SET run_at = now() WHERE locked_at IS NULL AND key = 'whatsapp-probe' AND run_at > now();
    SELECT pg_notify('jobs:insert', '{"r":"0","count":1}')`)

  /** Waits until a contact's message is answered and the answer read, as far as it is known, with nothing left to do. */
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

  /** The server is gone, and so is whatever it was saying to the database. */
  async function itsDeath () {
    await server.ended
    await until(async () => (await postgres.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'parley%'")).rowCount === 0)
  }

  /** Whose message was edited, as far as Meta knows, and where it has been taken. */
  const edited = new Set<string>()
  const edits = new Set<string>()
  const originals = new Map<string, string>()
  const complaints: string[] = []
  const counts = { killed: 0, unknown: 0 }
  let through = 0
  server = await serve()
  // Held messages take more exchanges, of which a run of all tests takes fewer.
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
        // The one exception: Meta has it, its answer never came, and no status in time.
        if (!isEarly) expected.push(...expected)
      }
      await forgetTheDead()
      server = await serve()
      await delivering
      await isThrough(to, () => false)
    }
    await Promise.all(told.values())
    if (answers().join() !== expected.join()) complaints.push(`killed at ${n}: ${answers().length} answers instead of ${expected.length}: ${answers().join()}`)
    // A way may be some exchanges shorter than the one before it: they come from several connections.
    if (isOver && ++through === 3) {
      t.ok(n > 100, `there are ${counted} exchanges`)
      break
    }
  }
  t.same(complaints, [], `killed ${counts.killed} times, of which Meta's answer was on its way ${counts.unknown} times`)
  const inLog = 'SELECT count(*)::int AS said, count(DISTINCT client_id)::int AS heard FROM messages GROUP BY sender ORDER BY sender'
  const each = counts.killed + through
  if (isHeld) {
    t.same(await run(database, "SELECT DISTINCT text FROM messages WHERE sender = 'user'"), [{ text: 'hello!' }], 'every message was edited')
    t.same(await run(database, 'SELECT FROM whatsapp_holds'), [], 'nothing is held any more')
  }
  t.same(await run(database, inLog), [{ said: each, heard: each }, { said: each, heard: 0 }], 'what each said is in the log once, and so is the answer')
}

for (const [how, isEarly, isHeld] of [['come before its answer', true, false], ['come long after its answer', false, false], ['come late, and that refuses us at first', false, true]] as const) {
  t.test(`kill -9 at each exchange with the database and with Meta, whose statuses ${how}`, { buffered: true, timeout: STEP === 1 ? 1_800_000 : 115_000 }, t => killInTurn(t, { isEarly, isHeld }))
}
