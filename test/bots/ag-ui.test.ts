import t, { type Test } from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import type { BotMemory, ReplyContext, Turn } from '../../src/bots/bot.ts'
import { createDirectory, createEngines } from '../../src/bots/directory.ts'
import type { Config } from '../../src/config.ts'
import { encoded, message, serveAgent, type Run } from '../support/agent.ts'
import { blocksOf } from '../support/docs.ts'
import { API_KEY, settings, startApp } from '../support/helper.ts'
import { startLive } from '../support/live.ts'
import { freePort, until } from '../support/process.ts'

const HELLO: Turn[] = [{ id: 1, sender: 'user', name: 'ann', text: 'Hello' }]

/** Where a bot is asked. */
const place = (more: Partial<ReplyContext> = {}): ReplyContext => ({
  conversation: { id: 7, name: 'Plans', metadata: {} },
  message: { id: 1, replyId: 2, parts: [], metadata: {} },
  user: { id: 3, name: 'ann', metadata: {} },
  channel: 'web',
  state: null,
  metadata: {},
  ...more
})

/** Returns a function that asks an agent for a reply, and returns its text, reasoning and failure, with the causes for the log. */
function asking (t: Test, changes: Partial<Config> = {}) {
  const engines = createEngines(settings({ WEBHOOK_ALLOW: '127.0.0.1', BOT_BREAKER_FAILURES: 100, ...changes }))
  t.teardown(() => engines['ag-ui'].close!())
  const directory = createDirectory(engines)
  return async ({ turns = HELLO, signal = new AbortController().signal, context, ...settings }: { url: string, headers?: object, turns?: Turn[], signal?: AbortSignal, context?: ReplyContext }) => {
    const bot = directory({ id: 1, name: 'agent', engine: 'ag-ui', settings })
    if (bot.kind !== 'streaming') throw new Error('It takes no time')
    const heard = { texts: [] as string[], reasoning: '', signs: 0, usage: undefined as object | undefined, memory: undefined as BotMemory | undefined, failure: undefined as string | undefined, causes: '' }
    try {
      for await (const piece of await bot.reply(turns, signal, context)) {
        if ('text' in piece) heard.texts.push(piece.text)
        else if ('reasoning' in piece) {
          heard.reasoning += piece.reasoning
          if (piece.reasoning === '') heard.signs++
        } else if (!('part' in piece)) Object.assign(heard, { usage: piece.usage, memory: piece.memory })
      }
    } catch (error) {
      heard.failure = (error as { failure: string }).failure
      for (let at = (error as Error).cause; at instanceof Error; at = at.cause) heard.causes += `${at.message} `
    }
    return { ...heard, text: heard.texts.join('') }
  }
}

