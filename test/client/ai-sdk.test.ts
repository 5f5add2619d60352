import t from 'tap'
import { Chat } from '@ai-sdk/react'
import type { UIMessage } from 'ai'
import type { AddressInfo } from 'node:net'
import { createChatTransport } from '../../client/ai-sdk/index.ts'
import type { ParleyClient } from '../../client/index.ts'
import { startLive } from '../support/live.ts'
import { PASSWORD, signedIn } from '../support/parley-client.ts'
import { layCable, until } from '../support/process.ts'
import { shownIn, shows, type UiChat } from '../support/ui-chat.ts'

// What `useChat` of the AI SDK wraps, over our client.

/** Ann's chat with a bot that says what the test makes it say. Its id is made up, as those of the AI SDK are. */
async function start (t: Parameters<typeof startLive>[0]) {
  const server = await startLive(t)
  server.bots.takeOver()
  const ann = await server.as('ann')
  await server.slowChat(ann)
  await server.query("UPDATE conversations SET client_id = 'chat'")
  const parley = await signedIn(t, server.url)
  return { ...server, ann, parley, chat: chatOf(parley) }
}

const chatOf = (parley: ParleyClient, init: { id?: string, messages?: UIMessage[] } = {}) =>
  new Chat({ id: 'chat', transport: createChatTransport(parley), ...init }) as UiChat

const history = async (parley: ParleyClient) => await parley.request('get', '/api/chat/{id}', { path: { id: 'chat' } }) as UIMessage[]

/** Lets a bot answer its call of this number, and waits until the page has the answer. */
async function answer (bots: Awaited<ReturnType<typeof start>>['bots'], times: number, shown: Promise<void>, text: string) {
  const { say, end } = await bots.call(times)
  say(text)
  end()
  await shown
}

t.test('the first message creates the chat, and the reply streams with its reasoning and sources', async t => {
  const { parley, query, bots } = await start(t)
  await query("UPDATE conversations SET client_id = 'other'")
  await query("UPDATE chatbots SET settings = '{\"bot\": \"slow\"}' WHERE engine = 'simulated'")
  const chat = chatOf(parley)
  const sent = chat.sendMessage({ text: '  What\n is up? ' })
  const { think, say, give, end } = await bots.call()
  think('Hm. ')
  say('One')
  await shows(chat, 'assistant: One')
  say(' two')
  give({ part: { type: 'source', url: 'https://example.com/', title: 'Example' }, isSaid: false })
  give({ part: { type: 'choices', choices: [{ id: 'a', title: 'A' }] }, isSaid: false })
  give({ part: { type: 'data', name: 'score', data: 5 }, isSaid: false })
  end()
  await sent
  t.equal(chat.status, 'ready')
  t.match(chat.messages[1], {
    id: 'm2',
    metadata: { id: 2, username: 'simulated', status: 'complete' },
    parts: [{ type: 'step-start' }, { type: 'reasoning', text: 'Hm. ' }, { type: 'text', text: 'One two' }, { type: 'source-url', url: 'https://example.com/' }, { type: 'data-choices' }, { type: 'data-score', data: 5 }]
  })
  t.same(await query("SELECT name FROM conversations WHERE client_id = 'chat'"), [{ name: 'What is up?' }])
})

t.test('a model of which it shows only at the end what was reasoning', async t => {
  const { chat, bots } = await start(t)
  const thinking = chat.sendMessage({ text: 'One?' })
  const first = await bots.call()
  first.think('Well')
  await until(() => JSON.stringify(chat.messages).includes('Well'))
  first.give({ reasoning: '', replaces: true })
  first.say('Well, one')
  first.end()
  await thinking
  t.same([chat.status, chat.error, shownIn(chat).at(-1)], ['ready', undefined, 'assistant: Well, one'])

  const talking = chat.sendMessage({ text: 'Two?' })
  const second = await bots.call(2)
  second.say('Well')
  await shows(chat, 'assistant: Well')
  second.give({ text: '', replaces: true })
  second.think('Well')
  second.say('Two')
  second.end()
  await talking
  t.same([chat.status, chat.error, shownIn(chat).at(-1)], ['ready', undefined, 'assistant: Well|Two'], 'what was shown as text stays until the chat is loaded again')
})

