import t, { type Test } from 'tap'
import { once } from 'node:events'
import { connect as dial, type AddressInfo } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { gzipSync } from 'node:zlib'
import axios from 'axios'
import { eventLimitOf } from '../../src/channels/socketio/decoder.ts'
import { JoinChat, JoinNews, SendMessage, StartChat } from '../../src/channels/socketio/events.ts'
import { WORDS } from '../../src/http/faults.ts'
import { startApp, type Headers } from '../support/helper.ts'
import { connect, startLive, tokenOf, type Refusal } from '../support/live.ts'
import { exchange } from '../support/raw-http.ts'
import { begin, documentedRoutes, rightRequest, send, type Route, type Server } from '../support/routes.ts'

// Input: its maximum lengths, the messages about what is wrong with it, and what counts as a body.

type Json = Record<string, unknown>

const KIB = 1024
const EVENTS = { start_chat: StartChat, send_message: SendMessage, join_chat: JoinChat, join_news: JoinNews } as unknown as Record<string, Json>

/** A schema and its subschemas that a value can have to match, each with its path. The condition of an `if` is left out. */
function partsOf (schema: Json, path: string): Array<{ path: string, schema: Json }> {
  const lists = ['allOf', 'anyOf', 'oneOf'].flatMap(key => (schema[key] as Json[] | undefined) ?? [])
  const single = ['items', 'then', 'else', 'additionalProperties'].flatMap(key => typeof schema[key] === 'object' ? [schema[key] as Json] : [])
  const named = ['properties', 'patternProperties'].flatMap(key => Object.entries((schema[key] as Record<string, Json> | undefined) ?? {}))
  return [
    { path, schema },
    ...[...lists, ...single].flatMap(inner => partsOf(inner, path)),
    ...named.flatMap(([name, inner]) => partsOf(inner, `${path}.${name}`))
  ]
}

/** The schemas of all input, over HTTP and sockets. */
async function schemasOf (server: Server): Promise<Array<{ path: string, schema: Json }>> {
  const routes = await documentedRoutes(server)
  return [
    ...routes.flatMap(({ name, body, parameters = [] }) => [
      ...body === undefined ? [] : partsOf(body as Json, name),
      ...parameters.flatMap(({ name: parameter, schema }) => partsOf(schema as Json, `${name} ${parameter}`))
    ]),
    ...Object.entries(EVENTS).flatMap(([event, schema]) => partsOf(schema, event))
  ]
}

// --- lengths ---

/** The schema of the route allows any settings of a bot. Before they are stored, they are validated by its engine's schema. */
const isSettings = (path: string) => /^(POST|PATCH) \/api\/admin\/bots\S*\.settings$/.test(path)

t.test('every input has a maximum length, and a message for each rule that it can break', async t => {
  const silent = ['type', 'properties', 'items', 'description', 'default', 'allOf', 'if', 'then', 'else', 'patternProperties', 'x-trimmed', 'x-rule', 'writeOnly', 'format', 'title']
  const parts = await schemasOf(await startApp(t))
  t.ok(parts.length > 150)
  const faults = parts.flatMap(({ path, schema }) => {
    const types = [schema['type']].flat()
    const rules = ['pattern', 'not', 'anyOf', 'oneOf'].filter(keyword => keyword in schema)
    return [
      ...types.includes('string') && schema['maxLength'] === undefined && schema['enum'] === undefined ? [`${path}: a string without a maxLength`] : [],
      ...types.includes('array') && (schema['maxItems'] === undefined || schema['items'] === undefined) ? [`${path}: a list without maxItems and items`] : [],
      ...rules.length > 0 && schema['x-rule'] === undefined ? [`${path}: ${rules.join()} without an x-rule with its message`] : [],
      ...Object.keys(schema).length === 0 && !isSettings(path) ? [`${path}: a schema that allows anything`] : [],
      ...Object.keys(schema).filter(keyword => !silent.includes(keyword) && !(keyword in WORDS)).map(keyword => `${path}: ${keyword} has no words in faults.ts`)
    ]
  })
  t.same(faults, [])
})

