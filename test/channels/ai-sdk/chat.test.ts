import t from 'tap'
import { once } from 'node:events'
import { holdLock, startApp } from '../../support/helper.ts'
import { startLive } from '../../support/live.ts'
import { until } from '../../support/process.ts'
import { exchange } from '../../support/raw-http.ts'
import { isStored } from '../../support/slow-replies.ts'
import { shownIn, shows, VERSIONS } from '../../support/ui-chat.ts'

// What the AI SDK's clients rarely or never send, and who may do what.

const said = (text: string, id = 'one') => ({ id, role: 'user', parts: [{ type: 'text', text }] })

/** The chunks of a UI message stream. */
const chunksOf = (body: string) => body.split('\n\n').filter(block => block.startsWith('data: {')).map(block => JSON.parse(block.slice(6)))
const textIn = (body: string) => chunksOf(body).flatMap(({ delta }) => delta ?? []).join('')

t.test('ten first messages at once begin one chat, and the same message is stored once', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  const answers = await Promise.all(Array.from({ length: 10 }, () => ann.post('/api/chat', { id: 'new', messages: [said('Hello')] })))
  for (const { statusCode, headers, body } of answers) {
    t.equal(statusCode, 200)
    t.match(headers, { 'content-type': 'text/event-stream', 'cache-control': 'no-store, no-transform', 'x-vercel-ai-ui-message-stream': 'v1' })
    t.equal(textIn(body), 'You said: Hello')
    t.ok(body.endsWith('data: [DONE]\n\n'))
  }
  t.same(await query('SELECT client_id FROM conversations'), [{ client_id: 'new' }])
  t.equal((await query('SELECT FROM messages')).length, 2)
  t.match((await ann.post('/chat', { id: 'new', message: said('Not hello') })), { statusCode: 409, body: 'This client id was used for another message' })
  await ann.post('/api/chat', { id: 'other', message: { ...said('Hello'), parts: [{ type: 'data-place', text: 'Not this' }, { type: 'text', text: 'Hello' }] } })
  t.equal((await query('SELECT FROM messages')).length, 4, 'the same id in another chat is another message')
})

t.test('a message without an id is stored once by its Idempotency-Key; one with an id, by that', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  const send = async (message: object, key: string) => await ann.post('/api/chat', { id: 'c', message }, { 'idempotency-key': key })
  const { id, ...nameless } = said('Hello')
  for (const { statusCode, body } of [await send(nameless, 'k'), await send(nameless, 'k')]) {
    t.equal(statusCode, 200)
    t.equal(textIn(body), 'You said: Hello')
  }
  t.equal((await query('SELECT FROM messages')).length, 2)
  t.equal((await send({ ...nameless, parts: said('Not hello').parts }, 'k')).statusCode, 409)
  for (const key of ['other', 'another']) await send(said('Hello', id), key)
  t.equal((await query('SELECT FROM messages')).length, 4)
  t.match(await ann.post('/api/chat', { id: 'c', message: { parts: [] }, trigger: 'regenerate-message' }, { 'idempotency-key': 'more' }),
    { statusCode: 409, body: /Only the last reply/ }, 'a regeneration without an id is still that of the last reply')
})

t.test('what is refused, in a sentence', async t => {
  const { as, anyone } = await startApp(t)
  const ann = await as('ann')
  const refusals: Array<[body: object, status: number, sentence: string]> = [
    [{ id: 'c', messages: [] }, 400, 'messages needs at least 1 entry'],
    [{ id: 'c', messages: 'Hello' }, 400, 'messages must be a list'],
    [{ id: 'c', messages: [{ ...said('Hello'), role: 'assistant' }] }, 400, 'message.role must be user'],
    [{ id: 'c', message: said(' \n ') }, 400, 'message.parts has no text'],
    [{ id: 'c', message: { role: 'user', parts: [{ type: 'file', url: 'data:,x' }] } }, 400, 'message.parts has a file, and files cannot be sent yet'],
    [{ id: '12', message: said('Hello') }, 404, 'Conversation not found']
  ]
  for (const [body, statusCode, sentence] of refusals) {
    const answer = await ann.post('/api/chat', body)
    t.match(answer, { statusCode, body: sentence, headers: { 'content-type': /^text\/plain/ } })
  }
  t.match(await anyone.post('/api/chat', { id: 'c', message: said('Hello') }), { statusCode: 401, body: 'Please log in' })
  t.match((await ann.get('/api/chat/12/stream')).body, 'Conversation not found')
  t.match((await ann.get('/api/chat/12')).json(), { code: 'CONVERSATION_NOT_FOUND' })
  t.same((await ann.get('/api/chat/c')).json(), [], 'a chat that has not begun has no messages')
  t.equal((await ann.get('/api/chat/c/stream')).statusCode, 204)
  t.equal((await ann.post('/api/chat/c/stop')).statusCode, 204)
})