t.test('another tab resumes a reply in the middle; stopped, it is stopped for both', async t => {
  const { parley, url, chat, bots } = await start(t)
  const sent = chat.sendMessage({ text: 'Hello' })
  const { say, signal } = await bots.call()
  say('One')
  await shows(chat, 'assistant: One')
  const elsewhere = await signedIn(t, url)
  await until(async () => (await history(elsewhere))[1]?.parts.length === 1)
  const other = chatOf(elsewhere, { messages: await history(elsewhere) })
  const resumed = other.resumeStream()
  say(' two')
  for (const each of [chat, other]) await shows(each, 'assistant: One two')
  await other.stop()
  await resumed
  await sent
  await until(() => signal.aborted)
  for (const each of [chat, other]) t.equal(each.status, 'ready')
  t.match((await history(parley))[1], { id: 'm2', metadata: { status: 'stopped' }, parts: [{ text: 'One two' }] })

  await other.resumeStream()
  t.equal(other.messages.length, 2, 'there is nothing to resume')
  const unknown = chatOf(parley, { id: 'unknown' })
  await unknown.resumeStream()
  t.equal(unknown.status, 'ready')
})

t.test('regenerated and edited: what follows is deleted', async t => {
  const { parley, chat, bots, query } = await start(t)
  let times = 0
  async function next (promise: Promise<void>, text: string) {
    await answer(bots, ++times, promise, text)
    t.equal(chat.status, 'ready')
  }
  await next(chat.sendMessage({ text: 'One?' }), 'One')
  await next(chat.sendMessage({ text: 'Two?' }), 'Two')
  await next(chat.regenerate(), 'Two again')
  t.same(shownIn(chat), ['user: One?', 'assistant: One', 'user: Two?', 'assistant: Two again'])
  await next(chat.regenerate({ messageId: chat.messages[1]!.id }), 'One again')
  t.same(shownIn(chat), ['user: One?', 'assistant: One again'])
  await next(chat.sendMessage({ text: 'Two!' }), 'Yes')
  await next(chat.sendMessage({ text: 'One!', messageId: chat.messages[0]!.id }), 'Ok')
  t.same(shownIn(chat), ['user: One!', 'assistant: Ok'])
  t.same(shownIn({ messages: await history(parley) } as never as UiChat), shownIn(chat))

  // A bot that answers at once does not answer again.
  await query("UPDATE messages SET chatbot_id = (SELECT id FROM chatbots WHERE name = 'simulated') WHERE sender = 'bot'")
  await query("UPDATE conversation_bots SET chatbot_id = (SELECT id FROM chatbots WHERE name = 'simulated')")
  const late = chatOf(parley, { messages: await history(parley) })
  await late.sendMessage({ text: 'One?', messageId: 'm1' })
  t.same([late.status, shownIn(late)], ['ready', ['user: One?', 'assistant: Ok']])
  await late.regenerate({ messageId: 'm2' })
  t.equal(late.error?.message, 'Only the last reply of a streaming bot can be generated again')
})

t.test('a message is edited while replies to later messages are written and queued: they are deleted, and it is answered', async t => {
  const { ann, parley, bots } = await start(t)
  const send = (text: string) => ann.post('/api/conversations/1/messages', { text })
  const first = send('One?')
  await answer(bots, 1, Promise.resolve(), 'One')
  await first
  const later = [send('Two?')]
  const { say } = await bots.call(2)
  say('Tw')
  later.push(send('Three?'))
  await until(async () => (await history(parley)).length === 6)
  const chat = chatOf(parley, { messages: await history(parley) })
  await answer(bots, 3, chat.sendMessage({ text: 'One!', messageId: chat.messages[0]!.id }), 'Ok')
  t.same([chat.status, shownIn(chat)], ['ready', ['user: One!', 'assistant: Ok']])
  for (const sent of later) t.match((await sent).json()[1], { status: 'deleted' })
})

