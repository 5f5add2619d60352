import t from 'tap'
import { startApp } from '../support/helper.ts'
import { connect, follow, next, startLive, tokenOf, type Live } from '../support/live.ts'

const TEXT = { type: 'text', text: 'The large one' }
const CHOICE = { type: 'choice', id: 'l', title: 'Large' }
const DATA = { type: 'data', name: 'form', data: { z: [1, null, true], a: { 'ä"\\': '😀\u2028' } } }

t.test('parts of a message are stored unchanged, and returned wherever the message is', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const url = `/api/conversations/${id}`
  const sent = await ann.post(`${url}/messages`, { text: 'Large, please', parts: [CHOICE, DATA], client_id: 'mine' })
  t.equal(sent.statusCode, 201)
  t.match(sent.json(), [{ text: 'Large, please', parts: [CHOICE, DATA] }, { text: 'You said: Large, please' }])
  t.notOk('parts' in sent.json()[1])
  const asText = `"parts":${JSON.stringify([CHOICE, DATA])}`
  for (const address of ['/api/conversations', url, `${url}/messages`, `${url}/messages?after=0`, `${url}/messages/1`]) {
    t.ok((await ann.get(address)).body.includes(asText), `${address}: unchanged`)
  }
  t.match((await ann.get('/api/me/export')).json().conversations[0].messages, [{ id: 1, parts: [CHOICE, DATA] }, { id: 2, parts: null }])
  t.same((await ann.post(`${url}/messages`, { text: 'Large, please', client_id: 'mine' })).json(), sent.json(), 'a repeated request gets the first answer')

  t.notOk('parts' in (await ann.put(`${url}/messages/1`, { text: 'Small' })).json(), 'an edit drops them')
  const [second] = (await ann.post(`${url}/messages`, { parts: [CHOICE] })).json()
  t.match(second, { text: 'Large', parts: [CHOICE] })
  await ann.delete(`${url}/messages/${second.id}`)
  t.same(await query('SELECT id::int FROM messages WHERE parts IS NOT NULL'), [], 'and so does deleting a message')

  const [third] = (await ann.post(`${url}/messages`, { parts: [CHOICE], metadata: { from: 'here' } })).json()
  await query("UPDATE messages SET status = 'deleted', text = '', rev = rev + 100 WHERE id = $1", [third.id])
  for (const path of [`/messages/${third.id}`, '/messages']) t.notMatch((await ann.get(`${url}${path}`)).body, /"(parts|metadata)"/, 'nor when a server of an earlier version deletes it')
})

t.test('without a text, the server writes down what the parts say', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const post = async (body: object) => (await ann.post(`/api/conversations/${id}/messages`, body)).json()
  t.match((await post({ parts: [{ ...TEXT, text: ' The large one ' }, DATA, CHOICE] }))[0], { text: 'The large one\n\nLarge', parts: [TEXT, DATA, CHOICE] }, 'texts are trimmed')
  t.match(await post({ parts: [DATA] }), { code: 'INVALID_REQUEST', details: [{ path: 'parts', message: 'has no text' }] })
  t.match((await post({ text: 'Filled in', parts: [DATA] }))[0], { text: 'Filled in', parts: [DATA] })
  t.match(await post({ parts: Array(2).fill({ ...TEXT, text: 'x'.repeat(60_000) }) }), { details: [{ path: 'parts', message: 'may have at most 100,000 characters of text, together with text' }] })
  t.match(await post({ text: 'x'.repeat(60_000), parts: [{ ...TEXT, text: 'x'.repeat(60_000) }] }), { details: [{ path: 'parts' }] }, 'nor in both together')
  t.match(await post({ parts: [{ ...TEXT, text: 'x'.repeat(9_000) }] }), { details: [{ path: 'text', message: 'may have at most 8,000 characters' }] }, 'as long as the bots take it')
  t.match(await post({}), { details: [{ path: 'text', message: 'is required' }] })
})

