import t from 'tap'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { ReplyPiece } from '../../src/bots/bot.ts'
import { partsOf } from '../../src/channels/whatsapp/parts.ts'
import { startApp } from '../support/helper.ts'
import { bot, chunk, END, event, HELLO, json, KEY, say, serve, stream, user, whole, type Answer } from '../support/model.ts'
import { until } from '../support/process.ts'
import { isInOrder, tokensOf, type Body } from '../support/providers.ts'
import { listen, openSocket } from '../support/reader.ts'

// Requests that language model providers refuse, with their own error messages.

/** Options that can be refused: their name in the API, a readable name, and whether a request has them. */
const OPTIONS: Record<string, { field: string, path: Array<string | number>, words: string, isIn: (body: Body) => boolean }> = {
  stream_options: { field: 'stream_options', path: ['body', 'stream_options'], words: 'stream_options', isIn: body => body.stream_options !== undefined },
  temperature: { field: 'temperature', path: ['body', 'temperature'], words: 'temperature', isIn: body => body.temperature !== undefined },
  max_tokens: { field: 'max_tokens', path: ['body', 'max_tokens'], words: 'max_tokens', isIn: body => body.max_tokens !== undefined },
  'both limits': { field: 'max_completion_tokens', path: ['body', 'max_completion_tokens'], words: 'max_completion_tokens', isIn: body => (body.max_tokens ?? body.max_completion_tokens) !== undefined },
  user: { field: 'user', path: ['body', 'user'], words: 'user', isIn: body => body.user !== undefined },
  system: { field: 'messages[0].role', path: ['body', 'messages', 0, 'role'], words: 'system role', isIn: body => body.messages.some(({ role }) => role === 'system' || role === 'developer') },
  stream: { field: 'stream', path: ['body', 'stream'], words: 'stream', isIn: body => body.stream === true }
}

/** The error responses. */
const WORDINGS: Record<string, (response: ServerResponse, option: { field: string, path: Array<string | number>, words: string }, body: Body) => unknown> = {
  FastAPI: (response, { path }, body) => json(response, 422, { detail: [{ type: 'extra_forbidden', loc: path, msg: 'Extra inputs are not permitted', input: body.messages }] }),
  Mistral: (response, { path }) => json(response, 422, { object: 'error', message: { detail: [{ type: 'extra_forbidden', loc: path, msg: 'Extra inputs are not permitted', input: true }] }, type: 'invalid_request_error', param: null }),
  'vLLM, older': (response, { path }) => json(response, 400, { object: 'error', message: `[{'type': 'extra_forbidden', 'loc': (${path.map(part => `'${part}'`).join(', ')}), 'msg': 'Extra inputs are not permitted'}]`.replace("'messages', '0', 'role'", "'messages.0.role'"), type: 'BadRequestError', param: null, code: 400 }),
  vLLM: (response, { words }) => json(response, 400, { error: { message: `${words} is not supported`, type: 'BadRequestError', param: null, code: 400 } }),
  OpenAI: (response, { field }) => json(response, 400, { error: { message: `Unsupported parameter: '${field}' is not supported with this model.`, type: 'invalid_request_error', param: field, code: 'unsupported_parameter' } }),
  'the parameter alone': (response, { field }) => json(response, 400, { error: { message: 'Bad request', param: field } }),
  'plain text': (response, { words }) => response.writeHead(400, { 'content-type': 'text/plain' }).end(`Unknown parameter: ${words}`),
  'plain text with what is allowed': (response, { words }) => response.writeHead(400).end(`unknown field "${words}". Supported fields are: model, messages, temperature, max_tokens, user, stream`),
  'a list': (response, { words }) => json(response, 400, [{ error: { code: 400, message: `Invalid JSON payload received. Unknown name "${words}": Cannot find field.`, status: 'INVALID_ARGUMENT' } }]),
  'status 404': (response, { words }) => json(response, 404, { message: `${words} not supported` }),
  'status 501': (response, { words }) => response.writeHead(501).end(`The parameter ${words} is not implemented`),
  'by field': (response, { field }) => json(response, 400, field.includes('role') ? { 'messages.0.role': ['Unknown role.'], message: 'system role not supported' } : { errors: { [field]: ['Unknown field.'] } }),
  'a gateway': (response, { words, field }) => json(response, 400, { error: { message: 'Provider returned error', code: 400, metadata: { raw: JSON.stringify({ error: { message: `${words} is not allowed`, param: field } }) } } }),
  'status 200': (response, { words }) => json(response, 200, { error: { message: `${words} is not supported` } }),
  'an event': (response, { words }) => stream(response, event({ error: { code: 400, message: `${words} is not supported` } })).end(),
  'an event of plain text': (response, { words }) => stream(response, event(`${words} is not supported`, 'error')).end(),
  compressed: (response, { words }) => response.writeHead(400, { 'content-encoding': 'gzip' }).end(gzipSync(`{"error":"${words} is not supported"}`))
}

