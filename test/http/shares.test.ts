import t, { type Test } from 'tap'
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { connect as connectTo, type Socket as TcpSocket } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Socket } from 'socket.io-client'
import { createSocketGuard } from '../../src/channels/socketio/guard.ts'
import { ConfigSchema, type Config } from '../../src/config.ts'
import * as errors from '../../src/errors.ts'
import { API_KEY, startApp, type Client, type Headers } from '../support/helper.ts'
import { connect, dial, next, refused, startLive, tokenOf, type Server } from '../support/live.ts'
import { openPlace, until } from '../support/process.ts'
import { exchange } from '../support/raw-http.ts'
import { begin, documentedRoutes, rightRequest } from '../support/routes.ts'

// How much one user or one address may have, read and keep open, so that enough is left for the others.

const MIB = 1024 * 1024

const startLimited = async (t: Test, changes: Partial<Config> = {}) =>
  await startLive(t, { RATE_LIMITS: 'on', RATE_LIMIT: 100_000, RATE_LIMIT_ENTRY: 1_000, RATE_LIMIT_LOGIN: 1_000, TRUST_PROXY: '127.0.0.1', ...changes })

/** Gives a user a number of conversations, each with a number of messages of this text, in one statement. */
async function fill ({ query }: Pick<Server, 'query'>, username: string, conversations: number, messages: number, text: string) {
  await query(`
    WITH owner AS (SELECT id FROM users WHERE username = $1),
    made AS (
      INSERT INTO conversations (name, owner_id, last_rev, last_updated)
      SELECT 'Chat ' || n, owner.id, $3, '2026-11-01'::timestamptz + make_interval(secs => n % 7) FROM owner, generate_series(1, $2::int) n
      RETURNING id, owner_id, last_updated
    ), joined AS (
      INSERT INTO conversation_users (conversation_id, user_id, used_in) SELECT id, owner_id, date_bin('1 minute', last_updated, 'epoch') FROM made
    )
    INSERT INTO messages (conversation_id, id, rev, sender, user_id, text)
    SELECT made.id, m, m, 'user', owner_id, $4 FROM made, generate_series(1, $3::int) m`, [username, conversations, messages, text])
}

/** Reads all pages, one after the other. Returns the size and the entries of each. */
async function pagesOf (client: Client, first: string) {
  const pages: Array<{ bytes: number, entries: Array<{ id: number, messages?: unknown[] }> }> = []
  for (let url: string | undefined = first; url !== undefined;) {
    const answer = await client.get(url)
    if (answer.statusCode !== 200) throw new Error(answer.payload)
    pages.push({ bytes: answer.rawPayload.length, entries: answer.json() })
    url = /<([^>]*)>; rel="next"/.exec(String(answer.headers['link'] ?? ''))?.[1]
  }
  return pages
}

/** The largest page with a single conversation: a mebibyte of messages, and the conversation's own fields. */
const ONE_CONVERSATION = MIB + 1_000

