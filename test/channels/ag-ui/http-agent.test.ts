import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { Message } from '@ag-ui/client'
import { createFront, saidIn, says } from '../../support/ag-ui.ts'
import { holdLock } from '../../support/helper.ts'
import { bearer, startIssuer, trusting } from '../../support/issuer.ts'
import { startLive, tokenOf } from '../../support/live.ts'
import { until } from '../../support/process.ts'
import { isStored, rowOf } from '../../support/slow-replies.ts'

// `HttpAgent` of AG-UI's own client at our door. After each run, every event is checked by the protocol's schemas.

/** Ann, and a thread of hers with a bot that says what the test makes it say. */
async function start (t: Test) {
  const server = await startLive(t)
  server.bots.takeOver()
  const ann = await server.as('ann')
  const number = await server.slowChat(ann)
  await server.query("UPDATE conversations SET client_id = 'thread'")
  const { url, bots } = server
  return {
    ...server,
    ann,
    number,
    front: { url, headers: ann.headers, threadId: 'thread' },
    /** The bot's next reply, said at once. */
    async reply (times: number, text: string) {
      const { say, end } = await bots.call(times)
      say(text)
      end()
    }
  }
}

const typesOf = async ({ events }: ReturnType<typeof createFront>) => (await events()).map(({ type }) => type)

t.test('a new thread, with an id that the client made up, and a second run in it', async t => {
  const { url, ann, query } = await start(t)
  const front = createFront({ url, headers: ann.headers })
  const { newMessages } = await front.send('Hello there')
  t.match(newMessages, [{ id: 'm2', role: 'assistant', name: 'simulated', content: 'You said: Hello there' }])
  t.match(await front.events(), [
    { type: 'RUN_STARTED', threadId: front.agent.threadId, runId: /^[\da-f-]{36}$/, protocolVersion: '1.0' },
    { type: 'TEXT_MESSAGE_START', messageId: 'm2', role: 'assistant', name: 'simulated' },
    { type: 'TEXT_MESSAGE_CONTENT', messageId: 'm2', delta: 'You said: Hello there' },
    { type: 'TEXT_MESSAGE_END', messageId: 'm2' },
    { type: 'RUN_FINISHED', threadId: front.agent.threadId }
  ])
  await front.send('Again')
  t.same(saidIn(front), ['user: Hello there', 'simulated: You said: Hello there', 'user: Again', 'simulated: You said: Again'])
  t.same(await query('SELECT name, client_id FROM conversations ORDER BY id DESC LIMIT 1'), [{ name: 'Hello there', client_id: front.agent.threadId }])
})

t.test('a reply that grows, piece by piece', async t => {
  const { front: place, bots } = await start(t)
  const front = createFront(place)
  const sent = front.send('Hello')
  const { say, end } = await bots.call(1)
  say('One')
  await says(front, 'slow: One')
  t.equal(front.agent.isRunning, true)
  say(' two')
  await says(front, 'slow: One two')
  end()
  await sent
  t.same(await typesOf(front), ['RUN_STARTED', 'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT', 'TEXT_MESSAGE_CONTENT', 'TEXT_MESSAGE_END', 'RUN_FINISHED'])
  t.same(front.outcomes, ['success'])
})

t.test('a run begins before the bot says anything', async t => {
  const { front: place, bots } = await start(t)
  const front = createFront(place)
  let hasStarted = false
  front.agent.subscribe({ onRunStartedEvent () { hasStarted = true } })
  const sent = front.send('Hello')
  const { end, say } = await bots.call(1)
  await until(() => hasStarted)
  t.same(saidIn(front), ['user: Hello'])
  say('Hi')
  end()
  await sent
})

