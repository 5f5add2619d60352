import t, { type Test } from 'tap'
import { hashing } from '../../src/accounts/hashing.ts'
import type { Config } from '../../src/config.ts'
import { ADMIN_ACTIONS } from '../../src/accounts/admin-log-store.ts'
import { API_KEY, freshDatabase, holdLock, run, startApp, type Client } from '../support/helper.ts'
import { connect, listen, startLive, tokenOf } from '../support/live.ts'
import { openPlace, until, urlOf } from '../support/process.ts'
import { begin, documentedRoutes, rightRequest, send } from '../support/routes.ts'

// Admins: users, invitations, the log of admin actions, and who may sign up.

const PASSWORD = 'correct horse'

/** Starts an app with an admin, Ada. */
async function startWithAdmin (t: Test, changes: Partial<Config> = {}) {
  const server = await startApp(t, changes)
  return { ...server, ada: await promote(server) }
}

async function promote ({ as, query }: Pick<Awaited<ReturnType<typeof startApp>>, 'as' | 'query'>) {
  const ada = await as('ada')
  await query("UPDATE users SET role = 'admin' WHERE username = 'ada'")
  return ada
}

const idOf = async (client: Client) => (await client.get('/api/me')).json().id as number
const logIn = async (anyone: Client, username: string, password = PASSWORD) => await anyone.post('/api/login', { username, password })

/** Reads all pages of a list. */
async function walk (client: Client, url: string) {
  const pages = []
  for (let next: string | undefined = url; next !== undefined;) {
    const answer = await client.get(next)
    pages.push(answer.json())
    next = /^<([^>]+)>; rel="next"$/.exec(String(answer.headers['link'] ?? ''))?.[1]
  }
  return pages
}

// --- the log ---

t.test('every change by an admin, on any route, is logged in the same transaction', async t => {
  const server = await startApp(t)
  const { db } = server
  const count = async () => (await db.$client.query('SELECT count(*)::int FROM admin_log')).rows[0].count as number
  const routes = (await documentedRoutes(server)).filter(({ method, path }) => path.startsWith('/api/admin/') && method !== 'GET')
  t.ok(routes.length >= 9)
  for (const route of routes) {
    const ask = async () => {
      const { ann, url } = await begin(server, route)
      const { headers, payload } = rightRequest(route)
      const before = await count()
      return { answer: await send(server, route, url(), { ...ann.headers, ...headers }, payload), logged: await count() - before, ann }
    }
    const { answer, logged, ann } = await ask()
    t.equal(answer.statusCode, route.example.status, route.name)
    t.ok(logged > 0, `${route.name} writes to the log: please call \`logAction\` in the transaction that makes the change`)
    const [entry] = (await ann.get('/api/admin/log?limit=1')).json()
    t.match(entry, { admin_name: 'ann', admin_id: await idOf(ann) })

    await db.$client.query('ALTER TABLE admin_log ADD CONSTRAINT full_up CHECK (false) NOT VALID')
    const needs = ['PATCH', 'DELETE'].includes(route.method) && !route.path.includes('/users/')
    if (!needs) t.equal((await ask()).answer.statusCode, 500, `${route.name}: a change that cannot be logged is not made`)
    await db.$client.query('ALTER TABLE admin_log DROP CONSTRAINT full_up')
  }
  for (const change of ["UPDATE admin_log SET action = 'nothing'", 'DELETE FROM admin_log', 'DELETE FROM admin_log WHERE false']) {
    await t.rejects(db.$client.query(change), { code: '42501' }, 'the log cannot be changed')
  }
})