t.test('a refused option is left out or sent in another way, for any wording of the error, and the reply arrives', async t => {
  for (const [wording, refuse] of Object.entries(WORDINGS)) {
    for (const [name, option] of Object.entries(OPTIONS)) {
      const { ask, bodies } = await serve(t, (response, body) => {
        if (!option.isIn(body)) return body.stream === true ? say(response, 'well') : whole(response, { content: 'well' })
        return refuse(response, name === 'both limits' && body.max_tokens !== undefined ? OPTIONS['max_tokens']! : option, body)
      })
      const what = `${name}, ${wording}`
      const all = { prompt: 'Be kind.', temperature: 0.5, max_tokens: 50 }
      const first = await ask(all, HELLO, 'user-1')
      t.match(first, { text: 'well', failure: undefined }, `${what}: ${first.log}`)
      t.ok(first.asked <= 3, `${what}: ${first.asked} requests`)
      const others = Object.values(OPTIONS).filter(other => other !== option && other.field.includes('max_') === false && !(name === 'stream' && other.field === 'stream_options'))
      t.same(others.filter(({ isIn }) => !isIn(bodies.at(-1)!)).map(({ field }) => field), [], `${what}: no other option is left out`)
      t.match(JSON.stringify(bodies.at(-1)!.messages), /Be kind/)
      t.match(await ask(all, HELLO, 'user-1'), { text: 'well', asked: 1 }, `${what}: the refusal is remembered`)
      await ask({ ...all, model: 'other' }, HELLO, 'user-1')
      t.ok(option.isIn(bodies.at(-first.asked)!), `${what}: another model still gets the option`)
    }
  }
})

t.test('several options are refused in one error, and an error names no option', async t => {
  const listed = await serve(t, (response, body) => {
    const extra = ['stream_options', 'user', 'temperature'].filter(field => field in body)
    return extra.length === 0 ? say(response, 'well') : json(response, 422, { detail: extra.map(field => ({ type: 'extra_forbidden', loc: ['body', field], msg: 'Extra inputs are not permitted' })) })
  })
  t.match(await listed.ask({ temperature: 1 }, HELLO, 'u'), { text: 'well', asked: 2 })
  const vague = await serve(t, (response, body) => Object.keys(body).length === 3 ? say(response, 'well') : json(response, 400, { message: 'Unrecognized request argument supplied' }))
  t.match(await vague.ask({ temperature: 1, max_tokens: 5 }, HELLO, 'u'), { text: 'well', asked: 4 })
  const stubborn = await serve(t, response => json(response, 400, { message: 'Unrecognized request argument supplied' }))
  t.match(await stubborn.ask(), { failure: 'BOT_REFUSED', asked: 2 })
  const about = await serve(t, response => json(response, 400, { error: { message: 'the temperature of the data centre' } }))
  t.match(await about.ask({ temperature: 1 }), { failure: 'BOT_REFUSED', asked: 1 })
  const never = await serve(t, response => json(response, 400, { error: { message: 'no', param: 'stream' } }))
  t.match(await never.ask(), { failure: 'BOT_REFUSED', asked: 2 })
})

