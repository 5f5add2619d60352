import t from 'tap'
import { createHmac, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { exportSPKI, generateKeyPair, importJWK, SignJWT, type CryptoKey, type JWTPayload } from 'jose'
import { createTidyStore } from '../../../src/accounts/tidy-store.ts'
import { startApp } from '../../support/helper.ts'
import { connect, listen, next, refused, startLive, type Refusal } from '../../support/live.ts'
import { bearer, startIssuer, trusting } from '../../support/issuer.ts'
import { connect as connectTo, isWaiting, until } from '../../support/process.ts'
import { isPrompt } from '../../support/prompt.ts'

// Users who come with tokens of other issuers, over HTTP, sockets and streams.

const seconds = () => Math.floor(Date.now() / 1000)

t.test('the first request creates the user, even if many arrive at once', async t => {
  t.capture(AbortSignal, 'timeout', () => new AbortController().signal) // a busy machine takes longer for a hundred requests than an issuer may take
  const issuer = await startIssuer(t)
  const one = await startApp(t, trusting(issuer.setting))
  const two = await startApp(t, trusting(issuer.setting), undefined, one.connection)
  const tokens = await Promise.all(Array.from({ length: 100 }, (_, n) => issuer.sign({ jti: `token ${n}`, preferred_username: 'Ann', name: 'Ann A.' })))
  const answers = await Promise.all(tokens.map((token, n) => (n % 2 === 0 ? one : two).anyone.get('/api/me', bearer(token))))
  t.ok(answers.every(({ statusCode }) => statusCode === 200))
  t.equal(new Set(answers.map(answer => answer.json().id)).size, 1)
  t.same(await one.query('SELECT count(*)::int FROM users'), [{ count: 1 }])
  t.match(answers[0]!.json(), { username: 'Ann', name: 'Ann A.', issuer: issuer.issuer, external_id: 'user_1', is_guest: false, role: 'user', email: null, picture: null })
  t.same(issuer.asked.sort(), ['/.well-known/openid-configuration', '/.well-known/openid-configuration', '/jwks', '/jwks'], 'each instance fetched the keys once')
})

t.test('tokens of one user that wait for one another leave connections for other users', async t => {
  const issuer = await startIssuer(t)
  const { anyone, as, connection } = await startApp(t, trusting(issuer.setting))
  const ann = await as('ann')
  await anyone.get('/api/me', bearer(await issuer.sign({ jti: 'first' })))
  const tokens = await Promise.all(Array.from({ length: 30 }, (_, n) => issuer.sign({ jti: `token ${n}` })))
  const other = await connectTo(t, connection)
  await other.query('BEGIN')
  await other.query('SELECT FROM users WHERE id = (SELECT user_id FROM external_users) FOR UPDATE')
  const answers = Promise.all(tokens.map(token => anyone.get('/api/me', bearer(token))))
  await isWaiting(other, 1) // one only
  t.equal((await ann.post('/api/conversations', { bots: [] })).statusCode, 201)
  await other.query('COMMIT')
  t.ok((await answers).every(({ statusCode }) => statusCode === 200))
})

t.test('tokens like those of Clerk, Auth0, Supabase and Keycloak, and tokens of your own app, are accepted', async t => {
  const [clerk, auth0, supabase, keycloak] = [await startIssuer(t), await startIssuer(t), await startIssuer(t, { alg: 'ES256' }), await startIssuer(t, { alg: 'PS256' })]
  const secret = randomBytes(32).toString('base64url')
  const { anyone, query } = await startApp(t, {
    ...trusting(
      { issuer: clerk.issuer, audience: ['https://app.example.com', 'http://localhost:3000'], claims: { username: 'username' } },
      { issuer: `${auth0.issuer}/`, audience: 'https://api.example.com', jwks: `${auth0.issuer}/jwks`, admin_claim: 'https://example.com/roles=boss' },
      { issuer: `${supabase.issuer}/auth/v1`, audience: 'authenticated', jwks: `${supabase.issuer}/jwks`, claims: { name: 'user_metadata.full_name', picture: 'user_metadata.avatar_url' } },
      { issuer: keycloak.issuer, audience: 'parley' },
      { issuer: 'my-app', audience: 'parley', secret, claims: { session: 'device.id' } }
    ),
    ADMIN_CLAIM: 'realm_access.roles=chat-admin'
  })
  const me = async (token: string) => (await anyone.get('/api/me', bearer(token))).json()
  t.match(await me(await clerk.sign({ aud: undefined, azp: 'https://app.example.com', sid: 'sess_1', sub: 'user_clerk', username: 'clara' })), { username: 'clara', name: null })
  t.match(await me(await auth0.sign({ iss: `${auth0.issuer}/`, aud: ['https://api.example.com', 'https://tenant.auth0.com/userinfo'], azp: 'client', sub: 'auth0|1', 'https://example.com/roles': ['boss'] }, { typ: 'at+jwt' })),
    { external_id: 'auth0|1', role: 'admin' })
  t.match(await me(await supabase.sign({ iss: `${supabase.issuer}/auth/v1`, aud: 'authenticated', sub: 'b6c0', session_id: 's', email: 'sue@example.com', user_metadata: { full_name: 'Sue', avatar_url: 'https://example.com/s.png', email_verified: true } })),
    { name: 'Sue', picture: 'https://example.com/s.png', email: null })
  const admins = { preferred_username: 'clara', email: 'kit@example.com', email_verified: true, name: 'Kit', sub: 'kit' }
  const kit = await me(await keycloak.sign({ ...admins, realm_access: { roles: ['chat-admin'] } }, { typ: 'JWT' }))
  t.match(kit, { username: null, name: 'Kit', email: 'kit@example.com', is_email_verified: true, role: 'admin' }, 'the username was taken')
  t.match(await me(await keycloak.sign({ ...admins, realm_access: { roles: [] } })), { id: kit.id, role: 'user' }, 'without the claim the user is no longer an admin')
  t.match(await query('SELECT admin_name, action, user_id::int FROM admin_log ORDER BY id'), [
    { admin_name: `${auth0.issuer}/`, action: 'admin.create' },
    { admin_name: keycloak.issuer, action: 'admin.create', user_id: kit.id }, { admin_name: keycloak.issuer, action: 'admin.remove', user_id: kit.id }
  ])
  const own = await new SignJWT({ iss: 'my-app', aud: 'parley', sub: '42', exp: 4e9, name: 'Me' }).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(secret))
  t.match(await me(own), { name: 'Me', issuer: 'my-app', external_id: '42' })
  for (const [iat, id] of [[1, 'phone'], [2, 'phone'], [3, 'laptop']] as const) {
    const token = await new SignJWT({ iss: 'my-app', aud: 'parley', sub: '43', iat, exp: 4e9, device: { id } }).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(secret))
    await me(token)
  }
  t.match(await query('SELECT count(*)::int FROM sessions JOIN external_users USING (user_id) WHERE subject = $1', ['43']), [{ count: 2 }], 'each device has its own session')
  t.match(await query("SELECT expires_at < now() + interval '367 days' AS bounded FROM sessions ORDER BY id DESC LIMIT 1"), [{ bounded: true }])
})

