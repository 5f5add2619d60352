import t, { type Test } from 'tap'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { API_KEY, startApp } from '../support/helper.ts'
import { from, signed, startMeta } from '../support/meta.ts'
import { until } from '../support/process.ts'

// What all bots have in common: their kind, the context that they get, their state, and the maximum length of their input.

const SECRET = 'a secret of the webhook'

/** Starts a webhook behind a real HTTP server. The test sets its answers, and it records its requests. */
async function startWebhook (t: Test) {
  const asked: Array<{ body: Record<string, unknown>, isSigned: boolean }> = []
  const hook = { asked, answer: (_body: Record<string, unknown>): object | string => ({ text: 'Well' }), settings: {} }
  const server = createServer(async (request, response) => {
    let raw = ''
    for await (const chunk of request) raw += String(chunk)
    const { 'parley-time': time, 'parley-signature': signature } = request.headers
    const body = JSON.parse(raw)
    asked.push({ body, isSigned: signature === `sha256=${createHmac('sha256', SECRET).update(`${String(time)}.${raw}`).digest('hex')}` })
    const answer = hook.answer(body)
    response.writeHead(200, { 'content-type': typeof answer === 'string' ? 'text/event-stream' : 'application/json' })
    if (typeof answer !== 'string') response.end(JSON.stringify(answer))
    else if (answer.includes('[DONE]')) response.write(answer)
    else response.end(answer)
  })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  hook.settings = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, secret: SECRET }
  return hook
}

async function withWebhook (t: Test, changes = {}) {
  const hook = await startWebhook(t)
  const app = await startApp(t, { WEBHOOK_ALLOW: '127.0.0.1', BOT_BREAKER_FAILURES: 1000, ...changes })
  const ann = await app.as('ann')
  await app.query("INSERT INTO chatbots (name, engine, settings) VALUES ('hook', 'webhook', $1)", [JSON.stringify(hook.settings)])
  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: ['hook'] })).json()
  const url = `/api/conversations/${id}`
  return { ...app, hook, ann, id, url, say: async (text = 'Hi') => (await ann.post(`${url}/messages`, { text })).json()[1] }
}

t.test('a webhook’s reply ends with [DONE], even if the connection stays open', async t => {
  const { hook, say } = await withWebhook(t)
  hook.answer = () => 'data: {"text":"Well"}\n\ndata: [DONE]\n\n'
  t.match(await say(), { text: 'Well', status: 'complete' })
})

t.test('a streaming bot in code can answer, be stopped and regenerate like any other', async t => {
  const { as, bots, query } = await startApp(t)
  bots.takeOver()
  await query("INSERT INTO chatbots (name, engine, settings) VALUES ('coded', 'simulated', '{\"bot\": \"slow\"}')")
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: ['coded'] })).json()
  const url = `/api/conversations/${id}`
  t.match((await ann.get(`${url}/bots`)).json(), [{ name: 'coded', streaming: true, is_default: false, is_ready: true, description: null }])
  const sent = ann.post(`${url}/messages`, { text: 'Hi' })
  const first = await bots.call(1)
  first.say('One')
  first.end()
  t.match((await sent).json()[1], { text: 'One', status: 'complete' })
  const again = ann.post(`${url}/messages/2/regenerate`)
  const second = await bots.call(2)
  t.match(second.context, { conversation: { id, name: 'Plans' }, message: { id: 1, replyId: 2, parts: [], metadata: {} }, user: { name: 'ann' }, channel: 'web', state: null, metadata: {}, providerUser: /^u_[\w-]{32}$/ })
  second.say('Two')
  second.end()
  t.match((await again).json(), { text: 'Two', status: 'complete' })

  await query("UPDATE chatbots SET settings = '{}' WHERE name = 'coded'")
  t.match((await ann.post(`${url}/messages/2/regenerate`)).json(), { statusCode: 409, code: 'NOT_THE_LAST_REPLY' }, 'the bot is an instant one now')
  t.match((await ann.post('/api/conversations', { name: 'x', bots: ['coded'] })).statusCode, 201)
})

