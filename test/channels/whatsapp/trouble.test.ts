import t from 'tap'
import { from, secondsAgo, status, text, webhook, type Plan } from '../../support/meta.ts'
import { until } from '../../support/process.ts'
import { ANN, BOB, start } from '../../support/whatsapp.ts'

// Meta's errors: errors of one message, temporary errors, and errors of our account, which hold all messages.

t.jobs = 3 // for tests that are `buffered`

const EXPIRED = { status: 401, error: { code: 190, message: 'Error validating access token: Session has expired', type: 'OAuthException' } }
const UNPAID = { errors: [{ code: 131042, title: 'Business eligibility payment issue', message: 'Business eligibility payment issue' }] }

/** A logger that records its lines. */
function createRecorder () {
  const lines: Array<{ level: string, message: string, details: object }> = []
  const note = (level: string) => (details: object | string, message = String(details)) => { lines.push({ level, message, details: Object(details) }) }
  const logger = { info: note('info'), warn: note('warn'), error: note('error'), debug () {}, trace () {}, fatal: note('fatal'), level: 'info', silent () {}, child: () => logger }
  return { lines, logger: logger as never }
}

t.test('while the token is expired, all messages are held, which is logged once; one message is tried each minute until Meta accepts it', { buffered: true }, async t => {
  const { lines, logger } = createRecorder()
  const { deliver, meta, ledgerIs, allDone, query, tryAgain, onlyProbeWaits, admin, anyone, app } = await start(t, { bot: 'simulated', logger })
  const root = await admin()
  const ready = async () => (await anyone.get('/health/ready')).json()
  const gauge = async () => Number(/^parley_whatsapp_held_seconds (.*)$/m.exec((await anyone.get('/metrics', { host: 'localhost' })).body)![1])
  t.same(await ready(), { status: 'ok' })
  t.equal(await gauge(), 0)

  meta.plan(EXPIRED)
  await deliver(from(ANN, 'one'))
  await ledgerIs([{ state: 'queued', error_code: 190, attempts: 1 }])
  await deliver(from(ANN, 'two'))
  for (const n of [1, 2, 3]) await deliver(from(`4930${n}`, `from ${n}`))
  await ledgerIs([{ state: 'queued', error_code: 190 }, ...Array.from({ length: 4 }, () => ({ state: 'queued', error_code: null, attempts: 0 }))])
  await onlyProbeWaits()
  t.equal(meta.asked, 1, 'no other message is sent')
  await until(() => meta.read.length > 0) // nothing waits for these requests
  t.equal(meta.read.length, 1, 'no typing indicator is sent')

  const held = (await root.get('/api/admin/deliveries?state=queued')).json() as Array<Record<string, unknown>>
  t.equal(held.length, 5)
  for (const delivery of held) t.match(delivery, { error_code: 190, error: /Session has expired/, held_since: /^\d{4}-.*Z$/ })
  t.match(await ready(), { status: 'ok', details: { whatsapp: /^Messages have been held since \d{4}-[^ ]*Z, because Meta accepts none from our account \(error 190\)$/ } })
  t.notMatch(JSON.stringify(await ready()), /Session/, 'only admins see Meta’s error message')
  t.ok(await gauge() > 0)

  for (let minute = 1; minute <= 3; minute++) {
    meta.plan(EXPIRED)
    await tryAgain()
    await until(() => meta.asked === 1 + minute)
    await onlyProbeWaits()
    t.same(await query("SELECT extract(epoch FROM run_at - updated_at)::int AS waits FROM graphile_worker.jobs WHERE key = 'whatsapp-probe'"), [{ waits: 60 }], 'the next attempt is in a minute')
  }
  t.equal(lines.filter(({ level, message }) => level === 'warn' && message.includes('WhatsApp')).length, 1, 'the warning is logged once')
  t.match(lines.find(({ level }) => level === 'warn'), { message: 'WhatsApp refuses all messages from our account. They are held, and one is tried every minute', details: { errorCode: 190 } })

  await tryAgain()
  await allDone()
  t.same(await query('SELECT DISTINCT state FROM whatsapp_deliveries'), [{ state: 'sent' }])
  t.equal(meta.asked, 4 + 5, 'each message is sent once')
  t.same(meta.sent.filter(({ to }) => to === ANN).map(({ text }) => text), ['You said: one', 'You said: two'], 'messages are sent in order')
  t.same(await ready(), { status: 'ok' })
  t.equal(await gauge(), 0)
  t.equal(lines.filter(({ message }) => message === 'WhatsApp accepts our messages again').length, 1)
  t.same((await root.get('/api/admin/deliveries')).json().map(({ held_since: since }: { held_since: unknown }) => since), Array(5).fill(null))
  await deliver(from(ANN, 'three'))
  await meta.has(6)
  t.ok(app)
})