t.test('bodies of more than 1.5 MiB are for users with a history', async t => {
  const { as, anyone } = await startApp(t)
  const ann = await as('ann')
  const history = [...Array.from({ length: 30 }, () => said('x'.repeat(100_000))), said('Hello')]
  t.equal(textIn((await ann.post('/api/chat', { id: 'long', messages: history })).body), 'You said: Hello')
  t.match((await anyone.post('/api/chat', { id: 'long', messages: history })).json(), { code: 'BODY_TOO_LARGE' })
  const phone = { user_phone: '1111111111', user_message: 'x'.repeat(2_000_000) }
  t.match((await ann.post('/api/chat', phone)).json(), { statusCode: 413, error: 'The body is larger than 1.5 MiB' })
  t.match((await ann.post('/api/chat', { id: 'long', messages: [...history, ...history] })).json(), { statusCode: 413, error: 'The body is larger than 4 MiB' })
})

t.test('a body that does not say its length is read to the size that its sender may send', async t => {
  const logged: Array<{ level: number, code?: string }> = []
  const { pino } = await import('pino')
  const { app, port, as } = await startLive(t, {}, undefined, pino({ level: 'info' }, { write: (line: string) => { logged.push(JSON.parse(line)) } }))
  const ann = await as('ann')
  const begin = (headers: object = {}) => [
    'POST /chat HTTP/1.1', 'Host: x', 'Content-Type: application/json', 'Transfer-Encoding: chunked', 'Connection: close', ...Object.entries(headers).map(field => field.join(': ')), '', ''
  ].join('\r\n')
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
  const end = chunk('')
  const history = JSON.stringify({ id: 'long', messages: [...Array.from({ length: 30 }, () => said('x'.repeat(100_000))), said('Hello')] })
  t.match(await exchange(port, begin(ann.headers) + chunk(history) + end), /^HTTP\/1\.1 200 [^]*You said: /)
  t.match(await exchange(port, begin() + chunk(history.slice(0, 1.5 * 1024 * 1024 + 1))), /^HTTP\/1\.1 413 [^]*larger than 1\.5 MiB/, 'a stranger’s, before it ends')
  t.match(await exchange(port, begin() + chunk(JSON.stringify({ id: 'c', message: said('Hello') })) + end), /^HTTP\/1\.1 401 [^]*Please log in/)
  t.match(await exchange(port, begin() + chunk(JSON.stringify({ user_phone: '1111111111', user_message: 'Hi' })) + end), /^HTTP\/1\.1 200 [^]*bot_message/)
  const arrived = once(app.server, 'request')
  await exchange(port, begin() + chunk('{'), async socket => {
    await arrived
    socket.destroy()
  })
  await until(() => logged.some(({ code }) => code === 'INVALID_REQUEST'))
  t.ok(logged.every(({ level }) => level === 30), 'nothing is the server’s fault')
})

t.test('bots that answer at once, several bots, and none', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  await ann.post('/api/conversations', { name: 'Two', bots: ['simulated', 'favorite-song'], client_id: 'two' })
  t.equal((await ann.post('/api/chat', { id: 'two', message: said('Hello') })).body, 'data: [DONE]\n\n', 'nobody is named')
  t.same(chunksOf((await ann.post('/api/chat', { id: 'two', message: said('@simulated @favorite-song hello', 'two') })).body)[0].messageId, 'm3', 'the first one')
  t.equal((await ann.get('/api/chat/two')).json().length, 4, 'the other is in the history')
  t.match((await ann.get('/api/chat/two?limit=1')).headers, { link: /before=4/ })

  await ann.post('/api/chat', { id: 'one', message: said('Hello', 'a') })
  t.match(await ann.post('/api/chat', { id: 'one', message: said('Hello', 'a'), trigger: 'regenerate-message' }), { statusCode: 409, body: /Only the last reply/ })
  t.equal(textIn((await ann.post('/api/chat', { id: 'one', message: said('Goodbye', 'a'), messageId: 'a' })).body), 'You said: Hello', 'its reply stays')
  t.match((await ann.get('/api/chat/one')).json()[0].parts, [{ text: 'Goodbye' }])
  t.match((await ann.post('/api/chat', { id: 'one', messageId: 'a', message: said('x', 'a') })).statusCode, 200)
})