t.test('the log is listed newest first, can be filtered by admin, user and action, and contains no secrets', async t => {
  const { as, ada, query } = await startWithAdmin(t)
  await as('bob')
  const [adas, bobs] = (await query('SELECT id::int FROM users ORDER BY id')).map(({ id }) => id) as [number, number]
  const { id: bot } = (await ada.post('/api/admin/bots', { name: 'parrot', engine: 'webhook', settings: { url: 'https://parrot.example', secret: 'a secret of sixteen' } })).json()
  await ada.patch(`/api/admin/bots/${bot}`, { settings: { url: 'https://parrot.example/v2', secret: 'another secret of many letters' } })
  await ada.delete(`/api/admin/bots/${bot}`)
  await ada.patch(`/api/admin/users/${bobs}`, { is_locked: true, budget: 7 })
  await ada.patch(`/api/admin/users/${bobs}`, { is_locked: false })
  await ada.delete(`/api/admin/users/${bobs}/sessions`)
  const { id: invitation, token } = (await ada.post('/api/admin/invitations', {})).json()
  await ada.delete(`/api/admin/invitations/${invitation}`)
  await ada.delete(`/api/admin/users/${bobs}`)

  const all = (await ada.get('/api/admin/log')).json() as Array<{ action: string, user_id: number, details: object }>
  t.same(all.map(({ action }) => action).reverse(), [
    'bot.create', 'bot.change', 'bot.delete', 'user.lock', 'user.budget', 'user.unlock', 'user.end_sessions', 'invitation.create', 'invitation.revoke', 'user.delete'
  ])
  t.ok(all.every(({ action }) => (ADMIN_ACTIONS as readonly string[]).includes(action)))
  t.match(all.find(({ action }) => action === 'bot.change'), { admin_id: adas, admin_name: 'ada', user_id: null, details: { bot, name: 'parrot', settings: ['secret', 'url'] } })
  t.match(all[0], { user_id: bobs, details: {} })
  const text = JSON.stringify(all)
  for (const secret of ['secret of', 'parrot.example', token]) t.notOk(text.includes(secret), secret)

  t.same((await walk(ada, '/api/admin/log?limit=3')).flat(), all)
  const actions = async (query: string) => (await ada.get(`/api/admin/log?${query}`)).json().map(({ action }: { action: string }) => action)
  t.same(await actions('action=user.lock'), ['user.lock'])
  t.same(await actions(`user=${bobs}&limit=2`), ['user.delete', 'user.end_sessions'])
  t.same([(await actions(`admin=${adas}`)).length, (await actions(`admin=${bobs}`)).length], [10, 0])
  await as('zoe')
  await query("UPDATE users SET role = 'admin' WHERE username = 'zoe'")
  t.equal((await ada.delete('/api/me', {}, { password: PASSWORD })).statusCode, 204)
  t.equal((await (await as('zoe')).get(`/api/admin/log?admin=${adas}`)).json()[0].admin_name, 'ada', 'the log keeps the name of a deleted admin')
})

// --- users ---

t.test('admins list and find users', async t => {
  const { anyone, as, ada, query } = await startWithAdmin(t)
  await anyone.post('/api/signup', { username: 'Ｂｏｂ', password: PASSWORD, name: 'Robert Smith', email: 'bob@Example.org' })
  await anyone.get('/chat/initial', { 'x-api-key': API_KEY })
  await anyone.post('/chat', { user_phone: '49170123', user_message: 'hello' })
  await as('100%_sure')
  const names = async (q: string) => (await ada.get(`/api/admin/users?q=${encodeURIComponent(q)}`)).json().map(({ username }: { username: string }) => username)
  t.same((await ada.get('/api/admin/users')).json().map(({ username, is_guest: isGuest, origin }: Record<string, unknown>) => [username, isGuest, origin]),
    [['100%_sure', false, 'web'], [null, false, 'phone'], [null, true, 'api'], ['Ｂｏｂ', false, 'web'], ['ada', false, 'web']])
  for (const q of ['bob', 'BOB', 'ｂｏｂ', 'smith', 'bert s', '@example.org', 'OB@EX']) t.same(await names(q), ['Ｂｏｂ'], q)
  for (const [q, found] of [['%', ['100%_sure']], ['_', ['100%_sure']], ['a', ['Ｂｏｂ', 'ada']], ["' OR 1=1", []], ['nobody', []]] as const) t.same(await names(q), found, q)

  const [{ id }] = (await ada.get('/api/admin/users?q=smith')).json()
  await query("INSERT INTO reply_costs (user_id, status, prompt_tokens, completion_tokens, created_at) VALUES ($1, 'complete', 3, 4, now()), ($1, 'complete', 9, 9, now() - interval '25 hours')", [id])
  t.match((await ada.get(`/api/admin/users/${id}`)).json(), {
    id, username: 'Ｂｏｂ', name: 'Robert Smith', email: 'bob@example.org', is_email_verified: false, role: 'user', is_locked: false, locked_at: null, budget: null, tokens_today: 7
  })
  t.notMatch((await ada.get('/api/admin/users')).body, /hash|\$2b/)
  t.match((await ada.get('/api/admin/users/999')).json(), { statusCode: 404, code: 'USER_NOT_FOUND' })
  for (const [method, path] of [['patch', ''], ['delete', ''], ['delete', '/sessions']] as const) {
    t.match((await ada[method](`/api/admin/users/999${path}`, {})).json(), { statusCode: 404, code: 'USER_NOT_FOUND' }, `${method} ${path}`)
  }
  t.same((await walk(ada, '/api/admin/users?limit=2')).flat().length, 5)
  t.same((await walk(ada, '/api/admin/users?limit=1&q=a')).map(page => page[0]?.username), ['Ｂｏｂ', 'ada'])

  await query('INSERT INTO users (username, username_key, name) SELECT \'user \' || n, \'user \' || n, \'Many\' FROM generate_series(1, 50000) n')
  const pages = await walk(ada, '/api/admin/users?q=smith')
  t.same(pages.map(page => page.length), [0, 1], 'one request searches 50,000 users')
  t.match(pages[1], [{ username: 'Ｂｏｂ' }])
})