t.test('a message that is held for 24 hours fails with the reason, and the hold ends when no message is queued', { buffered: true }, async t => {
  const { deliver, meta, ledgerIs, query, tryAgain, onlyProbeWaits, allDone } = await start(t, { bot: 'simulated' })
  meta.plan({ status: 403, error: { code: 10, message: 'Application does not have permission for this action' } }, EXPIRED)
  await deliver(from(ANN, 'one', 'two'))
  await ledgerIs([{ error_code: 10 }, { attempts: 0 }])
  await deliver(from(BOB, 'three'))
  await ledgerIs([{ error_code: 10 }, { attempts: 0 }, { attempts: 0 }])
  await onlyProbeWaits()
  await query("UPDATE whatsapp_deliveries SET queued_at = now() - interval '24 hours 1 second' WHERE contact = $1", [ANN])
  await tryAgain()
  await ledgerIs([{ state: 'failed', error_code: 10 }, { state: 'failed', error_code: 10, attempts: 0 }, { state: 'queued', error_code: 190, attempts: 1 }])
  await onlyProbeWaits()
  t.equal(meta.asked, 2)
  await query("UPDATE whatsapp_deliveries SET queued_at = now() - interval '24 hours 1 second', error = NULL, error_code = NULL WHERE contact = $1", [BOB])
  await deliver(from(BOB, 'late'))
  await ledgerIs([{}, {}, { state: 'failed', error_code: 190 }, { state: 'queued', attempts: 0 }])
  await query("UPDATE whatsapp_deliveries SET queued_at = now() - interval '24 hours 1 second'")
  await tryAgain()
  await allDone()
  await ledgerIs([{ state: 'failed' }, { state: 'failed' }, { state: 'failed', error_code: 190 }, { state: 'failed', error_code: 190 }])
  t.same(await query('SELECT FROM whatsapp_holds'), [])
  await deliver(from(BOB, 'four'))
  await meta.has(1)
})

t.test('all messages are held while no token is set', { buffered: true }, async t => {
  const { deliver, ledgerIs, anyone, query, tryAgain, onlyProbeWaits, allDone } = await start(t, { bot: 'simulated', changes: { META_ACCESS_TOKEN: undefined } })
  await deliver(from(ANN, 'one'))
  await ledgerIs([{ state: 'queued', error: 'META_PHONE_NUMBER_ID or META_ACCESS_TOKEN is not set' }])
  t.match((await anyone.get('/health/ready')).json(), { details: { whatsapp: /Meta accepts none from our account$/ } })
  await onlyProbeWaits()
  await query("UPDATE whatsapp_deliveries SET error = NULL, queued_at = now() - interval '25 hours'")
  await tryAgain()
  await allDone()
  await ledgerIs([{ state: 'failed', error: 'META_PHONE_NUMBER_ID or META_ACCESS_TOKEN is not set' }])
})

