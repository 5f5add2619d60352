import t, { type Test } from 'tap'
import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import type { LookupAddress } from 'node:dns'
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LLMock } from '@copilotkit/aimock'
import type { BotRow, ReplyContext, StreamingBot, Turn } from '../../src/bots/bot.ts'
import { createCall } from '../../src/bots/provider-call.ts'
import { createDirectory, createEngines } from '../../src/bots/directory.ts'
import type { Lookup } from '../../src/bots/ssrf-guard.ts'
import { createWebhook } from '../../src/bots/webhook.ts'
import type { Config } from '../../src/config.ts'
import { API_KEY, settings, startApp } from '../support/helper.ts'
import { freePort, until } from '../support/process.ts'
import { isPrompt } from '../support/prompt.ts'

const KEY = 'sk-a-key-of-the-tests'
const SECRET = 'a secret of the webhook'
const HELLO: Turn[] = [{ sender: 'user', name: 'ann', text: 'Hello' }]

/** Calls bots of one engine, which are created from these settings. */
function asking (t: Test, engine: BotRow['engine'], changes: Partial<Config>) {
  const engines = createEngines(settings(changes))
  t.teardown(() => engines[engine].close!())
  const directory = createDirectory(engines)
  return (settings: BotRow['settings'] = {}, turns = HELLO, signal = new AbortController().signal, texts?: string[], user?: number) => {
    const bot = directory({ id: 1, name: 'assistant', engine, settings })
    if (bot.kind !== 'streaming') throw new Error('It takes no time')
    return hear(bot.reply(turns, signal, user === undefined ? undefined : { user: { id: user, name: null, metadata: {} } } as ReplyContext), texts)
  }
}

/** The whole reply of a bot, which is added to `texts` as it arrives, its cost, and its failure code. `causes` are the messages of the errors for the log. */
async function hear (pieces: ReturnType<StreamingBot>, texts: string[] = []) {
  let usage: object | undefined
  const end = { failure: undefined as string | undefined, causes: '' }
  try {
    for await (const piece of await pieces) {
      if ('text' in piece) texts.push(piece.text)
      else if ('usage' in piece) usage = piece.usage
    }
  } catch (error) {
    end.failure = (error as { failure: string }).failure
    for (let at = (error as Error).cause; at instanceof Error; at = at.cause) end.causes += `${at.message} `
  }
  return { text: texts.join(''), texts, usage, ...end }
}

/** Starts a provider behind a real HTTP server. `asked` has its requests; the event `gone` is emitted when a client disconnects. */
async function serve (t: Test, answer: (response: ServerResponse, request: IncomingMessage, n: number) => unknown) {
  const asked: Array<{ url: string, headers: IncomingMessage['headers'], body: string }> = []
  const events = new EventEmitter()
  const server = createHttpServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    asked.push({ url: request.url!, headers: request.headers, body })
    response.on('close', () => events.emit('gone'))
    events.emit('asked')
    await answer(response, request, asked.length)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const { port } = server.address() as AddressInfo
  return { asked, events, port, url: `http://127.0.0.1:${port}`, bodies: () => asked.map(({ body }) => JSON.parse(body)) }
}

/** A response in the format of OpenAI's API. */
const chunk = (delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
const DONE = `${chunk({}, 'stop')}data: [DONE]\n\n`
const stream = (response: ServerResponse, ...parts: Array<string | Buffer>) => {
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const part of parts) response.write(part)
  return response
}
const say = (response: ServerResponse, text: string) => stream(response, chunk({ content: text }), DONE).end()

async function mocked (t: Test) {
  const mock = new LLMock({ port: 0 })
  await mock.start()
  t.teardown(() => mock.stop())
  return { mock, url: `${mock.url}/v1` }
}

t.test('a language model answers in pieces, and reports its tokens', async t => {
  const { mock, url } = await mocked(t)
  mock.onMessage('Hello', { content: 'Grüß dich, 👩‍👩‍👧 und é!', usage: { prompt_tokens: 12, completion_tokens: 7 } }, { chunkSize: 3 })
  const ask = asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url, OPENAI_MODEL: 'small' })
  const heard = await ask({ prompt: 'Be kind.', temperature: 0.3, max_tokens: 50, greeting: 'Hi' })
  t.match(heard, { text: 'Grüß dich, 👩‍👩‍👧 und é!', usage: { promptTokens: 12, completionTokens: 7 }, failure: undefined })
  t.ok(heard.texts.length > 4)
  t.ok(heard.texts.every(text => text.isWellFormed()), 'characters are whole, wherever the provider cuts the text')
  const { body, headers } = mock.getLastRequest()!
  t.match(body, {
    model: 'small', temperature: 0.3, max_tokens: 50, messages: [{ role: 'system', content: 'Be kind.' }, { role: 'user', content: 'Hello' }]
  })
  t.notOk('greeting' in body!)
  t.equal(headers['authorization'], '[REDACTED]')
  await ask({ model: 'large' })
  t.match(mock.getLastRequest()!.body, { model: 'large', messages: [{ role: 'user', content: 'Hello' }] })
})