t.test('no page is larger than a mebibyte, and no entry is left out or comes twice', async t => {
  const server = await startApp(t)
  const { db } = server
  let read = 0
  const watched = new WeakSet()
  db.$client.on('acquire', client => {
    if (watched.has(client)) return
    watched.add(client)
    const { connection } = client as unknown as { connection: EventEmitter }
    connection.on('dataRow', ({ fields }: { fields: Array<string | null> }) => {
      for (const field of fields) if (field?.startsWith('{') === true) read += Buffer.byteLength(field)
    })
  })
  const texts = { emoji: '😀'.repeat(8000), quotes: '"'.repeat(8000), control: '\u0001'.repeat(8000), short: 'Hi' }
  for (const [username, text] of Object.entries(texts)) {
    const client = await server.as(username)
    const number = username === 'short' ? 53 : 8
    await fill(server, username, number, 50, text)
    const conversations = await pagesOf(client, '/api/conversations')
    const ids = conversations.flatMap(({ entries }) => entries.map(({ id }) => id))
    t.same([ids.length, new Set(ids).size], [number, number], `${username}: all conversations, each once`)
    t.ok(conversations.every(({ bytes, entries }) => bytes <= (entries.length === 1 ? ONE_CONVERSATION : MIB)), `${username}: ${conversations.map(({ bytes }) => bytes)}`)
    t.ok(conversations.every(({ entries }) => entries.length > 0 && entries.every(({ messages }) => messages!.length > 0)))
    if (username === 'short') {
      t.equal(conversations.length, 2)
      t.ok(conversations.every(({ entries }) => entries.every(({ messages }) => messages!.length === 50)), 'short messages all fit')
    }
    const [id] = ids
    const one = await client.get(`/api/conversations/${id}?messages=200`)
    t.ok(one.rawPayload.length < ONE_CONVERSATION)
    const shown = one.json().messages.map(({ id }: { id: number }) => id)
    t.same(shown, Array.from({ length: shown.length }, (_, n) => 50 - shown.length + n + 1), 'the newest ones, oldest first, without a gap')
    const messages = await pagesOf(client, `/api/conversations/${id}/messages?limit=200`)
    t.ok(messages.every(({ bytes }) => bytes <= MIB))
    t.same(messages.flatMap(({ entries }) => entries.toReversed().map(({ id }) => id)), Array.from({ length: 50 }, (_, n) => 50 - n))
    const changes = await pagesOf(client, `/api/conversations/${id}/messages?after=0`)
    t.ok(changes.every(({ bytes }) => bytes < 2 * MIB))
    t.same(changes.flatMap(({ entries }) => entries.map(({ id }) => id)), Array.from({ length: 50 }, (_, n) => n + 1))

    for (const url of ['/api/conversations?limit=200&messages=200', `/api/conversations/${id}/messages?limit=200`]) {
      read = 0
      const { rawPayload } = await client.get(url)
      t.ok(read > 0 && read < rawPayload.length, `${username}: the database sends ${read} bytes for ${rawPayload.length}`)
    }
  }

  const ann = await server.as('ann')
  await fill(server, 'ann', 2, 3, 'x'.repeat(3 * MIB))
  const large = await pagesOf(ann, '/api/conversations')
  t.same(large.map(({ entries }) => entries.map(({ messages }) => messages!.length)), [[1], [1]], 'a message that is larger than a page still comes, alone')
  const [{ id }] = large[0]!.entries as [{ id: number }]
  t.same((await pagesOf(ann, `/api/conversations/${id}/messages`)).map(({ entries }) => entries.map(({ id }) => id)), [[3], [2], [1]])

  await server.query("UPDATE users SET role = 'admin' WHERE username = 'ann'")
  await server.query("INSERT INTO chatbots (name, engine, settings) SELECT 'bot-' || n, 'simulated', jsonb_build_object('greeting', repeat('x', 60000)) FROM generate_series(1, 60) n")
  for (const url of ['/api/admin/bots?limit=200', '/api/bots?limit=200']) {
    const bots = await pagesOf(ann, url)
    t.ok(bots.every(({ bytes }) => bytes <= MIB), `${url}: ${bots.map(({ bytes }) => bytes)}`)
    t.equal(new Set(bots.flatMap(({ entries }) => entries.map(entry => JSON.stringify(entry).slice(0, 60)))).size, 63)
  }
})

t.test('one account that requests as much as it can leaves room for twenty others', async t => {
  const server = await startLimited(t, { DATABASE_POOL: 10, MAX_EVENT_LOOP_DELAY: 0 })
  const greedy = await server.as('greedy')
  await fill(server, 'greedy', 50, 50, '😀'.repeat(8000))
  const others = []
  for (let n = 0; n < 20; n++) others.push(await server.as(`user-${n}`))

  const over = new AbortController()
  const statuses = new Map<number, number>()
  const attack = Promise.all(Array.from({ length: 60 }, async () => {
    while (!over.signal.aborted) {
      const answer = await fetch(`${server.url}/api/conversations?limit=200&messages=200`, { headers: greedy.headers })
      await answer.arrayBuffer()
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
      if (answer.status === 429) {
        if (answer.headers.get('retry-after') !== '1') t.fail('the refusal has no Retry-After of one second')
        await sleep(50)
      }
    }
  }))
  const times: number[] = []
  const answers = await Promise.all(others.map(async ({ headers }) => {
    const said = []
    for (let n = 0; n < 10; n++) {
      const began = performance.now()
      said.push((await fetch(`${server.url}/api/me`, { headers })).status)
      times.push(performance.now() - began)
      await sleep(20)
    }
    return said
  }))
  over.abort()
  await attack
  t.ok(answers.flat().every(status => status === 200), 'no request of the others fails')
  t.ok((statuses.get(200) ?? 0) > 0 && (statuses.get(429) ?? 0) > 0, 'the greedy account gets pages, and is refused beyond its share')
  t.same([...statuses.keys()].sort(), [200, 429])
  t.comment(`99th percentile of the others: ${times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)]!.toFixed(0)} ms`)
})

