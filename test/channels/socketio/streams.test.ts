import t from 'tap'
import { once } from 'node:events'
import net from 'node:net'
import { mock } from 'node:test'
import { UNAVAILABLE } from '../../../src/errors.ts'
import { listen, next, startLive, tokenOf } from '../../support/live.ts'
import { until } from '../../support/process.ts'
import { isPrompt } from '../../support/prompt.ts'
import { begin, enter, hasAll, path } from '../../support/socket-users.ts'

// Event streams, and connections that are slow, are closed by the client or by the server.

t.jobs = 4 // for tests that are `buffered`

t.test('a stream: its headers, its format, and who may read it', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const url = `${server.url}/api/conversations/${id}/events`
  const bearer = await listen(t, url, { authorization: `Bearer ${tokenOf(ann)}`, origin: 'http://localhost:5173' })
  const cookie = await listen(t, url, { ...ann.headers, origin: 'https://evil.example' })
  t.match(bearer.headers, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store, no-transform',
    'access-control-allow-origin': 'http://localhost:5173',
    'access-control-allow-credentials': 'true'
  })
  t.equal(cookie.headers['access-control-allow-origin'], undefined)
  const [mine, reply] = (await ann.post(path(id), { text: 'One\ntwo' })).json()
  await until(() => bearer.events.length === 2 && cookie.events.length === 2)
  const blocks = [mine, reply].map(message => `id: ${message.rev}\nevent: message\ndata: ${JSON.stringify(message)}\n\n`)
  t.equal(bearer.raw.join(''), `:\nretry: 1000\n${blocks.join('')}`)
  for (const bad of ['-1', '1.5', 'x', String(Number.MAX_SAFE_INTEGER + 1)]) {
    t.equal((await listen(t, `${url}?after=${bad}`, ann.headers)).status, 400)
    t.equal((await listen(t, url, { ...ann.headers, 'last-event-id': bad })).status, 400)
  }
})

t.test('a client that does not read is disconnected, and others are not affected', async t => {
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
  raw.on('error', () => { /* the server closes it */ })
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
  t.ok(count < 2_000, 'both are disconnected')
  ws.resume()
  await next(slow.socket, 'disconnect')
  await hasAll(t, server, id, reader.heard, 'the client that reads')
  const back = await enter(t, server, bob)
  await back.join(id, slow.last())
  await hasAll(t, server, id, [...slow.heard, ...back.heard], 'the client that reconnected')

  await t.test('a client that sends events without reading the acknowledgements is disconnected, too', async t => {
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

t.test('a page of more than 1 MiB waits for a client that polls', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const text = '語'.repeat(99_000)
  const parts = [{ type: 'text', text }, ...Array.from({ length: 31 }, () => ({ type: 'data', name: 'more', data: 'x'.repeat(16_000) }))]
  await server.query('INSERT INTO messages (conversation_id, id, rev, sender, text, parts) VALUES ($1, 1, 1, \'bot\', $2, $3)', [id, text, JSON.stringify(parts)])
  await server.query('UPDATE conversations SET last_rev = 1')
  const poll = async (sid: string, body?: string) => {
    const answer = await fetch(`${server.url}/socket.io/?EIO=4&transport=polling${sid}`, { ...body !== undefined && { method: 'POST', body }, headers: ann.headers })
    return await answer.text()
  }
  const sid = `&sid=${JSON.parse((await poll('')).slice(1)).sid}`
  await poll(sid, '40')
  t.match(await poll(sid), /^40/)
  const queries = server.watchQueries()
  await poll(sid, `420["join_chat",{"chat_session_id":${id}}]`)
  await until(() => queries.filter(name => name === 'news').length === 2) // the first one reads the missed messages, the second one is that of the new follower
  t.match(await poll(sid), /^430\[\{"messages":\[\{/)
})

t.test('a client that disconnects during a response is not followed any more', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  /** Checks that changes of a conversation without followers are not read. */
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

t.test('a stream whose reader is removed while it catches up, and one that cannot be read', { buffered: true }, async t => {
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
  t.equal(cut.events.length + back.events.length, 201, 'it reconnects and continues')

  await t.test('a stream that is requested while the server shuts down', async t => {
    const { asked, release } = server.hold('news')
    const answer = listen(t, bob.url, bob.client.headers)
    await asked
    server.app.server.keepAliveTimeout = 1
    const closed = server.app.close()
    await back.ended // streams are no longer opened by now
    release()
    t.equal((await answer).status, 503)
    await closed
  })
})

t.test('a stream sends a keep-alive every 15 s', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const stream = await listen(t, `${server.url}/api/conversations/${id}/events`, ann.headers)
  await until(() => stream.raw.join('') === ':\n')
  mock.timers.tick(15_000)
  await until(() => stream.raw.join('') === ':\n:\n')
  t.same(stream.events, [])
})

t.test('a server with open sockets, streams and unresponsive clients shuts down', async t => {
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
  isPrompt(t, began, 2_000)
  await gone
})
