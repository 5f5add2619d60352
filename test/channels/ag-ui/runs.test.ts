import t from 'tap'
import { eventsIn } from '../../support/ag-ui.ts'
import { startApp } from '../../support/helper.ts'
import { startLive } from '../../support/live.ts'

// What `HttpAgent` rarely or never sends, and requests that come at the same time.

const said = (content: unknown, id = 'one') => ({ id, role: 'user', content })
const run = (messages: unknown, { threadId = 'thread', runId = 'run', ...more }: { threadId?: string, runId?: string, tools?: unknown } = {}) => ({ threadId, runId, messages, ...more })
const textIn = (body: string) => eventsIn(body).flatMap(({ delta }) => delta ?? []).join('')

t.test('ten first messages at once begin one thread, and the same message is stored once', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  const answers = await Promise.all(Array.from({ length: 10 }, () => ann.post('/api/ag-ui', run([said('Hello')]))))
  for (const { statusCode, headers, body } of answers) {
    t.equal(statusCode, 200)
    t.match(headers, { 'content-type': 'text/event-stream', 'cache-control': 'no-store, no-transform' })
    t.equal(textIn(body), 'You said: Hello')
    t.equal(eventsIn(body).at(-1)!.type, 'RUN_FINISHED')
  }
  t.same(await query('SELECT client_id FROM conversations'), [{ client_id: 'thread' }])
  t.equal((await query('SELECT FROM messages')).length, 2)
  t.match((await ann.post('/api/ag-ui', run([said('Not hello')]))).json(), { statusCode: 409, code: 'IDEMPOTENCY_MISMATCH' })
  await ann.post('/api/ag-ui', run([said('Hello')], { threadId: 'other' }))
  t.equal((await query('SELECT FROM messages')).length, 4, 'the same id in another thread is another message')
})

t.test('the same POST twice is answered once by a bot that streams, at the same time and later', async t => {
  const { as, bots, query, slowChat } = await startApp(t)
  const ann = await as('ann')
  const threadId = String(await slowChat(ann))
  bots.takeOver()
  const asked = run([said('Hello')], { threadId })
  const both = [ann.post('/api/ag-ui', asked), ann.post('/api/ag-ui', asked)]
  const { say, end } = await bots.call(1)
  say('One')
  end()
  for (const { body } of await Promise.all(both)) t.equal(textIn(body), 'One')
  t.equal(textIn((await ann.post('/api/ag-ui', asked)).body), 'One')
  t.same([bots.calls.length, (await query('SELECT FROM messages')).length], [1, 2])

  const again = run([said('Hello')], { threadId, runId: 'again' })
  const three = [1, 2, 3].map(() => ann.post('/api/ag-ui', again))
  const second = await bots.call(2)
  second.say('Two')
  second.end()
  for (const { body } of await Promise.all(three)) t.equal(textIn(body), 'Two')
  t.equal(textIn((await ann.post('/api/ag-ui', again)).body), 'Two')
  t.equal(bots.calls.length, 2, 'another run asks once more')
})

t.test('a run that asks again, and at the same time another one of the same or another id', async t => {
  const server = await startLive(t)
  const { bots, slowChat, query } = server
  const ann = await server.as('ann')
  const threadId = String(await slowChat(ann))
  await ann.post('/api/ag-ui', run([said('Hello')], { threadId }))
  /** Holds a run back after it has read the exchange, until another one has asked again. It is answered when it follows the reply. */
  const race = async (runId: string, first: string, hasAsked: (answer: Promise<unknown>) => Promise<unknown>) => {
    const { asked, release } = server.hold('ui_exchange')
    const body = JSON.stringify(run([said('Hello')], { threadId, runId }))
    const late = fetch(`${server.url}/api/ag-ui`, { method: 'POST', headers: { ...ann.headers, 'content-type': 'application/json' }, body })
    await asked
    const early = ann.post('/api/ag-ui', run([said('Hello')], { threadId, runId: first }))
    await hasAsked(early)
    release()
    return { early, late: await late }
  }
  const same = await race('two', 'two', async answer => await answer)
  t.equal(textIn(await same.late.text()), 'Slowly: Hello', 'the same run has asked, and the reply has ended')
  t.equal((await query('SELECT FROM reply_costs')).length, 2)

  bots.takeOver()
  const other = await race('four', 'three', async () => await bots.call(1))
  const { say, end } = await bots.call(1)
  say('Both')
  end()
  t.same([textIn((await other.early).body), textIn(await other.late.text())], ['Both', 'Both'], 'another run follows it, too')
  t.equal(bots.calls.length, 1)
})

