import t, { type Test } from 'tap'
import { createAppendStore, type Addition } from '../../src/log/append-store.ts'
import { createDb } from '../../src/db/client.ts'
import { freshDatabase, holdLock, run, silent } from '../support/helper.ts'
import { connect, isWaiting } from '../support/process.ts'

const BOT = 1

/** Conversations of two users each, with the bot that echoes each message. In the first one the second user is not a member. */
async function conversations (t: Test, count: number) {
  const connection = await freshDatabase(t)
  await run(connection, `
    INSERT INTO users (username) VALUES ('ann'), ('bob'), ('eve');
    INSERT INTO conversations (name, owner_id) SELECT 'Chat', 1 FROM generate_series(1, ${count});
    INSERT INTO conversation_users (conversation_id, user_id) SELECT c.id, u.id FROM conversations c, users u WHERE u.username <> 'eve';
    INSERT INTO conversation_bots (conversation_id, chatbot_id) SELECT id, ${BOT} FROM conversations;`)
  const instance = () => {
    const db = createDb(connection, silent)
    t.teardown(() => db.$client.end())
    return createAppendStore(db)
  }
  const log = async () => await run(connection, 'SELECT conversation_id::int AS place, id::int, rev::int, sender, reply_to::int, text FROM messages ORDER BY conversation_id, id')
  return { connection, instance, log }
}

const says = (text: string, changes: Partial<Addition> = {}): Addition => ({
  author: 1,
  text,
  clientId: null,
  textHash: null,
  metadata: null,
  parts: null,
  replies: [{ bot: BOT, text: `You said: ${text}` }],
  oldState: '{}',
  newState: '{}',
  isFinished: false,
  owner: null,
  ...changes
})

t.test('a message in a batch is stored as it would be on its own', async t => {
  const { instance, log, connection } = await conversations(t, 6)
  const { append } = instance()
  const tricky = 'She said: "{a,b}", \\N, NULL, {} and \' \n'
  const answers = await Promise.all([
    append(1, says('alone')),
    append(2, says(tricky, { newState: '{"1": {"at": "A \\"quoted\\" place"}}', isFinished: true })),
    append(3, says('two answers', { replies: [{ bot: BOT, text: 'one' }, { bot: 2, text: 'two' }] })),
    append(4, says('no answer', { replies: [] })),
    append(5, says('a stranger', { author: 3 })),
    append(6, says('of another state', { oldState: '{"1": {}}' })),
    append(7, says('to nobody'))
  ])
  t.match(answers, [
    { conversation: 1, id: 1, created_at: Date, statuses: ['complete', 'complete'] },
    { conversation: 2, id: 1, created_at: Date, statuses: ['complete', 'complete'] },
    undefined, // the second bot is not in the conversation
    { conversation: 4, id: 1, created_at: Date, statuses: ['complete'] },
    undefined, undefined, undefined
  ])
  t.same(await log(), [
    { place: 1, id: 1, rev: 1, sender: 'user', reply_to: null, text: 'alone' },
    { place: 1, id: 2, rev: 2, sender: 'bot', reply_to: 1, text: 'You said: alone' },
    { place: 2, id: 1, rev: 1, sender: 'user', reply_to: null, text: tricky },
    { place: 2, id: 2, rev: 2, sender: 'bot', reply_to: 1, text: `You said: ${tricky}` },
    { place: 4, id: 1, rev: 1, sender: 'user', reply_to: null, text: 'no answer' }
  ])
  t.same(await run(connection, 'SELECT state, is_finished, last_rev::int FROM conversations WHERE id = 2'), [{ state: { 1: { at: 'A "quoted" place' } }, is_finished: true, last_rev: 2 }])
  await run(connection, 'INSERT INTO conversation_bots SELECT 3, 2')
  const [, both] = await Promise.all([append(1, says('first')), append(3, says('two', { replies: [{ bot: 2, text: 'B' }, { bot: BOT, text: 'A' }] }))])
  t.match(both, { id: 1, statuses: ['complete', 'complete', 'complete'] })
  t.same((await log()).filter(({ place }) => place === 3).map(({ text }) => text), ['two', 'B', 'A'])
})

