import t, { type Test } from 'tap'
import { once } from 'node:events'
import net from 'node:net'
import { mock } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Socket } from 'socket.io-client'
import { createWatch } from '../src/accounts/session-watch.js'
import { createPace } from '../src/channels/socketio/pace.js'
import { createEvents } from '../src/conversations/events.js'
import { createDb } from '../src/db/client.js'
import { createListener } from '../src/db/listener.js'
import { UNAVAILABLE } from '../src/errors.js'
import { API_KEY, freshDatabase, silent, type Client, type Headers } from './helper.js'
import { connect, CUT, dial, follow, listen, next, refused, startLive, tokenOf, type Live, type Options, type Refusal, type Server } from './live.js'
import { layCable, until } from './process.js'

// Sockets and event streams: what happens in a conversation, as it happens, on one instance and between two.

t.jobs = 4 // for tests that are `buffered`

const path = (id: number) => `/api/conversations/${id}/messages`
const auth = (client: Pick<Client, 'headers'>) => ({ auth: { token: tokenOf(client) } })
const list = (...options: Options[]) => options
const texts = (messages: Array<{ text: string }>) => messages.map(({ text }) => text)

/** Two instances on one database. */
async function startTwo (t: Test): Promise<[Server, Server]> {
  const one = await startLive(t)
  return [one, await startLive(t, {}, one.connection)]
}

/** A user's socket at an instance, with what it hears. */
async function enter (t: Test, server: Server, client: Pick<Client, 'headers'>, options: object = {}) {
  const socket = await connect(t, server.url, { ...auth(client), ...options })
  return { socket, ...follow(socket) }
}

/** A conversation that these users have begun. */
async function begin (socket: Socket, users: string[] = [], bots = ['simulated']): Promise<number> {
  return (await socket.emitWithAck('start_chat', { users, bots })).chat_session_id
}

/** What the log holds, in the order of the changes. */
async function logOf ({ query }: Server, id: number): Promise<Array<Pick<Live, 'id' | 'rev' | 'text' | 'status'>>> {
  return await query('SELECT id::int, rev::int, text, status FROM messages WHERE conversation_id = $1 ORDER BY rev', [id])
}

/** It was told each change once and in order, and knows what the log holds. */
async function hasAll (t: Test, server: Server, id: number, heard: Array<Pick<Live, 'id' | 'rev' | 'text' | 'status'>>, who: string) {
  const log = await logOf(server, id)
  await until(() => (heard.at(-1)?.rev ?? 0) >= (log.at(-1)?.rev ?? 0))
  t.ok(heard.every(({ rev }, n) => n === 0 || rev > heard[n - 1]!.rev), `${who}: in order, none twice`)
  const known = new Map(heard.map(({ id, rev, text, status }) => [id, { id, rev, text, status }]))
  t.same([...known.values()].sort((a, b) => a.rev - b.rev), log, `${who}: none missed`)
}