t.test('no second run of a conversation takes over while another message is being answered', async t => {
  const server = await startLive(t)
  const { bots, slowChat } = server
  const ann = await server.as('ann')
  const id = await slowChat(ann)
  const threadId = String(id)
  await ann.post('/api/ag-ui', run([said('Hello')], { threadId }))
  bots.takeOver()
  const { asked, release } = server.hold('ui_exchange')
  const late = ann.post('/api/ag-ui', run([said('Hello')], { threadId, runId: 'two' }))
  await asked
  const other = ann.post(`/api/conversations/${id}/messages`, { text: 'Another' })
  const { end } = await bots.call(1)
  release()
  t.match((await late).json(), { statusCode: 409, code: 'BOT_BUSY' })
  end()
  await other
})

t.test('the messages of other doors have replies, which a run on them asks for again', async t => {
  const server = await startApp(t)
  const { bots, slowChat } = server
  const ann = await server.as('ann')
  const id = await slowChat(ann)
  const threadId = String(id)
  await ann.post(`/api/conversations/${id}/messages`, { text: 'Hello' })
  bots.takeOver()
  const asked = ann.post('/api/ag-ui', run([said('Hello', 'm1')], { threadId }))
  const { say, end } = await bots.call(1)
  say('Again')
  end()
  t.equal(textIn((await asked).body), 'Again')

  await Promise.all([ann.post('/api/chat', { id: threadId, message: { id: 'ui', role: 'user', parts: [{ type: 'text', text: 'Hi' }] } }), bots.call(2).then(({ end }) => end())])
  t.equal(textIn((await ann.post('/api/ag-ui', run([said('Hi', 'ui')], { threadId, runId: 'first' }))).body), '', 'the first run on it gets the reply that is there')
  const second = ann.post('/api/ag-ui', run([said('Hi', 'ui')], { threadId, runId: 'second' }))
  const third = await bots.call(3)
  third.say('Anew')
  third.end()
  t.equal(textIn((await second).body), 'Anew')
})

t.test('a client that numbers its own messages, in the way in which the server names replies', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  for (const [runId, id] of [['one', 'm1'], ['two', 'm2'], ['three', 'm3'], ['three', 'm3']] as const) {
    t.equal(textIn((await ann.post('/api/ag-ui', run([said('Yes', id)], { threadId: 'new', runId }))).body), 'You said: Yes')
  }
  t.equal((await ann.get('/api/chat/new')).json().length, 6, 'each of the three messages is stored once, with its reply')
})

t.test('a message that was deleted elsewhere is not sent again as a new one', async t => {
  const { as, slowChat, query } = await startApp(t)
  const ann = await as('ann')
  const threadId = String(await slowChat(ann))
  await ann.post('/api/ag-ui', run([said('One', 'one')], { threadId }))
  await ann.post(`/api/conversations/${threadId}/messages`, { text: 'Four' })
  for (const id of [1, 4]) await ann.delete(`/api/conversations/${threadId}/messages/${id}`)
  for (const message of [said('One', 'one'), said('Four', 'm4')]) {
    t.match((await ann.post('/api/ag-ui', run([message], { threadId, runId: 'two' }))).json(), { statusCode: 409, code: 'IDEMPOTENCY_MISMATCH' })
  }
  t.equal((await query("SELECT FROM messages WHERE sender = 'user'")).length, 2)

  const [{ last_rev: rev }] = await query('UPDATE conversations SET last_rev = last_rev + 1 RETURNING last_rev')
  await query("INSERT INTO messages (conversation_id, id, rev, sender, agent_name, text) VALUES ($1, $2, $2, 'bot', 'Carol of support', 'Hello')", [threadId, rev])
  t.equal(textIn((await ann.post('/api/ag-ui', run([said('New', `m${rev}`)], { threadId, runId: 'three' }))).body), 'Slowly: New', 'an id that only looks like that of a bot’s message')
})

