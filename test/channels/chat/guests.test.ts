import t, { type Test } from 'tap'
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { API_KEY, startApp, type Client } from '../../support/helper.ts'
import type { Config } from '../../../src/config.ts'

const KEY = { 'x-api-key': API_KEY }
const GREETING = 'Hello! Say something, and I will say it back.'
const ACCOUNT = { username: 'ann', password: 'correct horse' }

/** An app with an API key, and functions for guests. */
async function startForGuests (t: Test, changes: Partial<Config> = {}) {
  const server = await startApp(t, changes)
  return {
    ...server,
    async enter () {
      const { token, text } = (await server.anyone.get('/chat/initial', KEY)).json()
      return { token: token as string, text: text as string, ...server.clientOf({ authorization: `Bearer ${token}` }) }
    }
  }
}

const conversationsOf = async (client: Client) => (await client.get('/api/conversations')).json()

t.test('a guest gets a token with an API key, and chats', async t => {
  const { app, anyone, query } = await startForGuests(t)
  for (const prefix of ['', '/api']) {
    const initial = await anyone.get(`${prefix}/chat/initial`, KEY)
    t.equal(initial.statusCode, 200)
    const { token } = initial.json()
    t.same(initial.json(), { token, text: GREETING })
    t.match([initial.cookies, initial.headers['cache-control']], [[], 'no-store'])
    const { iat, exp } = app.jwt.decode<{ iat: number, exp: number }>(token)!
    t.equal(exp - iat, 24 * 60 * 60)

    const inBody = await anyone.post(`${prefix}/chat`, { token, content: ' Hi ' })
    t.same([inBody.statusCode, inBody.json()], [200, { text: 'You said: Hi' }])
    const inHeader = await anyone.post(`${prefix}/chat`, { content: 'Hi again' }, { authorization: `bearer ${token}` })
    t.same([inHeader.statusCode, inHeader.json()], [200, { text: 'You said: Hi again' }])
    const both = await anyone.post(`${prefix}/chat`, { token: '', content: 'And again' }, { authorization: `Bearer ${token}` })
    t.same(both.json(), { text: 'You said: And again' })
  }
  t.equal((await anyone.get('/chat/initial', { 'X-Api-Key': 'another-key-for-tests' })).statusCode, 200, 'each of several keys is accepted')
  t.match(await query('SELECT is_guest, origin, username, role FROM users'), Array(3).fill({ is_guest: true, origin: 'api', username: null, role: 'user' }))
  t.match(await query('SELECT id, rev, sender, text FROM messages WHERE conversation_id = 1 ORDER BY id LIMIT 3'), [
    { id: 1, rev: 1, sender: 'bot', text: GREETING }, { id: 2, rev: 2, sender: 'user', text: 'Hi' }, { id: 3, rev: 3, sender: 'bot' }
  ])
  const [{ lasts }] = await query("SELECT every(expires_at - created_at BETWEEN interval '23:59:59' AND interval '24:00:01') AS lasts FROM sessions WHERE kind = 'guest'")
  t.equal(lasts, true)
})