t.test('an error that merely mentions an option changes nothing', async t => {
  const MOST = 4096
  for (const words of [
    { error: { message: `max_tokens is too large: 5000. This model supports at most ${MOST} completion tokens, whereas you provided 5000.`, param: 'max_tokens', code: 'invalid_value' } },
    { error: { message: `Invalid max_tokens value, the valid range of max_tokens is [1, ${MOST}]` } },
    { object: 'error', message: `'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is ${MOST} tokens and your request has 20 input tokens (5000 > ${MOST} - 20).`, type: 'BadRequestError', param: null, code: 400 },
    { error: { message: `\`max_tokens\` must be less than or equal to \`${MOST}\`, the maximum value for \`max_tokens\` is less than the \`context_window\` for this model` } },
    { error: { message: 'max_tokens: 5000 > 4096, which is the maximum allowed number of output tokens', type: 'invalid_request_error' } },
    { detail: [{ type: 'less_than_equal', loc: ['body', 'max_tokens'], msg: 'Input should be less than or equal to 4096', input: 5000, ctx: { le: MOST } }] }
  ]) {
    const { ask, bodies } = await serve(t, (response, body) => (body.max_tokens ?? 0) > MOST ? json(response, 400, words) : say(response, 'well'))
    const refused = await ask({ max_tokens: 5000 }, [user('one'), bot('two'), user('three')])
    t.match(refused, { text: '', failure: 'BOT_REFUSED', asked: 1, log: /4096/ }, JSON.stringify(words))
    t.match(await ask({ max_tokens: 50 }), { text: 'well', asked: 1 })
    t.match(bodies.at(-1), { max_tokens: 50, stream_options: {} })
  }
  for (const message of ['temperature: range 0..1', 'temperature must be 0.5 for this model', 'Invalid value for temperature: must be one of [0.5, 1]']) {
    const { ask, bodies } = await serve(t, (response, body) => (body.temperature ?? 0) > 1 ? json(response, 400, { error: { message } }) : say(response, 'well'))
    t.match(await ask({ temperature: 2 }), { text: 'well', asked: 2 }, 'a temperature that is out of range is left out')
    await ask({ temperature: 0.5 })
    t.match(bodies.at(-1), { temperature: 0.5 }, 'a temperature in the range is still sent')
  }
  const echo = await serve(t, response => json(response, 422, { detail: [{ loc: ['body', 'model'], msg: 'no such model', input: { messages: [{ role: 'user', content: 'temperature is not supported' }] } }], messages: [{ role: 'user', content: 'content_filter' }] }))
  t.match(await echo.ask({ temperature: 1 }), { failure: 'BOT_REFUSED', asked: 1 }, 'an error that echoes the request does not count as naming an option')
})

t.test('what was remembered about a model is dropped when a request with it fails', async t => {
  let wants = 'max_tokens'
  const { ask, bodies } = await serve(t, (response, body) => {
    const other = wants === 'max_tokens' ? 'max_completion_tokens' : 'max_tokens'
    return other in body ? json(response, 400, { error: { message: `Unsupported parameter: '${other}'`, param: other } }) : say(response, 'well')
  })
  for (const [now, asked] of [['max_completion_tokens', 2], ['max_completion_tokens', 1], ['max_tokens', 2], ['max_tokens', 1], ['max_completion_tokens', 2]] as const) {
    wants = now
    t.match(await ask({ max_tokens: 5 }), { text: 'well', asked }, now)
    t.ok(now in bodies.at(-1)!)
  }
  let isStrict = true
  const vague = await serve(t, (response, body) => {
    if (isStrict) return 'stream_options' in body ? json(response, 400, { error: { param: 'stream_options' } }) : say(response, 'well')
    return 'stream_options' in body ? say(response, 'better') : json(response, 400, { message: 'Bad request' })
  })
  t.match(await vague.ask(), { text: 'well', asked: 2 })
  isStrict = false
  t.match(await vague.ask(), { text: 'better', asked: 2 }, 'an unknown error')
  t.match(await vague.ask(), { text: 'better', asked: 1 })
  const failing = await serve(t, (response, body) => json(response, 400, 'stream_options' in body ? { error: { param: 'stream_options' } } : { message: 'Bad model' }))
  t.match(await failing.ask(), { failure: 'BOT_REFUSED', asked: 2 })
  t.match(await failing.ask(), { failure: 'BOT_REFUSED', asked: 2 }, 'a change that did not help is not remembered')
})