t.test('on WhatsApp an interrupted reply of such a bot is generated again; one that cannot be generated does not block later messages', async t => {
  const meta = await startMeta(t)
  const { anyone, bots, query, work } = await startApp(t, { ...meta.settings, WHATSAPP_BOT: 'coded' })
  await query("INSERT INTO chatbots (name, engine, settings) VALUES ('coded', 'simulated', '{\"bot\": \"slow\"}')")
  bots.takeOver()
  await work()
  const deliver = async (text: string) => {
    const body = JSON.stringify(from('16505551234', text))
    t.equal((await anyone.post('/chat/whatsapp', body, signed(body))).statusCode, 200)
  }
  const interrupt = async () => await query("UPDATE messages SET status = 'interrupted', lease_owner = NULL WHERE status = 'streaming'")
  await deliver('one')
  ;(await bots.call(1)).say('Not to the e')
  await until(async () => (await query("SELECT FROM messages WHERE text = 'Not to the e'")).length === 1)
  await query('DELETE FROM conversation_bots') // from now on a different bot answers on WhatsApp
  await interrupt()
  const again = await bots.call(2)
  t.match(again.context, { channel: 'whatsapp', user: { name: 'Sheena Nelson' } }, 'the bot gets the name of the contact')
  again.say('To the end')
  again.end()
  await meta.has(1)

  await deliver('two')
  const last = await bots.call(3)
  last.say('As far as this')
  await until(async () => (await query("SELECT FROM messages WHERE text = 'As far as this'")).length === 1)
  await query("UPDATE chatbots SET settings = '{}' WHERE name = 'coded'")
  await interrupt()
  await meta.has(2)
  await deliver('three')
  await meta.has(3)
  t.same(meta.sent.map(({ text }) => text), ['To the end', 'As far as this', 'You said: three'])

  const inbox = await query('SELECT FROM whatsapp_inbox WHERE handled_at IS NULL')
  t.same(inbox, [])
})

t.test('lists of bots show the kind of each; a bot that is not ready is shown to admins only and cannot be added', async t => {
  const server = await startApp(t)
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const NOT_READY = { statusCode: 409, code: 'BOT_NOT_READY' }
  t.match((await ann.post('/api/conversations', { name: 'x', bots: ['assistant'] })).json(), NOT_READY)
  t.match((await ann.post(`/api/conversations/${id}/bots`, { name: 'assistant' })).json(), NOT_READY)
  t.match((await ann.get('/api/bots')).json().map(({ name }: { name: string }) => name), ['simulated', 'favorite-song'])
  await server.query("INSERT INTO chatbots (name, engine) SELECT 'keyless' || n, 'openai' FROM generate_series(1, 5) n")
  await server.query("INSERT INTO chatbots (name, engine) VALUES ('last', 'simulated')")
  const pages: string[][] = []
  for (let next: string | undefined = '/api/bots?limit=2'; next !== undefined;) {
    const { headers, json } = await ann.get(next)
    pages.push(json().map(({ name }: { name: string }) => name))
    next = /^<(.*)>; rel="next"$/.exec(String(headers.link ?? ''))?.[1]
  }
  t.same(pages, [['simulated', 'favorite-song'], ['last']], 'pages are full although hidden bots are left out')
  await server.query("UPDATE users SET role = 'admin'")
  const all = (await ann.get('/api/bots')).json()
  t.equal(all.length, 9)
  t.match(all[2], { name: 'assistant', streaming: true, is_default: false, is_ready: false, description: String })
  t.match((await ann.post('/api/conversations', { name: 'x', bots: ['assistant'] })).json(), NOT_READY, 'an admin cannot add it either')

  const keyed = await startApp(t, { OPENAI_API_KEY: 'sk-a-key' })
  const bob = await keyed.as('bob')
  t.match((await bob.get('/api/bots')).json()[2], { name: 'assistant', streaming: true, is_default: true, is_ready: true })
})

