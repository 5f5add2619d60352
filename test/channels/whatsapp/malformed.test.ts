import t from 'tap'
import { freshDatabase } from '../../support/helper.ts'
import { contact, secondsAgo, status, text, webhook } from '../../support/meta.ts'
import { ANN, BOB, start } from '../../support/whatsapp.ts'

// Webhooks that are malformed or very large. They are in a file of their own because reading them takes the processor from tests beside them.

t.test('malformed payloads', async t => {
  const { deliver, meta, query, db, allDone, said, work } = await start(t, {
    bot: 'simulated',
    works: false,
    database: { ...await freshDatabase(t), statement_timeout: 0, query_timeout: 0 } // a busy machine may need longer for 16,000 messages than the 10 s that a server waits
  })
  const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`
  const odd = (more: object) => text(ANN, 'odd', { type: 'text', ...more })
  const good = (n: number) => text(BOB, `good ${n}`)
  /** JSON in which the text DEEP is replaced by extremely deep nesting, which JSON.stringify could not write. */
  const rawOf = (...messages: object[]) => JSON.stringify(webhook({ contacts: [contact(ANN), contact(BOB)], messages })).replaceAll('"DEEP"', deep)
  const problems = async () => (await query('SELECT problem FROM whatsapp_inbox WHERE problem IS NOT NULL ORDER BY id')).map(({ problem }) => problem.slice(0, 30))

  for (const raw of [deep, deep.slice(1), '\0', '\0{}', `{"entry":${deep}}`, rawOf(odd({ timestamp: 'DEEP' })), rawOf(odd({ from: 'DEEP', from_user_id: 'DEEP' })), Buffer.from([0xff, 0xfe, 0])]) {
    t.equal(await deliver(raw), 200)
  }
  t.same((await problems()).sort(), [
    'cannot be read: Maximum call s', 'cannot be read: Maximum call s', 'cannot be read: Unexpected non', 'cannot be read: Unexpected tok', 'cannot be read: Unexpected tok',
    'cannot be read: Unexpected tok', 'holds no messages and no statu', 'holds no messages and no statu'
  ])

  const many = Array.from({ length: 16_000 }, (_, n) => ({ id: `wamid.many${n}`, from: `4930${n}`, timestamp: secondsAgo(), type: 'reaction', reaction: {} }))
  const statements: string[] = []
  const ask = db.$client.query.bind(db.$client) as (...asked: unknown[]) => unknown
  db.$client.query = ((...asked: unknown[]) => {
    statements.push(JSON.stringify(asked).slice(0, 1_000))
    return ask(...asked)
  }) as typeof db.$client.query
  t.equal(await deliver(webhook({ contacts: many.map(({ from }) => contact(from)), messages: many })), 200, '16,000 messages of 16,000 contacts')
  t.equal(statements.filter(statement => statement.includes('whatsapp')).length, 1, 'all messages are stored by one statement')
  t.same(await query("SELECT count(DISTINCT payload ->> 'contact')::int AS contacts FROM graphile_worker._private_jobs WHERE payload ->> 'contact' LIKE '4930%'"), [{ contacts: 16_000 }], 'there is one job per contact')
  await query("DELETE FROM graphile_worker._private_jobs WHERE payload ->> 'contact' LIKE '4930%'; DELETE FROM whatsapp_inbox WHERE contact LIKE '4930%'")

  const messages = [
    good(1), odd({ text: { body: 'DEEP' } }), odd({ type: 'DEEP' }), odd({ id: 'DEEP' }), good(2), odd({ type: 'constructor' }), odd({ type: '__proto__' }),
    odd({ id: 'x'.repeat(201) }), odd({ id: 'wamid.\ud800' }), odd({ id: 'wamid.\0' }), odd({ id: 7 }), odd({ from: `${ANN}\0` }), odd({ from: 'x'.repeat(151) }),
    odd({ text: 'no object' }), odd({ text: { body: ['no', 'text'] } }), good(3)
  ]
  await work()
  t.equal(await deliver(rawOf(...messages)), 200)
  t.equal(await deliver(rawOf(odd({ type: 'DEEP' }))), 200, 'alone')
  const times = ['-1', '0', '1e400', 'soon', '99999999999999', '0.0000001', ''].map((timestamp, n) => text(BOB, `time ${n}`, { timestamp }))
  t.equal(await deliver(webhook({ contacts: [contact(BOB)], messages: times })), 200)
  t.equal(await deliver(webhook({ contacts: [{ ...contact(ANN), profile: { name: 'A\0n\ud800n' } }], messages: [text(ANN, 'hi')] })), 200)
  const statuses = ['constructor', 'tostring', '__proto__', 'deleted'].map(is => status('wamid.0001=', BOB, is))
  t.equal(await deliver(webhook({ statuses: [...statuses, status('wamid.of nobody', BOB, 'read'), status('wamid.nobody=', BOB, 'read'), status('wamid.0001=', BOB, 'failed', { errors: [{ code: 1e300, title: 'a\0\ud800' }] })] })), 200)
  await allDone()
  t.same((await said(BOB)).filter(line => line.startsWith('user: good')), ['user: good 1', 'user: good 2', 'user: good 3'], 'the valid messages beside it are answered')
  t.equal((await said(BOB)).filter(line => line.startsWith('user: time')).length, 7, 'an invalid time is replaced by the current time')
  t.same((await said(ANN)).filter(line => line.startsWith('user')), ['user: [constructor]', 'user: [proto]', 'user: [message]', 'user: hi'], 'messages of any type are stored')
  t.same(await query('SELECT name FROM users u JOIN identities i ON i.user_id = u.id WHERE i.address = $1', [ANN]), [{ name: 'An\ufffdn' }])
  t.same(await query('SELECT count(*)::int AS count FROM whatsapp_inbox WHERE handled_at IS NULL'), [{ count: 0 }])

  const twice = text(ANN, 'one id')
  t.equal(await deliver(webhook({ messages: [twice, { ...twice, from: BOB }] })), 200)
  await allDone()
  t.same((await said()).filter(line => line === 'user: one id').length, 1, 'two messages with the same id are one message, even from different contacts')
  t.equal(meta.sent.at(-1)!.to, ANN)
})
