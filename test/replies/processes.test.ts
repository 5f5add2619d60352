import t from 'tap'
import OpenAI from 'openai'
import { createFront, eventsIn, saidIn } from '../support/ag-ui.ts'
import { startLanguageModel } from '../support/language-model.ts'
import { listen, type Told } from '../support/live.ts'
import { clientOf, freePort, openPlace, until, type Answer } from '../support/process.ts'
import { isPrompt } from '../support/prompt.ts'
import { shownIn, VERSIONS, type UiMessage } from '../support/ui-chat.ts'

// Replies of a language model when the server that writes them is killed or gets SIGTERM.

/** The text of a reply, assembled from the events of a stream. */
function textOf (events: Array<{ event: string, data: unknown }>) {
  let text = ''
  for (const { event, data } of events) {
    const told = data as Told & { offset: number }
    if (event === 'delta') text = text.slice(0, told.offset) + told.text
    else if (told.sender === 'bot') text = told.text
  }
  return text
}

t.test('a server is killed during replies: the clients of others say so, and find them again', async t => {
  const model = await startLanguageModel(t)
  const place = await openPlace(t)
  const settings = { ...model.settings, PORT: String(await freePort()) }
  const [one, two] = await Promise.all([place.serve(settings), place.serve(model.settings)])
  /** A user whose client asks a question, with the history of their chat at the other server. */
  async function enter (question: string) {
    const { cookie, post } = await one.join(question.replaceAll(' ', '-').toLowerCase())
    const history = async () => (await clientOf(two.url, { cookie }).get('/api/chat/chat')).body as UiMessage[]
    return { headers: { cookie }, post, history }
  }
  /** The beginning of the model's reply, which the client shows then. */
  async function begin (question: string, isShown: () => boolean) {
    const { say } = await model.call(1, question)
    say('All of it ')
    say('and more')
    await until(isShown)
  }
  const isStored = async (history: () => Promise<UiMessage[]>) => { await until(async () => (await history())[1]?.parts[0]?.text === 'All of it and more') }
  /** The model's second reply to a question. */
  async function better (question: string) {
    const { say, end } = await model.call(2, question)
    say('Better')
    end()
  }

  const chats = []
  for (const [version, create] of VERSIONS) {
    const { headers, history } = await enter(version)
    const front = { headers, id: 'chat' }
    const chat = create({ ...front, url: one.url })
    const sent = chat.sendMessage({ text: version })
    const so = [`user: ${version}`, 'assistant: All of it and more']
    await begin(version, () => shownIn(chat).at(-1) === so[1])
    await isStored(history)
    chats.push({ version, chat, sent, so, history, there: async () => create({ ...front, url: two.url, messages: await history() }) })
  }

  // The first run is not that of `HttpAgent`, which leaves a rejection unhandled when its connection breaks. In Chromium that does no harm: see front-ends.test.ts.
  const { headers, history } = await enter('AG-UI')
  const run = JSON.stringify({ threadId: 'chat', runId: 'run', messages: [{ id: 'one', role: 'user', content: 'AG-UI' }] })
  const { body: stream } = await fetch(`${one.url}/api/ag-ui`, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: run })
  let heard = ''
  const read = (async () => { for await (const chunk of stream!.pipeThrough(new TextDecoderStream())) heard += chunk })()
  const isCutOff = t.rejects(read, 'a run that is cut off does not look complete')
  await begin('AG-UI', () => heard.endsWith('\n\n') && eventsIn(heard).map(({ delta = '' }) => delta).join('') === 'All of it and more')
  await isStored(history)

  const { post } = await enter('OpenAI')
  const { key } = (await post('/api/me/keys', { name: 'a script' })).body
  const openAi = new OpenAI({ apiKey: key, baseURL: `${one.url}/v1` })
  const asked = { model: 'assistant', messages: [{ role: 'user' as const, content: 'OpenAI' }] }
  let completed = ''
  const complete = async () => { for await (const { choices } of await openAi.chat.completions.create({ ...asked, stream: true })) completed += choices[0]?.delta.content ?? '' }
  const isBroken = t.rejects(complete(), 'a completion that is cut off does not look complete')
  await begin('OpenAI', () => completed === 'All of it and more')

  one.kill('SIGKILL')
  await Promise.all([one.ended, isCutOff, isBroken])
  t.notMatch(heard, 'RUN_FINISHED')
  for (const { chat, sent, so } of chats) {
    await sent
    t.equal(chat.status, 'error', 'a reply that is cut off does not look complete')
    t.same(shownIn(chat), so)
  }

  t.comment('At the other server')
  for (const { version, so, there, history } of chats) {
    await until(async () => ((await history())[1]?.metadata as { status: string }).status === 'interrupted')
    const chat = await there()
    await chat.resumeStream()
    t.equal(chat.status, 'ready', version)
    t.match(chat.messages, [{ id: 'm1' }, { id: 'm2', metadata: { status: 'interrupted' } }])
    t.same(shownIn(chat), so)
  }
  const agent = createFront({ url: two.url, headers, threadId: 'chat' })
  await agent.run()
  t.same(saidIn(agent), ['ag-ui: AG-UI', 'assistant: All of it and more'])
  t.equal(agent.agent.messages[1]!.id, 'm2')

  t.comment('At the same server, started again')
  const again = await place.serve(settings)
  t.equal(again.url, one.url)
  for (const { version, chat, history } of chats) {
    await Promise.all([chat.regenerate(), better(version)])
    t.same([chat.status, ...shownIn(chat)], ['ready', `user: ${version}`, 'assistant: Better'])
    t.match(await history(), [{ id: 'm1' }, { id: 'm2', metadata: { status: 'complete' } }])
  }
  agent.agent.url = `${again.url}/api/ag-ui`
  agent.agent.setMessages(agent.agent.messages.slice(0, 1))
  await Promise.all([agent.run(), better('AG-UI')])
  t.same(saidIn(agent), ['ag-ui: AG-UI', 'assistant: Better'])
  const [whole] = await Promise.all([openAi.chat.completions.create(asked), better('OpenAI')])
  t.equal(whole.choices[0]!.message.content, 'Better')
})