t.test('a lost connection is no error: the reply goes on when it is back', async t => {
  const { port, bots, ann } = await start(t)
  const cable = await layCable(t, { host: '127.0.0.1', port })
  await cable.open()
  const chat = chatOf(await signedIn(t, `http://127.0.0.1:${(cable.server.address() as AddressInfo).port}`))
  const sent = chat.sendMessage({ text: 'Hello' })
  const { say, end } = await bots.call()
  say('One')
  await shows(chat, 'assistant: One')
  await cable.close()
  say(' two')
  end()
  await until(async () => (await ann.get('/api/conversations/1/messages')).json()[1].status === 'complete')
  t.equal(chat.status, 'streaming')
  await cable.open()
  await sent
  t.same([chat.status, shownIn(chat)], ['ready', ['user: Hello', 'assistant: One two']])
})

t.test('a chat whose first message is written without a connection begins when it is back, and its reply is found if the connection is lost again', async t => {
  const { port, as } = await startLive(t)
  const ann = await as('ann')
  const cable = await layCable(t, { host: '127.0.0.1', port })
  await cable.open()
  const parley = await signedIn(t, `http://127.0.0.1:${(cable.server.address() as AddressInfo).port}`)
  let lost = 0
  /** Loses the connection just before the reply is looked for, and gets it back after the request has failed. */
  const request = (async (...call: Parameters<ParleyClient['request']>) => {
    if (lost++ > 0) return await parley.request(...call)
    await cable.close()
    return await parley.request(...call).finally(cable.open)
  }) as ParleyClient['request']
  const create = async (...call: Parameters<ParleyClient['create']>) => await parley.create(...call).catch(async error => {
    await cable.open()
    throw error
  })
  await cable.close()
  const chat = chatOf({ ...parley, create, request }, { id: 'new' })
  await chat.sendMessage({ text: 'Hello' })
  t.same([chat.status, chat.error, shownIn(chat)], ['ready', undefined, ['user: Hello', 'assistant: You said: Hello']])
  t.equal(lost, 2)
  t.equal((await ann.get('/api/chat/new')).json().length, 2)

  await cable.close()
  const given = chatOf(parley, { id: 'newer' })
  const sent = given.sendMessage({ text: 'Hello' })
  await until(() => given.status === 'submitted')
  await given.stop()
  await sent
  t.same([given.status, shownIn(given)], ['ready', ['user: Hello']], 'a message that is stopped while it waits is not sent')
  await cable.open()
  t.same((await ann.get('/api/chat/newer')).json(), [])
})

t.test('what is refused, what fails, and what nobody answers', async t => {
  const { parley, chat, bots, query } = await start(t)
  const missing = chatOf(parley, { id: '999' })
  await missing.sendMessage({ text: 'Hello' })
  t.equal(missing.error?.message, 'Conversation not found')
  await missing.regenerate()
  t.equal(missing.error?.message, 'Conversation not found')
  await chat.sendMessage({ id: 'f', parts: [{ type: 'file', mediaType: 'text/plain', url: 'data:,' }] } as never)
  t.equal(chat.error?.message, 'Files cannot be sent yet')

  const failing = chatOf(parley)
  const sent = failing.sendMessage({ text: 'Hello' })
  const { say, fail } = await bots.call()
  say('One')
  await shows(failing, 'assistant: One')
  fail(new Error('gone'))
  await sent
  t.match([failing.status, failing.error?.message], ['error', /^The reply could not be completed \(\w+\)$/])
  t.same(shownIn(failing), ['user: Hello', 'assistant: One'])
  const wrong = chatOf(parley, { messages: [{ id: 'm9', role: 'assistant', parts: [] }] })
  await wrong.regenerate({ messageId: 'm9' })
  t.equal(wrong.error?.message, 'There is no such message')

  // Nobody is signed in any more while a reply is written.
  const again = failing.regenerate({ messageId: 'm2' })
  const second = await bots.call(2)
  second.say('Two')
  await shows(failing, 'assistant: Two')
  await query('UPDATE sessions SET revoked_at = now()')
  await again
  t.equal(failing.error?.message, 'Please log in')
  second.end()
  await parley.signIn({ username: 'ann', password: PASSWORD })

  await query('DELETE FROM conversation_bots')
  const alone = chatOf(parley)
  await alone.sendMessage({ text: 'Nobody there?' })
  t.same([alone.status, shownIn(alone)], ['ready', ['user: Nobody there?']])

  const ended = chatOf(parley, { messages: [{ id: 'm2', role: 'assistant', parts: [] }] })
  await query('UPDATE sessions SET revoked_at = now()')
  await ended.regenerate()
  t.equal(ended.error?.message, 'Please log in')
})