t.test('in a group, each edits their own, and only the owner cuts what others said', async t => {
  const { as, slowChat } = await startApp(t)
  const ann = await as('ann')
  const bob = await as('bob')
  const number = String(await slowChat(ann))
  await ann.post(`/api/conversations/${number}/users`, { username: 'bob' })
  await bob.post('/api/chat', { id: number, message: said('From Bob') })
  t.match(await ann.post('/api/chat', { id: number, message: said('Not hers', 'm1'), messageId: 'm1' }), { statusCode: 403, body: /Only its author/ })
  await ann.post('/api/chat', { id: number, message: said('From Ann') })
  t.match(await bob.post('/api/chat', { id: number, message: said('Changed'), messageId: 'one' }), { statusCode: 403, body: /Only the owner/ })
  t.equal(textIn((await ann.post('/api/chat', { id: number, message: { role: 'user', parts: [] }, trigger: 'regenerate-message' })).body), 'Slowly: From Ann', 'the newest reply')
  t.equal(textIn((await ann.post('/api/chat', { id: number, message: said('From Bob', 'm1'), messageId: 'm2', trigger: 'regenerate-message' })).body), 'Slowly: From Bob')
  t.equal((await ann.get(`/api/chat/${number}`)).json().length, 2)
})

t.test('what was deleted in another tab, and what a bot said unasked, is neither edited nor asked for again, nor sent as a new message', async t => {
  const { as, query, slowChat } = await startApp(t)
  const ann = await as('ann')
  const bob = await as('bob')
  const id = String(await slowChat(ann))
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  await ann.post('/api/chat', { id, message: said('A secret', 'one') })
  const [question] = (await bob.get(`/api/chat/${id}`)).json()
  for (const number of [1, 2]) await ann.delete(`/api/conversations/${id}/messages/${number}`)
  for (const [who, message, called] of [[bob, question, 'm1'], [ann, said('A secret', 'one'), 'one']] as const) {
    for (const more of [{ trigger: 'regenerate-message', messageId: 'm2' }, { trigger: 'regenerate-message' }, { messageId: called }]) {
      t.match(await who.post('/api/chat', { id, messages: [message], ...more }), { statusCode: 404, body: 'Message not found' })
    }
  }
  t.same((await bob.get(`/api/chat/${id}`)).json(), [])

  await ann.post('/api/chat', { id, message: said('Hello', 'two') })
  const [{ last_rev: rev }] = await query('UPDATE conversations SET last_rev = last_rev + 1 RETURNING last_rev')
  await query("INSERT INTO messages (conversation_id, id, rev, sender, agent_name, text) VALUES ($1, $2, $2, 'bot', 'Carol of support', 'Anything else?')", [id, rev])
  const before = (await ann.get(`/api/chat/${id}`)).json()
  t.equal(before.length, 3)
  t.match(await ann.post('/api/chat', { id, messages: before.slice(0, 2), trigger: 'regenerate-message', messageId: `m${rev}` }), { statusCode: 409, body: /Only the last reply/ })
  t.match(await ann.post('/api/chat', { id, messages: [said('Changed', `m${rev}`)], messageId: `m${rev}` }), { statusCode: 403, body: /Only its author/ })
  t.same((await ann.get(`/api/chat/${id}`)).json(), before)
})

