import t from 'tap'
import { startLive } from '../../support/live.ts'
import { until } from '../../support/process.ts'
import { VERSIONS } from '../../support/ui-chat.ts'

// The AI SDK's own clients show replies of several parts: in a stream, when it is resumed, and in the history.

for (const [version, create] of VERSIONS) {
  t.test(version, async t => {
    const { url, as, bots, slowChat, query } = await startLive(t)
    bots.takeOver()
    const ann = await as('ann')
    await slowChat(ann)
    await query("UPDATE conversations SET client_id = 'chat'")
    const front = { url, headers: ann.headers, id: 'chat' }
    const chat = create(front)
    const partsOf = (chat: ReturnType<typeof create>) => (chat.messages.at(-1)?.parts ?? []).flatMap(({ type, text = '' }) => type === 'step-start' ? [] : [`${type} ${text}`.trim()])
    const sent = chat.sendMessage({ text: 'Hello' })
    const call = await bots.call(1)
    call.think('They')
    call.say('\0') // nothing that can be shown, so the reasoning goes on
    call.think(' greet')
    await until(() => partsOf(chat).join() === 'reasoning They greet')
    call.say('Well')
    await until(() => partsOf(chat).join() === 'reasoning They greet,text Well')
    await until(async () => (await query('SELECT text FROM messages WHERE id = 2'))[0].text === 'Well')

    const other = create({ ...front, messages: (await ann.get('/api/chat/chat')).json() })
    const resumed = other.resumeStream()
    await until(() => other.status === 'streaming')
    call.think('And now?')
    call.say(' then')
    call.give({ part: { type: 'source', url: 'https://example.com/', title: 'A' }, isSaid: true })
    call.give({ part: { type: 'choices', choices: [{ id: 'y', title: 'Yes' }] }, isSaid: true })
    call.give({ part: { type: 'data', name: 'card', data: { a: 1 } }, isSaid: true })
    call.end()
    await Promise.all([sent, resumed])
    const expected = ['reasoning They greet', 'text Well', 'reasoning And now?', 'text  then', 'source-url', 'data-choices', 'data-card']
    for (const each of [chat, other]) t.same([each.status, each.error, partsOf(each)], ['ready', undefined, expected])
    const history = (await ann.get('/api/chat/chat')).json()
    t.same(partsOf(create({ ...front, messages: history })), expected)
    t.match(chat.messages.at(-1)!.parts.at(-1), { type: 'data-card', data: { a: 1 } })
  })
}

t.test('a message with the largest metadata is regenerated from the history, where it has more', async t => {
  const { url, as, slowChat, query } = await startLive(t)
  const ann = await as('ann')
  const id = String(await slowChat(ann))
  const metadata = { note: 'x'.repeat(4_080) }
  const post = async (body: object) => await ann.post('/api/chat', { id, ...body })
  t.equal((await post({ messages: [{ id: 'one', role: 'user', parts: [{ type: 'text', text: 'Hello' }], metadata }] })).statusCode, 200)
  const messages = (await ann.get(`/api/chat/${id}`)).json()
  t.match(messages[0].metadata, { id: 1, rev: 1, username: 'ann', ...metadata })
  for (const [version, create] of VERSIONS) {
    const chat = create({ url, headers: ann.headers, id, messages })
    await chat.regenerate()
    t.same([chat.status, chat.error?.message], ['ready', undefined], version)
  }
  t.equal((await post({ message: messages[0], messageId: 'm1' })).statusCode, 200, 'edited')
  t.same(await query('SELECT metadata FROM messages WHERE id = 1'), [{ metadata }])
  t.match(await post({ message: { ...messages[0], metadata: { note: 'x'.repeat(4_100) } } }), { statusCode: 400, body: /4 KiB/ })
})