t.test('probes: a message with an error of its own, one without a response, and which message is tried next', { buffered: true }, async t => {
  const { deliver, meta, ledgerIs, query, tryAgain, onlyProbeWaits, allDone, hurry } = await start(t, { bot: 'simulated' })
  meta.plan(EXPIRED)
  await deliver(from(ANN, 'one'))
  await ledgerIs([{ error_code: 190 }])
  await deliver(from(BOB, 'two'))
  await ledgerIs([{}, { attempts: 0 }])
  await deliver(from('4930', 'three'))
  await ledgerIs([{}, { attempts: 0 }, { attempts: 0 }])
  await onlyProbeWaits()

  meta.plan({ status: 400, error: { code: 131026, message: 'Message undeliverable' } }, EXPIRED)
  await tryAgain()
  await ledgerIs([{ state: 'failed', error_code: 131026 }, { state: 'queued', error_code: 190, attempts: 1 }, { state: 'queued', attempts: 0 }])
  await onlyProbeWaits()
  meta.plan({ status: 503, headers: { 'retry-after': '1000' } })
  await tryAgain()
  await ledgerIs([{}, { attempts: 1 }, { state: 'queued', error: 'HTTP 503', attempts: 1 }])
  await until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE key = 'whatsapp-probe' AND locked_at IS NULL AND run_at > now()")).length === 1)
  t.equal(meta.asked, 4, 'the message that was tried last is the last one to be tried again')

  // Both wait now, but one of them for its own retry, so only the other one may be tried.
  meta.plan(EXPIRED)
  await tryAgain()
  await until(() => meta.asked === 5)
  await until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE key = 'whatsapp-probe' AND locked_at IS NULL AND run_at > now()")).length === 1)
  await query("UPDATE whatsapp_deliveries SET try_at = now() + interval '1 hour' WHERE contact = $1", [BOB])
  await tryAgain()
  await until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE key = 'whatsapp-probe' AND locked_at IS NULL AND run_at > now()")).length === 1)
  t.equal(meta.asked, 5, 'no message may be tried now')
  t.equal((await query('SELECT FROM whatsapp_holds')).length, 1)

  // The job of the probe is lost: the next message that is to be sent adds it again.
  await query("DELETE FROM graphile_worker._private_jobs WHERE key = 'whatsapp-probe'; UPDATE whatsapp_holds SET try_at = now() - interval '2 minutes'")
  await deliver(from('4931', 'four'))
  await meta.has(1)
  await until(async () => {
    await hurry()
    return meta.sent.length === 3
  })
  await allDone()
  t.same(meta.sent.map(({ text }) => text).sort(), ['You said: four', 'You said: three', 'You said: two'])
})

t.test('after a temporary error in a response, the message is retried with growing pauses', { buffered: true }, async t => {
  const { deliver, meta, ledgerIs, hurry, holdRetries, pauseOfRetry, query } = await start(t, { bot: 'simulated' })
  await holdRetries()
  const passing: Plan[] = [
    { status: 400, error: { code: 131048, message: 'Spam rate limit hit' } },
    { status: 400, error: { code: 999999, message: 'A new one', is_transient: true } },
    { status: 400, error: { code: '80007', message: 'Rate limit issues' } },
    { status: 400, error: { code: 80008, message: '(#80008) There have been too many calls to this WhatsApp Business account. Wait a bit and try again.', type: 'OAuthException' } },
    { status: 200, error: undefined, body: { error: { code: 2, message: 'API Service' } } }
  ]
  await deliver(from(ANN, 'zero'))
  await ledgerIs([{ state: 'sent' }])
  meta.plan(...passing)
  await deliver(from(ANN, 'one', 'two'))
  for (const [n] of passing.entries()) {
    await ledgerIs([{}, { state: 'queued', attempts: n + 1 }, { attempts: 0 }])
    const pauseOfQueue = await pauseOfRetry() // comes after the attempt, which the ledger counts before it
    const [{ pause }] = await query('SELECT extract(epoch FROM try_at - updated_at)::int AS pause FROM whatsapp_deliveries WHERE id = 2')
    t.same([pause, pauseOfQueue], [4 ** n, 4 ** n])
    await hurry()
  }
  await ledgerIs([{}, { state: 'sent', attempts: passing.length + 1, error_code: null }, { state: 'sent' }])
  t.same(await query('SELECT FROM whatsapp_holds'), [])
})