t.test('all streams of a user that catch up read in the slots of the user, also together', async t => {
  const server = await startLimited(t, { REQUESTS_PER_USER: 2 })
  const ann = await server.as('ann')
  const client = server.db.$client
  const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>
  const reads = { news: { now: 0, most: 0 }, news_reports: { now: 0, most: 0 } }
  client.query = (async (...args: Array<{ name?: keyof typeof reads }>) => {
    const read = reads[args[0]!.name!] ?? { now: 0, most: 0 }
    read.most = Math.max(read.most, ++read.now)
    try {
      const answer = await query(...args)
      if (args[0]!.name! in reads) await sleep(10)
      return answer
    } finally {
      read.now--
    }
  }) as never
  const readUntil = async (path: string, last: string) => {
    const { answer, leave } = await listenTo(t, server, path, ann.headers)
    let body = ''
    for await (const piece of answer) if ((body += piece).includes(last)) break
    leave()
    return body
  }
  const ready = await readUntil('/api/events', '"reset":')
  const [, cursor] = /"cursor":"([^"]*)"/.exec(ready)!
  await fill(server, 'ann', 200, 5, 'Hi')
  const { id } = (await ann.post('/api/conversations', { name: 'Long' })).json()
  await server.query("INSERT INTO messages (conversation_id, id, rev, sender, user_id, text) SELECT id, m, m, 'user', owner_id, $2 FROM conversations, generate_series(1, 40) m WHERE id = $1", [id, '😀'.repeat(8000)])
  await server.query('UPDATE conversations SET last_rev = 40 WHERE id = $1', [id])

  const bodies = await Promise.all(Array.from({ length: 8 }, () => readUntil(`/api/conversations/${id}/events?after=0`, '"rev":40,')))
  t.ok(bodies.every(body => body.split('event: message').length === 41), 'each stream has all messages')
  t.ok(reads.news.most <= 3, `${reads.news.most} pages are read at the same time: two in the slots, and one for all streams that are live`)
  const news = await Promise.all(Array.from({ length: 8 }, () => readUntil(`/api/events?after=${encodeURIComponent(cursor!)}`, '"reset":')))
  t.ok(news.every(body => body.split('event: conversation').length === 202), 'each stream has all conversations')
  t.ok(reads.news_reports.most <= 3, `${reads.news_reports.most} pieces of news are read at the same time`)
})

t.test('a front end that sends many requests at once gets all responses, in turn', async t => {
  const server = await startLimited(t, { REQUESTS_PER_USER: 2 })
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const { hold } = server
  const { asked, release } = hold('conversation', 1)
  const first = ann.get(`/api/conversations/${id}`)
  await asked
  const answers = await Promise.all(Array.from({ length: 17 }, () => ann.get('/api/me')))
  t.ok(answers.every(({ statusCode }) => statusCode === 200), 'while another request takes long')
  release()
  t.equal((await first).statusCode, 200)
})