t.test('two bots of one conversation are two messages, which grow at the same time', async t => {
  const { front: place, bots, ann, query, number } = await start(t)
  await query("INSERT INTO chatbots (name, engine) VALUES ('calm', 'webhook')")
  await ann.post(`/api/conversations/${number}/bots`, { name: 'calm' })
  const front = createFront(place)
  const sent = front.send('@slow @calm Hello')
  const one = await bots.call(1)
  one.say('One')
  await says(front, 'slow: One')
  one.end()
  const two = await bots.call(2)
  two.say('Two')
  await says(front, 'calm: Two')
  two.end()
  await sent
  t.same(saidIn(front), ['user: @slow @calm Hello', 'slow: One', 'calm: Two'])
  t.equal((await typesOf(front)).filter(type => type === 'TEXT_MESSAGE_START').length, 2)
  await front.send('Nobody')
  t.same(await typesOf(front), ['RUN_STARTED', 'RUN_FINISHED'], 'no bot is named')
  t.equal(bots.calls.length, 2)

  const calm = createFront({ ...place, path: '/api/ag-ui/calm', messages: front.agent.messages })
  const asked = calm.send('And you?', 'third')
  const three = await bots.call(3)
  t.match(three.turns.at(-1), { text: 'And you?' })
  three.say('Three')
  three.end()
  await asked
  t.equal(saidIn(calm).at(-1), 'calm: Three', 'the bot in the path is asked without a mention')
})

t.test('one of two replies fails: the run fails when the other one has ended', async t => {
  const { front: place, bots, ann, query, number } = await start(t)
  await query("INSERT INTO chatbots (name, engine) VALUES ('calm', 'webhook')")
  await ann.post(`/api/conversations/${number}/bots`, { name: 'calm' })
  const front = createFront(place)
  const sent = front.send('@slow @calm Hello')
  const one = await bots.call(1)
  one.say('One')
  await says(front, 'slow: One')
  one.fail(new Error('gone'))
  const two = await bots.call(2)
  two.say('Two')
  await says(front, 'calm: Two')
  two.end()
  await sent
  t.same(front.errors, [{ message: 'The reply broke off before it was complete.', code: 'BOT_BROKE_OFF' }])
  t.same(saidIn(front).slice(1), ['slow: One', 'calm: Two'])
  t.equal((await typesOf(front)).at(-1), 'RUN_ERROR')
})

t.test('a reply that fails: its text stays, and one without a text leaves no message behind', async t => {
  const { front: place, bots, reply } = await start(t)
  const front = createFront(place)
  const sent = front.send('Hello')
  const { say, fail } = await bots.call(1)
  say('One')
  await says(front, 'slow: One')
  fail(new Error('gone'))
  await sent
  t.same(front.errors, [{ message: 'The reply broke off before it was complete.', code: 'BOT_BROKE_OFF' }])
  t.same(front.outcomes, [])
  t.same(await typesOf(front), ['RUN_STARTED', 'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT', 'TEXT_MESSAGE_END', 'RUN_ERROR'])
  const again = front.send('And now?')
  const second = await bots.call(2)
  second.fail(new Error('gone'))
  await again
  t.equal(front.errors.length, 2)
  t.same(saidIn(front), ['user: Hello', 'slow: One', 'user: And now?'])
  const loaded = createFront(place)
  await loaded.run()
  t.same(saidIn(loaded), ['ann: Hello', 'slow: One', 'ann: And now?'], 'the same when the thread is loaded')
  await Promise.all([front.run(), reply(3, 'Well')])
  t.same(saidIn(front).at(-1), 'slow: Well', 'the next run on the same message asks again')
})

