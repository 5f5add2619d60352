import t, { type Test } from 'tap'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { connect, Socket, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { fetchEventSource } from '@microsoft/fetch-event-source'
import { Agent, EventSource } from 'undici'
import { isLoopbackHost } from '../../src/http/host.ts'
import { whenOver } from '../../src/http/when-over.ts'
import { API_KEY, run, SECRET, startApp } from '../support/helper.ts'
import { from, signed, VERIFY_TOKEN } from '../support/meta.ts'
import { until } from '../support/process.ts'
import { exchange } from '../support/raw-http.ts'
import { listen } from '../support/reader.ts'
import { begin, documentedRoutes, rightRequest, type Method } from '../support/routes.ts'

// How responses look to clients of other people, and which requests the server refuses.

const FRONT_END = 'http://localhost:3000'

const portOf = ({ app }: Awaited<ReturnType<typeof startApp>>) => (app.server.address() as AddressInfo).port

t.test('@microsoft/fetch-event-source sends a streaming POST once, whatever its client does with an event', async t => {
  const server = await startApp(t)
  server.bots.takeOver()
  const ann = await server.as('ann')
  const id = await server.slowChat(ann)
  const base = await listen(server)
  const page = globalThis as { window?: unknown, document?: unknown }
  const { window, document } = page
  const timers: unknown[] = []
  Object.assign(page, {
    window: { fetch, clearTimeout, setTimeout (work: () => void, time: number) { timers.push(time); return setTimeout(work, time) } },
    document: { hidden: false, addEventListener () {}, removeEventListener () {} }
  })
  t.teardown(() => Object.assign(page, { window, document }))
  let requests = 0
  const read: Array<{ id: string, retry: number | undefined, data: unknown }> = []
  const reading = fetchEventSource(`${base}/api/conversations/${id}/messages`, {
    method: 'POST',
    headers: { ...ann.headers, 'content-type': 'application/json' },
    body: JSON.stringify({ text: 'Hi' }),
    fetch: async (...asked) => { requests++; return await fetch(...asked) },
    onerror (error) { t.error(error) },
    onmessage ({ id, retry, data }) { read.push({ id, retry, data: JSON.parse(data) }) } // like most clients: parses the data of every event
  })
  const call = await server.bots.call()
  call.say('Hello')
  await sleep(50)
  call.end()
  await reading
  t.same([requests, timers], [1, []], 'the request was sent once, and no retry is scheduled')
  t.equal((await server.query('SELECT FROM messages WHERE conversation_id = $1', [id])).length, 2)
  t.ok(read.length >= 3 && read.every(({ id, retry }) => id === '' && retry === undefined), 'no event has an id or a retry time to reconnect with')
})

t.test('every event of a stream has data, with and without `after`', async t => {
  const server = await startApp(t)
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const base = await listen(server)
  const url = `/api/conversations/${id}/events`
  for (const query of ['', '?after=0']) {
    const answer = await fetch(`${base}${url}${query}`, { headers: ann.headers })
    const reader = answer.body!.getReader()
    const first = Buffer.from((await reader.read()).value!).toString()
    t.ok(first.startsWith(':\n'), 'the stream begins with a comment')
    await ann.post(`/api/conversations/${id}/messages`, { text: `What happens ${query}` })
    let said = first
    while (!said.includes('You said: What happens')) said += Buffer.from((await reader.read()).value!).toString()
    const blocks = said.split('\n\n').slice(0, -1)
    t.ok(blocks.every(block => /^data: /m.test(block)))
    t.match(blocks[0], /^:\nretry: 1000\nid: \d+\n/)
    t.equal(said.match(/^retry/gm)!.length, 1)
    await reader.cancel()
  }
})

/** A browser's EventSource, with a cookie. */
function openEventSource (t: Test, url: string, cookie: string) {
  const dispatcher = new Agent().compose(dispatch => (options, handler) => dispatch({ ...options, headers: { ...options.headers as object, cookie } }, handler))
  const source = new EventSource(url, { node: { dispatcher, reconnectionTime: 50 } })
  t.teardown(() => source.close())
  const messages: Array<{ rev: number, text: string }> = []
  source.addEventListener('message', ({ data }) => { messages.push(JSON.parse(data)) })
  return { source, messages }
}

t.test('an EventSource whose connection breaks before its first event misses nothing', async t => {
  const server = await startApp(t)
  const ann = await server.as('ann')
  const base = await listen(server)
  const cookie = ann.headers['cookie']!
  const chat = async () => `/api/conversations/${(await ann.post('/api/conversations', { name: 'Plans' })).json().id}`
  const say = async (url: string, text: string) => { await ann.post(`${url}/messages`, { text }) }
  const read = async (url: string): Promise<Array<{ rev: number, text: string }>> => (await ann.get(`${url}/messages`)).json()
  const texts = ['Before', 'You said: Before', 'Meanwhile', 'You said: Meanwhile', 'After', 'You said: After']
  /** Breaks the connection, does `work`, and waits until the client has reconnected. */
  const breakDuring = async (source: EventSource, work: () => Promise<void>) => {
    const opened = once(source, 'open')
    server.app.server.closeAllConnections()
    await work()
    await opened
  }

  await t.test('if its URL has `after`', async t => {
    const url = await chat()
    await say(url, 'Before')
    const known = await read(url)
    const { source, messages } = openEventSource(t, `${base}${url}/events?after=${Math.max(...known.map(({ rev }) => rev))}`, cookie)
    await once(source, 'open')
    await breakDuring(source, async () => await say(url, 'Meanwhile'))
    await say(url, 'After')
    await until(() => messages.length === 4)
    t.same([...known, ...messages].map(({ text }) => text), texts, 'no message is missing or comes twice')
  })

  await t.test('if it reads the messages each time it opens', async t => {
    const url = await chat()
    await say(url, 'Before')
    const { source, messages } = openEventSource(t, `${base}${url}/events`, cookie)
    const known = new Map<number, string>()
    let reads = 0
    source.addEventListener('open', async () => {
      for (const { rev, text } of await read(url)) known.set(rev, text)
      reads++
    })
    await until(() => reads === 1)
    await breakDuring(source, async () => await say(url, 'Meanwhile'))
    await until(() => reads === 2)
    await say(url, 'After')
    await until(() => messages.length >= 2)
    for (const { rev, text } of messages) known.set(rev, text)
    t.same([...known].sort(([a], [b]) => a - b).map(([, text]) => text), texts)
  })
})

t.test('HEAD answers like GET but without a body, on every route, and changes nothing', async t => {
  const server = await startApp(t)
  await server.work()
  const counts = async () => (await server.query('SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM sessions) AS sessions'))[0]
  for (const route of (await documentedRoutes(server)).filter(({ method }) => method === 'GET')) {
    const { ann, url } = await begin(server, route)
    const headers = { ...ann.headers, ...rightRequest(route).headers }
    if (route.path === '/api/logout') continue
    const before = await counts()
    const head = await server.app.inject({ method: 'HEAD' as Method, url: url(), headers })
    t.same([head.statusCode, head.payload], [route.example?.status ?? 200, ''], route.name)
    t.same(await counts(), before, 'nothing was created')
    if (head.statusCode === 200 && route.responses[200]?.content?.['text/event-stream'] !== undefined) {
      t.equal(head.headers['content-type'], 'text/event-stream')
      continue
    }
    const get = await server.app.inject({ method: 'GET', url: url(), headers })
    t.equal(head.headers['content-type'], get.headers['content-type'])
    const length = head.headers['content-length']
    if (length !== undefined && route.path !== '/metrics') t.equal(length, get.headers['content-length'], route.name)
  }
  t.match((await server.anyone.get('/metrics')).payload, /^parley_streams 0$/m, 'no stream is left open')
})

t.test('a method that a path does not have is answered with 405, the allowed methods, and the path’s own kind of error', async t => {
  const server = await startApp(t)
  const routes = await documentedRoutes(server)
  for (const path of new Set(routes.map(({ path }) => path))) {
    const methods = new Set(routes.filter(route => route.path === path).map(({ method }) => method as string))
    if (methods.has('GET')) methods.add('HEAD')
    const other = ['DELETE', 'PATCH', 'PUT', 'POST', 'GET'].find(method => !methods.has(method)) as Method
    const url = path.replace(/\{\w+\}/g, '1')
    const answer = await server.app.inject({ method: other, url, headers: { origin: FRONT_END, 'content-type': 'text/plain' }, payload: other === 'GET' ? undefined : 'x' })
    const isText = routes.find(route => route.path === path)!.responses[400]!.content!['application/json'] === undefined
    const said = isText ? { error: answer.payload } : answer.json()
    const sentence = 'This address does not take this method'
    t.match([answer.statusCode, said], [405, { error: url.startsWith('/v1/') ? { message: sentence } : sentence }], `${other} ${url}`)
    t.same(String(answer.headers['allow']).split(', '), [...methods].sort(), url)
    t.equal(answer.headers['access-control-allow-origin'], FRONT_END)
  }
  const said = async (method: Method, url: string) => (await server.app.inject({ method, url })).json()
  t.match(await said('PUT', '/chat'), { bot_message: 'This address does not take this method', user_phone: '' })
  t.match(await said('PUT', '/login'), { msg: 'This address does not take this method' })
  t.match(await said('PUT', '/chat/whatsapp'), { error: '405 Method Not Allowed: This address does not take this method' })
  t.match(await said('PUT', '/nowhere'), { statusCode: 404, code: 'NOT_FOUND' })
  t.equal((await server.app.inject({ method: 'GET', url: '/docs/static/nothing' })).statusCode, 404)
})

t.test('a path that cannot be decoded or is too long is refused with CORS and security headers, and counts for the rate limit', async t => {
  const { anyone } = await startApp(t, { RATE_LIMITS: 'on', RATE_LIMIT: 4 })
  for (const url of ['/api/%zz', '/api/%', `/api/conversations/${'1'.repeat(501)}`]) {
    const { statusCode, headers, json } = await anyone.get(url, { origin: FRONT_END })
    t.match([statusCode, json()], [400, { code: 'INVALID_REQUEST', error: url.includes('%') ? /each % must/ : /at most 500 characters/ }], url)
    t.match(headers, { 'access-control-allow-origin': FRONT_END, 'x-content-type-options': 'nosniff', 'content-security-policy': /default-src 'none'/ })
  }
  t.equal((await anyone.get('/malformed-address')).statusCode, 404)
  t.equal((await anyone.get('/%e0%a4%a/x?a=%41')).statusCode, 429)
})

t.test('no cache on the way keeps what a user reads', async t => {
  const { as, anyone } = await startApp(t)
  const ann = await as('ann')
  for (const url of ['/api/me', '/api/conversations', '/api/me/export', '/api/conversations/404']) {
    t.equal((await ann.get(url)).headers['cache-control'], 'private, no-cache', url)
  }
  t.equal((await anyone.get('/api/me')).headers['cache-control'], 'private, no-cache', 'an error')
})

t.test('long responses are compressed on request, and not sent again to a client that has them', async t => {
  const server = await startApp(t)
  const { anyone } = server
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  for (let n = 0; n < 15; n++) await ann.post(`/api/conversations/${id}/messages`, { text: `Say it again, number ${n}` })
  const url = `/api/conversations/${id}/messages`
  const plain = await ann.get(url)
  t.ok(plain.payload.length > 2048)
  t.match(plain.headers, { etag: /^W\/"/, 'cache-control': 'private, no-cache', vary: /Origin.*Accept-Encoding/ })
  t.equal(plain.headers['content-encoding'], undefined)
  for (const [encoding, read] of [['gzip', gunzipSync], ['br', brotliDecompressSync]] as const) {
    const answer = await ann.get(url, { 'accept-encoding': encoding })
    t.equal(answer.headers['content-encoding'], encoding)
    t.match(answer.headers['vary'], /Origin.*Accept-Encoding/)
    t.equal(read(answer.rawPayload).toString(), plain.payload)
    t.ok(answer.rawPayload.length < plain.rawPayload.length / 3)
    t.equal(answer.headers['etag'], plain.headers['etag'])
  }
  const tag = String(plain.headers['etag'])
  for (const known of [tag, tag.slice(2), `"other", ${tag}`, '*']) {
    const again = await ann.get(url, { 'if-none-match': known, 'accept-encoding': 'gzip' })
    t.same([again.statusCode, again.payload, again.headers['etag']], [304, '', tag], known)
    t.match(again.headers['vary'], /Accept-Encoding/)
  }
  await ann.post(url, { text: 'News' })
  t.equal((await ann.get(url, { 'if-none-match': tag })).statusCode, 200)
  const small = await ann.get('/api/me', { 'accept-encoding': 'gzip' })
  t.same([small.headers['content-encoding'], small.headers['etag']], [undefined, undefined], 'short responses are not compressed')

  await server.query("UPDATE chatbots SET settings = $1 WHERE name = 'simulated'", [{ greeting: 'Hello! '.repeat(1000) }])
  const secret = await anyone.get('/chat/initial', { 'x-api-key': API_KEY, 'accept-encoding': 'gzip, br' })
  t.ok(secret.json().text.length > 2048)
  t.same([secret.headers['content-encoding'], secret.headers['etag'], secret.headers['cache-control']], [undefined, undefined, 'no-store'], 'a response with a token is neither compressed nor cached')
  const sent = await ann.post(url, { text: 'x'.repeat(4000) }, { 'accept-encoding': 'gzip' })
  t.same([sent.headers['content-encoding'], sent.headers['etag']], ['gzip', undefined], 'a response to a write has no ETag')
  const gone = await ann.get('/openapi.json', { 'accept-encoding': 'gzip;q=0, identity' })
  t.equal(gone.headers['content-encoding'], undefined)

  await listen(server)
  const stream = await fetch(`http://127.0.0.1:${portOf(server)}/api/conversations/${id}/events`, { headers: { ...ann.headers, 'accept-encoding': 'gzip, br' } })
  t.equal(stream.headers.get('content-encoding'), null, 'streams are not compressed')
  await stream.body!.cancel()
})

t.test('a reply is streamed only if the client accepts text/event-stream', async t => {
  const server = await startApp(t)
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const typeOf = async (accept: string) => String((await ann.post(`/api/conversations/${id}/messages`, { text: 'Hi' }, { accept })).headers['content-type']).split(';')[0]
  for (const accept of ['text/event-stream', 'Text/Event-Stream', 'application/json, text/event-stream;q=0.5', 'text/event-stream; q=0.001', 'text/event-stream;charset=utf-8']) {
    t.equal(await typeOf(accept), 'text/event-stream', accept)
  }
  for (const accept of ['', '*/*', 'text/*', 'application/json', 'text/event-stream;q=0', 'text/event-stream; Q=0.000, */*', 'text/event-streams', 'x-text/event-stream', 'application/text/event-stream']) {
    t.equal(await typeOf(accept), 'application/json', accept)
  }
})

t.test('front ends may send the usual headers, and those in CORS_HEADERS', async t => {
  const preflight = { origin: FRONT_END, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-mine' }
  const allowed = async (CORS_HEADERS?: string) =>
    String((await (await startApp(t, { CORS_HEADERS })).app.inject({ method: 'OPTIONS', url: '/chat', headers: preflight })).headers['access-control-allow-headers']).split(', ')
  const usual = ['Content-Type', 'Authorization', 'Idempotency-Key', 'Last-Event-ID', 'X-API-KEY', 'X-Act-As', 'X-Requested-With', 'Traceparent', 'Tracestate']
  t.same(await allowed(), usual)
  t.same(await allowed('X-Mine, Sentry-Trace'), [...usual, 'X-Mine', 'Sentry-Trace'])
})

t.test('the settings of the database change neither what is read nor what is written', async t => {
  const { connection, as: first, query } = await startApp(t)
  const ann = await first('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  await ann.post(`/api/conversations/${id}/messages`, { text: 'Hi \\ there' })
  const [{ name, role }] = await query('SELECT current_database() AS name, current_user AS role')
  const settings = [
    "DateStyle = 'German, DMY'", "TimeZone = 'Asia/Kathmandu'", "IntervalStyle = 'sql_standard'", 'extra_float_digits = -15', "bytea_output = 'escape'",
    'standard_conforming_strings = off', 'array_nulls = off', "client_encoding = 'LATIN1'", "default_transaction_isolation = 'serializable'", "xmlbinary = 'hex'", "lc_monetary = 'C'"
  ]
  const changed = async (what: string) => { for (const each of settings) await query(`ALTER ${what} SET ${each}`) }
  await changed(`DATABASE ${name}`)
  await changed(`ROLE "${role}" IN DATABASE ${name}`)
  t.same(await run(connection, 'SHOW DateStyle'), [{ DateStyle: 'German, DMY' }], 'other connections have these settings')

  const server = await startApp(t, {}, undefined, connection)
  await server.work()
  const other = server.clientOf(ann.headers)
  t.same((await other.get(`/api/conversations/${id}`)).json(), (await ann.get(`/api/conversations/${id}`)).json())
  t.same((await other.get('/api/me/sessions')).json(), (await ann.get('/api/me/sessions')).json())
  const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
  for (const route of (await documentedRoutes(server)).filter(({ method, path }) => method !== 'DELETE' || path !== '/api/me')) {
    const { ann, url } = await begin(server, route)
    const right = rightRequest(route)
    if (route.responses[200]?.content?.['text/event-stream'] !== undefined && route.method === 'GET') continue
    const answer = await server.app.inject({ method: route.method, url: url(), headers: { ...ann.headers, ...right.headers }, payload: right.payload })
    t.equal(answer.statusCode, route.example?.status ?? 200, route.name)
    for (const [, field, time] of answer.payload.matchAll(/"(\w+_(?:at|updated))":"([^"]*)"/g)) t.match(time, TIME, `${route.name} ${field}`)
  }
})

t.test('only programs on the same machine may read /metrics without the token', async t => {
  const server = await startApp(t, { METRICS_TOKEN: 'a-token-for-tests-only' })
  const ask = async (headers: Record<string, string>, remoteAddress = '127.0.0.1') =>
    (await server.app.inject({ url: '/metrics', headers, remoteAddress })).statusCode
  for (const host of ['localhost', 'localhost:5000', '127.0.0.1:5000', '127.1.2.3', '[::1]:5000', 'LOCALHOST']) t.equal(await ask({ host }), 200, host)
  for (const host of ['chat.example.com', 'localhost.example.com', '10.0.0.1:5000', '[fe80::1]', 'localhost@evil', '2130706433.evil']) t.equal(await ask({ host }), 401, `the name ${host}`)
  for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip', 'cf-connecting-ip', 'true-client-ip', 'x-cluster-client-ip', 'x-original-forwarded-for', 'x-remote-addr', 'cf-ray', 'x-envoy-external-address', 'x-proxy-id']) t.equal(await ask({ host: 'localhost', [name]: '127.0.0.1' }), 401, name)
  for (const name of ['user-agent', 'accept', 'authorization-hint', 'x-prometheus-scrape-timeout-seconds', 'traceparent', 'x-request-id']) t.equal(await ask({ host: 'localhost', [name]: 'x' }), 200, name)
  t.equal(await ask({ host: 'localhost' }, '192.0.2.1'), 401)
  const port = Number(new URL(await server.app.listen({ port: 0, host: '127.0.0.1' })).port)
  const elsewhere = {
    'GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost': 401,
    'GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example': 400,
    'GET /metrics HTTP/1.1\r\nHost: evil.example\r\nHost: localhost': 400
  }
  for (const [head, status] of Object.entries(elsewhere)) {
    t.match(await exchange(port, `${head}\r\nConnection: close\r\n\r\n`), `HTTP/1.1 ${status} `, head)
  }
  t.equal(await ask({ host: 'localhost' }, '::ffff:127.0.0.1'), 200)
  t.equal(await ask({ host: 'chat.example.com', authorization: 'Bearer a-token-for-tests-only' }, '192.0.2.1'), 200)
})

t.test('whenOver runs at once if the response has already ended, and a request without a Host is not local', t => {
  const over = { destroyed: true }
  const alive = { destroyed: false }
  let times = 0
  whenOver({ raw: over, request: { raw: { socket: alive } } } as never, () => { times++ })
  whenOver({ raw: alive, request: { raw: { socket: over } } } as never, () => { times++ })
  t.equal(times, 2)
  t.equal(isLoopbackHost(undefined), false)
  t.end()
})

t.test('/docs works with rate limits on', async t => {
  const { anyone } = await startApp(t, { RATE_LIMITS: 'on' })
  t.equal((await anyone.get('/docs')).statusCode, 200)
})

t.test('a page whose host name was made to resolve to this server (DNS rebinding) cannot write', async t => {
  const { anyone, as } = await startApp(t)
  const hello = { user_phone: '12345', user_message: 'hello' }
  const evil = { host: 'evil.example:5000', origin: 'http://evil.example:5000' }
  const status = async (headers: Record<string, string>, url = '/chat', body: object = hello) => (await anyone.post(url, body, headers)).statusCode
  t.equal(await status(evil), 403)
  t.equal(await status(evil, '/register', { id: 'mallory', passcode: 'correct horse' }), 403)
  t.equal(await status({ ...evil, host: 'EVIL.example:5000' }), 403)
  t.equal(await status({ ...evil, 'x-forwarded-for': '192.0.2.1' }), 200, 'behind a proxy, the proxy checks the host name')
  t.equal(await status({ host: '192.168.1.5:5000', origin: 'http://192.168.1.5:5000' }), 200, 'an IP address cannot be rebound')
  t.equal(await status({ host: 'localhost:5000', origin: 'http://localhost:5000' }), 200)
  t.equal(await status({ host: 'localhost:5000', origin: FRONT_END }), 200)
  t.equal(await status({ host: 'parley:5000' }), 200, 'a container called by its name')
  t.equal(await status({ host: 'evil.example', origin: 'null' }), 200, 'CORS already prevents reading')
  const token = (await (await as('ann')).get('/api/me')).statusCode
  t.equal(token, 200)
})

t.test('an image on another page cannot log a user out', async t => {
  const { as } = await startApp(t)
  const out = async (headers: Record<string, string>) => {
    const ann = await as('ann')
    const { statusCode } = await ann.get('/api/logout', headers)
    return [statusCode, (await ann.get('/api/me')).statusCode]
  }
  const elsewhere: Array<Record<string, string>> = [{ 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' }, { origin: 'https://evil.example' }, { origin: 'null' }]
  const ours: Array<Record<string, string>> = [{}, { 'sec-fetch-site': 'same-origin' }, { 'sec-fetch-site': 'none' }, { origin: FRONT_END, 'sec-fetch-site': 'same-site' }]
  for (const headers of elsewhere) {
    t.same(await out(headers), [403, 200], JSON.stringify(headers))
  }
  for (const headers of ours) {
    t.same(await out(headers), [200, 401], JSON.stringify(headers))
  }
})

t.test('a token with a valid signature but wrong claims is refused', async t => {
  const { app, as, anyone } = await startApp(t)
  const { sid } = app.jwt.decode<{ sid: number }>((await as('ann')).headers['cookie']!.split('=')[1]!)!
  const right: Record<string, unknown> = { sid, kind: 'cookie', iss: 'parley', aud: 'session', exp: 2e9 }
  const base64url = (value: string) => Buffer.from(value).toString('base64url')
  const ask = async (claims: string) => {
    const content = `${base64url('{"alg":"HS256","typ":"JWT"}')}.${base64url(claims)}`
    const token = `${content}.${createHmac('sha256', SECRET).update(content).digest('base64url')}`
    const asked = [await anyone.get('/api/me', { authorization: `Bearer ${token}` }), await anyone.post('/chat', { token, content: 'Hi' }), await anyone.post('/api/logout', undefined, { cookie: `session=${token}` })]
    return asked.map(({ statusCode }) => statusCode)
  }
  t.equal((await ask(JSON.stringify(right)))[0], 200)
  const odd = ['1', ` ${sid}`, sid + 0.5, -1, 0, 1e300, 2 ** 53, 2 ** 63, null, [sid], { id: sid }, true, '', 'x\0']
  const wrong = [
    ...Object.keys(right).map(name => ({ ...right, [name]: undefined })),
    ...Object.keys(right).flatMap(name => odd.filter(value => !(name === 'exp' && Number(value) > 2e9)).map(value => ({ ...right, [name]: value })))
  ]
  for (const claims of wrong) t.same(await ask(JSON.stringify(claims)), [401, 401, 200], JSON.stringify(claims))
  for (const claims of ['null', '[]', '"x"', '1', '', '{', `{"sid":${'9'.repeat(400)},"kind":"cookie","iss":"parley","aud":"session","exp":2000000000}`]) t.same(await ask(claims), [401, 401, 200], claims)
})

t.test('requests on one connection that offer h2c are all answered, in order', async t => {
  const server = await startApp(t)
  await listen(server)
  const offer = 'Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n'
  const get = (path: string) => `GET ${path} HTTP/1.1\r\n${offer}\r\n`
  const post = (body: string) => `POST /chat HTTP/1.1\r\n${offer}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  const say = (phone: number) => post(JSON.stringify({ user_phone: `${phone}`, user_message: 'hello' }))
  const last = 'GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  const requests = [say(111), get('/api/test'), say(222), 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n', say(333), ...Array.from({ length: 12 }, () => get('/health/live')), last]
  const expected = ['"user_phone":"111"', 'Server is running', '"user_phone":"222"', '"status":"ok"', '"user_phone":"333"', ...Array.from({ length: 12 }, () => '"status":"ok"'), 'NOT_FOUND']
  const bodies = (answers: string) => answers.split(/HTTP\/1\.1 \d+ /).slice(1).map(answer => answer.split('\r\n\r\n')[1])
  const all = requests.join('')
  const warned: Error[] = []
  const hear = (warning: Error) => { warned.push(warning) }
  process.on('warning', hear)
  t.teardown(() => process.off('warning', hear))
  for (const [first, ...others] of [[all], [all.slice(0, 300), all.slice(300, 700), all.slice(700)], requests]) {
    const found = bodies(await exchange(portOf(server), first!, async socket => {
      for (const packet of others) {
        await sleep(20)
        socket.write(packet)
      }
    }))
    t.equal(found.length, expected.length)
    for (const [nth, part] of expected.entries()) t.ok(found[nth]?.includes(part), `${nth}: ${found[nth]?.slice(0, 80)}`)
  }
  t.same(warned, [])

  // The connection is reset while an upgrade waits for the response to a login, which takes as long as a password hash.
  const accepted = once(server.app.server, 'connection') as Promise<[Socket]>
  const leaving = connect(portOf(server), '127.0.0.1')
  const login = JSON.stringify({ username: 'nobody', password: 'correct horse' })
  leaving.write(`POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${login.length}\r\n\r\n${login}${get('/api/test')}`)
  const [socket] = await accepted
  await once(server.app.server, 'upgrade')
  const closed = new Promise(resolve => socket.once('close', resolve))
  leaving.resetAndDestroy()
  await closed
  t.equal(socket.errored?.message, 'read ECONNRESET')

  const destroyed = new Socket().destroy()
  server.app.server.emit('upgrade', { method: 'GET', url: '/api/test', headers: { upgrade: 'h2c' }, rawHeaders: [] }, destroyed, Buffer.alloc(0))
  t.equal(destroyed.readableLength, 0, 'the request is not read again if the connection is closed')

  const gone = connect(portOf(server), '127.0.0.1')
  gone.write(say(444) + get('/api/test'))
  gone.destroy()
  await once(gone, 'close')
  t.equal((await fetch(`http://127.0.0.1:${portOf(server)}/api/test`)).status, 200)
})

t.test('an address that sends wrong signatures is refused before its body is read', async t => {
  const server = await startApp(t, { RATE_LIMITS: 'on', RATE_LIMIT_SIGNATURE: 3, TRUST_PROXY: '127.0.0.1' })
  const { anyone } = server
  const webhook = from('16505551234', 'Hi')
  const right = signed(JSON.stringify(webhook))
  const at = (address: string) => ({ 'x-forwarded-for': address, 'content-type': 'application/json' })
  const send = async (address: string, headers: Record<string, string>) => await anyone.post('/chat/whatsapp', JSON.stringify(webhook), { ...at(address), ...headers })
  const none = { 'x-hub-signature-256': `sha256=${'0'.repeat(64)}` }
  for (let n = 0; n < 10; n++) t.equal((await send('192.0.2.1', right)).statusCode, 200, 'valid signatures do not count')
  t.equal((await send('192.0.2.1', none)).statusCode, 401)
  t.equal((await send('192.0.2.1', {})).statusCode, 401)
  t.equal((await send('192.0.2.1', { 'x-hub-signature-256': 'sha256=short' })).statusCode, 401)
  const refused = await send('192.0.2.1', right)
  t.match([refused.statusCode, refused.json()], [429, { code: 'TOO_MANY_REQUESTS', error: /^429 Too Many Requests: / }])
  t.match(refused.headers['retry-after'], /^\d+$/)
  t.equal((await send('192.0.2.2', right)).statusCode, 200, 'another address, such as Meta’s, is not affected')

  await listen(server)
  const answer = await exchange(portOf(server), 'POST /chat/whatsapp HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 4000000\r\n' +
    `X-Hub-Signature-256: sha256=${'0'.repeat(64)}\r\n\r\n{`)
  t.match(answer, /^HTTP\/1\.1 429 /, 'refused before the 4 MB were sent')
})

t.test('WhatsApp can verify the webhook with and without hub.mode', async t => {
  const { anyone } = await startApp(t)
  const ask = async (query: string) => (await anyone.get(`/chat/whatsapp?${query}`)).payload
  const query = `hub.verify_token=${encodeURIComponent(VERIFY_TOKEN)}&hub.challenge=1158201444`
  t.equal(await ask(query), '1158201444')
  t.equal(await ask(`hub.mode=subscribe&${query}`), '1158201444')
  t.match(await ask(`hub.mode=unsubscribe&${query}`), /Invalid token/)
})