t.test('the words of the contract', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const bob = await server.as('bob')
  const here = await enter(t, server, ann)
  const device = await enter(t, server, ann)
  const there = await enter(t, server, bob)

  await t.test('start_chat, with and without anything', async t => {
    for (const args of [[], [{}], [null], [{ name: 'Plans', bots: [], users: ['BOB'] }]]) {
      const started = next<object>(here.socket, 'chat_session_started')
      const answer = await here.socket.emitWithAck('start_chat', ...args)
      t.same(Object.keys(answer), ['chat_session_id'])
      t.same(await started, answer)
    }
    const started = next<{ chat_session_id: number }>(here.socket, 'chat_session_started')
    here.socket.emit('start_chat')
    const { chat_session_id: id } = await started
    t.match((await ann.get(`/api/conversations/${id}`)).json(), { id, name: 'Chat' })
    t.match((await here.socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hi' })).messages, [{}, { username: 'simulated' }])
  })

  await t.test('messages, edits and deletions', async t => {
    const id = await begin(here.socket, ['bob'])
    t.same(await device.socket.emitWithAck('join_chat', { chat_session_id: id }), { messages: [], more: false })
    t.same(await there.socket.emitWithAck('join_chat', { chat_session_id: id, after: 0 }), { messages: [], more: false })
    here.heard.length = 0

    const { messages } = await here.socket.emitWithAck('send_message', { chat_session_id: id, text: '  Hello ' })
    const [mine, reply] = messages as Live[]
    t.match(messages, [
      { id: 1, rev: 1, sender: 'user', username: 'ann', text: 'Hello', status: 'complete', chat_session_id: id, isLocal: true },
      { id: 2, rev: 2, sender: 'bot', username: 'simulated', text: 'You said: Hello', status: 'complete', chat_session_id: id, isLocal: false }
    ])
    t.match(mine!.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    t.same(Object.keys(mine!).sort(), ['chat_session_id', 'created_at', 'id', 'isLocal', 'rev', 'sender', 'status', 'text', 'username'])
    await until(() => there.heard.length === 2 && device.heard.length === 2 && here.heard.length === 1)
    t.same(here.heard, [reply], 'the sender hears the reply')
    t.same(device.heard, [mine, reply], 'its other device hears its message as its own')
    t.same(there.heard, [{ ...mine, isLocal: false }, reply], 'and so do the others')

    const { body: sent } = await ann.post(path(id), { text: 'By HTTP' })
    const { rev } = (await ann.put(`${path(id)}/1`, { text: 'Edited' })).json()
    await bob.post(path(id), { text: 'From Bob' })
    await ann.delete(`${path(id)}/3`)
    for (const who of [here, device, there]) await until(() => who.last() === 8)
    t.match(JSON.parse(sent), there.heard.slice(2, 4).map(({ isLocal, chat_session_id, ...message }) => message))
    t.match(here.heard.find(each => each.rev === rev), { id: 1, text: 'Edited', isLocal: true })
    t.match(there.heard.at(-1), { id: 3, rev: 8, status: 'deleted', text: '', isLocal: false })
    t.match(there.heard.find(({ text }) => text === 'From Bob'), { isLocal: true })
    await hasAll(t, server, id, there.heard, 'bob')

    const stranger = await server.as('stranger')
    t.match((await enter(t, server, stranger)).heard, [])
  })
})

t.test('what is wrong is said, as error and as acknowledgement', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { socket } = await enter(t, server, ann)
  const id = await begin(socket)
  const wrong = async (t: Test, event: string, input: unknown, code: string | RegExp, on = socket) => {
    const error = next<Refusal>(on, 'error')
    const answer = await on.emitWithAck(event, input) as Refusal
    t.match(answer, { code, error: String }, `${event} ${JSON.stringify(input)?.slice(0, 80)}`)
    t.same(Object.keys(answer).sort(), ['code', 'error'])
    t.same(await error, answer)
  }

  await t.test('by its code', async t => {
    await wrong(t, 'send_message', { chat_session_id: id + 1, text: 'Hi' }, 'CHAT_SESSION_NOT_FOUND')
    await wrong(t, 'join_chat', { chat_session_id: id + 1 }, 'CHAT_SESSION_NOT_FOUND')
    await wrong(t, 'start_chat', { users: ['nobody'] }, 'USER_NOT_FOUND')
    await wrong(t, 'start_chat', { bots: ['nobody'] }, 'BOT_NOT_FOUND')
    await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hi', client_id: 'c' })
    await wrong(t, 'send_message', { chat_session_id: id, text: 'Ho', client_id: 'c' }, 'IDEMPOTENCY_MISMATCH')
    const { token } = (await server.anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
    const guest = await connect(t, server.url, { auth: { token } })
    await wrong(t, 'start_chat', { users: ['ann'] }, 'NOT_FOR_GUESTS', guest)
    t.ok((await guest.emitWithAck('start_chat')).chat_session_id, 'a guest has its own')
  })

  await t.test('whatever a payload is', async t => {
    const deep = () => { let value: unknown = []; for (let n = 0; n < 500; n++) value = [value]; return value }
    const junk = [undefined, null, 7, 'text', true, [], [[]], {}, Buffer.from('binary'), deep(), { text: 'Hi' }, { chat_session_id: id }]
    const ids = ['1', 0, -1, 1.5, 1e300, null, {}, [], true, Buffer.from('1')]
    const wrongTexts = [7, null, {}, [], '', '   ', 'a\0b', '\ud800', 'x'.repeat(8001), Buffer.from('Hi'), deep()]
    for (const input of junk) {
      await wrong(t, 'send_message', input, 'INVALID_MESSAGE')
      const isRight = typeof input === 'object' && input !== null && 'chat_session_id' in input
      if (!isRight) await wrong(t, 'join_chat', input, 'INVALID_REQUEST')
    }
    for (const chat_session_id of ids) await wrong(t, 'send_message', { chat_session_id, text: 'Hi' }, 'INVALID_MESSAGE')
    for (const text of wrongTexts) await wrong(t, 'send_message', { chat_session_id: id, text }, 'INVALID_MESSAGE')
    for (const client_id of [7, '', 'é', 'x'.repeat(256)]) await wrong(t, 'send_message', { chat_session_id: id, text: 'Hi', client_id }, 'INVALID_MESSAGE')
    for (const after of [-1, 1.5, '1', null, Number.MAX_SAFE_INTEGER + 1]) await wrong(t, 'join_chat', { chat_session_id: id, after }, 'INVALID_REQUEST')
    for (const chat of [7, 'x', [], { name: 7 }, { name: '' }, { name: 'x'.repeat(201) }, { users: 'ann' }, { users: [7] }, { bots: ['a', 'a'] }, { name: 'a\0' }]) {
      await wrong(t, 'start_chat', chat, /^INVALID_(REQUEST|TEXT)$/)
    }
    socket.emit('send_message', 'no acknowledgement')
    t.match(await next(socket, 'error'), { code: 'INVALID_MESSAGE' })
    socket.emit('nothing that we know', {})
    for (const [open, close] of [['[', ']'], ['{"a":', '}']] as const) {
      const deepest = `${open.repeat(10_000)}1${close.repeat(10_000)}`
      socket.io.engine.write(`2["send_message",${deepest}]`)
      t.match(await next(socket, 'error'), { code: 'INVALID_MESSAGE' }, 'as deep as it fits')
    }
    const long = '🎵'.repeat(8000)
    t.match(await socket.emitWithAck('send_message', { chat_session_id: id, text: long }), { messages: [{ text: long }, {}] }, '8,000 characters are fine')
  })

  await t.test('what broke on our side is not told', async t => {
    await server.query('ALTER TABLE conversation_bots RENAME TO hidden')
    await wrong(t, 'send_message', { chat_session_id: id, text: 'Hi' }, 'INTERNAL')
    await server.query('ALTER TABLE hidden RENAME TO conversation_bots')
    t.match(await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hi' }), { messages: [{}, {}] })
  })
})

t.test('a payload has at most 64 KiB', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  for (const transport of ['websocket', 'polling']) {
    const { socket } = await enter(t, server, ann, { transports: [transport] })
    const fits = await socket.emitWithAck('start_chat', { name: 'x'.repeat(65_000) })
    t.match(fits, { code: 'INVALID_REQUEST' })
    const gone = next(socket, 'disconnect')
    socket.emit('start_chat', { name: 'x'.repeat(66_000) })
    await gone
  }
  t.equal((await ann.get('/api/me')).statusCode, 200)
})

t.test('who connects has a token', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const token = tokenOf(ann)
  await server.anyone.post('/register', { id: 'seed003', passcode: 'correct horse' })
  const { access_token } = (await server.anyone.post('/login', { id: 'seed003', passcode: 'correct horse' })).json()
  const bob = await server.as('bob')
  await bob.post('/api/logout')

  for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
    for (const options of list(
      { auth: { token } },
      { query: { token } },
      { extraHeaders: { authorization: `Bearer ${token}` } },
      { extraHeaders: { cookie: `a=b; session=${token}` } },
      { auth: { token: 7 }, extraHeaders: { cookie: `session=${token}` } }
    )) {
      const socket = await connect(t, server.url, { transports, ...options })
      t.match(await socket.emitWithAck('start_chat'), { chat_session_id: Number }, `${transports} ${Object.keys(options)}`)
      socket.close()
    }
    for (const options of list(
      {},
      { auth: { token: 'nonsense' } },
      { auth: { token: '' }, extraHeaders: { cookie: `session=${token}` } },
      { auth: { token: { $ne: 1 } } },
      { query: { token: tokenOf(bob) } },
      { extraHeaders: { authorization: 'Bearer nonsense', cookie: `session=${token}` } },
      { extraHeaders: { authorization: `Basic ${token}` } },
      { extraHeaders: { cookie: 'session=nonsense' } }
    )) {
      const error = await refused(t, server.url, { transports, ...options })
      t.same(error.data, { code: 'INVALID_TOKEN', error: 'Invalid token' }, `${transports} ${JSON.stringify(Object.keys(options))}`)
    }
  }

  await t.test('as the first clients did, who upgrade from polling', async t => {
    const socket = dial(t, `${server.url}?token=${access_token}`, { transports: ['polling', 'websocket'] })
    await next(socket, 'connect')
    await until(() => socket.io.engine.transport.name === 'websocket')
    const { heard } = follow(socket)
    const id = await begin(socket)
    socket.emit('send_message', { chat_session_id: id, text: 'Hi' })
    await until(() => heard.length === 1)
    t.match(heard, [{ text: 'You said: Hi', sender: 'bot', isLocal: false }])
  })
})

