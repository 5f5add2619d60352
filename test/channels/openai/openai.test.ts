import t, { type Test } from 'tap'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import OpenAI, { type APIError } from 'openai'
import type { Estimate } from '../../../src/bots/bot.ts'
import type { Config } from '../../../src/config.ts'
import type { KeyScope } from '../../../src/enums.ts'
import { blocksOf } from '../../support/docs.ts'
import { API_KEY } from '../../support/helper.ts'
import { startLive, type Server } from '../../support/live.ts'
import { chunk, END, event, KEY, serve, stream } from '../../support/model.ts'
import { until } from '../../support/process.ts'
import { keyWith } from '../../support/routes.ts'

// OpenAI's API, with its own package over HTTP.

type Messages = OpenAI.ChatCompletionMessageParam[]

const HELLO: Messages = [{ role: 'user', content: 'Hello' }]
const ASKED = { model: 'slow', messages: HELLO }

const clientOf = ({ url }: Pick<Server, 'url'>, apiKey: string, headers: Record<string, string> = {}) =>
  new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0, defaultHeaders: headers })

/** A server with a streaming bot, and Ann with a personal key. */
async function begin (t: Test, changes: Partial<Config> = {}) {
  const server = await startLive(t, changes)
  await server.query("INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook')")
  const ann = await server.as('ann')
  const { id, key } = (await ann.post('/api/me/keys', { name: 'a script' })).json() as { id: number, key: string }
  return { ...server, ann, keyId: id, key, client: clientOf(server, key) }
}

const costsIn = async ({ query }: Pick<Server, 'query'>) => await query(`
  SELECT user_id::int AS user, status, prompt_tokens AS prompt, completion_tokens AS completion, is_estimate AS estimate
  FROM reply_costs ORDER BY id`)

const estimated = (promptTokens: number, completionTokens: number): Estimate =>
  ({ model: 'small', roughPromptTokens: promptTokens, count: async () => ({ promptTokens, completionTokens }) })

/** The error of a call that fails. */
async function errorOf (asked: Promise<unknown>): Promise<APIError> {
  return await asked.then(() => { throw new Error('It is answered') }, (error: APIError) => error)
}

/** Everything that a stream says, and the error that ends it. */
async function listen (asked: PromiseLike<AsyncIterable<OpenAI.ChatCompletionChunk>>) {
  const heard = { chunks: [] as OpenAI.ChatCompletionChunk[], text: '', error: undefined as APIError | undefined }
  const over = (async () => {
    try {
      for await (const chunk of await asked) {
        heard.chunks.push(chunk)
        heard.text += chunk.choices[0]?.delta.content ?? ''
      }
    } catch (error) {
      heard.error = error as APIError
    }
  })()
  return { heard, over }
}

t.test('bots that stream and are ready are models', async t => {
  const server = await begin(t)
  const { client, query } = server
  const list = await client.models.list()
  t.same(list.data, [{ id: 'slow', object: 'model', created: 0, owned_by: 'parley' }], 'neither scripts, nor instant bots, nor a language model without a key')
  t.same(await client.models.retrieve('slow'), list.data[0])
  t.equal((await server.ann.get('/v1/models/%00')).statusCode, 404)
  for (const name of ['simulated', 'favorite-song', 'assistant', 'gpt-4.1-mini', 'a/b']) {
    t.match(await errorOf(client.models.retrieve(name)), { status: 404, code: 'model_not_found', param: 'model', message: '404 There is no model of this name' }, name)
    t.match(await errorOf(client.chat.completions.create({ ...ASKED, model: name })), { status: 404, code: 'model_not_found' }, name)
  }
  await query("INSERT INTO chatbots (name, engine) SELECT 'bot-' || n, 'webhook' FROM generate_series(1, 250) n")
  t.equal((await client.models.list()).data.length, 251)
  for (const model of ['slow', 'bot-250']) t.equal((await client.chat.completions.create({ ...ASKED, model })).model, model)
})