t.test('forged, expired and malformed tokens are refused', async t => {
  const [issuer, other] = [await startIssuer(t), await startIssuer(t)]
  const { anyone, query } = await startApp(t, trusting(issuer.setting, { ...other.setting, audience: 'other' }, { issuer: 'shared', audience: 'parley', secret: 's'.repeat(32) }))
  t.equal((await anyone.get('/api/me', bearer(await issuer.sign()))).statusCode, 200, 'a valid token is accepted')
  const before = await query('SELECT count(*) FROM users')
  const publicPem = Buffer.from(await exportSPKI(await importJWK(issuer.jwk, 'RS256') as CryptoKey))
  const stranger = (await generateKeyPair('RS256')).privateKey
  const strangersEc = (await generateKeyPair('ES256')).privateKey
  const [head, body, signature] = (await issuer.sign()).split('.') as [string, string, string]
  const base64url = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString())
  const hmac = (header: object, payload: object, key: string | Buffer) => {
    const content = `${base64url(header)}.${base64url(payload)}`
    return `${content}.${createHmac('sha256', key).update(content).digest('base64url')}`
  }
  const kid = issuer.jwk.kid
  const forged: Record<string, string> = {
    'another audience': await issuer.sign({ aud: 'another' }),
    'other audiences': await issuer.sign({ aud: ['a', 'b'] }),
    'an empty audience': await issuer.sign({ aud: [] }),
    'no audience': await issuer.sign({ aud: undefined }),
    'another azp': await issuer.sign({ aud: undefined, azp: 'another' }),
    'the right azp and a wrong audience': await issuer.sign({ aud: 'another', azp: 'parley' }),
    'another issuer': await issuer.sign({ iss: 'https://evil.example' }),
    'no issuer': await issuer.sign({ iss: undefined }),
    'the issuer with a slash': await issuer.sign({ iss: `${issuer.issuer}/` }),
    'an issuer that is not a string': await issuer.sign({ iss: [issuer.issuer] as never }),
    'another trusted issuer’s subject': await issuer.sign({ iss: other.issuer, aud: 'other' }),
    'a trusted issuer’s token for another issuer’s audience': await other.sign({ aud: 'parley' }),
    'a stranger’s key': await issuer.sign({}, {}, stranger),
    'a stranger’s key of another kind': await issuer.sign({}, { alg: 'ES256' }, strangersEc),
    'an unknown kid': await issuer.sign({}, { kid: 'unknown' }),
    'a key in the header': await issuer.sign({}, { kid: undefined, jwk: issuer.jwk }, stranger),
    'a key set in the header': await issuer.sign({}, { jku: `${other.issuer}/jwks` }, other.key),
    'alg none': `${base64url({ alg: 'none', kid })}.${body}.`,
    'alg None': `${base64url({ alg: 'None', kid })}.${body}.`,
    'no alg': `${base64url({ kid })}.${body}.${signature}`,
    'HS256 with the public key as secret': hmac({ alg: 'HS256', kid, typ: 'JWT' }, claims, publicPem),
    'HS256 with an empty secret': hmac({ alg: 'HS256' }, claims, ''),
    'RS256 for an issuer with a shared secret': await issuer.sign({ iss: 'shared' }),
    'another secret': hmac({ alg: 'HS256' }, { ...claims, iss: 'shared' }, 't'.repeat(32)),
    expired: await issuer.sign({ exp: seconds() - 61 }),
    'not valid yet': await issuer.sign({ nbf: seconds() + 70 }),
    'no expiry': await issuer.sign({ exp: undefined }),
    'an expiry that is not a number': await issuer.sign({ exp: '4000000000' as never }),
    crit: `${base64url({ alg: 'RS256', kid, crit: ['b64'], b64: false })}.${body}.${signature}`,
    'no sub': await issuer.sign({ sub: undefined }),
    'an empty sub': await issuer.sign({ sub: '' }),
    'a sub that is not a string': await issuer.sign({ sub: 7 as never }),
    'a sub that cannot be stored': await issuer.sign({ sub: 'user\0' }),
    'a sub that is too long': await issuer.sign({ sub: 'x'.repeat(256) }),
    'a logout token': await issuer.sign({}, { typ: 'logout+jwt' }),
    'another payload': `${head}.${base64url({ ...claims, sub: 'admin' })}.${signature}`,
    'no signature': `${head}.${body}.`,
    'a payload that is not an object': `${head}.${Buffer.from('[]').toString('base64url')}.${signature}`,
    'five parts': `${head}.${body}.${signature}..`,
    'a token that is too long': await issuer.sign({ text: 'x'.repeat(8192) })
  }
  t.ok(Object.keys(forged).length >= 30)
  for (const [name, token] of Object.entries(forged)) t.match((await anyone.get('/api/me', bearer(token))).json(), { statusCode: 401, code: 'UNAUTHORIZED' }, name)
  t.same(await query('SELECT count(*) FROM users'), before)
  const lenient = await issuer.sign({ exp: seconds() - 30, nbf: seconds() + 30, sub: 'late' })
  t.equal((await anyone.get('/api/me', bearer(lenient))).statusCode, 200, 'clocks may differ by a minute')
})