t.test('errors have the legacy format, and create no guest', async t => {
  const { app, anyone, as, query, enter } = await startForGuests(t)
  const cookie = (await as('ann')).headers['cookie']!.split('=')[1]
  const { access_token: access } = (await anyone.post('/login', { id: 'ann', passcode: 'correct horse' })).json()
  const { token } = await enter()
  const ended = await enter()
  await ended.post('/api/logout')
  const away = await enter()
  for (const { id } of await conversationsOf(away)) t.equal((await away.delete(`/api/conversations/${id}`)).statusCode, 204)
  const expired = await enter()
  await query('UPDATE sessions SET expires_at = now() WHERE id = (SELECT max(id) FROM sessions)')
  const guests = async () => (await query('SELECT FROM users WHERE is_guest')).length
  const before = await guests()

  const rows: Array<[ask: object | Record<string, string>, status: number, code: string, error: string]> = [
    [{}, 400, 'MISSING_API_KEY', '400 Bad Request: Missing API key'],
    [{ 'x-api-key': '' }, 400, 'MISSING_API_KEY', '400 Bad Request: Missing API key'],
    [{ authorization: `Bearer ${API_KEY}` }, 400, 'MISSING_API_KEY', '400 Bad Request: Missing API key'],
    ...['wrong', API_KEY.slice(1), `${API_KEY}x`, API_KEY.toUpperCase(), `another-key-for-tests, ${API_KEY}`, ','].map((key): typeof rows[0] =>
      [{ 'x-api-key': key }, 401, 'INVALID_API_KEY', '401 Unauthorized: Invalid API key'])
  ]
  for (const prefix of ['', '/api']) {
    for (const [headers, statusCode, code, error] of rows) {
      const answer = await anyone.get(`${prefix}/chat/initial`, headers as Record<string, string>)
      t.same([answer.statusCode, answer.json()], [statusCode, { statusCode, code, error }], JSON.stringify(headers))
    }
    for (const [method, status] of [['HEAD', 200], ['POST', 405], ['PUT', 405]] as const) t.equal((await app.inject({ method, url: `${prefix}/chat/initial`, headers: KEY })).statusCode, status, method)

    const said: typeof rows = [
      [{ content: 'Hi' }, 400, 'MISSING_TOKEN', '400 Bad Request: Missing token'],
      [{ token: '', content: 'Hi' }, 400, 'MISSING_TOKEN', '400 Bad Request: Missing token'],
      ...['nonsense', cookie, access, ended.token, expired.token, `${token}x`, API_KEY].map((token): typeof rows[0] =>
        [{ token, content: 'Hi' }, 401, 'INVALID_TOKEN', '401 Unauthorized: Invalid token']),
      [{ token: away.token, content: 'Hi' }, 404, 'CONVERSATION_NOT_FOUND', '404 Not Found: Conversation not found'],
      [{ token }, 400, 'INVALID_REQUEST', '400 Bad Request: content is required'],
      [{ token, content: ' ' }, 400, 'INVALID_REQUEST', '400 Bad Request: content must not be empty'],
      [{ token, content: 'x'.repeat(8001) }, 400, 'INVALID_REQUEST', '400 Bad Request: content may have at most 8,000 characters'],
      [{ token, content: 42 }, 400, 'INVALID_REQUEST', '400 Bad Request: content must be a string'],
      [{ token: 42, content: 'Hi' }, 400, 'INVALID_REQUEST', '400 Bad Request: token must be a string'],
      [{ token, content: 'a\0b' }, 400, 'INVALID_TEXT', '400 Bad Request: Text must not contain a NUL character or half of a surrogate pair']
    ]
    for (const [body, statusCode, code, error] of said) {
      const answer = await anyone.post(`${prefix}/chat`, body)
      t.match([answer.statusCode, answer.json()], [statusCode, { statusCode, code, error }], JSON.stringify(body).slice(0, 80))
      t.notOk('bot_message' in answer.json())
    }
  }
  t.equal(await guests(), before)
  t.same(await query("SELECT FROM messages WHERE sender = 'user'"), [], 'no message is stored')
})

t.test('every key is compared, in constant time; without API_KEYS there are no guests', async t => {
  const { anyone } = await startForGuests(t)
  const compared = t.capture(crypto, 'timingSafeEqual', crypto.timingSafeEqual)
  syncBuiltinESMExports()
  for (const key of [API_KEY, 'another-key-for-tests', 'a', API_KEY.slice(0, -1)]) {
    await anyone.get('/chat/initial', { 'x-api-key': key })
    t.same(compared().map(({ args: [one, other] }) => [one.byteLength, other.byteLength]), [[32, 32], [32, 32]], 'hashes of the same length are compared, for any key')
  }
  compared.restore()
  syncBuiltinESMExports()

  const none = await startForGuests(t, { API_KEYS: undefined as unknown as string })
  for (const key of ['undefined', API_KEY, 'x']) t.match((await none.anyone.get('/chat/initial', { 'x-api-key': key })).json(), { statusCode: 401, code: 'INVALID_API_KEY' })
  t.match((await none.anyone.get('/chat/initial')).json(), { statusCode: 400, code: 'MISSING_API_KEY' })
})