t.test('a webhook gets the user, the conversation and its own state', async t => {
  const { hook, ann, id, url, say, query } = await withWebhook(t)
  const me = (await ann.get('/api/me')).json().id
  t.match(await say(), { text: 'Well', status: 'complete' })
  const [first] = hook.asked
  t.equal(first!.isSigned, true)
  t.same(first!.body, {
    turns: [{ sender: 'user', name: 'ann', text: 'Hi' }],
    conversation: { id, name: 'Plans', metadata: {} },
    message: { id: 1, reply_id: 2, parts: [], metadata: {} },
    user: { id: me, name: 'ann', metadata: {} },
    channel: 'web',
    state: null,
    metadata: {}
  })

  const deep = { step: 1, list: [{ 'ä"\\': '😀' }] }
  hook.answer = () => ({ text: 'One', state: deep, is_finished: true, parts: [{ type: 'text', text: 'not this' }] })
  t.match(await say(), { text: 'One' })
  t.match((await ann.get(url)).json(), { is_finished: true })
  hook.answer = () => 'data: {"text":"T"}\n\ndata: {"state":{"step":2},"is_finished":false}\n\ndata: {"text":"wo"}\n\n'
  t.match(await say(), { text: 'Two', status: 'complete' })
  t.same(hook.asked.at(-1)!.body['state'], deep)
  t.match((await ann.get(url)).json(), { is_finished: false })
  hook.answer = () => ({ state: null, parts: [{ type: 'text', text: 'A' }, { type: 'data', name: 'x', data: 1 }, null, { type: 'text', text: 'B' }] })
  t.match(await say(), { text: 'A\n\nB' }, 'an answer with parts in place of text')
  t.same(hook.asked.at(-1)!.body['state'], { step: 2 })
  t.same((await query('SELECT state FROM conversations'))[0].state, {}, 'a state of null is deleted')

  hook.answer = () => ({ text: 'x', state: 7, usage: { prompt_tokens: 5, completion_tokens: 6, model: 'mine' } })
  await say()
  t.match(await query('SELECT bot_name, model, prompt_tokens, completion_tokens FROM reply_costs'), [{ bot_name: 'hook', model: 'mine', prompt_tokens: 5, completion_tokens: 6 }])
  hook.answer = () => ({ text: 'x', usage: { prompt_tokens: 1, completion_tokens: 2 } })
  await say()
  t.equal(hook.asked.at(-1)!.body['state'], 7)

  await ann.post(`${url}/bots`, { name: 'favorite-song' })
  await say('@favorite-song hello')
  hook.answer = () => ({ text: 'x', state: 8 })
  await say('@hook Hi')
  const [{ state }] = await query('SELECT state FROM conversations')
  t.match(Object.values(state), [{ at: 'WAITING_FOR_NAME' }, 8], 'each bot has its own state')
})

const SOURCE = { type: 'source', url: 'https://example.com/a', title: 'A' }
const CHOICES = { type: 'choices', choices: [{ id: 's', title: 'Small' }, { id: 'l', title: 'Large' }] }
const DATA = { type: 'data', name: 'card', data: { z: [1, null], a: 'ä' } }