t.test('an agent gets the conversation, and its answer comes piece by piece', async t => {
  const { url, runs } = await serveAgent(t, ({ finish }) => finish(...message('a1', 'Hello, ', '', 'Ann. ', '😀')))
  const ask = asking(t)
  const turns: Turn[] = [
    { id: 4, sender: 'user', name: 'ann', text: 'Hi' }, { id: 5, sender: 'bot', name: 'agent', text: 'Yes?' }, { id: 7, sender: 'user', name: 'ann', text: 'Say hello' }
  ]
  t.match(await ask({ url: `${url}?team=1`, headers: { Authorization: 'Bearer xyz', 'X-Team': 'blue', ACCEPT: '*/*' }, turns, context: place() }), { texts: ['Hello, ', 'Ann. ', '😀'], reasoning: '', failure: undefined })
  const [{ input, headers }] = runs as [Run]
  t.same(input, {
    threadId: 'parley-7',
    runId: input.runId,
    state: {},
    messages: [{ id: 'parley-7-4', role: 'user', content: 'Hi' }, { id: 'parley-7-5', role: 'assistant', content: 'Yes?' }, { id: 'parley-7-7', role: 'user', content: 'Say hello' }],
    tools: [],
    context: [],
    forwardedProps: {}
  })
  t.match(headers, { accept: 'text/event-stream', 'content-type': 'application/json', authorization: 'Bearer xyz', 'x-team': 'blue' })

  await ask({ url, turns: [{ id: 1, sender: 'user', name: 'ann', text: 'One' }, { id: 2, sender: 'bot', name: 'other', text: 'Two' }, { id: 3, sender: 'user', name: 'bob', text: 'Three' }], context: place() })
  t.same(runs[1]!.input.messages, [
    { id: 'parley-7-1', role: 'user', content: 'ann: One' }, { id: 'parley-7-2', role: 'user', content: 'other: Two' }, { id: 'parley-7-3', role: 'user', content: 'bob: Three' }
  ], 'of several people and bots it gets the names')
  t.not(runs[1]!.input.runId, input.runId)

  const unstored = { conversation: null, message: null, channel: 'v1' as const, instructions: 'Be kind.' }
  t.match(await ask({ url, turns: [{ sender: 'user', name: 'ann', text: 'Hi' }], context: place(unstored) }), { text: 'Hello, Ann. 😀', memory: undefined })
  const { threadId, messages } = runs[2]!.input
  t.match(threadId, /^[\da-f-]{36}$/, 'without a conversation the thread is a new one')
  t.same(messages, [{ id: `${threadId}-system`, role: 'system', content: 'Be kind.' }, { id: `${threadId}-1`, role: 'user', content: 'Hi' }])
})

t.test('messages keep their ids, and replies have the ids that the agent gave them', async t => {
  const ids = ['first', 'second', 'second', 'x'.repeat(300), 'bad\0']
  const { url, runs } = await serveAgent(t, ({ finish }) => finish(...message('before', 'Well'), ...message(ids[runs.length - 1]!, 'ok')))
  const ask = asking(t)
  const turns: Turn[] = [...HELLO]
  let state: unknown = null
  for (let reply = 2; reply <= 10; reply += 2) {
    const { memory } = await ask({ url, turns, context: place({ state, message: { id: reply - 1, replyId: reply, parts: [], metadata: {} } }) })
    if (memory !== undefined) ({ state } = memory)
    turns.push({ id: reply, sender: 'bot', name: 'agent', text: 'Well\n\nok' }, { id: reply + 1, sender: 'user', name: 'ann', text: 'And?' })
  }
  t.same(runs.at(-1)!.input.messages.map(({ id }) => id), ['parley-7-1', 'first', 'parley-7-3', 'second', 'parley-7-5', 'parley-7-6', 'parley-7-7', 'parley-7-8', 'parley-7-9'], 'an id that comes again, or that cannot be stored, is not used')
  t.same(state, { ids: { 2: 'first', 4: 'second' } })
  const later = await serveAgent(t, ({ finish }) => finish(...message('later', 'ok')))
  t.same((await ask({ url: later.url, turns: turns.slice(2), context: place({ state, message: { id: 11, replyId: 12, parts: [], metadata: {} } }) })).memory,
    { state: { ids: { 4: 'second', 12: 'later' } } }, 'what is no longer in the history is forgotten')
})