t.test('while connections break, the copies that may arrive become rarer; a status ends the doubt before a long pause is over', { buffered: true }, async t => {
  const { deliver, meta, ledgerIs, hurry, holdRetries, pauseOfRetry, query } = await start(t, { bot: 'simulated' })
  await holdRetries()
  const pauses = [20, 20, 20, 64, 256]
  meta.plan(...pauses.map((): Plan => ({ cut: 'after' })))
  await deliver(from(ANN, 'one'))
  for (const [n, expected] of pauses.entries()) {
    if (n > 0) await hurry()
    await ledgerIs([{ state: 'queued', attempts: n + 1 }])
    t.equal(await pauseOfRetry(), 20, 'a status is looked for after 20 s')
    t.same(await query('SELECT extract(epoch FROM try_at - doubted_at)::int AS pause FROM whatsapp_deliveries'), [{ pause: expected }])
  }
  const lookAgain = async () => await query("UPDATE graphile_worker._private_jobs SET run_at = now() WHERE locked_at IS NULL; SELECT pg_notify('jobs:insert', '{\"r\":\"0\",\"count\":4}')")
  await lookAgain()
  await until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE locked_at IS NULL AND key LIKE 'whatsapp-send%' AND run_at > now() + interval '1 minute'")).length === 1)
  t.equal(meta.asked, 5, 'without a status, the message is not sent before the pause is over')
  await deliver(webhook({ statuses: [status(meta.sent[4]!.id, ANN, 'sent')] }))
  await lookAgain()
  await ledgerIs([{ state: 'sent', whatsapp_id: meta.sent[4]!.id, attempts: 5 }])
  t.equal(meta.asked, 5)
})

t.test('an error that Meta reports in a status after it accepted the message', { buffered: true }, async t => {
  const { lines, logger } = createRecorder()
  const { deliver, ledgerIs, query, tryAgain, allDone, hurry } = await start(t, { bot: 'simulated', logger })
  const tell = (id: string, to: string, is: string, more?: object) => deliver(webhook({ statuses: [status(id, to, is, more)] }))
  const probeWaits = () => until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE key = 'whatsapp-probe' AND locked_at IS NULL AND run_at > now()")).length === 1 &&
    (await query('SELECT FROM graphile_worker.jobs')).length === 1)

  await deliver(from(ANN, 'one'))
  await ledgerIs([{ state: 'sent', whatsapp_id: 'wamid.0001=' }])
  await deliver(from(BOB, 'two'))
  await ledgerIs([{}, { state: 'sent', whatsapp_id: 'wamid.0002=' }])
  await tell('wamid.0001=', ANN, 'failed', UNPAID)
  await tell('wamid.0002=', BOB, 'failed', UNPAID)
  await ledgerIs([{ state: 'queued', error_code: 131042 }, { state: 'queued', error_code: 131042 }])
  await tell('wamid.0001=', ANN, 'sent')
  await probeWaits()
  await ledgerIs([{ state: 'queued', error_code: 131042 }, { state: 'queued' }])
  t.equal(lines.filter(({ level }) => level === 'warn').length, 1)

  // Meta accepts the message, and reports later that it failed.
  await tryAgain()
  await ledgerIs([{ state: 'sent', whatsapp_id: 'wamid.0003=' }, { state: 'queued' }])
  await probeWaits()
  t.equal((await query('SELECT FROM whatsapp_holds')).length, 1, 'Meta’s acceptance alone does not end the hold')
  await tell('wamid.0003=', ANN, 'failed', UNPAID)
  await ledgerIs([{ state: 'queued', error_code: 131042 }, { state: 'queued' }])
  await probeWaits()

  await tryAgain()
  await ledgerIs([{ state: 'queued' }, { state: 'sent', whatsapp_id: 'wamid.0004=' }])
  await probeWaits()
  await tell('wamid.0004=', BOB, 'sent')
  await ledgerIs([{ state: 'sent', whatsapp_id: 'wamid.0005=' }, { state: 'sent' }])
  await allDone()
  t.same(await query('SELECT FROM whatsapp_holds'), [], 'a status `sent` ends the hold')

  // Without a status: after a minute without an error the hold ends as well.
  await tell('wamid.0005=', ANN, 'failed', UNPAID)
  await ledgerIs([{ state: 'queued' }, { state: 'sent' }])
  await probeWaits()
  await tryAgain()
  await ledgerIs([{ state: 'sent', whatsapp_id: 'wamid.0006=' }, { state: 'sent' }])
  await probeWaits()
  await tryAgain()
  await allDone()
  t.same(await query('SELECT FROM whatsapp_holds'), [])

  // A temporary error: the message is sent again without a probe.
  await tell('wamid.0006=', ANN, 'failed', { errors: [{ code: 130429, title: 'Rate limit hit' }] })
  await ledgerIs([{ state: 'queued', error_code: 130429 }, {}])
  await hurry()
  await ledgerIs([{ state: 'sent', whatsapp_id: 'wamid.0007=', error_code: null }, {}])
  await tell('wamid.0007=', ANN, 'failed', { errors: [{ code: 131026, title: 'Message undeliverable' }] })
  await ledgerIs([{ state: 'failed', error_code: 131026 }, {}])
  await tell('wamid.0004=', BOB, 'delivered')
  await tell('wamid.0004=', BOB, 'failed', UNPAID)
  await allDone()
  await ledgerIs([{ state: 'failed' }, { state: 'delivered' }])
  t.same(await query('SELECT FROM whatsapp_holds'), [], 'a delivered message is not sent again')
})