t.test('a webhook answers in parts, as JSON and as events', async t => {
  const { hook, say, ann, url, query } = await withWebhook(t)
  const answered = async (answer: object | string) => {
    hook.answer = () => answer
    const { text, parts, status } = await say()
    t.equal(status, 'complete')
    return { text, parts }
  }
  const said = { type: 'text', text: 'Which size?' }
  t.same(await answered({ parts: [said, SOURCE, CHOICES, DATA] }), { text: 'Which size?\n\n- Small\n- Large', parts: [said, SOURCE, CHOICES, DATA] }, 'the choices are in the text, for readers of text alone')
  t.same(await answered({ text: 'Small or large?', parts: [CHOICES] }), { text: 'Small or large?', parts: [{ type: 'text', text: 'Small or large?' }, CHOICES] }, 'a text of the bot\'s own says what the parts say')
  for (const nothing of [{}, { text: '' }, { text: ' \n' }]) {
    t.same(await answered({ ...nothing, parts: [CHOICES] }), { text: '- Small\n- Large', parts: [CHOICES] }, 'choices alone')
  }
  t.same(await answered('data: {"text":"Which size?"}\n\ndata: ' + JSON.stringify({ text: '', parts: [CHOICES] }) + '\n\n'),
    { text: 'Which size?', parts: [said, CHOICES] }, 'an empty text beside the choices leaves them out of a reply that has text')
  t.same(await answered({ parts: [{ ...SOURCE, title: ' ', extra: 1 }, { type: 'image', url: 'x' }, said] }), { text: 'Which size?', parts: [said, { ...SOURCE, title: SOURCE.url }] })
  t.same(await answered('data: {"text":"Which"}\n\ndata: {"parts":[' + JSON.stringify(CHOICES) + ']}\n\ndata: {"text":" size?"}\n\n'),
    { text: 'Which size?\n\n- Small\n- Large', parts: [said, CHOICES] }, 'the text comes first, wherever the parts came')
  t.same((await answered({ text: 'x', parts: Array(40).fill(DATA) })).parts.length, 1 + 32, 'no more than 32 parts follow the text')
  t.same(await answered({ text: 'Well' }), { text: 'Well', parts: undefined })
  t.same(await answered({ parts: [said, { type: 'reasoning', text: 'Hm' }, { type: 'reasoning', text: 7 }] }), { text: 'Which size?', parts: [{ type: 'reasoning', text: 'Hm' }, said] })

  const [newest] = (await ann.get(`${url}/messages?limit=1`)).json()
  hook.answer = () => ({ text: 'x', parts: [DATA] })
  t.same((await ann.post(`${url}/messages/${newest.id}/regenerate`)).json().parts, [{ type: 'text', text: 'x' }, DATA])
  t.ok((await ann.get(url)).body.includes(JSON.stringify(DATA)), 'data is stored unchanged')
  hook.answer = () => ({ text: 'y' })
  t.notOk('parts' in (await ann.post(`${url}/messages/${newest.id}/regenerate`)).json(), 'a new reply has its own parts')
  await ann.post(`${url}/messages`, { parts: [{ type: 'choice', id: 'l', title: 'Large' }] })
  t.match(hook.asked.at(-1)!.body, { turns: { length: 23 }, message: { parts: [{ type: 'choice', id: 'l', title: 'Large' }] } })
  t.same((hook.asked.at(-1)!.body as { turns: unknown[] }).turns.at(-1), { sender: 'user', name: 'ann', text: 'Large' })
  const again = (await ann.get(`${url}/messages?limit=1`)).json()[0].id
  await ann.post(`${url}/messages/${again}/regenerate`)
  t.match(hook.asked.at(-1)!.body, { message: { parts: [{ type: 'choice', id: 'l', title: 'Large' }] } }, 'also when it is asked again')
  t.ok((await query('SELECT FROM messages WHERE parts IS NOT NULL')).length > 5)
})

t.test('a part of the wrong form is BOT_NONSENSE', async t => {
  const { hook, say } = await withWebhook(t)
  const nested = (levels: number): unknown => levels === 0 ? 1 : [nested(levels - 1)]
  const ten = Array.from({ length: 10 }, (_, n) => ({ id: String(n), title: 'x'.repeat(300) }))
  hook.answer = () => ({ text: 'x', parts: [{ type: 'choices', choices: ten }, { ...DATA, data: 'x'.repeat(16 * 1024 - 2) }, { ...DATA, data: nested(100) }, { ...DATA, data: null }] })
  t.match(await say(), { status: 'complete' }, 'the largest parts')
  const wrong: Array<[string, unknown]> = [
    ['a file', { type: 'file', url: 'https://example.com' }], ['a tool', { type: 'tool' }],
    ['a source without an address', { type: 'source', title: 'A' }], ['a source that is a script', { ...SOURCE, url: 'javascript:alert(1)' }],
    ['a source that cannot be parsed', { ...SOURCE, url: 'https://' }], ['a long address', { ...SOURCE, url: `https://example.com/${'x'.repeat(2048)}` }],
    ['no choices', { type: 'choices', choices: [] }], ['eleven choices', { type: 'choices', choices: [...ten, ten[0]] }], ['choices that are not a list', { type: 'choices', choices: 'x' }],
    ['a choice without an id', { type: 'choices', choices: [{ title: 'x' }] }], ['a choice with a long title', { type: 'choices', choices: [{ id: '1', title: 'x'.repeat(301) }] }],
    ['data without a name', { type: 'data', data: 1 }], ['data with a long name', { ...DATA, name: 'x'.repeat(65) }], ['data without data', { type: 'data', name: 'x' }],
    ['large data', { ...DATA, data: 'x'.repeat(16 * 1024 - 1) }], ['deep data', { ...DATA, data: nested(101) }], ['data with a NUL', { ...DATA, data: 'a\0' }]
  ]
  for (const [what, part] of wrong) {
    hook.answer = () => ({ text: 'x', parts: [part] })
    t.match(await say(), { status: 'failed', failure: 'BOT_NONSENSE' }, what)
  }
  for (const part of [SOURCE, DATA]) {
    hook.answer = () => ({ parts: [part] })
    t.match(await say(), { status: 'failed', failure: 'BOT_NONSENSE' }, `${part.type} alone says nothing`)
  }
  hook.answer = () => `data: ${JSON.stringify({ parts: [CHOICES] })}\n\ndata: ${JSON.stringify({ text: 'x'.repeat(60_000) })}\n\ndata: ${JSON.stringify({ text: 'x'.repeat(40_000) })}\n\n`
  const { status, text } = await say()
  t.same({ status, length: text.length }, { status: 'complete', length: 100_000 }, 'words for which there is no room are left out')
  hook.answer = () => ({ parts: [{ type: 'text', text: 'x'.repeat(99_999) }, CHOICES] })
  t.equal((await say()).text, 'x'.repeat(99_999), 'together with the empty line before them')
})

