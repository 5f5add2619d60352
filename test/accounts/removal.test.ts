import t, { type Test } from 'tap'
import { addJob } from '../../src/db/jobs.ts'
import { API_KEY, startApp, type Client } from '../support/helper.ts'
import { connect, startLive } from '../support/live.ts'
import { from, signed, startMeta } from '../support/meta.ts'
import { connect as open, isWaiting, until } from '../support/process.ts'

// What remains in the database after users were deleted: by themselves, by an admin, or by the daily clean-up.

const PASSWORD = 'correct horse'
const MARK = /unmistakable/i

type Query = (sql: string, values?: unknown[]) => Promise<Array<Record<string, never>>>

/** All columns of text, JSON or bytes, in Parley's tables and those of the job queue. */
async function columnsOf (query: Query) {
  return await query(`
    SELECT c.table_schema AS schema, c.table_name AS "table", c.column_name AS column, c.data_type AS type
    FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE t.table_type = 'BASE TABLE' AND c.table_schema IN ('public', 'graphile_worker') AND c.data_type IN ('text', 'json', 'jsonb', 'bytea', 'character varying')`
  ) as unknown as Array<{ schema: string, table: string, column: string, type: string }>
}

/** Finds where the marked data is still stored, as `table.column: value`. */
async function tracesIn (query: Query) {
  const traces: string[] = []
  for (const { schema, table, column, type } of await columnsOf(query)) {
    const text = type === 'bytea' ? `encode("${column}", 'escape')` : `"${column}"::text`
    const rows = await query(`SELECT ${text} AS text FROM "${schema}"."${table}" WHERE ${text} ~* 'unmistakable'`)
    traces.push(...rows.map(({ text }) => `${table}.${column}: ${String(text)}`))
  }
  return traces
}

/** Columns that are not marked: the texts of messages, which may remain, and columns that never contain data of a user. */
const TEXTS = ['messages.text', 'messages.error', 'messages.lease_owner', 'messages.agent_name']

/**
 * Writes marks into all columns of text or JSON in all rows that refer to this user. A column that is added later is
 * therefore tested automatically.
 */
async function markAll (query: Query, user: number) {
  const owners = await query(`
    SELECT table_name AS "table", column_name AS column FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'user_id' AND table_name NOT IN ('admin_log', 'reply_costs')`)
  const marked: string[] = []
  for (const { schema, table, column, type } of await columnsOf(query)) {
    const owner = table === 'users' ? 'id' : owners.find(other => String(other['table']) === table)?.['column']
    if (schema !== 'public' || owner === undefined || TEXTS.includes(`${table}.${column}`)) continue
    const text = `"unmistakable ${table}.${column} "`
    const json = column === 'parts' ? `[{"type": "text", "text": ${text}}]` : `{"mark": ${text}}`
    const mark = type.startsWith('json') ? `'${json}'::${type}` : `'unmistakable ${table}.${column} ' || gen_random_uuid()`
    await query(`UPDATE "${table}" SET "${column}" = ${mark} WHERE "${owner}" = $1`, [user])
    marked.push(`${table}.${column}`)
  }
  return marked
}

/** Columns about a user that the export leaves out. */
const NOT_EXPORTED = [
  // Hashes, what is derived from the username, and what a growing reply has cost so far.
  'messages.client_text_hash', 'messages.cost_so_far', 'sessions.key_hash', 'users.api_key_hash', 'users.password_hash', 'users.username_key',
  // A table of WhatsApp contacts: they have no account that could export, and `user_id` there is Meta's.
  'whatsapp_contacts.contact', 'whatsapp_contacts.phone', 'whatsapp_contacts.user_id'
]

t.test('the export has every column of text or JSON that is stored about a user', async t => {
  const { anyone, as, query } = await startApp(t)
  const ann = await as('ann')
  const { id } = (await ann.get('/api/me')).json()
  const { id: conversation } = (await ann.post('/api/conversations', { name: 'Plans', bots: ['favorite-song'] })).json()
  await ann.post(`/api/conversations/${conversation}/messages`, { text: 'hello', client_id: 'first' })
  await ann.patch('/api/me', { email: 'ann@example.com', current_password: PASSWORD })
  await anyone.post('/api/password/forgot', { email: 'ann@example.com' })
  await query("INSERT INTO identities (channel, address, user_id) VALUES ('phone', '+49 30 1234', $1)", [id])
  await query("INSERT INTO external_users (issuer, subject, user_id) VALUES ('https://issuer.example', 'ann', $1)", [id])

  const marked = await markAll(query, id)
  const exported = (await ann.get('/api/me/export')).body
  t.same(marked.filter(column => !exported.includes(`unmistakable ${column} `)).toSorted(), NOT_EXPORTED)
})