t.test('pages of other sites do not connect', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const cookie = ann.headers['cookie']!
  for (const transports of [['polling'], ['websocket']]) {
    for (const origin of [undefined, 'http://localhost:3000', 'http://localhost:5173', 'http://localhost:5000', 'http://127.0.0.1:5000']) {
      const extraHeaders = { cookie, ...origin !== undefined && { origin } }
      const socket = await connect(t, server.url, { transports, extraHeaders })
      t.match(await socket.emitWithAck('start_chat'), { chat_session_id: Number }, `${transports} ${origin}`)
      socket.close()
    }
    for (const headers of <Headers[]>[{ origin: 'https://evil.example' }, { origin: 'null' }, { origin: 'http://localhost:3000.evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
      const error = await refused(t, server.url, { transports, extraHeaders: { cookie, ...headers } })
      t.equal(error.data, undefined, `${transports} ${JSON.stringify(headers)}`)
    }
  }
  const handshake = `${server.url}/socket.io/?EIO=4&transport=polling`
  const listed = await fetch(handshake, { headers: { origin: 'http://localhost:3000' } })
  t.equal(listed.headers.get('access-control-allow-origin'), 'http://localhost:3000')
  t.equal(listed.headers.get('access-control-allow-credentials'), 'true')
  const unlisted = await fetch(handshake, { headers: { origin: 'https://evil.example' } })
  t.equal(unlisted.status, 403)
  t.equal(unlisted.headers.get('access-control-allow-origin'), null)
  const preflight = await fetch(handshake, { method: 'OPTIONS', headers: { origin: 'http://localhost:3000', 'access-control-request-method': 'POST' } })
  t.equal(preflight.headers.get('access-control-allow-origin'), 'http://localhost:3000')
})

t.test('a user sends 20 messages in 10 s, and asks 600 times in a minute', { buffered: true }, async t => {
  const server = await startLive(t, { RATE_LIMITS: 'on' })
  const ann = await server.as('ann')
  const bob = await server.as('bob')
  const one = await enter(t, server, ann)
  const two = await enter(t, server, ann)
  const id = await begin(one.socket, ['bob'])
  const answers = await Promise.all(Array.from({ length: 25 }, (_, n) =>
    [one, two][n % 2]!.socket.emitWithAck('send_message', { chat_session_id: id, text: `m${n}` })))
  t.equal(answers.filter(({ messages }) => messages?.length === 2).length, 19, 'and a chat that begins is one of the 20')
  t.equal(answers.filter(({ code }) => code === 'TOO_MANY_REQUESTS').length, 6)
  t.match(await two.socket.emitWithAck('start_chat'), { code: 'TOO_MANY_REQUESTS', error: /wait/ })
  const { socket } = await enter(t, server, bob)
  t.match(await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Mine are mine' }), { messages: [{}, {}] })

  const asked = await Promise.all(Array.from({ length: 600 }, () => socket.emitWithAck('join_chat', { chat_session_id: id, after: 100 })))
  t.same(asked.map(({ code }) => code).filter(Boolean), ['TOO_MANY_REQUESTS'])
})

t.test('a pace is kept per key, in any period, and what is quiet is forgotten', t => {
  mock.timers.enable({ apis: ['Date'] })
  t.teardown(() => mock.timers.reset())
  const mayGoOn = createPace(2, 1_000)
  t.same([mayGoOn(1), mayGoOn(1), mayGoOn(1), mayGoOn(2)], [true, true, false, true])
  mock.timers.tick(999)
  t.equal(mayGoOn(1), false)
  for (let key = 10; key < 10_100; key++) mayGoOn(key)
  mock.timers.tick(1)
  t.same([mayGoOn(1), mayGoOn(1), mayGoOn(1)], [true, true, false])
  mock.timers.tick(1_000)
  t.same([mayGoOn(1), mayGoOn(10)], [true, true])
  t.end()
})

t.test('an ended session closes what is open, at the other instance too', async t => {
  const [one, two] = await startTwo(t)
  const sidOf = (client: Client) => one.app.jwt.decode<{ sid: number }>(tokenOf(client))!.sid
  const bySql = (change: string) => async (client: Client) => { await one.query(`UPDATE sessions SET ${change} WHERE id = $1`, [sidOf(client)]) }
  const ways: Record<string, (client: Client) => Promise<unknown>> = {
    'a logout': client => client.post('/api/logout'),
    'a new password': client => client.patch('/api/me', { password: 'battery staple', current_password: 'correct horse' }),
    'an end from another device': async client => {
      const other = (await one.anyone.post('/api/login', { username: await nameOf(client), password: 'correct horse' })).cookies[0]!
      return await one.clientOf({ cookie: `${other.name}=${other.value}` }).delete(`/api/me/sessions/${sidOf(client)}`)
    },
    'an account that is deleted': client => client.delete('/api/me', { 'content-type': 'application/json' }).then(() =>
      one.app.inject({ method: 'DELETE', url: '/api/me', payload: { password: 'correct horse' }, headers: client.headers })),
    'its last second': bySql('expires_at = now()'),
    'half an hour without a use': bySql("last_used_at = now() - interval '32 minutes'")
  }
  const nameOf = async (client: Client) => (await client.get('/api/me')).json().username as string

  for (const isCut of [false, true]) {
    for (const [way, end] of Object.entries(ways)) {
      const client = await one.as(`user${Math.random().toString(36).slice(2)}`)
      const { socket } = await enter(t, two, client)
      const id = await begin(socket)
      const stream = await listen(t, `${two.url}/api/conversations/${id}/events`, client.headers)
      const polling = await enter(t, two, client, { transports: ['polling'] })
      const gone = Promise.all([next(socket, 'disconnect'), next(polling.socket, 'disconnect'), stream.ended])
      if (isCut) await one.query(CUT)
      const began = performance.now()
      await end(client)
      const after = performance.now()
      if (!way.includes('last second') && !way.includes('half an hour')) {
        t.equal((await two.clientOf(client.headers).get('/api/conversations')).statusCode, 401, `${way}: the next request`)
      }
      t.same((await gone).slice(0, 2), ['io server disconnect', 'io server disconnect'])
      t.ok(performance.now() - after < 1_500, `${way}, ${isCut ? 'and nobody was told' : 'told'}: closed after ${Math.round(performance.now() - began)} ms`)
      t.equal((await two.clientOf(client.headers).get('/api/conversations')).statusCode, 401)
      t.equal((await refused(t, two.url, auth(client))).data!.code, 'INVALID_TOKEN')
    }
  }
})

t.test('a stranger, a former member and an ended session are told nothing, for every event', { buffered: true }, async t => {
  const server = await startLive(t)
  const [ann, bob, eve] = [await server.as('ann'), await server.as('bob'), await server.as('eve')]
  const owner = await enter(t, server, ann)
  const former = await enter(t, server, bob)
  const stranger = await enter(t, server, eve)
  const id = await begin(owner.socket, ['bob'])
  await owner.join(id)
  await former.join(id)
  const stream = await listen(t, `${server.url}/api/conversations/${id}/events`, bob.headers)
  await former.socket.emitWithAck('send_message', { chat_session_id: id, text: 'I am in' })

  const began = performance.now()
  await server.query("DELETE FROM conversation_users WHERE user_id = (SELECT id FROM users WHERE username = 'bob')")
  await owner.socket.emitWithAck('send_message', { chat_session_id: id, text: 'Between us' })
  await stream.ended
  t.ok(performance.now() - began < 1_500, 'the stream closes')
  await owner.socket.emitWithAck('send_message', { chat_session_id: id, text: 'Still between us' })
  await until(() => owner.last() === 6)
  for (const [who, { socket }, client] of [['stranger', stranger, eve], ['former member', former, bob]] as const) {
    for (const [event, input] of [['send_message', { text: 'Let me in' }], ['join_chat', {}], ['join_chat', { after: 3 }]] as const) {
      t.match(await socket.emitWithAck(event, { chat_session_id: id, ...input }), { code: 'CHAT_SESSION_NOT_FOUND' }, `${who}: ${event}`)
    }
    for (const after of ['', '?after=0']) {
      const refusal = await listen(t, `${server.url}/api/conversations/${id}/events${after}`, client.headers)
      t.equal(refusal.status, 404, who)
      await refusal.ended
      t.match(JSON.parse(refusal.raw.join('')), { code: 'CONVERSATION_NOT_FOUND' })
    }
  }
  t.same([...former.heard, ...stream.events.map(({ data }) => data)].filter(({ text }) => text.includes('etween us')), [])
  t.same(stranger.heard, [])
  t.equal((await listen(t, `${server.url}/api/conversations/${id}/events`, {})).status, 401)

  for (const [event, input] of [['start_chat', {}], ['send_message', { chat_session_id: id, text: 'Hi' }], ['join_chat', { chat_session_id: id }]] as const) {
    const { socket } = await enter(t, server, ann)
    const gone = next(socket, 'disconnect')
    const error = next(socket, 'error')
    // The watch may come first, or while it is asked.
    const [answer] = await Promise.all([
      server.query('UPDATE sessions SET expires_at = now() WHERE revoked_at IS NULL AND user_id = (SELECT id FROM users WHERE username = \'ann\')')
        .then(() => Promise.race([socket.emitWithAck(event, input).catch(() => undefined), gone.then(() => undefined)])),
      gone
    ])
    if (answer !== undefined) t.match([answer, await error], [{ code: 'INVALID_TOKEN' }, { code: 'INVALID_TOKEN' }])
    await server.query("UPDATE sessions SET expires_at = now() + interval '1 day' WHERE user_id = (SELECT id FROM users WHERE username = 'ann')")
  }
  t.equal((await logOf(server, id)).length, 6)
})

t.test('who is taken out of a quiet conversation, and whose conversation is deleted', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { socket } = await enter(t, server, ann)
  const open = async () => {
    const id = await begin(socket)
    return { id, ...await listen(t, `${server.url}/api/conversations/${id}/events`, ann.headers) }
  }
  for (const end of [
    (id: number) => server.query('DELETE FROM conversation_users WHERE conversation_id = $1', [id]),
    (id: number) => ann.delete(`/api/conversations/${id}`)
  ]) {
    const { id, ended } = await open()
    const began = performance.now()
    await end(id)
    await ended
    t.ok(performance.now() - began < 1_500, 'the stream closes')
    t.match(await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hi' }), { code: 'CHAT_SESSION_NOT_FOUND' })
  }
})

t.test('whoever joins while others write as fast as they can misses nothing and hears nothing twice', async t => {
  const [one, two] = await startTwo(t)
  const ann = await one.as('ann')
  const writers = [ann, two.clientOf(ann.headers)]
  const { socket } = await enter(t, one, ann)
  const id = await begin(socket)
  const stopping = new AbortController()
  const writing = Promise.all(Array.from({ length: 4 }, async (_, w) => {
    const client = writers[w % 2]!
    for (let n = 0; !stopping.signal.aborted; n++) {
      const sent = (await client.post(path(id), { text: `${w} ${n}` })).json()
      if (n % 3 === 1) await client.put(`${path(id)}/${sent[0].id}`, { text: `${w} ${n} edited` })
      if (n % 3 === 2) await client.delete(`${path(id)}/${sent[1].id}`)
    }
  }))

  const readers: Array<{ who: string, heard: () => Array<Pick<Live, 'id' | 'rev' | 'text' | 'status'>> }> = []
  for (let n = 0; n < 24; n++) {
    const server = n % 2 === 0 ? one : two
    if (n % 3 === 2) {
      const url = `${server.url}/api/conversations/${id}/events`
      const stream = n % 4 === 0 ? await listen(t, `${url}?after=0`, ann.headers) : await listen(t, url, { ...ann.headers, 'last-event-id': '0' })
      readers.push({ who: `stream ${n}`, heard: () => stream.events.map(({ data }) => data) })
    } else {
      const reader = await enter(t, server, ann, { transports: [n % 4 === 1 ? 'polling' : 'websocket'] })
      await reader.join(id)
      readers.push({ who: `socket ${n}`, heard: () => reader.heard })
    }
  }
  stopping.abort()
  await writing
  const log = await logOf(one, id)
  t.comment(`${log.length} messages, ${log.at(-1)!.rev} changes`)
  for (const { who, heard } of readers) {
    await until(() => heard().at(-1)?.rev === log.at(-1)!.rev)
    await hasAll(t, one, id, heard(), who)
  }
})

t.test('a socket that joins and sends at once hears each reply once', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const id = (await ann.post('/api/conversations', { name: 'Plans' })).json().id as number
  for (let round = 0; round < 5; round++) {
    const { socket, heard, join, last } = await enter(t, server, ann)
    const before = Math.max(0, ...(await logOf(server, id)).map(({ rev }) => rev))
    const joining = join(id, before)
    const sending = Promise.all(Array.from({ length: 5 }, (_, n) => socket.emitWithAck('send_message', { chat_session_id: id, text: `${round} ${n}` })))
    await Promise.all([joining, sending])
    await until(() => last() === before + 10)
    t.same(heard.filter(({ sender }) => sender === 'bot').map(({ rev }) => rev), [2, 4, 6, 8, 10].map(n => before + n))
  }
})

t.test('pages of what was missed', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { socket } = await enter(t, server, ann)
  const id = await begin(socket)
  const fill = async (count: number, size: number) => {
    await server.query(`
      WITH c AS (UPDATE conversations SET last_rev = last_rev + $2 WHERE id = $1 RETURNING last_rev - $2 AS rev, owner_id)
      INSERT INTO messages (conversation_id, id, rev, sender, user_id, text)
      SELECT $1, rev + n, rev + n, 'user', owner_id, repeat('語', $3) FROM c, generate_series(1, $2::int) n`, [id, count, size])
  }
  await fill(1_205, 2)
  for (const after of [0, 5, 1_005, 1_204, 1_205]) {
    const { heard, join } = await enter(t, server, ann)
    t.equal(await join(id, after), Math.max(1, Math.ceil((1_205 - after) / 200)), `after ${after}`)
    t.same(heard.map(({ rev }) => rev), Array.from({ length: 1_205 - after }, (_, n) => after + n + 1))
  }
  t.match(await socket.emitWithAck('join_chat', { chat_session_id: id, after: 1_005 }), { messages: { length: 200 }, more: false })
  t.match(await socket.emitWithAck('join_chat', { chat_session_id: id, after: 1_004 }), { messages: { length: 200 }, more: true })

  const url = `${server.url}/api/conversations/${id}/events`
  const ahead = await enter(t, server, ann)
  t.same(await ahead.socket.emitWithAck('join_chat', { chat_session_id: id, after: Number.MAX_SAFE_INTEGER }), { messages: [], more: false })
  const streams = await Promise.all([`${url}?after=0`, `${url}?after=${Number.MAX_SAFE_INTEGER}`, url].map(each => listen(t, each, ann.headers)))
  await ann.post(path(id), { text: 'Live' })
  await until(() => streams.every(({ events }) => events.at(-1)?.id === 1_207) && ahead.last() === 1_207)
  t.same(streams.map(({ events }) => events.length), [1_207, 2, 2])
  t.equal(ahead.heard.length, 2)

  await t.test('long messages come in smaller pages, so that no page alone is too much', async t => {
    await fill(100, 8_000)
    await fill(1, 100_000)
    const { heard, join } = await enter(t, server, ann)
    t.ok(await join(id, 1_207) >= 9)
    await hasAll(t, server, id, [...streams[0]!.events.map(({ data }) => data).filter(({ rev }) => rev <= 1_207), ...heard], 'by pages')
    const stream = await listen(t, `${url}?after=0`, ann.headers)
    await until(() => stream.events.at(-1)?.id === 1_308)
    t.equal(stream.events.length, 1_308)
  })
})