t.test('the base URL may be that of Azure, Ollama or any API that is compatible with OpenAI', async t => {
  const { url, asked } = await serve(t, response => say(response, 'here'))
  for (const [path, expected] of [
    ['/v1', '/v1/chat/completions'],
    ['/v1/', '/v1/chat/completions'],
    ['/openai/v1/', '/openai/v1/chat/completions'],
    ['/openai/deployments/mine?api-version=2024-10-21', '/openai/deployments/mine/chat/completions?api-version=2024-10-21'],
    ['/openai/deployments/mine/chat/completions?api-version=2024-10-21', '/openai/deployments/mine/chat/completions?api-version=2024-10-21'],
    ['/v1/chat/completions/', '/v1/chat/completions']
  ] as const) {
    const ask = asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url + path })
    t.match(await ask(), { text: 'here', failure: undefined })
    t.equal(asked.at(-1)!.url, expected)
    t.equal(asked.at(-1)!.headers.authorization, `Bearer ${KEY}`)
    t.equal(asked.at(-1)!.headers['api-key'], path.includes('?') ? KEY : undefined, 'Azure expects the key in this header')
  }
})

t.test('an option that a server or model does not support is left out or sent under its other name', async t => {
  const refuse = (response: ServerResponse, message: string) =>
    response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ error: { message } }))
  const { url, bodies } = await serve(t, (response, _request, n) => {
    if (n === 1) return refuse(response, 'Unsupported parameter: \'max_tokens\' is not supported with this model.')
    if (n === 2) return refuse(response, 'unknown field stream_options')
    return say(response, 'well')
  })
  const ask = asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url })
  t.match(await ask({ model: 'new', max_tokens: 5 }), { text: 'well', usage: undefined, failure: undefined })
  t.match(await ask({ model: 'new', max_tokens: 5 }), { text: 'well' })
  t.match(await ask({ model: 'old', max_tokens: 5 }), { text: 'well' })
  const all = { stream_options: { include_usage: true } }
  t.match(bodies(), [{ ...all, max_tokens: 5 }, { ...all, max_completion_tokens: 5 }, { max_completion_tokens: 5 }, { max_completion_tokens: 5 }, { ...all, max_tokens: 5 }])
  t.notOk('stream_options' in bodies()[3] || 'max_tokens' in bodies()[3], 'the option is not tried again')
})

t.test('without an API key, a bot fails with BOT_NOT_CONFIGURED', async t => {
  t.match(await asking(t, 'openai', {})(), { text: '', failure: 'BOT_NOT_CONFIGURED', causes: /OPENAI_API_KEY/ })
})

t.test('the newest turns that fit into the token budget are sent', async t => {
  const { url, bodies } = await serve(t, response => say(response, 'fine'))
  const ask = asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url })
  const given = async (turns: Turn[], settings = {}): Promise<string[]> => {
    t.match(await ask(settings, turns), { text: 'fine' })
    const { messages } = bodies().at(-1) as { messages: Array<{ role: string, content: string }> }
    return messages.map(({ role, content }) => `${role}> ${content}`)
  }
  const user = (text: string, name: string | null = 'ann'): Turn => ({ sender: 'user', name, text })
  const bot = (text: string, name: string | null = 'assistant'): Turn => ({ sender: 'bot', name, text })

  t.same(await given([user('one'), bot('two'), user('three')]), ['user> one', 'assistant> two', 'user> three'])
  t.same(await given([user('one', null), bot('two', null), user('three', null)]), ['user> one', 'assistant> two', 'user> three'], 'without usernames')
  t.same(await given([user('one'), user('two', 'bob'), bot('three'), bot('four', 'parrot'), user('five', null)]),
    ['user> ann: one\n\nbob: two', 'assistant> three', 'user> parrot: four\n\nfive'], 'names are included if there are several speakers')

  const old = [user('old '.repeat(50)), bot('less old '.repeat(20)), user('new'), bot('newer'), user('newest')]
  t.same((await given(old, { history_tokens: 18, prompt: 'Be kind.' })), ['system> Be kind.', 'user> new', 'assistant> newer', 'user> newest'])
  t.same((await given(old, { history_tokens: 1, prompt: 'Be kind.' })), ['system> Be kind.', 'user> newest'], 'the prompt and the question are always sent')
  t.same((await given([user('<|endoftext|> is a word')], {})), ['user> <|endoftext|> is a word'])

  const long = [...Array.from({ length: 100 }, (_, n) => user(`${n} `.repeat(500))), user('😀'.repeat(8000)), user('And now?')]
  // In time of the processor, so that other programs of the machine have no effect.
  let longest = 0
  let last = process.cpuUsage()
  const beat = setInterval(() => {
    const { user, system } = process.cpuUsage(last)
    longest = Math.max(longest, (user + system) / 1000)
    last = process.cpuUsage()
  }, 1)
  const turnsIn = (lines: string[]) => lines.join('\n\n').split('\n\n')
  const all = turnsIn(await given(long, { history_tokens: 1_000_000 }))
  const some = turnsIn(await given(long, { history_tokens: 20_000 }))
  clearInterval(beat)
  t.equal(all.length, long.length, 'all turns fit into the budget of 100,000 tokens')
  t.ok(some.length > 5 && some.length < 25 && some.at(-1) === 'And now?', 'as many turns as fit are sent')
  t.ok(longest < 500, `the event loop was blocked for ${longest} ms at most`)
})

