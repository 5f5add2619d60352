import t, { type Test } from 'tap'
import { createAdminUserStore } from '../../src/accounts/admin-user-store.ts'
import { createDeliveryStore } from '../../src/channels/whatsapp/deliveries-store.ts'
import { createTemplateStore } from '../../src/channels/whatsapp/template-store.ts'
import { createBotStore } from '../../src/conversations/bots/store.ts'
import { createDb, reasonOf } from '../../src/db/client.ts'
import { createReplyStore, type Growth } from '../../src/replies/store.ts'
import { freshDatabase, silent } from '../support/helper.ts'
import { connect, isWaiting, until } from '../support/process.ts'

// Transactions that need the same rows wait for each other only in one direction.

/** Opens a fresh database with a store's connections and two others: one that holds a lock, and one that watches who waits. */
async function open (t: Test) {
  const connection = await freshDatabase(t)
  const [watcher, holder] = [await connect(t, connection), await connect(t, connection)]
  const db = createDb(connection, silent)
  t.teardown(() => db.$client.end())
  return { db, watcher, holder }
}

const GROWING = `
  INSERT INTO users (username, username_key) VALUES ('ann', 'ann');
  INSERT INTO conversations (owner_id, name, last_rev) VALUES (1, 'One', 2), (1, 'Two', 2);
  INSERT INTO conversation_users (conversation_id, user_id) VALUES (1, 1), (2, 1);
  INSERT INTO conversation_bots (conversation_id, chatbot_id) SELECT c.id, min(b.id) FROM conversations c, chatbots b GROUP BY c.id;
  INSERT INTO messages (conversation_id, id, rev, sender, user_id, text) SELECT id, 1, 1, 'user', 1, 'Hi' FROM conversations;
  INSERT INTO messages (conversation_id, id, rev, sender, chatbot_id, reply_to, text, status, lease_owner, lease_until)
  SELECT conversation_id, 2, 2, 'bot', chatbot_id, 1, '', 'streaming', 'writer ' || conversation_id, now() + interval '8 seconds' FROM conversation_bots`

const growthIn = (conversation: number): Growth & { cost: null } =>
  ({ conversation, id: 2, owner: `writer ${conversation}`, at: 0, piece: 'Hello', parts: null, cost: null })

for (const order of [[1, 2], [2, 1]]) {
  t.test(`growing replies are stored while replies are stopped, conversation ${order[0]} first`, async t => {
    const { db, watcher, holder } = await open(t)
    await watcher.query(GROWING)
    const store = createReplyStore(db)

    t.comment('Both are stopped: the first one is, and the second conversation is locked')
    await holder.query('BEGIN; SELECT FROM conversations WHERE id = 2 FOR NO KEY UPDATE')
    const stopped = store.stopFor(1)
    await isWaiting(watcher)
    const flushed = store.flush(order.map(growthIn))
    await isWaiting(watcher, 2)
    await holder.query('COMMIT')

    t.same(await stopped, [1, 2])
    const owners = (await flushed).map(({ owner }) => owner)
    t.same(owners.toSorted(), ['writer 1', 'writer 2'], 'no lease is taken for lost')
    const { rows } = await watcher.query('SELECT text, stop_requested FROM messages WHERE id = 2')
    t.same(rows, [1, 2].map(() => ({ text: 'Hello', stop_requested: true })))
  })
}

t.test('a bot is deleted while replies are stopped, one of them in a conversation that it was taken out of', async t => {
  const { db, watcher, holder } = await open(t)
  await watcher.query(GROWING)
  const { rows: [{ bot }] } = await watcher.query('DELETE FROM conversation_bots WHERE conversation_id = 1 RETURNING chatbot_id::int AS bot')

  await holder.query('BEGIN')
  await holder.query('SELECT keep_bots(ARRAY[$1::bigint])', [bot])
  const removed = createBotStore(db).remove({ id: 0, username: 'a command' }, bot)
  await isWaiting(watcher)
  t.comment('The deletion has the locks of its conversations, and waits to change the messages')
  const stopped = createReplyStore(db).stopFor(1)
  await isWaiting(watcher, 2)
  await holder.query('COMMIT')

  await removed
  t.same(await stopped, [1, 2])
  const { rows } = await watcher.query('SELECT chatbot_id, stop_requested FROM messages WHERE id = 2')
  t.same(rows, [1, 2].map(() => ({ chatbot_id: null, stop_requested: true })))
})

const CONTACT = `
  INSERT INTO users (origin) VALUES ('whatsapp');
  INSERT INTO identities (channel, address, user_id) VALUES ('whatsapp', 'DE.1', 1);
  INSERT INTO whatsapp_contacts (contact, user_id) VALUES ('DE.1', 'DE.1');
  INSERT INTO conversations (owner_id, name, origin, last_rev) VALUES (1, 'Chat', 'whatsapp', 2);
  INSERT INTO conversation_users (conversation_id, user_id) VALUES (1, 1);
  INSERT INTO messages (conversation_id, id, rev, sender, text) VALUES (1, 1, 1, 'bot', 'Hello');
  INSERT INTO whatsapp_deliveries (conversation_id, message_id, contact, whatsapp_id, state) VALUES (1, 1, 'DE.1', 'wamid.1', 'sent');
  INSERT INTO whatsapp_inbox (whatsapp_id, kind, contact, body, sent_at) VALUES ('wamid.1 delivered', 'status', 'DE.1', '', now())`