t.test('a server is killed during a reply: the reader reconnects to the other server, and no stored text is lost', async t => {
  const model = await startLanguageModel(t)
  const place = await openPlace(t)
  const [one, two] = await Promise.all([place.serve(model.settings), place.serve(model.settings)])
  const ann = await one.join('ann')
  const { body: { id } } = await ann.post('/api/conversations', { name: 'Talk' }) as Answer
  const sent = ann.post(`/api/conversations/${id}/messages`, { text: 'Tell me all' }).catch(() => 'cut off')
  const call = await model.call(1)
  t.equal(call.question, 'Tell me all', 'a new conversation has the bot of the language model by default')
  const here = await listen(t, `${one.url}/api/conversations/${id}/events?after=0`, { cookie: ann.cookie })
  call.say('All of it 👩‍🚀 ')
  call.say('and more')
  await until(() => textOf(here.events) === 'All of it 👩‍🚀 and more')
  const there = await listen(t, `${two.url}/api/conversations/${id}/events?after=0`, { cookie: ann.cookie })
  await until(() => textOf(there.events) === 'All of it 👩‍🚀 and more')

  one.kill('SIGKILL')
  await one.ended
  const began = performance.now()
  t.equal(await sent, 'cut off')
  const last = await until(() => there.events.find(({ data }) => (data as Told).status === 'interrupted'))
  isPrompt(t, began, 15_000)
  t.match(last.data, { id: 2, text: 'All of it 👩‍🚀 and more', status: 'interrupted' })
  await call.closed

  const back = await listen(t, `${two.url}/api/conversations/${id}/events?after=0`, { cookie: ann.cookie })
  await until(() => back.events.length === 2)
  t.match(back.events.map(({ data }) => data), [{ id: 1, text: 'Tell me all' }, { id: 2, status: 'interrupted' }], 'a reader that connects later gets the interrupted reply, too')

  const elsewhere = clientOf(two.url, { cookie: ann.cookie })
  const again = elsewhere.post(`/api/conversations/${id}/messages/2/regenerate`)
  const second = await model.call(2)
  second.say('Better')
  second.end()
  const { status, body } = await again
  t.match([status, body], [200, { id: 2, text: 'Better', status: 'complete' }])
  await until(() => textOf(there.events) === 'Better')
})

t.test('on SIGTERM a server lets a reply end, and interrupts one that takes too long', async t => {
  const model = await startLanguageModel(t)
  const place = await openPlace(t)
  const one = await place.serve(model.settings)
  const ann = await one.join('ann')
  const rooms = await Promise.all(['short', 'long'].map(async name => (await ann.post('/api/conversations', { name })).body.id as number))
  const [short, long] = [ann.post(`/api/conversations/${rooms[0]}/messages`, { text: 'short' }), ann.post(`/api/conversations/${rooms[1]}/messages`, { text: 'long' })]
  const calls = [await model.call(1), await model.call(2)]
  const call = (question: string) => calls.find(call => call.question === question)!
  call('long').say('It goes on')
  const stream = await listen(t, `${one.url}/api/conversations/${rooms[1]}/events`, { cookie: ann.cookie })
  one.kill('SIGTERM')
  await until(() => one.get('/health/live').then(({ status }) => status === 503, () => true))
  call('short').say('Done')
  call('short').end()
  t.match((await short).body, [{}, { text: 'Done', status: 'complete' }])
  t.match((await long).body, [{}, { text: 'It goes on', status: 'interrupted' }], 'the reply is interrupted after eight seconds')
  await call('long').closed
  await stream.ended
  t.match(stream.events.at(-1)?.data, { text: 'It goes on', status: 'interrupted' }, 'its readers see the end')
  t.equal((await one.ended).code, 0)
})