t.test('when the context window is full, a shorter history is sent, and its length is remembered', async t => {
  const turns = Array.from({ length: 41 }, (_, n) => n % 2 === 0 ? user(`question ${n} ${'word '.repeat(20)}`) : bot(`answer ${n} ${'word '.repeat(20)}`))
  for (const [status, words] of [
    [400, { error: { message: 'This model\'s maximum context length is 200 tokens.', code: 'context_length_exceeded' } }],
    [400, { error: { message: 'Your input exceeds the context window of this model. Please adjust your input and try again.' } }],
    [400, { type: 'error', error: { type: 'invalid_request_error', message: 'prompt is too long: 213462 tokens > 200000 maximum' } }],
    [400, { error: { message: 'input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again' } }],
    [400, [{ error: { code: 400, message: 'The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).', status: 'INVALID_ARGUMENT' } }]],
    [400, { error: 'This model\'s maximum prompt length is 131072 but the request contains 537812 tokens.' }],
    [413, { error: { message: 'Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 8193, please reduce your message size and try again.', type: 'tokens', code: 'rate_limit_exceeded' } }],
    [429, { error: { message: 'Request too large for gpt-4 on tokens per min (TPM): Limit 10000, Requested 10500. The input or output tokens must be reduced in order to run successfully.' } }],
    [422, { error: 'Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 1000 `max_new_tokens`', error_type: 'validation' }],
    [400, { error: 'Trying to keep the first 4096 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens' }],
    [400, { message: 'Input is too long for requested model.' }],
    [400, { error: { message: 'Your request exceeded model token limit: 262144 (requested: 566084)' } }],
    [400, { message: 'Input length (265330) exceeds model\'s maximum context length (262144).' }],
    [400, { code: 'invalid_parameter_error', message: 'Range of input length should be [1, 30720]' }],
    [400, { error: { message: 'invalid params, context window exceeds limit' } }],
    [400, { error: { message: 'Prompt token count of 70000 exceeds the limit of 64000.' } }],
    [500, { error: { message: 'the request exceeds the available context size. try increasing the context size or enable context shift' } }],
    [400, { object: 'error', message: '\'max_tokens\' or \'max_completion_tokens\' is too large: 50. This model\'s maximum context length is 250 tokens and your request has 230 input tokens (50 > 250 - 230).', type: 'BadRequestError', param: null, code: 400 }],
    [400, { error: { message: 'max_tokens (50) does not fit: there are 230 tokens in the prompt, and the context window is 250.', param: 'max_tokens' } }],
    [413, '<html>too large</html>'],
    [200, { error: { code: 400, message: 'context_length_exceeded' } }]
  ] as const) {
    const { ask, bodies } = await serve(t, (response, body) => tokensOf(body) > 200 ? json(response, status, words) : say(response, 'well'))
    const first = await ask({ prompt: 'Be kind.', max_tokens: 50 }, turns)
    t.match(first, { text: 'well', failure: undefined, asked: 4 }, `${JSON.stringify(words)} ${first.log}`)
    t.ok(bodies.every(({ messages }) => isInOrder(messages)) && bodies.at(-1)!.messages.length > 3, 'each retry has half of the history')
    t.match(await ask({ prompt: 'Be kind.', max_tokens: 50 }, turns), { text: 'well', asked: 1 }, 'the next request begins with the length that fitted')
    t.match(bodies.at(-1), { max_tokens: 50 })
    t.ok((await ask({ model: 'other' }, turns)).asked > 1, 'the length is remembered for that model only')
  }
  const tiny = await serve(t, (response, body) => body.messages.length > 1 || tokensOf(body) > 10 ? json(response, 400, { error: { code: 'context_length_exceeded' } }) : say(response, 'well'))
  t.match(await tiny.ask({}, turns), { failure: 'BOT_CONTEXT_FULL', log: /context_length_exceeded/ }, 'not even the question fits')
  t.match(tiny.bodies.at(-1)!.messages, [{ content: /^question 40/ }])
  t.match(await tiny.ask({}, [...turns, user('short')]), { text: 'well' }, 'only the question fits')
  t.match(tiny.bodies.at(-1)!.messages, [{ content: 'short' }])
  const busy = await serve(t, response => json(response.setHeader('retry-after', '3600'), 429, { message: 'Too many tokens, please wait before trying again.' }))
  t.match(await busy.ask({}, turns), { failure: 'BOT_OVERLOADED', asked: 1 }, 'an overloaded provider is not a full context window')
})

t.test('the remembered length of the history expires after an hour', async t => {
  let window = 100
  const { ask } = await serve(t, (response, body) => tokensOf(body) > window ? json(response, 400, { error: { code: 'context_length_exceeded' } }) : say(response, String(tokensOf(body))))
  const turns = [user('word '.repeat(90)), bot('word '.repeat(90)), user('question')]
  t.equal((await ask({}, turns)).text, '1')
  window = 1000
  t.equal((await ask({}, turns)).text, '1')
  const { now } = Date
  t.teardown(() => { Date.now = now })
  Date.now = () => now() + 61 * 60 * 1000
  t.equal((await ask({}, turns)).text, '183')
})