t.test('between two instances', async t => {
  const [one, two] = await startTwo(t)
  const ann = await one.as('ann')
  const here = await enter(t, one, ann)
  const there = await enter(t, two, ann)
  const id = await begin(here.socket)
  await there.join(id)
  const stream = await listen(t, `${two.url}/api/conversations/${id}/events`, ann.headers)
  const send = async (text: string, within: number) => {
    const began = performance.now()
    const { messages: [, reply] } = await here.socket.emitWithAck('send_message', { chat_session_id: id, text })
    await until(() => there.last() === reply.rev && stream.events.at(-1)?.id === reply.rev)
    t.ok(performance.now() - began < within, `${text}: ${Math.round(performance.now() - began)} ms`)
  }
  await t.test('what is said at one is heard at the other', async () => { await send('Over there?', 5_000) })
  await t.test('also when its connection is cut', async () => {
    await one.query(CUT)
    await send('Cut', 5_000)
  })
  await t.test('also when nobody can be told', async () => {
    await one.query('ALTER FUNCTION pg_notify RENAME TO pg_notify_away')
    await send('Lost', 5_000)
    await one.query('ALTER FUNCTION pg_notify_away RENAME TO pg_notify')
  })
  await t.test('also when others notify what they like', async () => {
    for (const channel of ['conversations', 'sessions']) {
      for (const payload of ['', 'text', '{}', '7', 'null', '["a", null, {}]', '[1e99]']) await one.query('SELECT pg_notify($1, $2)', [channel, payload])
    }
    await send('Noise', 5_000)
  })
  await hasAll(t, one, id, there.heard, 'there')
})