t.test('an invalid answer of a webhook is BOT_NONSENSE and changes nothing', async t => {
  const { hook, say, query, ann, url } = await withWebhook(t)
  const nested = (levels: number): unknown => levels === 0 ? 1 : [nested(levels - 1)]
  const good = { text: 'x', state: { ok: 'x'.repeat(60_000), deep: nested(95) } }
  hook.answer = () => good
  t.match(await say(), { status: 'complete' })
  const stored = async () => JSON.stringify((await query('SELECT state, is_finished FROM conversations'))[0])
  const before = await stored()
  const wrong: Array<[string, unknown]> = [
    ['nothing', {}], ['null', null], ['a list', []], ['a number as text', { text: 7 }], ['only a state', { state: {} }], ['parts without text', { parts: [{ type: 'data' }] }],
    ['parts that are not a list', { parts: 'x' }], ['is_finished as text', { text: 'x', is_finished: 'yes' }], ['an incomplete usage', { usage: { prompt_tokens: 1 } }],
    ['a large state', { text: 'x', state: 'x'.repeat(64 * 1024) }], ['a deep state', { text: 'x', state: nested(101) }],
    ['a NUL character', { text: 'x', state: { a: 'b\0' } }], ['half a surrogate pair', { text: 'x', state: { a: ['\ud800'] } }], ['a NUL in a key', { text: 'x', state: { 'a\0': 1 } }],
    ['a state that is too large a number', 'data: {"text":"x","state":1e999}\n\n'], ['too large a number in a state', 'data: {"text":"x","state":{"a":[-1e999]}}\n\n'],
    ['too large a number in data', 'data: {"text":"x","parts":[{"type":"data","name":"x","data":1e999}]}\n\n']
  ]
  for (const [what, answer] of wrong) {
    hook.answer = () => answer as object
    t.match(await say(), { status: 'failed', failure: 'BOT_NONSENSE' }, what)
  }
  hook.answer = () => 'data: {"state":9,"is_finished":true}\n\ndata: {"text":"half"}\n\ndata: nonsense\n\n'
  t.match(await say(), { text: 'half', status: 'failed' })
  t.equal(await stored(), before, 'the state is stored only with a complete reply')

  hook.answer = () => ({ text: 'x', state: 1 })
  const hooks = (await ann.get(`${url}/bots`)).json()[0].id
  const sent = say()
  await until(() => hook.asked.length === wrong.length + 3)
  await sent
  await ann.delete(`${url}/bots/${hooks}`)
  t.match(await stored(), '"state":{}')
})

/** Strings that Postgres refuses in text or in JSON, and other unusual ones. */
const STRANGE = ['a\0b', '\ud83d', '\udc00a', '\u200b', '😀'.repeat(3000), '"\\'.repeat(3000), '\u0001'.repeat(3000), '__proto__']

/** Copies of an answer, in each of which one string (a key or a value) is replaced. */
function * replaced (value: unknown, by: string): Generator<unknown> {
  if (typeof value === 'string') yield by
  if (typeof value !== 'object' || value === null) return
  for (const [name, inner] of Object.entries(value)) {
    for (const other of replaced(inner, by)) yield Array.isArray(value) ? value.toSpliced(Number(name), 1, other) : { ...value, [name]: other }
    if (!Array.isArray(value)) yield Object.fromEntries(Object.entries(value).map(([each, inner]) => [each === name ? by : each, inner]))
  }
}