t.test('a completion, whole and streamed: only its costs are stored', async t => {
  const server = await begin(t)
  const { client, ann, query } = server
  const whole = await client.chat.completions.create(ASKED)
  t.match(whole, {
    id: /^chatcmpl-/,
    object: 'chat.completion',
    created: Number,
    model: 'slow',
    choices: [{ index: 0, message: { role: 'assistant', content: 'Slowly: Hello', refusal: null }, logprobs: null, finish_reason: 'stop' }],
    usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
  })
  t.ok(Math.abs(whole.created - Date.now() / 1000) < 60)

  const asked = client.chat.completions.create({ ...ASKED, stream: true })
  const { response } = await asked.withResponse()
  t.match(Object.fromEntries(response.headers), { 'content-type': 'text/event-stream', 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' })
  const { heard, over } = await listen(asked)
  await over
  t.same(heard.chunks.map(({ choices }) => [choices[0]!.delta, choices[0]!.finish_reason]), [
    [{ role: 'assistant', content: '' }, null], [{ content: 'Slowly: ' }, null], [{ content: 'Hello' }, null], [{}, 'stop']
  ])
  t.equal(new Set(heard.chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size, 1)
  t.ok(heard.chunks.every(chunk => !('usage' in chunk)), 'usage only if it is asked for')

  const counted = await listen(client.chat.completions.create({ ...ASKED, stream: true, stream_options: { include_usage: true } }))
  await counted.over
  t.match(counted.heard.chunks.at(-1), { choices: [], usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } })
  t.ok(counted.heard.chunks.slice(0, -1).every(({ usage }) => usage === null))
  t.equal(await client.chat.completions.stream(ASKED).finalContent(), 'Slowly: Hello')

  t.match((await ann.get('/api/me/usage')).json(), [{ bot: 'slow', replies: 4, prompt_tokens: 12, completion_tokens: 8 }])
  t.match(await query('SELECT (SELECT count(*) FROM messages)::int AS messages, (SELECT count(*) FROM conversations)::int AS conversations'), [{ messages: 0, conversations: 0 }])
  t.match((await server.anyone.get('/metrics')).payload, /^parley_reply_tokens_total\{bot="slow",kind="prompt"\} 12$/m)
})

t.test('the client’s history is what the bot gets', async t => {
  const { client, bots } = await begin(t)
  bots.takeOver()
  const asked = client.chat.completions.create({
    ...ASKED,
    temperature: 2,
    n: 1,
    tools: [],
    response_format: { type: 'json_object' },
    user: 'somebody',
    messages: [
      { role: 'system', content: 'Be kind.' },
      { role: 'assistant', content: 'Hello' },
      { role: 'user', content: [{ type: 'text', text: 'One' }, { type: 'text', text: 'Two' }] },
      { role: 'assistant', content: null },
      { role: 'assistant', content: [{ type: 'refusal', refusal: 'No.' }] },
      { role: 'developer', content: [{ type: 'text', text: 'Be brief.' }] },
      { role: 'user', content: ' ' },
      { role: 'user', content: 'Three', name: 'bob' }
    ]
  } as OpenAI.ChatCompletionCreateParamsNonStreaming)
  const call = await bots.call()
  t.same(call.turns, [
    { sender: 'bot', name: 'slow', text: 'Hello' }, { sender: 'user', name: 'ann', text: 'One\nTwo' }, { sender: 'bot', name: 'slow', text: 'No.' }, { sender: 'user', name: 'bob', text: 'Three' }
  ])
  t.match(call.context, { conversation: null, message: null, state: null, channel: 'v1', user: { name: 'ann', metadata: {} }, instructions: 'Be kind.\n\nBe brief.', providerUser: String })
  call.end()
  t.match(await asked, { choices: [{ message: { content: '' } }], usage: { total_tokens: 0 } }, 'a bot that reports no costs has none')

  const many: Messages = [{ role: 'system', content: 'Be kind.' }, ...Array.from({ length: 2_500 }, (_, n): Messages[0] => ({ role: 'user', content: String(n) }))]
  const long = client.chat.completions.create({ ...ASKED, messages: many })
  const { turns, context, end } = await bots.call(2)
  t.same([turns.length, turns[0]!.text, context.instructions], [2_000, '500', 'Be kind.'], 'the newest messages, and all instructions')
  end()
  await long
})

t.test('a language model gets the bot’s prompt, the instructions and the history, and stops when the client does', async t => {
  const provider = await serve(t, (response, { messages, stream: isStreamed }) => {
    const { content } = messages.at(-1) as { content: string }
    if (content === 'Go on') return stream(response, event(chunk({ content: 'And' })))
    if (content === 'Think') return stream(response, event(chunk({ content: 'Hm, let me see.' })), event(chunk({ content: '</think>Yes' })), END).end()
    return isStreamed ? stream(response, event(chunk({ content: 'Bonjour' })), END).end() : response.end()
  }, { OPENAI_MODEL: 'gpt-4.1-mini' })
  const server = await begin(t, { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: provider.url, OPENAI_MODEL: 'gpt-4.1-mini' })
  const { client, query } = server
  const ask = async (messages: Messages) => await client.chat.completions.create({ model: 'assistant', messages })
  const answer = await ask([{ role: 'system', content: 'In French.' }, ...HELLO])
  t.equal(answer.choices[0]!.message.content, 'Bonjour')
  t.ok(answer.usage!.prompt_tokens > 3 && answer.usage!.completion_tokens > 0, 'estimated, since this provider reports nothing')
  t.match((await costsIn(server)).at(-1), { status: 'complete', prompt: answer.usage!.prompt_tokens, completion: answer.usage!.completion_tokens, estimate: true })
  t.match(provider.bodies.at(-1)!.messages, [{ content: 'In French.' }, { role: 'user', content: 'Hello' }])
  await query("UPDATE chatbots SET settings = '{\"prompt\": \"You are Ada.\"}' WHERE name = 'assistant'")
  await ask([{ role: 'system', content: 'In French.' }, ...HELLO])
  t.match(provider.bodies.at(-1)!.messages, [{ content: 'You are Ada.\n\nIn French.' }, { role: 'user', content: 'Hello' }])
  await ask(HELLO)
  t.match(provider.bodies.at(-1)!.messages, [{ content: 'You are Ada.' }, { role: 'user', content: 'Hello' }])

  const abort = new AbortController()
  const { heard, over } = await listen(client.chat.completions.create({ model: 'assistant', messages: [{ role: 'user', content: 'Go on' }], stream: true }, { signal: abort.signal }))
  await until(() => heard.text === 'And')
  await until(async () => (await costsIn(server)).at(-1)!.status === 'interrupted') // the text does not wait for it
  t.match((await costsIn(server)).at(-1), { status: 'interrupted', completion: 0, estimate: true }, 'the costs of the prompt are stored at once, in case the server dies')
  abort.abort()
  await over
  await until(async () => (await costsIn(server)).at(-1)!.status === 'stopped')
  t.match((await costsIn(server)).at(-1), { completion: 1, estimate: true })

  t.equal((await ask([{ role: 'user', content: 'Think' }])).choices[0]!.message.content, 'Yes', 'without what turned out to be a thought')
  t.ok((await costsIn(server)).at(-1)!.completion > 5, 'the thought is part of the cost')
})

t.test('a client that disconnects ends the reply, also if it is not streamed', async t => {
  const server = await begin(t)
  const { client, bots } = server
  bots.takeOver({ isHeedless: true })
  const abort = new AbortController()
  const { heard, over } = await listen(client.chat.completions.create({ ...ASKED, stream: true }, { signal: abort.signal }))
  const call = await bots.call()
  call.begin(estimated(30, 6))
  call.say('As I')
  await until(() => heard.text === 'As I')
  abort.abort()
  await over
  await until(() => call.signal.aborted)
  t.equal(call.signal.reason, 'stopped')
  await until(async () => (await costsIn(server)).some(({ status }) => status === 'stopped'))
  t.match(await costsIn(server), [{ status: 'stopped', prompt: 30, completion: 6, estimate: true }])
  call.say(' was saying')

  const other = new AbortController()
  const asked = errorOf(client.chat.completions.create(ASKED, { signal: other.signal }))
  const second = await bots.call(2)
  second.cost(7, 1)
  second.say('As I')
  other.abort()
  await asked
  await until(() => second.signal.aborted)
  await until(async () => (await costsIn(server)).length === 2)
  t.match((await costsIn(server)).at(-1), { status: 'stopped', prompt: 7, completion: 1, estimate: false })
})

t.test('errors are those of OpenAI', async t => {
  const server = await begin(t)
  const { client, bots, url, key, anyone } = server
  const refused = async (messages: unknown, more: object = {}) => await errorOf(client.chat.completions.create({ ...ASKED, messages: messages as Messages, ...more }))
  t.match(await errorOf(clientOf(server, 'uk_wrong').models.list()), { status: 401, code: 'invalid_api_key', type: 'authentication_error', message: '401 Please log in' })
  t.ok(await errorOf(clientOf(server, 'uk_wrong').models.list()) instanceof OpenAI.AuthenticationError)
  t.match((await anyone.get('/v1/models')).json(), { statusCode: 401, code: 'UNAUTHORIZED', error: { message: 'Please log in', type: 'authentication_error', param: null, code: 'invalid_api_key' } })
  const wrong: Array<[messages: unknown, param: string, message: RegExp]> = [
    [[], 'messages', /needs at least 1 entry/],
    [[null], 'messages.0', /must be an object/],
    [Array(5_000).fill({ role: 'system', content: '' }), 'messages', /may have at most 3,000 entries/],
    [[{ role: 'tool', content: 'x' }], 'messages.0.role', /must be one of system, developer, user, assistant/],
    [[{ role: 'user' }], 'messages.0.content', /must be a string or a list of parts/],
    [[{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,x' } }] }], 'messages.0.content', /only text can be sent yet/],
    [[{ role: 'user', content: [{ type: 'refusal', text: 'x' }] }], 'messages.0.content', /only text can be sent yet/],
    [[{ role: 'user', content: [null] }], 'messages.0.content', /only text can be sent yet/],
    [[{ role: 'system', content: 'Be kind.' }], 'messages', /needs a message of a user/],
    [[{ role: 'user', content: 'x'.repeat(8_001) }], 'messages', /at most 8,000 characters in the last message/],
    [[{ role: 'system', content: 'x'.repeat(100_001) }, ...HELLO], 'messages', /at most 100,000 characters in all messages of the roles system/]
  ]
  for (const [messages, param, message] of wrong) t.match(await refused(messages), { status: 400, type: 'invalid_request_error', code: 'INVALID_REQUEST', param, message }, String(message))
  const tool = { type: 'function', function: { name: 'look_up', parameters: {} } }
  const unfit: Array<[more: object, param: string, message: string]> = [
    [{ n: 2 }, 'n', '400 n must be 1, because a bot gives one answer'],
    [{ n: 0 }, 'n', '400 n must be 1, because a bot gives one answer'],
    [{ n: '1' }, 'n', '400 n must be a whole number or null'],
    [{ tools: [tool], tool_choice: 'auto' }, 'tools', '400 tools cannot be used, because bots do not call tools of clients'],
    [{ tools: [1] }, 'tools.0', '400 tools.0 must be an object'],
    [{ stream: 'yes' }, 'stream', '400 stream must be true or false or null'],
    [{ stream_options: [] }, 'stream_options', '400 stream_options must be an object or null'],
    [{ model: 7 }, 'model', '400 model must be a string']
  ]
  for (const [more, param, message] of unfit) t.match(await refused(HELLO, more), { status: 400, type: 'invalid_request_error', code: 'INVALID_REQUEST', param, message }, JSON.stringify(more))
  t.equal((await client.chat.completions.create({ ...ASKED, n: null, tools: null, stream: null, stream_options: null } as never) as OpenAI.ChatCompletion).choices.length, 1, 'null is like a field that is left out')
  const large: Messages = Array.from({ length: 45 }, () => ({ role: 'user', content: 'x'.repeat(100_000) }))
  t.match(await refused([...large, ...HELLO]), { status: 413, code: 'BODY_TOO_LARGE', message: /4 MiB/ })
  t.equal((await client.chat.completions.create({ ...ASKED, messages: [...large.slice(5), ...HELLO] })).choices[0]!.message.content, 'Slowly: Hello', 'a history of almost 4 MB')
  t.match(await errorOf(client.embeddings.create({ model: 'slow', input: 'x' })), { status: 404, code: 'NOT_FOUND', message: '404 Not found' })
  const old = [null, ...Array.from({ length: 2_000 }, () => HELLO[0])] as Messages
  t.equal((await client.chat.completions.create({ ...ASKED, messages: old })).choices.length, 1, 'messages that no bot would get are not looked at')
  const nothing = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: 'null' })
  t.match([nothing.status, await nothing.json()], [400, { error: { message: 'The body is required', param: null } }])
  const put = await fetch(`${url}/v1/models`, { method: 'PUT', headers: { authorization: `Bearer ${key}` } })
  t.match([put.status, await put.json()], [405, { error: { message: 'This address does not take this method' } }])

  bots.takeOver()
  const failing = async (code: string, isStreamed: boolean, text = '') => {
    const asked = listen(client.chat.completions.create({ ...ASKED, stream: true as const, ...!isStreamed && { stream: false as never } }))
    const call = await bots.call(bots.calls.length + 1)
    const { heard, over } = await asked
    if (text !== '') {
      call.say(text)
      if (isStreamed) await until(() => heard.text === text)
    }
    call.fail(Object.assign(new Error('no'), { failure: code }))
    await over
    return heard
  }
  for (const isStreamed of [true, false]) {
    t.match((await failing('MESSAGE_REFUSED', isStreamed)).error, { status: 400, code: 'content_filter' })
    t.match((await failing('BOT_CONTEXT_FULL', isStreamed)).error, { status: 400, code: 'context_length_exceeded' })
    t.match((await failing('BOT_OVERLOADED', isStreamed)).error, { status: 503, code: 'BOT_FAILED', type: 'server_error', message: /because it is overloaded/ })
  }
  const { text, error } = await failing('BOT_BROKE_OFF', true, 'And then')
  t.match([text, error], ['And then', { code: 'BOT_FAILED', message: /broke off/ }], 'an error in the middle of a stream')

  const { heard, over } = await listen(client.chat.completions.create({ ...ASKED, stream: true }))
  const call = await bots.call(bots.calls.length + 1)
  call.say('x'.repeat(100_001))
  await over
  t.match([heard.text.length, heard.error], [100_000, { message: /nothing that can be read/ }], 'a reply has at most 100,000 characters')
})

t.test('three replies at once, budgets, streams and places are limited as elsewhere', async t => {
  const server = await begin(t, { BUDGET_TOKENS_PER_USER_DAY: 100, BUDGET_TOKENS_PER_KEY_DAY: 50 })
  const { client, bots, ann, slowChat, query, db } = server
  bots.takeOver()
  const chat = await slowChat(ann)
  const stored = ann.post(`/api/conversations/${chat}/messages`, { text: 'Hi' })
  await bots.call()
  const both = [client.chat.completions.create(ASKED), client.chat.completions.create(ASKED)]
  await bots.call(3)
  t.match(await errorOf(client.chat.completions.create(ASKED)), { status: 429, code: 'rate_limit_exceeded', type: 'rate_limit_error', message: /Three replies/ }, 'replies in conversations count')
  for (const { cost, end } of bots.calls) {
    cost(40, 0)
    end()
  }
  await Promise.all([stored, ...both])
  t.match(await errorOf(client.chat.completions.create({ ...ASKED, stream: true })), { status: 429, code: 'insufficient_quota', type: 'insufficient_quota', message: /tokens for today/ })
  let requests = 0
  const repeating = client.withOptions({
    maxRetries: 2,
    fetch: async (...request) => {
      requests++
      return await fetch(...request)
    }
  })
  t.match(await errorOf(repeating.chat.completions.create(ASKED)), { code: 'insufficient_quota' })
  t.equal(requests, 1, 'the package does not ask again')
  await query('DELETE FROM reply_costs')

  const own = clientOf(server, (await keyWith(db, ['v1'])).authorization.slice(7))
  const many = Array.from({ length: 4 }, () => own.chat.completions.create(ASKED))
  await bots.call(7)
  for (const { context, cost, end } of bots.calls.slice(3)) {
    t.equal(context.user, null)
    cost(15, 0)
    end()
  }
  await Promise.all(many)
  t.match(await errorOf(own.chat.completions.create(ASKED)), { status: 429, code: 'insufficient_quota' }, 'the budget of a key')
  t.match((await costsIn(server)).map(({ user, prompt }) => [user, prompt]), Array(4).fill([null, 15]))
  t.equal((await query('SELECT DISTINCT api_key_hash FROM reply_costs'))[0].api_key_hash.length, 64)

  const full = await begin(t, { MAX_GENERATIONS: 1, RATE_LIMITS: 'on', STREAMS_PER_USER: 1, RATE_LIMIT: 1_000 })
  full.bots.takeOver()
  const { heard, over } = await listen(full.client.chat.completions.create({ ...ASKED, stream: true }))
  const call = await full.bots.call()
  t.match(await errorOf(full.client.chat.completions.create(ASKED)), { status: 503, code: 'SERVER_BUSY' })
  t.match(await errorOf(full.client.chat.completions.create({ ...ASKED, stream: true })), { status: 429, code: 'TOO_MANY_STREAMS' })
  t.match((await full.anyone.get('/metrics')).payload, /^parley_generations 1$/m)
  call.say('Hi')
  call.end()
  await over
  t.equal(heard.text, 'Hi')
})

t.test('users by token, guests not at all, and servers by the scopes of their keys', async t => {
  const server = await begin(t)
  const { as, anyone, db, query } = server
  const bob = await as('bob')
  t.equal((await bob.get('/v1/models')).statusCode, 200, 'by cookie')
  const { access_token: token } = (await anyone.post('/login', { id: 'bob', passcode: 'correct horse' })).json()
  t.equal((await clientOf(server, token).models.list()).data.length, 1, 'by token')
  t.match(await errorOf(clientOf(server, API_KEY).models.list()), { status: 401 }, 'the keys in API_KEYS let guests in, and no more')
  const { token: guest } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  t.match(await errorOf(clientOf(server, guest).models.list()), { status: 403, code: 'NOT_FOR_GUESTS', type: 'permission_error' })

  const users = await keyWith(db, ['users'])
  await server.clientOf(users).put('/api/users/zoe', { name: 'Zoe' })
  const keyOf = async (...scopes: KeyScope[]) => (await keyWith(db, scopes)).authorization.slice(7)
  const asked = async (key: string, headers: Record<string, string> = {}) => await clientOf(server, key, headers).chat.completions.create(ASKED)
  const zoe = { 'X-Act-As': 'zoe' }
  for (const scope of ['v1', 'act'] as const) t.equal((await asked(await keyOf(scope), zoe)).choices.length, 1, scope)
  t.equal((await asked(await keyOf('v1'))).choices.length, 1)
  t.match(await errorOf(asked(await keyOf('act'))), { status: 403, code: 'MISSING_SCOPE' }, 'without a user, only `v1` is enough')
  t.match(await errorOf(asked(await keyOf('read', 'users', 'guests'), zoe)), { status: 403, code: 'MISSING_SCOPE' })
  t.match(await errorOf(asked(await keyOf('v1'), { 'X-Act-As': 'nobody' })), { status: 404, code: 'USER_NOT_FOUND' })
  t.match(await query('SELECT u.name, count(*)::int AS replies FROM reply_costs r LEFT JOIN users u ON u.id = r.user_id GROUP BY 1 ORDER BY 2 DESC'), [{ name: 'Zoe', replies: 2 }, { name: null, replies: 1 }], 'the user is charged')
  const elsewhere = await server.clientOf({ authorization: `Bearer ${await keyOf('v1')}`, 'x-act-as': 'zoe' }).get('/api/me')
  t.match(elsewhere.json(), { code: 'MISSING_SCOPE' }, '`v1` opens nothing else')

  t.comment('Users who are locked')
  const ada = await as('ada')
  await query("UPDATE users SET role = 'admin' WHERE username = 'ada'")
  const locked = await query("SELECT id::int FROM users WHERE username = 'bob' OR name = 'Zoe'")
  for (const { id } of locked) t.equal((await ada.patch(`/api/admin/users/${id}`, { is_locked: true })).statusCode, 200)
  t.match(await errorOf(clientOf(server, token).chat.completions.create(ASKED)), { status: 401, code: 'invalid_api_key' })
  t.match(await errorOf(asked(await keyOf('v1'), zoe)), { status: 403, code: 'ACCOUNT_LOCKED', type: 'permission_error' })
})

t.test('a reply ends with the session of its user, and its costs are stored even if that fails at first', async t => {
  const server = await begin(t)
  const { client, bots, ann, keyId } = server
  bots.takeOver()
  const { heard, over } = await listen(client.chat.completions.create({ ...ASKED, stream: true }))
  const first = await bots.call()
  const whole = errorOf(client.chat.completions.create(ASKED))
  await bots.call(2)
  first.say('As I')
  await until(() => heard.text === 'As I')
  await ann.delete(`/api/me/keys/${keyId}`)
  await over
  t.match(heard.error, { code: 'invalid_api_key', message: 'Please log in' })
  t.match(await whole, { status: 401 })
  t.match(await errorOf(client.models.list()), { status: 401, code: 'invalid_api_key' })

  const { key } = (await ann.post('/api/me/keys', { name: 'another' })).json()
  const { asked: stored, release } = server.hold('record_cost')
  const asked = clientOf(server, key).chat.completions.create(ASKED)
  const third = await bots.call(3)
  third.cost(9, 1)
  third.end()
  await stored
  release(new Error('the connection is lost'))
  t.match(await asked, { usage: { total_tokens: 10 } })
  t.match(await costsIn(server), [{ prompt: 9, completion: 1 }], 'once')

  const uncounted = clientOf(server, key).chat.completions.create(ASKED)
  const fourth = await bots.call(4)
  fourth.begin({ ...estimated(5, 5), count: async () => { throw new Error('no tokenizer') } })
  fourth.say('Hi')
  fourth.end()
  t.match(await uncounted, { choices: [{ message: { content: 'Hi' } }] })
})

t.test('a reply to a server in its own name ends when its key is revoked, and when it expires', async t => {
  const server = await begin(t)
  const { bots, as, query, db } = server
  const ada = await as('ada')
  await query("UPDATE users SET role = 'admin' WHERE username = 'ada'")
  bots.takeOver()
  const ask = async (nth: number) => {
    const key = (await keyWith(db, ['v1'])).authorization.replace('Bearer ', '')
    const { heard, over } = await listen(clientOf(server, key).chat.completions.create({ ...ASKED, stream: true }))
    const call = await bots.call(nth)
    call.say('As I')
    await until(() => heard.text === 'As I')
    return { heard, over }
  }
  const one = await ask(1)
  t.equal((await ada.delete('/api/admin/keys/1')).statusCode, 204)
  await one.over
  t.match(one.heard.error, { code: 'invalid_api_key' })

  const two = await ask(2)
  await query('UPDATE server_keys SET expires_at = now() WHERE id = 2')
  await two.over
  t.match(two.heard.error, { code: 'invalid_api_key' })
})

t.test('closing the server waits for replies, and cuts off those that take too long', async t => {
  const server = await begin(t)
  const { client, bots, app, query } = server
  bots.takeOver()
  const quick = await listen(client.chat.completions.create({ ...ASKED, stream: true }))
  await bots.call() // requests on two connections may arrive in either order
  const slow = await listen(client.chat.completions.create({ ...ASKED, stream: true }))
  await bots.call(2)
  const whole = errorOf(client.chat.completions.create(ASKED))
  await bots.call(3)
  for (const call of bots.calls.slice(0, 2)) {
    call.cost(3, 1)
    call.say('Well')
  }
  await until(() => quick.heard.text === 'Well' && slow.heard.text === 'Well')
  const costs = query // after the server has closed its own connections
  const closed = app.close()
  bots.calls[0]!.end()
  await quick.over
  t.match(quick.heard.chunks.at(-1), { choices: [{ finish_reason: 'stop' }] })
  await slow.over
  t.match(slow.heard.error, { code: 'UNAVAILABLE', message: /not available right now/ })
  t.match(await whole, { status: 503, code: 'UNAVAILABLE' })
  await closed
  t.same((await costs('SELECT status FROM reply_costs ORDER BY id')).map(({ status }) => status), ['complete', 'interrupted'])
})

t.test('a stream that is silent has comments, and a client that does not read slows the bot down', async t => {
  const { setInterval } = globalThis
  const beats: Array<() => void> = []
  t.teardown(() => { globalThis.setInterval = setInterval })
  globalThis.setInterval = ((work: () => void, time: number) => {
    if (time === 15_000) beats.push(work)
    return setInterval(work, time)
  }) as typeof setInterval
  const server = await begin(t)
  const { bots, key, port } = server
  bots.takeOver()
  const body = JSON.stringify({ ...ASKED, stream: true })
  const socket = connect(port, '127.0.0.1')
  let read = ''
  socket.setEncoding('utf8').on('data', piece => { read += piece })
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  const call = await bots.call()
  beats.at(-1)!()
  await until(() => read.includes(':\n'))
  t.match(read, /^HTTP\/1.1 200 [^]*text\/event-stream/, 'the headers are sent, although the bot has said nothing')
  call.say('Hi')
  await until(() => read.includes('"content":"Hi"'))
  t.notMatch(read, /^:\n\n/m, 'no block without data, which clients would parse and, when that fails, ask again')

  socket.pause()
  for (let n = 0; n < 90_000; n++) call.say('x')
  call.cost(1, 1)
  await new Promise(resolve => { setTimeout(resolve, 300) })
  t.same(await costsIn(server), [], 'it waits')
  socket.destroy()
  await until(async () => (await costsIn(server)).length === 1 || call.signal.aborted)
  t.equal(call.signal.reason, 'stopped')
})

t.test('a client that reads slowly gets all that a bot has said before it failed, and the error', async t => {
  const server = await begin(t)
  const { bots, key, port } = server
  bots.takeOver()
  const connected = once(server.app.server, 'connection') as Promise<[Socket]>
  const body = JSON.stringify({ ...ASKED, stream: true })
  const reader = connect(port, '127.0.0.1')
  let read = ''
  reader.setEncoding('utf8').on('data', piece => { read += piece })
  reader.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`)
  const [connection] = await connected
  const call = await bots.call()
  call.say('Well')
  await until(() => read.includes('"content":"Well"'))
  reader.pause()
  let said = 0
  while (!connection.writableNeedDrain) {
    for (let n = 0; n < 100; n++, said++) call.say('x')
    await new Promise(setImmediate)
  }
  for (let n = 0; n < 100; n++, said++) call.say('x')
  call.cost(1, 1)
  call.fail(Object.assign(new Error('no'), { failure: 'BOT_BROKE_OFF' }))
  await until(async () => (await costsIn(server)).length === 1)
  await Promise.race([once(connection, 'close'), new Promise(resolve => { setTimeout(resolve, 500) })])
  const ended = once(reader, 'end')
  reader.resume()
  await ended
  t.equal(read.split('"content":"x"').length - 1, said)
  t.match(read, /"code":"BOT_FAILED"/)
})

t.test('a webhook is told that there is no conversation, and the instructions', async t => {
  const asked: unknown[] = []
  const hook = createServer(async (request, response) => {
    let text = ''
    for await (const piece of request) text += piece
    asked.push(JSON.parse(text))
    response.end('{"text": "Well"}')
  }).listen(0, '127.0.0.1')
  await once(hook, 'listening')
  t.teardown(() => { hook.closeAllConnections(); hook.close() })
  const { client, query } = await begin(t, { WEBHOOK_ALLOW: '127.0.0.1' })
  const settings = { url: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`, secret: 'a secret of 16 characters' }
  await query("INSERT INTO chatbots (name, engine, settings) VALUES ('hook', 'webhook', $1)", [settings])
  const answer = await client.chat.completions.create({ model: 'hook', messages: [{ role: 'system', content: 'Be kind.' }, ...HELLO] })
  t.equal(answer.choices[0]!.message.content, 'Well')
  t.same(asked, [{
    turns: [{ sender: 'user', name: 'ann', text: 'Hello' }],
    conversation: null,
    message: null,
    user: { id: 1, name: 'ann', metadata: {} },
    channel: 'v1',
    state: null,
    metadata: {},
    instructions: 'Be kind.'
  }])
})

t.test('the lines of docs/api.md', async t => {
  const { client, url, key, query } = await begin(t)
  await query("DELETE FROM chatbots WHERE name = 'assistant'")
  await query("UPDATE chatbots SET name = 'assistant' WHERE name = 'slow'")
  t.equal((await client.models.list()).data.length, 1)
  const [code] = blocksOf('docs/api.md', 'js')
  const file = path.join(t.testdir(), 'lines.mjs')
  await writeFile(file, code!.replace('http://localhost:5000', url).replace('process.env.PARLEY_KEY', `'${key}'`).replace('process.stdout.write', 'console.log'))
  const logged = t.capture(console, 'log')
  await import(pathToFileURL(file).href)
  t.same(logged().map(({ args }) => args[0]), ['assistant', '', 'Slowly: ', 'Why is the sky blue?', ''])
})

t.test('a reply of several parts is one text, without the reasoning', async t => {
  const { client, bots } = await begin(t)
  bots.takeOver()
  const part = { type: 'choices' as const, choices: [{ id: 'y', title: 'Yes' }] }
  for (const [nth, { texts, isSaid }] of [{ texts: ['Which?'], isSaid: false }, { texts: [], isSaid: false }, { texts: [], isSaid: true }].entries()) {
    const asked = client.chat.completions.create(ASKED)
    const call = await bots.call(nth + 1)
    call.think('Hm')
    for (const text of texts) call.say(text)
    call.give({ part, isSaid })
    call.give({ part: { type: 'source', url: 'https://example.com', title: 'A' }, isSaid: true })
    call.end()
    t.equal((await asked).choices[0]!.message.content, [...texts, '- Yes'].join('\n\n'))
  }
})
