import t from 'tap'
import { API_KEY, holdLock, startApp, type Client } from '../support/helper.ts'
import { bearer } from '../support/issuer.ts'
import { connect, follow, listen, startLive, tokenOf, type Live } from '../support/live.ts'
import { from, status, text, webhook } from '../support/meta.ts'
import { until } from '../support/process.ts'
import { ANN, BOB, start, USER_ID } from '../support/whatsapp.ts'

// Messages that servers write by their keys, as a bot or as a human agent.

type App = Pick<Awaited<ReturnType<typeof startApp>>, 'as' | 'query' | 'clientOf'>

/** An admin, a server with a key of these scopes, and Ann, a user of the server's with a conversation. */
async function shop ({ as, query, clientOf }: App, scopes = ['users', 'act']) {
  const boss = await as('boss')
  await query("UPDATE users SET role = 'admin' WHERE username = 'boss'")
  const serverWith = async (scopes: string[]) => {
    const { id, key } = (await boss.post('/api/admin/keys', { name: 'shop', scopes })).json()
    return { id: id as number, server: clientOf(bearer(key)), key: key as string, acting: clientOf({ ...bearer(key), 'x-act-as': 'ann' }) }
  }
  const { id: key, server, acting } = await serverWith(scopes)
  await server.put('/api/users/ann', { name: 'Ann' })
  const { token } = (await server.post('/api/users/ann/tokens', {})).json()
  const ann = clientOf(bearer(token))
  const { id } = (await ann.post('/api/conversations', { name: 'My order' })).json()
  return { boss, serverWith, key, server, acting, ann, id: id as number, url: `/api/conversations/${id}/messages` }
}

t.test('a server writes as an agent and as a bot, which is stored like any message, and no bot replies', async t => {
  const app = await startApp(t)
  const { boss, server, ann, url, id, key } = await shop(app)
  await ann.post(url, { text: 'Where is my order?' })
  const answer = await server.post(url, { text: '  It is on its way. ', as: { agent: ' Maria ' } })
  t.equal(answer.statusCode, 201)
  const [maria] = answer.json()
  t.same(answer.json(), [{ id: 3, rev: 3, sender: 'bot', username: 'Maria', text: 'It is on its way.', status: 'complete', created_at: maria.created_at }])
  t.match((await server.post(url, { text: 'Anything else?', as: { bot: 'simulated' } }, { accept: 'text/event-stream' })).json(), [{ id: 4, sender: 'bot', username: 'simulated', text: 'Anything else?' }])

  const texts = [['user', 'Ann', 'Where is my order?'], ['bot', 'simulated', 'You said: Where is my order?'], ['bot', 'Maria', 'It is on its way.'], ['bot', 'simulated', 'Anything else?']]
  const named = (messages: Live[]) => messages.map(({ sender, username, text }) => [sender, username, text])
  t.same(named((await ann.get(url)).json()), texts, 'there is no reply')
  t.same(named((await ann.get(`${url}?after=0`)).json()), texts)
  t.same((await ann.get(`${url}/3`)).json(), maria)
  const listed = (await ann.get('/api/conversations')).json()
  t.same(named(listed[0].messages), texts)
  t.equal(listed[0].last_updated, (await ann.get(url)).json()[3].created_at, 'the conversation was used then')
  t.same(named((await ann.get('/api/me/export')).json().conversations[0].messages), texts)
  t.match((await ann.put(`${url}/3`, { text: 'Mine' })).json(), { code: 'NOT_THE_AUTHOR' })
  t.match((await ann.post(url, { text: 'Thanks' })).json(), [{ id: 5 }, { text: 'You said: Thanks' }], 'and the next message has its reply')
  t.equal((await ann.delete(`${url}/3`)).statusCode, 204, 'the owner may delete it')

  const { id: user } = (await server.get('/api/users/ann')).json()
  t.match((await boss.get('/api/admin/log?action=message.post')).json(), [
    { admin_id: 0, admin_name: 'shop', user_id: user, details: { key, conversation: id, message: 4 } },
    { user_id: user, details: { key, conversation: id, message: 3 } }
  ])
  t.notMatch(JSON.stringify((await boss.get('/api/admin/log')).json()), /Maria/, 'the log keeps no names')
})

