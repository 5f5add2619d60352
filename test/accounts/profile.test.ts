import t, { type Test } from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hashing } from '../../src/accounts/hashing.ts'
import type { Config } from '../../src/config.ts'
import { freshDatabase, startApp, type Client, type Headers } from '../support/helper.ts'
import { clientOf, connect, isWaiting, layCable, openPlace } from '../support/process.ts'

const PASSWORD = 'correct horse'

/** The header that sends back the cookie that a response sets. */
const cookieOf = ({ cookies: [cookie] }: Awaited<ReturnType<Client['get']>>) => ({ cookie: `${cookie!.name}=${cookie!.value}` })

t.test('a user reads and changes their profile', async t => {
  const { as, anyone, query } = await startApp(t)
  const ann = await as('ann')
  await as('bob')
  const read = async () => (await ann.get('/api/me')).json()
  const [id] = (await query("SELECT id::int FROM users WHERE username = 'ann'")).map(({ id }) => id)
  const blank = { id, username: 'ann', name: null, email: null, is_email_verified: false, phone_number: null, is_guest: false, role: 'user' }
  t.match(await read(), blank)
  t.match((await read()).created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

  const rows: Array<[change: object, status: number, answer: object]> = [
    [{}, 200, blank],
    [{ name: ' Ann A. ', phone_number: ' +49 (30) 12-34.5 ' }, 200, { ...blank, name: 'Ann A.', phone_number: '+49 (30) 12-34.5' }],
    [{ name: null }, 200, { name: null, phone_number: '+49 (30) 12-34.5' }],
    [{ phone_number: null, name: 'Ann' }, 200, { name: 'Ann', phone_number: null }],
    [{ name: ' ' }, 400, { code: 'INVALID_REQUEST', details: [{ path: 'name' }] }],
    [{ phone_number: 'call me' }, 400, { code: 'INVALID_REQUEST', details: [{ path: 'phone_number' }] }],
    [{ name: 'Half', username: null, current_password: PASSWORD }, 400, { code: 'INVALID_REQUEST' }],
    [{ name: 'Half', password: null, current_password: PASSWORD }, 400, { code: 'INVALID_REQUEST' }],
    [{ name: 'Half', password: 'short', current_password: PASSWORD }, 400, { code: 'INVALID_REQUEST' }],
    [{ name: 'Half', password: 'iloveyou', current_password: PASSWORD }, 400, { code: 'INVALID_PASSWORD' }],
    [{ name: 'Half', username: 'BOB', current_password: PASSWORD }, 400, { code: 'USERNAME_TAKEN', error: 'Username already exists' }],
    ...['email', 'username', 'password'].flatMap((field): typeof rows => {
      const change = { name: 'Half', [field]: 'ann@example.com' }
      return [
        [change, 400, { code: 'PASSWORD_REQUIRED' }],
        [{ ...change, current_password: 'wrong horse' }, 403, { code: 'WRONG_PASSWORD' }]
      ]
    }),
    [{ name: 'Half', email: null }, 400, { code: 'PASSWORD_REQUIRED' }],
    [{ name: 'Half', email: 'nowhere', current_password: PASSWORD }, 400, { details: [{ path: 'email' }] }],
    [{ current_password: 'wrong horse' }, 200, { name: 'Ann' }],
    [{ role: 'admin', id: 1, is_guest: true, is_email_verified: true, current_password: PASSWORD }, 200, { ...blank, name: 'Ann' }],
    [{ email: ' ann@example.com ', current_password: PASSWORD }, 200, { name: 'Ann', email: 'ann@example.com', is_email_verified: false }],
    [{ username: ' Anna ', current_password: PASSWORD }, 200, { username: 'Anna', name: 'Ann', email: 'ann@example.com' }],
    [{ username: 'ANNA', current_password: PASSWORD }, 200, { username: 'ANNA' }]
  ]
  for (const [change, status, answer] of rows) {
    const { statusCode, json } = await ann.patch('/api/me', change)
    t.match([statusCode, json()], [status, answer], JSON.stringify(change))
    if (status === 200) t.same(await read(), json(), 'the change was stored')
    else t.equal((await read()).name, 'Ann', 'nothing was changed')
  }
  const status = async (username: string) => (await anyone.post('/api/login', { username, password: PASSWORD })).statusCode
  t.same([await status('anna'), await status('ann')], [200, 401])
  t.equal((await anyone.post('/api/signup', { username: 'ann', password: PASSWORD })).statusCode, 201, 'a username that was given up is free')

  const change = async (email: string | null) => (await ann.patch('/api/me', { email, current_password: PASSWORD })).json()
  await query('UPDATE users SET email_verified_at = now() WHERE id = $1', [id])
  t.match(await change('ANN@example.com'), { email: 'ANN@example.com', is_email_verified: true }, 'the same address in upper case stays verified')
  t.match(await change('ann@example.org'), { email: 'ann@example.org', is_email_verified: false }, 'a new address is not verified')
  await query('UPDATE users SET email_verified_at = now() WHERE id = $1', [id])
  t.match(await change(null), { email: null, is_email_verified: false })
})

/** Starts two instances on one database. */
async function startTwo (t: Test) {
  const here = await startApp(t)
  return [here, await startApp(t, {}, undefined, here.connection)] as const
}

t.test('after a session was ended, every new request with it is refused on every instance', async t => {
  const [here, there] = await startTwo(t)
  const device = (n: number) => ({ 'user-agent': `Device ${n}` })
  const logIn = async (n = 0) => cookieOf(await here.anyone.post('/api/login', { username: 'ann', password: PASSWORD }, device(n)))
  await here.as('ann')

  /** The ways to end sessions, and which of three sessions each ends. The first session is the one that sends the request. */
  const ways: Record<string, [ends: number[], end: (own: Client, sessions: Array<{ id: number }>) => Promise<{ statusCode: number }>]> = {
    'GET logout': [[0], own => own.get('/api/logout')],
    'POST logout': [[0], own => own.post('/api/logout')],
    'DELETE another session': [[1], (own, [, second]) => own.delete(`/api/me/sessions/${second!.id}`)],
    'DELETE its own session': [[0], (own, [first]) => own.delete(`/api/me/sessions/${first!.id}`)],
    'a changed password': [[0, 1, 2], own => own.patch('/api/me', { password: PASSWORD, current_password: PASSWORD })],
    'a deleted account': [[0, 1, 2], own => own.delete('/api/me', {}, { password: PASSWORD })]
  }
  for (const [way, [ends, end]] of Object.entries(ways)) {
    const headers: Headers[] = [await logIn(1), await logIn(2)]
    const { access_token: token } = (await here.anyone.post('/login', { id: 'ann', passcode: PASSWORD }, device(3))).json()
    headers.push({ authorization: `Bearer ${token}` })
    const own = here.clientOf(headers[0]!)
    const listed = (await own.get('/api/me/sessions?limit=3')).json().reverse()
    t.match(listed, [
      { user_agent: 'Device 1', kind: 'cookie', is_current: true, ip: '127.0.0.1' },
      { user_agent: 'Device 2', kind: 'cookie', is_current: false },
      { user_agent: 'Device 3', kind: 'access_token', is_current: false }
    ])
    const status = (on: typeof here) => Promise.all(headers.map(async each => (await on.clientOf(each).get('/api/me')).statusCode))
    t.same([await status(here), await status(there)], [[200, 200, 200], [200, 200, 200]])

    const { statusCode } = await end(own, listed)
    t.ok([200, 204].includes(statusCode), way)
    const expected = [0, 1, 2].map(n => ends.includes(n) ? 401 : 200)
    t.same([await status(there), await status(here)], [expected, expected], way)
  }
})

t.test('a user lists their own sessions, newest first, in pages, with device and last use', async t => {
  const { as, anyone, clientOf, query } = await startApp(t)
  const bob = await as('bob')
  const ann = await as('ann')
  for (let n = 1; n <= 4; n++) await anyone.post('/api/login', { username: 'ann', password: PASSWORD }, { 'user-agent': `Device ${n} ${'x'.repeat(600)}` })
  const first = await ann.get('/api/me/sessions?limit=3')
  const [, next] = /^<(.+)>; rel="next"$/.exec(String(first.headers['link']))!
  const second = await ann.get(next!.replace('http://localhost:80', ''))
  t.same([first.json().length, second.json().length, second.headers['link']], [3, 2, undefined])
  const all = [...first.json(), ...second.json()]
  t.same(all.map(({ user_agent: agent }) => agent?.slice(0, 8)), ['Device 4', 'Device 3', 'Device 2', 'Device 1', 'lightMyR'])
  t.equal(all[0].user_agent.length, 500)
  t.same(all.map(({ is_current: isCurrent }) => isCurrent), [false, false, false, false, true])
  t.same(Object.keys(all[0]).sort(), ['created_at', 'expires_at', 'id', 'ip', 'is_current', 'kind', 'last_used_at', 'user_agent'])

  await query("UPDATE sessions SET last_used_at = now() - interval '10 minutes'")
  const [{ last_used_at: used }] = (await ann.get('/api/me/sessions')).json().slice(-1)
  t.ok(Date.now() - Date.parse(used) < 60_000, 'the session that sends the request was used just now')
  const ids = all.map(({ id }) => id as number)
  await query("UPDATE sessions SET last_used_at = now() - interval '32 minutes' WHERE id = $1", [ids[0]])
  await query('UPDATE sessions SET expires_at = now() WHERE id = $1', [ids[1]])
  await query('UPDATE sessions SET revoked_at = now() WHERE id = $1', [ids[2]])
  t.same((await ann.get('/api/me/sessions')).json().map(({ id }: { id: number }) => id), ids.slice(3), 'only sessions that have not ended are listed')

  for (const id of [...ids.slice(0, 3), 999_999]) t.match((await ann.delete(`/api/me/sessions/${id}`)).json(), { statusCode: 404, code: 'SESSION_NOT_FOUND' })
  t.equal((await bob.delete(`/api/me/sessions/${ids[3]}`)).statusCode, 404, 'a user cannot end sessions of others')
  t.equal((await ann.delete(`/api/me/sessions/${ids[3]}`)).statusCode, 204)
  t.equal((await ann.delete(`/api/me/sessions/${ids[3]}`)).statusCode, 404)
  t.equal((await clientOf(ann.headers).get('/api/me')).statusCode, 200)
})

t.test('a changed password ends all sessions and reset links', async t => {
  const { as, anyone, clientOf, query } = await startApp(t)
  const ann = await as('ann')
  await query(`INSERT INTO one_time_tokens (purpose, user_id, address, expires_at)
    SELECT purpose, id, 'ann@example.com', now() + interval '1 hour' FROM users, unnest('{password_reset,email_verification}'::token_purpose[]) AS purpose`)

  const byCookie = await ann.patch('/api/me', { password: 'new horse', current_password: PASSWORD })
  t.equal(byCookie.statusCode, 200)
  t.notOk('password' in byCookie.json())
  const again = clientOf(cookieOf(byCookie))
  t.same([(await ann.get('/api/me')).statusCode, (await again.get('/api/me')).statusCode], [401, 200], 'a browser gets a new session cookie')
  t.same(await query('SELECT purpose FROM one_time_tokens WHERE used_at IS NOT NULL'), [{ purpose: 'password_reset' }], 'links to reset the password become invalid')

  const bearer = clientOf({ authorization: `Bearer ${again.headers['cookie']!.split('=')[1]}` })
  const byToken = await bearer.patch('/api/me', { password: 'newer horse', current_password: 'new horse' }, ann.headers)
  t.same([byToken.statusCode, byToken.headers['set-cookie']], [200, undefined], 'a client with a token has to log in again')
  t.equal((await bearer.get('/api/me')).statusCode, 401)

  const status = async (password: string) => (await anyone.post('/api/login', { username: 'ann', password })).statusCode
  t.same([await status(PASSWORD), await status('new horse'), await status('newer horse')], [401, 401, 200])
})

t.test('if several requests change the password at once, one succeeds', async t => {
  const [here, there] = await startTwo(t)
  const ann = await here.as('ann')
  const passwords = Array.from({ length: 8 }, (_, n) => `horse number ${n}`)
  const answers = await Promise.all(passwords.map((password, n) =>
    [here, there][n % 2]!.clientOf(ann.headers).patch('/api/me', { password, current_password: PASSWORD })))
  t.same(answers.map(({ statusCode }) => statusCode).filter(status => status === 200).length, 1)
  t.ok(answers.every(({ statusCode }) => [200, 401, 403].includes(statusCode)))
  const opened = await Promise.all(passwords.map(async password => (await here.anyone.post('/api/login', { username: 'ann', password })).statusCode))
  t.same(opened.map(status => status === 200), answers.map(({ statusCode }) => statusCode === 200))
})

t.test('a login with the old password that is under way while it changes creates no session', async t => {
  const [here, there] = await startTwo(t)
  const ann = await here.as('ann')
  const postgres = await connect(t, here.connection)

  t.comment('The password is changed after the comparison with the old hash')
  const { compare } = hashing
  let change: (() => Promise<unknown>) | undefined = () => ann.patch('/api/me', { password: 'new horse', current_password: PASSWORD })
  t.capture(hashing, 'compare', async (password: string, hash: string) => {
    const matches = await compare(password, hash)
    const now = change
    change = undefined
    await now?.()
    return matches
  })
  const late = await there.anyone.post('/login', { id: 'ann', passcode: PASSWORD })
  t.match([late.statusCode, late.json()], [401, { msg: 'Bad id or passcode' }])

  t.comment('The change is not committed yet')
  await postgres.query("BEGIN; UPDATE users SET password_hash = 'another' WHERE username = 'ann'; UPDATE sessions SET revoked_at = now() WHERE revoked_at IS NULL")
  const waiting = there.anyone.post('/api/login', { username: 'ann', password: 'new horse' })
  await isWaiting(postgres)
  await postgres.query('COMMIT')
  t.match((await waiting).json(), { statusCode: 401, code: 'INVALID_CREDENTIALS' })
  t.same(await here.query('SELECT FROM sessions WHERE revoked_at IS NULL'), [])
})

// --- the export ---

/** Adds a user to a conversation, at a given time. */
const ADD_MEMBER = 'INSERT INTO conversation_users (conversation_id, user_id, joined_at) SELECT $1, id, $3 FROM users WHERE username = $2'

t.test('the export has everything about the user, and nothing about others', async t => {
  const { app, as, anyone, query } = await startApp(t)
  await anyone.post('/api/signup', { username: 'ann', password: PASSWORD, name: 'Ann A.', email: 'ann@example.com' })
  const [ann, bob, cleo] = [await as('ann'), await as('bob'), await as('cleo')]
  await ann.patch('/api/me', { phone_number: '+49 30 1234' })
  const [{ id }] = await query("SELECT id::int FROM users WHERE username = 'ann'")
  await query("INSERT INTO identities (channel, address, user_id) VALUES ('whatsapp', '49301234', $1)", [id])
  await query("INSERT INTO one_time_tokens (purpose, user_id, address, expires_at) VALUES ('password_reset', $1, 'old@example.com', now())", [id])
  const begin = async (owner: Client, name: string, bots?: string[]) => (await owner.post('/api/conversations', { name, bots })).json().id as number
  const say = async (who: Client, conversation: number, text: string) => await who.post(`/api/conversations/${conversation}/messages`, { text, client_id: `id of ${text}` })

  const alone = await begin(ann, 'Alone', ['favorite-song'])
  await say(ann, alone, 'hello')
  await say(ann, alone, 'Ann')
  await ann.delete(`/api/conversations/${alone}/messages/1`)
  const empty = await begin(ann, 'Empty')
  const shared = await begin(bob, 'Shared', [])
  const left = await begin(bob, 'Left', [])
  const strange = await begin(bob, 'Strange')
  for (const conversation of [shared, left]) {
    await query(ADD_MEMBER, [conversation, 'ann', new Date()])
    await say(ann, conversation, `Ann in ${conversation}`)
    await say(bob, conversation, `Bob’s secret in ${conversation}`)
  }
  await say(bob, strange, 'Bob’s secret')
  await say(cleo, await begin(cleo, 'Cleo’s secret'), 'Cleo’s secret')
  await bob.delete(`/api/conversations/${left}/users/${id}`)
  await bob.patch(`/api/conversations/${left}`, { name: 'Bob’s secret name', metadata: { note: 'Bob’s secret note' } })

  const answer = await ann.get('/api/me/export')
  t.match(answer.headers, { 'content-type': 'application/json; charset=utf-8', 'content-disposition': 'attachment; filename="parley-export.json"' })
  const all = answer.json()
  t.match(all, {
    exported_at: String,
    profile: { id, username: 'ann', name: 'Ann A.', email: 'ann@example.com', email_verified_at: null, phone_number: '+49 30 1234', origin: 'web', role: 'user', created_at: String, last_login_at: String },
    identities: [{ channel: 'whatsapp', address: '49301234' }],
    sessions: [{ kind: 'cookie', user_agent: 'lightMyRequest', ip: '127.0.0.1', created_at: String, last_used_at: String, expires_at: String, revoked_at: null }],
    links_sent: [{ purpose: 'email_verification', address: 'ann@example.com', used_at: null }, { purpose: 'password_reset', address: 'old@example.com', used_at: null }]
  })
  const [state] = await query('SELECT state FROM conversations WHERE id = $1', [alone])
  t.match(all.conversations, [
    {
      id: alone,
      name: 'Alone',
      is_owner: true,
      is_shared: false,
      joined_at: String,
      read_rev: Number,
      remembered_by_bots: state.state,
      messages: [
        { id: 1, sender: 'user', text: '', status: 'deleted', client_id: 'id of hello' },
        { id: 2, sender: 'bot', username: 'favorite-song', text: 'What is your name?' },
        { id: 3, sender: 'user', username: 'ann', text: 'Ann' },
        { id: 4, sender: 'bot', text: 'Hello Ann, what is your favorite song?' }
      ]
    },
    { id: empty, name: 'Empty', messages: [] },
    { id: shared, name: 'Shared', is_finished: false, last_updated: /^\d{4}-.*Z$/, is_owner: false, is_shared: true, joined_at: String, remembered_by_bots: null, messages: [{ text: `Ann in ${shared}` }] },
    { id: left, name: null, metadata: null, is_finished: null, last_updated: null, is_owner: false, is_shared: true, joined_at: null, remembered_by_bots: null, messages: [{ text: `Ann in ${left}` }] }
  ])
  t.same(all.conversations.map(({ messages }: { messages: unknown[] }) => messages.length), [4, 0, 1, 1])
  const hashes = (await query('SELECT password_hash AS hash FROM users UNION SELECT client_text_hash FROM messages')).flatMap(({ hash }) => hash ?? [])
  t.ok(hashes.length > 5)
  for (const hash of hashes) t.notOk(answer.body.includes(hash))
  t.notMatch(answer.body, /hash|secret|\$2b\$/i)
  t.equal((await ann.get('/api/me/export', { cookie: 'session=nonsense' })).headers['content-disposition'], undefined, 'an error is not sent as an attachment')

  const dora = await as('dora')
  t.match((await dora.get('/api/me/export')).json(), { conversations: [], identities: [], links_sent: [] })
  await query(`WITH c AS (INSERT INTO conversations (name, owner_id) SELECT n, id FROM users, generate_series(1, 600) n WHERE username = 'dora' RETURNING id, owner_id)
    INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM c`)
  const many = (await dora.get('/api/me/export')).json().conversations as Array<{ name: string }>
  t.same(many.map(({ name }) => Number(name)), Array.from({ length: 600 }, (_, n) => n + 1))
  const head = await app.inject({ method: 'HEAD', url: '/api/me/export', headers: dora.headers })
  t.same([head.statusCode, head.payload], [200, ''])
})

/** Where the export has what a table stores about a user. */
const EXPORTED: Record<string, string> = {
  identities: 'identities',
  external_users: 'external_identities',
  sessions: 'sessions',
  one_time_tokens: 'links_sent',
  invitations: 'invitations',
  server_keys: 'server_keys',
  conversations: 'conversations',
  conversation_users: 'conversations',
  messages: 'conversations',
  gone_conversations: 'left_conversations',
  reply_costs: 'costs',
  admin_log: 'admin_actions'
}

/** Columns of users that the export does not have: two hashes, and the username in the form in which it is compared. */
const NOT_EXPORTED = ['password_hash', 'api_key_hash', 'username_key']

t.test('the export has what every table stores about the user', async t => {
  const { as, query } = await startApp(t)
  const [ann, bob] = [await as('ann'), await as('bob')]
  const [{ id }] = await query("UPDATE users SET role = 'admin', budget_tokens = 7 WHERE username = 'ann' RETURNING id::int")
  await ann.post('/api/conversations', { name: 'Alone' })
  const { id: left } = (await bob.post('/api/conversations', { name: 'Left' })).json()
  await bob.post(`/api/conversations/${left}/users`, { username: 'ann' })
  t.equal((await ann.delete(`/api/conversations/${left}/users/${id}`)).statusCode, 204)
  await ann.post('/api/admin/keys', { name: 'Shop', scopes: ['read'] })
  t.equal((await ann.post('/api/admin/invitations', {})).statusCode, 201)
  await query("INSERT INTO invitations (secret_hash, expires_at, used_at, used_by) VALUES ('of bob', now(), now(), $1)", [id])
  await query("INSERT INTO identities (channel, address, user_id) VALUES ('whatsapp', '49301234', $1)", [id])
  await query("INSERT INTO external_users (issuer, subject, user_id) VALUES ('https://issuer.example', 'ann', $1)", [id])
  await query("INSERT INTO one_time_tokens (purpose, user_id, address, expires_at) VALUES ('password_reset', $1, 'old@example.com', now())", [id])
  await query("INSERT INTO reply_costs (user_id, bot_name, model, status, prompt_tokens, completion_tokens, created_at) SELECT $1, 'assistant', 'small', 'complete', n, 2, '2026-11-01'::timestamptz + n / 3 * interval '1 microsecond' FROM generate_series(1, 1501) n", [id])
  await query("INSERT INTO admin_log (admin_id, admin_name, action, user_id) SELECT id, 'bob', 'user.budget', $1 FROM users WHERE username = 'bob'", [id])
  const answer = await ann.get('/api/me/export')
  const all = answer.json()

  const tables = await query("SELECT DISTINCT conrelid::regclass::text AS name FROM pg_constraint WHERE contype = 'f' AND confrelid = 'users'::regclass UNION SELECT 'admin_log'")
  t.same(tables.map(({ name }) => name).sort(), Object.keys(EXPORTED).sort(), 'every table that refers to users')
  for (const [table, field] of Object.entries(EXPORTED)) t.not(all[field]?.length ?? 0, 0, `${table} as ${field}`)
  const columns = await query("SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'users' AND table_schema = current_schema()")
  const named = columns.map(({ name }) => name === 'budget_tokens' ? 'budget' : name).filter(name => !NOT_EXPORTED.includes(name))
  t.same(Object.keys(all.profile).sort(), named.sort(), 'every column of users')

  t.match(all, {
    profile: { budget: 7, locked_at: null },
    invitations: [{ is_own: true, used_at: null }, { is_own: false, used_at: String }],
    server_keys: [{ name: 'Shop', scopes: ['read'], last_used_at: null, revoked_at: null }],
    left_conversations: [{ id: left, left_at: String }],
    costs: [{ bot: 'assistant', model: 'small', status: 'complete', prompt_tokens: 1, completion_tokens: 2, is_estimate: false }],
    admin_actions: [{ action: 'user.budget', created_at: String }]
  })
  t.same(all.costs.map(({ prompt_tokens: nth }: { prompt_tokens: number }) => nth), Array.from({ length: 1_501 }, (_, n) => n + 1))
  t.notMatch(answer.body, /bob/)
  t.match((await bob.get('/api/me/export')).json(), { invitations: [], server_keys: [], left_conversations: [], costs: [], admin_actions: [] })
})

/** Creates a user whose export is long, and opens exports that nobody reads yet. */
async function startLong (t: Test, count: number, changes?: Partial<Config>) {
  const server = await startApp(t, changes)
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Long' })).json()
  await server.query(`INSERT INTO messages (conversation_id, id, rev, sender, user_id, text)
    SELECT id, n, n, 'user', owner_id, texts.text FROM conversations, generate_series(1, ${count}) n,
    LATERAL (SELECT string_agg(md5(concat(n, ' ', m)), '') AS text FROM generate_series(1, 220) m) texts WHERE id = $1`, [id])
  // Only a real socket has buffers that fill up when the reader is slow. Those of TCP grow to tens of MiB and would take the
  // whole document; those of a Unix domain socket stay small.
  const { folder } = await openPlace(t) // its path is short enough for a Unix domain socket
  const socketPath = path.join(folder, 'socket')
  await server.app.listen({ path: socketPath })
  const open = async (headers: Headers = {}) => {
    const [response] = await once(http.get({ socketPath, path: '/api/me/export', headers: { ...ann.headers, ...headers } }), 'response') as [http.IncomingMessage]
    await once(response, 'readable')
    return response
  }
  return { ...server, ann, open }
}

t.test('the export is written as fast as the client reads it, and stops if the client disconnects', async t => {
  const count = 6_000
  const { db, open: openExport } = await startLong(t, count)
  const asked = t.capture(db.$client, 'query', db.$client.query)
  let queries = 0
  const soFar = () => (queries += asked().length)
  const open = async () => {
    queries = 0
    asked()
    return await openExport()
  }
  const untilNothingIsAsked = async () => { for (let before = -1; before < soFar(); await sleep(200)) before = queries }

  const whole = await open()
  await untilNothingIsAsked()
  const atFirst = queries
  const chunks: Buffer[] = []
  for await (const chunk of whole) chunks.push(chunk)
  const inAll = soFar()
  t.ok(inAll > atFirst + 3, `${atFirst} queries while the client does not read, ${inAll} in all`)
  const { conversations: [{ messages }] } = JSON.parse(Buffer.concat(chunks).toString())
  t.same(messages.map(({ id }: { id: number }) => id), Array.from({ length: count }, (_, n) => n + 1), 'each message once, in order')

  const leaving = await open()
  await untilNothingIsAsked()
  leaving.destroy()
  await untilNothingIsAsked()
  t.ok(queries < inAll - 3, `${queries} queries for a client that disconnected`)

  const broken = await open()
  await untilNothingIsAsked()
  t.intercept(db.$client, 'query', { value: async () => { throw new Error('a defect') } })
  await t.rejects(broken.toArray(), { code: 'ECONNRESET' }, 'after an error in the middle the connection is cut, so that the document does not look complete')
})

t.test('the export reads few long messages at once, and leaves none out', async t => {
  const { as, db, query } = await startApp(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Long' })).json()
  await query(`INSERT INTO messages (conversation_id, id, rev, sender, user_id, text)
    SELECT id, n, n, 'user', owner_id, repeat('😀', CASE WHEN n % 7 = 0 THEN 100000 ELSE n END) FROM conversations, generate_series(1, 60) n WHERE id = $1`, [id])
  await query('UPDATE conversations SET last_rev = 60 WHERE id = $1', [id])
  let most = 0
  const run = db.$client.query.bind(db.$client) as (...args: unknown[]) => Promise<{ rows: unknown[] }>
  db.$client.query = (async (...args: unknown[]) => {
    const answer = await run(...args)
    most = Math.max(most, Buffer.byteLength(JSON.stringify(answer.rows)))
    return answer
  }) as never
  const [{ messages }] = (await ann.get('/api/me/export')).json().conversations
  t.same(messages.map(({ id, text }: { id: number, text: string }) => [id, [...text].length]), Array.from({ length: 60 }, (_, n) => [n + 1, (n + 1) % 7 === 0 ? 100_000 : n + 1]))
  t.ok(most < 2 * 1024 * 1024, `${most} bytes at once`)
})

// --- deletion ---

t.test('a deleted account is deleted with everything that is not shared with others', async t => {
  const { as, anyone, query } = await startApp(t)
  const [ann, bob] = [await as('ann'), await as('bob')]
  const { id } = (await ann.get('/api/me')).json()
  const names = ['Alone', 'Ann’s', 'Bob’s']
  const [alone, anns, bobs] = await Promise.all(names.map(async (name, n) => (await [ann, ann, bob][n]!.post('/api/conversations', { name })).json().id as number)) as [number, number, number]
  await as('cleo')
  await query(ADD_MEMBER, [anns, 'cleo', new Date('2026-01-02')])
  await query(ADD_MEMBER, [anns, 'bob', new Date('2026-01-01')])
  await query(ADD_MEMBER, [bobs, 'ann', new Date()])
  for (const conversation of [alone, anns, bobs]) await ann.post(`/api/conversations/${conversation}/messages`, { text: 'Hi', client_id: String(conversation) })
  await bob.post(`/api/conversations/${anns}/messages`, { text: 'Hi Ann' })
  await query("INSERT INTO identities (channel, address, user_id) VALUES ('whatsapp', '1', $1)", [id])
  await query("INSERT INTO one_time_tokens (purpose, user_id, address, expires_at) VALUES ('password_reset', $1, 'a@b', now())", [id])

  t.match((await bob.delete(`/api/conversations/${anns}`)).json(), { statusCode: 403, code: 'NOT_THE_OWNER' })
  const answer = (body?: object) => ann.delete('/api/me', {}, body)
  t.match((await answer()).json(), { statusCode: 400, code: 'INVALID_REQUEST' })
  t.match((await answer({})).json(), { statusCode: 400, details: [{ path: 'password' }] })
  t.match((await answer({ password: 'wrong horse' })).json(), { statusCode: 403, code: 'WRONG_PASSWORD', error: 'The password is wrong' })
  t.equal((await ann.get('/api/me')).statusCode, 200)
  const gone = await answer({ password: PASSWORD })
  t.match([gone.statusCode, gone.body, gone.cookies], [204, '', [{ name: 'session', value: '', maxAge: 0 }]])

  t.equal((await anyone.post('/api/login', { username: 'ann', password: PASSWORD })).statusCode, 401)
  for (const table of ['users WHERE id', 'sessions WHERE user_id', 'identities WHERE user_id', 'one_time_tokens WHERE user_id', 'conversation_users WHERE user_id', 'messages WHERE user_id', 'conversations WHERE owner_id']) {
    t.same(await query(`SELECT FROM ${table} = $1`, [id]), [], table)
  }
  t.same(await query('SELECT FROM messages WHERE conversation_id = $1', [alone]), [])
  const texts = (conversation: number) => bob.get(`/api/conversations/${conversation}/messages`)
  t.match((await texts(anns)).json(), [
    { sender: 'user', username: null, text: 'Hi' }, { sender: 'bot', text: 'You said: Hi' },
    { sender: 'user', username: 'bob', text: 'Hi Ann' }, { sender: 'bot' }
  ])
  t.match((await texts(bobs)).json(), [{ sender: 'user', username: null, text: 'Hi' }, { sender: 'bot' }])
  t.same(await query('SELECT c.name, u.username FROM conversations c JOIN users u ON u.id = c.owner_id ORDER BY c.name'),
    [{ name: 'Ann’s', username: 'bob' }, { name: 'Bob’s', username: 'bob' }], 'the member who joined first becomes the owner')
  t.equal((await bob.delete(`/api/conversations/${anns}`)).statusCode, 204, 'the new owner may delete the conversation')
  t.equal((await anyone.post('/api/signup', { username: 'Ann', password: PASSWORD })).statusCode, 201, 'the username is free')

  const dora = await as('dora')
  const byToken = await bob.delete('/api/me', { authorization: `Bearer ${bob.headers['cookie']!.split('=')[1]}`, ...dora.headers }, { password: PASSWORD })
  t.match([byToken.statusCode, byToken.headers['set-cookie'], (await dora.get('/api/me')).statusCode], [204, undefined, 200],
    'a request with a token does not affect the user of the cookie')
})

t.test('when members delete their accounts at the same moment, every conversation is kept and has an owner', async t => {
  const [here, there] = await startTwo(t)
  for (let round = 0; round < 6; round++) {
    const names = Array.from({ length: 5 }, (_, n) => `round ${round}, user ${n}`)
    const users = await Promise.all(names.map(name => here.as(name)))
    const ids = await Promise.all(users.map(async (user, n) => {
      const { id } = (await user.post('/api/conversations', { name: names[n], bots: [] })).json()
      // The members join in a ring, so each conversation passes to the next users first. The last user is not deleted.
      for (let next = 1; next < names.length; next++) await here.query(ADD_MEMBER, [id, names[(n + next) % names.length], new Date(Date.now() + next * 1000)])
      await user.post(`/api/conversations/${id}/messages`, { text: 'Hi' })
      return id as number
    }))
    const stays = users.pop()!
    const writing = ids.map(id => stays.post(`/api/conversations/${id}/messages`, { text: 'Still here' }))
    const answers = await Promise.all(users.flatMap((user, n) => [here, there].slice(0, n % 2 + 1).map(on => on.clientOf(user.headers).delete('/api/me', {}, { password: PASSWORD }))))
    t.same([...new Set(answers.map(({ statusCode }) => statusCode))].filter(status => ![204, 401].includes(status)), [], 'each account is deleted, or was deleted already')
    t.same((await Promise.all(writing)).map(({ statusCode }) => statusCode), ids.map(() => 201))
    t.same((await here.query('SELECT username FROM users')).map(({ username }) => username), [names.at(-1)])
    t.same((await stays.get('/api/conversations')).json().map(({ id }: { id: number }) => id).sort(), [...ids].sort(), 'all conversations are still there')
    t.same(await here.query('SELECT id FROM conversations WHERE owner_id <> (SELECT id FROM users)'), [])
    await stays.delete('/api/me', {}, { password: PASSWORD })
    t.same(await here.query('SELECT FROM conversations'), [], 'the conversations are deleted with the last member')
  }
})

t.test('requests are refused if the account is deleted, or its password changed, while they run', async t => {
  const { as, db, query } = await startApp(t)
  const requests: Record<string, (ann: Client) => ReturnType<Client['get']>> = {
    'GET /api/me': ann => ann.get('/api/me'),
    'GET /api/me/export': ann => ann.get('/api/me/export'),
    'GET /api/me/sessions': ann => ann.get('/api/me/sessions'),
    'PATCH /api/me': ann => ann.patch('/api/me', { name: 'Ann' }),
    'PATCH /api/me with a password': ann => ann.patch('/api/me', { password: 'new horse', current_password: PASSWORD }),
    'DELETE /api/me': ann => ann.delete('/api/me', {}, { password: PASSWORD })
  }
  for (const [name, send] of Object.entries(requests)) {
    const ann = await as('ann')
    const ask = db.$client.query.bind(db.$client) as (...args: unknown[]) => Promise<unknown>
    const { restore } = t.capture(db.$client, 'query', async (...args: unknown[]) => {
      const answer = await ask(...args)
      if ((args[0] as { name?: string }).name === 'sessions') await query("DELETE FROM users WHERE username = 'ann'")
      return answer
    })
    const { statusCode, json } = await send(ann)
    restore()
    if (name.endsWith('sessions')) t.same(json(), [], name)
    else t.match([statusCode, json()], [401, { code: 'UNAUTHORIZED' }], name)
  }

  const { compare } = hashing
  for (const change of ["UPDATE users SET password_hash = 'another' WHERE username = 'ann'", "DELETE FROM users WHERE username = 'ann'"]) {
    for (const method of ['patch', 'delete'] as const) {
      const ann = await as('ann')
      const { restore } = t.capture(hashing, 'compare', async (password: string, hash: string) => {
        const matches = await compare(password, hash)
        await query(change)
        return matches
      })
      const answer = method === 'patch'
        ? await ann.patch('/api/me', { email: 'ann@example.com', current_password: PASSWORD })
        : await ann.delete('/api/me', {}, { password: PASSWORD })
      restore()
      t.match(answer.json(), change.startsWith('DELETE') ? { statusCode: 401, code: 'UNAUTHORIZED' } : { statusCode: 403, code: 'WRONG_PASSWORD' }, `${method}: ${change}`)
      await query("DELETE FROM users WHERE username = 'ann'")
    }
  }
})

// --- admins ---

t.test('only a command can make an existing account an admin', async t => {
  const place = await openPlace(t)
  const make = (...names: string[]) => place.run('admin.ts', names).ended
  const USAGE = 'Usage: npm run admin -- USERNAME, or --create USERNAME, or --subject SUB (docs/admin.md)\n'
  t.match(await make(), { code: 1, stderr: `Please say whose account.\n${USAGE}` })
  t.match(await make(' '), { code: 1, stderr: /Please say whose account/ })
  t.match(await make('--help'), { code: 1, stderr: `please sign up first.\n${USAGE}` }, 'a username may begin with a dash')

  const server = await place.serve()
  const role = { role: 'admin', is_admin: true }
  await server.post('/api/signup', { username: 'Ann Á.', password: PASSWORD, ...role })
  await server.post('/register', { id: 'bob', passcode: PASSWORD, ...role })
  const logIn = async (username: string) => {
    const { headers } = await server.post('/api/login', { username, password: PASSWORD, ...role })
    return clientOf(server.url, { cookie: headers.getSetCookie()[0]!.split(';')[0]! })
  }
  const [ann, bob] = [await logIn('Ann Á.'), await logIn('bob')]
  const roles = async () => [(await ann.get('/api/me')).body.role, (await bob.get('/api/me')).body.role]
  t.match((await bob.patch('/api/me', { name: 'Bob', ...role, current_password: PASSWORD })).body, { name: 'Bob', role: 'user' })
  t.same(await roles(), ['user', 'user'])

  t.match(await make('nobody'), { code: 1, stdout: '', stderr: /^There is no account named nobody in the embedded database in .+: please sign up first\.\n$/ })
  t.match(await place.run('admin.ts', ['nobody'], { SIGNUP: 'closed' }).ended, { code: 1, stderr: /: please create it with --create, because SIGNUP is closed\.\n$/ })
  t.match(await make('ann', 'á.'), { code: 0, stdout: 'ann á. is an admin now.\n', stderr: '' }, 'in any case, while the server runs')
  t.same(await roles(), ['admin', 'user'])
  t.match(await make('ann a\u0301.'), { code: 0 }, 'in another Unicode composition, and a second time')
  await ann.patch('/api/me', { name: 'Ann', role: 'user' })
  t.same(await roles(), ['admin', 'user'])

  server.kill('SIGTERM')
  t.equal((await server.ended).code, 0)
  t.match(await make('BOB'), { code: 0, stdout: 'BOB is an admin now.\n', stderr: '' }, 'also while no server runs')
  t.equal(await place.runningPostgres(), undefined, 'the command stops the Postgres that it started')

  const database = await freshDatabase(t)
  const cable = await layCable(t, database)
  const waiting = place.run('admin.ts', ['ann'], { DATABASE_URL: cable.url })
  await waiting.hasSaid(/^Waiting for the database/)
  await cable.open()
  t.match(await waiting.ended, { code: 1, stderr: new RegExp(`no account named ann in database ${database.database} at`) })
  t.match(await place.run('admin.ts', ['ann'], { PORT: 'none' }).ended, { code: 1, stderr: /^Please correct these settings/ })
})

t.test('exports that nobody reads do not keep other requests of the user waiting, and end with their session', async t => {
  const { ann, anyone, clientOf, open } = await startLong(t, 3_000, { RATE_LIMITS: 'on', REQUESTS_PER_USER: 1, STREAMS_PER_USER: 3 })
  const { access_token: token } = (await anyone.post('/login', { id: 'ann', passcode: PASSWORD })).json()
  const other = { cookie: '', authorization: `Bearer ${token}` }
  const exports = [await open(), await open({ 'accept-encoding': 'gzip' }), await open(other)]
  t.equal((await ann.get('/api/me')).statusCode, 200, 'while three exports are open')
  t.match((await ann.get('/api/me/export')).json(), { statusCode: 429, code: 'TOO_MANY_STREAMS' }, 'their number is limited')

  t.equal((await ann.post('/api/logout')).statusCode, 200)
  const [first, compressed, others] = exports.map(async answer => await answer.toArray().then(chunks => String(Buffer.concat(chunks)), error => error.code as string))
  t.same([await first, await compressed], ['ECONNRESET', 'ECONNRESET'], 'they are cut, so that they do not look complete')
  const { conversations: [{ messages }] } = JSON.parse((await others)!)
  t.equal(messages.length, 3_000, 'the export of another session goes on')
  t.equal((await clientOf(other).get('/api/me/export')).statusCode, 200)
})