/** A text of a message and those of its parts have one limit together, which test/conversations/message-parts.test.ts checks. */
const isTextPart = (schema: unknown) => isDeepStrictEqual((schema as { properties?: { type?: Json } }).properties?.type?.['enum'], ['text'])

/** The size in bytes of the largest JSON that a schema allows, with each UTF-16 unit escaped, except in what is limited by its bytes. */
function largest (schema: Json): number {
  if (typeof schema['x-max-bytes'] === 'number') return schema['x-max-bytes']
  const { maxLength, maxItems = 0, items, properties = {}, allOf = [], anyOf = [], oneOf = [] } = schema as
    { maxLength?: number, maxItems?: number, items?: Json, properties?: object, allOf?: Json[], anyOf?: Json[], oneOf?: Json[] }
  const branches = [schema['then'], schema['else'], ...allOf, ...anyOf.filter(branch => !isTextPart(branch)), ...oneOf].filter(branch => branch !== undefined) as Json[]
  const own = maxLength !== undefined
    ? 12 * maxLength + 2
    : items !== undefined
      ? maxItems * (largest(items) + 1) + 2
      : Object.entries(properties).reduce((sum, [name, inner]) => sum + name.length + 4 + largest(inner as Json), 30)
  return own + Math.max(0, ...branches.map(largest))
}

t.test('every valid input fits the limit for bodies, however its JSON is escaped', async t => {
  for (const { name, body, responses } of await documentedRoutes(await startApp(t))) {
    if (body === undefined) continue
    const [, size, unit] = /BODY_TOO_LARGE: The body is larger than ([\d.]+) (KiB|MiB)/.exec(responses[413]!.description)!
    const limit = Number(size) * (unit === 'KiB' ? KIB : KIB * KIB)
    t.ok(largest(body as Json) <= limit, `${name}: ${largest(body as Json)} bytes in ${size} ${unit}`)
  }
  for (const [event, schema] of Object.entries(EVENTS)) t.ok(largest(schema) + 50 <= eventLimitOf(event), event)
  t.ok(12 * 100_000 + 1000 <= eventLimitOf('send_message'), 'texts of 100,000 code points would fit, too')
})

/** A text whose Unicode normalization takes a second. */
const MARKS = ['\u0315', '\u0300', '\u05ae', '\u0316', '\u059a', '\u0301', '\u0323'].join('').repeat(4_200)

/** Records the length of the longest text that was normalized, and of the longest that was matched with one of these patterns. */
function watchTexts (t: Test, patterns: Set<string>) {
  const { normalize } = String.prototype
  const { test } = RegExp.prototype
  const longest = { normalized: 0, matched: 0 }
  // eslint-disable-next-line no-extend-native -- to record the calls
  String.prototype.normalize = function (this: string, ...args) {
    longest.normalized = Math.max(longest.normalized, this.length)
    return normalize.call(this, ...args as [string])
  }
  // eslint-disable-next-line no-extend-native -- to record the calls
  RegExp.prototype.test = function (text) {
    if (patterns.has(this.source)) longest.matched = Math.max(longest.matched, text.length)
    return test.call(this, text)
  }
  t.teardown(() => {
    Object.assign(String.prototype, { normalize })
    Object.assign(RegExp.prototype, { test })
  })
  return longest
}

t.test('a text that is too long is refused before it is normalized or matched with patterns', async t => {
  const server = await startLive(t)
  const patterns = new Set((await schemasOf(server)).flatMap(({ schema }) => schema['pattern'] === undefined ? [] : [new RegExp(schema['pattern'] as string).source]))
  t.ok(patterns.size >= 5)
  const ann = await server.as('ann')
  const socket = await connect(t, server.url, { auth: { token: tokenOf(ann) } })
  const texts = watchTexts(t, patterns)

  for (const route of await documentedRoutes(server)) {
    const fields = Object.entries(route.body?.properties ?? {})
    if (fields.length === 0) continue
    const { ann, url } = await begin(server, route)
    for (const [name, { type }] of fields) {
      for (const value of [MARKS, [MARKS], Array.from({ length: 8_000 }, (_, n) => `\u0300${n}`)]) {
        const { headers, payload } = rightRequest({ example: { ...route.example, body: { ...route.example.body, [name]: value } } })
        const { statusCode } = await send(server, route, url(), { ...ann.headers, ...headers }, payload)
        t.ok([400, 413].includes(statusCode), `${route.name} with a long ${name}, of type ${type}: ${statusCode}`)
      }
    }
  }
  for (const input of [{ users: [MARKS] }, { users: Array(2_000).fill('\u0300\u0315') }, { name: MARKS }, { bots: [MARKS] }]) {
    t.match(await socket.emitWithAck('start_chat', input) as Refusal, { code: 'INVALID_REQUEST' })
  }
  t.match(await socket.emitWithAck('send_message', { chat_session_id: 1, text: MARKS, client_id: MARKS }) as Refusal, { code: 'INVALID_MESSAGE' })
  t.ok(texts.normalized > 0 && texts.normalized <= 2_000, `${texts.normalized} characters were normalized at once`)
  t.ok(texts.matched > 0 && texts.matched <= 2_000, `${texts.matched} characters were matched at once`)
})