t.test('an account that has written in two conversations of one phone number, one of them finished, can be deleted', async t => {
  const { anyone, as, query } = await startApp(t)
  const ann = await as('ann')
  const chat = async () => { for (const user_message of ['hi', 'Paul']) await anyone.post('/chat', { user_phone: '123456', user_message }) }
  await chat()
  await query("UPDATE conversations SET is_finished = true; INSERT INTO conversations (owner_id, origin, name) SELECT owner_id, 'phone', 'Another' FROM conversations; INSERT INTO conversation_users SELECT max(id), max(owner_id) FROM conversations")
  await chat()
  const [{ id }] = await query("SELECT id FROM users WHERE username = 'ann'") as [{ id: string }]
  await query('INSERT INTO conversation_users (conversation_id, user_id) SELECT id, $1 FROM conversations', [id])
  await query('UPDATE messages SET user_id = $1 WHERE id = 1', [id])
  const before = await query('SELECT id, is_finished FROM conversations ORDER BY id')
  t.match(before, [{ is_finished: true }, { is_finished: false }])
  t.equal((await ann.delete('/api/me', {}, { password: PASSWORD })).statusCode, 204)
  t.same(await query('SELECT id, is_finished FROM conversations ORDER BY id'), before)
})

t.test('after an account is deleted, only its messages in conversations with others remain', async t => {
  for (const way of ['by themselves', 'by an admin']) {
    await t.test(way, async t => {
      const { anyone, as, query, db, clientOf } = await startApp(t)
      const bob = await as('bob')
      await query("UPDATE users SET role = 'admin' WHERE username = 'bob'")
      const account = { username: 'Unmistakable Ann', password: PASSWORD, name: 'Unmistakable A.', email: 'unmistakable@example.com' }
      await anyone.post('/api/signup', account)
      const { cookies: [cookie] } = await anyone.post('/api/login', account, { 'user-agent': 'unmistakable device' })
      const ann = clientOf({ cookie: `session=${cookie!.value}` })
      await ann.patch('/api/me', { phone_number: '+49 30 1234' })
      const { id } = (await ann.get('/api/me')).json()

      const begin = async (owner: Client, bots: string[]) => (await owner.post('/api/conversations', { name: 'Plans', bots })).json().id as number
      const say = async (who: Client, conversation: number, text: string) => {
        const said = await who.post(`/api/conversations/${conversation}/messages`, { text, client_id: `${who === ann ? 'unmistakable ' : ''}${conversation} ${text}` })
        t.equal(said.statusCode, 201)
        return said.json()
      }
      const [anns, bobs, lefts, alone] = [await begin(ann, ['favorite-song']), await begin(bob, ['favorite-song']), await begin(bob, ['favorite-song']), await begin(ann, ['favorite-song'])]
      await ann.post(`/api/conversations/${anns}/users`, { username: 'bob' })
      for (const conversation of [bobs, lefts]) await bob.post(`/api/conversations/${conversation}/users`, { username: account.username })
      for (const conversation of [anns, bobs, lefts, alone]) for (const text of ['hello', 'Unmistakable', 'Unmistakable Blues']) await say(ann, conversation, text)
      await ann.delete(`/api/conversations/${lefts}/users/${id}`)
      const untouched = await begin(bob, ['favorite-song'])
      await say(bob, untouched, 'hello')

      await ann.post('/api/email/resend')
      await anyone.post('/api/password/forgot', { email: account.email })
      await bob.patch(`/api/admin/users/${id}`, { budget: 1000 })
      await query("INSERT INTO identities (channel, address, user_id) VALUES ('whatsapp', 'unmistakable-contact', $1), ('phone', 'unmistakable phone', $1)", [id])
      await query("INSERT INTO whatsapp_contacts (contact, phone) VALUES ('unmistakable-contact', 'unmistakable number')")
      for (const contact of ['unmistakable-contact', 'unmistakable number']) {
        await query("INSERT INTO whatsapp_inbox (whatsapp_id, kind, contact, body, sent_at) VALUES ($1, 'message', $2, convert_to('unmistakable text', 'UTF8'), now())", [`unmistakable id of ${contact}`, contact])
        await query('INSERT INTO turns (key, job) VALUES ($1, 1)', [`whatsapp-inbox ${contact}`])
        for (const task of ['whatsapp-inbox', 'whatsapp-send']) await addJob(db, task, { contact }, { key: `${task} ${contact}`, inSeconds: 60 })
      }
      await query("INSERT INTO whatsapp_deliveries (conversation_id, message_id, contact) VALUES ($1, 2, 'unmistakable-contact')", [alone])
      await query("INSERT INTO reply_costs (user_id, bot_name, status, prompt_tokens, completion_tokens) VALUES ($1, 'assistant', 'complete', 1, 1)", [id])
      await query("INSERT INTO invitations (secret_hash, expires_at, used_by) VALUES ('hash', now(), $1)", [id])
      await query('UPDATE users SET email_verified_at = now() WHERE id = $1', [id])

      const [{ email }] = await query('SELECT email, password_hash FROM users WHERE id = $1', [id])
      const { password_hash: hash } = (await query('SELECT password_hash FROM users WHERE id = $1', [id]))[0]!
      const marked = await markAll(query, id)
      t.ok(marked.length > 10, marked.join())
      await query('UPDATE users SET password_hash = $2, email = $3, username_key = $4 WHERE id = $1', [id, hash, email, 'unmistakable ann'])
      await query("UPDATE identities SET address = 'unmistakable-contact' WHERE user_id = $1 AND channel = 'whatsapp'", [id])
      const before = new Set((await tracesIn(query)).map(trace => trace.split(':')[0]))
      for (const place of ['conversations.state', 'messages.client_id', 'one_time_tokens.address', 'sessions.user_agent', 'whatsapp_inbox.body', '_private_jobs.payload', 'turns.key']) t.ok(before.has(place), place)

      const gone = way === 'by an admin' ? await bob.delete(`/api/admin/users/${id}`) : await ann.delete('/api/me', {}, { password: PASSWORD })
      t.equal(gone.statusCode, 204, gone.body)
      t.same((await tracesIn(query)).filter(trace => !/^messages[.](text|parts): /.test(trace)), [])
      t.same(await query('SELECT client_text_hash FROM messages WHERE client_text_hash IS NOT NULL AND conversation_id <> $1', [untouched]), [])
      for (const { table, column } of await query("SELECT table_name AS \"table\", column_name AS column FROM information_schema.columns WHERE table_schema = 'public' AND column_name IN ('user_id', 'owner_id', 'used_by', 'created_by')")) {
        if (String(table) !== 'admin_log') t.same(await query(`SELECT FROM "${String(table)}" WHERE "${String(column)}" = $1`, [id]), [], `${String(table)}.${String(column)}`)
      }
      t.match(await query('SELECT prompt_tokens FROM reply_costs'), [{ prompt_tokens: 1 }], 'the cost of the reply is kept')

      for (const conversation of [anns, bobs, lefts]) {
        const texts = (await bob.get(`/api/conversations/${conversation}/messages`)).json() as Array<{ text: string }>
        t.match(texts.map(({ text }) => text), ['hello', 'What is your name?', 'Unmistakable', MARK, 'Unmistakable Blues', MARK], 'the messages remain')
        t.equal((await bob.get(`/api/conversations/${conversation}`)).json().is_finished, false)
        t.match((await say(bob, conversation, 'Who am I?'))[1], { text: 'Invalid initial input, please say hello.' }, 'the bot has forgotten the answers, and starts again')
        t.match((await say(bob, conversation, 'hello'))[1], { text: 'What is your name?' })
      }
      t.match((await say(bob, untouched, 'Bob'))[1], { text: 'Hello Bob, what is your favorite song?' }, 'in other conversations the bot has forgotten nothing')
    })
  }
})