t.test('a webhook may send any text in any field: the reply ends immediately, complete or with BOT_NONSENSE', async t => {
  const { hook, say, ann, query } = await withWebhook(t)
  await query("UPDATE users SET role = 'admin'")
  const choices = { type: 'choices', choices: [{ id: 'y', title: 'Yes' }] }
  const whole = { text: 'Well', parts: [{ type: 'text', text: 'Well' }, { type: 'source', url: 'https://example.com', title: 'Here' }, choices, { type: 'data', name: 'x', data: ['one'] }], state: { name: 'ann', list: ['one'] }, is_finished: false, usage: { prompt_tokens: 3, completion_tokens: 2, model: 'small' } }
  for (const strange of STRANGE) {
    for (const [n, answer] of [...replaced(whole, strange)].entries()) {
      hook.answer = () => n % 2 === 0 ? answer as object : `data: ${JSON.stringify(answer)}\n\ndata: [DONE]\n\n`
      const { status, failure } = await say()
      if (status !== 'complete' && failure !== 'BOT_NONSENSE') t.fail(`${status} ${failure}: ${JSON.stringify(answer).slice(0, 200)}`)
    }
  }
  const models = new Set<string | null>()
  for (let next: string | undefined = '/api/admin/usage?limit=1'; next !== undefined;) {
    const { headers, json } = await ann.get(next)
    models.add(json()[0].model)
    next = /^<(.*)>; rel="next"$/.exec(String(headers.link ?? ''))?.[1]
  }
  t.same([...models].sort(), ['"\\'.repeat(100), '__proto__', 'a', 'ab', null, 'small', '😀'.repeat(200)], 'usage is read page by page, with any names of models')
})

t.test('a reply of the greatest length keeps its state, its parts and its cost; a longer one is cut', async t => {
  const { hook, say, query, ann, url } = await withWebhook(t)
  const rest = (step: number) => ({ state: step, is_finished: step % 2 === 1, parts: [CHOICES], usage: { prompt_tokens: step, completion_tokens: 1 } })
  const answers: Array<(step: number) => object | string> = [
    step => ({ text: 'x'.repeat(100_000), ...rest(step) }),
    step => `data: ${JSON.stringify({ text: 'x'.repeat(100_000) })}\n\ndata: ${JSON.stringify(rest(step))}\n\n`,
    step => ({ text: 'x'.repeat(100_001), ...rest(step) }),
    step => `data: ${JSON.stringify({ text: 'x'.repeat(100_000) })}\n\ndata: ${JSON.stringify({ text: '', ...rest(step) })}\n\ndata: {"text":"more"}\n\ndata: [DONE]\n\n`
  ]
  for (const [n, answer] of answers.entries()) {
    hook.answer = () => answer(n + 1)
    const { status, text, parts } = await say()
    t.same({ status, text, parts }, { status: 'complete', text: 'x'.repeat(100_000), parts: [{ type: 'text', text: 'x'.repeat(100_000) }, CHOICES] })
    t.same(Object.values((await query('SELECT state FROM conversations'))[0].state), [n + 1])
    t.match((await ann.get(url)).json(), { is_finished: n % 2 === 0 })
    t.match((await query('SELECT prompt_tokens FROM reply_costs ORDER BY id DESC'))[0], { prompt_tokens: n + 1 })
  }
})

t.test('the state of a removed bot is not stored, and a phone has one unfinished conversation', async t => {
  const { as, bots, slowChat, query } = await startApp(t)
  bots.takeOver()
  const ann = await as('ann')
  const url = `/api/conversations/${await slowChat(ann)}`
  const sent = ann.post(`${url}/messages`, { text: 'Hi' })
  const call = await bots.call(1)
  const slow = (await ann.get(`${url}/bots`)).json()[0].id
  await ann.delete(`${url}/bots/${slow}`)
  call.say('x')
  call.remember({ state: 1, isFinished: true })
  call.end()
  await sent
  t.match(await query('SELECT state, is_finished FROM conversations'), [{ state: {}, is_finished: false }])

  await query("INSERT INTO conversations (name, owner_id, origin, is_finished, last_rev) VALUES ('old', 1, 'phone', true, 1), ('new', 1, 'phone', false, 0)")
  const [{ old }] = await query("SELECT id AS old FROM conversations WHERE name = 'old'")
  await query("INSERT INTO messages (conversation_id, id, rev, sender, chatbot_id, text, status, lease_owner) VALUES ($1, 1, 1, 'bot', $2, '', 'streaming', 'me')", [old, slow])
  const finish = async () => await query("SELECT * FROM finish_reply($1, 1, 'me', 'complete', 0, 'x', NULL, '2', false, NULL)", [old])
  t.match(await finish(), [{ finished: true, prompt_tokens: 0 }])
  t.match(await query('SELECT state, is_finished FROM conversations WHERE id = $1', [old]), [{ state: { [slow]: 2 }, is_finished: true }])
  t.match(await finish(), [{ finished: false }], 'a second time: nothing changes')
})

