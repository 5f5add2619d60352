import t, { type Test } from 'tap'
import { createDb } from '../../src/db/client.ts'
import { BOT_NOT_FOUND } from '../../src/errors.ts'
import { appendUnprompted } from '../../src/log/unprompted-store.ts'
import { freshDatabase, silent } from '../support/helper.ts'
import { connect, isWaiting } from '../support/process.ts'

// What messages refer to: no author and no bot of a message is one that was deleted. `messages.chatbot_id` is not a foreign
// key, so this tests what is in the place of one.

/** The columns of messages that refer to rows of another table without a foreign key. */
const WITHOUT_KEY = ['chatbot_id']

/** Each SQL function that writes messages of bots, with the bot's id as $1. The conversation with the id 1 is an account's, and that with the id 2 a phone's. */
const WAYS = {
  append_message: "SELECT id FROM append_message(1, 1, 'Hello', NULL, NULL, ARRAY[$1::bigint], '{Yes}', '{}', '{}', false, NULL)",
  'append_message, for a contact': "SELECT id FROM append_message(2, 2, 'Hello', NULL, NULL, ARRAY[$1::bigint], '{Yes}', '{}', '{}', false, NULL)",
  append_messages: `SELECT id FROM append_messages('{1,2}', '{1,2}', '{Hello,Hi}', '{NULL,NULL}', '{NULL,NULL}', '{"{}","{}"}', '{"{}","{}"}',
    '{false,false}', '{1,2}', ARRAY[$1::bigint, $1::bigint], '{Yes,No}')`,
  begin_conversation: `SELECT a.id FROM begin_conversation(in_owner => 3, in_origin => 'phone', in_name => 'Chat', in_bot => $1::bigint) AS begun (id),
    append_message(begun.id, 3, 'Hello', NULL, NULL, ARRAY[$1::bigint], '{Yes}', '{}', '{}', false, NULL) a`,
  begin_conversations: `SELECT a.id FROM append_messages(
    ARRAY(SELECT conversation FROM begin_conversations(in_owners => '{3}', in_origin => 'phone', in_names => '{Chat}', in_bots => ARRAY[$1::bigint])),
    '{3}', '{Hello}', '{NULL}', '{NULL}', '{"{}"}', '{"{}"}', '{false}', '{1}', ARRAY[$1::bigint], '{Yes}') a`
}

const SETUP = `
  INSERT INTO users (username, username_key) VALUES ('ann', 'ann'), ('bob', 'bob'), ('cid', 'cid');
  INSERT INTO chatbots (id, name, engine) OVERRIDING SYSTEM VALUE VALUES (100, 'doomed', 'simulated');
  INSERT INTO conversations (owner_id, name, origin) VALUES (1, 'Chat', 'web'), (2, 'Chat', 'phone');
  INSERT INTO conversation_users (conversation_id, user_id) VALUES (1, 1), (2, 2);
  INSERT INTO conversation_bots (conversation_id, chatbot_id) VALUES (1, 100)`

async function open (t: Test) {
  const database = await freshDatabase(t)
  const [writer, deleter, watcher] = [await connect(t, database), await connect(t, database), await connect(t, database)]
  await writer.query(SETUP)
  const dangling = async () => (await watcher.query('SELECT m.id FROM messages m WHERE m.chatbot_id IS NOT NULL AND NOT EXISTS (SELECT FROM chatbots b WHERE b.id = m.chatbot_id)')).rows
  return { database, writer, deleter, watcher, dangling }
}

for (const [name, statement] of Object.entries(WAYS)) {
  t.test(`a bot that is deleted while ${name} stores its reply`, async t => {
    const { writer, deleter, watcher, dangling } = await open(t)
    await writer.query('BEGIN')
    const { rowCount } = await writer.query(statement, [100])
    t.ok(rowCount! > 0)
    const deleted = deleter.query('DELETE FROM chatbots WHERE id = 100')
    await isWaiting(watcher)
    await writer.query('COMMIT')
    await deleted
    t.same(await dangling(), [])
    const { rows } = await watcher.query("SELECT chatbot_id FROM messages WHERE sender = 'bot'")
    t.ok(rows.length > 0, 'the message stays')
    t.ok(rows.every(({ chatbot_id: bot }) => bot === null), 'without its bot')
  })

  t.test(`a bot that is being deleted when ${name} begins`, async t => {
    const { writer, deleter, watcher, dangling } = await open(t)
    await deleter.query('BEGIN')
    await deleter.query('DELETE FROM chatbots WHERE id = 100')
    const written = writer.query(statement, [100]).then(({ rowCount }) => rowCount, error => error.code)
    await isWaiting(watcher)
    await deleter.query('COMMIT')
    t.match(await written, /^(0|23503)$/, 'nothing is stored: the caller asks again')
    t.same(await dangling(), [])
    t.equal((await watcher.query('SELECT FROM messages')).rowCount, 0)
  })
}

t.test('what a bot says without being asked, while it is deleted', async t => {
  const { database, deleter, watcher, dangling } = await open(t)
  const db = createDb(database, silent)
  t.teardown(() => db.$client.end())
  const say = async (meanwhile = async () => {}) => await db.transaction(async tx => {
    await appendUnprompted(tx, { conversation: 1, text: 'Hello', chatbotId: 100 })
    await meanwhile()
  })

  let deleted: Promise<unknown> | undefined
  await say(async () => {
    deleted = deleter.query('DELETE FROM chatbots WHERE id = 100')
    await isWaiting(watcher)
  })
  await deleted
  t.same(await dangling(), [])
  t.same((await watcher.query('SELECT chatbot_id FROM messages')).rows, [{ chatbot_id: null }])
  await t.rejects(say(), BOT_NOT_FOUND)
})

t.test('every other column of messages that refers to something is a foreign key', async t => {
  const client = await connect(t, await freshDatabase(t))
  const { rows } = await client.query<{ column: string }>(`
    SELECT a.attname AS column FROM pg_attribute a
    WHERE a.attrelid = 'messages'::regclass AND a.attname LIKE '%\\_id' AND a.atttypid = 'bigint'::regtype AND NOT a.attisdropped AND NOT EXISTS (
      SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'f' AND a.attnum = ANY (k.conkey))`)
  t.same(rows.map(({ column }) => column), WITHOUT_KEY, 'otherwise give it a foreign key, or a test as above')
})
