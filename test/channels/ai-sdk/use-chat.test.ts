import t, { type Test } from 'tap'
import { holdLock } from '../../support/helper.ts'
import { startLive } from '../../support/live.ts'
import { until } from '../../support/process.ts'
import { isStored } from '../../support/slow-replies.ts'
import { shownIn, shows, VERSIONS, type UiMessage } from '../../support/ui-chat.ts'

// The AI SDK's own clients at our door, with nothing set but the host.

/** Ann, and a chat of hers with a bot that says what the test makes it say. */
async function start (t: Test) {
  const server = await startLive(t)
  server.bots.takeOver()
  const ann = await server.as('ann')
  const number = await server.slowChat(ann)
  await server.query("UPDATE conversations SET client_id = 'chat'")
  const { url, bots } = server
  return {
    ...server,
    ann,
    number,
    front: { url, headers: ann.headers, id: 'chat' },
    history: async (chat: string | number = 'chat'): Promise<UiMessage[]> => (await ann.get(`/api/chat/${chat}`)).json(),
    /** The bot's next reply, said at once. */
    async reply (times: number, text: string) {
      const { say, end } = await bots.call(times)
      say(text)
      end()
    }
  }
}

for (const [version, create] of VERSIONS) {
  t.test(`${version}: a new chat, with an id that the client made up`, async t => {
    const { url, ann, query, history } = await start(t)
    const chat = create({ url, headers: ann.headers })
    await chat.sendMessage({ text: 'Hello there' })
    t.equal(chat.status, 'ready')
    t.same(shownIn(chat), ['user: Hello there', 'assistant: You said: Hello there'])
    t.match(chat.messages[1], { id: 'm2', metadata: { id: 2, rev: 2, username: 'simulated', status: 'complete' } })
    t.same(await query('SELECT name, client_id FROM conversations ORDER BY id DESC LIMIT 1'), [{ name: 'Hello there', client_id: chat.id }])
    await chat.sendMessage({ text: 'Again' })
    t.equal(chat.messages.length, 4)
    const stored = await history(chat.id)
    t.same(stored.map(({ id, role, parts }) => [id, role, parts]), [
      ['m1', 'user', [{ type: 'text', text: 'Hello there' }]], ['m2', 'assistant', [{ type: 'text', text: 'You said: Hello there' }]],
      ['m3', 'user', [{ type: 'text', text: 'Again' }]], ['m4', 'assistant', [{ type: 'text', text: 'You said: Again' }]]
    ])
  })

  t.test(`${version}: a reply that grows, and another tab that resumes it in the middle`, async t => {
    const server = await start(t)
    const { front, bots, history } = server
    const chat = create(front)
    const sent = chat.sendMessage({ text: 'Hello' })
    const { say, end } = await bots.call(1)
    say('One')
    await shows(chat, 'assistant: One')
    t.equal(chat.status, 'streaming')
    await isStored(server, 2, 'One')

    const loaded = await history()
    t.match(loaded, [{ id: 'm1' }, { id: 'm2', parts: [{ text: 'One' }], metadata: { status: 'streaming' } }])
    const tab = create({ ...front, messages: loaded })
    const resumed = tab.resumeStream()
    await until(() => tab.status === 'streaming')
    say(' two')
    await shows(tab, 'assistant: One two')
    say(' three')
    end()
    await Promise.all([sent, resumed])
    for (const each of [chat, tab]) {
      t.equal(each.status, 'ready')
      t.same(shownIn(each), ['user: Hello', 'assistant: One two three'], 'without a duplicate')
      t.match(each.messages[1], { id: 'm2', metadata: { username: 'slow', status: 'complete' } })
    }
    const late = create({ ...front, messages: await history() })
    await late.resumeStream()
    t.equal(late.status, 'ready', 'nothing is under way')
    t.same(shownIn(late), ['user: Hello', 'assistant: One two three'])
  })

  t.test(`${version}: the AI SDK's own example of streams that can be resumed, with this server in the place of its own`, async t => {
    const server = await start(t)
    const { front, bots, history, ann } = server
    const chat = create({ ...front, sendsLastOnly: true })
    const sent = chat.sendMessage({ text: 'Hello' })
    const { say, end } = await bots.call(1)
    say('One')
    await shows(chat, 'assistant: One')
    await isStored(server, 2, 'One')
    await chat.stop() // as a page that is closed
    await sent
    const reloaded = create({ ...front, sendsLastOnly: true, messages: await history() })
    const resumed = reloaded.resumeStream()
    await until(() => reloaded.status === 'streaming')
    say(' two')
    end()
    await resumed
    t.same(shownIn(reloaded), ['user: Hello', 'assistant: One two'])
    t.equal(reloaded.status, 'ready')

    // Its stop sends the reply so far, which the server has already.
    const again = reloaded.sendMessage({ text: 'Again' })
    const long = 'x'.repeat(70_000)
    const call = await bots.call(2)
    call.say(long)
    await shows(reloaded, `assistant: ${long}`)
    const stopped = await ann.post('/api/chat/chat/stop', { assistantMessage: reloaded.messages.at(-1), activeStreamId: null })
    t.equal(stopped.statusCode, 204)
    await again
    t.match(reloaded.messages.at(-1)!.metadata, { status: 'stopped' })
    t.equal((await history()).at(-1)!.parts[0]!.text, long)
  })

  t.test(`${version}: a connection that breaks in the middle of a reply, which the same chat resumes`, async t => {
    const { app, front, bots } = await start(t)
    const chat = create(front)
    const sent = chat.sendMessage({ text: 'Hello' })
    const { say, end, signal } = await bots.call(1)
    say('One')
    await shows(chat, 'assistant: One')
    app.server.closeAllConnections()
    await sent
    t.equal(chat.status, 'error')
    t.equal(signal.aborted, false)
    const resumed = chat.resumeStream()
    await until(() => chat.status === 'streaming')
    say(' two')
    end()
    await resumed
    t.same(shownIn(chat), ['user: Hello', 'assistant: One two'], 'without a duplicate')
    t.same([chat.status, chat.error], ['ready', undefined])
  })

  t.test(`${version}: a connection that breaks before the reply begins, and the message sent again as it is`, async t => {
    const { app, front, bots, reply, history } = await start(t)
    let isLost = false
    const chat = create({
      ...front,
      async fetch (...request) {
        const answer = await fetch(...request)
        if (isLost) return answer
        isLost = true
        await answer.body!.cancel()
        throw new TypeError('fetch failed')
      }
    })
    await chat.sendMessage({ text: 'Hello' })
    const { say, end, signal } = await bots.call(1)
    t.same([chat.status, shownIn(chat)], ['error', ['user: Hello']])
    const hasStreams = async (open: number) => await until(async () => (await app.inject('/metrics')).body.includes(`parley_streams ${open}`))
    await hasStreams(0)
    const again = chat.sendMessage()
    await hasStreams(1)
    say('One')
    end()
    await again
    t.same([chat.status, shownIn(chat)], ['ready', ['user: Hello', 'assistant: One']])
    t.match(await history(), [{ role: 'user' }, { role: 'assistant', parts: [{ text: 'One' }] }])
    t.same([signal.aborted, bots.calls.length], [false, 1], 'the bot is asked once')

    await chat.sendMessage({ text: 'Hello', messageId: chat.messages[0]!.id })
    t.same([shownIn(chat), bots.calls.length], [['user: Hello', 'assistant: One'], 1], 'also when the reply has ended')
    await Promise.all([chat.sendMessage({ text: 'Hello again', messageId: chat.messages[0]!.id }), reply(2, 'Two')])
    t.same(shownIn(chat), ['user: Hello again', 'assistant: Two'])

    const next = chat.sendMessage({ text: 'Why?' })
    const { fail } = await bots.call(3)
    fail(new Error('it broke'))
    await next
    t.equal(chat.status, 'error')
    await Promise.all([chat.sendMessage({ text: 'Why?', messageId: chat.messages[2]!.id }), reply(4, 'Because')])
    t.same(shownIn(chat).slice(2), ['user: Why?', 'assistant: Because'], 'a reply that failed is asked for again')
  })

  t.test(`${version}: a connection that breaks while a model thinks, of which not all is stored when the same chat resumes`, async t => {
    const { app, front, bots, connection, number, query } = await start(t)
    for (const [nth, stored] of ['', 'They'].entries()) {
      const chat = create(front)
      const sent = chat.sendMessage({ text: 'Hello' })
      const reply = 3 * nth + 2
      const { think, say, end } = await bots.call(nth + 1)
      if (stored !== '') think(stored)
      await until(async () => (await query('SELECT parts FROM messages WHERE id = $1', [reply]))[0]?.parts?.[0].text === (stored || undefined))
      const lock = await holdLock(t, connection, number)
      await lock.query(`SELECT FROM messages WHERE id = ${reply} FOR UPDATE`) // what the reply grows by is not stored
      think(' greet'.slice(stored === '' ? 1 : 0))
      const showsAll = () => chat.messages.at(-1)!.parts.some(({ text }) => text?.endsWith('greet'))
      await until(showsAll)
      app.server.closeAllConnections()
      await sent
      const resumed = chat.resumeStream()
      await until(() => !showsAll())
      say('Well')
      await lock.release()
      end()
      await resumed
      t.equal(chat.status, 'ready')
      t.same(chat.messages.at(-1)!.parts.flatMap(({ type, text }) => text === undefined ? [] : [[type, text]]), [['reasoning', `${stored} greet`.trim()], ['text', 'Well']])
    }
  })

  t.test(`${version}: two bots, of which the first one asked replies in the response, and both in the history`, async t => {
    const server = await start(t)
    const { front, bots, ann, reply, history, query } = server
    await query("INSERT INTO chatbots (name, engine) VALUES ('second', 'webhook')")
    await ann.post('/api/conversations', { name: 'Two', bots: ['slow', 'second'], client_id: 'two' })
    const chat = create({ ...front, id: 'two' })
    const sent = chat.sendMessage({ text: '@slow @second Hello' })
    await reply(1, 'One')
    await sent
    t.same([chat.status, ...shownIn(chat)], ['ready', 'user: @slow @second Hello', 'assistant: One'])
    const { say, end } = await bots.call(2)
    say('Two')
    await isStored(server, 3, 'Two')
    const tab = create({ ...front, id: 'two', messages: await history('two') })
    const resumed = tab.resumeStream()
    await until(() => tab.status === 'streaming')
    say(' and more')
    end()
    await resumed
    const all = ['user: @slow @second Hello', 'assistant: One', 'assistant: Two and more']
    t.same([tab.status, ...shownIn(tab)], ['ready', ...all])
    t.same(shownIn(create({ ...front, messages: await history('two') })), all)
  })

  t.test(`${version}: stopped by the server's own stop, which the client's is not`, async t => {
    const server = await start(t)
    const { front, bots, ann } = server
    const chat = create(front)
    const sent = chat.sendMessage({ text: 'Hello' })
    const { say, signal } = await bots.call(1)
    say('One')
    await shows(chat, 'assistant: One')
    await chat.stop()
    await sent
    t.equal(signal.aborted, false, 'a reader who leaves stops nothing')
    const tab = create({ ...front, messages: chat.messages })
    const resumed = tab.resumeStream()
    await until(() => tab.status === 'streaming')
    t.equal((await ann.post('/api/chat/chat/stop')).statusCode, 204)
    await resumed
    t.equal(tab.status, 'ready')
    t.match(tab.messages[1], { id: 'm2', parts: [{ type: 'step-start' }, { text: 'One' }], metadata: { status: 'stopped' } })
    t.equal((await ann.get('/api/chat/chat/stream')).statusCode, 204)
  })

  t.test(`${version}: asked again, in the same place, and behind it the log is cut as the client's history is`, async t => {
    const { front, reply, history } = await start(t)
    const chat = create(front)
    await Promise.all([chat.sendMessage({ text: 'A' }), reply(1, 'One')])
    await Promise.all([chat.regenerate(), reply(2, 'Two')])
    t.same(shownIn(chat), ['user: A', 'assistant: Two'])
    t.equal(chat.messages[1]!.id, 'm2')
    await Promise.all([chat.sendMessage({ text: 'B' }), reply(3, 'Three')])
    await Promise.all([chat.regenerate({ messageId: 'm2' }), reply(4, 'Four')])
    t.same(shownIn(chat), ['user: A', 'assistant: Four'])
    t.same((await history()).map(({ id }) => id), ['m1', 'm2'])
    await Promise.all([chat.regenerate({ messageId: chat.messages[0]!.id }), reply(5, 'Five')])
    t.same(shownIn(chat), ['user: A', 'assistant: Five'], 'named by the question')
    t.equal(chat.status, 'ready')
  })

  t.test(`${version}: an edited message is answered again, and what followed is gone`, async t => {
    const { front, bots, reply, history } = await start(t)
    const chat = create(front)
    await Promise.all([chat.sendMessage({ text: 'A' }), reply(1, 'One')])
    const sent = chat.sendMessage({ text: 'B' })
    await bots.call(2)
    await until(() => chat.messages.length === 4)
    t.same((await history()).at(-1)!.parts, [], 'nothing was said yet')
    await chat.stop()
    await sent
    const edited = chat.sendMessage({ text: 'C', messageId: chat.messages[0]!.id })
    const { turns } = await bots.call(3)
    t.match(turns, [{ text: 'C' }])
    t.equal(turns.length, 1)
    await reply(3, 'Two')
    await edited
    t.same(shownIn(chat), ['user: C', 'assistant: Two'])
    t.match(await history(), [{ id: 'm1', parts: [{ text: 'C' }] }, { id: 'm2', parts: [{ text: 'Two' }] }])

    const reloaded = create({ ...front, messages: await history() })
    await Promise.all([reloaded.sendMessage({ text: 'D', messageId: 'm1' }), reply(4, 'Three')])
    t.same(shownIn(reloaded), ['user: D', 'assistant: Three'], 'by the id that the history gave')
    t.equal(chat.status, 'ready')
  })

  t.test(`${version}: a reply that fails, a request that is refused, and one that is tried again`, async t => {
    const server = await start(t)
    const { front, bots, number, reply, history } = server
    const chat = create(front)
    const sent = chat.sendMessage({ text: 'Hello' })
    const { say, fail } = await bots.call(1)
    say('One')
    await shows(chat, 'assistant: One')
    fail(new Error('gone'))
    await sent
    t.equal(chat.status, 'error')
    t.equal(chat.error!.message, 'The reply broke off before it was complete.')
    t.same(shownIn(chat), ['user: Hello', 'assistant: One'], 'what it had said stays')

    for (const [init, sentence] of [[{ headers: {} }, 'Please log in'], [{ id: '999999' }, 'Conversation not found']] as const) {
      const stranger = create({ ...front, ...init })
      await stranger.sendMessage({ text: 'Hello' })
      t.equal(stranger.error!.message, sentence)
      await stranger.resumeStream()
      t.match([stranger.status, stranger.error!.message], ['error', sentence])
    }
    const tooLong = create({ ...front, id: String(number) })
    await tooLong.sendMessage({ text: 'x'.repeat(8_001) })
    t.equal(tooLong.error!.message, 'message.parts may have at most 8,000 characters')
    t.equal((await history()).length, 2)
    tooLong.messages = tooLong.messages.map(message => ({ ...message, parts: [{ type: 'text', text: 'Short' }] }))
    await Promise.all([tooLong.regenerate(), reply(2, 'Well')])
    t.same(shownIn(tooLong), ['user: Short', 'assistant: Well'], 'a message that was never stored is stored when its reply is asked for')
    t.equal((await history(number)).length, 4)
  })

  t.test(`${version}: a session that ends while a reply is being written`, async t => {
    const { front, bots, ann } = await start(t)
    const chat = create(front)
    const sent = chat.sendMessage({ text: 'Hello' })
    const { say, end } = await bots.call(1)
    say('One')
    await shows(chat, 'assistant: One')
    await ann.post('/api/logout')
    await sent
    t.equal(chat.error!.message, 'The connection was closed before the reply had ended, please load the chat again')
    t.same(shownIn(chat), ['user: Hello', 'assistant: One'])
    end()
  })

  t.test(`${version}: the same message sent twice is stored and answered once`, async t => {
    const { front, bots, reply, history } = await start(t)
    const message = { id: 'made-up', parts: [{ type: 'text' as const, text: 'Hello' }] }
    const [chat, again] = [create(front), create(front)]
    await Promise.all([chat.sendMessage(message), again.sendMessage(message), reply(1, 'One')])
    for (const each of [chat, again]) t.match([each.status, each.messages], ['ready', [{ id: 'made-up' }, { id: 'm2' }]])
    t.same(shownIn(again), ['user: Hello', 'assistant: One'])
    t.equal((await history()).length, 2)
    t.equal(bots.calls.length, 1)
  })

  t.test(`${version}: a history of 200 kB comes with each message, and is not read`, async t => {
    const { ann, url } = await start(t)
    const messages = Array.from({ length: 200 }, (_, n): UiMessage => ({ id: `old-${n}`, role: n % 2 === 0 ? 'user' : 'assistant', parts: [{ type: 'text', text: 'x'.repeat(1_000) }] }))
    const chat = create({ url, headers: ann.headers, messages, path: '/chat' })
    await chat.sendMessage({ text: 'Hello' })
    t.equal(chat.error, undefined)
    t.equal(chat.messages.at(-1)!.id, 'm2')
  })
}