t.test('locking a user ends all sessions, sockets, streams and replies at once, and prevents logins', async t => {
  const server = await startLive(t, { SIGNUP: 'open' })
  const { anyone, as, clientOf, query, url, bots, slowChat } = server
  const ada = await promote(server)
  await anyone.post('/api/signup', { username: 'bob', password: PASSWORD, email: 'bob@example.com' })
  await query('UPDATE users SET email_verified_at = now() WHERE email IS NOT NULL')
  const bob = await as('bob')
  const id = await idOf(bob)
  const chat = await slowChat(bob)
  bots.takeOver()
  const conversation = (await bob.get(`/api/conversations/${chat}`)).json().id
  const answers = [1, 2].map(n => bob.post(`/api/conversations/${conversation}/messages`, { text: `Question ${n}` }))
  const call = await bots.call()
  await until(async () => (await query("SELECT FROM messages WHERE status = 'queued'")).length === 1) // the reply to the other question
  const socket = await connect(t, url, { auth: { token: tokenOf(bob) } })
  const stream = await listen(t, `${url}/api/conversations/${conversation}/events`, bob.headers)
  const closed = new Promise(resolve => socket.once('disconnect', resolve))

  const locked = await ada.patch(`/api/admin/users/${id}`, { is_locked: true })
  t.match([locked.statusCode, locked.json()], [200, { id, is_locked: true, locked_at: /^\d{4}-/ }])
  t.equal((await bob.get('/api/me')).statusCode, 401)
  await Promise.all([closed, stream.ended])
  await until(() => call.signal.aborted)
  await Promise.all(answers) // end with the session, perhaps before the end of the replies is stored
  await until(async () => (await query("SELECT FROM messages WHERE status = 'streaming'")).length === 0)
  t.same((await query("SELECT status FROM messages WHERE sender = 'bot' AND conversation_id = $1 ORDER BY id", [conversation])).map(({ status }) => status), ['stopped', 'stopped'], 'the replies were stopped')
  t.equal(bots.calls.length, 1)

  t.match((await logIn(anyone, 'bob', 'wrong horse')).json(), { statusCode: 401, code: 'INVALID_CREDENTIALS' }, 'without the right password, nobody learns that the account is locked')
  t.match((await logIn(anyone, 'bob')).json(), { statusCode: 403, code: 'ACCOUNT_LOCKED' })
  t.match((await anyone.post('/login', { id: 'bob', passcode: PASSWORD })).json(), { statusCode: 403, code: 'ACCOUNT_LOCKED' })
  const again = await ada.patch(`/api/admin/users/${id}`, { is_locked: true })
  t.equal(again.json().locked_at, locked.json().locked_at, 'the time of the first lock stays')

  t.comment('The account is locked during a login')
  await ada.patch(`/api/admin/users/${id}`, { is_locked: false })
  const { compare } = hashing
  const captured = t.capture(hashing, 'compare', async (password: string, hash: string) => {
    const matches = await compare(password, hash)
    await query('UPDATE users SET locked_at = now() WHERE id = $1', [id])
    return matches
  })
  t.equal((await logIn(anyone, 'bob')).statusCode, 401)
  captured.restore()

  t.comment('A password reset does not unlock the account')
  await query("INSERT INTO one_time_tokens (purpose, user_id, address, expires_at) VALUES ('password_reset', $1, 'bob@example.com', now() + interval '1 hour')", [id])
  const { createTokens } = await import('../../src/accounts/recovery.ts')
  const { SECRET } = await import('../support/helper.ts')
  const [row] = await query("SELECT id::int, purpose, user_id::int AS \"userId\", address, expires_at AS \"expiresAt\" FROM one_time_tokens WHERE purpose = 'password_reset'")
  t.equal((await anyone.post('/api/password/reset', { token: createTokens(SECRET).of(row as never), password: 'another horse' })).statusCode, 200)
  t.match((await logIn(anyone, 'bob', 'another horse')).json(), { code: 'ACCOUNT_LOCKED' })
  await ada.patch(`/api/admin/users/${id}`, { is_locked: false })
  t.equal((await logIn(anyone, 'bob', 'another horse')).statusCode, 200)

  t.comment('Guests and phone numbers can be locked too')
  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  const [{ id: guest }] = await query('SELECT id::int FROM users WHERE is_guest')
  const guestClient = clientOf({ authorization: `Bearer ${token}` })
  await ada.patch(`/api/admin/users/${guest}`, { is_locked: true })
  t.equal((await guestClient.post('/chat', { content: 'Hi' })).statusCode, 401)
  t.equal((await guestClient.post('/api/signup', { username: 'guest', password: PASSWORD })).statusCode, 201, 'signing up creates another account')
  t.match(await query('SELECT is_guest, locked_at FROM users WHERE id = $1', [guest]), [{ is_guest: true, locked_at: Date }])
  const say = async () => (await anyone.post('/chat', { user_phone: '123456', user_message: 'hello' })).json()
  t.match(await say(), { bot_message: 'What is your name?' })
  const [{ id: phone }] = await query("SELECT id::int FROM users WHERE origin = 'phone'")
  await ada.patch(`/api/admin/users/${phone}`, { is_locked: true })
  t.match(await say(), { statusCode: 403, code: 'ACCOUNT_LOCKED', user_phone: '123456', bot_message: /locked/ })
  await ada.patch(`/api/admin/users/${phone}`, { is_locked: false })
  t.match(await say(), { bot_message: /^Hello hello/ })
})