t.test('an issuer whose tokens do not name their key may have several keys of one kind, such as while it changes them', async t => {
  const issuer = await startIssuer(t)
  const { anyone } = await startApp(t, trusting({ ...issuer.setting, jwks: `${issuer.issuer}/jwks` }))
  const status = async (token: string) => (await anyone.get('/api/me', bearer(token))).statusCode
  const former = issuer.key
  await issuer.rotate()
  for (const key of [issuer.key, former]) t.equal(await status(await issuer.sign({}, { kid: undefined }, key)), 200)
  const { privateKey } = await generateKeyPair('RS256')
  t.equal(await status(await issuer.sign({}, { kid: undefined }, privateKey)), 401, 'a key that is not among them')
  t.equal(await status(await issuer.sign({ aud: 'other' }, { kid: undefined }, former)), 401, 'for somebody else')
})

t.test('an issuer may replace its only key, although its tokens do not name their key or the new key has the same name', async t => {
  const clock = Date.now
  let aheadMs = 0
  t.capture(Date, 'now', () => clock() + aheadMs)
  for (const [name, header] of Object.entries({ 'without a key id': { kid: undefined }, 'with the same key id': { kid: 'only' } })) {
    const issuer = await startIssuer(t, header)
    const { anyone } = await startApp(t, trusting({ ...issuer.setting, jwks: `${issuer.issuer}/jwks` }))
    const status = async (sub: string, key = issuer.key) => (await anyone.get('/api/me', bearer(await issuer.sign({ sub }, header, key)))).statusCode
    t.equal(await status('user_1'), 200, name)
    const former = issuer.key
    await issuer.rotate({ keepOld: false })
    aheadMs += 61_000
    t.equal(await status('user_2'), 200, `${name}: a token of the new key is accepted`)
    t.equal(await status('user_3', former), 401, `${name}: one of the former key is refused`)
    t.equal(issuer.asked.length, 2, `${name}: the keys are fetched once a minute at most`)
  }
})

