import t, { type Test } from 'tap'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LightMyRequestResponse } from 'fastify'
import { hashing } from '../../src/accounts/hashing.ts'
import type { Config } from '../../src/config.ts'
import { startApp, type Client } from '../support/helper.ts'
import { clientOf } from '../support/process.ts'
import { readDescription } from '../support/routes.ts'

// How many requests a caller may send, and what happens beyond that.

const FRONT_END = 'http://localhost:3000'
const ACCOUNT = { username: 'ann', password: 'correct horse' }

/** Starts the app with rate limits, behind a trusted proxy that forwards the client's address. */
const startLimited = async (t: Test, changes: Partial<Config>) =>
  await startApp(t, { RATE_LIMITS: 'on', TRUST_PROXY: '127.0.0.1', ...changes })

const from = (address: string) => ({ 'x-forwarded-for': address })

const statusOf = async (asked: Promise<LightMyRequestResponse>) => (await asked).statusCode

const chatter = (client: Client) => async (address: string, user_phone: string, user_message: string, path = '/chat') =>
  await client.post(path, { user_phone, user_message }, from(address))

/** Stops the clock, and returns a function that moves it forward. */
function turnClock (t: Test) {
  const now = Date.now()
  let ahead = 0
  t.capture(Date, 'now', () => now + ahead)
  return (milliseconds: number) => { ahead += milliseconds }
}

t.test('one address may send a limited number of requests a minute, to any routes', async t => {
  const { anyone, app } = await startLimited(t, { RATE_LIMIT: 5 })
  const turn = turnClock(t)
  const stranger = from('192.0.2.1')
  const ask = [
    async () => await anyone.get('/api/test', stranger),
    async () => await anyone.get('/nowhere', stranger),
    async () => await anyone.get('/api/conversations', stranger),
    async () => await anyone.post('/api/login', {}, stranger),
    async () => await anyone.get('/docs', stranger)
  ]
  const statuses = async () => {
    const said = []
    for (const each of ask) said.push((await each()).statusCode)
    return said
  }
  t.same(await statuses(), [200, 404, 401, 400, 200])
  t.same(await statuses(), [429, 429, 429, 429, 429])
  t.equal(await statusOf(anyone.get('/health/live', stranger)), 200)
  t.equal(await statusOf(anyone.get('/health/ready', stranger)), 200, 'health checks are always answered')
  t.equal(await statusOf(anyone.get('/api/test', from('192.0.2.2'))), 200, 'other addresses are not affected')

  const refusal = await anyone.get('/api/test', { ...stranger, origin: FRONT_END })
  t.same(refusal.json(), { statusCode: 429, code: 'TOO_MANY_REQUESTS', error: 'Too many requests, please wait a little' })
  t.match(refusal.headers, {
    'retry-after': /^[1-9]\d*$/,
    'access-control-allow-origin': FRONT_END,
    'access-control-allow-credentials': 'true',
    'access-control-expose-headers': 'Link, Retry-After',
    'x-content-type-options': 'nosniff',
    'content-security-policy': /default-src 'none'/
  }, 'a front end may read the refusal')
  t.same(Object.keys(refusal.headers).filter(name => name.includes('ratelimit')), [])
  const preflight = { ...stranger, origin: FRONT_END, 'access-control-request-method': 'POST' }
  t.equal(await statusOf(app.inject({ method: 'OPTIONS', url: '/chat', headers: preflight })), 204, 'a CORS preflight is always answered')

  const seconds = Number(refusal.headers['retry-after'])
  t.ok(seconds <= 60)
  turn((seconds - 2) * 1000)
  t.equal(await statusOf(anyone.get('/api/test', stranger)), 429)
  turn(2000)
  t.same(await statuses(), [200, 404, 401, 400, 200], 'after the time in Retry-After, requests are accepted again')
})

t.test('sign-up and login routes each have their own, tighter limit, beyond which no body is read', async t => {
  const { anyone } = await startLimited(t, { RATE_LIMIT_ENTRY: 2 })
  const turn = turnClock(t)
  for (const path of ['/api/signup', '/api/login', '/register', '/login', '/api/password/forgot']) {
    const ask = async (address: string) => await statusOf(anyone.post(path, Buffer.from('hello'), from(address)))
    t.same([await ask('192.0.2.1'), await ask('192.0.2.1')], [415, 415])
    t.equal(await ask('192.0.2.1'), 429, path)
    t.equal(await ask('192.0.2.2'), 415)
  }
  turn(60_000)
  t.equal(await statusOf(anyone.post('/api/signup', ACCOUNT, from('192.0.2.1'))), 201)
})

t.test('every POST route without a login is limited by address', async t => {
  const { anyone } = await startLimited(t, { RATE_LIMIT_ENTRY: 2, RATE_LIMIT_CHAT: 2 })
  const { paths } = await readDescription({ anyone }) as { paths: Record<string, Record<string, { security: unknown[] }>> }
  const open = Object.entries(paths).flatMap(([path, { post }]) => post !== undefined && post.security.length === 0 ? [path] : [])
    .filter(path => !path.endsWith('/whatsapp') && path !== '/api/logout') // Meta signs its webhook, and a logout without a session does nothing
  t.ok(open.includes('/api/password/reset') && open.includes('/api/email/verify'))
  for (const [n, path] of open.entries()) {
    const ask = async () => await statusOf(anyone.post(path, {}, from(`192.0.2.${n}`)))
    t.same([await ask(), await ask(), await ask()], [400, 400, 429], path)
  }
})

