import t, { type Test } from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { createFront, eventsIn, saidIn } from '../support/ag-ui.ts'
import { listen, type Told } from '../support/live.ts'
import { clientOf, openPlace, until, type Answer } from '../support/process.ts'
import { isPrompt } from '../support/prompt.ts'
import { shownIn, shows, VERSIONS, type UiMessage } from '../support/ui-chat.ts'

// Replies of a language model when the server that writes them is killed or gets SIGTERM.

/** A provider with OpenAI's API, whose replies the test controls. */
async function startProvider (t: Test) {
  const asked: Array<{ question: string, say: (text: string) => void, end: () => void, closed: Promise<unknown> }> = []
  const server = http.createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = (delta: object, finish: string | null = null) =>
      response.write(`data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'x', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`)
    asked.push({
      question: JSON.parse(body).messages.at(-1).content,
      say: content => { send({ content }) },
      end: () => { send({}, 'stop'); response.end('data: [DONE]\n\n') },
      closed: once(response, 'close')
    })
  })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const settings = { OPENAI_API_KEY: 'a-key', OPENAI_BASE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` }
  return { settings, async call (nth: number) { return await until(() => asked[nth - 1]) } }
}

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

for (const [version, create] of VERSIONS) {
  t.test(`${version}: a server is killed during a reply, which useChat says and finds again at the other server`, async t => {
    const provider = await startProvider(t)
    const place = await openPlace(t)
    const [one, two] = await Promise.all([place.serve(provider.settings), place.serve(provider.settings)])
    const { cookie } = await one.join('ann')
    const frontAt = ({ url }: { url: string }) => ({ url, headers: { cookie }, id: 'chat' })
    const history = async () => (await clientOf(two.url, { cookie }).get('/api/chat/chat')).body as UiMessage[]
    const chat = create(frontAt(one))
    const sent = chat.sendMessage({ text: 'Tell me all' })
    const call = await provider.call(1)
    call.say('All of it ')
    call.say('and more')
    await shows(chat, 'assistant: All of it and more')
    await until(async () => (await history())[1]?.parts[0]?.text === 'All of it and more')

    one.kill('SIGKILL')
    await sent
    t.equal(chat.status, 'error', 'a reply that is cut off does not look complete')
    t.same(shownIn(chat), ['user: Tell me all', 'assistant: All of it and more'])
    const there = create({ ...frontAt(two), messages: await history() })
    await there.resumeStream()
    t.equal(there.status, 'ready')
    t.match(there.messages, [{ id: 'm1' }, { id: 'm2', metadata: { status: 'interrupted' } }])
    t.same(shownIn(there), shownIn(chat))

    const again = there.regenerate()
    const second = await provider.call(2)
    second.say('Better')
    second.end()
    await again
    t.match(there.messages, [{ id: 'm1' }, { id: 'm2', metadata: { status: 'complete' } }])
    t.same(shownIn(there), ['user: Tell me all', 'assistant: Better'])
  })
}

t.test('a server is killed during a reply, which a client of AG-UI says and finds again at the other server', async t => {
  const provider = await startProvider(t)
  const place = await openPlace(t)
  const [one, two] = await Promise.all([place.serve(provider.settings), place.serve(provider.settings)])
  const { cookie } = await one.join('ann')
  // Not with `HttpAgent`, which leaves a rejection unhandled when its connection breaks.
  const body = JSON.stringify({ threadId: 'thread', runId: 'run', messages: [{ id: 'one', role: 'user', content: 'Tell me all' }] })
  const { body: stream } = await fetch(`${one.url}/api/ag-ui`, { method: 'POST', headers: { cookie, 'content-type': 'application/json' }, body })
  let heard = ''
  const read = (async () => { for await (const chunk of stream!.pipeThrough(new TextDecoderStream())) heard += chunk })()
  const call = await provider.call(1)
  call.say('All of it ')
  call.say('and more')
  const textIn = (text: string) => eventsIn(text).map(({ delta = '' }) => delta).join('')
  await until(() => heard.endsWith('\n\n') && textIn(heard) === 'All of it and more')
  await until(async () => (await clientOf(two.url, { cookie }).get('/api/chat/thread')).body[1]?.parts[0]?.text === 'All of it and more')

  one.kill('SIGKILL')
  await t.rejects(read, 'a reply that is cut off does not look complete')
  t.notMatch(heard, 'RUN_FINISHED')
  const there = createFront({ url: two.url, headers: { cookie }, threadId: 'thread' })
  await there.run()
  t.same(saidIn(there), ['ann: Tell me all', 'assistant: All of it and more'])
  t.equal(there.agent.messages[1]!.id, 'm2')

  there.agent.setMessages(there.agent.messages.slice(0, 1))
  const again = there.run()
  const second = await provider.call(2)
  second.say('Better')
  second.end()
  await again
  t.same(saidIn(there), ['ann: Tell me all', 'assistant: Better'])
})

t.test('a server is killed during a reply: the reader reconnects to the other server, and no stored text is lost', async t => {
  const provider = await startProvider(t)
  const place = await openPlace(t)
  const [one, two] = await Promise.all([place.serve(provider.settings), place.serve(provider.settings)])
  const ann = await one.join('ann')
  const { body: { id } } = await ann.post('/api/conversations', { name: 'Talk' }) as Answer
  const sent = ann.post(`/api/conversations/${id}/messages`, { text: 'Tell me all' }).catch(() => 'cut off')
  const call = await provider.call(1)
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
  const second = await provider.call(2)
  second.say('Better')
  second.end()
  const { status, body } = await again
  t.match([status, body], [200, { id: 2, text: 'Better', status: 'complete' }])
  await until(() => textOf(there.events) === 'Better')
})

t.test('on SIGTERM a server lets a reply end, and interrupts one that takes too long', async t => {
  const provider = await startProvider(t)
  const place = await openPlace(t)
  const one = await place.serve(provider.settings)
  const ann = await one.join('ann')
  const rooms = await Promise.all(['short', 'long'].map(async name => (await ann.post('/api/conversations', { name })).body.id as number))
  const [short, long] = [ann.post(`/api/conversations/${rooms[0]}/messages`, { text: 'short' }), ann.post(`/api/conversations/${rooms[1]}/messages`, { text: 'long' })]
  const calls = [await provider.call(1), await provider.call(2)]
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