t.test('a message that waits for its conversation when its author is locked is not stored, and nothing is generated again', async t => {
  const { anyone, as, ada, bots, query, slowChat, connection } = await startWithAdmin(t)
  const bob = await as('bob')
  const id = await idOf(bob)
  const [slow, instant] = [await slowChat(bob), (await bob.post('/api/conversations', { name: 'Plans', bots: ['simulated'] })).json().id]
  const [, reply] = (await bob.post(`/api/conversations/${slow}/messages`, { text: 'Before' })).json()
  const said = async () => await query('SELECT conversation_id, id, text, status FROM messages ORDER BY conversation_id, id')
  const sayByPhone = () => anyone.post('/chat', { user_phone: '123456', user_message: 'hello' })
  await sayByPhone()
  const [phone] = await query("SELECT id::int, owner_id::int FROM conversations WHERE origin = 'phone'")
  const before = await said()
  bots.takeOver()

  async function lockMeanwhile (user: number, conversation: number, ask: () => ReturnType<Client['post']>) {
    const lock = await holdLock(t, connection, conversation)
    const asked = ask()
    await lock.until(1)
    t.equal((await ada.patch(`/api/admin/users/${user}`, { is_locked: true })).statusCode, 200)
    await lock.release()
    const answer = (await asked).json()
    await ada.patch(`/api/admin/users/${user}`, { is_locked: false })
    return answer
  }

  for (const [name, conversation, ask] of [
    ['a bot that takes its time', slow, client => client.post(`/api/conversations/${slow}/messages`, { text: 'Hi' })],
    ['an instant bot', instant, client => client.post(`/api/conversations/${instant}/messages`, { text: 'Hi' })],
    ['asking again', slow, client => client.post(`/api/conversations/${slow}/messages/${reply.id}/regenerate`)]
  ] as Array<[string, number, (client: Client) => ReturnType<Client['post']>]>) {
    const client = await as('bob')
    t.match(await lockMeanwhile(id, conversation, () => ask(client)), { statusCode: 401, code: 'UNAUTHORIZED' }, name)
    t.same(await said(), before, name)
  }
  t.match(await lockMeanwhile(phone.owner_id, phone.id, sayByPhone), { statusCode: 403, code: 'ACCOUNT_LOCKED' }, 'a phone')
  t.same(await said(), before, 'a phone')
  const client = await as('bob')
  t.match(await lockMeanwhile(id, slow, () => client.put(`/api/conversations/${slow}/messages/1`, { text: 'Edited' })), { text: 'Edited' })
  t.match((await said())[1], { text: 'Slowly: Before', status: 'complete' }, 'an edit is kept, and not answered again')
  t.equal(bots.calls.length, 0)
})