t.test('every kind of event', async t => {
  let answer: (run: Run) => unknown = () => {}
  const { url } = await serveAgent(t, run => answer(run))
  const ask = asking(t)
  const text = (messageId: string, delta: unknown) => ({ type: 'TEXT_MESSAGE_CONTENT', messageId, delta })
  const chunk = (delta: string, messageId?: string) => ({ type: 'TEXT_MESSAGE_CHUNK', delta, ...messageId !== undefined && { messageId } })
  const begin = (messageId: string, role = 'assistant') => ({ type: 'TEXT_MESSAGE_START', messageId, role })
  const end = (messageId: string) => ({ type: 'TEXT_MESSAGE_END', messageId })
  const thought = (messageId: string, delta: string) => [
    { type: 'REASONING_START', messageId }, { type: 'REASONING_MESSAGE_START', messageId, role: 'reasoning' },
    { type: 'REASONING_MESSAGE_CONTENT', messageId, delta }, { type: 'REASONING_MESSAGE_END', messageId }, { type: 'REASONING_END', messageId }
  ]
  const thinking = (delta: string) => [
    { type: 'THINKING_START' }, { type: 'THINKING_TEXT_MESSAGE_START' }, { type: 'THINKING_TEXT_MESSAGE_CONTENT', delta }, { type: 'THINKING_TEXT_MESSAGE_END' }, { type: 'THINKING_END' }
  ]
  const snapshot = (...messages: object[]) => ({ type: 'MESSAGES_SNAPSHOT', messages })
  const [before, question] = [[{ id: 'u0', role: 'user', content: 'Hi' }, { id: 'a0', role: 'assistant', content: 'Before' }], { id: 'u1', role: 'user', content: 'Hello' }]
  const usage = [{ provider: 'p', model: 'large', inputTokens: 10, outputTokens: 4 }, { model: 'small', inputTokens: 3, outputTokens: 1.5 }, null]

  const finished: Array<[what: string, events: object[], expected: object]> = [
    ['one message', message('a', 'One', ' two'), { texts: ['One', ' two'] }],
    ['two messages', [...message('a', 'One'), ...message('b', 'Two', '!')], { text: 'One\n\nTwo!' }],
    ['two messages at once', [begin('a'), begin('b'), text('b', 'B1'), text('a', 'A1'), text('b', 'B2'), text('a', 'A2'), end('a'), text('b', 'B3'), end('b'), ...message('c', 'C')], { texts: ['A1', 'A2', '\n\nB1B2', 'B3', '\n\nC'] }],
    ['three messages of which the last one ends first', [begin('a'), begin('b'), begin('c'), text('c', 'C'), end('c'), text('b', 'B'), end('b'), text('a', 'A'), end('a')], { text: 'A\n\nB\n\nC' }],
    ['a message that nobody ends', [begin('a'), text('a', 'A'), begin('b'), text('b', 'B')], { text: 'A\n\nB' }],
    ['an end of a message that did not begin', [end('x'), ...message('a', 'A')], { text: 'A' }],
    ['chunks', [chunk('One', 'a'), chunk(' two'), chunk('Three', 'b')], { texts: ['One', ' two', '\n\nThree'] }],
    ['chunks of a message that has begun', [begin('a'), chunk('One', 'a'), chunk(' two', 'a'), ...message('b', 'Three')], { text: 'One two\n\nThree' }],
    ['reasoning', [...thought('r1', 'Hm.'), ...thought('r2', 'Well.'), ...message('a', 'Yes')], { text: 'Yes', reasoning: 'Hm.\n\nWell.' }],
    ['chunks of reasoning', [{ type: 'REASONING_MESSAGE_CHUNK', messageId: 'r', delta: 'Hm' }, { type: 'REASONING_MESSAGE_CHUNK', delta: '.' }, ...message('a', 'Yes')], { text: 'Yes', reasoning: 'Hm.' }],
    ['thinking, as it was called before', [...thinking('Hm.'), ...thinking('Well.'), ...message('a', 'Yes')], { text: 'Yes', reasoning: 'Hm.\n\nWell.' }],
    ['what others say', [begin('u', 'user'), text('u', 'Hello'), end('u'), ...message('a', 'Yes'), ...message('s', 'I am a subagent').map(event => ({ ...event, subagentRunId: 'sub' }))], { text: 'Yes' }],
    ['tools, state and events of no known type', [
      { type: 'STEP_STARTED', stepName: 'one' }, { type: 'TOOL_CALL_START', toolCallId: 't', toolCallName: 'rm' }, { type: 'TOOL_CALL_ARGS', toolCallId: 't', delta: '{}' }, { type: 'TOOL_CALL_END', toolCallId: 't' },
      { type: 'TOOL_CALL_RESULT', messageId: 'm', toolCallId: 't', content: 'Done' }, { type: 'STATE_SNAPSHOT', snapshot: {} }, { type: 'STATE_DELTA', delta: [] }, { type: 'CUSTOM', name: 'x', value: 1 },
      { type: 'RAW', event: {} }, { type: 'ACTIVITY_SNAPSHOT', messageId: 'c', activityType: 'x', content: {} }, { type: 'REASONING_ENCRYPTED_VALUE', subtype: 'message', entityId: 'r', encryptedValue: 'x' }, { type: 'NEW_IN_2030' }, ...message('a', 'Yes')
    ], { texts: ['Yes'], reasoning: '', signs: 12 + 3 }],
    ['a snapshot only', [snapshot(...before, question, { id: 'r', role: 'reasoning', content: 'Hm.' }, { id: 'a1', role: 'assistant', toolCalls: [] }, { id: 't', role: 'tool', content: 'Done' }, { id: 'a2', role: 'assistant', content: 'Yes' }, { id: 'a3', role: 'assistant', content: 'Or no' })],
      { text: 'Yes\n\nOr no', reasoning: 'Hm.', memory: { state: { ids: { 2: 'a3' } } } }],
    ['a snapshot after the text', [...message('a', 'Yes'), snapshot(...before, question, { id: 'a', role: 'assistant', content: 'Yes' })], { text: 'Yes', memory: { state: { ids: { 2: 'a' } } } }],
    ['a snapshot of what was said before', [snapshot(...before, question)], { text: '', failure: 'BOT_NONSENSE' }],
    ['a snapshot that is none', [{ type: 'MESSAGES_SNAPSHOT', messages: {} }, { type: 'MESSAGES_SNAPSHOT', messages: [null, 7] }], { text: '', failure: 'BOT_NONSENSE' }],
    ['nothing', [], { text: '', failure: 'BOT_NONSENSE', causes: /no text/ }],
    ['values of other types', [null, 7, [], { type: 7 }, {}, text('a', 7), { ...text('a', 'Yes'), messageId: 7 }] as object[], { text: 'Yes', failure: undefined }],
    ['the cost', [...message('a', 'Yes'), { type: 'RUN_FINISHED', usage }], { text: 'Yes', usage: { promptTokens: 13, completionTokens: 4, model: 'large' } }],
    ['no cost', [...message('a', 'Yes'), { type: 'RUN_FINISHED', usage: [] }], { text: 'Yes', usage: undefined }],
    ['what follows the end', [...message('a', 'Yes'), { type: 'RUN_FINISHED' }, ...message('b', 'No'), { type: 'RUN_ERROR', message: 'late' }], { text: 'Yes', failure: undefined }],
    ['an error', [{ type: 'RUN_ERROR', message: 'no quota for xyz-secret-of-ours', code: 'quota' }], { text: '', failure: 'BOT_BROKE_OFF', causes: 'The agent reported: no quota for … ' }],
    ['an error in the middle', [...message('a', 'Yes'), { type: 'RUN_ERROR', message: 'x'.repeat(5000) }], { text: 'Yes', failure: 'BOT_BROKE_OFF', causes: /^The agent reported: x{900,1000} $/ }],
    ['a run that was cancelled', [...message('a', 'Yes'), { type: 'RUN_FINISHED', outcome: { type: 'cancelled' } }], { text: 'Yes', failure: 'BOT_BROKE_OFF', causes: /cancelled/ }],
    ['a run that asks for an answer and says nothing', [{ type: 'RUN_FINISHED', outcome: { type: 'interrupt', interrupts: [{ id: 'i', reason: 'approval' }] } }], { text: '', failure: 'BOT_NONSENSE' }]
  ]
  for (const [what, events, expected] of finished) {
    answer = ({ finish }) => finish(...events)
    t.match(await ask({ url, headers: { 'x-key': 'xyz-secret-of-ours' }, context: place() }), { failure: undefined, ...expected }, what)
  }

  const json = (status: number, body: object) => ({ response }: Run) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  const answers: Array<[what: string, answer: (run: Run) => unknown, expected: object]> = [
    ['a stream without an end', ({ send, response }) => { send(begin('a'), text('a', 'A'), ...message('b', 'B')); response.end() }, { text: 'A\n\nB', failure: 'BOT_BROKE_OFF', causes: /no end/ }],
    ['[DONE] in place of an end', ({ send, response }) => { send(...message('a', 'A')); response.end('data: [DONE]\n\n') }, { text: 'A', failure: 'BOT_BROKE_OFF' }],
    ['[DONE] after the end', ({ send, response }) => { send(...message('a', 'A'), { type: 'RUN_FINISHED' }); response.end('data: [DONE]\n\n') }, { text: 'A', failure: undefined }],
    ['a connection that is cut', ({ send, response }) => { send(...message('a', 'A')); response.write(': cut here\n', () => response.destroy()) }, { failure: 'BOT_BROKE_OFF' }],
    ['garbage', ({ send, response }) => { send(...message('a', 'A')); response.end('data: garbage\n\n') }, { text: 'A', failure: 'BOT_NONSENSE' }],
    ['a text with the key', ({ response }) => { response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: no xyz-secret-of-ours\n\n') }, { text: '', failure: 'BOT_NONSENSE', causes: 'The agent\'s answer is not JSON: no … ' }],
    ['an HTML page', ({ response }) => response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Welcome!</h1>'), { text: '', failure: 'BOT_NONSENSE', causes: /no events of AG-UI/ }],
    ['JSON', json(200, { text: 'Hello' }), { text: '', failure: 'BOT_NONSENSE', causes: /no events of AG-UI/ }],
    ['nothing at all', ({ response }) => response.writeHead(204).end(), { text: '', failure: 'BOT_NONSENSE' }],
    ['a status of 422', json(422, { detail: 'Field required' }), { text: '', failure: 'BOT_REFUSED', causes: /The agent answered with status 422/ }],
    ['a status of 401', json(401, {}), { text: '', failure: 'BOT_REFUSED', causes: /401/ }],
    ['a redirect', ({ response }) => response.writeHead(307, { location: url }).end(), { text: '', failure: 'BOT_REFUSED', causes: /307/ }],
    ['a status of 500', json(500, {}), { text: '', failure: 'BOT_UNREACHABLE', causes: /500/ }],
    ['an event of more than 1 MiB', ({ finish }) => finish({ type: 'RAW', event: 'x'.repeat(1024 * 1024) }, ...message('a', 'A')), { text: '', failure: 'BOT_NONSENSE', causes: /too long/ }],
    ['more than 64 MiB', ({ finish }) => finish(...message('a', 'A'), ...Array<object>(66).fill({ type: 'RAW', event: 'x'.repeat(1024 * 1000) })), { text: 'A', failure: 'BOT_NONSENSE', causes: /The agent's answer is larger than 64 MiB/ }]
  ]
  for (const [what, act, expected] of answers) {
    answer = act
    t.match(await ask({ url, headers: { 'x-key': 'xyz-secret-of-ours' } }), expected, what)
  }
})

t.test('events may be split at any byte, with any end of a line, comments and other fields', async t => {
  for (const end of ['\n', '\r\n', '\r']) {
    const { url } = await serveAgent(t, ({ response }) => {
      const events = [{ type: 'RUN_STARTED' }, { type: 'THINKING_TEXT_MESSAGE_CONTENT', delta: 'Hä?' }, ...message('a', 'Grüß ', 'dich 👩‍👩‍👧'), { type: 'RUN_FINISHED' }]
      const lines = [': hello\n\n', ...events.map((event, id) => `: ping\nid: ${id}\nevent: message\nretry: 5\n${encoded(event)}`)].join('').replaceAll('\n', end)
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
      for (const byte of Buffer.from(lines)) response.write(Buffer.of(byte)) // each is a chunk of its own for the reader
      response.end()
    })
    t.match(await asking(t)({ url }), { text: 'Grüß dich 👩‍👩‍👧', reasoning: 'Hä?', failure: undefined }, JSON.stringify(end))
  }
})

t.test('an agent is asked again while it cannot be reached, has limits of time, and can be stopped', async t => {
  let answer: (run: Run) => unknown = () => {}
  const { url, runs } = await serveAgent(t, run => answer(run))
  answer = ({ response, finish }) => runs.length === 1 ? response.writeHead(503).end() : finish(...message('a', 'Now'))
  t.match(await asking(t)({ url }), { text: 'Now', failure: undefined })
  t.equal(runs.length, 2)

  const limited = (changes: Partial<Config>) => asking(t, changes)({ url })
  answer = () => {}
  t.match(await limited({ BOT_TIMEOUT_FIRST: 0.2 }), { text: '', failure: 'BOT_SILENT', causes: /first token took longer than 0.2 s/ })
  answer = ({ send }) => send()
  t.match(await limited({ BOT_TIMEOUT_FIRST: 0.2 }), { text: '', failure: 'BOT_SILENT', causes: /first token/ }, 'a run that only begins is silent, too')
  answer = ({ send }) => send(...message('a', 'Well'))
  t.match(await limited({ BOT_TIMEOUT_SILENCE: 0.2 }), { text: 'Well', failure: 'BOT_SILENT', causes: /next token took longer than 0.2 s/ })
  answer = ({ send }) => send(...message('a', 'Well'), { type: 'RUN_FINISHED' })
  t.match(await limited({}), { text: 'Well', failure: undefined }, 'an agent that leaves the connection open has finished')
  await runs.at(-1)!.gone
  answer = ({ send, response }) => {
    const timer = setInterval(() => send({ type: 'CUSTOM', name: 'busy', value: 1 }), 20)
    response.on('close', () => { clearInterval(timer) })
  }
  t.match(await limited({ BOT_TIMEOUT: 0.5 }), { text: '', failure: 'BOT_SILENT', causes: /whole reply took longer than 0.5 s/ })

  for (const send of [(_run: Run) => {}, (run: Run) => run.send(...message('a', 'Well'))]) {
    const stop = new AbortController()
    const count = runs.length
    answer = send
    const reply = asking(t)({ url, signal: stop.signal })
    await until(() => runs.length > count)
    stop.abort()
    t.match(await reply, { failure: undefined })
    await runs.at(-1)!.gone
  }
  t.pass('the connections are closed')

  answer = ({ send }) => send(...message('a', ...Array<string>(30).fill('😀'.repeat(7000))))
  const { text, failure } = await asking(t)({ url })
  t.same([text, failure], ['😀'.repeat(100_000), undefined], 'a reply has 100,000 characters at most')
  await runs.at(-1)!.gone

  answer = ({ response }) => response.writeHead(500).end()
  const ask = asking(t, { BOT_BREAKER_FAILURES: 1 })
  t.match(await ask({ url }), { failure: 'BOT_UNREACHABLE' })
  const tried = runs.length
  t.match(await ask({ url }), { failure: 'BOT_OVERLOADED' })
  t.match(await asking(t, { WEBHOOK_ALLOW: '10.0.0.0/8' })({ url }), { failure: 'BOT_REFUSED', causes: /WEBHOOK_ALLOW/ })
  t.equal(runs.length, tried, 'neither an agent that fails nor one inside our own network gets a request')
})

t.test('an admin creates such bots; their headers are never shown', async t => {
  const { as, anyone, query } = await startApp(t)
  const ann = await as('ann')
  await query("UPDATE users SET role = 'admin' WHERE username = 'ann'")
  const bots = '/api/admin/bots'
  const make = (settings: object) => ann.post(bots, { name: 'mind', engine: 'ag-ui', settings })
  const url = 'https://agents.example.com/run'
  for (const [settings, path, message] of [
    [{}, 'settings.url', 'is required'],
    [{ url: 'ftp://agents.example.com' }, 'settings.url', /http or https/],
    [{ url, secret: 'a secret of 16 characters' }, 'settings.secret', 'is not a known field'],
    [{ url, headers: 'Authorization: x' }, 'settings.headers', 'must be an object'],
    [{ url, headers: { Authorization: 7 } }, 'settings.headers.Authorization', 'must be a string'],
    [{ url, headers: { Authorization: 'one\r\ntwo' } }, 'settings.headers.Authorization', 'may contain only printable ASCII characters'],
    [{ url, headers: { 'X Team': 'blue' } }, 'settings.headers', 'has an entry whose name is not allowed'],
    [{ url, headers: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`x-${n}`, 'x'])) }, 'settings.headers', 'may have at most 20 entries']
  ] as const) {
    t.match((await make(settings)).json(), { statusCode: 400, code: 'INVALID_REQUEST', details: [{ path, message }] }, JSON.stringify(settings))
  }
  const headers = { Authorization: 'Bearer never-to-be-shown' }
  const made = (await make({ url, headers, description: 'Knows all' })).json()
  t.match(made, { engine: 'ag-ui', settings: { url, description: 'Knows all' } })
  const stored = async () => (await query("SELECT settings FROM chatbots WHERE name = 'mind'"))[0].settings
  t.same(await stored(), { url, headers, description: 'Knows all' })
  t.same((await ann.patch(`${bots}/${made.id}`, { settings: { url } })).json().settings, { url })
  t.same(await stored(), { url, headers }, 'headers that are not in the request stay')
  for (const { body } of [await ann.get(bots), await ann.get('/api/bots'), await anyone.get('/openapi.json')]) t.notMatch(body, /never-to-be-shown/)
  t.match((await ann.get('/api/bots')).json().find(({ name }: { name: string }) => name === 'mind'), { streaming: true, is_ready: true })
  t.equal((await ann.patch(`${bots}/${made.id}`, { settings: { url, headers: {} } })).statusCode, 200)
  t.same(await stored(), { url, headers: {} })
})