t.test('emoji arrive whole, wherever chunks split them, and only `content` is text', async t => {
  const family = '👩‍👩‍👧'
  const bytes = Buffer.from(chunk({ content: `e\u0301${family}` }))
  const middle = bytes.indexOf(family) + 2
  const parts = [
    ': a comment\n\n', 'event: message\r', '\ndata: {"choices":\r', '\ndata: [{"delta":{"content":"a"}}]}\r\n\r\n',
    'data:{"choices":[]}\n\n',
    chunk({ role: 'assistant', content: null }), chunk({ content: '' }), chunk({ content: 'x\ud83d' }), chunk({ content: '\ude00y' }), chunk({ content: 'z\ud83d' }), chunk({ content: '\0!' }),
    bytes.subarray(0, middle), bytes.subarray(middle, middle + 3), bytes.subarray(middle + 3),
    chunk({ reasoning_content: 'thinking' }), chunk({ tool_calls: [{ index: 0, function: { name: 'rm', arguments: '{}' } }] }),
    'data: null\n\n', chunk({ content: '\ud83d' }),
    chunk({}, 'length'), 'data: {"choices":[],"usage":{"prompt_tokens":3}}\n\n', 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\ndata: [DONE]'
  ]
  const { url } = await serve(t, async response => {
    for (const part of parts) {
      stream(response, part)
      await sleep(5) // otherwise several chunks might arrive as one
    }
    response.end()
  })
  const heard = await asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url })()
  t.same(heard, { text: `ax😀yz\ufffd!e\u0301${family}`, texts: ['a', 'x', '😀y', 'z', '\ufffd!', `e\u0301${family}`], usage: { promptTokens: 3, completionTokens: 4 }, failure: undefined, causes: '' })
})

t.test('an answer ends after 100,000 code points', async t => {
  const { url, events } = await serve(t, response => {
    for (let n = 0; n < 30; n++) stream(response, chunk({ content: '😀'.repeat(7000) }))
  })
  const gone = once(events, 'gone')
  const { text, failure } = await asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url })()
  t.equal(text, '😀'.repeat(100_000))
  t.equal(failure, undefined)
  await gone
  t.pass('the connection to the provider is closed')
})

t.test('an invalid answer is BOT_NONSENSE, and an answer that breaks off keeps its text', async t => {
  let write: (response: ServerResponse) => unknown = () => {}
  const { url } = await serve(t, response => write(response))
  const ask = asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url, BOT_BREAKER_FAILURES: 100 })
  const cases: Array<[string, (response: ServerResponse) => unknown, object]> = [
    ['only a tool call', response => stream(response, chunk({ tool_calls: [{ function: { name: 'rm' } }] }), chunk({}, 'tool_calls'), 'data: [DONE]\n\n').end(), { text: '', failure: 'BOT_NONSENSE' }],
    ['an empty reply', response => stream(response, DONE).end(), { text: '', failure: 'BOT_NONSENSE' }],
    ['an HTML page', response => response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Welcome!</h1>'), { text: '', failure: 'BOT_NONSENSE' }],
    ['invalid JSON', response => stream(response, chunk({ content: 'well' }), 'data: garbage\n\n').end(), { text: 'well', failure: 'BOT_NONSENSE' }],
    ['an endless line', response => stream(response, 'x'.repeat(1024 * 1024 + 1)).end(), { text: '', failure: 'BOT_NONSENSE' }],
    ['an endless event', response => stream(response, ...Array<string>(1100).fill(`data: ${'x'.repeat(1000)}\n`)).end(), { text: '', failure: 'BOT_NONSENSE' }],
    ['an empty answer', response => response.writeHead(204).end(), { text: '', failure: 'BOT_NONSENSE' }],
    ['an error in the middle', response => stream(response, chunk({ content: 'well' }), `data: {"error":{"message":"overloaded, ${KEY}"}}\n\n`).end(), { text: 'well', failure: 'BOT_BROKE_OFF', causes: /overloaded, …/ }],
    ['a stream without an end', response => stream(response, chunk({ content: 'well' })).end(), { text: 'well', failure: 'BOT_BROKE_OFF' }],
    ['a content filter', response => stream(response, chunk({ content: 'well' }), chunk({}, 'content_filter')).end(), { text: 'well', failure: undefined }],
    ['a broken connection after the finish_reason', response => stream(response, chunk({ content: 'well' }, 'stop')).write('data: {"usa', () => response.destroy()), { text: 'well', failure: undefined }],
    ['a redirect', response => response.writeHead(307, { location: '/elsewhere' }).end(), { text: '', failure: 'BOT_REFUSED' }]
  ]
  for (const [what, answer, expected] of cases) {
    write = answer
    t.match(await ask(), expected, what)
  }

  const { mock, url: address } = await mocked(t)
  mock.onMessage('Hello', { content: 'A long answer that is cut' }, { chunkSize: 2, latency: 5, truncateAfterChunks: 4 })
  const cut = await asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: address })()
  t.match(cut, { text: /^A lo/, failure: 'BOT_BROKE_OFF', causes: /other side closed/ })
  t.equal(mock.getRequests().length, 1, 'a request is not repeated after a part of the reply was received')
})