t.test('an issuer that answers slowly, with invalid data, with too much data or with a redirect delays no other users', async t => {
  const bad = await startIssuer(t)
  const good = await startIssuer(t)
  const inside = await startIssuer(t)
  const answers: Record<string, Parameters<typeof bad.answerWith>[0]> = {
    slow: () => {},
    'slow after the headers': (_request, response) => { response.write('{') },
    'invalid data': (_request, response) => { response.end('<html>') },
    null: (_request, response) => { response.end('null') },
    'another issuer’s configuration': (_request, response) => { response.end(JSON.stringify({ issuer: good.issuer, jwks_uri: `${good.issuer}/jwks` })) },
    'no address of its keys': (_request, response) => { response.end(JSON.stringify({ issuer: bad.issuer })) },
    'a redirect into the internal network': (_request, response) => { response.writeHead(302, { location: `${inside.issuer}/jwks` }).end() },
    'keys in the internal network': (_request, response) => { response.end(JSON.stringify({ issuer: bad.issuer, jwks_uri: `${inside.issuer.replace('127.0.0.1', '127.0.0.2')}/jwks` })) },
    'an error': (_request, response) => { response.writeHead(500).end('{}') },
    'too much data': (_request, response) => { response.end(' '.repeat(300 * 1024)) }
  }
  for (const [name, answer] of Object.entries(answers)) {
    const { anyone } = await startApp(t, trusting(bad.setting, good.setting))
    bad.answerWith(answer)
    const began = performance.now()
    const waiting = anyone.get('/api/me', bearer(await bad.sign()))
    const [other] = await Promise.all([anyone.get('/api/me', bearer(await good.sign()))])
    t.equal(other.statusCode, 200, `${name}: users of other issuers are not affected`)
    const refused = await waiting
    t.match(refused.json(), { statusCode: 503, code: 'UNAVAILABLE' }, name)
    isPrompt(t, began, 2_000, `${name}: refused`)
    const asked = bad.asked.length
    t.equal((await anyone.get('/api/me', bearer(await bad.sign()))).statusCode, 503)
    t.equal(bad.asked.length, asked, `${name}: the next request is refused without asking the issuer`)
  }
  t.same(inside.asked, [], 'nothing in the internal network was requested')
})

