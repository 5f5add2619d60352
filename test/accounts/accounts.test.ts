import t from 'tap'
import bcrypt from 'bcrypt'
import { setImmediate as turn } from 'node:timers/promises'
import { hashing } from '../../src/accounts/hashing.ts'
import { createTidyStore } from '../../src/accounts/tidy-store.ts'
import { addJob } from '../../src/db/jobs.ts'
import { startApp, type Headers } from '../support/helper.ts'
import { until } from '../support/process.ts'

t.test('a user signs up, logs in, reads their profile and logs out', async t => {
  const { app, anyone } = await startApp(t)
  const account = { username: 'Ann', password: 'correct horse', name: ' Ann A. ', email: 'ann@example.com' }
  const signup = await anyone.post('/api/signup', account)
  t.equal(signup.statusCode, 201)
  const { id } = signup.json().user
  t.same(signup.json(), { message: 'User created successfully', user: { id, username: 'Ann' } })
  t.equal(signup.cookies.length, 0, 'signing up does not log in')

  const login = await anyone.post('/api/login', { username: ' ANN ', password: 'correct horse' })
  t.same(login.json(), { message: 'Login successful', user: { id, username: 'Ann' } })
  const [cookie] = login.cookies
  const token = cookie!.value
  t.match(app.jwt.decode(token), { aud: 'session', iss: 'parley' })

  const ways: Headers[] = [{ cookie: `session=${token}` }, { authorization: `Bearer ${token}` }]
  for (const headers of ways) {
    const me = await anyone.get('/api/me', headers)
    t.equal(me.statusCode, 200)
    t.match(me.json(), { id, username: 'Ann', name: 'Ann A.', email: 'ann@example.com', is_guest: false, role: 'user' })
    t.notOk('password_hash' in me.json())
  }

  const logout = await anyone.get('/api/logout', { cookie: `session=${token}` })
  t.same(logout.json(), { message: 'Logged out successfully' })
  t.match(logout.cookies[0], { name: 'session', value: '', maxAge: 0 })
  t.equal((await anyone.get('/api/me', { authorization: `Bearer ${token}` })).statusCode, 401, 'the token is no longer valid')
  t.same((await anyone.post('/api/logout')).json(), { message: 'Logged out successfully' }, 'also without being logged in')
})

t.test('logging out ends the session of the cookie, whatever else is sent', async t => {
  const { as, anyone } = await startApp(t)
  const [ann, bob] = [await as('ann'), await as('bob')]
  const bobs = `Bearer ${bob.headers['cookie']!.split('=')[1]}`
  await ann.post('/api/logout', undefined, { authorization: 'Bearer nonsense' })
  t.equal((await ann.get('/api/me')).statusCode, 401)
  const again = await as('ann')
  await again.post('/api/logout', undefined, { authorization: bobs })
  t.equal((await again.get('/api/me')).statusCode, 401)
  t.equal((await anyone.get('/api/me', { authorization: bobs })).statusCode, 401, 'the session of the token ends too')
})