t.test('a request is retried when the provider is busy or unreachable, and not when it refuses', async t => {
  let write: (response: ServerResponse, request: IncomingMessage, n: number) => unknown = () => {}
  const { url, asked } = await serve(t, (response, request) => write(response, request, asked.length))
  const ask = asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url, BOT_BREAKER_FAILURES: 100 })
  const asks = async (answer: typeof write) => {
    write = answer
    asked.length = 0
    const begun = performance.now()
    return { ...await ask(), asked: asked.length, begun, took: performance.now() - begun }
  }
  const status = (code: number, headers = {}) => (response: ServerResponse) =>
    response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(`{"error":{"message":"no, ${KEY}"}}`)
  const after = (fail: (response: ServerResponse) => unknown): typeof write => (response, _request, n) => n === 1 ? fail(response) : say(response, 'now')

  const patient = await asks(after(status(429, { 'retry-after': '1' })))
  t.match(patient, { text: 'now', failure: undefined, asked: 2 })
  t.ok(patient.took >= 1000, 'the retry waits as long as Retry-After says')
  for (const headers of [{ 'retry-after': '1.5' }, { 'retry-after': '1.5s' }, { 'retry-after-ms': '1500', 'retry-after': '2' }, { 'x-ms-retry-after-ms': '1500' }, { 'retry-after-ms': '', 'retry-after': '2' }, { 'retry-after': ['2', '2'] }]) {
    const { took, ...exact } = await asks(after(status(429, headers)))
    t.match(exact, { text: 'now', asked: 2 })
    t.ok(took >= 1500, `${JSON.stringify(headers)}: the retry came after ${took} ms`)
  }
  t.match(await asks(after(status(429, { 'retry-after-ms': 'soon', 'retry-after': '0' }))), { text: 'now', asked: 2 })
  t.match(await asks(after(status(408))), { text: 'now', asked: 2 }, 'a request that took too long for a gateway')
  t.match(await asks(after(status(503, { 'retry-after': new Date().toUTCString() }))), { text: 'now', asked: 2 })
  t.match(await asks(after(status(500, { 'retry-after': 'soon' }))), { text: 'now', asked: 2 })
  t.match(await asks(after(response => response.destroy())), { text: 'now', asked: 2 })
  const late = await asks(status(429, { 'retry-after': '3600' }))
  t.match(late, { text: '', failure: 'BOT_OVERLOADED', asked: 1 })
  isPrompt(t, late.begun, 1_000, 'there is no retry if Retry-After is an hour')
  t.match(await asks(status(502)), { text: '', failure: 'BOT_UNREACHABLE', asked: 3, causes: 'no, …' }, 'the key is not in the log')
  for (const code of [400, 401, 404]) t.match(await asks(status(code)), { text: '', failure: 'BOT_REFUSED', asked: 1 })

  const { mock, url: address } = await mocked(t)
  mock.on({ userMessage: 'Hello', sequenceIndex: 0 }, { error: { message: 'Rate limit' }, status: 429, retryAfter: 1 })
  mock.on({ userMessage: 'Hello', sequenceIndex: 1 }, { content: 'at last' })
  t.match(await asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: address })(), { text: 'at last', failure: undefined })

  const port = await freePort()
  t.match(await asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `http://localhost:${port}/v1` })(), { text: '', failure: 'BOT_UNREACHABLE', causes: /ECONNREFUSED/ })
})