t.test('while the database is away and when it is back', { buffered: true }, async t => {
  const database = await freshDatabase(t)
  const cable = await layCable(t, database)
  await cable.open()
  const far = await startLive(t, {}, { ...database, host: '127.0.0.1', port: Number(new URL(cable.url).searchParams.get('port')) })
  const near = await startLive(t, {}, database)
  const ann = await near.as('ann')
  const here = await enter(t, near, ann)
  const there = await enter(t, far, ann)
  const id = await begin(here.socket)
  await there.join(id)
  const stream = await listen(t, `${far.url}/api/conversations/${id}/events`, ann.headers)

  await cable.close()
  for (const [event, input] of [['start_chat', {}], ['send_message', { chat_session_id: id, text: 'Hi' }], ['join_chat', { chat_session_id: id }]] as const) {
    t.match(await there.socket.emitWithAck(event, input), { code: 'UNAVAILABLE', error: /not available/ })
  }
  t.equal((await refused(t, far.url, auth(ann))).data!.code, 'UNAVAILABLE')
  for (let n = 0; n < 10; n++) await here.socket.emitWithAck('send_message', { chat_session_id: id, text: `m${n}` })
  await sleep(1_000) // in which it looks for itself, and finds nobody
  await cable.open()
  await until(() => there.last() === 20 && stream.events.at(-1)?.id === 20)
  await hasAll(t, near, id, there.heard, 'the socket')
  await hasAll(t, near, id, stream.events.map(({ data }) => data), 'the stream')
  t.match(await there.socket.emitWithAck('send_message', { chat_session_id: id, text: 'Back' }), { messages: [{}, {}] })
})