t.test('an admin ends all sessions of a user, and deletes a user as the user would do it', async t => {
  const { anyone, as, ada, query, clientOf } = await startWithAdmin(t)
  const [bob, carol] = [await as('bob'), await as('carol')]
  const id = await idOf(bob)
  const { access_token: token } = (await anyone.post('/login', { id: 'bob', passcode: PASSWORD })).json()
  t.equal((await ada.delete(`/api/admin/users/${id}/sessions`)).statusCode, 204)
  for (const client of [bob, clientOf({ authorization: `Bearer ${token}` })]) t.equal((await client.get('/api/me')).statusCode, 401)
  t.match((await ada.get('/api/admin/log?limit=1')).json(), [{ action: 'user.end_sessions', user_id: id, details: { sessions: 2 } }])
  const again = await as('bob')
  const { id: shared } = (await again.post('/api/conversations', { name: 'Shared' })).json()
  await again.post(`/api/conversations/${shared}/users`, { username: 'carol' })
  await again.post(`/api/conversations/${shared}/messages`, { text: 'What I said' })
  await again.post('/api/conversations', { name: 'Alone' })
  t.equal((await ada.delete(`/api/admin/users/${id}`)).statusCode, 204)
  t.equal((await again.get('/api/me')).statusCode, 401)
  t.match((await carol.get(`/api/conversations/${shared}/messages`)).json(), [{ username: null, text: 'What I said' }, {}])
  t.same(await query('SELECT c.name, username FROM conversations c JOIN users u ON u.id = c.owner_id'), [{ name: 'Shared', username: 'carol' }])
})

t.test('the last unlocked admin can be neither locked nor deleted', async t => {
  const { as, ada, query, connection } = await startWithAdmin(t)
  const there = await startApp(t, {}, undefined, connection)
  const adas = await idOf(ada)
  const LAST = { statusCode: 409, code: 'LAST_ADMIN' }
  const bob = await as('bob')
  const bobs = await idOf(bob)
  t.match((await ada.patch(`/api/admin/users/${adas}`, { is_locked: true })).json(), LAST)
  t.match((await ada.delete(`/api/admin/users/${adas}`)).json(), LAST)
  t.match((await ada.delete('/api/me', {}, { password: PASSWORD })).json(), LAST)
  t.equal((await ada.get('/api/me')).statusCode, 200, 'the admin was not changed')
  await query("UPDATE users SET role = 'admin', locked_at = now() WHERE username = 'bob'")
  t.match((await ada.delete(`/api/admin/users/${adas}`)).json(), LAST, 'a locked admin does not count')
  await query('UPDATE users SET locked_at = NULL')
  t.same((await ada.get('/api/admin/log')).json(), [])

  const [one, other] = await Promise.all([
    ada.patch(`/api/admin/users/${bobs}`, { is_locked: true }),
    there.clientOf(bob.headers).patch(`/api/admin/users/${adas}`, { is_locked: true })
  ])
  t.equal((await query("SELECT FROM users WHERE role = 'admin' AND locked_at IS NULL")).length, 1, `${one.statusCode} ${other.statusCode}`)
  await query('UPDATE users SET locked_at = NULL')
  const [first, second] = [await as('ada'), await as('bob')]
  const gone = await Promise.all([first.delete(`/api/admin/users/${bobs}`), there.clientOf(second.headers).delete(`/api/admin/users/${adas}`)])
  t.equal((await query("SELECT FROM users WHERE role = 'admin'")).length, 1, gone.map(({ statusCode }) => statusCode).join(' '))
})