t.test('the agent is somebody else for the bots', async t => {
  const app = await startApp(t)
  const { server, ann } = await shop(app)
  app.bots.takeOver()
  const url = `/api/conversations/${await app.slowChat(ann)}/messages`
  await server.post(url, { text: 'Welcome', as: { bot: 'slow' } })
  const asked = ann.post(url, { text: 'Is it cold?' })
  const first = await app.bots.call(1)
  await server.post(url, { text: 'Let me see', as: { agent: 'Maria' } })
  t.match((await ann.get(url)).json(), [{}, {}, { status: 'streaming' }, { username: 'Maria', status: 'complete' }], 'while a bot is replying')
  first.say('Yes')
  first.end()
  await asked
  const again = ann.post(url, { text: 'And now?' })
  const { turns, end } = await app.bots.call(2)
  end()
  await again
  t.same(turns.map(({ sender, name, text }) => ({ sender, name, text })), [
    { sender: 'bot', name: 'slow', text: 'Welcome' }, { sender: 'user', name: 'Ann', text: 'Is it cold?' }, { sender: 'bot', name: 'slow', text: 'Yes' },
    { sender: 'bot', name: 'Maria', text: 'Let me see' }, { sender: 'user', name: 'Ann', text: 'And now?' }
  ])
})

t.test('who may not write as a bot or an agent', async t => {
  const app = await startApp(t, { TRUSTED_ISSUERS: JSON.stringify([{ issuer: 'my-app', audience: 'parley', secret: 'a secret that another app signs with' }]) })
  const { boss, serverWith, server, acting, ann, url } = await shop(app)
  const before = (await ann.get(url)).json().length
  const post = async (client: Client, to = url, as: object = { agent: 'Maria' }) => {
    const answer = await client.post(to, { text: 'Hi', as })
    return `${answer.statusCode} ${answer.json().code}`
  }
  for (const scopes of [['users'], ['read'], ['guests'], ['v1'], ['users', 'read', 'guests', 'v1']]) t.equal(await post((await serverWith(scopes)).server), '403 MISSING_SCOPE', scopes.join())
  t.equal(await post(ann), '403 NOT_A_SERVER', 'a user')
  t.equal(await post(boss), '403 NOT_A_SERVER', 'an admin')
  t.equal(await post(acting), '403 NOT_A_SERVER', 'a server that acts for a user')
  t.equal(await post(app.clientOf(bearer((await boss.post('/api/me/keys', { name: 'script' })).json().key))), '403 NOT_A_SERVER', 'a personal key')
  t.equal(await post(app.anyone), '401 UNAUTHORIZED')
  t.equal(await post(app.clientOf(bearer('pk_nonsense'))), '401 UNAUTHORIZED')
  t.match((await server.post(url, { text: 'Hi' })).json(), { code: 'UNAUTHORIZED' }, 'a server that says neither for whom nor as whom')
  const revoked = await serverWith(['act'])
  await boss.delete(`/api/admin/keys/${revoked.id}`)
  t.equal(await post(revoked.server), '401 UNAUTHORIZED')

  const foreign = (await boss.post('/api/conversations', { name: 'Plans' })).json().id
  const { token } = (await app.anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  await app.anyone.post('/chat', { user_phone: '123456', user_message: 'hello' })
  const [{ id: guests }] = await app.query("SELECT max(id) AS id FROM conversations WHERE origin = 'api'")
  const [{ id: phones }] = await app.query("SELECT max(id) AS id FROM conversations WHERE origin = 'phone'")
  t.equal((await app.clientOf(bearer(token)).get(`/api/conversations/${guests}`)).statusCode, 200)
  for (const [whose, id] of [['a user who is not a server’s', foreign], ['a guest of another key', guests], ['a phone', phones], ['nobody', 99_999]]) {
    t.equal(await post(server, `/api/conversations/${id}/messages`), '404 CONVERSATION_NOT_FOUND', `in a conversation of ${whose}`)
  }
  await app.query("INSERT INTO external_users (issuer, subject, user_id) SELECT 'my-app', 'boss', id FROM users WHERE username = 'boss'")
  t.equal(await post(server, `/api/conversations/${foreign}/messages`), '404 CONVERSATION_NOT_FOUND', 'nor of another issuer’s')
  await app.query("INSERT INTO chatbots (name, engine) VALUES ('parrot', 'simulated')")
  for (const bot of ['parrot', 'nobody', '']) t.equal(await post(server, url, { bot }), '404 BOT_NOT_FOUND', 'a bot that is not in the conversation')

  t.equal((await ann.get(url)).json().length, before)
  t.same((await boss.get('/api/admin/log?action=message.post')).json(), [])
})

t.test('a server writes to the guests whom it let in, and to groups with a user of its own', async t => {
  const app = await startApp(t)
  const { server, serverWith, ann } = await shop(app)
  const host = await serverWith(['guests', 'act'])
  const { token } = (await app.anyone.get('/chat/initial', { 'x-api-key': host.key })).json()
  const guest = app.clientOf(bearer(token))
  const [{ id }] = await app.query("SELECT max(id) AS id FROM conversations WHERE origin = 'api'")
  const url = `/api/conversations/${id}/messages`
  t.equal((await host.server.post(url, { text: 'Can I help?', as: { agent: 'Maria' } })).statusCode, 201)
  t.match((await guest.get(url)).json(), [{ sender: 'bot' }, { username: 'Maria', text: 'Can I help?' }])
  t.match((await server.post(url, { text: 'Me too', as: { agent: 'Eve' } })).json(), { code: 'CONVERSATION_NOT_FOUND' }, 'but no other server does')

  const bob = await app.as('bob')
  const group = (await bob.post('/api/conversations', { name: 'Group' })).json().id
  await app.query('INSERT INTO conversation_users (conversation_id, user_id) SELECT $1, id FROM users WHERE name = $2', [group, 'Ann'])
  t.equal((await server.post(`/api/conversations/${group}/messages`, { text: 'Hi all', as: { agent: 'Maria' } })).statusCode, 201)
  t.match((await ann.get(`/api/conversations/${group}/messages`)).json(), [{ username: 'Maria' }])
  await ann.delete(`/api/conversations/${group}/users/${(await ann.get('/api/me')).json().id}`)
  t.match((await server.post(`/api/conversations/${group}/messages`, { text: 'Hi', as: { agent: 'Maria' } })).json(), { code: 'CONVERSATION_NOT_FOUND' })
})

t.test('names and texts are checked as all are', async t => {
  const app = await startApp(t)
  const { server, url } = await shop(app)
  const details = async (as: unknown, text = 'Hi') => (await server.post(url, { text, as })).json().details
  for (const as of [{}, { name: 'Maria' }]) t.same(await details(as), [{ path: 'as', message: 'must name either a bot or an agent' }], JSON.stringify(as))
  for (const as of ['Maria', null, []]) t.same(await details(as), [{ path: 'as', message: 'must be an object' }], JSON.stringify(as))
  t.same(await details({ agent: 'Maria', bot: 'simulated' }), [{ path: 'as', message: 'may have at most 1 entry' }])
  const rule = [{ path: 'as.agent', message: 'may not contain control characters, line breaks or marks that reorder text' }]
  for (const agent of ['Ma\nria', 'Ma\u0007ria', 'Ma\u2028ria', '\u202eairaM', '\u2066Maria']) t.same(await details({ agent }), rule, encodeURIComponent(agent))
  t.same(await details({ agent: ' ' }), [{ path: 'as.agent', message: 'must not be empty' }])
  t.same(await details({ agent: 'x'.repeat(101) }), [{ path: 'as.agent', message: 'may have at most 100 characters' }])
  t.same(await details({ agent: 7 }), [{ path: 'as.agent', message: 'must be a string' }])
  t.match((await server.post(url, { text: 'Hi', as: { agent: 'Ma\0ria' } })).json(), { statusCode: 400 })
  const parts = [{ type: 'text', text: 'Your order' }, { type: 'data', name: 'order', data: { id: 7 } }]
  t.match((await server.post(url, { parts, metadata: { case: 1 }, as: { agent: 'Maria' } })).json(), [{ text: /Your order/, parts, metadata: { case: 1 } }])
  t.match((await server.post(url, { as: { agent: 'Maria' } })).json(), { details: [{ path: 'text', message: 'is required' }] })
  t.same(await details({ agent: 'Maria' }, ' '), [{ path: 'text', message: 'must not be empty' }])
  const agent = '👩‍💻'.repeat(33)
  t.match((await server.post(url, { text: 'x'.repeat(100_000), as: { agent } })).json(), [{ username: agent }], 'and as long as a bot’s may be')
})

t.test('a message with a client id is stored once, on two instances too', async t => {
  const one = await startApp(t)
  const two = await startApp(t, {}, undefined, one.connection)
  const { boss, server, serverWith, key, ann, url } = await shop(one)
  const other = (await ann.post('/api/conversations', { name: 'Other' })).json().id
  const elsewhere = two.clientOf(server.headers)
  const body = { text: 'It is on its way.', as: { agent: 'Maria' }, client_id: 'case-1' }
  const answers = await Promise.all(Array.from({ length: 6 }, (_, n) => (n % 2 === 0 ? server : elsewhere).post(url, body)))
  const [first, ...others] = new Set(answers.map(({ statusCode, body }) => `${statusCode} ${body}`))
  t.match(first, /^201 /)
  t.same(others, [], 'six at once on two instances get the same answer')
  t.equal((await ann.get(url)).json().length, 1)
  t.match((await server.post(url, { text: body.text, as: body.as }, { 'idempotency-key': 'case-1' })).json(), answers[0]!.json(), 'by the header, too')
  t.equal((await boss.get('/api/admin/log?action=message.post')).json().length, 1)

  for (const changes of [{ text: 'Another' }, { as: { agent: 'Mario' } }, { as: { bot: 'simulated' } }]) {
    t.match((await server.post(url, { ...body, ...changes })).json(), { statusCode: 409, code: 'IDEMPOTENCY_MISMATCH' }, JSON.stringify(changes))
  }
  t.match((await server.post(`/api/conversations/${other}/messages`, body)).json(), { code: 'IDEMPOTENCY_MISMATCH' })
  t.equal((await (await serverWith(['act'])).server.post(url, body)).statusCode, 201, 'another key has ids of its own')
  t.match((await ann.post(url, { text: 'Mine', client_id: 'case-1' })).json(), [{ username: 'Ann' }, { sender: 'bot' }], 'and so has a user')
  await ann.delete(`${url}/1`)
  t.match((await server.post(url, body)).json(), [{ id: 1, status: 'deleted', text: '' }], 'what was deleted is not written again')

  // Another instance stores the same client id in another conversation, but has not committed yet.
  const lock = await holdLock(t, one.connection, other)
  await lock.query(`INSERT INTO messages (conversation_id, id, rev, sender, agent_name, text, server_key_id, client_id) VALUES (${other}, 1, 1, 'bot', 'Maria', 'Hi', ${key}, 'case-2')`)
  const raced = server.post(url, { ...body, client_id: 'case-2' })
  await lock.until(1)
  await lock.release()
  t.match((await raced).json(), { statusCode: 409, code: 'IDEMPOTENCY_MISMATCH' })
})

t.test('it appears live to everybody, on every instance', async t => {
  const one = await startLive(t)
  const two = await startLive(t, {}, one.connection)
  const { server, ann, id, url } = await shop(one)
  const stream = await listen(t, `${two.url}/api/conversations/${id}/events`, ann.headers)
  const joined = await connect(t, two.url, { auth: { token: tokenOf(ann) } })
  const { heard, join } = follow(joined)
  await join(id)
  const legacy = await connect(t, one.url, { auth: { token: tokenOf(ann) } })
  const told: Live[] = []
  legacy.on('new_message', message => told.push(message))
  const { chat_session_id: begun } = await legacy.emitWithAck('start_chat', {})

  await server.post(url, { text: 'Hello', as: { agent: 'Maria' } })
  await server.post(`/api/conversations/${begun}/messages`, { text: 'Hello', as: { agent: 'Maria' } })
  await until(() => stream.events.length > 0 && heard.length > 0 && told.length > 0)
  const expected = { sender: 'bot', username: 'Maria', text: 'Hello', status: 'complete' }
  t.match(stream.events, [{ event: 'message', data: { id: 1, ...expected } }])
  t.match(heard, [{ chat_session_id: id, isLocal: false, ...expected }])
  t.match(told, [{ chat_session_id: begun, isLocal: false, ...expected }], 'a legacy client sees a sender that it knows')
})

t.test('on WhatsApp it is sent to the phone, as a reply is', async t => {
  const app = await start(t, { bot: 'simulated' })
  const { server } = await shop(app, ['users', 'act'])
  const { deliver, ledgerIs, allDone, meta, said, query } = app
  await deliver(from(ANN, 'Hi'))
  await deliver(from(BOB, 'Hi'))
  await ledgerIs([{ state: 'sent' }, { state: 'sent' }])
  const placeOf = async (address: string) => (await query('SELECT c.id FROM conversations c JOIN identities i ON i.user_id = c.owner_id WHERE i.address = $1', [address]))[0].id
  const url = `/api/conversations/${await placeOf(BOB)}/messages`
  const body = { text: 'It is on its way.', as: { agent: 'Maria' }, client_id: 'one' }
  t.match((await server.post(url, body)).json(), [{ id: 3, username: 'Maria' }])
  t.match((await server.post(url, body)).json(), [{ id: 3 }])
  await ledgerIs([{ state: 'sent' }, { state: 'sent' }, { state: 'sent', contact: BOB }])
  t.match(meta.sent[2]!.body, { to: BOB, type: 'text', text: { body: 'It is on its way.' } })
  await deliver(webhook({ statuses: [status(meta.sent[2]!.id, BOB, 'read')] }))
  await ledgerIs([{}, {}, { state: 'read' }])
  t.same(await said(BOB), ['user: Hi', 'bot: You said: Hi', 'bot: It is on its way.'])

  await server.post(url, { text: `${'x'.repeat(4096)} ${'y'.repeat(10)}`, as: { bot: 'simulated' } })
  await ledgerIs([{}, {}, {}, { part: 0, state: 'sent' }, { part: 1, state: 'sent' }])
  await deliver(from(BOB, 'Thanks'))
  await allDone()
  t.match((await said(BOB)).slice(-2), ['user: Thanks', 'bot: You said: Thanks'], 'the contact’s answer comes into the same conversation')
  t.equal(meta.sent.filter(({ body }) => body['to'] === ANN).length, 1, 'nobody else got anything')

  t.comment('A contact is found by the user id, since another contact may have the number by now')
  await query('UPDATE whatsapp_contacts SET user_id = $1, phone = NULL WHERE contact = $2', [USER_ID, BOB])
  await query('INSERT INTO identities SELECT channel, $1, user_id FROM identities WHERE address = $2', [USER_ID, BOB])
  await query("INSERT INTO whatsapp_contacts (contact, user_id, phone, last_message_at) VALUES ('US.2', 'US.2', $1, now())", [BOB])
  await server.post(url, { text: 'Still there?', as: { agent: 'Maria' } })
  await allDone()
  t.match(meta.sent.at(-1)!.body, { recipient: USER_ID, text: { body: 'Still there?' } })
  t.notOk(meta.sent.at(-1)!.body['to'])
})

t.test('outside of WhatsApp’s window of 24 hours it is in the log, and the ledger says that it was not sent', async t => {
  const app = await start(t, { bot: 'simulated' })
  const { server } = await shop(app)
  await app.deliver(from(ANN, 'Hi'))
  await app.ledgerIs([{ state: 'sent' }])
  await app.query("UPDATE whatsapp_contacts SET last_message_at = now() - interval '25 hours'")
  const [{ id }] = await app.query("SELECT id FROM conversations WHERE origin = 'whatsapp'")
  t.equal((await server.post(`/api/conversations/${id}/messages`, { text: 'Hello?', as: { agent: 'Maria' } })).statusCode, 201)
  await app.ledgerIs([{}, { state: 'window_closed' }])
  t.equal(app.meta.sent.length, 1)
})

t.test('on WhatsApp it is sent to the contact’s new number, also while the notice of that number waits to be processed', async t => {
  const app = await start(t, { bot: 'simulated', works: false })
  const { server } = await shop(app)
  const { deliver, allDone, meta, query } = app
  const { stop } = await app.work()
  await deliver(from(ANN, 'Hi'))
  await allDone()
  await stop()
  await deliver(webhook({ messages: [text(ANN, '', { type: 'system', text: undefined, system: { type: 'user_changed_number', wa_id: BOB } })] }))
  const [{ id }] = await query("SELECT id FROM conversations WHERE origin = 'whatsapp'")
  const post = async (body: string) => (await server.post(`/api/conversations/${id}/messages`, { text: body, as: { agent: 'Maria' } })).statusCode
  t.equal(await post('It is on its way.'), 201)
  await app.work()
  await allDone()
  t.match(meta.sent.at(-1), { to: BOB, text: 'It is on its way.' })

  t.comment('A contact that an earlier version has given to the new owner of the old number')
  await query('UPDATE whatsapp_contacts SET phone = contact')
  await query("WITH made AS (INSERT INTO users (origin) VALUES ('whatsapp') RETURNING id) INSERT INTO identities SELECT 'whatsapp', $1, id FROM made", [ANN])
  t.equal(await post('Still there?'), 201)
  await app.ledgerIs([{ contact: ANN }, { contact: ANN }, { contact: BOB, state: 'window_closed' }])
})