t.test('one path serves two legacy clients, chosen by the body alone', async t => {
  const { anyone, enter } = await startForGuests(t)
  const { token, headers } = await enter()
  const phone = { user_phone: '123456', user_message: 'hello' }
  const GUEST = { text: 'You said: Hi' }
  const PHONE = { user_phone: '123456', bot_message: /name|song|Playing/ }
  const WRONG_PHONE = { statusCode: 400, error: "Invalid input. 'user_phone' and 'user_message' are required.", bot_message: 'Request must contain user_phone and user_message' }
  const WRONG_GUEST = { statusCode: 400, error: /^400 Bad Request: / }
  const rows: Array<[body: unknown, answer: object]> = [
    [{ token, content: 'Hi' }, GUEST],
    [{ content: 'Hi' }, GUEST],
    [{ content: 'Hi', more: 1 }, GUEST],
    [{ token }, WRONG_GUEST],
    [{ token: null }, WRONG_GUEST],
    [{ content: null }, WRONG_GUEST],
    [{ token: 'x', content: '' }, WRONG_GUEST],
    [phone, PHONE],
    [{ ...phone, token }, PHONE],
    [{ ...phone, content: 'Hi' }, PHONE],
    [{ ...phone, token, content: 'Hi' }, PHONE],
    [{ token, content: 'Hi', user_phone: '123456' }, WRONG_PHONE],
    [{ token, content: 'Hi', user_message: 'hello' }, WRONG_PHONE],
    [{ token, content: 'Hi', user_phone: null }, WRONG_PHONE],
    [{ Token: token, Content: 'Hi' }, WRONG_PHONE],
    [{}, WRONG_PHONE],
    [[], WRONG_PHONE],
    [['token', 'content'], WRONG_PHONE],
    ['"token"', WRONG_PHONE],
    ['null', WRONG_PHONE],
    ['', WRONG_PHONE],
    ['{"token":', { statusCode: 400, code: 'INVALID_JSON', error: /JSON/, bot_message: /JSON/ }]
  ]
  for (const prefix of ['', '/api']) {
    for (const [body, answer] of rows) {
      const said = await anyone.post(`${prefix}/chat`, body as object, { ...headers, 'content-type': 'application/json' })
      const name = JSON.stringify(body).replace(token, '…')
      t.match(said.json(), answer, name)
      if (answer === WRONG_GUEST) t.notOk('bot_message' in said.json(), name)
    }
  }
})

t.test('GUEST_BOT sets the bot that answers guests', async t => {
  await t.test('another bot', async t => {
    const { enter, clientOf } = await startForGuests(t, { GUEST_BOT: 'favorite-song' })
    const [one, other] = [await enter(), await enter()]
    t.equal(one.text, 'Please say hello.')
    const say = async (guest: typeof one, content: string) => (await clientOf({}).post('/chat', { token: guest.token, content })).json().text
    t.equal(await say(one, 'hello'), 'What is your name?')
    t.equal(await say(other, 'Jo'), 'Invalid initial input, please say hello.')
    t.equal(await say(one, 'Jo'), 'Hello Jo, what is your favorite song?')
    t.equal(await say(one, 'So What'), 'Playing So What')
    t.equal(await say(one, 'again'), 'Hello Jo! Your favorite song is So What')
    t.equal(await say(one, 'hello'), 'What is your name?')
    t.equal((await conversationsOf(one)).length, 1)
  })

  await t.test('a guest cannot choose another bot, nor learn whether it exists', async t => {
    const { as, enter, query } = await startForGuests(t, { GUEST_BOT: 'favorite-song' })
    await query("INSERT INTO chatbots (name, engine) VALUES ('salaries', 'simulated')")
    const [ann, guest] = [await as('ann'), await enter()]
    const botsOf = async (id: number) => (await query('SELECT name FROM conversation_bots JOIN chatbots ON id = chatbot_id WHERE conversation_id = $1', [id])).map(({ name }) => name)
    for (const bots of [undefined, ['favorite-song']]) {
      t.same(await botsOf((await guest.post('/api/conversations', { bots })).json().id), ['favorite-song'], 'the bot of guests is also the one of conversations that a guest begins')
    }
    t.same(await botsOf((await guest.post('/api/conversations', { bots: [] })).json().id), [])
    for (const bots of [['salaries'], ['favorite-song', 'salaries'], ['simulated'], ['nobody']]) {
      t.match((await guest.post('/api/conversations', { bots })).json(), { statusCode: 404, code: 'BOT_NOT_FOUND' }, bots.join(' and '))
    }
    t.match((await guest.post('/api/ag-ui/salaries', { threadId: 'a', runId: 'b', messages: [{ id: 'c', role: 'user', content: 'Hi' }], state: {}, tools: [], context: [], forwardedProps: {} })).json(),
      { statusCode: 404, code: 'BOT_NOT_FOUND' })
    t.same(await botsOf((await ann.post('/api/conversations', { bots: ['salaries'] })).json().id), ['salaries'], 'an account can')
  })

  await t.test('GUEST_BOT with an unknown name', async t => {
    const { anyone, query } = await startForGuests(t, { GUEST_BOT: 'nobody' })
    t.same((await anyone.get('/chat/initial', KEY)).json(), { statusCode: 404, code: 'BOT_NOT_FOUND', error: '404 Not Found: Bot not found' })
    t.same(await query('SELECT FROM users UNION ALL SELECT FROM sessions'), [], 'no user and no session is left behind')
  })

  await t.test('a bot without a greeting, and one that is deleted', async t => {
    const { enter, query } = await startForGuests(t)
    await query("UPDATE chatbots SET settings = '{}'")
    const guest = await enter()
    t.equal(guest.text, 'Hello!')
    await query('DELETE FROM chatbots')
    t.match((await guest.post('/chat', { content: 'Hi' })).json(), { statusCode: 404, code: 'BOT_NOT_FOUND' })
  })
})