t.test('if a content filter refuses an earlier message, it is left out; if it refuses the last one, the reply fails', async t => {
  const turns = [user('something bad'), bot('Well'), user('something good')]
  for (const [status, words] of [
    [400, { error: { message: 'The response was filtered due to the prompt triggering Azure OpenAI\'s content management policy.', type: null, param: 'prompt', code: 'content_filter', status: 400, innererror: { code: 'ResponsibleAIPolicyViolation' } } }],
    [403, { error: { code: 403, message: 'Input flagged', metadata: { reasons: ['violence'], flagged_input: 'bad' } } }],
    [400, { error: { message: 'Invalid prompt: your prompt was flagged as potentially violating our usage policy.', code: 'invalid_prompt' } }],
    [400, { error: { message: 'Content Exists Risk', type: 'invalid_request_error', param: null, code: 'invalid_request_error' } }],
    [400, { code: 'data_inspection_failed', message: 'Input data may contain inappropriate content.' }],
    [400, { error: { code: '1301', message: '系统检测到输入或生成内容可能包含不安全或敏感内容' } }],
    [400, { error: { message: 'Your request was rejected as a result of our safety system.', code: 'content_policy_violation' } }],
    [400, [{ error: { message: 'blocked due to safety: PROHIBITED_CONTENT' } }]],
    [422, { detail: 'Guardrail violation' }],
    [400, { error: { message: 'Could not process image', type: 'invalid_request_error' } }],
    [400, { error: { message: 'Failed to parse the document: unsupported file' } }],
    [200, { error: { message: 'moderation' } }]
  ] as const) {
    const { ask, bodies } = await serve(t, (response, body) => JSON.stringify(body).includes('bad') ? json(response, status, words) : say(response, 'well'))
    const what = JSON.stringify(words)
    t.match(await ask({}, turns), { text: 'well', failure: undefined, asked: 4 }, what)
    t.match(bodies.at(-1)!.messages, [{ content: 'something good' }], 'the question is sent alone')
    t.match(await ask({}, [...turns, bot('Ah'), user('bad again')]), { text: '', failure: 'MESSAGE_REFUSED', asked: 2 }, what)
    t.match(await ask({}, [user('bad')]), { failure: 'MESSAGE_REFUSED', asked: 1 }, what)
  }
  const silent = await serve(t, (response, body) => JSON.stringify(body).includes('bad') ? stream(response, event(chunk({}, 'content_filter: PROHIBITED_CONTENT'))).end() : say(response, 'well'))
  t.match(await silent.ask({}, [user('bad')]), { failure: 'MESSAGE_REFUSED', asked: 1 }, 'a content filter that removed the whole reply')
  const late = { error: { code: 'data_inspection_failed', message: 'Output data may contain inappropriate content.', type: 'data_inspection_failed' }, usage: { prompt_tokens: 7, completion_tokens: 3 } }
  const thoughtful = await serve(t, response => stream(response, event(chunk({ reasoning_content: 'Hm.' })), event(late)).end())
  t.match(await thoughtful.ask({}, [user('bad')]), { text: '', reasoning: 'Hm.', failure: 'MESSAGE_REFUSED', asked: 1, log: /data_inspection_failed/, pieces: [{ usage: { promptTokens: 7, completionTokens: 3 } }] }, 'a content filter that reports an error after reasoning')
  const files = await serve(t, response => json(response, 500, { error: 'failed to load model file' }))
  t.match(await files.ask({}, [user('x')]), { failure: 'BOT_UNREACHABLE' })
  const key = await serve(t, response => json(response, 401, { error: { message: 'flagged: temperature is not supported' } }))
  t.match(await key.ask({ temperature: 1 }), { failure: 'BOT_REFUSED', asked: 1 })
  const forbidden = await serve(t, response => json(response, 403, { error: { message: 'Country, region, or territory not supported' } }))
  t.match(await forbidden.ask({ temperature: 1 }), { failure: 'BOT_REFUSED', asked: 1 })
})