t.test('a status with an error may arrive before Meta’s response', { buffered: true }, async t => {
  const told: string[] = []
  const { deliver, ledgerIs, tryAgain, onlyProbeWaits, query } = await start(t, {
    bot: 'simulated',
    onSent: async ({ id, to }) => {
      if (told.push(id) === 1) await deliver(webhook({ statuses: [status(id, to, 'failed', { ...UNPAID, timestamp: secondsAgo() })] }))
    }
  })
  await deliver(from(ANN, 'one'))
  await ledgerIs([{ state: 'queued', error_code: 131042, attempts: 1 }])
  await onlyProbeWaits()
  await tryAgain()
  await ledgerIs([{ state: 'sent', attempts: 2 }])
  t.equal((await query('SELECT FROM whatsapp_holds')).length, 1)
})

t.test('while messages are held, the 24-hour window of one closes, and another one is in doubt', { buffered: true }, async t => {
  const { deliver, meta, ledgerIs, query, hurry, tryAgain } = await start(t, { bot: 'simulated' })
  meta.plan({ cut: 'after' }, EXPIRED)
  await deliver(from(ANN, 'one'))
  await ledgerIs([{ state: 'queued', attempts: 1, error: 'other side closed' }])
  await deliver(webhook({ messages: [text(BOB, 'two', { timestamp: secondsAgo(24 * 60 * 60 - 100) })] }))
  await ledgerIs([{ attempts: 1 }, { state: 'queued', error_code: 190 }])
  await query("UPDATE whatsapp_contacts SET last_message_at = now() - interval '25 hours' WHERE contact = $1", [BOB])
  await hurry()
  // It is not defined which of the two the probe tries first, so it may need more than one attempt.
  await until(async () => {
    await tryAgain()
    return (await query("SELECT FROM whatsapp_deliveries WHERE state = 'queued'")).length === 0
  })
  await ledgerIs([{ state: 'sent', attempts: 2 }, { state: 'window_closed', error_code: 190 }])
})

t.test('a response with the id of an earlier message: the message counts as sent, and is not sent again', { buffered: true }, async t => {
  const { deliver, meta, ledgerIs, allDone } = await start(t, { bot: 'simulated' })
  const again = { body: { messages: [{ id: 'wamid.again' }] } }
  meta.plan(again, again)
  await deliver(from(ANN, 'one'))
  await ledgerIs([{ state: 'sent', whatsapp_id: 'wamid.again' }])
  await deliver(from(ANN, 'two'))
  await until(() => meta.asked === 2)
  await deliver(from(ANN, 'three'))
  await meta.has(1)
  t.same(meta.sent.map(({ text }) => text), ['You said: three'])
  await allDone()
  await deliver(webhook({ statuses: [status('wamid.again', ANN, 'delivered')] }))
  t.ok(await ledgerIs([{ state: 'delivered' }, { state: 'sent', whatsapp_id: null, attempts: 1 }, { state: 'sent', attempts: 1 }]))
})