t.test('what is refused comes with its status, and with the sentence in the error', async t => {
  const { url, front: place, ann, bots, query } = await start(t)
  const refusal = async (options: Partial<Parameters<typeof createFront>[0]>, text = 'Hello') => {
    const front = createFront({ ...place, ...options })
    return await front.send(text).then(() => undefined, (error: Error & { status?: number, payload?: { code: string, error: string } }) => ({ status: error.status, ...error.payload }))
  }
  t.match(await refusal({ headers: {} }), { status: 401, code: 'UNAUTHORIZED', error: 'Please log in' })
  t.match(await refusal({ threadId: '999999' }), { status: 404, code: 'CONVERSATION_NOT_FOUND', error: 'Conversation not found' })
  t.match(await refusal({ path: '/api/ag-ui/nobody' }), { status: 404, code: 'BOT_NOT_FOUND', error: 'Bot not found' })
  t.match(await refusal({ path: '/api/ag-ui/nobody', threadId: 'new' }), { status: 404, code: 'BOT_NOT_FOUND' })
  t.match(await refusal({ path: '/api/ag-ui/not%20a%20name' }), { status: 400, code: 'INVALID_REQUEST' })
  t.match(await refusal({}, 'x'.repeat(8_001)), { status: 400, error: 'messages.content may have at most 8,000 characters' })
  t.match(await refusal({}, '   '), { status: 400, error: 'messages.content has no text' })
  t.match(await refusal({ threadId: 'é' }), { status: 400, error: 'threadId may contain only printable ASCII characters' })
  t.match(await refusal({}, 'x'.repeat(4 * 1024 * 1024)), { status: 413, code: 'BODY_TOO_LARGE', error: 'The body is larger than 4 MiB' })
  t.same(await query("SELECT FROM conversations WHERE client_id <> 'thread'"), [], 'nothing was begun')

  await query('UPDATE users SET budget_tokens = 1')
  await query("INSERT INTO reply_costs (user_id, status, prompt_tokens, completion_tokens) SELECT id, 'complete', 5, 5 FROM users")
  t.match(await refusal({}), { status: 429, code: 'BUDGET_SPENT', error: 'The tokens for today are spent, please try again tomorrow' })
  await query('UPDATE users SET budget_tokens = NULL')
  const fronts = ['one', 'two', 'three'].map(threadId => createFront({ url, headers: ann.headers, threadId, path: '/api/ag-ui/slow' }))
  const sent = fronts.map(front => front.send('Hello', front.agent.threadId))
  await bots.call(3)
  t.match(await refusal({ threadId: 'four', path: '/api/ag-ui/slow' }), { status: 429, code: 'TOO_MANY_REPLIES' })
  for (const { end } of bots.calls) end()
  await Promise.all(sent)
})

t.test('a client that aborts stops nothing, and the same run follows the reply that is under way', async t => {
  const server = await start(t)
  const { front: place, bots, ann } = server
  const front = createFront(place)
  const sent = front.send('Hello')
  const { say, end, signal } = await bots.call(1)
  say('One')
  await says(front, 'slow: One')
  await isStored(server, 2, 'One')
  front.agent.abortRun()
  await sent
  t.equal(signal.aborted, false)
  const asked = front.agent.messages.slice(0, 1)

  const tab = createFront({ ...place, messages: asked })
  const followed = tab.run()
  await says(tab, 'slow: One')
  const loaded = createFront(place)
  const loading = loaded.run()
  await says(loaded, 'slow: One')
  t.same(saidIn(loaded), ['ann: Hello', 'slow: One'], 'a run without a message of the user loads the thread')
  say(' two')
  end()
  await Promise.all([followed, loading])
  for (const each of [tab, loaded]) {
    t.equal(saidIn(each).at(-1), 'slow: One two', 'without a duplicate')
    t.same(each.outcomes, ['success'])
  }
  t.same(await typesOf(loaded), ['RUN_STARTED', 'MESSAGES_SNAPSHOT', 'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT', 'TEXT_MESSAGE_CONTENT', 'TEXT_MESSAGE_END', 'RUN_FINISHED'])
  const late = createFront({ ...place, messages: tab.agent.messages })
  await late.run()
  t.same(await typesOf(late), ['RUN_STARTED', 'MESSAGES_SNAPSHOT', 'RUN_FINISHED'], 'nothing is under way')
  t.same(late.agent.messages, [{ id: 'message-1', role: 'user', content: 'Hello', name: 'ann' }, { id: 'm2', role: 'assistant', content: 'One two', name: 'slow' }])
  const nobody = createFront({ ...place, threadId: 'new' })
  await nobody.run()
  t.same(await typesOf(nobody), ['RUN_STARTED', 'RUN_FINISHED'], 'a thread that has not begun')
  t.equal(bots.calls.length, 1)
  t.equal((await ann.get('/api/chat/thread')).json().length, 2)
})