t.test('guessing passwords is stopped, and the owner can still log in', async t => {
  const { anyone, query } = await startLimited(t, { RATE_LIMIT_ENTRY: 1000, RATE_LIMIT_LOGIN: 3 })
  await anyone.post('/api/signup', ACCOUNT)
  await anyone.post('/api/signup', { ...ACCOUNT, username: 'bob' })
  const logIn = async (address: string, username: string, password = 'wrong horse') =>
    await statusOf(anyone.post('/api/login', { username, password }, from(address)))

  const compared = t.capture(hashing, 'compare', hashing.compare)
  t.same([await logIn('192.0.2.1', 'ann'), await logIn('192.0.2.1', ' ANN '), await logIn('192.0.2.1', 'ａｎｎ')], [401, 401, 401])
  t.equal(compared().length, 3)
  t.equal(await logIn('192.0.2.1', 'Ann', 'correct horse'), 429, 'however the name is spelled, and even with the right password')
  t.equal(await statusOf(anyone.post('/login', { id: 'ann', passcode: 'correct horse' }, from('192.0.2.1'))), 429, 'by passcode too')
  t.equal(compared().length, 0, 'no password hash was computed')

  t.equal(await logIn('198.51.100.1', 'ann', 'correct horse'), 200, 'the owner, from another address')
  t.equal(await logIn('192.0.2.1', 'bob', 'correct horse'), 200, 'another user at the attacker’s address')
  t.same(await query('SELECT ip FROM sessions ORDER BY id'), [{ ip: '198.51.100.1' }, { ip: '192.0.2.1' }], 'sessions store the address of the login')
})

t.test('the guided chat is limited by address and by phone number', async t => {
  const { anyone } = await startLimited(t, { RATE_LIMIT_CHAT: 4, RATE_LIMIT_PHONE: 2 })
  const turn = turnClock(t)
  const say = chatter(anyone)
  t.match((await say('192.0.2.1', '+49 170 1', 'hello')).json(), { bot_message: 'What is your name?' })
  t.match((await say('192.0.2.2', '491701', 'John', '/api/chat')).json(), { bot_message: /^Hello John/ })
  const refusal = await say('192.0.2.3', '+49 (170) 1', 'So What')
  t.match(refusal.headers, { 'retry-after': /^[1-9]\d*$/ })
  t.same([refusal.statusCode, refusal.json()], [429, {
    statusCode: 429,
    code: 'TOO_MANY_REQUESTS',
    error: 'Too many requests, please wait a little',
    user_phone: '+49 (170) 1',
    bot_message: 'Too many requests, please wait a little'
  }], 'a phone number is limited from all addresses, however it is written')

  for (const [phone, path] of [['1111', '/chat'], ['2222', '/api/chat'], ['3333', '/chat']] as const) {
    t.equal(await statusOf(say('192.0.2.1', phone, 'hello', path)), 200)
  }
  t.match((await say('192.0.2.1', '4444', 'hello', '/api/chat')).json(), { statusCode: 429, bot_message: /^Too many requests/ }, 'an address is limited on both paths together')
  t.equal(await statusOf(anyone.get('/api/test', from('192.0.2.1'))), 200, 'other routes are not affected')

  turn(60_000)
  t.match((await say('192.0.2.1', '491701', 'So What')).json(), { bot_message: 'Playing So What' }, 'the refused message was not stored')
})

t.test('X-Forwarded-For counts only from a trusted proxy', async t => {
  const limit = { RATE_LIMIT: 2 }
  const third = async (changes: Partial<Config>, addressOf: (nth: number) => string, remoteAddress?: string) => {
    const { app } = await startLimited(t, { ...limit, ...changes })
    const ask = async (nth: number) => await statusOf(app.inject({
      url: '/api/test', remoteAddress, headers: { ...from(addressOf(nth)), 'x-real-ip': `192.0.2.${nth}`, forwarded: `for=192.0.2.${nth}` }
    }))
    return [await ask(1), await ask(2), await ask(3)][2]
  }
  const different = (nth: number) => `192.0.2.${nth}`
  t.equal(await third({ TRUST_PROXY: undefined }, different), 429, 'no proxy is trusted')
  t.equal(await third({ TRUST_PROXY: '10.0.0.0/8' }, different), 429, 'another proxy is trusted')
  t.equal(await third({}, different), 200, 'the proxy is trusted')
  t.equal(await third({ TRUST_PROXY: 'uniquelocal, 203.0.113.7' }, different, '203.0.113.7'), 200, 'the proxy is one of several')
  t.equal(await third({}, nth => `192.0.2.${nth}, 198.51.100.1`), 429, 'an address that the client itself wrote does not count')
  t.equal(await third({ TRUST_PROXY: 'loopback,10.0.0.0/8' }, nth => `192.0.2.${nth}, 10.1.2.3`), 200, 'a chain of proxies')
  t.equal(await third({}, nth => `2001:db8::${nth}`), 429, 'an IPv6 network is one caller')
  t.equal(await third({}, nth => `2001:db8:0:${nth}::1`), 200)
  t.equal(await third({}, nth => `192.0.2.1:${nth}`), 429, 'a proxy writes the port of each connection after the address')
  t.equal(await third({}, nth => `[2001:db8::1]:${nth}`), 429)
  t.equal(await third({ TRUST_PROXY: 'loopback,10.0.0.0/8' }, nth => `192.0.2.${nth}:1, 10.1.2.3:${nth}`), 200, 'a chain of such proxies')
  t.equal(await third({ TRUST_PROXY: 'loopback,10.0.0.0/8' }, nth => `192.0.2.1:1, 10.1.2.3:${nth}`), 429)
})