t.test('tokens and keys that are too long are refused without being checked', async t => {
  const { anyone, app } = await startApp(t)
  const verified = t.capture(app.jwt, 'verify', app.jwt.verify.bind(app.jwt))
  const token = 'x'.repeat(9_000)
  t.equal((await anyone.get('/api/me', { authorization: `Bearer ${token}` })).statusCode, 401)
  t.equal((await anyone.get('/api/me', { cookie: `session=${token}` })).statusCode, 401)
  t.match((await anyone.post('/chat', { content: 'Hi' }, { authorization: `Bearer ${token}` })).json(), { code: 'INVALID_TOKEN' })
  t.match((await anyone.post('/chat', { content: 'Hi', token })).json(), { details: [{ path: 'token', message: 'may have at most 8,192 characters' }] })
  t.equal(verified().length, 0)
  t.match((await anyone.get('/chat/initial', { 'x-api-key': 'k'.repeat(5_000) })).json(), { code: 'INVALID_API_KEY' })
  t.match((await anyone.post('/chat/whatsapp', '{}', { 'x-hub-signature-256': `sha256=${'0'.repeat(5_000)}` })).json(), { code: 'INVALID_SIGNATURE' })
})

// --- messages ---

t.test('a refusal has one readable message for each fault', async t => {
  const { as, anyone, query } = await startApp(t)
  const ann = await as('ann')
  await query("UPDATE users SET role = 'admin' WHERE username = 'ann'")
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const messages = `/api/conversations/${id}/messages`
  const webhook = { name: 'hook', engine: 'webhook', settings: { url: 'https://hook.example.com', secret: 'a secret of 16 characters' } }
  const bot = (await ann.post('/api/admin/bots', webhook)).json().id
  const limit = 'must be a whole number from 1 to 200'
  const rows: Array<[asked: Promise<{ json: () => object }>, details: Array<[path: string, message: string]>, error?: string]> = [
    [anyone.post('/api/signup', { username: 'al', password: '1234567', name: ' ', email: 'x' }),
      [['username', 'needs at least 3 characters'], ['password', 'needs at least 8 characters'], ['name', 'must not be empty'], ['email', 'needs at least 3 characters']]],
    [anyone.post('/api/signup', { username: 'a\tb', password: 'x'.repeat(129), email: 'ann at example.com' }),
      [['username', 'may contain only visible characters'], ['password', 'may have at most 128 characters'], ['email', 'must be an e-mail address such as ann@example.com']]],
    [anyone.post('/api/signup', { name: 7 }), [['username', 'is required'], ['password', 'is required'], ['name', 'must be a string']]],
    [anyone.post('/api/signup'), [['', 'is required']], 'The body is required'],
    [anyone.post('/api/signup', [] as object), [['', 'must be an object']], 'The body must be an object'],
    [ann.patch('/api/me', { name: 7, email: 'me' }), [['name', 'must be a string or null'], ['email', 'needs at least 3 characters']]],
    [ann.patch('/api/me', { phone_number: 'call me' }), [['phone_number', 'cannot be read. A phone number has 3 to 15 digits, with an optional +. “c” does not belong there']]],
    [ann.get('/api/conversations?limit=0&messages=201'), [['limit', limit], ['messages', 'must be a whole number from 0 to 200']]],
    [ann.get('/api/conversations?limit=many'), [['limit', limit]]],
    [ann.get('/api/conversations/first'), [['id', 'must be a whole number from 1 to 9,007,199,254,740,991']]],
    [ann.get(`${messages}?before=2&after=1`), [['', 'takes before or after, not both']], 'The query takes before or after, not both'],
    [ann.get('/api/me/usage?before=tomorrow'), [['before', 'must be a day such as 2026-11-21']]],
    [ann.get('/api/me/usage?before=2026-11-21T00:00:00.000Z'), [['before', 'must be a day such as 2026-11-21']]],
    [ann.post('/api/me/keys', { name: 'k', expires_at: '2099-02-30T00:00:00Z' }), [['expires_at', 'must be a time that exists']]],
    [ann.post('/api/me/keys', { name: 'k', expires_at: '2020-01-01T00:00:00Z' }), [['expires_at', 'must be a time in the future']]],
    [ann.get('/api/admin/deliveries?state=lost&since=2026-13-01T00:00:00Z'), [['state', 'must be one of queued, sent, delivered, read, failed, window_closed']]],
    [ann.get('/api/admin/deliveries?since=2026-13-01T00:00:00Z'), [['since', 'must be a time that exists']]],
    [ann.get('/api/admin/deliveries?since=yesterday&contact=a%20b'),
      [['contact', 'may contain only printable ASCII characters, and no spaces'], ['since', 'must be a time in UTC such as 2026-11-21T10:00:00Z']]],
    [ann.post('/api/conversations', { name: 'x'.repeat(201), bots: Array.from({ length: 9 }, (_, n) => `bot ${n}`) }), [['name', 'may have at most 200 characters'], ['bots', 'may have at most 8 entries']]],
    [ann.post('/api/conversations', { name: 'Plans', bots: ['a', 'a'] }), [['bots', 'must not have the same entry twice']]],
    [ann.post('/api/conversations', { name: 'Plans', bots: [7, 'b', null] }), [['bots.0', 'must be a string'], ['bots.2', 'must be a string']]],
    [ann.patch(`/api/conversations/${id}`, { when_busy: 'zzz' }), [['when_busy', 'must be one of queue, interrupt, reject']]],
    [ann.post(messages, { text: '  ' }), [['text', 'must not be empty']]],
    [ann.post(messages, { text: 'Hi', client_id: 'ä'.repeat(256) }), [['client_id', 'may have at most 255 characters']]],
    [ann.post(messages, { text: 'Hi' }, { 'idempotency-key': 'clé' }), [['idempotency-key', 'may contain only printable ASCII characters']]],
    [ann.post('/api/admin/bots', { name: 'a bot', engine: 'abacus', settings: {} }),
      [['name', 'may contain only letters from a to z, digits, _ and -'], ['engine', 'must be one of simulated, guided, openai, webhook, ag-ui']]],
    [ann.post('/api/admin/bots', { ...webhook, settings: { url: 'ftp://x', temperature: 1 } }),
      [['settings.secret', 'is required'], ['settings.temperature', 'is not a known field'], ['settings.url', 'must be an http or https address without a user name, a password or a fragment']]],
    [ann.patch(`/api/admin/bots/${bot}`, { settings: { greeting: '' } }), [['settings.url', 'is required'], ['settings.greeting', 'must not be empty']]],
    [anyone.post('/chat', { content: 7, token: 7 }), [['content', 'must be a string'], ['token', 'must be a string']], '400 Bad Request: content must be a string'],
    [anyone.post('/login', { id: true, passcode: 7 }), [['id', 'must be a string or a number'], ['passcode', 'must be a string']]],
    [anyone.post('/login', { id: 0.1, passcode: 'x' }), [['id', 'must be a string or a whole number']]],
    [anyone.post('/login', { id: 1e21, passcode: 'x' }), [['id', 'must be a string, because JSON cannot represent a number of this size exactly']]]
  ]
  for (const [asked, details, sentence] of rows) {
    const said = (await asked).json() as { error: string, details: object[] }
    const [path, message] = details[0]!
    t.match(said, { statusCode: 400, code: 'INVALID_REQUEST', error: sentence ?? `${path} ${message}` })
    t.same(said.details, details.map(([path, message]) => ({ path, message })))
  }
})