t.test('a phone number that now belongs to another user is not deleted with its former user', async t => {
  const { as, query } = await startApp(t)
  const ada = await as('ada')
  await query("UPDATE users SET role = 'admin'")
  const [{ id: first }] = await query("INSERT INTO users (origin, phone_number) VALUES ('whatsapp', '4917') RETURNING id::int") as unknown as [{ id: number }]
  const [{ id: second }] = await query("INSERT INTO users (origin, phone_number) VALUES ('whatsapp', '4917') RETURNING id::int") as unknown as [{ id: number }]
  await query("INSERT INTO identities (channel, address, user_id) VALUES ('whatsapp', 'US.1', $1), ('whatsapp', '4917', $2)", [first, second])
  await query("INSERT INTO whatsapp_contacts (contact, phone) VALUES ('US.1', '4917'), ('4917', '4917')")
  for (const contact of ['US.1', '4917']) await query("INSERT INTO whatsapp_inbox (whatsapp_id, kind, contact, body, sent_at) VALUES ($1, 'message', $1, '', now())", [contact])
  t.equal((await ada.delete(`/api/admin/users/${first}`)).statusCode, 204)
  t.same(await query('SELECT contact FROM whatsapp_contacts'), [{ contact: '4917' }])
  t.same(await query('SELECT contact FROM whatsapp_inbox'), [{ contact: '4917' }])
})

