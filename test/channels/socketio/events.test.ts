import t, { type Test } from 'tap'
import { API_KEY } from '../../support/helper.ts'
import { connect, next, refused, startLive, type Live, type Refusal } from '../../support/live.ts'
import { MAX_CONTAINERS } from '../../../src/text/json-scanner.ts'
import { until } from '../../support/process.ts'
import { begin, enter, hasAll, logOf, path, startTwo, texts } from '../../support/socket-users.ts'

// Socket events: the contract, refused events, and limits on the number of events.

t.jobs = 4 // for tests that are `buffered`

t.test('the events of the contract', { buffered: true }, async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const bob = await server.as('bob')
  const here = await enter(t, server, ann)
  const device = await enter(t, server, ann)
  const there = await enter(t, server, bob)

  await t.test('start_chat, with and without arguments', async t => {
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
    t.same(here.heard, [reply], 'the sender gets the reply')
    t.same(device.heard, [mine, reply], 'the sender’s other device gets the message with `isLocal: true`')
    t.same(there.heard, [{ ...mine, isLocal: false }, reply], 'other members get it with `isLocal: false`')

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

t.test('errors are sent as an `error` event and as an acknowledgement', { buffered: true }, async t => {
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

  await t.test('each error has its code', async t => {
    await wrong(t, 'send_message', { chat_session_id: id + 1, text: 'Hi' }, 'CHAT_SESSION_NOT_FOUND')
    await wrong(t, 'join_chat', { chat_session_id: id + 1 }, 'CHAT_SESSION_NOT_FOUND')
    await wrong(t, 'start_chat', { users: ['nobody'] }, 'USER_NOT_FOUND')
    await wrong(t, 'start_chat', { bots: ['nobody'] }, 'BOT_NOT_FOUND')
    await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hi', client_id: 'c' })
    await wrong(t, 'send_message', { chat_session_id: id, text: 'Ho', client_id: 'c' }, 'IDEMPOTENCY_MISMATCH')
    const { token } = (await server.anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
    const guest = await connect(t, server.url, { auth: { token } })
    await wrong(t, 'start_chat', { users: ['ann'] }, 'NOT_FOR_GUESTS', guest)
    t.ok((await guest.emitWithAck('start_chat')).chat_session_id, 'a guest can start a chat')
  })

  await t.test('an acknowledgement of an unknown event says so, and other unknown events are ignored', async t => {
    for (const event of ['send_mesage', 'toString', '__proto__']) t.same(await socket.emitWithAck(event, { chat_session_id: id, text: 'Hi' }), { code: 'INVALID_REQUEST', error: 'There is no event of this name' }, event)
    let errors = 0
    socket.on('error', () => errors++)
    socket.emit('typing', { chat_session_id: id })
    await socket.emitWithAck('join_chat', { chat_session_id: id })
    t.equal(errors, 0)
    socket.off('error')
  })

  await t.test('payloads of any type', async t => {
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
    await wrong(t, 'start_chat', JSON.parse('{"__proto__": {"name": "x"}}'), 'INVALID_JSON')
    socket.emit('send_message', 'no acknowledgement')
    t.match(await next(socket, 'error'), { code: 'INVALID_MESSAGE' })
    socket.emit('nothing that we know', {})
    for (const [open, close] of [['[', ']'], ['{"a":', '}']] as const) {
      const deepest = `${open.repeat(10_000)}1${close.repeat(10_000)}`
      socket.io.engine.write(`2["send_message",${deepest}]`)
      t.match(await next(socket, 'error'), { code: 'INVALID_MESSAGE' }, 'a payload that is nested as deeply as its size allows')
    }
    const long = '🎵'.repeat(8000)
    t.match(await socket.emitWithAck('send_message', { chat_session_id: id, text: long }), { messages: [{ text: long }, {}] }, '8,000 characters are fine')
  })

  await t.test('internal errors are not shown', async t => {
    await server.query('ALTER TABLE conversation_bots RENAME TO hidden')
    await wrong(t, 'send_message', { chat_session_id: id, text: 'Hi' }, 'INTERNAL')
    await server.query('ALTER TABLE hidden RENAME TO conversation_bots')
    t.match(await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hi' }), { messages: [{}, {}] })
  })
})

t.test('an event that is too long is refused, and the next one is answered', { buffered: true }, async t => {
  const MIB = 1024 * 1024
  const server = await startLive(t)
  const ann = await server.as('ann')
  for (const transport of ['websocket', 'polling']) {
    const { socket } = await enter(t, server, ann, { transports: [transport] })
    const id = await begin(socket)
    const started = await server.query('SELECT FROM conversations')
    const inputs: Array<[event: string, input: unknown]> = [
      ['start_chat', { name: 'x'.repeat(130 * 1024) }],
      ['start_chat', { users: Array.from({ length: 300_000 }, (_, n) => `user ${n}`) }],
      ['start_chat', { name: 'x'.repeat(3 * MIB) }],
      ['send_message', { chat_session_id: id, text: 'x'.repeat(3 * MIB) }],
      ['send_message', { chat_session_id: id, text: Buffer.alloc(2 * MIB) }],
      ['send_message', { chat_session_id: id, text: 'x'.repeat(2 * MIB), file: Buffer.from('binary') }],
      ['join_chat', { chat_session_id: id, after: 'x'.repeat(65 * 1024) }],
      ['join_chat', 'x'.repeat(3 * MIB)]
    ]
    for (const [event, input] of inputs) {
      const error = next<Refusal>(socket, 'error')
      const answer = await socket.emitWithAck(event, input) as Refusal
      t.match(answer, { code: 'INVALID_MESSAGE', error: /^[^<]+$/ }, `${event} by ${transport}`)
      t.same(await error, answer)
    }
    const tooLong = await socket.emitWithAck('join_chat', 'x'.repeat(3 * MIB)) as Refusal
    const lists = await socket.emitWithAck('send_message', { chat_session_id: id, text: Array(MAX_CONTAINERS).fill([]) }) as Refusal
    t.same(lists, tooLong, 'what has too many objects and lists is not read either')
    socket.emit('nothing that we know', 'x'.repeat(MIB))
    const reply = next<Live>(socket, 'new_message')
    t.match(await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hi' }), { messages: [{ text: 'Hi' }, {}] }, 'the next one is answered')
    t.equal((await reply).text, 'You said: Hi')
    t.same(await server.query('SELECT FROM conversations'), started, 'no conversation was created')

    const escaped = String.raw`\ud83d\ude00`.repeat(8000)
    socket.io.engine.write(`2["send_message",{"chat_session_id":${id},"text":"${escaped}"}]`)
    const heard = await next<Live>(socket, 'new_message')
    t.equal(heard.text, `You said: ${'😀'.repeat(8000)}`, 'a message of the maximum length fits, however it is escaped')

    const gone = next(socket, 'disconnect')
    socket.emit('start_chat', { name: 'x'.repeat(4 * MIB) })
    await gone
  }
  t.equal((await ann.get('/api/me')).statusCode, 200)
})

t.test('a handshake that is too long is refused, and a client that sends an acknowledgement that is too long is disconnected', { buffered: true }, async t => {
  const server = await startLive(t)
  const { data } = await refused(t, server.url, { auth: { token: 'x'.repeat(5_000) } })
  t.match(data, { code: 'INVALID_TOKEN' }, 'a token that is too long')
  t.match((await refused(t, server.url, { auth: { token: 'x'.repeat(3_000_000) } })).data, { code: 'INVALID_TOKEN' })
  const { socket } = await enter(t, server, await server.as('ann'))
  const gone = next(socket, 'disconnect')
  socket.io.engine.write(`30["${'x'.repeat(70_000)}"]`)
  await gone
})

t.test('a user can send 20 messages in 10 s, and 600 events in a minute', { buffered: true }, async t => {
  const server = await startLive(t, { RATE_LIMITS: 'on' })
  const ann = await server.as('ann')
  const bob = await server.as('bob')
  const one = await enter(t, server, ann)
  const two = await enter(t, server, ann)
  const id = await begin(one.socket, ['bob'])
  const answers = await Promise.all(Array.from({ length: 25 }, (_, n) =>
    [one, two][n % 2]!.socket.emitWithAck('send_message', { chat_session_id: id, text: `m${n}` })))
  t.equal(answers.filter(({ messages }) => messages?.length === 2).length, 19, 'start_chat counts as one of the 20 messages')
  t.equal(answers.filter(({ code }) => code === 'TOO_MANY_REQUESTS').length, 6)
  t.match(await two.socket.emitWithAck('start_chat'), { code: 'TOO_MANY_REQUESTS', error: /wait/ })
  const { socket } = await enter(t, server, bob)
  t.match(await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Mine are mine' }), { messages: [{}, {}] })

  const asked = await Promise.all(Array.from({ length: 600 }, () => socket.emitWithAck('join_chat', { chat_session_id: id, after: 100 })))
  t.same(asked.map(({ code }) => code).filter(Boolean), ['TOO_MANY_REQUESTS'])
})

t.test('a socket that joins and sends at the same time gets each reply once', { buffered: true }, async t => {
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

t.test('the same client id in 20 concurrent requests by HTTP and sockets: one message, one reply, 20 equal responses', { buffered: true }, async t => {
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

t.test('a message that was stored although its sender got an error', { buffered: true }, async t => {
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