// --- what counts as a body ---

/** Sends a request exactly as written, on its own connection, and returns the response. */
async function sendRaw (port: number, request: string[], body = '') {
  const answer = await exchange(port, `${request.join('\r\n')}\r\nHost: x\r\nConnection: close\r\n\r\n${body}`)
  return { status: Number(/^HTTP\/1.1 (\d+)/.exec(answer)![1]), answer }
}

t.test('a body of very many objects and lists is refused before it is parsed, and one of very long texts is not', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const chat = (id: string, extra: string) => `{"id":"${id}","messages":[{"role":"user","parts":[{"type":"text","text":"Hi"}]}],"extra":${extra}}`
  const send = async (body: string) => await ann.post('/api/chat', body, { 'content-type': 'application/json' })
  const refused = await send(chat('a', `[${'[],'.repeat(250_000)}[]]`))
  t.match(refused.json(), { statusCode: 400, code: 'INVALID_REQUEST', error: 'The body may have at most 250,000 objects and lists' })
  t.equal((await send(chat('b', `[${'[],'.repeat(100_000)}[]]`))).statusCode, 200)
  t.equal((await send(chat('c', `"${'[{'.repeat(1_000_000)}"`))).statusCode, 200)
})

t.test('an empty body counts as no body, whatever its type', async t => {
  const server = await startApp(t)
  const { app } = server
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const types = ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data; boundary=x', 'application/json', 'application/octet-stream', 'nonsense', undefined]
  const routes = (await documentedRoutes(server)).filter(({ method, path }) => method !== 'GET' && !path.endsWith('/whatsapp'))
  const empty = ['POST /api/conversations/{id}/stop', 'POST /api/conversations/{id}/messages/{message}/regenerate', 'POST /api/logout', 'POST /api/email/resend']
  t.same(empty.filter(name => !routes.some(route => route.name === name)), [], 'the routes at which front ends were refused are among them')

  for (const route of routes) {
    if (route.method === 'DELETE' && route.body === undefined) continue
    const ask = async (headers: string[]) => {
      const { ann, url } = await begin(server, route)
      const own = Object.entries(ann.headers).map(([name, value]) => `${name}: ${value}`)
      const isChunked = headers.some(header => header.startsWith('Transfer-Encoding'))
      return await sendRaw(port, [`${route.method} ${url()} HTTP/1.1`, ...own, ...headers], isChunked ? '0\r\n\r\n' : '')
    }
    for (const [nth, type] of types.entries()) {
      const typed = type === undefined ? [] : [`Content-Type: ${type}`]
      const { status, answer } = await ask([...typed, nth % 2 === 0 ? 'Content-Length: 0' : 'Transfer-Encoding: chunked'])
      if (route.body === undefined) t.equal(status, route.example.status, `${route.name}, ${type}`)
      else t.match(answer, /(is|are) required/, `${route.name}, ${type}`)
    }
  }
})