t.test('waiting for a bot or reading a stream does not delay the user’s other requests', async t => {
  const server = await startLimited(t, { REQUESTS_PER_USER: 1, API_KEYS: API_KEY })
  server.bots.takeOver()
  const ann = await server.as('ann')
  const id = await server.slowChat(ann)
  const url = `/api/conversations/${id}`
  const post = (path: string, headers: Headers = {}) => fetch(`${server.url}${path}`, { method: 'POST', headers: { ...ann.headers, 'content-type': 'application/json', ...headers }, body: '{"text":"Hi"}' })
  const sent = post(`${url}/messages`)
  const call = await server.bots.call()
  t.equal((await ann.get('/api/me')).statusCode, 200, 'while a message waits for its reply')
  call.end()
  await (await sent).text()
  const again = post(`${url}/messages/2/regenerate`)
  const second = await server.bots.call(2)
  t.equal((await ann.get('/api/me')).statusCode, 200, 'while a reply is regenerated')
  const stream = await listenTo(t, server, `${url}/events`, ann.headers)
  t.equal((await ann.get('/api/me')).statusCode, 200, 'while a stream is open')
  second.end()
  await (await again).text()
  stream.leave()

  await server.query("UPDATE chatbots SET engine = 'webhook', settings = '{}' WHERE name = 'simulated'")
  const { token } = (await server.anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  const asked = server.anyone.post('/chat', { token, content: 'Hi' })
  const third = await server.bots.call(3)
  const busy = server.anyone.post('/chat', { token, content: 'And?' })
  third.say('Yes')
  third.end()
  const fourth = await server.bots.call(4)
  fourth.say('No')
  fourth.end()
  t.same([(await asked).json(), (await busy).json()], [{ text: 'Yes' }, { text: 'No' }], 'a guest’s second message does not wait for the first reply')
})

t.test('a client that disconnects frees its slots, also those of pipelined requests', async t => {
  const server = await startLimited(t, { REQUESTS_PER_USER: 2, STREAMS_PER_USER: 2 })
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const { asked, release } = server.hold('conversation', 1)
  const raw = connectTo(server.port, '127.0.0.1')
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\nCookie: ${ann.headers['cookie']}\r\n\r\n`
  raw.write(get(`/api/conversations/${id}`) + get('/api/me').repeat(6) + get(`/api/conversations/${id}/events`).repeat(2))
  await asked
  raw.destroy()
  await once(raw, 'close')
  release()
  // All slots and all places in the queue are needed. A request of the lost connection may still be checking its session.
  const fits = async () => (await Promise.all(Array.from({ length: 18 }, () => ann.get('/api/me')))).every(({ statusCode }) => statusCode === 200)
  t.ok(await until(fits))
  const streams = [await listenTo(t, server, `/api/conversations/${id}/events`, ann.headers), await listenTo(t, server, `/api/conversations/${id}/events`, ann.headers)]
  t.same(streams.map(({ status }) => status), [200, 200], 'the slots of its streams are free too')
})

t.test('a client that takes nothing of its responses is disconnected and frees its slots; a slow one gets all', async t => {
  const { app, as, query } = await startApp(t, { RATE_LIMITS: 'on', REQUEST_TIMEOUT: 3 })
  const ann = await as('ann')
  await fill({ query }, 'ann', 1, 100, 'x'.repeat(8_000))
  // The buffers of a Unix domain socket stay small. Those of TCP would take the whole page.
  const { folder } = await openPlace(t)
  const socketPath = path.join(folder, 'socket')
  await app.listen({ path: socketPath })
  const open = async () => (await once(http.get({ socketPath, path: '/api/conversations?messages=100', headers: ann.headers }), 'response') as [http.IncomingMessage])[0]

  const slow = await open()
  const begun = performance.now()
  let length = 0
  for await (const chunk of slow) {
    length += (chunk as Buffer).length
    await sleep(400)
  }
  t.equal(length, Number(slow.headers['content-length']))
  t.ok(performance.now() - begun > 3_000, 'it took longer than the limit')

  const stalled = await Promise.all([open(), open()])
  t.equal((await ann.get('/api/me')).statusCode, 200)
  for (const response of stalled) await t.rejects(response.toArray(), { code: 'ECONNRESET' })
})

t.test('messages over sockets that are over the limit are refused at once, and are not kept until a slot is free', async t => {
  const server = await startLimited(t, { REQUESTS_PER_USER: 1 })
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const socket = await connect(t, server.url, { auth: { token: tokenOf(ann) } })
  const { asked, release } = server.hold('conversation')
  const slow = ann.get(`/api/conversations/${id}`)
  await asked
  const codes: string[] = []
  const refused = new Promise<void>(resolve => socket.on('error', ({ code }) => { if (codes.push(code) === 5) resolve() }))
  const answers = Promise.all(Array.from({ length: 25 }, (_, n) => socket.emitWithAck('send_message', { chat_session_id: id, text: `m${n}` })))
  await refused
  t.same(codes, Array(5).fill('TOO_MANY_REQUESTS'), 'while the others wait')
  release()
  t.equal((await slow).statusCode, 200)
  t.equal((await answers).filter(({ messages }) => messages?.[0].sender === 'user').length, 20)
})

/** Opens a stream on a connection of its own. */
async function listenTo (t: Test, { url }: Pick<Server, 'url'>, path: string, headers: Headers) {
  const request = http.get(`${url}${path}`, { headers, agent: false })
  t.teardown(() => request.destroy())
  request.on('error', () => { /* the request was aborted */ })
  const [answer] = await once(request, 'response') as [http.IncomingMessage]
  const isStream = answer.headers['content-type'] === 'text/event-stream'
  let body = ''
  answer.setEncoding('utf8').on('data', chunk => { body += chunk })
  answer.on('error', () => { /* the request was aborted */ })
  if (!isStream) await once(answer, 'end')
  return { status: answer.statusCode, headers: answer.headers, json: () => JSON.parse(body), answer, leave: () => request.destroy() }
}

t.test('the number of streams is limited by user and by address, on every route that streams', async t => {
  const server = await startLimited(t, { STREAMS_PER_USER: 3, STREAMS_PER_ADDRESS: 5, REQUESTS_PER_USER: 100 })
  const [ann, bob] = [await server.as('ann'), await server.as('bob')]
  const chat = async (client: Client) => `/api/conversations/${(await client.post('/api/conversations', { name: 'Plans' })).json().id}/events`
  const urls = new Map([[ann, await chat(ann)], [bob, await chat(bob)]])
  const open = async (client: Client, address: string) => await listenTo(t, server, urls.get(client)!, { ...client.headers, 'x-forwarded-for': address, origin: 'http://localhost:3000' })
  const anns = await Promise.all(['2001:db8::1', '2001:db8::2', '2001:db8::3'].map(address => open(ann, address)))
  t.same(anns.map(({ status }) => status), [200, 200, 200])
  const refusal = await open(ann, '192.0.2.1')
  t.match([refusal.status, refusal.json()], [429, { statusCode: 429, code: 'TOO_MANY_STREAMS' }], 'by user, from all addresses')
  t.match(refusal.headers, { 'retry-after': /^\d+$/, 'access-control-allow-origin': 'http://localhost:3000' })
  const bobs = await Promise.all(['2001:db8::4', '2001:db8::5'].map(address => open(bob, address)))
  t.same(bobs.map(({ status }) => status), [200, 200])
  t.match((await open(bob, '2001:db8::6')).json(), { code: 'TOO_MANY_STREAMS' }, 'by address, for all users; an IPv6 network is one address')
  const elsewhere = await open(bob, '2001:db8:0:1::1')
  t.equal(elsewhere.status, 200)
  elsewhere.leave()
  anns[0]!.leave()
  await until(async () => {
    const { status, leave } = await open(ann, '2001:db8::1')
    if (status === 200) anns[0] = { ...anns[0]!, leave }
    return status === 200
  })

  // Ann has three streams open again, so every route that streams must refuse her before it does anything.
  let streaming = 0
  for (const route of await documentedRoutes(server)) {
    if (route.security === undefined || route.responses[200]?.content?.['text/event-stream'] === undefined) continue
    streaming++
    const { ann: client, url } = await begin(server, route)
    await server.query('UPDATE sessions SET user_id = (SELECT id FROM users WHERE username = $1) WHERE revoked_at IS NULL', ['ann'])
    const count = async () => (await server.query('SELECT (SELECT count(*) FROM messages) AS messages, (SELECT sum(last_rev) FROM conversations) AS changes'))[0]
    const before = await count()
    const right = rightRequest(route)
    const answer = await server.app.inject({ method: route.method, url: url(), headers: { ...client.headers, ...right.headers, accept: 'text/event-stream' }, payload: right.payload })
    const { description, content } = route.responses[429]!
    const isText = answer.headers['content-type'] === 'text/plain; charset=utf-8'
    t.match([answer.statusCode, answer.payload], [429, isText ? /^Too many event streams/ : /"TOO_MANY_STREAMS"/], route.name)
    t.ok(content![isText ? 'text/plain' : 'application/json'], 'the type of the refusal is documented')
    t.match(description, /TOO_MANY_STREAMS/, 'the refusal is documented')
    t.same(await count(), before)
  }
  t.ok(streaming >= 3)
  for (const route of await documentedRoutes(server)) {
    // A server with a key is no user, and has no share.
    if (route.security !== undefined && !route.path.startsWith('/api/users/')) t.match(route.responses[429]?.description, /TOO_MANY_AT_ONCE/, route.name)
  }
})

/**
 * Holds back the timers of this many milliseconds that are set from now on, as if the machine were fast enough for everything before
 * they are due. Returns a function that lets them run.
 */
function holdTimers (t: Test, milliseconds: number) {
  const { setTimeout } = globalThis
  const held: Array<() => void> = []
  t.teardown(() => { globalThis.setTimeout = setTimeout })
  globalThis.setTimeout = ((work: () => void, time: number, ...rest: []) => {
    if (time === milliseconds) held.push(work)
    return setTimeout(work, time, ...rest)
  }) as typeof setTimeout
  return function letRun () {
    for (const work of held.splice(0)) work()
  }
}

/** A time within which a socket must send its token, in seconds. No other timer has it. */
const LOGIN_SECONDS = 777

t.test('the headers and the body of a request must arrive in time; streams and sockets have no limit', async t => {
  const server = await startLimited(t, { REQUEST_TIMEOUT: 0.5, SOCKET_LOGIN_TIMEOUT: LOGIN_SECONDS })
  const letLoginsEnd = holdTimers(t, LOGIN_SECONDS * 1_000)
  t.same([(await startApp(t)).app.server.requestTimeout, server.app.server.requestTimeout], [60_000, 500])
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const stream = await listenTo(t, server, `/api/conversations/${id}/events`, ann.headers)
  const socket = await connect(t, server.url, { auth: { token: tokenOf(ann) } })
  const began = performance.now()
  const late = [
    'POST /chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
    'POST /chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n',
    'GET /api/test HTTP/1.1\r\nHost: x\r\n'
  ]
  // Sends a byte every 100 ms, so that the connection is not idle.
  const dribble = (sent: string) => (socket: TcpSocket) => {
    const timer = setInterval(() => { if (sent.includes('100\r\n')) socket.write('x') }, 100)
    socket.once('close', () => clearInterval(timer))
  }
  for (const answer of await Promise.all(late.map(sent => exchange(server.port, sent, dribble(sent))))) {
    t.match(answer, /^HTTP\/1\.1 408 Request Timeout\r\n[^]*x-content-type-options: nosniff[^]*"code":"REQUEST_TIMEOUT"/)
  }
  t.ok(performance.now() - began > 400)
  letLoginsEnd()
  t.same([stream.answer.destroyed, socket.connected], [false, true])
  t.match((await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Still here' })).messages, [{}, {}])
})

t.test('the number of sockets is limited by user and by address, and refused with a code', async t => {
  const server = await startLimited(t, { SOCKETS_PER_USER: 2, SOCKETS_PER_ADDRESS: 5 })
  const [ann, bob] = [await server.as('ann'), await server.as('bob')]
  const options = (client: Client, address: string, transport = 'websocket') =>
    ({ auth: { token: tokenOf(client) }, transports: [transport], extraHeaders: { 'x-forwarded-for': address } })
  const anns = [await connect(t, server.url, options(ann, '2001:db8::1')), await connect(t, server.url, options(ann, '192.0.2.9', 'polling'))]
  for (const transport of ['websocket', 'polling']) {
    t.match(await refused(t, server.url, options(ann, '2001:db8::2', transport)), { data: { code: 'TOO_MANY_SOCKETS', error: /^Too many sockets/ } }, `by user, over ${transport}`)
  }
  await until(async () => server.app.countSockets() === 2)
  const bobs = [await connect(t, server.url, options(bob, '2001:db8::3')), await connect(t, server.url, options(bob, '2001:db8::4'))]
  const carol = await server.as('carol')
  await connect(t, server.url, options(carol, '2001:db8::5'))
  const dave = await server.as('dave')
  await until(async () => {
    const attempt = dial(t, server.url, options(dave, '2001:db8::6'))
    const outcome = await Promise.race([next(attempt, 'connect').then(() => true), next(attempt, 'connect_error').then(() => false)])
    return outcome
  })
  t.match(await refused(t, server.url, options(dave, '2001:db8::7')), { data: { code: 'TOO_MANY_SOCKETS' } }, 'by address, for all users')
  await connect(t, server.url, options(dave, '2001:db8:1::1'))
  anns[0]!.close()
  bobs[0]!.close()
  await until(async () => {
    const attempt = dial(t, server.url, options(ann, '2001:db8::8'))
    return await Promise.race([next(attempt, 'connect').then(() => true), next(attempt, 'connect_error').then(() => false)])
  })
})

t.test('sockets that send no token are closed, and count for the limit by address', async t => {
  const server = await startLimited(t, { SOCKETS_PER_ADDRESS: 5, SOCKET_LOGIN_TIMEOUT: LOGIN_SECONDS })
  const letLoginsEnd = holdTimers(t, LOGIN_SECONDS * 1_000)
  const silent = async (address: string) => {
    const request = http.get(`${server.url}/socket.io/?EIO=4&transport=websocket`, {
      headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13', 'x-forwarded-for': address }, agent: false
    })
    t.teardown(() => request.destroy())
    const [answer, socket] = await Promise.race([once(request, 'upgrade'), once(request, 'response')]) as [http.IncomingMessage, TcpSocket | undefined]
    socket?.resume()
    if (socket !== undefined) return { status: 101, closed: once(socket, 'close') }
    const body = JSON.parse(String((await answer.toArray())[0]))
    return { status: answer.statusCode, body, headers: answer.headers, closed: undefined }
  }
  const poll = async (address: string) => await fetch(`${server.url}/socket.io/?EIO=4&transport=polling`, { headers: { 'x-forwarded-for': address, origin: 'http://localhost:3000' } })
  const open = []
  for (let n = 0; n < 6; n++) open.push(await silent('192.0.2.1'))
  t.same(open.map(({ status }) => status), Array(6).fill(101), 'one more than the limit is opened, to be sent the reason')
  const refusal = await silent('192.0.2.1')
  t.match([refusal.status, refusal.body, refusal.headers], [429, { code: 'TOO_MANY_SOCKETS', statusCode: 429 }, { 'retry-after': '5', 'x-content-type-options': 'nosniff' }])
  const polled = await poll('192.0.2.1')
  t.match([polled.status, await polled.json(), polled.headers.get('access-control-allow-origin')], [429, { code: 'TOO_MANY_SOCKETS' }, 'http://localhost:3000'])
  t.equal((await poll('192.0.2.2')).status, 200)
  letLoginsEnd()
  await Promise.all(open.map(async ({ closed }) => await closed))
  t.pass('they were closed')
  t.equal((await silent('192.0.2.1')).status, 101)

  const ann = await server.as('ann')
  const socket = await connect(t, server.url, { auth: { token: tokenOf(ann) }, extraHeaders: { 'x-forwarded-for': '192.0.2.3' } })
  const { engine } = socket.io
  // Leaves the namespace but keeps the connection.
  ;(socket.io as unknown as { _packet: (packet: object) => void })._packet({ type: 1, nsp: '/' })
  await new Promise(resolve => engine.once('close', resolve))
  t.pass('a connection is closed after its socket has left the namespace')
})

t.test('the number of handshakes a minute is limited by address', async t => {
  const server = await startLimited(t, { RATE_LIMIT_HANDSHAKE: 3, SOCKETS_PER_ADDRESS: 100 })
  const poll = async (address: string, query = '') => await fetch(`${server.url}/socket.io/?EIO=4&transport=polling${query}`, { headers: { 'x-forwarded-for': address } })
  for (let n = 0; n < 3; n++) t.equal((await poll(`2001:db8::${n}`)).status, 200)
  const refusal = await poll('2001:db8::9')
  t.match([refusal.status, await refusal.json()], [429, { code: 'TOO_MANY_REQUESTS' }])
  t.ok(refusal.headers.has('retry-after'))
  t.equal((await poll('2001:db8::9', '&sid=unknown')).status, 400, 'other requests are not counted')
  for (const query of ['&sid=', '&sid=unknown&sid=']) t.equal((await poll('2001:db8::9', query)).status, 429, `one with ${query} begins a connection, too`)
  const [withFragment] = await once(http.get(`${server.url}/socket.io/`, { path: '/socket.io/?EIO=4&transport=polling#&sid=unknown', headers: { 'x-forwarded-for': '2001:db8::9' } }), 'response')
  t.equal(withFragment.statusCode, 429, 'and one with a sid behind a #')
  withFragment.destroy()
  for (const query of [{}, { sid: '' }]) {
    const error = await refused(t, server.url, { transports: ['websocket'], query, extraHeaders: { 'x-forwarded-for': '2001:db8::9' } })
    t.match(error.message, /websocket error/)
  }
  t.equal((await poll('2001:db8:0:1::1')).status, 200)
})

t.test('a socket that keeps flooding the server is disconnected, whatever it sends', async t => {
  const logged: string[] = []
  const log = Object.assign(Object.create(null), { fatal () {}, error () {}, info () {}, debug () {}, trace () {}, silent () {}, level: 'warn', warn (_what: object, text: string) { logged.push(text) }, child: () => log })
  const server = await startLive(t, { RATE_LIMITS: 'on', RATE_LIMIT: 100_000, RATE_LIMIT_ENTRY: 100 }, undefined, log as never)
  const ann = await server.as('ann')
  const open = async (transport: string): Promise<Socket> => await connect(t, server.url, { auth: { token: tokenOf(ann) }, transports: [transport] })
  const floods: Record<string, (socket: Socket) => void> = {
    'a known event': socket => { socket.emit('join_chat', { chat_session_id: 1 }) },
    'an unknown event': socket => { socket.emit('nonsense', 1) }
  }
  for (const transport of ['websocket', 'polling']) {
    for (const [what, send] of Object.entries(floods)) {
      const socket = await open(transport)
      const gone = next(socket, 'disconnect')
      const codes: string[] = []
      socket.on('error', ({ code }) => { codes.push(code) })
      for (let n = 0; n < 3_000; n++) send(socket)
      await gone
      t.ok(codes.includes('TOO_MANY_REQUESTS'), `${what}, by ${transport}`)
    }
  }
  t.equal(logged.filter(text => text.includes('too many packets')).length, 4, 'the log says so, once for each socket')

  const bare = await open('websocket')
  const closed = new Promise(resolve => bare.io.engine.once('close', resolve))
  for (let n = 0; n < 3_000; n++) bare.io.engine.write('0/nowhere,')
  await closed
  t.pass('a socket that keeps asking to join a namespace is disconnected too')

  const silent = new BareWebSocket(server.port)
  t.equal(await silent.flood(), 'closed', 'a client that does not answer the close is disconnected too')
})

t.test('a request of long polling with a million packets is read no further than to the packet that disconnects its sender', async t => {
  const server = await startLimited(t)
  const url = `${server.url}/socket.io/?EIO=4&transport=polling`
  const { sid } = JSON.parse((await (await fetch(url)).text()).slice(1))
  const body = 'bAA\x1e'.repeat(MIB)
  const { from } = Buffer
  let decoded = 0
  t.capture(Buffer, 'from', (data: unknown, encoding: unknown) => {
    if (encoding === 'base64') decoded++
    return from(data as string, encoding as BufferEncoding)
  })
  t.equal((await fetch(`${url}&sid=${sid}`, { method: 'POST', body })).status, 200)
  t.equal(decoded, 1_001)
  await until(async () => (await fetch(`${url}&sid=${sid}`)).status === 400) // the connection is closed
})

t.test('a connection beyond the limit is closed, and one that sends as much as allowed stays open', t => {
  const { now } = performance
  let ahead = 0
  t.capture(performance, 'now', () => now.call(performance) + ahead)
  const cut: object[] = []
  const guard = createSocketGuard({
    config: { RATE_LIMITS: 'on', RATE_LIMIT_HANDSHAKE: 100, SOCKETS_PER_USER: 1, SOCKETS_PER_ADDRESS: 1, TRUST_PROXY: undefined },
    log: { warn () {} },
    cut: connection => { cut.push(connection) }
  })
  const closed: object[] = []
  const open = () => {
    const connection = Object.assign(new EventEmitter(), { request: { socket: { remoteAddress: '192.0.2.1' }, headers: {} }, transport: { name: 'websocket' }, close () { closed.push(connection) } })
    guard.watch(connection as never)
    return connection
  }
  // Three connections that were admitted at the same moment, before any of them was counted.
  const [first, , third] = [open(), open(), open()]
  t.same(closed, [third])
  const send = (packets: number) => { for (let n = 0; n < packets; n++) first.emit('packet') }
  send(1_000)
  ahead = 10_001
  const clock = Date.now
  t.capture(Date, 'now', () => clock() - 60_000)
  send(1_000)
  t.same(cut, [], 'also when the clock of the server is set back meanwhile')
  send(2)
  t.same(cut, [first], 'once')
  t.end()
})

/** A WebSocket client without a library, which never answers a close frame. */
class BareWebSocket {
  readonly port: number
  constructor (port: number) { this.port = port }

  async flood () {
    const request = http.get(`http://127.0.0.1:${this.port}/socket.io/?EIO=4&transport=websocket`, {
      headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13' }, agent: false
    })
    const [, socket] = await once(request, 'upgrade') as [http.IncomingMessage, TcpSocket]
    socket.on('error', () => { /* cut */ })
    const closed = new Promise(resolve => { socket.once('close', resolve) }) // `once` of node:events would reject after a reset
    const frame = Buffer.concat([Buffer.from([0x81, 0x82, 0, 0, 0, 0]), Buffer.from('4x')])
    const timer = setInterval(() => { socket.write(Buffer.concat(Array(500).fill(frame))) }, 20)
    socket.resume()
    await closed
    clearInterval(timer)
    return 'closed'
  }
}