t.test('each kind of timeout has its own limit', async t => {
  const mute = createServer(socket => { socket.on('error', () => {}).resume() }).listen(0, '127.0.0.1')
  await once(mute, 'listening')
  t.teardown(() => mute.close())
  const { port } = mute.address() as AddressInfo
  const unanswered = asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `https://127.0.0.1:${port}/v1`, BOT_TIMEOUT_CONNECT: 0.1 })
  t.match(await unanswered(), { failure: 'BOT_UNREACHABLE' }, 'the time limit of connecting includes TLS')

  let write: (response: ServerResponse) => unknown = () => {}
  const { url } = await serve(t, response => write(response))
  const limited = (changes: Partial<Config>) => asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url, ...changes })
  t.match(await limited({ BOT_TIMEOUT_FIRST: 0.2 })(), { text: '', failure: 'BOT_SILENT', causes: /first token took longer than 0.2 s/ })
  write = response => stream(response, chunk({ role: 'assistant', content: '' }))
  t.match(await limited({ BOT_TIMEOUT_FIRST: 0.2 })(), { text: '', failure: 'BOT_SILENT', causes: /first/ }, 'response headers do not count as the first token')
  write = response => stream(response, chunk({ content: 'well' }))
  t.match(await limited({ BOT_TIMEOUT_FIRST: 20, BOT_TIMEOUT_SILENCE: 1 })(), { text: 'well', failure: 'BOT_SILENT', causes: /next token took longer than 1 s/ })
  write = response => stream(response, chunk({ content: 'well' }, 'stop'))
  t.match(await limited({ BOT_TIMEOUT_SILENCE: 0.2 })(), { text: 'well', failure: undefined }, 'silence after the finish_reason is not a failure')
  write = response => { const timer = setInterval(() => stream(response, chunk({ content: '.' })), 20); response.on('close', () => { clearInterval(timer) }) }
  t.match(await limited({ BOT_TIMEOUT: 3, BOT_TIMEOUT_SILENCE: 2 })(), { text: /^\.{3,}$/, failure: 'BOT_SILENT', causes: /whole reply took longer than 3 s/ })

  const { mock, url: address } = await mocked(t)
  mock.onMessage('Hello', { content: 'slow but sure' }, { streamingProfile: { ttft: 1_500, tps: 50 } })
  t.match(await asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: address, BOT_TIMEOUT_SILENCE: 1 })(), { text: 'slow but sure', failure: undefined }, 'a slow start has the limit of the first token')

  write = response => { say(response, 'one') }
  const engines = createEngines(settings({ OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url, BOT_TIMEOUT_SILENCE: 0.3 }))
  t.teardown(() => engines.openai.close!())
  const bot = createDirectory(engines)({ id: 1, name: 'assistant', engine: 'openai', settings: {} })
  if (bot.kind !== 'streaming') throw new Error('It takes no time')
  const pieces = (await bot.reply(HELLO, new AbortController().signal))[Symbol.asyncIterator]()
  t.same((await pieces.next()).value, { text: 'one' })
  await sleep(600) // simulates a reader that takes longer than the limit
  t.equal((await pieces.next()).done, true, 'a slow reader does not count as silence of the provider')
})

t.test('when a reply is stopped, the connection to the provider closes within a second', async t => {
  let write: (response: ServerResponse) => unknown = () => {}
  const { url, events, asked } = await serve(t, response => write(response))
  const ask = asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url })
  for (const [when, answer, expected] of [
    ['before the first token', () => {}, ''],
    ['in the middle', (response: ServerResponse) => stream(response, chunk({ content: 'well' })), 'well'],
    ['while it waits for a retry', (response: ServerResponse) => response.writeHead(429, { 'retry-after': '30' }).end('{}'), '']
  ] as const) {
    write = answer
    const stop = new AbortController()
    const isAsked = once(events, 'asked')
    const isGone = once(events, 'gone')
    const texts: string[] = []
    const reply = ask({}, HELLO, stop.signal, texts)
    await isAsked
    await until(() => texts.join('') === expected)
    const begun = performance.now()
    stop.abort()
    t.match(await reply, { text: expected, failure: undefined }, when)
    await isGone
    isPrompt(t, begun, 1_000, `${when}: the connection is closed`)
  }
  asked.length = 0
  t.match(await ask({}, HELLO, AbortSignal.abort()), { text: '', failure: undefined })
  t.same(asked, [], 'no request is sent for a reply that was stopped before it began')
})

t.test('circuit breaker: after repeated failures, requests to a provider are paused', async t => {
  let isUp = false
  let isSlow = false
  const { url, asked, events } = await serve(t, async response => {
    if (isSlow) await once(events, 'go on')
    return isUp ? say(response, 'back') : response.writeHead(500).end()
  })
  const ask = asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url, BOT_BREAKER_FAILURES: 1, BOT_BREAKER_PAUSE: 3 })
  t.match(await ask(), { failure: 'BOT_UNREACHABLE' })
  const tried = asked.length
  t.match(await ask(), { failure: 'BOT_OVERLOADED' })
  t.equal(asked.length, tried, 'no request is sent')
  t.match(await asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `${url}/another` })(), { failure: 'BOT_UNREACHABLE' })

  isUp = isSlow = true
  let first = ask()
  while ((await Promise.race([first, once(events, 'asked')])) instanceof Array === false) first = ask()
  const stop = new AbortController()
  const second = ask({}, HELLO, stop.signal)
  const third = ask()
  stop.abort()
  t.match(await second, { text: '', failure: undefined }, 'a reply that waits for the probe can be stopped')
  isSlow = false
  events.emit('go on')
  t.match(await Promise.all([first, third]), [{ text: 'back' }, { text: 'back' }])

  const { url: strict, asked: refused } = await serve(t, response => response.writeHead(401).end())
  const wrongKey = asking(t, 'openai', { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: strict, BOT_BREAKER_FAILURES: 1 })
  await wrongKey()
  t.match(await wrongKey(), { failure: 'BOT_REFUSED' })
  t.equal(refused.length, 2, 'a wrong key does not open the circuit breaker')
})