t.test('a connection that is gone before its address is read causes no error', async t => {
  const { app } = await startLimited(t, { TRUST_PROXY: undefined })
  app.server.prependListener('request', ({ socket }) => Object.defineProperty(socket, 'remoteAddress', { value: undefined }))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { status } = await clientOf(urlOf(app.server.address() as AddressInfo)).get('/api/test')
  t.equal(status, 200)
})

t.test('RATE_LIMITS=off switches all of these limits off', async t => {
  const { anyone } = await startLimited(t, {
    RATE_LIMITS: 'off', RATE_LIMIT: 1, RATE_LIMIT_ENTRY: 1, RATE_LIMIT_LOGIN: 1, RATE_LIMIT_CHAT: 1, RATE_LIMIT_PHONE: 1
  })
  const say = chatter(anyone)
  await anyone.post('/api/signup', ACCOUNT)
  for (let nth = 0; nth < 5; nth++) {
    t.equal(await statusOf(anyone.post('/api/signup', ACCOUNT)), 400)
    t.equal(await statusOf(anyone.post('/api/login', ACCOUNT)), 200)
    t.equal(await statusOf(say('192.0.2.1', '12345', 'hello')), 200)
  }
})

t.test('200 people who log in at once do not bring the server down', async t => {
  const { app, anyone } = await startLimited(t, { BCRYPT_COST: 12, RATE_LIMIT: 100_000, RATE_LIMIT_CHAT: 100_000, RATE_LIMIT_PHONE: 100_000 })
  await anyone.post('/api/signup', ACCOUNT)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const client = clientOf(urlOf(app.server.address() as AddressInfo))

  let running = 0
  let most = 0
  const { compare } = hashing
  t.capture(hashing, 'compare', async (password: string, hash: string) => {
    most = Math.max(most, ++running)
    return await compare(password, hash).finally(() => running--)
  })

  const before = process.memoryUsage()
  const began = performance.now()
  const logins = Promise.all(Array.from({ length: 200 }, async (_none, nth) => {
    const answer = await client.post('/api/login', ACCOUNT, from(`10.0.0.${nth}`))
    return { ...answer, seconds: (performance.now() - began) / 1000 }
  }))
  const done = logins.then(() => 'done')
  const others: Array<{ status: number, milliseconds: number }> = []
  while (await Promise.race([done, sleep(20)]) !== 'done') {
    const asked = performance.now()
    const { status } = await client.post('/chat', { user_phone: '12345', user_message: 'hello' })
    others.push({ status, milliseconds: performance.now() - asked })
  }
  const answers = await logins
  const after = process.memoryUsage()

  const entered = answers.filter(({ status }) => status === 200)
  const refused = answers.filter(({ status }) => status === 429)
  const slowest = (some: typeof answers) => Math.max(...some.map(({ seconds }) => seconds))
  t.equal(entered.length + refused.length, 200, 'all are answered with 200 or 429')
  t.ok(entered.length >= 34, `${entered.length} log in: at least two whose passwords are hashed at once, and 32 who wait`)
  t.equal(most, 2, 'two hashes at once')
  t.ok(refused.length > 100, `${refused.length} are refused`)
  t.ok(refused.every(({ body, headers }) => body.code === 'TOO_MANY_REQUESTS' && Number(headers.get('retry-after')) > 0))
  t.ok(slowest(refused) < slowest(entered), 'refusals come at once')
  t.ok(others.length > 20 && others.every(({ status }) => status === 200), `another route answers ${others.length} times meanwhile`)

  const megabytes = ({ rss, heapUsed }: NodeJS.MemoryUsage) => [rss, heapUsed].map(bytes => Math.round(bytes / 2 ** 20)).join(' MB, heap ')
  t.comment(`memory before: ${megabytes(before)} MB; after: ${megabytes(after)} MB`)
  t.comment(`slowest login: ${slowest(entered).toFixed(1)} s, slowest refusal: ${slowest(refused).toFixed(1)} s, slowest of another route: ${Math.max(...others.map(({ milliseconds }) => milliseconds)).toFixed(0)} ms`)
})

function urlOf ({ port }: AddressInfo) {
  return `http://127.0.0.1:${port}`
}