t.test('RATE_LIMITS=off switches these limits off too', async t => {
  const server = await startLive(t, {
    REQUESTS_PER_USER: 1, STREAMS_PER_USER: 1, STREAMS_PER_ADDRESS: 1, SOCKETS_PER_USER: 1, SOCKETS_PER_ADDRESS: 1, RATE_LIMIT_HANDSHAKE: 1, RATE_LIMIT_SIGNATURE: 1
  })
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  for (let n = 0; n < 3; n++) {
    t.equal((await listenTo(t, server, `/api/conversations/${id}/events`, ann.headers)).status, 200)
    await connect(t, server.url, { auth: { token: tokenOf(ann) } })
    t.equal((await server.anyone.post('/chat/whatsapp', '{}', { 'x-hub-signature-256': `sha256=${'0'.repeat(64)}`, 'content-type': 'application/json' })).statusCode, 401)
  }
  const all = await Promise.all(Array.from({ length: 30 }, () => ann.get('/api/me')))
  t.ok(all.every(({ statusCode }) => statusCode === 200))
})

t.test('docs/limits.md lists every limit: each setting with its default, and each refusal', t => {
  const page = readFileSync('docs/limits.md', 'utf8')
  const properties = ConfigSchema.properties as Record<string, { type?: string, default?: unknown }>
  const listed = new Map([...page.matchAll(/^\|[^|]*\| ([^|]*) \| `([A-Z_]+)` \|/gm)].map(([, standard, setting]) => [setting!, standard!]))
  for (const [setting, standard] of listed) {
    const number = /^[\d,.]+(?=$|, )/.exec(standard)?.[0].replaceAll(',', '')
    t.equal(number, String(properties[setting]?.default), `${setting}: ${standard}`)
  }

  // Every numeric setting is a limit, except these.
  const NO_LIMITS = ['PORT', 'BCRYPT_COST']
  const numbers = Object.entries(properties).filter(([, { type }]) => type === 'integer' || type === 'number').map(([name]) => name)
  t.same(numbers.filter(name => !listed.has(name) && !NO_LIMITS.includes(name)), [], 'no setting is missing')

  const refusals = Object.values(errors as unknown as Record<string, new () => { statusCode?: number, code: string }>)
    .map(Refusal => new Refusal()).filter(({ statusCode }) => [408, 413, 429, 503].includes(statusCode!))
  t.ok(refusals.length > 10)
  const codes = new Set(refusals.map(({ statusCode, code }) => `${statusCode} ${code}`))
  const named = new Set([...page.matchAll(/^\|.*$/gm)].flatMap(([row]) => [...row.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code!)))
  t.same([...codes].filter(refusal => !named.has(refusal.split(' ')[1]!)), [], 'no refusal is missing')
  for (const [, refusal] of page.matchAll(/\b((?:408|413|429|503) `[A-Z_]+)`/g)) t.ok(codes.has(refusal!.replace('`', '')), `${refusal}\` exists`)
  t.end()
})