t.test('when a reply cannot be had again, nothing is deleted or changed', async t => {
  const { as, query, bots, slowChat } = await startApp(t)
  const ann = await as('ann')
  const number = await slowChat(ann)
  for (const id of ['one', 'two']) await ann.post('/api/chat', { id: String(number), message: said(`Message ${id}`, id) })
  const before = (await ann.get(`/api/chat/${number}`)).json()
  t.equal(before.length, 4)
  const regenerate = { id: String(number), messages: [said('Message one')], messageId: 'm2', trigger: 'regenerate-message' }
  const edit = { id: String(number), messages: [said('Changed', 'new')], messageId: 'one' }

  await query('UPDATE users SET budget_tokens = 1')
  for (const body of [regenerate, edit]) t.match(await ann.post('/api/chat', body), { statusCode: 429, body: /tokens for today/ })
  t.same((await ann.get(`/api/chat/${number}`)).json(), before, 'the budget is spent')

  await query('UPDATE users SET budget_tokens = NULL')
  bots.takeOver()
  const others = await Promise.all([1, 2, 3].map(() => slowChat(ann)))
  const sent = others.map(other => ann.post('/api/chat', { id: String(other), message: said('Hello') }))
  await bots.call(3)
  for (const body of [regenerate, edit]) t.match(await ann.post('/api/chat', body), { statusCode: 429, body: /Three replies/ })
  t.same((await ann.get(`/api/chat/${number}`)).json(), before, 'three other replies are under way')
  for (const { end } of bots.calls) end()
  await Promise.all(sent)

  const [{ id: bot }] = (await ann.get(`/api/conversations/${number}/bots`)).json()
  await ann.delete(`/api/conversations/${number}/bots/${bot}`)
  t.match(await ann.post('/api/chat', regenerate), { statusCode: 409, body: /Only the last reply/ })
  t.same((await ann.get(`/api/chat/${number}`)).json(), before, 'the bot has left')
  t.equal(textIn((await ann.post('/api/chat', edit)).body), 'Slowly: Message one', 'its reply stays')
  t.match((await ann.get(`/api/chat/${number}`)).json(), [{ id: 'm1', parts: [{ text: 'Changed' }] }, { id: 'm2' }])
})

t.test('an edit that is refused does not stop the reply that is under way', async t => {
  const { as, query, bots, slowChat } = await startApp(t)
  const ann = await as('ann')
  const bob = await as('bob')
  const id = String(await slowChat(ann))
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  await bob.post('/api/chat', { id, message: said('From Bob', 'one') })
  bots.takeOver()
  const sent = ann.post('/api/chat', { id, message: said('From Ann', 'two') })
  const { say, end } = await bots.call()
  const isRefused = async (who: typeof ann, messageId: string, refusal: object) => {
    for (const more of [{ message: said('Changed'), messageId }, { message: said('', messageId), trigger: 'regenerate-message' }]) t.match(await who.post('/api/chat', { id, ...more }), refusal)
  }
  await isRefused(bob, 'one', { statusCode: 403, body: /Only the owner/ })
  await query("UPDATE users SET budget_tokens = CASE username WHEN 'ann' THEN 0 END")
  await isRefused(ann, 'two', { statusCode: 429, body: /tokens for today/ })
  say('Ok')
  end()
  t.equal(textIn((await sent).body), 'Ok')
})

t.test('an edit changes nothing if the user leaves the conversation, or the message is deleted, while the edit is under way', async t => {
  const { as, query, connection } = await startApp(t)
  const ann = await as('ann')
  const bob = await as('bob')
  const { id } = (await ann.post('/api/conversations', { name: 'Group' })).json()
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  await bob.post('/api/chat', { id: String(id), message: said('First', 'one') })
  await query("UPDATE messages SET status = 'deleted', text = '' WHERE sender = 'bot'")
  for (const [meanwhile, sentence] of [
    ["DELETE FROM conversation_users u USING users WHERE username = 'bob' AND u.user_id = users.id", 'Conversation not found'],
    ["UPDATE messages SET status = 'deleted', text = '' WHERE sender = 'user'", 'Message not found']
  ] as const) {
    const lock = await holdLock(t, connection, id)
    const edited = bob.post('/api/chat', { id: String(id), message: said('Changed'), messageId: 'one' })
    await lock.until(1)
    await lock.query(meanwhile)
    await lock.release()
    t.match(await edited, { statusCode: 404, body: sentence })
    t.same(await query("SELECT text FROM messages WHERE text = 'Changed'"), [])
    await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  }
})

t.test('a message that is sent while a reply is asked for again is not deleted', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const bob = await server.as('bob')
  const id = String(await server.slowChat(ann))
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  await ann.post('/api/chat', { id, message: said('First', 'one') })
  const texts = async () => (await ann.get(`/api/chat/${id}`)).json().map(({ parts }: { parts: Array<{ text: string }> }) => parts[0]!.text)
  const whileAsked = async (body: object, text: string) => {
    const { asked, release } = server.hold('ui_exchange')
    const answer = ann.post('/api/chat', { id, message: said('Changed', 'one'), messageId: 'one', ...body })
    await asked
    await bob.post('/api/chat', { id, message: said(text, text) })
    release()
    return await answer
  }
  t.match(await whileAsked({ trigger: 'regenerate-message' }, 'Wait'), { statusCode: 409, body: /Only the last reply/ })
  t.same(await texts(), ['First', 'Slowly: First', 'Wait', 'Slowly: Wait'])
  t.equal(textIn((await whileAsked({}, 'Stop')).body), 'Slowly: First', 'edited, and its reply stays')
  t.same(await texts(), ['Changed', 'Slowly: First', 'Stop', 'Slowly: Stop'], 'what was there before is deleted')
})