t.test('one client id, 20 times at once by HTTP and by sockets: one message, one reply, 20 equal answers', { buffered: true }, async t => {
  const [one, two] = await startTwo(t)
  const ann = await one.as('ann')
  const watcher = await enter(t, one, ann)
  const id = await begin(watcher.socket)
  const sockets = await Promise.all([one, two, one, two].map(server => enter(t, server, ann)))
  const clients = [ann, two.clientOf(ann.headers)]
  const answers = await Promise.all(Array.from({ length: 20 }, async (_, n) => n % 2 === 0
    ? (await sockets[n % 4]!.socket.emitWithAck('send_message', { chat_session_id: id, text: 'Once', client_id: 'c1' })).messages
    : (await clients[n % 3 % 2]!.post(path(id), { text: ' Once', client_id: 'c1' })).json()))
  const bare = answers.map(messages => messages.map(({ chat_session_id, isLocal, ...message }: Live) => message))
  for (const answer of bare) t.same(answer, bare[0])
  t.same(texts(await logOf(one, id)), ['Once', 'You said: Once'])
  await until(() => watcher.heard.length === 2)
  await until(() => [0, 2].every(n => sockets[n]!.heard.some(({ sender }) => sender === 'bot')))
  for (const n of [0, 2]) t.equal(sockets[n]!.heard.filter(({ sender }) => sender === 'bot').length, 1)
  t.same(watcher.heard.map(({ rev }) => rev), [1, 2])
})

t.test('a network that is gone for 3 s while 200 messages are sent', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const bob = await server.as('bob')
  const sender = await enter(t, server, ann)
  const id = await begin(sender.socket, ['bob'], [])
  const cable = await layCable(t, { host: '127.0.0.1', port: server.port })
  await cable.open()
  const url = `http://127.0.0.1:${new URL(cable.url).searchParams.get('port')}`
  const socket = dial(t, url, { ...auth(bob), reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 })
  const { heard, join } = follow(socket)
  socket.on('connect', () => { join(id).catch(() => { /* cut again */ }) })
  await until(() => socket.connected)

  const sending = (async () => {
    for (let n = 0; n < 200; n++) {
      await sender.socket.emitWithAck('send_message', { chat_session_id: id, text: `m${n}` })
      await sleep(17)
    }
  })()
  await until(() => heard.length > 10)
  await cable.close()
  await sleep(3_000)
  await cable.open()
  await sending
  await until(() => heard.at(-1)?.rev === 200)
  t.same(texts(heard), Array.from({ length: 200 }, (_, n) => `m${n}`))
})

t.test('a stream: its headers, its form, and whose it is', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const url = `${server.url}/api/conversations/${id}/events`
  const bearer = await listen(t, url, { authorization: `Bearer ${tokenOf(ann)}`, origin: 'http://localhost:5173' })
  const cookie = await listen(t, url, { ...ann.headers, origin: 'https://evil.example' })
  t.match(bearer.headers, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'access-control-allow-origin': 'http://localhost:5173',
    'access-control-allow-credentials': 'true'
  })
  t.equal(cookie.headers['access-control-allow-origin'], undefined)
  const [mine, reply] = (await ann.post(path(id), { text: 'One\ntwo' })).json()
  await until(() => bearer.events.length === 2 && cookie.events.length === 2)
  const blocks = [mine, reply].map(message => `id: ${message.rev}\nevent: message\ndata: ${JSON.stringify(message)}\n\n`)
  t.equal(bearer.raw.join(''), `retry: 1000\nid: 0\n\n${blocks.join('')}`)
  for (const bad of ['-1', '1.5', 'x', String(Number.MAX_SAFE_INTEGER + 1)]) {
    t.equal((await listen(t, `${url}?after=${bad}`, ann.headers)).status, 400)
    t.equal((await listen(t, url, { ...ann.headers, 'last-event-id': bad })).status, 400)
  }
})