t.test('the maximum length of a message is the lowest limit of the bots that get it', async t => {
  const { hook, ann, as, url, query, anyone } = await withWebhook(t, { OPENAI_API_KEY: 'sk-a-key', OPENAI_BASE_URL: 'http://127.0.0.1:9', GUEST_BOT: 'hook' })
  const send = async (url: string, length: number, before = '') => (await ann.post(`${url}/messages`, { text: before + 'x'.repeat(length - before.length) })).json()
  const tooLong = (limit: number) => ({ statusCode: 400, code: 'INVALID_REQUEST', error: `text may have at most ${limit.toLocaleString('en-US')} characters`, details: [{ path: 'text' }] })
  const limitsOf = async (url: string, limit: number, before = '') => {
    t.match(await send(url, limit + 1, before), tooLong(limit))
    t.equal((await send(url, limit, before))[0].text.length, limit)
  }
  await limitsOf(url, 8000)
  await query("UPDATE chatbots SET settings = settings || '{\"longest_text\": 20000}' WHERE name = 'hook'")
  await limitsOf(url, 20_000)
  const [question] = await send(url, 10)
  t.match((await ann.put(`${url}/messages/${question.id}`, { text: 'y'.repeat(20_001) })).json(), tooLong(20_000), 'an edited message, too')
  t.match((await ann.put(`${url}/messages/${question.id}`, { text: 'y'.repeat(20_000) })).json().text.length, 20_000)
  await until(async () => (await query("SELECT FROM messages WHERE status IN ('streaming', 'queued')")).length === 0)
  t.ok(JSON.stringify(hook.asked.at(-1)!.body).length > 20_000)
  const stranger = await as('stranger')
  for (const length of [10, 8001, 20_001]) {
    const [anns, nobodys] = await Promise.all([url, '/api/conversations/999'].map(async where => (await stranger.put(`${where}/messages/${question.id}`, { text: 'y'.repeat(length) })).json()))
    t.same(anns, nobodys, 'a stranger does not learn whether a conversation exists, nor what its bots accept')
  }

  await ann.post(`${url}/bots`, { name: 'assistant' })
  await limitsOf(url, 20_000, '@hook ')
  t.equal((await send(url, 100_000, '@assistant '))[0].text.length, 100_000, 'a language model’s limit')
  const escaped = `{"text": "@assistant ${'\\ud83d\\ude00'.repeat(99_989)}"}`
  t.equal((await ann.post(`${url}/messages`, escaped, { 'content-type': 'application/json' })).statusCode, 201, 'the limit does not depend on how the JSON is escaped')
  await limitsOf(url, 20_000, '@assistant and @hook ')
  await limitsOf(url, 20_000, 'for nobody, who all read it later ')
  await ann.post(`${url}/bots`, { name: 'simulated' })
  await limitsOf(url, 8000, 'for nobody ')
  const people = (await ann.post('/api/conversations', { name: 'People', bots: [] })).json().id
  await limitsOf(`/api/conversations/${people}`, 8000)
  const emoji = '🎵'.repeat(8000)
  t.equal((await ann.post(`/api/conversations/${people}/messages`, { text: emoji })).json()[0].text, emoji, 'the length is counted in code points')

  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  t.match((await anyone.post('/chat', { token, content: 'x'.repeat(20_001) })).json(), { statusCode: 400, error: '400 Bad Request: content may have at most 20,000 characters' })
  t.match((await anyone.post('/chat', { token, content: 'x'.repeat(20_000) })).json(), { text: 'Well' }, 'a guest’s limit is that of the bot')
})
