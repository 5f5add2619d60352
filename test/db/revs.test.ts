import t from 'tap'
import { globSync, readFileSync } from 'node:fs'
import { createExchangeStore } from '../../src/channels/exchanges/store.ts'
import { createMessageStore } from '../../src/conversations/messages/store.ts'
import { createDb, type Db } from '../../src/db/client.ts'
import { createReplyStore } from '../../src/replies/store.ts'
import { silent } from '../support/constants.ts'
import { freshDatabase } from '../support/helper.ts'
import { connect, isWaiting } from '../support/process.ts'

// The rows of messages can be locked without the lock of their conversation: by the instance that stores a growing reply, or by the
// deletion of a bot or of a user. A change that waits for such a row must take one rev, not two.

interface Place { user: number, conversation: number, bot: number }
interface Change {
  /** The status of the bot's reply, before. */
  reply: 'streaming' | 'queued' | 'complete'
  /** The message that another bot answers after that. 1 if left out. */
  answers?: null
  make: (place: Place, db: Db) => Promise<unknown>
}

/** By the SQL function, or the file in src/, that takes the rev. */
const CHANGES: Record<string, Change> = {
  begin_reply: { reply: 'queued', make: ({ conversation }, db) => createReplyStore(db).begin('somebody', conversation) },
  finish_reply: {
    reply: 'streaming',
    make: ({ conversation }, db) => createReplyStore(db).finish({ conversation, id: 2, owner: 'writer', status: 'complete', at: 0, piece: 'Hello', parts: null, error: null, memory: {}, cost: null })
  },
  interrupt_reply: { reply: 'streaming', make: ({ conversation }, db) => createReplyStore(db).interrupt({ conversation, id: 2 }) },
  restart_reply: { reply: 'complete', make: ({ conversation, user, bot }, db) => createReplyStore(db).restart(user, { conversation, id: 2 }, 'somebody', bot) },
  stop_replies: { reply: 'queued', make: ({ conversation, user }, db) => createReplyStore(db).stop(user, conversation) },
  stop_replies_to: { reply: 'queued', make: ({ user }, db) => createReplyStore(db).stopFor(user) },
  'src/replies/store.ts': { reply: 'queued', make: ({ conversation }, db) => createReplyStore(db).leaveOut({ conversation, id: 2 }, [{ sender: 'user', name: null, text: 'Hi' }]) },
  'src/conversations/messages/store.ts': { reply: 'queued', make: ({ conversation, user }, db) => createMessageStore(db, () => {}).remove(user, conversation, 1) },
  'src/channels/exchanges/store.ts': {
    reply: 'complete',
    answers: null,
    make: ({ conversation, user }, db) => db.transaction(tx => createExchangeStore(db, () => {}).cutAfter(tx, user, { conversation, id: 1, upTo: 3, text: 'Hello' }))
  }
}

t.test('a change takes one rev for each message, also when it has to wait for the message', async t => {
  const connection = await freshDatabase(t)
  const [client, other] = [await connect(t, connection), await connect(t, connection)]
  const db = createDb(connection, silent)
  t.teardown(() => db.$client.end())
  const { rows: [{ bot }] } = await client.query('SELECT min(id)::integer AS bot FROM chatbots')

  for (const [name, { reply, answers = 1, make }] of Object.entries(CHANGES)) {
    const { rows: [place] } = await client.query<Place>(`
      WITH author AS (INSERT INTO users DEFAULT VALUES RETURNING id),
        created AS (INSERT INTO conversations (name, owner_id, last_rev) SELECT '', id, 3 FROM author RETURNING id, owner_id),
        joined AS (INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM created),
        answering AS (INSERT INTO conversation_bots (conversation_id, chatbot_id) SELECT id, $1::bigint FROM created),
        stored AS (
          INSERT INTO messages (conversation_id, id, rev, sender, user_id, chatbot_id, reply_to, text, status, lease_owner, lease_until)
          SELECT id, 1, 1, 'user'::sender, owner_id, NULL::bigint, NULL::bigint, 'Hi', 'complete'::message_status, NULL, NULL::timestamptz FROM created
          UNION ALL
          SELECT id, 2, 2, 'bot', NULL, $1, 1, '', $2::message_status, CASE WHEN $2 = 'streaming' THEN 'writer' END, CASE WHEN $2 = 'streaming' THEN now() - interval '1 second' END FROM created
          UNION ALL
          SELECT id, 3, 3, 'bot', NULL, NULL, $3, 'Hello', 'complete', NULL, NULL FROM created
        )
      SELECT id::integer AS conversation, owner_id::integer AS user, $1::integer AS bot FROM created`, [bot, reply, answers])

    await other.query('BEGIN')
    await other.query('UPDATE messages SET text = text WHERE conversation_id = $1', [place!.conversation])
    const made = make(place!, db)
    await isWaiting(client)
    await other.query('COMMIT')
    await made

    const { rows: [after] } = await client.query<{ last: number, revs: number[] }>(`
      SELECT c.last_rev::integer AS last, (SELECT array_agg(m.rev::integer ORDER BY m.rev) FROM messages m WHERE m.conversation_id = c.id AND m.rev > 3) AS revs
      FROM conversations c WHERE c.id = $1`, [place!.conversation])
    t.ok(after!.revs.length > 0, `${name}: a message was changed`)
    t.same(after!.revs, Array.from({ length: after!.last - 3 }, (_, n) => n + 4), `${name}: no rev is left out`)
  }
})

t.test('every change that takes a rev is tried above', async t => {
  const client = await connect(t, await freshDatabase(t))
  const { rows } = await client.query<{ proname: string }>("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosrc ~ 'next_rev ?\\('")
  const files = globSync('src/**/*.ts').filter(file => readFileSync(file, 'utf8').includes('next_rev('))
  t.same([...rows.map(({ proname }) => proname), ...files].toSorted(), Object.keys(CHANGES).toSorted())
})