// --- who may sign up ---

/** The ways to create an account without an admin. */
const ways: Record<string, (server: Awaited<ReturnType<typeof startApp>>, username: string, invitation?: string) => ReturnType<Client['get']>> = {
  'POST /api/signup': ({ anyone }, username, invitation) => anyone.post('/api/signup', { username, password: PASSWORD, invitation }),
  'POST /register': ({ anyone }, id, invitation) => anyone.post('/register', { id, passcode: PASSWORD, invitation }),
  'a guest': async ({ anyone }, username, invitation) => {
    const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
    return await anyone.post('/api/signup', { username, password: PASSWORD, invitation }, { authorization: `Bearer ${token}` })
  }
}

/** Starts an instance with this setting. Its admin was created before, by another instance on the same database with open sign-up. */
async function startSigningUp (t: Test, SIGNUP: Config['SIGNUP']) {
  const open = await startWithAdmin(t)
  const server = await startApp(t, { SIGNUP }, undefined, open.connection)
  return { ...server, ada: server.clientOf(open.ada.headers) }
}

t.test('SIGNUP=closed: only admins can create accounts', async t => {
  const server = await startSigningUp(t, 'closed')
  const { anyone, ada, query } = server
  t.same((await anyone.get('/api/settings')).json(), { signup: 'closed', passwords: true, oidc: null })
  const hashed = t.capture(hashing, 'hash', hashing.hash)
  for (const [way, signUp] of Object.entries(ways)) t.match((await signUp(server, 'bob', 'any')).json(), { statusCode: 403, code: 'SIGNUP_CLOSED' }, way)
  t.equal(hashed().length, 0, 'no password was hashed')
  t.match((await ways['POST /register']!(server, 'bob')).json(), { msg: /administrator/ })
  t.match((await ada.post('/api/admin/invitations', {})).json(), { statusCode: 409, code: 'NOT_BY_INVITATION' })

  const made = await ada.post('/api/admin/users', { username: ' Bob ', name: 'Bob', email: 'bob@example.com' })
  t.match([made.statusCode, made.headers['cache-control'], made.json()], [201, 'no-store', { username: 'Bob', password: /^[\w-]{20}$/ }])
  t.equal((await logIn(anyone, 'bob', made.json().password)).statusCode, 200)
  t.match((await ada.post('/api/admin/users', { username: 'carol', password: PASSWORD })).json(), { id: Number, username: 'carol', password: undefined })
  t.equal((await logIn(anyone, 'carol')).statusCode, 200)
  t.match((await ada.post('/api/admin/users', { username: 'BOB', password: PASSWORD })).json(), { code: 'USERNAME_TAKEN' })
  t.match((await ada.post('/api/admin/users', { username: 'dora', password: 'password1' })).json(), { code: 'INVALID_PASSWORD' })
  t.match((await ada.get('/api/admin/log')).json(), [{ action: 'user.create', details: {} }, { action: 'user.create' }])
  t.same((await query("SELECT email, email_verified_at FROM users WHERE username = 'Bob'")), [{ email: 'bob@example.com', email_verified_at: null }])
  t.equal((await query('SELECT FROM one_time_tokens')).length, 1, 'a mail to confirm the address was queued')
})

