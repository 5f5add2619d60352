import t from 'tap'
import { createDb } from '../../src/db/client.ts'
import { createLog } from '../../src/log/log.ts'
import { createReplyStore } from '../../src/replies/store.ts'
import { freshDatabase, holdLock, run, silent, startApp, type Client } from '../support/helper.ts'

type Sent = Array<{ id: number, rev: number, text: string }>

/** Two instances on one database, one user with a client at both, and a conversation of that user. */
async function twoInstances (t: Parameters<typeof startApp>[0], bots = ['simulated']) {
  const one = await startApp(t)
  const two = await startApp(t, {}, undefined, one.connection)
  const ann = await one.as('ann')
  const clients = [ann, two.clientOf(ann.headers)]
  const begin = async () => `/api/conversations/${(await ann.post('/api/conversations', { name: 'Plans', bots })).json().id}/messages`
  return { ...one, clients, begin, url: await begin(), anyones: [one.anyone, two.anyone] }
}

t.test('concurrent messages to one conversation are stored in order, each with its reply, without a gap', async t => {
  const { clients, url } = await twoInstances(t)
  const sent = await Promise.all(Array.from({ length: 60 }, (_, n) => clients[n % 2]!.post(url, { text: `m${n}` })))
  for (const answer of sent) {
    const [mine, reply] = answer.json() as Sent
    t.equal(reply!.id, mine!.id + 1)
  }
  const log = (await clients[0]!.get(`${url}?limit=200`)).json() as Sent
  t.same(log.map(({ id }) => id), Array.from({ length: 120 }, (_, n) => n + 1))
  t.same(log.map(({ rev }) => rev), log.map(({ id }) => id))
  t.same(log.filter((_, n) => n % 2 === 1).map(({ text }) => text), log.filter((_, n) => n % 2 === 0).map(({ text }) => `You said: ${text}`))
})

t.test('a guided script gets the state after the last message, on whichever instance the message arrives', async t => {
  const { clients, anyones, url, query } = await twoInstances(t, ['favorite-song'])
  const said = await Promise.all(Array.from({ length: 30 }, (_, n) => clients[n % 2]!.post(url, { text: 'hello' })))
  const counted = (texts: string[]) => ['What is your name?', 'Hello hello, what is your favorite song?', 'Playing hello'].map(line => texts.filter(text => text === line).length)
  t.same(counted(said.map(answer => answer.json()[1].text)), [10, 10, 10])
  const [{ last_rev: lastRev }] = await query('SELECT last_rev::int FROM conversations')
  t.equal(lastRev, 60, 'requests that were retried used no rev')

  const phoned = await Promise.all(Array.from({ length: 50 }, (_, n) => anyones[n % 2]!.post('/chat', { user_phone: '123456', user_message: 'hello' })))
  t.same(counted(phoned.map(answer => answer.json().bot_message)), [17, 17, 16])
})

t.test('the same client id 20 times at once: one message, one reply, 20 equal answers', async t => {
  const { clients, url, query } = await twoInstances(t)
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => n % 3 === 0
    ? clients[n % 2]!.post(url, { text: 'once', client_id: 'c1' })
    : clients[n % 2]!.post(url, { text: ' once ' }, { 'idempotency-key': 'c1' })))
  t.ok(answers.every(({ statusCode }) => statusCode === 201))
  t.equal(new Set(answers.map(({ body }) => body)).size, 1)
  t.same(await query('SELECT text FROM messages ORDER BY id'), [{ text: 'once' }, { text: 'You said: once' }])
  t.match(await query('SELECT last_rev::int FROM conversations'), [{ last_rev: 2 }])
})

t.test('two requests with a new client id at the same moment: one stores, the other gives the same answer', async t => {
  const { connection, clients, url, query } = await twoInstances(t)
  const lock = await holdLock(t, connection, 1)
  const sending = clients.map(client => client.post(url, { text: 'once', client_id: 'raced' }))
  await lock.until(2)
  await lock.release()
  const [one, two] = await Promise.all(sending)
  t.equal(one!.statusCode, 201)
  t.equal(one!.body, two!.body)
  t.match(await query('SELECT last_rev::int FROM conversations'), [{ last_rev: 2 }])
  t.equal((await clients[0]!.post(url, { text: 'next' })).json()[0].id, 3)
})