t.test('logging in ends the session that the same cookie held, and no other', async t => {
  const { as, anyone, clientOf, query } = await startApp(t)
  const [ann, bob] = [await as('ann'), await as('bob')]
  const bearer = { authorization: `Bearer ${bob.headers['cookie']!.split('=')[1]}` }
  const { access_token: token } = (await anyone.post('/login', { id: 'ann', passcode: 'correct horse' }, ann.headers)).json()
  t.equal((await ann.get('/api/me')).statusCode, 200, 'a passcode login gives a token and leaves the cookie alone')
  const wrong = await ann.post('/api/login', { username: 'ann', password: 'wrong horse' })
  t.same([wrong.statusCode, (await ann.get('/api/me')).statusCode], [401, 200], 'a failed login ends no session')

  const { cookies: [cookie] } = await ann.post('/api/login', { username: 'ann', password: 'correct horse' }, bearer)
  const again = clientOf({ cookie: `session=${cookie!.value}` })
  t.same([(await ann.get('/api/me')).statusCode, (await again.get('/api/me')).statusCode], [401, 200])
  t.equal((await anyone.get('/api/me', bearer)).statusCode, 200, 'the session of the bearer token in the same request does not end')
  t.equal((await anyone.get('/api/me', { authorization: `Bearer ${token}` })).statusCode, 200, 'sessions of other devices do not end')

  const { cookies: [bobs] } = await again.post('/api/login', { username: 'bob', password: 'correct horse' })
  t.equal((await again.get('/api/me')).statusCode, 401, 'the session also ends when another user logs in with the same browser')
  t.equal((await clientOf({ cookie: `session=${bobs!.value}` }).get('/api/me')).json().username, 'bob')
  t.equal((await anyone.post('/api/login', { username: 'bob', password: 'correct horse' }, { cookie: 'session=nonsense' })).statusCode, 200)
  t.equal((await query('SELECT FROM sessions WHERE revoked_at IS NULL')).length, 4)
})