t.test('name, picture and verified address are updated from tokens, and users are never merged because of them', async t => {
  const issuer = await startIssuer(t)
  const { anyone, as, query, clientOf, work } = await startApp(t, trusting(issuer.setting))
  await as('bob')
  await query("UPDATE users SET email = 'bob@example.com', email_verified_at = now() WHERE username = 'bob'")
  const me = async (claims: object) => (await anyone.get('/api/me', bearer(await issuer.sign({ jti: randomBytes(8).toString('hex'), ...claims })))).json()

  const first = await me({ preferred_username: 'bob', name: 'Bob', email: 'bob@example.com', email_verified: true })
  t.match(first, { username: null, name: 'Bob', email: null }, 'the user is not merged with another one of the same username and address')
  t.match(await me({ name: 'Robert', picture: 'https://example.com/r.png', email: 'Rob@EXAMPLE.com', email_verified: true }),
    { id: first.id, name: 'Robert', picture: 'https://example.com/r.png', email: 'Rob@example.com', is_email_verified: true })
  t.match(await me({}), { id: first.id, name: 'Robert', picture: 'https://example.com/r.png', email: 'Rob@example.com' }, 'a token without these claims changes nothing')
  t.match(await me({ sub: 'user_2', preferred_username: 'a', name: 'Al' }), { username: null, name: 'Al' }, 'a username that is too short')
  t.match(await me({ sub: 'user_3', preferred_username: 'a\u200bdmin' }), { username: null, name: null }, 'a username with invisible characters')

  const token = await issuer.sign()
  const client = clientOf(bearer(token))
  await t.test('a user without a username is shown by name', async t => {
    const { id } = (await client.post('/api/conversations', { name: 'Plans', bots: ['simulated'] })).json()
    const [said] = (await client.post(`/api/conversations/${id}/messages`, { text: 'Hi' })).json()
    t.equal(said.username, 'Robert')
    t.match((await client.get(`/api/conversations/${id}/messages`)).json(), [{ username: 'Robert', text: 'Hi' }, { username: 'simulated' }])
    t.match((await client.get(`/api/conversations/${id}/users`)).json(), [{ id: first.id, username: 'Robert', is_owner: true }])
    await client.post(`/api/conversations/${id}/users`, { username: 'bob' })
    const exported = (await client.get('/api/me/export')).json()
    t.match(exported.external_identities, [{ issuer: issuer.issuer, external_id: 'user_1' }])
    t.equal(exported.conversations[0].messages[0].username, 'Robert')
  })

  await t.test('the user has no password and cannot set one', async t => {
    t.match((await client.patch('/api/me', { password: 'correct horse' })).json(), { code: 'PASSWORD_REQUIRED' })
    t.match((await client.patch('/api/me', { password: 'correct horse', current_password: '' })).json(), { code: 'WRONG_PASSWORD' })
    await anyone.post('/api/password/forgot', { email: 'rob@example.com' })
    await work()
    await until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE task_identifier = 'forgot'")).length === 0)
    t.same(await query('SELECT FROM one_time_tokens'), [], 'no mail to reset a password was made')
    t.equal((await client.delete('/api/me')).statusCode, 204, 'the account can be deleted without a password')
    t.equal((await client.get('/api/me')).statusCode, 401)
    t.not((await me({})).id, first.id, 'the next sign-in creates a new user')
  })
})