t.test('an older message is edited, and one that is unknown is sent', async t => {
  const { parley, query, bots } = await start(t)
  await query("INSERT INTO messages (conversation_id, id, rev, sender, user_id, text) SELECT 1, n, n, 'user', (SELECT id FROM users WHERE username = 'ann'), 'Number ' || n FROM generate_series(1, 55) n")
  await query('UPDATE conversations SET last_rev = 55')
  const chat = chatOf(parley, { messages: await history(parley) })
  await chat.sendMessage({ text: 'The only one', messageId: 'm1' })
  t.same([chat.status, shownIn(chat)], ['ready', ['user: The only one']])
  t.equal((await history(parley)).length, 1)

  const unknown = chatOf(parley, { messages: [{ id: 'unknown', role: 'user', parts: [] }] })
  const sent = unknown.sendMessage({ text: 'Hello', messageId: 'unknown' })
  const { say, end } = await bots.call()
  say('Hi')
  end()
  await sent
  t.same(shownIn(unknown), ['user: Hello', 'assistant: Hi'])
})

t.test('a message that could not be sent is sent when its reply is asked for again', async t => {
  const { parley, chat, bots, url } = await start(t)
  await answer(bots, 1, chat.sendMessage({ text: 'One?' }), 'One')
  await chat.sendMessage({ text: '?'.repeat(8001) })
  t.equal(chat.error?.message, 'text may have at most 8,000 characters')
  await chat.regenerate()
  t.equal(chat.error?.message, 'text may have at most 8,000 characters', 'it is refused again, and no other reply is asked for')
  t.equal(bots.calls.length, 1)
  chat.messages[2]!.parts[0]!.text = 'Two?'
  await answer(bots, 2, chat.regenerate(), 'Two')
  const all = ['user: One?', 'assistant: One', 'user: Two?', 'assistant: Two']
  t.same([chat.status, ...shownIn(chat)], ['ready', ...all])
  t.same(shownIn({ messages: await history(parley) } as never as UiChat), all)

  // A page that keeps the messages itself, loaded again.
  const late = chatOf(await signedIn(t, url), { messages: chat.messages as UIMessage[] })
  await answer(bots, 3, late.regenerate({ messageId: chat.messages[2]!.id }), 'Two again')
  t.same(shownIn(late), [...all.slice(0, 3), 'assistant: Two again'])
  t.equal((await history(parley)).length, 4)
  const older = chatOf(await signedIn(t, url), { messages: chat.messages as UIMessage[] })
  await answer(bots, 4, older.regenerate({ messageId: chat.messages[0]!.id }), 'One again')
  t.same([older.status, ...shownIn(older)], ['ready', 'user: One?', 'assistant: One again'])
})

t.test('so is the first message of a chat; in a list without messages of the user, the last reply is asked for again', async t => {
  const { parley, chat, bots, url } = await start(t)
  await chat.sendMessage({ text: '?'.repeat(8001) })
  chat.messages[0]!.parts[0]!.text = 'One?'
  await answer(bots, 1, chat.regenerate(), 'One')
  t.same(shownIn(chat), ['user: One?', 'assistant: One'])

  const late = chatOf(await signedIn(t, url), { messages: chat.messages.slice(1) as UIMessage[] })
  await answer(bots, 2, late.regenerate(), 'One again')
  t.same(shownIn(late), ['assistant: One again'])
  t.same(shownIn({ messages: await history(parley) } as never as UiChat), ['user: One?', 'assistant: One again'])
})