t.test('providers that report a cost before they refuse are understood all the same, and what they reported counts', async t => {
  const costly = (data: object, completion = 0) => event({ ...data, usage: { prompt_tokens: 7, completion_tokens: completion } })
  const begin = (response: ServerResponse) => stream(response, costly(chunk({ role: 'assistant', content: '' })))
  const costsIn = ({ pieces }: { pieces: ReplyPiece[] }) => pieces.flatMap(piece => 'usage' in piece ? piece.usage ?? [] : [])
  const turns = [user('something bad'), bot('Oh'), user('something good')]

  const option = await serve(t, (response, body) => body.stream_options === undefined
    ? say(response, 'well')
    : begin(response).end(event({ error: { message: 'Unknown parameter: stream_options', code: 400 } })))
  t.match(await option.ask(), { text: 'well', failure: undefined, asked: 2 }, 'an option')

  const window = await serve(t, (response, { messages }) => messages.length === 1
    ? begin(response).end(costly(chunk({ content: 'well' }), 1) + END)
    : begin(response).end(event({ error: { code: 'context_length_exceeded', message: 'Too long' } })))
  const shorter = await window.ask({}, turns)
  t.match(shorter, { text: 'well', failure: undefined }, 'the context window')
  t.same(costsIn(shorter).at(-1), { promptTokens: 14, completionTokens: 1, isEstimate: true }, 'the refused request counts, too')

  const filter = await serve(t, (response, body) => JSON.stringify(body).includes('bad')
    ? begin(response).end(costly(chunk({}, 'content_filter'), 1) + event('[DONE]'))
    : say(response, 'well'))
  t.match(await filter.ask({}, turns), { text: 'well', failure: undefined, asked: 4 }, 'a content filter')
  const refused = await filter.ask({}, [user('bad')])
  t.match(refused, { text: '', failure: 'MESSAGE_REFUSED', asked: 1 })
  t.same(costsIn(refused).at(-1), { promptTokens: 7, completionTokens: 1 })

  const later = await serve(t, response => stream(response, event(chunk({}, 'content_filter')), costly({ choices: [] }, 1)))
  const filtered = await later.ask()
  t.match(filtered, { text: '', failure: 'MESSAGE_REFUSED', asked: 1 }, 'a content filter, with the cost after it')
  t.same(costsIn(filtered), [{ promptTokens: 7, completionTokens: 1 }])
  t.ok(filtered.took < 15_000, 'the reply ends soon, although the provider leaves the connection open')

  const broken = await serve(t, response => stream(response, event(chunk({ content: 'well' })), costly(chunk({}, 'insufficient_system_resource'), 1)).end())
  const cut = await broken.ask()
  t.match(cut, { text: 'well', failure: 'BOT_BROKE_OFF' }, 'an error with the cost in it')
  t.same(costsIn(cut), [{ promptTokens: 7, completionTokens: 1 }])
})

t.test('all turns that a content filter refuses are found, and only they are left out', async t => {
  const BAD = /bad/
  const { ask, bodies } = await serve(t, (response, body) => BAD.test(JSON.stringify(body)) ? json(response, 400, { error: { code: 'content_filter' } }) : say(response, 'well'))
  const refusedIn = ({ pieces }: { pieces: ReplyPiece[] }) => pieces.flatMap(piece => 'refused' in piece ? piece.refused?.map(({ text }) => text) ?? [] : [])
  for (const length of [3, 5, 9, 41]) {
    for (let at = 0; at < length - 1; at++) {
      const turns = Array.from({ length }, (_, n) => (n % 2 === 0 ? user : bot)(n === at ? `bad ${n}.` : `fine ${n}.`))
      const heard = await ask({}, turns)
      t.match(heard, { text: 'well', failure: undefined }, `turn ${at} of ${length}`)
      t.same(refusedIn(heard), [`bad ${at}.`])
      t.ok(heard.asked <= 4 + Math.ceil(Math.log2(length)), `${heard.asked} requests for ${length} turns`)
      const { messages } = bodies.at(-1)!
      t.ok(isInOrder(messages))
      const sent = messages.flatMap(({ content }) => content.split('\n\n'))
      const fine = turns.filter((_, n) => n !== at).map(({ text }) => text)
      t.same(sent, at === 0 ? fine.slice(1) : fine, 'all other turns are sent, as far as they fit')
    }
  }
  const many = (bad: number[]) => Array.from({ length: 41 }, (_, n) => (n % 2 === 0 ? user : bot)(bad.includes(n) ? `bad ${n}.` : `fine ${n}.`))
  const two = await ask({}, many([7, 30]))
  t.same([two.text, refusedIn(two)], ['well', ['bad 30.', 'bad 7.']], 'two refused turns')
  const everywhere = await ask({}, many(Array.from({ length: 38 }, (_, n) => n)))
  t.match(everywhere, { text: 'well', failure: undefined }, 'if too many turns are refused, the accepted ones are sent')
  t.ok(everywhere.asked <= 20, `${everywhere.asked} requests`)
  t.match(await ask({}, many([3, 40])), { text: '', failure: 'MESSAGE_REFUSED', asked: 2 }, 'the question itself is refused')
  const group = [user('fine', 'bob'), bot('bad', 'parrot'), user('fine too'), bot('And bad', 'parrot')]
  t.same(refusedIn(await ask({}, group)), ['And bad', 'bad'], 'messages of other members after the question can be refused, too')
  const windowed = await serve(t, (response, body) => {
    if (tokensOf(body) > 100) return json(response, 400, { error: { code: 'context_length_exceeded' } })
    return BAD.test(JSON.stringify(body)) ? json(response, 400, { error: { code: 'content_filter' } }) : say(response, 'well')
  })
  const wide = await windowed.ask({}, [...many([]), user('bad'), ...many([])])
  t.match(wide, { text: 'well', failure: undefined }, 'the context window is full, too')
  let isMoody = false
  const moody = await serve(t, response => {
    isMoody = !isMoody
    return isMoody ? json(response, 400, { error: { code: 'content_filter' } }) : say(response, 'well')
  })
  const heard = await moody.ask({}, many([]))
  t.ok(heard.text === 'well' || heard.failure === 'MESSAGE_REFUSED', 'the search ends, also with a filter that decides at random')
})