t.test('the same edit, or the same regeneration, sent twice at once is answered once', async t => {
  const server = await startLive(t)
  const { bots, connection, url } = server
  const ann = await server.as('ann')
  const id = await server.slowChat(ann)
  const edited = (text: string) => ({ id: String(id), message: said(text), messageId: 'one' })
  const again = { id: String(id), message: said(''), trigger: 'regenerate-message' }
  await ann.post('/api/chat', edited('Hello'))
  bots.takeOver()
  /** Sends a request. The promise is fulfilled when the response begins. */
  const send = async (body: object) => await fetch(`${url}/api/chat`, { method: 'POST', headers: { ...ann.headers, 'content-type': 'application/json' }, body: JSON.stringify(body) })
  /** Lets the bot reply, and checks what it was asked and that it was asked no more than `calls` times. */
  const isAnswered = async (responses: Response[], question: string, calls: number) => {
    for (const { say, end } of bots.calls.slice(calls - 1)) {
      say(`Reply ${calls}`)
      end()
    }
    const answers = await Promise.all(responses.map(async response => [response.status, textIn(await response.text())]))
    t.same(answers, responses.map(() => [200, `Reply ${calls}`]))
    t.same([bots.calls.length, bots.calls.at(-1)!.turns.at(-1)!.text], [calls, question])
  }

  let calls = 0
  for (const body of [edited('Edited'), again]) {
    const lock = await holdLock(t, connection, id)
    const both = [send(body), send(body)]
    await lock.until(2)
    await lock.release()
    await isAnswered(await Promise.all(both), 'Edited', ++calls)
  }

  /** Holds a request back after it has read the exchange, until another one has asked again. */
  const overtaken = async (late: object, early: object) => {
    const { asked, release } = server.hold('ui_exchange')
    const second = send(late)
    await asked
    const first = await send(early)
    await bots.call(++calls)
    release()
    return [first, await second] as const
  }
  await isAnswered([...await overtaken(edited('Third'), edited('Third'))], 'Third', calls)
  await isAnswered([...await overtaken(again, again)], 'Third', calls)
  const [first, second] = await overtaken(edited('Last'), edited('Fifth'))
  t.match(chunksOf(await first.text()).at(-1), { messageMetadata: { status: 'stopped' } })
  await bots.call(++calls)
  await isAnswered([second], 'Last', calls)
})

t.test('a tab at another instance sees nothing of the moment between a reply that is stopped and the same one generated again', async t => {
  const one = await startLive(t)
  const two = await startLive(t, {}, one.connection)
  one.bots.takeOver()
  const ann = await one.as('ann')
  const id = String(await one.slowChat(ann))
  const sent = ann.post('/api/chat', { id, message: said('Hello') })
  const first = await one.bots.call()
  first.say('One')
  await isStored(one, 2, 'One')
  const tab = VERSIONS.at(-1)![1]({ url: two.url, headers: ann.headers, id })
  const resumed = tab.resumeStream()
  await shows(tab, 'assistant: One')
  const { asked, release } = two.hold('news')
  first.say(' more')
  await asked
  await ann.post(`/api/chat/${id}/stop`)
  await sent
  const again = ann.post('/api/chat', { id, message: said('Hello'), trigger: 'regenerate-message' })
  const second = await one.bots.call(2)
  release()
  second.say('Two')
  await shows(tab, 'assistant: One more|Two')
  second.say(' three')
  second.end()
  await Promise.all([resumed, again])
  t.same([tab.status, shownIn(tab)], ['ready', ['assistant: One more|Two three']], 'what was shown stays, and the new text is whole')
})

t.test('a chat has a name that can be seen', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  for (const [id, text] of [['dots', `${'\u200b'.repeat(300)}Hello`], ['lines', 'One\n\n two'], ['long', '\u{1f600}'.repeat(100)], ['half', `One${' '.repeat(236)}\u{1f600}`]] as const) await ann.post('/api/chat', { id, message: said(text) })
  t.same(await query('SELECT name FROM conversations ORDER BY id'), [{ name: 'Chat' }, { name: 'One two' }, { name: '\u{1f600}'.repeat(60) }, { name: 'One \u{1f600}' }])
})