t.test('axios and fetch can send an empty body', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const stop = `${server.url}/api/conversations/${id}/stop`
  const headers = { ...ann.headers, connection: 'close' }
  for (const send of [() => axios.post(stop, undefined, { headers }), () => axios.post(stop, null, { headers }), () => axios.post(stop, '', { headers: { ...headers, 'content-type': 'text/plain' } })]) {
    t.equal((await send()).status, 204)
  }
  for (const body of [undefined, '', new URLSearchParams(), new Blob([])]) {
    t.equal((await fetch(stop, { method: 'POST', headers, ...body !== undefined && { body } })).status, 204)
  }
})

t.test('a body of an unsupported type is refused, even if its length is unknown', async t => {
  const { app } = await startApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const chunked = (type: string, body: string) => sendRaw(port, ['POST /api/login HTTP/1.1', `Content-Type: ${type}`, 'Transfer-Encoding: chunked'], body)
  t.match((await chunked('text/plain', '5\r\nhello\r\n0\r\n\r\n')).answer, /415[^]*UNSUPPORTED_MEDIA_TYPE/)
  t.match((await chunked('text/plain', '5\r\nhello\r\n')).answer, /415[^]*UNSUPPORTED_MEDIA_TYPE/, 'before the body has ended')
})

t.test('a body of an unsupported type that breaks off before it begins is logged as the client’s error', async t => {
  const logged: Array<{ level: number, code?: string }> = []
  const { pino } = await import('pino')
  const { app } = await startApp(t, {}, pino({ level: 'info' }, { write: (line: string) => { logged.push(JSON.parse(line)) } }))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const socket = dial(port, '127.0.0.1', () => { socket.write('POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n') })
  await once(app.server, 'request')
  socket.destroy()
  while (!logged.some(({ code }) => code === 'INVALID_REQUEST')) await new Promise(resolve => setTimeout(resolve, 10))
  t.ok(logged.every(({ level }) => level === 30), 'no warning or error of the server is logged')
})