t.test('circuit breaker: one user whose replies fail or are slow does not pause a provider for the others', async t => {
  let isUp = true
  const { url, asked } = await serve(t, async (response, _request, n) => {
    const { body } = asked[n - 1]!
    if (body.includes('slow')) return
    if (isUp && !body.includes('poison')) json(response, { text: 'back' })
    else response.writeHead(500).end()
  })
  const ask = asking(t, 'webhook', { WEBHOOK_ALLOW: '127.0.0.1', BOT_BREAKER_FAILURES: 3, BOT_BREAKER_PAUSE: 60, BOT_TIMEOUT_FIRST: 5 })
  const as = async (user: number, text = 'Hello') => await ask({ url, secret: SECRET }, [{ sender: 'user', name: null, text }], undefined, [], user)
  const all = async (...users: number[]) => await Promise.all(users.map(async user => await as(user)))
  const [ann, bob, carol, dan, eve, fay] = [1, 2, 3, 4, 5, 6] as const
  const failed = await Promise.all([...Array<number>(3).fill(ann).map(async ann => await as(ann, 'poison')), ...Array<number>(3).fill(bob).map(async bob => await as(bob, 'slow'))])
  t.same(failed.map(({ failure }) => failure), [...Array<string>(3).fill('BOT_UNREACHABLE'), ...Array<string>(3).fill('BOT_SILENT')])
  const tried = asked.length
  t.match(await all(ann, bob), [{ failure: 'BOT_OVERLOADED' }, { failure: 'BOT_OVERLOADED' }])
  t.equal(asked.length, tried, 'no requests are sent for those two')
  t.match(await all(carol), [{ text: 'back' }], 'the others get replies')

  isUp = false
  t.match(await all(carol, dan, eve), Array(3).fill({ failure: 'BOT_UNREACHABLE' }))
  const down = asked.length
  t.match(await all(fay), [{ failure: 'BOT_OVERLOADED' }], 'a provider that fails for as many users is not asked for anybody')
  t.equal(asked.length, down)
})

const json = (response: ServerResponse, body: unknown) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))

t.test('a webhook gets the turns, signed, and answers as JSON or as a stream', async t => {
  let write: (response: ServerResponse) => unknown = response => json(response, { text: 'You rang? 😀' })
  const { url, asked } = await serve(t, response => write(response))
  const ask = asking(t, 'webhook', { WEBHOOK_ALLOW: '127.0.0.1', BOT_BREAKER_FAILURES: 100, BOT_TIMEOUT_FIRST: 3, BOT_TIMEOUT_SILENCE: 2 })
  const to = { url: `${url}/hook?bot=1`, secret: SECRET }
  const turns: Turn[] = [{ sender: 'bot', name: 'other', text: 'Hi' }, { sender: 'user', name: 'Zoë', text: 'Hello' }]
  t.match(await ask(to, turns), { text: 'You rang? 😀', failure: undefined })
  const { url: path, body, headers } = asked[0]!
  t.equal(path, '/hook?bot=1')
  t.same(JSON.parse(body), { turns })
  t.equal(headers['content-type'], 'application/json')
  t.ok(Math.abs(Number(headers['parley-time']) - Date.now() / 1000) < 5)
  t.equal(headers['parley-signature'], `sha256=${createHmac('sha256', SECRET).update(`${headers['parley-time']}.${body}`).digest('hex')}`)
  t.notMatch(JSON.stringify(asked), SECRET)

  const event = (text: string) => `data: ${JSON.stringify({ text })}\n\n`
  const cases: Array<[string, (response: ServerResponse) => unknown, object]> = [
    ['a stream', response => stream(response, event('one '), event('two')).end(), { texts: ['one ', 'two'], failure: undefined }],
    ['a stream whose type is written in other letters', response => stream(response.writeHead(200, { 'content-type': 'Text/Event-Stream;charset=UTF-8' }), event('one '), event('two')).end(), { texts: ['one ', 'two'], failure: undefined }],
    ['a stream whose last event has no blank line', response => stream(response, event('one '), event('two').trimEnd()).end(), { texts: ['one ', 'two'], failure: undefined }],
    ['a stream that ends with [DONE]', response => stream(response, event('one'), 'data: [DONE]\n\n').end(), { text: 'one', failure: undefined }],
    ['a stream that breaks off', response => stream(response, event('one')).write(event('two'), () => setTimeout(() => response.destroy(), 50)), { text: 'onetwo', failure: 'BOT_BROKE_OFF' }],
    ['a stream with other fields', response => stream(response, event('one'), 'data: {"word":"two"}\n\n').end(), { text: 'one', failure: 'BOT_NONSENSE' }],
    ['JSON with a byte order mark', response => response.end('\ufeff{"text":"one"}'), { text: 'one', failure: undefined }],
    ['JSON that breaks off', response => response.writeHead(200, { 'content-length': 50 }).write('{"text', () => setTimeout(() => response.destroy(), 50)), { failure: 'BOT_BROKE_OFF' }],
    ['JSON without text', response => json(response, { text: 5 }), { failure: 'BOT_NONSENSE' }],
    ['a part whose text is none', response => json(response, { parts: [{ type: 'text', text: 'one' }, { type: 'text', text: 5 }] }), { failure: 'BOT_NONSENSE', causes: /text of a part of the wrong type/ }],
    ['null', response => json(response, null), { failure: 'BOT_NONSENSE' }],
    ['an empty text', response => json(response, { text: '' }), { failure: 'BOT_NONSENSE' }],
    ['nothing', response => response.writeHead(204).end(), { failure: 'BOT_NONSENSE' }],
    ['an HTML page', response => response.end('<h1>'), { failure: 'BOT_NONSENSE' }],
    ['more than 1 MiB', response => json(response, { text: 'x'.repeat(1024 * 1024) }), { failure: 'BOT_NONSENSE', causes: /1 MiB/ }],
    ['a stream of more than 1 MiB', response => stream(response, event('one'), `: ${'x'.repeat(1024 * 1024)}\n\n`).end(), { text: 'one', failure: 'BOT_NONSENSE' }],
    ['status 403', response => response.writeHead(403).end('no'), { failure: 'BOT_REFUSED', causes: /403/ }],
    ['status 500', response => response.writeHead(500).end(), { failure: 'BOT_UNREACHABLE', causes: /500/ }],
    ['an error whose body does not end', response => response.writeHead(403).write('no'), { failure: 'BOT_REFUSED', causes: /403/ }],
    ['silence', () => {}, { failure: 'BOT_SILENT' }],
    ['silence in the middle', response => stream(response, event('one')), { text: 'one', failure: 'BOT_SILENT' }],
    ['a redirect', response => response.writeHead(307, { location: url }).end(), { failure: 'BOT_REFUSED', causes: /307/ }]
  ]
  for (const [what, answer, expected] of cases) {
    write = answer
    t.match(await ask(to), expected, what)
  }
  t.notOk(asked.some(({ url }) => url === '/'), 'redirects are not followed')
})