t.test('a token from before a change at the issuer is accepted until it expires, and undoes nothing', async t => {
  const issuer = await startIssuer(t)
  const { anyone, query, connection } = await startApp(t, { ...trusting(issuer.setting), ADMIN_CLAIM: 'role=boss' })
  const elsewhere = await startApp(t, { ...trusting(issuer.setting), ADMIN_CLAIM: 'role=boss' }, undefined, connection)
  const before = { name: 'Ann A.', picture: 'https://example.com/a.png', email: 'ann@example.com', email_verified: true }
  const after = { name: 'Ann B.', picture: 'https://example.com/b.png', email: 'ann@example.org', email_verified: true }
  const [phone, laptop] = [await issuer.sign({ ...before, role: 'boss', sid: 'phone', iat: seconds() - 60 }), await issuer.sign({ ...after, sid: 'laptop' })]
  const shown = ({ name, picture, email }: typeof before) => ({ name, picture, email })
  t.match((await anyone.get('/api/me', bearer(phone))).json(), { ...shown(before), role: 'admin' })
  t.match((await anyone.get('/api/me', bearer(laptop))).json(), { ...shown(after), role: 'user' })
  t.match((await elsewhere.anyone.get('/api/me', bearer(phone))).json(), { ...shown(after), role: 'user' }, 'an instance that sees the older token for the first time')
  t.equal((await elsewhere.anyone.get('/api/admin/users', bearer(phone))).statusCode, 403)
  t.match(await query('SELECT action FROM admin_log ORDER BY id'), [{ action: 'admin.create' }, { action: 'admin.remove' }])
  t.match((await anyone.get('/api/me', bearer(await issuer.sign({ name: 'Ann C.', iat: undefined })))).json(), { name: 'Ann C.' }, 'a token that does not say when it was issued')

  const [earlier, later] = [await issuer.sign({ sub: 'bob', role: 'boss', iat: seconds() + 40 }), await issuer.sign({ sub: 'bob', iat: seconds() + 50 })]
  for (const token of [earlier, later]) await anyone.get('/api/me', bearer(token))
  t.match((await elsewhere.anyone.get('/api/me', bearer(earlier))).json(), { role: 'user' }, 'an issuer whose clock is fast')
})