t.test('a client that sends a large body to its end before it reads gets the error, and may go on with its connection', async t => {
  const { port } = await startLive(t)
  const LENGTH = 8 * KIB * KIB // more than the buffers of a connection take
  const CHUNK = 64 * KIB
  const body = { 'Content-Length': ['x'.repeat(LENGTH)], 'Transfer-Encoding': [...Array.from({ length: LENGTH / CHUNK }, () => `${CHUNK.toString(16)}\r\n${'x'.repeat(CHUNK)}\r\n`), '0\r\n\r\n'] }
  const framings = [['Content-Length', `${LENGTH}`], ['Transfer-Encoding', 'chunked']] as const
  for (const path of ['/api/login', '/chat', '/api/chat', '/api/ag-ui', '/v1/chat/completions', '/chat/whatsapp', '/nowhere']) {
    for (const type of ['application/json', 'text/plain', 'application/json\r\nContent-Encoding: gzip']) {
      for (const [name, value] of framings) {
        const socket = dial(port, '127.0.0.1').pause()
        const broken = once(socket, 'close').then(() => 'the connection broke')
        socket.on('error', () => { /* 'close' follows */ })
        socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\n${name}: ${value}\r\nX-Hub-Signature-256: sha256=${'0'.repeat(64)}\r\n\r\n`)
        const sent = new Promise<string>(resolve => {
          for (const piece of body[name]) socket.write(piece)
          socket.write('GET /api/test HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', () => resolve('sent'))
        })
        const what = `${path}, ${type}, ${name}`
        t.equal(await Promise.race([sent, broken]), 'sent', what)
        let answers = ''
        socket.setEncoding('utf8').on('data', text => { answers += text }).resume()
        await broken
        t.match(answers, /^HTTP\/1\.1 4\d\d [^]*"code":[^]*HTTP\/1\.1 200 OK[^]*Server is running/, what)
      }
    }
  }
})

t.test('a compressed body is refused with a message that says so', async t => {
  const server = await startApp(t)
  const { anyone } = server
  const login = { username: 'ann', password: 'correct horse' }
  await server.as('ann')
  const json = { 'content-type': 'application/json' }
  for (const encoding of ['gzip', 'br', 'deflate', 'GZIP', 'gzip, gzip', 'zstd']) {
    const answer = await anyone.post('/api/login', gzipSync(JSON.stringify(login)), { ...json, 'content-encoding': encoding })
    t.match([answer.statusCode, answer.json()], [415, {
      code: 'UNSUPPORTED_MEDIA_TYPE', error: 'A compressed body is not supported, please send it without Content-Encoding'
    }], encoding)
    t.equal(answer.headers['accept-encoding'], 'identity', 'the header says which encoding is accepted (RFC 9110, 12.5.3)')
  }
  for (const encoding of ['identity', ' Identity ', '']) t.equal((await anyone.post('/api/login', login, { ...json, 'content-encoding': encoding })).statusCode, 200, encoding)
  const route = (await documentedRoutes(server)).find(({ name }) => name === 'POST /chat') as Route
  const { url } = await begin(server, route)
  const headers: Headers = { ...json, 'content-encoding': 'gzip' }
  t.match((await send(server, route, url(), headers, gzipSync('{}'))).json(), { bot_message: /compressed/, user_phone: '' })
})