t.test('a client that does not read is cut, and the others go on', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const bob = await server.as('bob')
  const sender = await enter(t, server, ann)
  const reader = await enter(t, server, bob)
  const slow = await enter(t, server, bob)
  const id = await begin(sender.socket, ['bob'], [])
  await reader.join(id)
  await slow.join(id)
  const raw = net.connect(server.port, '127.0.0.1')
  t.teardown(() => raw.destroy())
  raw.on('error', () => { /* it is cut */ })
  raw.write(`GET /api/conversations/${id}/events HTTP/1.1\r\nHost: a\r\nCookie: ${bob.headers['cookie']}\r\n\r\n`)
  await once(raw, 'data')
  raw.pause()
  const { ws } = slow.socket.io.engine.transport as unknown as { ws: { pause: () => void, resume: () => void } }
  ws.pause()
  const before = await server.connections()
  let count = 0
  while (await server.connections() > before - 2 && count < 2_000) {
    count++
    await sender.socket.emitWithAck('send_message', { chat_session_id: id, text: '語'.repeat(8_000) })
  }
  t.comment(`${count} messages of 24 kB`)
  t.ok(count < 2_000, 'both are cut')
  ws.resume()
  await next(slow.socket, 'disconnect')
  await hasAll(t, server, id, reader.heard, 'who reads')
  const back = await enter(t, server, bob)
  await back.join(id, slow.last())
  await hasAll(t, server, id, [...slow.heard, ...back.heard], 'who comes back')

  await t.test('also who asks and asks and does not read', async t => {
    for (const transports of [['websocket'], ['polling']]) {
      const greedy = await enter(t, server, bob, { transports })
      const { ws } = greedy.socket.io.engine.transport as unknown as { ws?: { pause: () => void } }
      ws?.pause()
      for (let n = 0; n < 200; n++) greedy.socket.emit('join_chat', { chat_session_id: id }, () => {})
      const mine = await enter(t, server, bob)
      t.ok(await mine.join(id) > 1)
      greedy.socket.close()
    }
  })
})

t.test('using a socket is using the session; being there is not', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { socket } = await enter(t, server, ann)
  const quiet = async () => {
    await server.query("UPDATE sessions SET last_used_at = now() - interval '20 minutes'")
  }
  const minutes = async () => (await server.query('SELECT floor(extract(epoch FROM now() - last_used_at) / 60)::int AS ago FROM sessions'))[0].ago
  const id = await begin(socket)
  const stream = await listen(t, `${server.url}/api/conversations/${id}/events`, ann.headers)
  for (const [event, input] of [['start_chat', {}], ['send_message', { chat_session_id: id, text: 'Hi' }], ['join_chat', { chat_session_id: id }]] as const) {
    await quiet()
    const queries = server.watchQueries()
    await until(() => queries.filter(name => name === 'sessions_alive').length === 2)
    t.equal(await minutes(), 20, 'idle, though its session is looked at')
    await socket.emitWithAck(event, input)
    t.equal(await minutes(), 0, event)
  }
  t.equal(stream.events.length, 2)
})

t.test('who leaves while it is answered is followed no more', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  /** Nobody reads what is new in a conversation that nobody follows. */
  async function isFollowed (id: number) {
    const names = server.watchQueries()
    await ann.post(path(id), { text: 'Anybody?' })
    return names.includes('news')
  }

  const { socket } = await enter(t, server, ann)
  const id = await begin(socket)
  t.equal(await isFollowed(id), true)
  const gone = async (leave: () => void) => {
    const before = await server.connections()
    leave()
    await until(async () => await server.connections() < before)
  }
  await gone(() => socket.close())
  t.equal(await isFollowed(id), false)
  for (const [event, input, name] of [['send_message', { chat_session_id: id, text: 'Hi' }, 'append_messages'], ['join_chat', { chat_session_id: id }, 'news']] as const) {
    const { socket } = await enter(t, server, ann)
    const { asked, release } = server.hold(name)
    socket.emit(event, input)
    await asked
    await gone(() => socket.close())
    release()
    await until(async () => !await isFollowed(id))
    t.pass(event)
  }
  for (const after of ['', '?after=0']) {
    const { asked, release } = server.hold('news')
    const request = `GET /api/conversations/${id}/events${after} HTTP/1.1\r\nHost: a\r\nCookie: ${ann.headers['cookie']}\r\n\r\n`
    const raw = net.connect(server.port, '127.0.0.1')
    raw.write(request)
    await asked
    await gone(() => raw.destroy())
    release()
    await until(async () => !await isFollowed(id))
    t.pass(`a stream ${after}`)
  }
})

t.test('a stream whose reader must go while it catches up, and one that cannot be read', { buffered: true }, async t => {
  const server = await startLive(t)
  const open = async (username: string) => {
    const client = await server.as(username)
    const { id } = (await client.post('/api/conversations', { name: 'Plans', bots: [] })).json()
    for (let n = 0; n < 201; n++) await client.post(path(id), { text: `m${n}` })
    return { client, url: `${server.url}/api/conversations/${id}/events?after=0` }
  }
  const ann = await open('ann')
  const second = server.hold('news', 2)
  const leaving = await listen(t, ann.url, ann.client.headers)
  await second.asked
  await ann.client.post('/api/logout')
  await leaving.ended
  second.release()
  t.equal(leaving.events.length, 200)

  const bob = await open('bob')
  const broken = server.hold('news', 2)
  const cut = await listen(t, bob.url, bob.client.headers)
  await broken.asked
  broken.release(new UNAVAILABLE())
  await cut.ended
  const back = await listen(t, bob.url, { ...bob.client.headers, 'last-event-id': String(cut.events.at(-1)!.id) })
  await until(() => back.events.at(-1)?.id === 201)
  t.equal(cut.events.length + back.events.length, 201, 'it comes back and goes on')

  await t.test('a stream that is asked for when the server closes', async t => {
    const { asked, release } = server.hold('news')
    const answer = listen(t, bob.url, bob.client.headers)
    await asked
    server.app.server.keepAliveTimeout = 1
    const closed = server.app.close()
    await until(async () => (await server.anyone.get('/api/test').catch(() => ({ statusCode: 503 }))).statusCode === 503)
    release()
    t.equal((await answer).status, 503)
    await closed
  })
})