t.test('a thread that is loaded shows a reply that is under way in its place', async t => {
  const server = await start(t)
  const { front: place, bots, ann, number } = server
  const front = createFront(place)
  const sent = front.send('First')
  const one = await bots.call(1)
  one.think('Hm')
  one.say('One')
  await says(front, 'slow: One')
  await isStored(server, 2, 'One')
  const second = ann.post(`/api/conversations/${number}/messages`, { text: 'Second' })
  await until(async () => (await ann.get('/api/chat/thread')).json().length === 4)
  const loaded = createFront(place)
  const known = createFront({ ...place, messages: structuredClone(front.agent.messages) })
  const loading = [loaded, known].map(each => each.run())
  for (const each of [loaded, known]) await until(() => saidIn(each).includes('slow: One') && saidIn(each).includes('ann: Second'))
  one.say(' more')
  one.end()
  const two = await bots.call(2)
  two.say('Two')
  two.end()
  await Promise.all([sent, second, ...loading])
  const all = ['ann: First', 'reasoning: Hm', 'slow: One more', 'ann: Second', 'slow: Two']
  for (const each of [loaded, known]) t.same(saidIn(each), all)
})

t.test('reasoning is shown apart from the text: in a run, when it is resumed, and when the thread is loaded', async t => {
  const server = await start(t)
  const { front: place, bots, ann } = server
  const front = createFront(place)
  const sent = front.send('Hello')
  const { think, say, give, end } = await bots.call(1)
  think('They greet')
  await says(front, 'reasoning: They greet')
  say('Well')
  await says(front, 'slow: Well')
  await isStored(server, 2, 'Well')
  const again = createFront({ ...place, messages: structuredClone(front.agent.messages) })
  const loading = again.run('load')
  await until(() => saidIn(again)[0] === 'ann: Hello' && saidIn(again).at(-1) === 'slow: Well')
  t.same(saidIn(again), ['ann: Hello', 'reasoning: They greet', 'slow: Well'], 'what the client had is not doubled')
  say(' then')
  give({ part: { type: 'choices', choices: [{ id: 'y', title: 'Yes' }] }, isSaid: false })
  end()
  await Promise.all([sent, loading])
  const text = 'slow: Well then\n\n- Yes'
  t.same(saidIn(front), ['user: Hello', 'reasoning: They greet', text], 'choices are said in words')
  t.same(saidIn(again), ['ann: Hello', 'reasoning: They greet', text])
  t.same(await typesOf(front), [
    'RUN_STARTED', 'REASONING_START', 'REASONING_MESSAGE_START', 'REASONING_MESSAGE_CONTENT', 'REASONING_MESSAGE_END', 'REASONING_END',
    'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT', 'TEXT_MESSAGE_CONTENT', 'TEXT_MESSAGE_CONTENT', 'TEXT_MESSAGE_END', 'RUN_FINISHED'
  ])
  const loaded = createFront(place)
  await loaded.run()
  t.same(loaded.agent.messages, [
    { id: 'message-1', role: 'user', content: 'Hello', name: 'ann' },
    { id: 'm2.r1', role: 'reasoning', content: 'They greet' },
    { id: 'm2', role: 'assistant', content: 'Well then\n\n- Yes', name: 'slow' }
  ])
  t.match((await ann.get('/api/chat/thread')).json()[1].parts[0], { type: 'reasoning' })
})

t.test('a connection that breaks while a model thinks: the same agent runs again, and the reasoning is not doubled', async t => {
  const server = await start(t)
  const { front: place, bots, ann, connection, number } = server
  const front = createFront(place)
  let sent: Promise<unknown> = front.send('Hello')
  const { think, say, end } = await bots.call(1)
  await until(async () => (await rowOf(server, 2)).client_id !== null) // the run has begun
  const lock = await holdLock(t, connection, number)
  await lock.query('SELECT FROM messages WHERE id = 2 FOR UPDATE') // what the reply grows by is not stored
  const hasTold = async (end: string) => await until(() => saidIn(front).at(-1)!.endsWith(end))

  /** Cuts the connection, and runs the agent again. */
  async function again () {
    front.agent.abortRun()
    await sent
    sent = front.run()
    await until(() => saidIn(front)[0] === 'ann: Hello')
  }

  think('They')
  await hasTold('They')
  await again()
  await lock.release()
  think(' greet')
  await hasTold(' greet')
  t.same(saidIn(front), ['ann: Hello', 'reasoning: They greet'])
  await until(async () => (await ann.get('/api/chat/thread')).json()[1].parts[0]?.text === 'They greet')
  await again()
  say('Well')
  await hasTold('Well')
  front.agent.abortRun()
  await sent
  end()
  await until(async () => (await ann.get('/api/chat/thread')).json()[1].metadata.status === 'complete')
  await front.run()
  t.same(saidIn(front), ['ann: Hello', 'reasoning: They greet', 'slow: Well'])
  t.equal(bots.calls.length, 1)
})