/** An app with a bot whose agent does what a test says. */
async function withAgent (t: Test, answer: (run: Run) => unknown) {
  const agent = await serveAgent(t, answer)
  const app = await startApp(t, { WEBHOOK_ALLOW: '127.0.0.1', GUEST_BOT: 'agent' })
  await app.query("INSERT INTO chatbots (name, engine, settings) VALUES ('agent', 'ag-ui', $1)", [JSON.stringify({ url: agent.url })])
  const ann = await app.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: ['agent'] })).json()
  return { ...app, ann, runs: agent.runs, id, url: `/api/conversations/${id}` }
}

t.test('in a conversation: the reply with its reasoning, the next run, once more, and a stop', async t => {
  let answer: (run: Run) => unknown = ({ finish }) => {
    finish({ type: 'REASONING_MESSAGE_CHUNK', messageId: 'r1', delta: 'They greet.' }, ...message('a1', 'Hello'), ...message('a2', 'Ann'), { type: 'RUN_FINISHED', usage: [{ model: 'large', inputTokens: 5, outputTokens: 2 }] })
  }
  const { ann, runs, id, url, query } = await withAgent(t, run => answer(run))
  const streamed = await ann.post(`${url}/messages`, { text: 'Hi' }, { accept: 'text/event-stream' })
  t.match(streamed.headers['content-type'], /^text\/event-stream/)
  t.match(streamed.body, /They greet\./)
  const [, reply] = (await ann.get(`${url}/messages`)).json()
  t.match(reply, { username: 'agent', text: 'Hello\n\nAnn', status: 'complete', parts: [{ type: 'reasoning', text: 'They greet.' }, { type: 'text', text: 'Hello\n\nAnn' }] })
  t.match(await query('SELECT bot_name, model, prompt_tokens, completion_tokens, is_estimate FROM reply_costs'), [{ bot_name: 'agent', model: 'large', prompt_tokens: 5, completion_tokens: 2, is_estimate: false }])

  answer = ({ send, response }) => { send(...message('a3', 'Well'), { type: 'RUN_ERROR', message: 'no' }); response.end() }
  const [second, failed] = (await ann.post(`${url}/messages`, { text: 'And?' })).json()
  t.match(failed, { text: 'Well', status: 'failed', failure: 'BOT_BROKE_OFF' })
  const { threadId, messages } = runs[1]!.input
  t.equal(threadId, `parley-${id}`)
  const said = [{ id: `parley-${id}-1`, role: 'user', content: 'Hi' }, { id: 'a2', role: 'assistant', content: 'Hello\n\nAnn' }, { id: `parley-${id}-${second.id}`, role: 'user', content: 'And?' }]
  t.same(messages, said, 'without the reasoning')

  answer = ({ finish }) => finish(...message('a4', 'Better'))
  t.match((await ann.post(`${url}/messages/${failed.id}/regenerate`)).json(), { id: failed.id, text: 'Better', status: 'complete' })
  t.same(runs[2]!.input.messages, said, 'the same question, with the same ids')

  answer = ({ send }) => send(...message('a5', 'I never end'))
  const asked = ann.post(`${url}/messages`, { text: 'Go on' })
  await until(async () => (await query("SELECT FROM messages WHERE text = 'I never end'")).length === 1)
  t.equal((await ann.post(`${url}/stop`)).statusCode, 204)
  const [third, stopped] = (await asked).json()
  t.match(stopped, { text: 'I never end', status: 'stopped' })
  await runs[3]!.gone
  t.same(runs[3]!.input.messages.map(({ id }) => id), [...said.map(({ id }) => id), 'a4', `parley-${id}-${third.id}`])
})