t.test('a listener that is closed while it connects', { buffered: true }, async t => {
  const db = createDb(await freshDatabase(t), silent)
  t.teardown(() => db.$client.end())
  const listener = createListener(db, silent)
  listener.start()
  await listener.close()
  t.same((await db.execute('SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = \'parley-listener\'')).rows, [])
})

t.test('a message that is in the log though its sender was told otherwise', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { socket, heard } = await enter(t, server, ann)
  const id = await begin(socket)
  await ann.post(path(id), { text: 'First' })
  await until(() => heard.length === 2)
  const pool = server.db.$client
  const query = pool.query.bind(pool)
  pool.query = (async (...args: [{ name?: string }]) => {
    const answer = await (query as (...args: unknown[]) => Promise<unknown>)(...args)
    if (args[0].name !== 'append_messages') return answer
    await until(() => heard.some(({ rev }) => rev === 4))
    throw new Error('Connection terminated unexpectedly')
  }) as never
  t.match(await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Second', client_id: 'c2' }), { code: 'UNAVAILABLE' })
  pool.query = query as never
  await until(() => heard.some(({ rev }) => rev === 3))
  t.match(await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Second', client_id: 'c2' }), { messages: [{ id: 3 }, { id: 4 }] })
  t.same(heard.map(({ rev }) => rev).sort(), [1, 2, 3, 4])
})

t.test('an upgrade to elsewhere is answered and closed, whoever asks', { buffered: true }, async t => {
  const server = await startLive(t)
  const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`
  for (const [path, answer] of [['/elsewhere', /^HTTP\/1\.1 404 /], ['/socket.io/', /^HTTP\/1\.1 400 /], ['/socket.io/?EIO=4&transport=websocket&sid=x', /^HTTP\/1\.1 400 /]] as const) {
    const raw = net.connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
    raw.write(ask(path))
    const [said] = await once(raw, 'data')
    t.match(String(said), answer)
    await until(async () => await server.connections() === 0)
    raw.destroy()
  }
  for (let n = 0; n < 20; n++) {
    const raw = net.connect(server.port, '127.0.0.1')
    await once(raw, 'connect')
    raw.write(ask('/elsewhere'))
    raw.resetAndDestroy()
  }
  await until(async () => await server.connections() === 0)
  t.equal((await server.anyone.get('/api/test')).statusCode, 200)
})

t.test('a follower that leaves while others are read does not keep them from hearing', async t => {
  const asked: number[][] = []
  let go = () => {}
  const feeds = {
    news: async (places: Array<{ conversation: number, after: number }>) => {
      asked.push(places.map(({ conversation }) => conversation))
      if (places.some(({ after }) => !Number.isSafeInteger(after))) throw new Error('invalid input syntax for type bigint: "Infinity"')
      if (asked.length === 1) await new Promise<void>(resolve => { go = resolve })
      return []
    },
    stale: async () => []
  }
  const warned: unknown[] = []
  const events = createEvents({ publish: async () => {}, subscribe () {} }, feeds, { warn: (...args: unknown[]) => { warned.push(args) } } as never)
  const follower = () => ({ user: 1, after: 0, hear () {}, leave () {} })
  events.follow(1, follower())
  const leave = [events.follow(1, { ...follower(), leave () { t.fail('it left by itself') } }), events.follow(2, follower())]
  for (const each of leave) each()
  go()
  await events.settle()
  t.same(warned, [])
  t.same(asked[0], [1])
})

t.test('who does not know yet what is being written reads it when it is stored', async t => {
  const read: number[][] = []
  const nothing = { lastRev: 0, members: new Set([1]), changes: [], more: false, streaming: [] }
  const feeds = {
    news: async (places: Array<{ conversation: number }>) => {
      read.push(places.map(({ conversation }) => conversation))
      return places.map(({ conversation }) => ({ ...nothing, conversation }))
    },
    stale: async () => []
  }
  const events = createEvents({ publish: async () => {}, subscribe () {} }, feeds, silent)
  const leave = events.follow(1, { user: 1, after: 0, hear () {}, grow () {}, leave () {} })
  await events.settle()
  events.stored([{ conversation: 1, id: 2, length: 10 }, { conversation: 2, id: 2, length: 10 }])
  await events.settle()
  t.same(read, [[1], [1]])
  leave()
})

t.test('who leaves while its session is looked at is not ended any more', async t => {
  let hear = (_ids: number[]) => {}
  const { watch } = createWatch({ publish: async () => {}, subscribe (_channel, listener) { hear = listener } }, async () => [])
  const ended: string[] = []
  const forget = watch(1, () => ended.push('left'))
  watch(2, () => ended.push('stays'))
  hear([1, 2])
  forget()
  await until(() => ended.length > 0)
  t.same(ended, ['stays'])
})

t.test('a proxy sees every 15 s that a stream is alive', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const stream = await listen(t, `${server.url}/api/conversations/${id}/events`, ann.headers)
  await until(() => stream.raw.join('') === 'retry: 1000\nid: 0\n\n')
  mock.timers.tick(15_000)
  await until(() => stream.raw.join('') === 'retry: 1000\nid: 0\n\n:\n\n')
  t.same(stream.events, [])
})

t.test('it closes with sockets, streams and who does not say goodbye', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { socket } = await enter(t, server, ann)
  const polling = await enter(t, server, ann, { transports: ['polling'] })
  const mute = await enter(t, server, ann)
  ;(mute.socket.io.engine.transport as unknown as { ws: { pause: () => void } }).ws.pause()
  const id = await begin(socket)
  const stream = await listen(t, `${server.url}/api/conversations/${id}/events`, ann.headers)
  const gone = Promise.all([next(socket, 'disconnect'), next(polling.socket, 'disconnect'), stream.ended])
  server.app.server.keepAliveTimeout = 1
  const began = performance.now()
  await server.app.close()
  t.ok(performance.now() - began < 5_000)
  await gone
})