t.test('a user whose username is taken at the same moment is created without a username', async t => {
  const issuer = await startIssuer(t)
  const { anyone, connection, query } = await startApp(t, trusting(issuer.setting))
  const rival = new pg.Client(connection)
  await rival.connect()
  t.teardown(() => rival.end())
  await rival.query("BEGIN; INSERT INTO users (username, username_key) VALUES ('ann', 'ann')")
  const asking = anyone.get('/api/me', bearer(await issuer.sign({ preferred_username: 'ann', name: 'Ann' })))
  while ((await query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")).length === 0) await sleep(10)
  await rival.query('COMMIT')
  t.match((await asking).json(), { username: null, name: 'Ann' })
})

t.test('sessions of an issuer are listed, extended by newer tokens, and ended for all of their tokens', async t => {
  const issuer = await startIssuer(t)
  const { query, as, clientOf } = await startApp(t, trusting(issuer.setting))
  const signed = async (claims: JWTPayload) => clientOf({ ...bearer(await issuer.sign(claims)), 'user-agent': 'a browser' })
  const short = await signed({ sid: 'one', exp: seconds() + 5 })
  const phone = await signed({ sid: 'two' })
  const { id } = (await short.get('/api/me')).json()
  const expiry = async () => (await query('SELECT expires_at FROM sessions ORDER BY id LIMIT 1'))[0].expires_at as Date
  const ends = await expiry()
  const long = await signed({ sid: 'one', exp: seconds() + 500 })
  await long.get('/api/me')
  t.ok((await expiry()).getTime() > ends.getTime() + 400_000)
  await (await signed({ sid: 'one', exp: seconds() + 50 })).get('/api/me')
  t.ok((await expiry()).getTime() > ends.getTime() + 400_000, 'a token with an earlier expiry does not shorten the session')
  const sessions = (await phone.get('/api/me/sessions')).json()
  t.match(sessions, [{ kind: 'issuer', is_current: true }, { kind: 'issuer', is_current: false, user_agent: 'a browser', ip: '127.0.0.1' }])
  t.equal(sessions.length, 2)

  t.equal((await phone.delete(`/api/me/sessions/${sessions[1].id}`)).statusCode, 204)
  for (const client of [short, long, await signed({ sid: 'one', iat: 1 })]) t.equal((await client.get('/api/me')).statusCode, 401, 'no token of the ended session is accepted')
  t.equal((await (await signed({ sid: 'one', sub: 'user_2' })).get('/api/me')).statusCode, 200, 'a session of another subject with the same id is not affected')
  t.equal((await phone.get('/api/me')).statusCode, 200)

  await phone.post('/api/logout')
  t.equal((await phone.get('/api/me')).statusCode, 401)

  const again = await signed({ sid: 'three' })
  t.equal((await again.get('/api/me')).json().id, id)
  const admin = await as('boss')
  await query("UPDATE users SET role = 'admin' WHERE username = 'boss'")
  await admin.patch(`/api/admin/users/${id}`, { is_locked: true })
  for (const client of [again, await signed({ sid: 'four' }), await signed({ sid: 'three', iat: 2 })]) t.equal((await client.get('/api/me')).statusCode, 401, 'locked')
  t.match((await admin.get('/api/admin/log')).json(), [{ action: 'user.lock' }])
})

t.test('a session of an issuer whose newest token has just expired can be ended, too, so that the next token does not extend it', async t => {
  const issuer = await startIssuer(t)
  const { query, as, clientOf } = await startApp(t, trusting(issuer.setting))
  const signed = async (claims: JWTPayload) => clientOf(bearer(await issuer.sign(claims)))
  const me = async (claims: JWTPayload) => await (await signed(claims)).get('/api/me')
  const { id } = (await me({ sid: 'laptop' })).json()
  const expire = async (nth: 'min' | 'max') => { await query(`UPDATE sessions SET expires_at = now() - interval '1 second' WHERE id = (SELECT ${nth}(id) FROM sessions)`) }
  await expire('min') // the tokens of some issuers are valid for a minute
  t.equal((await me({ sid: 'laptop', iat: 1 })).statusCode, 200, 'the next token extends the session')
  await me({ sid: 'phone' })
  const admin = await as('boss')
  await query("UPDATE users SET role = 'admin' WHERE username = 'boss'")

  await expire('min')
  t.equal((await admin.delete(`/api/admin/users/${id}/sessions`)).statusCode, 204)
  t.match((await admin.get('/api/admin/log?limit=1')).json(), [{ action: 'user.end_sessions', details: { sessions: 2 } }])
  for (const sid of ['laptop', 'phone']) t.equal((await me({ sid, iat: 2 })).statusCode, 401, sid)

  t.equal((await me({ sid: 'tablet' })).statusCode, 200, 'the user signs in again')
  await expire('max')
  for (const is_locked of [true, false]) await admin.patch(`/api/admin/users/${id}`, { is_locked })
  t.equal((await me({ sid: 'tablet', iat: 1 })).statusCode, 401, 'what was begun before the lock stays ended after it')

  await me({ sid: 'desk' })
  const kitchen = await signed({ sid: 'kitchen' })
  const [, desk] = (await kitchen.get('/api/me/sessions')).json()
  await query("UPDATE sessions SET expires_at = now() - interval '1 second' WHERE id = $1", [desk.id])
  t.equal((await kitchen.delete(`/api/me/sessions/${desk.id}`)).statusCode, 204, 'it expires while its user looks at the list')
  t.equal((await me({ sid: 'desk', iat: 1 })).statusCode, 401)
})

t.test('a session of an issuer that comes back after a month works, although the daily clean-up broke off while it was deleting it', async t => {
  const issuer = await startIssuer(t)
  const { app, anyone, query, db } = await startApp(t, trusting(issuer.setting))
  const status = async (jti: string) => (await anyone.get('/api/me', bearer(await issuer.sign({ sid: 'session', jti })))).statusCode
  const tidy = async () => await createTidyStore(db).tidy({ retentionDays: 0, sessions: app.sessions })
  t.equal(await status('first'), 200)
  await query(`
    UPDATE sessions SET expires_at = now() - interval '31 days';
    UPDATE external_sessions SET ends_at = now() - interval '31 days';
    CREATE FUNCTION break_off () RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken off'; END $$;
    CREATE TRIGGER break_off BEFORE DELETE ON external_sessions FOR EACH ROW EXECUTE FUNCTION break_off()`)
  await t.rejects(tidy(), { cause: { message: 'broken off' } })
  t.equal(await status('second'), 200)
  await query('DROP TRIGGER break_off ON external_sessions')
  await tidy()
  t.equal(await status('third'), 200)
})

t.test('sockets and streams accept the tokens, auth_refresh renews them, and they close when the session ends', async t => {
  const issuer = await startIssuer(t)
  const server = await startLive(t, trusting(issuer.setting))
  const { url, clientOf, as, query } = server
  const token = await issuer.sign({ sid: 'one', name: 'Ann' })
  const ann = clientOf(bearer(token))
  const { id: user } = (await ann.get('/api/me')).json()
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const socket = await connect(t, url, { auth: { token }, extraHeaders: { 'user-agent': 'a browser' } })
  const stream = await listen(t, `${url}/api/conversations/${id}/events`, bearer(token))
  await socket.emitWithAck('join_chat', { chat_session_id: id })
  t.match(await refused(t, url, { auth: { token: await issuer.sign({ aud: 'another' }) } }), { data: { code: 'INVALID_TOKEN' } })

  await t.test('auth_refresh replaces the token by a newer one of the same user', async t => {
    const first = await issuer.sign({ sid: 'two' })
    const renewed = await connect(t, url, { auth: { token: first } })
    t.same(await renewed.emitWithAck('auth_refresh', { token: await issuer.sign({ sid: 'three' }) }), { user_id: user })
    await clientOf(bearer(first)).post('/api/logout')
    await sleep(1_200)
    t.ok(renewed.connected, 'the end of the previous session does not close the socket')
    t.match(await renewed.emitWithAck('start_chat'), { chat_session_id: Number })
    const closed = next(renewed, 'disconnect')
    t.match(await renewed.emitWithAck('auth_refresh', { token: await issuer.sign({ sub: 'another user' }) }) as Refusal, { code: 'INVALID_TOKEN' })
    await closed
  })

  await t.test('a socket that closes while its token is being renewed is no longer counted', async t => {
    const leaving = await connect(t, url, { auth: { token } })
    const lock = server.hold('sessions', 2)
    leaving.emit('auth_refresh', { token: await issuer.sign({ sid: 'one', iat: 5 }) })
    await lock.asked
    const before = server.app.countSockets()
    leaving.close()
    await until(() => server.app.countSockets() === before - 1)
    lock.release()
    await sleep(50)
  })

  const admin = await as('boss')
  await query("UPDATE users SET role = 'admin' WHERE username = 'boss'")
  const gone = next(socket, 'disconnect')
  const began = performance.now()
  t.equal((await admin.delete(`/api/admin/users/${user}/sessions`)).statusCode, 204)
  await Promise.all([gone, stream.ended])
  isPrompt(t, began, 1_000)
  t.match(await refused(t, url, { auth: { token } }), { data: { code: 'INVALID_TOKEN' } })
})

t.test('checking a known token takes as many queries as checking a session of Parley', async t => {
  const issuer = await startIssuer(t)
  const server = await startLive(t, trusting(issuer.setting))
  const headers = bearer(await issuer.sign())
  const ask = async () => (await server.anyone.get('/api/me', headers)).statusCode
  t.equal(await ask(), 200)
  const names = server.watchQueries()
  t.equal(await ask(), 200)
  t.equal(names.filter(name => name === 'sessions').length, 1)
  t.equal(names.length, 2, 'one query for the session, one for the response')
})