t.test('an admin who is demoted or locked while a request waits changes nothing any more', async t => {
  const { anyone, ada, as, query, connection } = await startWithAdmin(t)
  const [id, bob] = [await idOf(ada), await idOf(await as('bob'))]
  const { hash } = hashing
  for (const [demote, name] of [["role = 'user'", 'demoted'], ['locked_at = now()', 'locked']] as const) {
    const captured = t.capture(hashing, 'hash', async (password: string, cost: number) => {
      await query(`UPDATE users SET ${demote} WHERE id = $1`, [id])
      return await hash(password, cost)
    })
    t.match((await ada.post('/api/admin/users', { username: 'eve', password: PASSWORD })).json(), { statusCode: 403, code: 'NOT_AN_ADMIN' }, `${name} while the password is hashed`)
    captured.restore()
    await query("UPDATE users SET role = 'admin', locked_at = NULL WHERE id = $1", [id])
  }
  t.equal((await logIn(anyone, 'eve')).statusCode, 401, 'there is no such account')

  const lock = await holdLock(t, connection, 0)
  await lock.query(`SELECT FROM users WHERE id = ${bob} FOR UPDATE`)
  const deleting = ada.delete(`/api/admin/users/${bob}`)
  await lock.until(1)
  await query("UPDATE users SET role = 'user' WHERE id = $1", [id])
  await lock.release()
  t.match((await deleting).json(), { statusCode: 403, code: 'NOT_AN_ADMIN' }, 'demoted while the user is locked by somebody else')
  t.equal((await logIn(anyone, 'bob')).statusCode, 200)
})

t.test('SIGNUP=invite: an invitation can be used for one account', async t => {
  const server = await startSigningUp(t, 'invite')
  const { anyone, ada, query } = server
  t.same((await anyone.get('/api/settings')).json(), { signup: 'invite', passwords: true, oidc: null })
  const invite = async (body = {}) => (await ada.post('/api/admin/invitations', body)).json() as { id: number, link: string, token: string, expires_at: string }
  const first = await invite()
  t.match(first, { link: `http://localhost:5000/#invite=${first.token}`, token: /^[\w-]{32}$/ })
  t.ok(Math.abs(Date.parse(first.expires_at) - Date.now() - 7 * 86_400_000) < 60_000)
  const [stored] = await query('SELECT string_agg(i::text, \'\') AS rows FROM invitations i')
  t.notOk(stored.rows.includes(first.token), 'the token is not stored in the database')

  const hashed = t.capture(hashing, 'hash', hashing.hash)
  for (const [way, signUp] of Object.entries(ways)) {
    t.match((await signUp(server, 'bob')).json(), { statusCode: 403, code: 'INVITATION_REQUIRED' }, way)
    for (const token of ['', 'nonsense', `${first.token}x`]) t.match((await signUp(server, 'bob', token)).json(), { statusCode: 400, code: 'INVALID_INVITATION' }, `${way} ${token}`)
  }
  t.equal(hashed().length, 0, 'no password was hashed')
  hashed.restore()

  let n = 0
  for (const [way, signUp] of Object.entries(ways)) {
    const { id, token } = await invite({ expires_in: 60 })
    t.match((await signUp(server, 'ada', token)).json(), { code: 'USERNAME_TAKEN' }, `${way}: a refused sign-up does not use up the invitation`)
    const answers = await Promise.all([1, 2, 3, 4].map(() => signUp(server, `user ${++n}`, token)))
    t.same(answers.map(({ statusCode }) => statusCode).sort(), [201, 400, 400, 400], `${way}: one of several concurrent sign-ups succeeds`)
    t.equal((await signUp(server, 'late', token)).json().code, 'INVALID_INVITATION', `${way}: the invitation works once`)
    const [entry] = (await ada.get('/api/admin/invitations?limit=1')).json()
    t.match(entry, { id, used_at: /^\d/, used_by: Number })
  }
  t.equal((await query('SELECT FROM users WHERE username LIKE \'user %\'')).length, 3)

  const [revoked, expired] = [await invite(), await invite()]
  t.equal((await ada.delete(`/api/admin/invitations/${revoked.id}`)).statusCode, 204)
  t.match((await ada.delete(`/api/admin/invitations/${revoked.id}`)).json(), { statusCode: 404, code: 'INVITATION_NOT_FOUND' })
  await query('UPDATE invitations SET expires_at = now() WHERE id = $1', [expired.id])
  for (const { token } of [revoked, expired]) t.equal((await ways['POST /api/signup']!(server, 'late', token)).json().code, 'INVALID_INVITATION')
  t.same((await walk(ada, '/api/admin/invitations?limit=2')).map(page => page.length), [2, 2, 1])
  t.equal((await ways['POST /api/signup']!(server, 'friend', first.token)).statusCode, 201)

  t.comment('The invitation is revoked while the password is being hashed')
  const late = await invite()
  const { hash } = hashing
  t.capture(hashing, 'hash', async (password: string, cost: number) => {
    await ada.delete(`/api/admin/invitations/${late.id}`)
    return await hash(password, cost)
  })
  t.equal((await ways['POST /api/signup']!(server, 'later', late.token)).json().code, 'INVALID_INVITATION')
  t.same(await query("SELECT FROM users WHERE username = 'later'"), [], 'no account was created')
})