t.test('a webhook cannot reach our own network, unless the host is in WEBHOOK_ALLOW', async t => {
  const { url, port, asked } = await serve(t, response => { response.setHeader('connection', 'close'); json(response, { text: 'inside' }) })
  const ask = asking(t, 'webhook', { BOT_TIMEOUT_FIRST: 5 })
  const hosts = [
    '127.0.0.1', '127.255.0.1', '10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.0.1', '169.254.169.254', '100.64.0.1', '0.0.0.0', '0.1.2.3',
    '224.0.0.1', '240.0.0.1', '255.255.255.255', '192.0.2.1', '198.18.0.1', '0x7f000001', '2130706433', '0177.0.0.1', '127.1', '%31%32%37.0.0.1', '①②⑦.0.0.1',
    '[::1]', '[::]', '[fe80::1]', '[fc00::1]', '[fd12:3456::1]', '[ff02::1]', '[fec0::1]', '[100::1]', '[2001:db8::1]', '[::127.0.0.1]',
    '[::ffff:127.0.0.1]', '[::ffff:10.0.0.1]', '[::ffff:7f00:1]', '[::ffff:0:127.0.0.1]', '[64:ff9b::127.0.0.1]', '[64:ff9b:1::a00:1]', '[2002:7f00:1::]', '[2001::1]',
    'localhost', 'LOCALHOST'
  ]
  for (const host of hosts) {
    t.match(await ask({ url: `http://${host}:${port}/`, secret: SECRET }), { text: '', failure: 'BOT_REFUSED', causes: /inside our own network, and WEBHOOK_ALLOW does not list it/ }, host)
  }
  t.same(asked, [], 'no request was sent')

  const to = { url, secret: SECRET }
  const name = { url: `http://localhost:${port}`, secret: SECRET }
  for (const [allow, settings, expected] of [
    ['127.0.0.1', to, { text: 'inside' }],
    ['10.0.0.0/8, 127.0.0.0/8', to, { text: 'inside' }],
    ['127.0.0.1,::1', name, { text: 'inside' }],
    ['Localhost', name, { text: 'inside' }],
    ['::ffff:127.0.0.1, localhost, 10.0.0.0/8, fd00::/8', to, { failure: 'BOT_REFUSED' }],
    ['10.0.0.1', name, { failure: 'BOT_REFUSED' }]
  ] as const) {
    t.match(await asking(t, 'webhook', { WEBHOOK_ALLOW: allow })(settings), expected, allow)
  }

  let now: LookupAddress[] | undefined = [{ address: '127.0.0.1', family: 4 }]
  const lookup = ((_name: string, _options: object, callback: (error: Error | null, found?: LookupAddress[]) => void) => {
    setImmediate(() => { now === undefined ? callback(new Error('no such name')) : callback(null, now) })
  }) as unknown as Lookup
  const config = settings({ WEBHOOK_ALLOW: '127.0.0.1', BOT_BREAKER_FAILURES: 100 })
  const webhook = createWebhook(config, createCall(config), lookup)
  t.teardown(() => webhook.close())
  const call = () => hear(webhook.createBot({ url: `http://bot.example:${port}`, secret: SECRET })(HELLO, new AbortController().signal))
  t.match(await call(), { text: 'inside' })
  now = [{ address: '127.0.0.2', family: 4 }]
  const count = asked.length
  t.match(await call(), { failure: 'BOT_REFUSED', causes: /bot.example is 127.0.0.2, which is inside our own network/ }, 'the name resolves to another address now')
  now = [{ address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 }]
  t.match(await call(), { failure: 'BOT_REFUSED', causes: /::1/ }, 'the name also resolves to a further address')
  t.equal(asked.length, count)
  now = undefined
  t.match(await call(), { failure: 'BOT_UNREACHABLE', causes: /no such name/ })
})