t.test('a client id is bound to one text in one conversation of one author', async t => {
  const { clients: [ann], begin, url, as } = await twoInstances(t)
  const send = (client: Client, url: string, text: string) => client.post(url, { text, client_id: 'c 1~' })
  const first = (await send(ann!, url, 'hi')).json()
  const mismatch = { statusCode: 409, code: 'IDEMPOTENCY_MISMATCH' }
  t.match((await send(ann!, url, 'ho')).json(), mismatch)
  t.match((await send(ann!, await begin(), 'hi')).json(), mismatch)

  await ann!.put(`${url}/1`, { text: 'edited' })
  t.match((await send(ann!, url, 'hi')).json(), [{ id: 1, text: 'edited' }, first[1]], 'a retry is recognised by the text that was sent first, and gets the message as it is now')
  t.match((await send(ann!, url, 'edited')).json(), mismatch)

  const bob = await as('bob')
  const { id } = (await bob.post('/api/conversations', { name: 'Bob’s' })).json()
  t.equal((await send(bob, `/api/conversations/${id}/messages`, 'ho')).statusCode, 201)
  for (const clientId of ['', 'x'.repeat(256), 'é', 'a\nb', 7]) {
    t.equal((await ann!.post(url, { text: 'hi', client_id: clientId })).statusCode, 400, JSON.stringify(clientId))
  }
  const both = await Promise.all([url, await begin()].map(url => ann!.post(url, { text: 'where?', client_id: 'both' })))
  t.same(both.map(({ statusCode }) => statusCode).sort(), [201, 409])
})

t.test('a member who is removed while their message waits for the lock cannot write', async t => {
  const { connection, clients: [ann], url, query } = await twoInstances(t)
  const lock = await holdLock(t, connection, 1)
  const sending = ann!.post(url, { text: 'too late' })
  await lock.until(1)
  await lock.query('DELETE FROM conversation_users')
  await lock.release()
  t.match((await sending).json(), { statusCode: 404, code: 'CONVERSATION_NOT_FOUND' })
  t.same(await query('SELECT FROM messages'), [])
  t.match(await query('SELECT last_rev::int FROM conversations'), [{ last_rev: 0 }])
})

t.test('an edit answers with its own result, even if another follows at once', async t => {
  const { clients, url } = await twoInstances(t)
  await clients[0]!.post(url, { text: 'first' })
  const edits = await Promise.all(Array.from({ length: 20 }, (_, n) => clients[n % 2]!.put(`${url}/1`, { text: `edit ${n}` })))
  t.same(edits.map(answer => answer.json().text), Array.from({ length: 20 }, (_, n) => `edit ${n}`))
  t.equal(new Set(edits.map(answer => answer.json().rev)).size, 20)
})

t.test('edits, deletions and new messages at once: every rev once, none left out', async t => {
  const { clients, url, query } = await twoInstances(t)
  for (let n = 0; n < 10; n++) await clients[0]!.post(url, { text: `m${n}` })
  await Promise.all(Array.from({ length: 10 }, (_, n) => {
    const client = clients[n % 2]!
    return Promise.all([client.put(`${url}/${2 * n + 1}`, { text: 'edited' }), client.delete(`${url}/${2 * n + 2}`), client.post(url, { text: 'new' })])
  }))
  const revs = (await query('SELECT rev::int FROM messages ORDER BY rev')).map(({ rev }) => rev)
  t.same(revs, Array.from({ length: 40 }, (_, n) => n + 21))
  t.match(await query('SELECT last_rev::int FROM conversations'), [{ last_rev: 60 }])
})

for (const [replies, text] of [['known', 'Yes'], ['streamed', null]] as const) {
  t.test(`a reply that finishes the conversation ends while the next message, whose reply is ${replies}, is stored`, async t => {
    const connection = await freshDatabase(t)
    const db = createDb(connection, silent)
    t.teardown(() => db.$client.end())
    await run(connection, `
      INSERT INTO users (username, username_key) VALUES ('ann', 'ann');
      INSERT INTO conversations (owner_id, name, last_rev) VALUES (1, 'Plans', 2);
      INSERT INTO conversation_users (conversation_id, user_id) VALUES (1, 1);
      INSERT INTO conversation_bots (conversation_id, chatbot_id) SELECT 1, min(id) FROM chatbots;
      INSERT INTO messages (conversation_id, id, rev, sender, user_id, text) VALUES (1, 1, 1, 'user', 1, 'Hi');
      INSERT INTO messages (conversation_id, id, rev, sender, chatbot_id, reply_to, text, status, lease_owner, lease_until)
      SELECT 1, 2, 2, 'bot', min(id), 1, '', 'streaming', 'writer', now() + interval '8 seconds' FROM chatbots`)
    const log = createLog(db)
    const message = { author: { id: 1, username: 'ann' }, to: { conversation: 1 }, text: 'Next' }
    const read = await log.read(message)
    if (!('setting' in read)) return t.fail('the message is new')

    await createReplyStore(db).finish({ conversation: 1, id: 2, owner: 'writer', status: 'complete', at: 0, piece: 'Bye', parts: null, error: null, memory: { isFinished: true }, cost: null })
    const stored = await log.append(message, read.setting, [{ bot: read.setting.bots[0]!, answer: text === null ? null : { text } }], 'writer')
    t.equal(stored?.messages.length, 2)
    t.same(await run(connection, 'SELECT is_finished FROM conversations'), [{ is_finished: true }])
  })
}
