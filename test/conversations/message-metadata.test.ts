import t from 'tap'
import { startApp } from '../support/helper.ts'
import { connect, follow, next, startLive, tokenOf, type Live } from '../support/live.ts'
import { oneInstance } from '../support/slow-replies.ts'

const METADATA = { z: 1, a: [null, true, 1.5], '': { 'ä"\\': '😀\u2028' } }

t.test('metadata of a message is stored unchanged, and returned wherever the message is', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const url = `/api/conversations/${id}`
  const sent = await ann.post(`${url}/messages`, { text: 'Hi', client_id: 'mine', metadata: METADATA })
  t.equal(sent.statusCode, 201)
  const asText = `"metadata":${JSON.stringify(METADATA)}`
  t.ok(sent.body.includes(asText))
  t.notOk('metadata' in sent.json()[1], 'a bot\'s reply has none')
  for (const address of ['/api/conversations', url, `${url}/messages`, `${url}/messages?after=0`, `${url}/messages/1`]) {
    t.ok((await ann.get(address)).body.includes(asText), `${address}: unchanged, with the keys in the same order`)
  }
  const exported = (await ann.get('/api/me/export')).json().conversations[0].messages
  t.match(exported, [{ id: 1, metadata: METADATA }, { id: 2, metadata: null }])

  const again = await ann.post(`${url}/messages`, { text: 'Hi', client_id: 'mine', metadata: { other: 1 } })
  t.same(again.json(), sent.json(), 'a repeated request gets the first answer')
  t.match((await ann.put(`${url}/messages/1`, { text: 'Hello' })).json(), { text: 'Hello', metadata: METADATA }, 'an edit keeps it')
  await ann.delete(`${url}/messages/1`)
  t.notOk((await ann.get(`${url}/messages?after=0`)).body.includes('metadata'))
  t.same(await query('SELECT metadata FROM messages ORDER BY id'), [{ metadata: null }, { metadata: null }], 'deleting a message deletes it')
})

t.test('metadata is an object of at most 4 KiB, and counts for the length of a page', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: [] })).json()
  const url = `/api/conversations/${id}`
  const details = async (metadata: unknown) => (await ann.post(`${url}/messages`, { text: 'Hi', metadata })).json().details
  t.same(await details({ text: 'x'.repeat(4096) }), [{ path: 'metadata', message: 'may have at most 4 KiB as JSON, and 100 levels' }])
  t.same(await details(['a']), [{ path: 'metadata', message: 'must be an object' }])
  const largest = { text: 'x'.repeat(4096 - '{"text":""}'.length) }
  await Promise.all(Array.from({ length: 260 }, async () => await ann.post(`${url}/messages`, { text: 'Hi', metadata: largest })))
  const page = await ann.get(`${url}/messages?limit=200`)
  t.equal(page.json().length, 200)
  const all = await ann.get(`${url}/messages?after=0&limit=200`)
  t.equal(all.json().length, 64, 'a reader of changes gets about 256 KiB at once')
  t.ok((await ann.get(`${url}?messages=200`)).body.length < 1024 * 1024)
})

t.test('sockets and event streams show metadata', async t => {
  const { url, as } = await startLive(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const [sender, reader] = await Promise.all([1, 2].map(async () => await connect(t, url, { auth: { token: tokenOf(ann) } })))
  await follow(reader!).join(id)
  const heard = next<Live>(reader!, 'new_message')
  const { messages } = await sender!.emitWithAck('send_message', { chat_session_id: id, text: 'Hi', metadata: METADATA })
  t.match(messages, [{ metadata: METADATA, isLocal: true }, { text: 'You said: Hi' }])
  t.match(await heard, { text: 'Hi', metadata: METADATA })
  const stream = await ann.post(`/api/conversations/${id}/messages`, { text: 'Ho', metadata: METADATA }, { accept: 'text/event-stream' })
  t.ok(stream.body.includes(`"metadata":${JSON.stringify(METADATA)}`))
})

t.test('a bot gets the metadata of the message that it answers, also when it answers again', async t => {
  const { ann, url, bots } = await oneInstance(t)
  const sent = ann.post(`${url}/messages`, { text: 'Hi', metadata: { order: 7 } })
  const first = await bots.call(1)
  first.end()
  await sent
  t.match(first.context.message, { id: 1, replyId: 2, metadata: { order: 7 } })
  const again = ann.post(`${url}/messages/2/regenerate`)
  const second = await bots.call(2)
  second.end()
  await again
  t.match(second.context.message, { id: 1, replyId: 2, metadata: { order: 7 } })
})

t.test('metadata of the AI SDK', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const message = { id: 'one', role: 'user', metadata: { order: 7, id: 'mine' }, parts: [{ type: 'text', text: 'Hi' }] }
  t.equal((await ann.post('/api/chat', { id: 'chat', message })).statusCode, 200)
  const [question, reply] = (await ann.get('/api/chat/chat')).json()
  t.match(question, { id: 'm1', metadata: { order: 7, id: 1, rev: 1, status: 'complete' } }, 'our fields come over those of the client')
  t.same(Object.keys(reply.metadata), ['id', 'rev', 'username', 'created_at', 'status'])
})
