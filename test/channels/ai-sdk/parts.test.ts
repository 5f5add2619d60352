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