t.test('the reply that a tab shows is asked for again, although another tab has sent more', async t => {
  const { chat, bots, url, parley: here } = await start(t)
  await answer(bots, 1, chat.sendMessage({ text: 'One?' }), 'One')
  const conversation = here.conversation(1)
  const leave = conversation.follow(() => {})
  await until(() => conversation.state.isLoaded)
  leave()
  await until(() => conversation.state.connection === 'closed')
  const parley = await signedIn(t, url)
  await answer(bots, 2, chatOf(parley).sendMessage({ text: 'Two?' }), 'Two')
  const again = chat.regenerate()
  t.equal((await bots.call(3)).turns.at(-1)!.text, 'One?')
  await answer(bots, 3, again, 'One again')
  const all = ['user: One?', 'assistant: One again']
  t.same([chat.status, ...shownIn(chat)], ['ready', ...all])
  t.same(shownIn({ messages: await history(parley) } as never as UiChat), all)
})

t.test('a message that nobody answers does not get the answer to another message that came right after it', async t => {
  const { parley, ann, as, bots, query } = await start(t)
  const bob = await as('bob')
  await query("INSERT INTO chatbots (name, engine) VALUES ('calm', 'webhook')")
  await ann.post('/api/conversations/1/bots', { name: 'calm' })
  await ann.post('/api/conversations/1/users', { username: 'bob' })
  let asked: Promise<unknown> | undefined
  const request = (async (...call: Parameters<ParleyClient['request']>) => {
    if (call[1] === '/api/conversations/{id}/messages') {
      asked ??= bob.post('/api/conversations/1/messages', { text: '@slow Hi' })
      const { say, end } = await bots.call(1)
      say('Hi, Bob')
      end()
      await asked
    }
    return await parley.request(...call)
  }) as ParleyClient['request']
  const chat = chatOf({ ...parley, request })
  await chat.sendMessage({ text: 'Hello, Bob' })
  t.ok(asked)
  t.same([chat.status, ...shownIn(chat)], ['ready', 'user: Hello, Bob'])
})

t.test('messages of two chats may have the same ids', async t => {
  const { parley, ann, bots, query, slowChat } = await start(t)
  const other = await slowChat(ann)
  await query(`UPDATE conversations SET client_id = 'other' WHERE id = ${other}`)
  const transport = createChatTransport(parley)
  let times = 0
  async function say (chatId: string, id: string, text: string, messageId?: string) {
    const stream = await transport.sendMessages({ trigger: 'submit-message', chatId, messageId, messages: [{ id, role: 'user', parts: [{ type: 'text', text }] }], abortSignal: undefined })
    const call = await bots.call(++times)
    call.end()
    await stream.pipeTo(new WritableStream())
  }
  for (const [chat, id] of [['other', 'zero'], ['chat', 'one'], ['other', 'one']] as const) await say(chat, id, 'Hello')
  await say('chat', 'one', 'Changed', 'one')
  t.match(await history(parley), [{ id: 'm1', parts: [{ text: 'Changed' }] }, { id: 'm2' }])
  t.equal((await history(parley)).length, 2)
})

t.test('a stream that nobody reads any more stops nothing, and a message that is stopped at once has no reply', async t => {
  const { parley, bots } = await start(t)
  const transport = createChatTransport(parley)
  const ask = (id: string, abortSignal?: AbortSignal) => transport.sendMessages({
    trigger: 'submit-message', chatId: 'chat', messageId: undefined, messages: [{ id, role: 'user', parts: [{ type: 'data-mood', data: 'good' }, { type: 'text', text: 'Hello' }] }], abortSignal
  })
  const stream = await ask('one')
  const first = await bots.call()
  await stream.cancel()
  first.say('Hi')
  first.end()
  await until(async () => (await history(parley))[1]?.parts.length === 1)

  const stopped = await ask('two', AbortSignal.abort())
  t.same((await stopped.getReader().read()).done, false)
  const second = await bots.call(2)
  await until(() => second.signal.aborted)
  const newest = async () => (await history(parley)).at(-1)!.metadata as { status: string }
  await until(async () => (await newest()).status === 'stopped') // which is stored after that
})
