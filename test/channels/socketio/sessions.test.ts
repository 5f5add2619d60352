import t from 'tap'
import { once } from 'node:events'
import net from 'node:net'
import { createWatch } from '../../../src/accounts/session-watch.ts'
import type { Client, Headers } from '../../support/helper.ts'
import { connect, CUT, dial, follow, listen, next, refused, startLive, tokenOf } from '../../support/live.ts'
import { until } from '../../support/process.ts'
import { isPrompt } from '../../support/prompt.ts'
import { auth, begin, enter, list, logOf, startTwo } from '../../support/socket-users.ts'

// Which clients may connect and receive events, and what is closed when a session or membership ends.

t.jobs = 4 // for tests that are `buffered`

t.test('a connection needs a valid token', { buffered: true }, async t => {
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

  await t.test('clients that begin with polling and upgrade to WebSocket, like the first ones', async t => {
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

t.test('pages of other sites cannot connect', { buffered: true }, async t => {
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
    const elsewhere: Headers[] = [{ origin: 'https://evil.example' }, { origin: 'null' }, { origin: 'http://localhost:3000.evil.example' }, { 'sec-fetch-site': 'cross-site' }]
    for (const headers of elsewhere) {
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

t.test('an ended session closes its sockets and streams, also at the other instance', async t => {
  const [one, two] = await startTwo(t)
  const sidOf = (client: Client) => one.app.jwt.decode<{ sid: number }>(tokenOf(client))!.sid
  const bySql = (change: string) => async (client: Client) => { await one.query(`UPDATE sessions SET ${change} WHERE id = $1`, [sidOf(client)]) }
  const ways: Record<string, (client: Client) => Promise<unknown>> = {
    'a logout': client => client.post('/api/logout'),
    'a new password': client => client.patch('/api/me', { password: 'battery staple', current_password: 'correct horse' }),
    'a session that is ended from another device': async client => {
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
      await end(client)
      const after = performance.now()
      if (!way.includes('last second') && !way.includes('half an hour')) {
        t.equal((await two.clientOf(client.headers).get('/api/conversations')).statusCode, 401, `${way}: the next request`)
      }
      t.same((await gone).slice(0, 2), ['io server disconnect', 'io server disconnect'])
      isPrompt(t, after, 1_000, `${way}, ${isCut ? 'without a notification' : 'with a notification'}: closed`)
      t.equal((await two.clientOf(client.headers).get('/api/conversations')).statusCode, 401)
      t.equal((await refused(t, two.url, auth(client))).data!.code, 'INVALID_TOKEN')
    }
  }
})

t.test('a stranger, a former member and an ended session get no data, for every event', { buffered: true }, async t => {
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
  isPrompt(t, began, 1_000, 'the stream closes')
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
    // The regular session check may close the socket first, or while the event is handled.
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

t.test('a member is removed from a quiet conversation, and a conversation is deleted', { buffered: true }, async t => {
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
    isPrompt(t, began, 1_000, 'the stream closes')
    t.match(await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hi' }), { code: 'CHAT_SESSION_NOT_FOUND' })
  }
})

t.test('sending events on a socket keeps the session alive; a mere connection does not', { buffered: true }, async t => {
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
    t.equal(await minutes(), 20, 'the session counts as idle, although it is checked regularly')
    await socket.emitWithAck(event, input)
    t.equal(await minutes(), 0, event)
  }
  t.equal(stream.events.length, 2)
})

t.test('a WebSocket upgrade on another path is answered and closed, for every client', { buffered: true }, async t => {
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

t.test('a socket that disconnects while its session is checked is not closed again', async t => {
  let hear = (_ids: number[]) => {}
  const { watch } = createWatch('sessions', { publish: async () => {}, subscribe (_channel, listener) { hear = listener } }, async () => [])
  const ended: string[] = []
  const forget = watch(1, () => ended.push('left'))
  watch(2, () => ended.push('stays'))
  hear([1, 2])
  forget()
  await until(() => ended.length > 0)
  t.same(ended, ['stays'])
})