t.test('which parts a user can send', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: [] })).json()
  const details = async (parts: unknown) => (await ann.post(`/api/conversations/${id}/messages`, { text: 'Hi', parts })).json().details
  const rule = 'must be a text (text), a choice (id, title) or data (name, data of at most 16 KiB); parts of type file or tool cannot be sent yet'
  const wrong = [
    { type: 'file', url: 'data:,x' }, { type: 'tool' }, { type: 'reasoning', text: 'x' }, { type: 'source', url: 'https://example.com', title: 'x' },
    { type: 'choices', choices: [CHOICE] }, { type: 'text' }, { type: 'choice', id: 'x' }, { ...CHOICE, title: 'x'.repeat(301) }, { ...CHOICE, id: ' ' },
    { ...DATA, data: 'x'.repeat(16 * 1024 - 1) }, { type: 'data', data: 1 }, {}, 'x', null
  ]
  for (const part of wrong) t.same(await details([part]), [{ path: 'parts.0', message: rule }], JSON.stringify(part).slice(0, 60))
  t.same(await details([]), [{ path: 'parts', message: 'needs at least 1 entry' }])
  t.same(await details(Array(11).fill(CHOICE)), [{ path: 'parts', message: 'may have at most 10 entries' }])
  t.same(await details('x'), [{ path: 'parts', message: 'must be a list' }])
  const largest = [{ ...DATA, data: 'x'.repeat(16 * 1024 - 2) }, ...[null, 0, '', [], [[{ a: [1] }]]].map(data => ({ ...DATA, data })), ...Array(4).fill(CHOICE)]
  const sent = await ann.post(`/api/conversations/${id}/messages`, { text: 'Hi', parts: largest.map(part => ({ ...part, unknown: 1 })) })
  t.same(sent.json()[0].parts, largest, 'unknown fields are dropped, data is kept as it is')
})

t.test('sockets and event streams show parts, and pages count them', async t => {
  const { url, as } = await startLive(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: [] })).json()
  const [sender, reader] = await Promise.all([1, 2].map(async () => await connect(t, url, { auth: { token: tokenOf(ann) } })))
  await follow(reader!).join(id)
  const heard = next<Live>(reader!, 'new_message')
  const { messages } = await sender!.emitWithAck('send_message', { chat_session_id: id, parts: [CHOICE] })
  t.match(messages, [{ text: 'Large', parts: [CHOICE], isLocal: true }])
  t.match(await heard, { text: 'Large', parts: [CHOICE] })
  t.match(await sender!.emitWithAck('send_message', { chat_session_id: id, parts: [DATA] }), { code: 'INVALID_MESSAGE', error: 'parts has no text' })
  t.match(await sender!.emitWithAck('send_message', { chat_session_id: id }), { code: 'INVALID_MESSAGE', error: 'text is required' })
  const stream = await ann.post(`/api/conversations/${id}/messages`, { parts: [CHOICE] }, { accept: 'text/event-stream' })
  t.ok(stream.body.includes(`"parts":${JSON.stringify([CHOICE])}`))

  const large = { text: 'x', parts: Array(8).fill({ ...DATA, data: 'x'.repeat(16_000) }) }
  for (let n = 0; n < 16; n++) await ann.post(`/api/conversations/${id}/messages`, large)
  const page = await ann.get(`/api/conversations/${id}/messages`)
  t.ok(page.body.length < 1024 * 1024 && page.headers['link'] !== undefined, 'a page has at most 1 MiB')
  t.equal((await ann.get(`/api/conversations/${id}/messages?after=2`)).json().length, 3, 'about 256 KiB of changes come at once')
  t.ok((await ann.get(`/api/conversations/${id}`)).body.length < 1024 * 1024)
})

t.test('the AI SDK gets the parts of a message in its history', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans', client_id: 'chat' })).json()
  await ann.post(`/api/conversations/${id}/messages`, { parts: [CHOICE, DATA] })
  const parts = [{ type: 'reasoning', text: 'Hm' }, { type: 'text', text: 'Well' }, { type: 'source', url: 'https://example.com', title: 'A' }, { type: 'choices', choices: [{ id: 'y', title: 'Yes' }] }]
  await query("UPDATE messages SET parts = $1, text = 'Well' WHERE id = 2", [JSON.stringify(parts)])
  t.same((await ann.get('/api/chat/chat')).json().map(({ parts }: { parts: object[] }) => parts), [
    [{ type: 'data-choice', data: { id: 'l', title: 'Large' } }, { type: 'data-form', data: DATA.data }],
    [...parts.slice(0, 2), { type: 'source-url', sourceId: 's2', url: 'https://example.com', title: 'A' }, { type: 'data-choices', data: [{ id: 'y', title: 'Yes' }] }]
  ])
})