t.test('a username is unique regardless of case and Unicode composition', async t => {
  const { anyone, db, query } = await startApp(t)
  const signUp = (username: string) => anyone.post('/api/signup', { username, password: 'correct horse' })
  t.equal((await signUp('José')).statusCode, 201)
  for (const username of ['josé', 'JOSE\u0301', '  José ']) {
    const answer = await signUp(username)
    t.equal(answer.statusCode, 400)
    t.match(answer.json(), { code: 'USERNAME_TAKEN', error: 'Username already exists' })
  }
  const racing = await Promise.all(Array.from({ length: 10 }, () => signUp('racer')))
  t.equal(racing.filter(({ statusCode }) => statusCode === 201).length, 1)
  // A username that another sign-up has stored but not committed yet.
  const other = await db.$client.connect()
  await other.query("BEGIN; INSERT INTO users (origin, username, username_key) VALUES ('web', 'slow', 'slow')")
  const waiting = signUp('Slow')
  await until(async () => (await query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")).length === 1)
  await other.query('COMMIT')
  other.release()
  t.match((await waiting).json(), { code: 'USERNAME_TAKEN' })
  for (const username of ['al', ' a ', 'a'.repeat(65), 'a\tb\nc', 'left\u202eright', 42, null]) {
    t.equal((await anyone.post('/api/signup', { username, password: 'correct horse' })).statusCode, 400, JSON.stringify(username))
  }
  t.equal((await signUp('李小龙')).statusCode, 201)
  t.equal((await signUp('a'.repeat(64))).statusCode, 201)
})

t.test('a password has 8 to 128 characters of any kind, and is not one of the most common', async t => {
  const { anyone } = await startApp(t)
  const signUp = async (username: string, password: string) => await anyone.post('/api/signup', { username, password })
  const logIn = async (username: string, password: string) => (await anyone.post('/api/login', { username, password })).statusCode

  t.equal((await signUp('short', '1234567')).statusCode, 400)
  t.equal((await signUp('long', 'x'.repeat(129))).statusCode, 400)
  for (const common of ['password1', 'PASSWORD1', 'iloveyou', '1234567890', 'ｐａｓｓｗｏｒｄ１']) {
    t.match((await signUp('common', common)).json(), { statusCode: 400, code: 'INVALID_PASSWORD' }, common)
  }

  const emoji = '👩‍🚀 '.repeat(30)
  t.equal((await signUp('spaces', '        ')).statusCode, 201)
  t.equal(await logIn('spaces', '        '), 200, 'spaces are neither trimmed nor forbidden')
  t.equal((await signUp('emoji', emoji)).statusCode, 201)
  t.equal(await logIn('emoji', emoji), 200)

  const long = 'a long pass phrase '.repeat(6)
  t.equal((await signUp('phrase', `${long}A`)).statusCode, 201)
  t.equal(await logIn('phrase', `${long}B`), 401, 'characters after the first 72 bytes count')
  t.equal(await logIn('phrase', `${long}A`), 200)
  t.equal((await signUp('accent', 'cafe\u0301 au lait')).statusCode, 201)
  t.equal(await logIn('accent', 'caf\u00e9 au lait'), 200, 'in another Unicode composition')
})

t.test('an unexpected error of the database is a 500 without details', async t => {
  const { anyone, query } = await startApp(t)
  await query('ALTER TABLE users ADD CONSTRAINT full_up CHECK (false) NOT VALID')
  for (const answer of [
    await anyone.post('/api/signup', { username: 'ann', password: 'correct horse' }),
    await anyone.post('/chat', { user_phone: '123456', user_message: 'hello' })
  ]) {
    t.match(answer.json(), { statusCode: 500, code: 'INTERNAL', error: 'Something went wrong on our side' })
    t.notMatch(answer.body, 'full_up')
  }
})

t.test('a login of an unknown user gets the same response, and costs as much, as one with a wrong password', async t => {
  const { anyone, query, connection } = await startApp(t)
  await anyone.post('/api/signup', { username: 'known', password: 'correct horse' })
  await query("INSERT INTO users (username, username_key) VALUES ('no password', 'no password')")
  const compared = t.capture(hashing, 'compare', hashing.compare)
  const said = []
  for (const username of ['known', 'unknown', 'no password', 'x'.repeat(1000)]) {
    const answer = await anyone.post('/api/login', { username, password: 'wrong horse' })
    said.push(answer.body)
    t.equal(compared().length, 1, 'one hash was compared')
    t.match(answer.json(), { statusCode: 401, code: 'INVALID_CREDENTIALS', error: 'Invalid username or password' })
  }
  t.equal(new Set(said).size, 1)

  t.comment('BCRYPT_COST was raised after the account was created')
  const { anyone: later } = await startApp(t, { BCRYPT_COST: 7 }, undefined, connection)
  for (const username of ['known', 'unknown', 'no password']) {
    compared()
    t.equal((await later.post('/api/login', { username, password: 'wrong horse' })).statusCode, 401)
    t.equal(compared().map(({ args }) => 2 ** bcrypt.getRounds(args[1])).reduce((sum, work) => sum + work), 2 ** 7, username)
  }
  t.equal((await later.post('/api/login', { username: 'known', password: 'correct horse' })).statusCode, 200)
  await query("UPDATE users SET password_hash = 'no hash' WHERE username = 'known'")
  t.equal((await later.post('/api/login', { username: 'known', password: 'correct horse' })).statusCode, 401)
})

t.test('hashing leaves the event loop free, and few hashes run at once', async t => {
  const { anyone } = await startApp(t, { BCRYPT_COST: 10 })
  await anyone.post('/api/signup', { username: 'ann', password: 'correct horse' })
  let running = 0
  let most = 0
  const { compare } = hashing
  t.capture(hashing, 'compare', async (password: string, hash: string) => {
    most = Math.max(most, ++running)
    return await compare(password, hash).finally(() => running--)
  })
  const logins = Promise.all(Array.from({ length: 12 }, () => anyone.post('/api/login', { username: 'ann', password: 'correct horse' })))
  const done = logins.then(() => 'done')
  let others = 0
  // A turn of the event loop, and a request that needs nothing else.
  const other = async () => {
    await turn()
    await anyone.get('/health/live')
  }
  while (await Promise.race([done, other()]) !== 'done') others++
  t.ok((await logins).every(({ statusCode }) => statusCode === 200))
  t.ok(others > 12, `${others} other requests are answered meanwhile`)
  t.equal(most, 2)
})

t.test('every request looks up its session', async t => {
  const { app, as, anyone, db, query } = await startApp(t)
  const ann = await as('ann')
  const status = async (headers = ann.headers) => (await anyone.get('/api/me', headers)).statusCode
  t.equal(await status(), 200)

  t.test('requests that arrive together share look-ups', async t => {
    const asked = t.capture(db.$client, 'query', db.$client.query)
    const answers = await Promise.all(Array.from({ length: 20 }, () => ann.get('/api/me')))
    t.ok(answers.every(({ statusCode }) => statusCode === 200))
    const lookUps = asked().filter(({ args: [query] }) => (query as { name?: string }).name === 'sessions')
    t.ok(lookUps.length < 20, `${lookUps.length} look-ups`)
  })

  t.test('the last use is stored at most once a minute', async t => {
    const lastUsed = async () => (await query('SELECT last_used_at FROM sessions'))[0].last_used_at.getTime()
    const before = await lastUsed()
    await status()
    t.equal(await lastUsed(), before)
    await query("UPDATE sessions SET last_used_at = now() - interval '2 minutes'")
    t.equal(await status(), 200)
    t.ok(await lastUsed() >= before)
  })

  t.test('a cookie’s session ends 30 minutes after its last use, or after 7 days', async t => {
    const [{ lasts }] = await query("SELECT expires_at - created_at = interval '7 days' AS lasts FROM (SELECT expires_at, date_trunc('milliseconds', created_at) AS created_at FROM sessions) s")
    t.equal(lasts, true)
    await query("UPDATE sessions SET last_used_at = now() - interval '32 minutes'")
    t.equal(await status(), 401)
    await query("UPDATE sessions SET last_used_at = now() - interval '30 minutes'")
    t.equal(await status(), 200)
    await query('UPDATE sessions SET expires_at = now()')
    t.equal(await status(), 401)
  })

  t.test('a token that is not from this server is refused', async t => {
    const tokens = [
      'nonsense',
      app.jwt.sign({ sid: 1, kind: 'cookie' }, { aud: 'password_reset' }),
      app.jwt.sign({ sid: 1, kind: 'cookie' }, { iss: 'somebody' }),
      app.jwt.sign({ sid: 1, kind: 'cookie' }, { key: 'another secret that is as long as ours', expiresIn: 60 }),
      app.jwt.sign({ sid: 999_999, kind: 'cookie' }, { expiresIn: 60 }),
      app.jwt.sign({ sid: 1, kind: 'cookie' }),
      `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"sid":1}').toString('base64url')}.`
    ]
    await query("UPDATE sessions SET last_used_at = now(), expires_at = now() + interval '1 day'")
    t.equal(await status(), 200)
    for (const token of tokens) t.equal(await status({ authorization: `Bearer ${token}` }), 401, token)
    t.equal(await status({}), 401)
  })
})

t.test('registration and login by id and passcode use the same accounts and rules', async t => {
  const { app, anyone, clientOf, query } = await startApp(t)
  const register = (id: unknown, passcode: unknown = 'correct horse') => anyone.post('/register', { id, passcode })
  const logIn = (id: unknown, passcode: unknown = 'correct horse') => anyone.post('/login', { id, passcode })
  const wrong = { statusCode: 401, code: 'INVALID_CREDENTIALS', error: 'Invalid username or password', msg: 'Bad id or passcode' }

  const made = await register(' Ann ')
  t.same([made.statusCode, made.json(), made.cookies], [201, { msg: 'User created' }, []])
  for (const id of ['Ann', 'ANN', ' ann ']) {
    t.match((await register(id)).json(), { statusCode: 400, code: 'USERNAME_TAKEN', msg: 'User already exists' }, 'the name is taken')
    t.match([(await logIn(id)).statusCode, Object.keys((await logIn(id)).json())], [200, ['access_token']])
  }
  t.equal((await register(1234567)).statusCode, 201, 'a number counts as its digits')
  t.equal((await logIn(1234567)).statusCode, 200)
  t.equal((await logIn(' 1234567')).statusCode, 200)
  t.match((await register('1234567')).json(), { msg: 'User already exists' })
  await anyone.post('/api/signup', { username: 'bob', password: 'correct horse' })
  t.equal((await logIn('bob')).statusCode, 200)
  t.match((await register('Bob')).json(), { msg: 'User already exists' })
  t.match((await anyone.post('/api/login', { username: 'ann', password: 'correct horse' })).json(), { user: { username: 'Ann' } })
  t.match((await anyone.post('/api/signup', { username: 'ANN', password: 'correct horse' })).json(), { code: 'USERNAME_TAKEN' })
  t.same((await query('SELECT username, role, is_guest, origin FROM users ORDER BY id')).map(row => Object.values(row)),
    ['Ann', '1234567', 'bob'].map(username => [username, 'user', false, 'web']))

  const racing = await Promise.all(Array.from({ length: 8 }, () => register('racer')))
  t.same(racing.map(({ statusCode }) => statusCode).sort(), [201, ...Array(7).fill(400)])

  for (const [id, passcode] of [['ann', 'wrong horse'], ['nobody', 'correct horse'], ['', ''], [7, 'correct horse']]) t.same((await logIn(id, passcode)).json(), wrong)

  const rows: Array<[path: string, body: unknown, answer: object]> = [
    ['/register', { id: 'al', passcode: 'correct horse' }, { code: 'INVALID_REQUEST', msg: 'id needs at least 3 characters' }],
    ['/register', { id: 12, passcode: 'correct horse' }, { code: 'INVALID_REQUEST', msg: 'id needs at least 3 characters' }],
    ['/register', { id: 'a\tb\nc', passcode: 'correct horse' }, { code: 'INVALID_REQUEST', msg: 'id may contain only visible characters' }],
    ['/register', { id: 'short', passcode: '1234567' }, { code: 'INVALID_REQUEST', msg: 'passcode needs at least 8 characters' }],
    ['/register', { id: 1e21, passcode: 'correct horse' }, { code: 'INVALID_REQUEST' }],
    ['/register', { id: 'number', passcode: 123456789 }, { code: 'INVALID_REQUEST', msg: 'passcode must be a string' }],
    ['/register', { id: 'common', passcode: 'password1' }, { code: 'INVALID_PASSWORD', msg: /common password that is easily guessed/ }],
    ['/register', { passcode: 'correct horse' }, { code: 'INVALID_REQUEST', msg: 'id is required', details: [{ path: 'id' }] }],
    ['/register', { id: true, passcode: 'correct horse' }, { code: 'INVALID_REQUEST', msg: /^id must be/ }],
    ['/register', { username: 'carl', password: 'correct horse' }, { code: 'INVALID_REQUEST', msg: 'id is required' }],
    ['/register', { id: 'nul\0', passcode: 'correct horse' }, { code: 'INVALID_TEXT', msg: /NUL/ }],
    ['/login', { id: 'ann' }, { code: 'INVALID_REQUEST', msg: 'passcode is required' }],
    ['/login', { id: null, passcode: 'correct horse' }, { code: 'INVALID_REQUEST', msg: /^id must be/ }],
    ['/login', { id: ['ann'], passcode: 'correct horse' }, { code: 'INVALID_REQUEST', msg: /^id must be/ }],
    ['/login', [], { code: 'INVALID_REQUEST', msg: 'The body must be an object' }],
    ['/login', 'null', { code: 'INVALID_REQUEST', msg: 'The body is required' }],
    ['/login', '', { code: 'INVALID_REQUEST', msg: 'The body is required' }],
    ['/login', '{', { code: 'INVALID_JSON', msg: 'The body is not valid JSON' }]
  ]
  for (const [path, body, answer] of rows) {
    const said = await anyone.post(path, body as object, { 'content-type': 'application/json' })
    t.match([said.statusCode, said.json()], [400, { statusCode: 400, ...answer }], `${path} ${JSON.stringify(body)}`)
    t.equal(said.json().msg, said.json().error, '`msg` and `error` are the same')
  }

  const login = await logIn('ann')
  t.match([login.headers['cache-control'], login.cookies], ['no-store', []])
  const { access_token: token } = login.json()
  const { iat, exp } = app.jwt.decode<{ iat: number, exp: number }>(token)!
  t.equal(exp - iat, 24 * 60 * 60)
  const ann = clientOf({ authorization: `Bearer ${token}` })
  const status = async () => (await ann.get('/api/me')).statusCode
  const [{ sid }] = await query("SELECT max(id)::int AS sid FROM sessions WHERE kind = 'access_token' AND expires_at - created_at BETWEEN interval '23:59:59' AND interval '24:00:01'")
  await query("UPDATE sessions SET last_used_at = now() - interval '23 hours' WHERE id = $1", [sid])
  t.equal(await status(), 200, 'the session lasts 24 hours even if it is not used')
  await query('UPDATE sessions SET expires_at = now() WHERE id = $1', [sid])
  t.equal(await status(), 401, 'the session ends after that')
})

t.test('a daily job deletes sessions and links that ended a month ago', async t => {
  const { as, anyone, query, work, db } = await startApp(t)
  await anyone.post('/api/signup', { username: 'ann', password: 'correct horse', email: 'ann@example.com' })
  await as('ann')
  await as('ann')
  await query(`
    INSERT INTO sessions (user_id, kind, user_agent, expires_at, revoked_at)
    SELECT id, 'cookie', past.name, now() + past.expires::interval, now() + past.revoked::interval
    FROM users, (VALUES ('expired', '-31 days', NULL), ('ended', '1 day', '-31 days'), ('lately', '-29 days', NULL)) AS past (name, expires, revoked)`)
  await query("INSERT INTO one_time_tokens (purpose, user_id, address, expires_at) SELECT 'password_reset', id, 'old', now() - interval '31 days' FROM users")
  await addJob(db, 'tidy', {}, { key: 'tidy' })
  await work()
  await until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE key = 'tidy' AND run_at > now() + interval '23 hours'")).length === 1)
  t.same((await query("SELECT user_agent FROM sessions WHERE user_agent <> 'lightMyRequest'")), [{ user_agent: 'lately' }])
  t.equal((await query('SELECT FROM sessions')).length, 3)
  t.same(await query('SELECT address FROM one_time_tokens'), [{ address: 'ann@example.com' }])
})

t.test('however many rows the daily job has to delete, a statement deletes 10,000 at most, which takes less than the 10 seconds that it may take', async t => {
  const { as, app, query, db } = await startApp(t)
  await as('ann')
  const past = "now() - interval '31 days' FROM users, generate_series(1, 10001) n"
  const tables = ['external_sessions', 'gone_conversations', 'invitations', 'one_time_tokens', 'sessions']
  await query(`
    INSERT INTO sessions (user_id, kind, expires_at) SELECT id, 'guest', ${past};
    INSERT INTO external_sessions (key, ends_at) SELECT n, ${past};
    INSERT INTO one_time_tokens (purpose, user_id, address, expires_at) SELECT 'password_reset', id, 'old', ${past};
    INSERT INTO gone_conversations (user_id, conversation_id, gone_at) SELECT id, n, ${past};
    INSERT INTO invitations (secret_hash, expires_at) SELECT n, ${past};
    CREATE TABLE deletions (name text, rows int);
    CREATE FUNCTION note_deletion () RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO deletions SELECT TG_TABLE_NAME, count(*) FROM deleted; RETURN NULL; END $$`)
  for (const table of tables) await query(`CREATE TRIGGER note AFTER DELETE ON ${table} REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION note_deletion()`)
  await createTidyStore(db).tidy({ retentionDays: 0, sessions: app.sessions })
  t.same(await query('SELECT name, array_agg(rows ORDER BY rows DESC) AS rows FROM deletions GROUP BY name ORDER BY name'), tables.map(name => ({ name, rows: [10_000, 1] })))
  t.equal((await query('SELECT FROM sessions')).length, 1, 'the session of the user is kept')
})
