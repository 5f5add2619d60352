import t from 'tap'
import { startApp, type Client } from '../support/helper.ts'

// The fields that a client sets on a conversation: its own id (`client_id`) and `metadata`.

const begin = (client: Client, more: object) => client.post('/api/conversations', { name: 'Plans', ...more })

t.test('creating a conversation again with the same client_id returns the existing one', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  const first = await begin(ann, { client_id: 'chat-1', metadata: { topic: 'tea' } })
  t.equal(first.statusCode, 201)
  const { id } = first.json()
  t.same(first.json(), { id, name: 'Plans', client_id: 'chat-1', metadata: { topic: 'tea' } })
  const again = await ann.post('/api/conversations', { name: 'Other plans', client_id: 'chat-1', bots: ['nobody'], metadata: {} })
  t.equal(again.statusCode, 200)
  t.same(again.json(), first.json(), 'the existing conversation is unchanged')
  t.same(await query('SELECT id FROM conversations'), [{ id: String(id) }])

  const bob = await as('bob')
  const bobs = await begin(bob, { client_id: 'chat-1' })
  t.equal(bobs.statusCode, 201, 'another user can use the same id')
  t.not(bobs.json().id, id)
})

t.test('ten concurrent requests with one client_id create one conversation', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  const answers = await Promise.all(Array.from({ length: 10 }, () => begin(ann, { client_id: 'raced' })))
  t.same(answers.map(({ statusCode }) => statusCode).sort(), [...Array(9).fill(200), 201])
  t.equal(new Set(answers.map(answer => answer.json().id)).size, 1)
  t.same(await query('SELECT client_id FROM conversations'), [{ client_id: 'raced' }])
  t.equal((await query('SELECT FROM conversation_users')).length, 1)
  t.equal((await query('SELECT FROM conversation_bots')).length, 1)
})

t.test('the client_id of a refused request can be used again', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  t.match((await begin(ann, { client_id: 'free', bots: ['nobody'] })).json(), { code: 'BOT_NOT_FOUND' })
  t.equal((await begin(ann, { client_id: 'free' })).statusCode, 201)
  t.equal((await begin(ann, {})).statusCode, 201, 'without a client_id each request creates a conversation')
  t.same((await begin(ann, {})).json(), { id: (await ann.get('/api/conversations')).json()[0].id, name: 'Plans' })
})

t.test('which values of client_id are valid', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const details = async (client_id: string) => (await begin(ann, { client_id })).json().details
  t.same(await details(''), [{ path: 'client_id', message: 'must not be empty' }])
  t.same(await details('é'), [{ path: 'client_id', message: 'may contain only printable ASCII characters' }])
  t.same(await details('x'.repeat(256)), [{ path: 'client_id', message: 'may have at most 255 characters' }])
  t.equal((await begin(ann, { client_id: '"/~ '.repeat(63) })).statusCode, 201)
  t.equal((await ann.get('/api/conversations')).json()[0].client_id, '"/~ '.repeat(63))
})

t.test('members do not see the owner\'s id, and a new owner has none', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const bob = await as('bob')
  const { id } = (await begin(ann, { client_id: 'mine', metadata: { topic: 'tea' } })).json()
  const url = `/api/conversations/${id}`
  await ann.post(`${url}/users`, { username: 'bob' })
  t.match((await ann.get(url)).json(), { client_id: 'mine', metadata: { topic: 'tea' } })
  t.equal((await bob.get(url)).json().client_id, undefined)
  t.equal((await bob.get('/api/conversations')).json()[0].client_id, undefined)
  t.same((await bob.put(url, { name: 'Ours', metadata: { topic: 'milk' } })).json(), { id, name: 'Ours', metadata: { topic: 'milk' } })
  t.same((await ann.patch(url, {})).json(), { id, name: 'Ours', client_id: 'mine', metadata: { topic: 'milk' }, when_busy: 'queue' })

  t.equal((await begin(bob, { client_id: 'mine' })).statusCode, 201)
  const me = (await ann.get('/api/me')).json().id
  t.equal((await ann.delete(`${url}/users/${me}`)).statusCode, 204, 'bob, who has this id already, becomes the owner')
  t.equal((await bob.get(url)).json().client_id, undefined)
  t.equal((await begin(ann, { client_id: 'mine' })).statusCode, 201, 'Ann has left, so she can use the id for another conversation')
})

t.test('metadata is stored unchanged, replaced as a whole, and returned wherever the conversation is', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const metadata = { z: 1, a: [null, true, 1.5, 1e300], '': { 'ä"\\': '😀\u2028' } }
  const { id } = (await begin(ann, { metadata })).json()
  const url = `/api/conversations/${id}`
  const asText = JSON.stringify(metadata)
  for (const address of [url, '/api/conversations']) {
    const { body } = await ann.get(address)
    t.ok(body.includes(`"metadata":${asText},`), `${address}: unchanged, with the keys in the same order`)
  }
  t.match((await ann.get('/api/me/export')).json().conversations[0], { client_id: null, metadata })
  t.same((await ann.put(url, { name: 'Plans' })).json().metadata, metadata, 'metadata that is not in a request stays')
  t.same((await ann.put(url, { name: 'Plans', metadata: { one: 1 } })).json().metadata, { one: 1 })
  t.same((await ann.patch(url, { metadata: {} })).json(), { id, name: 'Plans', metadata: {}, when_busy: 'queue' })
  t.same((await ann.get(url)).json().metadata, {})
})

t.test('metadata is an object of at most 4 KiB', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const details = async (metadata: unknown) => (await begin(ann, { metadata })).json().details
  const tooLarge = [{ path: 'metadata', message: 'may have at most 4 KiB as JSON, and 100 levels' }]
  const nested = async (levels: number) => await ann.post('/api/conversations',
    `{"name":"Plans","metadata":${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}}`, { 'content-type': 'application/json' })
  t.same(await details({ text: 'x'.repeat(4096) }), tooLarge)
  t.same(await details({ text: 'é'.repeat(2048) }), tooLarge, 'the limit is in bytes')
  t.same((await nested(101)).json().details, tooLarge)
  t.same((await nested(10_000)).json().details, tooLarge, 'nested deeper than the call stack allows')
  t.same(await details(['a']), [{ path: 'metadata', message: 'must be an object' }])
  t.same(await details(null), [{ path: 'metadata', message: 'must be an object' }])
  const largest = { text: 'x'.repeat(4096 - '{"text":""}'.length) }
  t.same((await begin(ann, { metadata: largest })).json().metadata, largest)
  t.equal((await nested(100)).statusCode, 201)
})

t.test('a bot gets the metadata', async t => {
  const { as, bots, slowChat } = await startApp(t)
  bots.takeOver()
  const ann = await as('ann')
  const url = `/api/conversations/${await slowChat(ann)}`
  await ann.patch(url, { metadata: { order: 7 } })
  const sent = ann.post(`${url}/messages`, { text: 'Hi' })
  const { context, end } = await bots.call(1)
  end()
  await sent
  t.match(context.conversation, { name: 'Slow', metadata: { order: 7 } })
})