t.test('the requests that find a refused turn are part of the cost', async t => {
  const { ask } = await serve(t, (response, body) => {
    if (JSON.stringify(body).includes('bad')) return json(response, 400, { error: { code: 'content_filter' } })
    return stream(response, event(chunk({ content: 'well' })), event({ ...chunk({}, 'stop'), usage: { prompt_tokens: 10, completion_tokens: 1 } }), event('[DONE]')).end()
  })
  const usageOf = ({ pieces }: { pieces: ReplyPiece[] }) => pieces.map(piece => 'usage' in piece && piece.usage).find(Boolean)
  const turns = [user('one'), bot('two'), user('bad'), bot('four'), user('five')]
  const found = usageOf(await ask({}, turns))
  t.match(found, { completionTokens: 1, isEstimate: true })
  t.ok((found as { promptTokens: number }).promptTokens > 14, 'the cost includes the requests that only searched for the refused turn')
  t.match(usageOf(await ask({}, turns.toSpliced(2, 1))), { promptTokens: 10 })
})

t.test('in a conversation, an older message that is refused gets a failure code and is left out from then on', async t => {
  let filter = /nothing/
  const { url, bodies } = await serve(t, (response, body) => filter.test(JSON.stringify(body)) ? json(response, 400, { error: { code: 'content_filter' } }) : say(response, `well ${bodies.length}`))
  const { as, query, app } = await startApp(t, { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url })
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: ['assistant'] })).json()
  const chat = `/api/conversations/${id}`
  const base = await listen({ app })
  const socket = await openSocket(t, base, ann)
  await socket.join(id, 0)
  const say_ = async (text: string) => (await ann.post(`${chat}/messages`, { text })).json()
  for (const text of ['one', 'two', 'three', 'four']) await say_(text)
  const before = bodies.length
  filter = /two/
  t.match(await say_('five'), [{ text: 'five' }, { status: 'complete' }])
  t.ok(bodies.length - before > 2)
  t.same(bodies.at(-1)!.messages.filter(({ role }) => role === 'user').map(({ content }) => content), ['one', 'three', 'four', 'five'])
  t.match(bodies.at(-1)!.messages.map(({ content }) => content).join(), /well 1\n\nwell 2/, 'the reply to the refused message is still sent')

  const idOf = async (text: string): Promise<number> => (await ann.get(`${chat}/messages`)).json().find((message: { text: string }) => message.text === text).id
  const [two, reply] = [await idOf('two'), await idOf('well 3')]
  const marked = { id: two, text: 'two', status: 'complete', failure: 'MESSAGE_REFUSED' }
  const failuresIn = (messages: Array<{ id: number, failure?: string }>) => messages.filter(({ failure }) => failure !== undefined)
  t.match((await ann.get(`${chat}/messages/${two}`)).json(), marked)
  for (const path of [`${chat}/messages`, `${chat}/messages?after=8`]) t.match(failuresIn((await ann.get(path)).json()), [marked], path)
  t.match(failuresIn((await ann.get(chat)).json().messages), [marked])
  t.match(failuresIn((await ann.get('/api/conversations')).json()[0].messages), [marked])
  t.match(failuresIn((await ann.get('/api/me/export')).json().conversations[0].messages), [marked])
  await until(() => socket.events.some(({ data }) => (data as unknown as { failure?: string }).failure === 'MESSAGE_REFUSED'))
  const rest = bodies.length
  await say_('six')
  t.equal(bodies.length, rest + 1, 'later replies take one request')
  filter = /well 3/
  await say_('seven')
  t.match((await ann.get(`${chat}/messages/${reply}`)).json(), { sender: 'bot', text: 'well 3', failure: 'MESSAGE_REFUSED' }, 'a reply can be refused, too')
  filter = /nothing/
  await ann.put(`${chat}/messages/${two}`, { text: 'two and a half' })
  t.notOk('failure' in (await ann.get(`${chat}/messages/${two}`)).json())
  await say_('eight')
  t.match(JSON.stringify(bodies.at(-1)!.messages), /two and a half/, 'an edited message is sent again')
  t.notMatch(JSON.stringify(bodies.at(-1)!.messages), /well 3"/)
  filter = /two and a half/
  await query("CREATE FUNCTION refuse_marks () RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; CREATE TRIGGER refuse_marks BEFORE UPDATE ON messages FOR EACH ROW WHEN (new.error = 'LEFT_OUT') EXECUTE FUNCTION refuse_marks()")
  t.match((await say_('nine'))[1], { status: 'complete' }, 'a reply is completed even if the refused message cannot be marked')
  await query('DROP TRIGGER refuse_marks ON messages')
  await ann.delete(`${chat}/messages/${two}`)
  await query("UPDATE messages SET error = 'LEFT_OUT' WHERE id = $1", [two])
  t.same(failuresIn((await ann.get(`${chat}/messages?after=0`)).json()).map(({ id }) => id), [reply], 'a deleted message has no failure')
  t.notOk('failure' in (await ann.get('/api/me/export')).json().conversations[0].messages.find(({ id }: { id: number }) => id === two))
})

