import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDb } from '../../../src/db/client.ts'
import { createListener } from '../../../src/db/listener.ts'
import { freshDatabase, silent } from '../../support/helper.ts'
import { CUT, dial, follow, listen, refused, startLive, type Live } from '../../support/live.ts'
import { layCable, until } from '../../support/process.ts'
import { isPrompt } from '../../support/prompt.ts'
import { auth, begin, enter, hasAll, logOf, path, startTwo, texts } from '../../support/socket-users.ts'

// Live events on one instance and between two instances, also when a connection is lost.

t.jobs = 4 // for tests that are `buffered`

t.test('a socket that joins while others write as fast as they can gets every message once', async t => {
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

t.test('missed messages are sent in pages', { buffered: true }, async t => {
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

  await t.test('pages with long messages have fewer messages, so that no page is too large', async t => {
    await fill(100, 8_000)
    await fill(1, 100_000)
    const { heard, join } = await enter(t, server, ann)
    t.ok(await join(id, 1_207) >= 9)
    await hasAll(t, server, id, [...streams[0]!.events.map(({ data }) => data).filter(({ rev }) => rev <= 1_207), ...heard], 'the socket that joined by pages')
    const stream = await listen(t, `${url}?after=0`, ann.headers)
    await until(() => stream.events.at(-1)?.id === 1_308)
    t.equal(stream.events.length, 1_308)
  })
})

t.test('messages between two instances', async t => {
  const [one, two] = await startTwo(t)
  const ann = await one.as('ann')
  const here = await enter(t, one, ann)
  const there = await enter(t, two, ann)
  const id = await begin(here.socket)
  await there.join(id)
  const stream = await listen(t, `${two.url}/api/conversations/${id}/events`, ann.headers)
  const send = async (text: string) => {
    const began = performance.now()
    const { messages: [, reply] } = await here.socket.emitWithAck('send_message', { chat_session_id: id, text })
    await until(() => there.last() === reply.rev && stream.events.at(-1)?.id === reply.rev)
    isPrompt(t, began, 2_000, text)
  }
  await t.test('a message at one instance reaches sockets at the other one', async () => { await send('Over there?') })
  await t.test('also if the LISTEN connection is cut', async () => {
    await one.query(CUT)
    await send('Cut')
  })
  await t.test('also if no notification can be sent', async () => {
    await one.query('ALTER FUNCTION pg_notify RENAME TO pg_notify_away')
    await send('Lost')
    await one.query('ALTER FUNCTION pg_notify_away RENAME TO pg_notify')
  })
  await t.test('also if others send invalid notifications', async () => {
    for (const channel of ['conversations', 'sessions']) {
      for (const payload of ['', 'text', '{}', '7', 'null', '["a", null, {}]', '[1e99]']) await one.query('SELECT pg_notify($1, $2)', [channel, payload])
    }
    await send('Noise')
  })
  await hasAll(t, one, id, there.heard, 'the socket at the other instance')
})

t.test('while the database is down, and after it is back', { buffered: true }, async t => {
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
  await sleep(1_000) // in this time the instance polls, and does not reach the database
  await cable.open()
  await until(() => there.last() === 20 && stream.events.at(-1)?.id === 20)
  await hasAll(t, near, id, there.heard, 'the socket')
  await hasAll(t, near, id, stream.events.map(({ data }) => data), 'the stream')
  t.match(await there.socket.emitWithAck('send_message', { chat_session_id: id, text: 'Back' }), { messages: [{}, {}] })
})

t.test('a network that is down for 3 s while 200 messages are sent', { buffered: true }, async t => {
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
  socket.on('connect', () => { join(id).catch(() => { /* disconnected again */ }) })
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

t.test('a listener that is closed while it connects', { buffered: true }, async t => {
  const db = createDb(await freshDatabase(t), silent)
  t.teardown(() => db.$client.end())
  const listener = createListener(db, silent)
  listener.start()
  await listener.close()
  t.same((await db.execute('SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = \'parley-listener\'')).rows, [])
})