t.test('what a user’s message may be', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const parts = [{ type: 'text', text: 'One' }, { type: 'text' }, { type: 'text', text: 'two' }]
  t.equal(textIn((await ann.post('/api/ag-ui', run([said('Before', 'zero'), said(parts), { id: 'x', role: 'developer', content: 'An instruction' }]))).body), 'You said: One\n\ntwo')
  t.equal(textIn((await ann.post('/api/ag-ui/simulated', run([said('By name', 'two')]))).body), 'You said: By name')
  t.match((await ann.post('/api/ag-ui/favorite-song', run([said('By name', 'three')]))).json(), { code: 'BOT_NOT_FOUND' }, 'a bot that is not in the conversation')
  const refusals: Array<[body: unknown, sentence: string]> = [
    [run([said([{ type: 'image', source: {} }], 'four')]), 'messages.content has a file, and files cannot be sent yet'],
    [run([said([null], 'four')]), 'messages.content has a file, and files cannot be sent yet'],
    [run([said(undefined, 'four')]), 'messages.content has no text'],
    [run([said('Hello', 'é')]), 'messages.id must be 1 to 255 printable ASCII characters'],
    [run([{ role: 'user', content: 'Hello' }]), 'messages.id must be 1 to 255 printable ASCII characters'],
    [run('Hello'), 'messages must be a list'],
    [run([null]), 'messages.0 must be an object'],
    [{ messages: [said('Hello')] }, 'threadId is required'],
    [[], 'The body must be an object']
  ]
  for (const [body, error] of refusals) t.match((await ann.post('/api/ag-ui', body as object)).json(), { statusCode: 400, error })
  for (const body of [undefined, 'null']) t.match((await ann.post('/api/ag-ui', body, { 'content-type': 'application/json' })).json(), { statusCode: 400, error: 'The body is required' })
})

t.test('what is not needed is not read', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const history = Array.from({ length: 30 }, () => said('\0'.repeat(10_000)))
  const body = JSON.stringify(run([...history, said('Hello')], { tools: 'deep' })).replace('"deep"', `${'['.repeat(50_000)}${']'.repeat(50_000)}`)
  t.equal(textIn((await ann.post('/api/ag-ui', body, { 'content-type': 'application/json' })).body), 'You said: Hello')
  t.match((await ann.post('/api/ag-ui', run([said('\0', 'two')]))).json(), { statusCode: 400, code: 'INVALID_TEXT' })
})

t.test('in a group, the thread is the conversation’s number, and a run loads what others said', async t => {
  const { as, slowChat } = await startApp(t)
  const ann = await as('ann')
  const bob = await as('bob')
  const id = await slowChat(ann)
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  await ann.post('/api/ag-ui', run([said('From Ann')], { threadId: String(id) }))
  const { body } = await bob.post('/api/ag-ui', run([], { threadId: String(id) }))
  t.match(eventsIn(body)[1], { type: 'MESSAGES_SNAPSHOT', messages: [{ id: 'm1', role: 'user', name: 'ann', content: 'From Ann' }, { id: 'm2', role: 'assistant', name: 'slow' }] })
  const { body: own } = await ann.post('/api/ag-ui', run([{ id: 'm2', role: 'assistant' }], { threadId: String(id) }))
  t.match(eventsIn(own)[1], { messages: [{ id: 'one' }, { id: 'm2' }] }, 'the client’s own id')
  const empty = (await ann.post('/api/conversations', { name: 'Empty' })).json().id
  t.match(eventsIn((await ann.post('/api/ag-ui', run([], { threadId: String(empty) }))).body)[1], { messages: [] })
  t.match((await bob.post('/api/ag-ui', run([], { threadId: String(empty) }))).json(), { code: 'CONVERSATION_NOT_FOUND' })
})