t.test('POST /chat of a guest', async t => {
  const { anyone, runs } = await withAgent(t, ({ finish }) => finish(...message('a', 'Hello ', 'guest')))
  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  const answer = await anyone.post('/chat', { content: 'Hi', token }, { 'x-api-key': API_KEY })
  t.equal(answer.statusCode, 200)
  t.match(answer.body, /Hello guest/)
  t.match(runs[0]!.input.messages.at(-1), { role: 'user', content: 'Hi' })
})

t.test('the agent may be a bot of another Parley', async t => {
  const there = await startLive(t)
  const bob = await there.as('bob')
  const { ann, query } = await withAgent(t, () => {})
  await query("UPDATE chatbots SET settings = $1 WHERE name = 'agent'", [JSON.stringify({ url: `${there.url}/api/ag-ui/simulated`, headers: bob.headers })])
  const { id } = (await ann.post('/api/conversations', { name: 'Far', bots: ['agent'] })).json()
  for (const text of ['Hi', 'Again']) t.match((await ann.post(`/api/conversations/${id}/messages`, { text })).json()[1], { text: `You said: ${text}`, status: 'complete' })
  t.match(await there.query('SELECT client_id FROM conversations WHERE client_id IS NOT NULL'), [{ client_id: `parley-${id}` }], 'the thread there is the conversation here')
})

t.test('the agent of the documentation', async t => {
  const source = blocksOf('docs/bots.md', 'js').find(code => code.includes('RUN_STARTED'))!
  const port = await freePort()
  const agent = spawn(process.execPath, [path.join(t.testdir({ 'agent.mjs': source }), 'agent.mjs')], { env: { PORT: String(port), KEY: 'a key' } })
  t.teardown(() => agent.kill())
  await once(agent.stdout, 'data')
  const url = `http://127.0.0.1:${port}/`
  t.match(await asking(t)({ url, headers: { Authorization: 'Bearer a key' } }), { texts: ['I ', 'heard: ', 'Hello'], failure: undefined })
  t.match(await asking(t)({ url }), { failure: 'BOT_REFUSED', causes: /401/ })
})