t.test('in a conversation, a refused message is left out later, and is sent again after it is edited', async t => {
  const { url, bodies } = await serve(t, (response, body) => JSON.stringify(body).includes('bad') ? json(response, 400, { error: { code: 'content_filter' } }) : say(response, 'well'))
  const { as, query } = await startApp(t, { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url })
  await query("INSERT INTO chatbots (name, engine) VALUES ('second', 'openai')")
  const ann = await as('ann')
  const chat = `/api/conversations/${(await ann.post('/api/conversations', { name: 'Plans', bots: ['assistant', 'second'] })).json().id}`
  const say_ = async (text: string) => (await ann.post(`${chat}/messages`, { text })).json()
  await say_('@assistant good')
  const [, refused] = await say_('@assistant bad')
  t.match(refused, { text: '', status: 'failed' })
  t.match(await query('SELECT error, reply_to FROM messages WHERE id = $1', [refused.id]), [{ error: 'MESSAGE_REFUSED', reply_to: String(refused.id - 1) }], 'the failed reply refers to the refused message')
  const before = bodies.length
  t.match((await say_('@assistant and now'))[1], { text: 'well', status: 'complete' })
  t.equal(bodies.length, before + 1, 'the reply takes one request')
  t.same(bodies.at(-1)!.messages.slice(1).map(({ content }) => content), ['@assistant good', 'well', '@assistant and now'])
  const [, again] = await say_('@assistant bad too')
  await ann.put(`${chat}/messages/${again.id - 1}`, { text: '@assistant fine' })
  while ((await ann.get(`${chat}/messages`)).json().at(-1).status !== 'complete') await sleep(20)
  t.match(bodies.at(-1)!.messages.at(-1), { content: /@assistant fine$/ })
  const [{ id: earlier }] = await say_('@assistant bad, and early')
  await say_('@assistant and then')
  await ann.put(`${chat}/messages/${earlier}`, { text: '@assistant corrected' })
  await say_('@assistant what did I say?')
  t.match(bodies.at(-1)!.messages.map(({ content }) => content).join(), /@assistant corrected/, 'so is one that is edited when others have followed')
  const [, one, two] = await say_('@assistant @second bad')
  t.match([one, two], [{ status: 'failed' }, { status: 'failed' }], 'a bot gets the question, even if it was refused for another bot')
  t.match(await query('SELECT error FROM messages WHERE id = $1', [two.id]), [{ error: 'MESSAGE_REFUSED' }])
})

t.test('a reply without visible characters counts as empty', async t => {
  let write: Answer = () => {}
  const { ask, url } = await serve(t, (response, body) => write(response, body))
  for (const blank of [' ', '\n\n', '\u00a0\u3000', '\u200b', '\ufeff\u2060\u00ad', '\u0007', '\u3164']) {
    write = response => say(response, blank)
    t.match(await ask(), { text: '', pieces: [], failure: 'BOT_NONSENSE' }, JSON.stringify(blank))
    write = response => whole(response, { content: blank })
    t.match(await ask(), { text: '', pieces: [], failure: 'BOT_NONSENSE' }, JSON.stringify(blank))
  }
  write = response => stream(response, event(chunk({ content: '\n' })), event(chunk({ content: ' ' })), event(chunk({ content: ' well' })), END).end()
  t.match((await ask()).pieces, [{ text: '\n  well' }], 'blank characters before the first word are sent together with it')
  const app = await startApp(t, { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url })
  const ann = await app.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  write = response => say(response, '\n\n')
  t.match((await ann.post(`/api/conversations/${id}/messages`, { text: 'Hi' })).json()[1], { text: '', status: 'failed' })
  for (const text of ['', ' \n']) t.match(partsOf({ text, status: 'complete' }), [/^Sorry/], 'a contact on WhatsApp gets an apology, for every kind of bot')
})