t.test('a message of a guest sent twice is answered once', async t => {
  const { anyone, enter, query } = await startForGuests(t)
  const [one, other] = [await enter(), await enter()]
  const key = { 'idempotency-key': 'mine' }
  const first = await one.post('/chat', { content: 'Hi' }, key)
  const again = await Promise.all([one.post('/chat', { content: 'Hi' }, key), one.post('/chat', { content: ' Hi', client_id: 'mine' }), anyone.post('/chat', { token: one.token, content: 'Hi' }, key)])
  for (const { statusCode, body } of again) t.same([statusCode, body], [200, first.body])
  t.same((await one.post('/chat', { content: 'Bye' }, key)).json(), { statusCode: 409, code: 'IDEMPOTENCY_MISMATCH', error: '409 Conflict: This client id was used for another message' })
  t.match((await one.post('/chat', { content: 'Hi', client_id: 'ä' })).json(), { statusCode: 400, error: /^400 Bad Request: client_id/ })
  t.equal((await other.post('/chat', { content: 'Bye' }, key)).statusCode, 200, 'another guest can use the same id')

  const racing = await Promise.all(Array.from({ length: 20 }, () => one.post('/chat', { content: 'All at once', client_id: 'race' })))
  t.same([...new Set(racing.map(({ body }) => body))], ['{"text":"You said: All at once"}'])
  t.equal((await query("SELECT FROM messages WHERE sender = 'user'")).length, 3)
})

t.test('a guest can only use their own conversations and sign up', async t => {
  const { as, enter } = await startForGuests(t)
  const ann = await as('ann')
  const { id: anns } = (await ann.post('/api/conversations', { name: 'Secret' })).json()
  const guest = await enter()
  const [{ id }] = await conversationsOf(guest)
  t.equal((await guest.put(`/api/conversations/${id}`, { name: 'Mine' })).statusCode, 200)
  t.equal((await guest.post(`/api/conversations/${id}/messages`, { text: 'Hi' })).statusCode, 201)
  t.equal((await guest.get(`/api/conversations/${id}/messages`)).json().length, 3)
  t.equal((await guest.get(`/api/conversations/${anns}`)).statusCode, 404)
  t.equal((await ann.get(`/api/conversations/${id}`)).statusCode, 404)

  const { id: another } = (await guest.post('/api/conversations', { name: 'Another' })).json()
  await guest.post('/chat', { content: 'Where am I?' })
  t.equal((await guest.get(`/api/conversations/${another}/messages`)).json().length, 0, '/chat continues in the guest’s first conversation')

  const refused = [
    await guest.get('/api/me'), await guest.get('/api/me/export'), await guest.get('/api/me/sessions'), await guest.delete('/api/me/sessions/1'),
    await guest.patch('/api/me', { name: 'Guest' })
  ]
  for (const answer of refused) t.match(answer.json(), { statusCode: 403, code: 'NOT_FOR_GUESTS', error: 'Please sign up first' })
  t.equal((await guest.post('/api/logout')).statusCode, 200)
  t.equal((await guest.get('/api/conversations')).statusCode, 401)
})