t.test('stopped by the server’s own stop', async t => {
  const { front: place, bots, ann } = await start(t)
  const front = createFront(place)
  const sent = front.send('Hello')
  const { say } = await bots.call(1)
  say('One')
  await says(front, 'slow: One')
  t.equal((await ann.post('/api/ag-ui/threads/thread/stop')).statusCode, 204)
  await sent
  t.same(front.outcomes, ['cancelled'])
  t.same(await typesOf(front), ['RUN_STARTED', 'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT', 'TEXT_MESSAGE_END', 'RUN_FINISHED'])
  t.same(saidIn(front), ['user: Hello', 'slow: One'])
  t.equal((await ann.post('/api/ag-ui/threads/new/stop')).statusCode, 204, 'a thread that has not begun')
  t.match((await ann.post('/api/ag-ui/threads/999999/stop')).json(), { code: 'CONVERSATION_NOT_FOUND' })
})

t.test('asked again: a new run on a message that has its reply, from which the client has cut the reply', async t => {
  const { front: place, bots, reply, ann } = await start(t)
  const front = createFront(place)
  await Promise.all([front.send('A'), reply(1, 'One')])
  front.agent.setMessages(front.agent.messages.slice(0, 1))
  await Promise.all([front.run(), reply(2, 'Two')])
  t.same(saidIn(front), ['user: A', 'slow: Two'])
  t.equal(front.agent.messages[1]!.id, 'm2', 'in the same place')

  const loaded = createFront(place)
  await loaded.run()
  loaded.agent.setMessages(loaded.agent.messages.slice(0, 1))
  await Promise.all([loaded.run(), reply(3, 'Three')])
  t.same(saidIn(loaded), ['ann: A', 'slow: Three'], 'by the id that the server gave')

  await Promise.all([front.send('B'), reply(4, 'Four')])
  front.agent.setMessages(front.agent.messages.slice(0, 1))
  const error = await front.run().then(() => undefined, ({ payload }) => payload)
  t.match(error, { statusCode: 409, code: 'NOT_THE_LAST_REPLY' }, 'nothing is deleted that the client has cut')
  t.equal((await ann.get('/api/chat/thread')).json().length, 4)
  t.equal(bots.calls.length, 4)
})

t.test('an edited message is answered again, and a changed one is refused', async t => {
  const { front: place, bots, reply, ann, number } = await start(t)
  const front = createFront(place)
  await Promise.all([front.send('A'), reply(1, 'One')])
  const edited: Message[] = [{ id: 'message-1', role: 'user', content: 'B' }]
  front.agent.setMessages(edited)
  t.match(await front.run().then(() => undefined, ({ payload }) => payload), { statusCode: 409, error: 'This client id was used for another message' })
  t.equal((await ann.put(`/api/conversations/${number}/messages/1`, { text: 'B' })).statusCode, 200)
  const again = front.run()
  const { say, end, turns } = await bots.call(2)
  say('Two')
  await says(front, 'slow: Two') // the run follows this reply; it would ask for another one if it came after it
  end()
  await again
  t.match(turns, [{ text: 'B' }])
  t.same(saidIn(front), ['user: B', 'slow: Two'])
  const loaded = createFront(place)
  await loaded.run()
  t.same(saidIn(loaded), ['ann: B', 'slow: Two'])
})