t.test('guests can delete themselves, with their messages', async t => {
  const { anyone, query, url, clientOf } = await startLive(t)
  const enter = async () => (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json().token as string
  const [token, other] = [await enter(), await enter()]
  const guest = clientOf({ authorization: `Bearer ${token}` })
  await guest.post('/chat', { content: 'Hi' })
  const socket = await connect(t, url, { auth: { token } })
  const closed = new Promise(resolve => socket.once('disconnect', resolve))
  t.equal((await guest.delete('/api/me', {}, { password: 5 as unknown as string })).statusCode, 400)
  const gone = await guest.delete('/api/me')
  t.same([gone.statusCode, gone.body], [204, ''], 'neither a password nor a body is needed')
  await closed
  t.equal((await guest.get('/api/conversations')).statusCode, 401)
  t.equal((await guest.delete('/api/me')).statusCode, 401)
  t.equal((await query('SELECT FROM users')).length, 1)
  t.equal((await query('SELECT FROM messages')).length, 1, 'only the greeting of the other guest is left')
  t.equal((await anyone.post('/chat', { token: other, content: 'Hi' })).statusCode, 200)
  t.equal((await clientOf({ authorization: `Bearer ${other}` }).delete('/api/me', {}, {})).statusCode, 204)
})

// --- inactive users ---

/** Starts an app with a guest, a phone number, a WhatsApp contact and two other users, all created 100 days ago and inactive since. */
async function startLongAgo (t: Test, RETENTION_GUESTS: number) {
  const meta = await startMeta(t)
  const server = await startApp(t, { ...meta.settings, RETENTION_GUESTS })
  const { anyone, as, query, work, db } = server
  await as('ann')
  await anyone.get('/chat/initial', { 'x-api-key': API_KEY })
  await anyone.post('/chat', { user_phone: '123456', user_message: 'hello' })
  await query("WITH u AS (INSERT INTO users (origin, phone_number) VALUES ('whatsapp', '16505551234') RETURNING id) INSERT INTO identities SELECT 'whatsapp', '16505551234', id FROM u")
  const body = JSON.stringify(from('16505551234', 'Hi'))
  await anyone.post('/chat/whatsapp', body, signed(body))
  await work()
  await meta.has(1)
  await until(async () => (await query("SELECT FROM whatsapp_deliveries WHERE state = 'queued'")).length === 0)
  await query("INSERT INTO users (origin) VALUES ('api')") // neither a guest nor a contact, so it is not deleted
  await query(`
    UPDATE users SET created_at = now() - interval '100 days', last_login_at = now() - interval '100 days';
    UPDATE sessions SET last_used_at = now() - interval '100 days';
    UPDATE conversations SET last_updated = now() - interval '100 days';
    UPDATE whatsapp_contacts SET last_message_at = now() - interval '100 days'`)
  return {
    ...server,
    async tidy () {
      await addJob(db, 'tidy', {}, { key: 'tidy' })
      await until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE key = 'tidy' AND run_at > now() + interval '23 hours'")).length === 1)
    },
    kinds: async () => (await query('SELECT coalesce(username, CASE WHEN is_guest THEN \'guest\' END, origin::text) AS kind FROM users ORDER BY id')).map(({ kind }) => kind as string)
  }
}

const EVERYBODY = ['ann', 'guest', 'phone', 'whatsapp', 'api']

t.test('RETENTION_GUESTS=0 keeps everybody', async t => {
  const { tidy, kinds } = await startLongAgo(t, 0)
  await tidy()
  t.same(await kinds(), EVERYBODY)
})

t.test('inactive guests, phone numbers and WhatsApp contacts are deleted with their messages', async t => {
  const { tidy, kinds, query, anyone } = await startLongAgo(t, 90)
  const uses: Array<[kind: string, use: string, undo: string]> = [
    ['guest', "UPDATE users SET created_at = now() - interval '89 days' WHERE is_guest", "UPDATE users SET created_at = now() - interval '91 days' WHERE is_guest"],
    ['guest', 'UPDATE users SET last_login_at = now() WHERE is_guest', "UPDATE users SET last_login_at = now() - interval '91 days' WHERE is_guest"],
    ['guest', "UPDATE sessions SET last_used_at = now() WHERE kind = 'guest'", "UPDATE sessions SET last_used_at = now() - interval '91 days' WHERE kind = 'guest'"],
    ['phone', "UPDATE conversations SET last_updated = now() WHERE origin = 'phone'", "UPDATE conversations SET last_updated = now() - interval '91 days' WHERE origin = 'phone'"],
    ['whatsapp', 'UPDATE whatsapp_contacts SET last_message_at = now()', "UPDATE whatsapp_contacts SET last_message_at = now() - interval '91 days'"],
    // A contact whose key is not the present address, as after a new number.
    ['whatsapp', "UPDATE whatsapp_contacts SET contact = '16505551234-2', last_message_at = now()", "UPDATE whatsapp_contacts SET contact = phone, last_message_at = now() - interval '91 days'"],
    ['whatsapp', 'UPDATE whatsapp_inbox SET handled_at = NULL', 'UPDATE whatsapp_inbox SET handled_at = now()']
  ]
  for (const [, use] of uses) await query(use)
  await tidy()
  t.same(await kinds(), EVERYBODY, 'all of them were active')
  for (const kind of ['whatsapp', 'phone', 'guest']) {
    const theirs = uses.filter(([whose]) => whose === kind)
    for (const [nth, [, use, undo]] of theirs.entries()) {
      await query(undo)
      if (nth < theirs.length - 1) continue
      for (const [, again] of theirs) {
        await query(again)
        await tidy()
        t.ok((await kinds()).includes(kind), `${kind}: ${again}`)
        await query(theirs.find(([, other]) => other === again)![2])
      }
      t.ok(use)
    }
    await tidy()
    t.notOk((await kinds()).includes(kind), `${kind}: inactive for 91 days`)
  }
  t.same(await kinds(), ['ann', 'api'], 'accounts are kept')
  for (const table of ['conversations', 'messages', 'identities', 'whatsapp_contacts', 'whatsapp_inbox', 'whatsapp_deliveries']) t.same(await query(`SELECT FROM ${table}`), [], table)
  t.match((await anyone.post('/chat', { user_phone: '123456', user_message: 'hello' })).json(), { bot_message: 'What is your name?' }, 'the phone number starts a new conversation')
})

t.test('a WhatsApp contact who writes while the clean-up deletes them is kept, and answered', async t => {
  const { tidy, kinds, query, anyone, connection } = await startLongAgo(t, 90)
  const other = await open(t, connection)
  // The clean-up has checked that the contact is inactive, and waits until the other transaction ends.
  await other.query('BEGIN; SELECT FROM whatsapp_deliveries FOR UPDATE')
  const tidied = tidy()
  await isWaiting(other)
  const body = JSON.stringify(from('16505551234', 'I am back'))
  t.equal((await anyone.post('/chat/whatsapp', body, signed(body))).statusCode, 200)
  await other.query('ROLLBACK')
  await tidied
  t.same(await kinds(), EVERYBODY)
  t.same(await query("SELECT count(*)::int AS messages FROM whatsapp_inbox WHERE kind = 'message'"), [{ messages: 2 }])
  await until(async () => (await query("SELECT FROM whatsapp_deliveries WHERE state = 'sent'")).length === 2)
  await tidy()
  t.same(await kinds(), ['ann', 'whatsapp', 'api'], 'the next run deletes the others')
})

t.test('inactive users are deleted in batches, and one who becomes active meanwhile is kept', async t => {
  const { tidy, query, db } = await startLongAgo(t, 30)
  await query("INSERT INTO users (username, created_at) SELECT 'user ' || n, now() - interval '60 days' FROM generate_series(1, 10000) n")
  await query(`
    WITH u AS (INSERT INTO users (is_guest, origin, created_at) SELECT true, 'api', now() - interval '60 days' FROM generate_series(1, 120) RETURNING id),
    c AS (INSERT INTO conversations (name, owner_id, origin, last_updated) SELECT 'Chat', id, 'api', now() - interval '60 days' FROM u RETURNING id, owner_id)
    INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM c`)
  const [{ last }] = await query('SELECT max(id)::int AS last FROM users') as unknown as [{ last: number }]
  const connect = db.$client.connect.bind(db.$client) as (...args: unknown[]) => Promise<unknown>
  let isFirst = true
  t.capture(db.$client, 'connect', (...args: unknown[]) => {
    // `pool.query` calls `connect` with a callback, a transaction calls it without arguments.
    if (args.length > 0 || !isFirst) return connect(...args)
    isFirst = false
    return query('UPDATE users SET last_login_at = now() WHERE id = $1', [last]).then(() => connect())
  })
  await tidy()
  t.same((await query('SELECT id::int FROM users WHERE is_guest')).map(({ id }) => id as unknown as number), [last], 'the user’s activity was noticed under the lock')
  t.equal((await query("SELECT FROM conversations WHERE origin = 'api'")).length, 1)
})