t.test('SIGNUP=open: an invitation is neither needed nor checked', async t => {
  const server = await startWithAdmin(t)
  t.same((await server.anyone.get('/api/settings')).json(), { signup: 'open', passwords: true, oidc: null })
  for (const [way, signUp] of Object.entries(ways)) t.equal((await signUp(server, way, 'nonsense')).statusCode, 201, way)
})

t.test('a command creates the first admin of a server on which nobody can sign up', async t => {
  const place = await openPlace(t)
  const create = async (password: string, ...names: string[]) => {
    const program = place.run('admin.ts', ['--create', ...names], { SIGNUP: 'closed' })
    program.tell(password)
    return await program.ended
  }
  t.match(await create(`${PASSWORD}\n`, 'Ada', 'L.'), { code: 0, stdout: 'Ada L. is an admin now.\n', stderr: '' })
  t.match(await create(PASSWORD, 'ada l.'), { code: 1, stdout: '', stderr: /Username already exists/ })
  t.match(await create('', 'bob'), { code: 1, stderr: /^A username needs 3 to 64 visible characters\. The password is the first line of the input, and needs 8 to 128 characters\.\n$/ })
  t.match(await create('password1', 'bob'), { code: 1, stderr: /common password that is easily guessed/ })
  t.match(await create(PASSWORD), { code: 1, stderr: /Please say whose account/ })
  const server = await place.serve({ SIGNUP: 'closed' })
  const { headers } = await server.post('/api/login', { username: 'ada l.', password: PASSWORD })
  const cookie = headers.getSetCookie()[0]!.split(';')[0]!
  t.match((await server.get('/api/admin/log', undefined, { cookie })).body, [{ admin_id: 0, admin_name: 'npm run admin', action: 'admin.create', user_id: 1 }])
})

t.test('a command makes an admin of somebody who signs in with OIDC_ISSUER', async t => {
  const place = await openPlace(t)
  const database = await freshDatabase(t)
  const make = async (settings: Record<string, string>, ...names: string[]) =>
    await place.run('admin.ts', names, { DATABASE_URL: urlOf(database), PASSWORDS: 'off', ...settings }).ended
  const OIDC_ISSUER = 'https://tenant.example.com'
  for (const issuer of ['https://another.example.com', `${OIDC_ISSUER}/`]) {
    await run(database, "WITH u AS (INSERT INTO users (name) VALUES ('Ann') RETURNING id) INSERT INTO external_users (issuer, subject, user_id) SELECT $1, 'auth0|1', id FROM u", [issuer])
  }
  t.match(await make({ OIDC_ISSUER }, '--subject', 'auth0|2'), { code: 1, stderr: /^There is no account of auth0\|2 in .*: please sign in first\.$/m })
  t.match(await make({ OIDC_ISSUER }, 'ann'), { code: 1, stderr: /named ann in .*: please sign in first\.$/m }, 'there is nothing to sign up with')
  t.match(await make({}, '--subject', 'auth0|1'), { code: 1, stderr: '--subject is for users of OIDC_ISSUER, which is not set.\n' })
  t.match(await make({ OIDC_ISSUER }, '--subject'), { code: 1, stderr: /Please say whose account/ })
  t.match(await make({ OIDC_ISSUER }, '--create', 'ann'), { code: 1, stderr: /^PASSWORDS is off, so that nobody could log in/ })
  t.match(await make({ OIDC_ISSUER }, '--subject', 'auth0|1'), { code: 0, stdout: 'auth0|1 is an admin now.\n', stderr: '' })
  t.same(await run(database, 'SELECT role FROM users ORDER BY id'), [{ role: 'user' }, { role: 'admin' }])
})