t.test('the same run twice, at the same time and later, is stored and answered once', async t => {
  const { front: place, bots, reply, ann } = await start(t)
  const run = async (front: ReturnType<typeof createFront>) => {
    front.agent.addMessage({ id: 'one', role: 'user', content: 'Hello' })
    await front.run('run')
    t.same([front.outcomes, saidIn(front)], [['success'], ['user: Hello', 'slow: Once']])
  }
  await Promise.all([run(createFront(place)), run(createFront(place)), reply(1, 'Once')])
  await run(createFront(place))
  t.equal((await ann.get('/api/chat/thread')).json().length, 2)
  t.equal(bots.calls.length, 1)
})

t.test('a session that ends while a reply is being written', async t => {
  const { front: place, bots, ann } = await start(t)
  const front = createFront(place)
  const sent = front.send('Hello')
  const { say, end } = await bots.call(1)
  say('One')
  await says(front, 'slow: One')
  await ann.post('/api/logout')
  await sent
  t.match(front.errors, [{ message: 'The connection was closed before the reply had ended, please load the chat again', code: 'UNAVAILABLE' }])
  t.same(saidIn(front), ['user: Hello', 'slow: One'])
  end()
})

t.test('a history of 200 kB comes with each run, and is not read', async t => {
  const { url, ann } = await start(t)
  const messages = Array.from({ length: 200 }, (_, n): Message => ({ id: `old-${n}`, role: n % 2 === 0 ? 'user' : 'assistant', content: 'x'.repeat(1_000) }))
  const front = createFront({ url, headers: ann.headers, messages })
  await front.send('Hello')
  t.equal(front.agent.messages.length, 202)
  t.match(front.agent.messages.at(-1), { id: 'm2', content: 'You said: Hello' })
})

t.test('a thread with texts of more than 1 MiB is loaded by its newest messages', async t => {
  const { url, ann, query } = await start(t)
  const { id } = (await ann.post('/api/conversations', { name: 'Long', client_id: 'long' })).json()
  await query('INSERT INTO messages (conversation_id, id, rev, sender, text) SELECT $1, n, n, \'bot\', repeat(\'é\', 60000) FROM generate_series(1, 40) n', [id])
  await query('UPDATE conversations SET last_rev = 40 WHERE id = $1', [id])
  const front = createFront({ url, headers: ann.headers, threadId: 'long' })
  await front.run()
  const { messages } = front.agent
  t.ok(messages.length > 5 && messages.length < 40, `${messages.length}`)
  t.equal(messages.at(-1)!.id, 'm40')
  t.same(await typesOf(front), ['RUN_STARTED', 'MESSAGES_SNAPSHOT', 'RUN_FINISHED'])
})

t.test('a user of another issuer needs no account', async t => {
  const issuer = await startIssuer(t)
  const { url, query } = await startLive(t, trusting(issuer.setting))
  const front = createFront({ url, headers: bearer(await issuer.sign()), threadId: 'thread' })
  await front.send('Hello')
  t.same(saidIn(front), ['user: Hello', 'simulated: You said: Hello'])
  t.same(await query('SELECT subject, client_id FROM external_users JOIN conversations ON owner_id = user_id'), [{ subject: 'user_1', client_id: 'thread' }])
})

t.test('the chat in a terminal of docs/frontend.md', async t => {
  const example = readFileSync('docs/frontend/ag-ui.ts', 'utf8')
  t.ok(readFileSync('docs/frontend.md', 'utf8').includes(`\`\`\`ts\n${example}\`\`\``), 'the documentation shows this file')
  const { url, ann } = await start(t)
  const folder = t.testdir({ 'chat.ts': example.replace('http://localhost:5000', url) })
  const chat = spawn(process.execPath, [path.join(folder, 'chat.ts')], { env: { ...process.env, TOKEN: tokenOf(ann) } })
  let shown = ''
  for (const stream of [chat.stdout, chat.stderr]) stream.setEncoding('utf8').on('data', text => { shown += text })
  chat.stdin.end('Hello\nAgain\n')
  const [code] = await once(chat, 'close')
  t.match([code, shown], [0, /^simulated: You said: Hello\nsimulated: You said: Again\n$/])
})