const admin = { id: 0, username: 'a command' }
const noSessions = { announce: async () => {} }

t.test('a WhatsApp contact is deleted while a status of a message to them is processed', async t => {
  const { db, watcher, holder } = await open(t)
  await watcher.query(CONTACT)
  await holder.query('BEGIN; SELECT FROM whatsapp_contacts FOR UPDATE')
  const removed = createAdminUserStore(db, noSessions).remove(admin, 1)
  await isWaiting(watcher)
  t.comment('The deletion has deleted the status, and waits for the contact')
  const heard = createDeliveryStore(db, () => {}).hear(1, { whatsappId: 'wamid.1', state: 'delivered', problem: { errorCode: null, error: null }, report: { code: null } })
  await isWaiting(watcher, 2)
  await holder.query('COMMIT')

  await removed
  await heard
  for (const table of ['users', 'whatsapp_deliveries', 'whatsapp_inbox']) t.same((await watcher.query(`SELECT FROM ${table}`)).rows, [], table)
})

t.test('a WhatsApp contact is deleted while a template is sent to them', async t => {
  const { db, watcher, holder } = await open(t)
  await watcher.query(CONTACT)
  await holder.query('BEGIN; SELECT FROM users FOR KEY SHARE')
  const removed = createAdminUserStore(db, noSessions).remove(admin, 1)
  await isWaiting(watcher)
  t.comment('The deletion has the locks of the conversations, and waits for the user')
  const { rows: [{ bot }] } = await watcher.query('SELECT min(name) AS bot FROM chatbots')
  const sent = createTemplateStore(db, bot, () => {}).send({
    admin, clientId: undefined, to: { userId: 'DE.1', phone: '4915100000001' }, template: { name: 'reminder', language: 'en', variables: [] }, text: undefined
  }).catch(reasonOf)
  await isWaiting(watcher, 2)
  await holder.query('COMMIT')

  await removed
  t.match(await sent, { code: '23503' }, 'the contact is gone: the request can be tried again')
  for (const table of ['users', 'whatsapp_contacts']) t.same((await watcher.query(`SELECT FROM ${table}`)).rows, [], table)
})

t.test('a template that is requested twice at the same moment is sent once', async t => {
  const { db, watcher, holder } = await open(t)
  await watcher.query(CONTACT)
  const { rows: [{ bot }] } = await watcher.query('SELECT min(name) AS bot FROM chatbots')
  await holder.query('BEGIN; SELECT FROM conversations FOR UPDATE')
  const send = async () => await createTemplateStore(db, bot, () => {}).send({
    admin, clientId: 'same', to: { userId: 'DE.1', phone: '4915100000001' }, template: { name: 'reminder', language: 'en', variables: [] }, text: undefined
  })
  const sent = Promise.all([send(), send()])
  await isWaiting(watcher, 2)
  t.comment('Both have found no earlier request')
  await holder.query('COMMIT')
  const [one, other] = await sent
  t.equal(one.id, other.id)
  t.equal((await watcher.query('SELECT FROM whatsapp_deliveries WHERE client_id = $1', ['same'])).rowCount, 1)
})

t.test('an account is deleted while its user begins another conversation and writes in it', async t => {
  const { db, watcher, holder } = await open(t)
  const begin = `
    WITH created AS (INSERT INTO conversations (owner_id, name) VALUES (1, 'Chat') RETURNING id)
    INSERT INTO conversation_users (conversation_id, user_id) SELECT id, 1 FROM created`
  await watcher.query(`
    INSERT INTO users (username, username_key) VALUES ('ann', 'ann');
    INSERT INTO sessions (user_id, kind, expires_at) VALUES (1, 'cookie', now() + interval '1 hour');
    ${begin}`)

  await holder.query('BEGIN; SELECT FROM conversations FOR NO KEY UPDATE')
  const removed = createAdminUserStore(db, noSessions).remove(admin, 1)
  await isWaiting(watcher)
  t.comment('The deletion waits for the first conversation, and does not know the second one')
  await watcher.query(begin)
  await watcher.query('BEGIN; SELECT FROM sessions FOR UPDATE')
  await holder.query('COMMIT')
  await until(async () => (await watcher.query('SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))')).rowCount)
  t.comment('It has locked the user, and waits for the session')
  const stored = holder.query("SELECT id FROM append_message(2, 1, 'Hello', NULL, NULL, '{}', '{}', '{}', '{}', false, NULL)").then(({ rowCount }) => rowCount, error => error.code)
  await isWaiting(watcher, 2)
  await watcher.query('COMMIT')

  await removed
  t.match(await stored, /^(0|23503)$/, 'the user is gone')
  for (const table of ['users', 'conversations', 'messages']) t.same((await watcher.query(`SELECT FROM ${table}`)).rows, [], table)
})