t.test('a refused message of a batch does not affect the others, which are stored once, in order', async t => {
  const { instance, log } = await conversations(t, 5)
  const { append } = instance()
  const twice = { clientId: 'c1', textHash: 'h' }
  const outcomes = await Promise.allSettled([
    append(1, says('first')),
    append(2, says('once', twice)),
    append(3, says('once', twice)),
    append(4, says('of nobody’s bot', { replies: [{ bot: 99, text: '?' }] })),
    append(5, says('a')),
    append(5, says('b'))
  ])
  const raced = outcomes.slice(1, 3)
  t.same(raced.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  t.match(raced.find(({ status }) => status === 'rejected'), { reason: { code: '23505', constraint: 'messages_client_id' } })
  t.match([outcomes[0], ...outcomes.slice(3)], [{ value: { id: 1 } }, { value: undefined }, { value: { id: 1 } }, { value: { id: 3 } }])
  t.same((await log()).map(({ id, text }) => [id, text]), [
    [1, 'first'], [2, 'You said: first'], [1, 'once'], [2, 'You said: once'], [1, 'a'], [2, 'You said: a'], [3, 'b'], [4, 'You said: b']
  ])
})

t.test('a message that waits for a lock does not hold up others', async t => {
  const { connection, instance, log } = await conversations(t, 3)
  const { append } = instance()
  const lock = await holdLock(t, connection, 2)
  const first = append(1, says('first'))
  const locked = append(2, says('locked'))
  t.match(await Promise.all([first, append(3, says('free')), append(1, says('next'))]), [{ id: 1 }, { id: 1 }, { id: 3 }])
  await lock.until(1)
  await lock.release()
  t.match(await locked, { id: 1 })
  t.equal((await log()).length, 8)
})

t.test('two instances write to the same conversations in different orders: every message is stored once, without a gap or a deadlock', async t => {
  const { connection, instance, log } = await conversations(t, 20)
  const instances = [instance(), instance()]
  const sent = await Promise.all(Array.from({ length: 2000 }, async (_, n) => {
    // One instance goes through the conversations in ascending order, the other in descending order.
    const place = n % 2 === 0 ? Math.floor(n / 2) % 20 + 1 : 20 - Math.floor(n / 2) % 20
    const stored = await instances[n % 2]!.append(place, says(`m${n}`, { author: n % 3 === 0 ? 2 : 1, clientId: `c${n}`, textHash: 'h' }))
    return { place, id: stored!.id, text: `m${n}` }
  }))
  const messages = await log()
  t.equal(messages.length, 4000)
  for (let place = 1; place <= 20; place++) {
    const there = messages.filter(message => message.place === place)
    t.same(there.map(({ id }) => id), Array.from({ length: 200 }, (_, n) => n + 1))
    t.same(there.map(({ rev }) => rev), there.map(({ id }) => id))
  }
  const byPlace = new Map(messages.map(({ place, id, text }) => [`${place} ${id}`, text]))
  t.ok(sent.every(({ place, id, text }) => byPlace.get(`${place} ${id}`) === text && byPlace.get(`${place} ${id + 1}`) === `You said: ${text}`))
  t.same(await run(connection, 'SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()'), [{ deadlocks: 0 }])
})

t.test('when the database fails during a batch, all waiting messages are rejected, and none is stored twice', async t => {
  const { connection, instance, log } = await conversations(t, 10)
  const { append } = instance()
  const lock = await holdLock(t, connection, 1)
  await lock.query('LOCK TABLE messages')
  const first = t.rejects(append(1, says('first')), { code: '57P01' })
  const sending = Promise.allSettled(Array.from({ length: 9 }, (_, n) => append(n + 2, says(`m${n}`))))
  await lock.until(1)
  const others = "datname = current_database() AND pid <> pg_backend_pid() AND wait_event_type = 'Lock'"
  await run(connection, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${others}`)
  await first
  const outcomes = await sending
  t.ok(outcomes.every(outcome => outcome.status === 'rejected' && outcome.reason.code === '57P01'))
  await lock.release()
  t.same(await log(), [])
  t.match(await append(1, says('again')), { id: 1 })
})

t.test('first messages of contacts are stored together; one whose user is locked waits on its own', async t => {
  const { instance, connection } = await conversations(t, 1)
  const { begin } = instance()
  const place = { newestOf: 'phone', bot: { id: BOT, name: 'simulated' } } as const
  const lock = await connect(t, connection)
  await lock.query('BEGIN; SELECT FROM users WHERE id = 2 FOR UPDATE')
  const [one, locked] = [begin(place, says('one', { clientId: 'a' })), begin(place, says('locked', { author: 2 }))]
  t.match(await one, { id: 1, statuses: ['complete', 'complete'] }, 'the other one does not wait')
  await isWaiting(lock)
  await lock.query('COMMIT')
  t.match(await locked, { id: 1, statuses: ['complete', 'complete'] })
  t.equal(await begin(place, says('another')), undefined, 'there is an unfinished conversation')

  await lock.query("UPDATE conversations SET is_finished = true WHERE origin = 'phone'")
  const [repeated, fine] = await Promise.allSettled([begin(place, says('one', { clientId: 'a' })), begin(place, says('fine', { author: 3 }))])
  t.match(repeated, { reason: { constraint: 'messages_client_id' } }, 'one that is refused does not keep the others from being stored')
  t.match(fine, { value: { id: 1 } })

  await lock.query("UPDATE conversations SET is_finished = true WHERE origin = 'phone'")
  const twice = await Promise.all([begin(place, says('first')), begin(place, says('of another', { author: 2 })), begin(place, says('second'))])
  t.match(twice, [{ id: 1 }, { id: 1 }, undefined], 'of two by one contact only the first begins a conversation')
  t.same((await run(connection, "SELECT text FROM messages WHERE text IN ('first', 'of another', 'second') ORDER BY text")).map(({ text }) => text), ['first', 'of another'])
  await t.rejects(begin(place, says('nobody', { author: 1000 })), { code: '23503' }, 'a user who has been deleted cannot begin a conversation')
})

t.test('a contact who begins a conversation while their user is deleted does not deadlock with that', async t => {
  const { connection, instance } = await conversations(t, 1)
  const deleter = await connect(t, connection)
  await deleter.query("INSERT INTO conversations (name, owner_id, origin, last_updated) VALUES ('Over', 2, 'whatsapp', now() - interval '13 hours')")
  await deleter.query('BEGIN')
  await deleter.query("SELECT FROM conversations WHERE owner_id = 2 AND origin = 'whatsapp' FOR UPDATE")
  const begun = instance().begin({ newestOf: 'whatsapp', bot: { id: BOT, name: 'simulated' } }, says('Hello', { author: 2 }))
  await isWaiting(deleter)
  await deleter.query('SELECT FROM users WHERE id = 2 FOR UPDATE')
  await deleter.query('COMMIT')
  t.match(await begun, { id: 1 }, 'it waits for the conversation before it locks the user, as deleting does')
})