t.test('a guest who signs up keeps everything but the token', async t => {
  const { as, anyone, enter, query, connection } = await startForGuests(t)
  const there = await startApp(t, {}, undefined, connection)
  await as('taken')
  const guest = await enter()
  await guest.post('/chat', { content: 'Hi' })
  const before = await conversationsOf(guest)
  const [{ id }] = await query('SELECT id::int FROM users WHERE is_guest')

  for (const [account, code] of [[{ ...ACCOUNT, username: 'Taken' }, 'USERNAME_TAKEN'], [{ ...ACCOUNT, password: 'password1' }, 'INVALID_PASSWORD'], [{ username: 'ann' }, 'INVALID_REQUEST']] as const) {
    t.match((await guest.post('/api/signup', account)).json(), { statusCode: 400, code })
  }
  t.equal((await guest.post('/chat', { content: 'Still a guest' })).statusCode, 200)
  const signup = await guest.post('/api/signup', { ...ACCOUNT, username: ' Ann ', name: 'Ann A.', email: 'ann@example.com', role: 'admin' })
  t.same([signup.statusCode, signup.json()], [201, { message: 'User created successfully', user: { id, username: 'Ann' } }])

  for (const on of [anyone, there.anyone]) {
    t.match((await on.post('/chat', { token: guest.token, content: 'Hi' })).json(), { statusCode: 401, error: '401 Unauthorized: Invalid token' })
    t.equal((await on.get('/api/conversations', guest.headers)).statusCode, 401, 'the guest’s token is invalid at every instance')
  }
  const login = await there.anyone.post('/api/login', ACCOUNT)
  const ann = there.clientOf({ cookie: `session=${login.cookies[0]!.value}` })
  t.match((await ann.get('/api/me')).json(), { id, username: 'Ann', name: 'Ann A.', email: 'ann@example.com', is_email_verified: false, is_guest: false, role: 'user' })
  const after = await conversationsOf(ann)
  t.same(after.map(({ id }: { id: number }) => id), before.map(({ id }: { id: number }) => id))
  t.match(after[0].messages, [{ text: GREETING }, { username: 'Ann', text: 'Hi' }, {}, { text: 'Still a guest' }, {}])
  t.match((await ann.get('/api/me/sessions')).json(), [{ kind: 'cookie', is_current: true }])

  t.equal((await guest.post('/api/signup', { username: 'later', password: 'correct horse' })).statusCode, 201, 'a signup with an ended token creates another account')
  t.same(await conversationsOf(await as('later')), [])
  const users = (await query('SELECT FROM users')).length
  t.equal((await ann.post('/api/signup', { username: 'other', password: 'correct horse' }, { authorization: `Bearer ${login.cookies[0]!.value}` })).statusCode, 201)
  t.equal((await query('SELECT FROM users')).length, users + 1, 'a signup with an account’s token creates another account')
})

t.test('of several concurrent signups of one guest, one upgrades the guest', async t => {
  const { enter, query, connection } = await startForGuests(t)
  const there = await startApp(t, {}, undefined, connection)
  for (let round = 0; round < 5; round++) {
    const guest = await enter()
    const [{ id }] = await query('SELECT max(id)::int AS id FROM users')
    const elsewhere = there.clientOf(guest.headers)
    const answers = await Promise.all(Array.from({ length: 6 }, (_, n) =>
      [guest, elsewhere][n % 2]!.post('/api/signup', { username: `round ${round}, number ${n}`, password: 'correct horse' })))
    const made = answers.filter(({ statusCode }) => statusCode === 201).map(answer => answer.json().user)
    t.equal(made.filter(user => user.id === id).length, 1)
    for (const answer of answers) if (answer.statusCode !== 201) t.match(answer.json(), { statusCode: 401, code: 'INVALID_TOKEN' })
    const owners = await query('SELECT u.username FROM conversations c JOIN users u ON u.id = c.owner_id WHERE u.id = $1', [id])
    t.same(owners, [{ username: made.find(user => user.id === id).username }])
    t.equal((await elsewhere.get('/api/conversations')).statusCode, 401)
  }
  t.same(await query('SELECT FROM users WHERE is_guest'), [])
})