t.test('the webhook of the documentation works', async t => {
  const [, source] = /```js\n(.*?)```/s.exec(readFileSync('docs/bots.md', 'utf8'))!
  const folder = t.testdir({ 'echo.mjs': source! })
  const port = await freePort()
  const echo = spawn(process.execPath, [path.join(folder, 'echo.mjs')], { env: { PORT: String(port), SECRET } })
  t.teardown(() => echo.kill())
  await once(echo.stdout, 'data')
  const ask = asking(t, 'webhook', { WEBHOOK_ALLOW: 'localhost' })
  const url = `http://localhost:${port}/`
  t.match(await ask({ url, secret: SECRET }), { texts: ['I ', 'heard: ', 'Hello'], failure: undefined })
  t.match(await ask({ url, secret: 'a secret of somebody else' }), { failure: 'BOT_REFUSED', causes: /401/ })
})

t.test('an admin creates bots; secrets in their settings are never shown again', async t => {
  const { as, anyone, query } = await startApp(t)
  const ann = await as('ann')
  await query("UPDATE users SET role = 'admin' WHERE username = 'ann'")
  const bots = '/api/admin/bots'
  const hook = { url: 'https://bots.example.com/hook', secret: SECRET }
  const make = (engine: string, settings: object) => ann.post(bots, { name: 'mind', engine, settings })
  for (const [engine, settings, path] of [
    ['openai', { temperature: 3 }, 'settings.temperature'],
    ['openai', { max_tokens: 0 }, 'settings.max_tokens'],
    ['openai', { prompt: ' ' }, 'settings.prompt'],
    ['openai', { model: '' }, 'settings.model'],
    ['openai', { key: 'x' }, 'settings'],
    ['webhook', {}, 'settings.url'],
    ['webhook', { url: hook.url }, 'settings.secret'],
    ['webhook', { ...hook, secret: 'x'.repeat(15) }, 'settings.secret'],
    ['webhook', { ...hook, url: 'ftp://bots.example.com' }, 'settings.url'],
    ['webhook', { ...hook, url: 'https://user:password@bots.example.com' }, 'settings.url']
  ] as const) {
    t.match((await make(engine, settings)).json(), { statusCode: 400, code: 'INVALID_REQUEST', details: [{ path }] }, JSON.stringify(settings))
  }
  const made = await make('webhook', hook)
  t.equal(made.statusCode, 201)
  t.same(made.json().settings, { url: hook.url })
  const mine = `${bots}/${made.json().id}`
  const stored = async () => (await query("SELECT settings FROM chatbots WHERE name = 'mind'"))[0].settings
  t.same(await stored(), hook)
  const changed = await ann.patch(mine, { settings: { url: 'https://elsewhere.example.com' } })
  t.same(changed.json().settings, { url: 'https://elsewhere.example.com' })
  t.same(await stored(), { url: 'https://elsewhere.example.com', secret: SECRET }, 'a secret that is not in the request stays')
  t.same((await ann.patch(mine, { name: 'mind' })).json().settings, changed.json().settings)
  t.equal((await ann.patch(mine, { settings: { secret: 'x'.repeat(20) } })).statusCode, 400, 'all other settings are replaced')
  t.equal((await ann.patch(mine, { settings: { ...hook, secret: 'another secret, as long' } })).statusCode, 200)
  t.match(await stored(), { secret: 'another secret, as long' })
  const everything = [await ann.get(bots), await ann.get('/api/bots'), await anyone.get('/openapi.json')]
  for (const { body } of everything) t.notMatch(body, /another secret/)
})

t.test('with OPENAI_API_KEY the assistant exists by default', async t => {
  const namesIn = async (server: Awaited<ReturnType<typeof startApp>>, body: object = {}) => {
    const ann = await server.as('ann')
    const { id } = (await ann.post('/api/conversations', { name: 'Plans', ...body })).json()
    return (await ann.get(`/api/conversations/${id}/bots`)).json().map(({ name }: { name: string }) => name)
  }
  const hello = async ({ anyone }: Awaited<ReturnType<typeof startApp>>) => (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json().text
  const without = await startApp(t)
  t.same(await namesIn(without), ['simulated'])
  t.match(await hello(without), 'Hello! Say something')
  const withKey = await startApp(t, { OPENAI_API_KEY: KEY })
  t.same(await namesIn(withKey), ['assistant'])
  t.same(await namesIn(withKey, { bots: [] }), [])
  t.equal(await hello(withKey), 'Hello! What can I do for you?')
  t.equal(await hello(await startApp(t, { OPENAI_API_KEY: KEY, GUEST_BOT: 'favorite-song' })), 'Please say hello.')
})
