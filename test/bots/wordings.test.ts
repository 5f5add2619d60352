import t from 'tap'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { Body } from '../support/providers.ts'
import { bot, chunk, END, event, HELLO, json, say, serve, stream, user, whole, type Answer } from '../support/model.ts'

// Further shapes of answers and wordings of refusals, one line for each. When you meet a new one, add it here.

const well = event(chunk({ content: 'well' }))
/** How an answer comes, and what is read. */
const SHAPES: Record<string, [Answer, object]> = {
  'CRLF in pretty JSON': [r => stream(r, 'data: {\r\ndata: "choices":[{"delta":{"content":"well"}}]\r\ndata: }\r\n\r\n', END).end(), { text: 'well' }],
  'pretty JSON with CRLF whole': [r => stream(r, JSON.stringify({ choices: [{ message: { content: 'well' } }] }, null, 2).replaceAll('\n', '\r\n')).end(), { text: 'well' }],
  'comments between': [r => stream(r, ': OPENROUTER PROCESSING\n\n', well, ': x\n', END).end(), { text: 'well' }],
  'event error with plain text': [r => stream(r, 'event: error\ndata: upstream is gone\n\n').end(), { text: '', failure: /BOT_/, log: /upstream is gone/ }],
  'event error late': [r => stream(r, well, 'event: error\ndata: upstream is gone\n\n').end(), { text: 'well', failure: 'BOT_BROKE_OFF', log: /upstream is gone/ }],
  'usage with empty choices': [r => stream(r, well, event({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } }), END).end(), { text: 'well' }],
  'usage with choices null': [r => stream(r, event({ choices: null, usage: null }), well, event({ choices: null, usage: { prompt_tokens: 1, completion_tokens: 2 } }), END).end(), { text: 'well' }],
  'content null then text': [r => stream(r, event(chunk({ role: 'assistant', content: null, tool_calls: null })), well, END).end(), { text: 'well' }],
  'content filter in the middle': [r => stream(r, well, event(chunk({}, 'content_filter')), event('[DONE]')).end(), { text: 'well' }],
  '200 html': [r => r.writeHead(200, { 'content-type': 'text/html' }).end('<html><title>Bad gateway</title></html>'), { text: '', failure: 'BOT_NONSENSE', log: /Bad gateway/ }],
  '200 json error': [r => json(r, 200, { error: { message: 'no such model', type: 'invalid_request_error' } }), { failure: 'BOT_REFUSED', log: /no such model/ }],
  '200 json error string': [r => json(r, 200, { error: 'model x not found' }), { failure: 'BOT_REFUSED', log: /model x/ }],
  '200 json error list': [r => json(r, 200, [{ error: { code: 404, message: 'models/x is not found' } }]), { failure: 'BOT_REFUSED', log: /models.x/ }],
  '200 success false': [r => json(r, 200, { success: false, errors: [{ code: 5007, message: 'No such model' }], messages: [], result: {} }), { failure: 'BOT_REFUSED', log: /No such model/ }],
  base_resp: [r => json(r, 200, { id: 'x', choices: null, base_resp: { status_code: 1004, status_msg: 'login fail' } }), { failure: /BOT_(REFUSED|NONSENSE)/, log: /login fail/ }],
  'plain text 200': [r => r.writeHead(200, { 'content-type': 'text/plain' }).end('no healthy upstream'), { failure: 'BOT_NONSENSE', log: /no healthy upstream/ }],
  'ndjson native ollama': [r => r.writeHead(200, { 'content-type': 'application/x-ndjson' }).end(['we', 'll', ''].map((content, n) => JSON.stringify({ model: 'x', message: { role: 'assistant', content }, done: n === 2 }) + '\n').join('')), { text: 'well' }],
  'ndjson of chunks': [r => r.writeHead(200, { 'content-type': 'application/x-ndjson' }).end([chunk({ content: 'we' }), chunk({ content: 'll' }), chunk({}, 'stop')].map(c => JSON.stringify(c) + '\n').join('')), { text: 'well' }],
  'whole ollama native': [r => json(r, 200, { model: 'x', message: { role: 'assistant', content: 'well' }, done: true, done_reason: 'stop' }), { text: 'well' }],
  zstd: [r => r.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'zstd' }).end(zstdCompressSync(well + END)), { text: 'well' }],
  'gzip streamed in pieces': [r => { r.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }); const z = gzipSync(well + END); for (const b of z) r.write(Buffer.from([b])); r.end() }, { text: 'well' }],
  'utf16 bom?': [r => stream(r, '\ufeff' + well, END).end(), { text: 'well' }],
  'DONE without space lower': [r => stream(r, well, 'data:[done]\n\n'), { text: 'well' }],
  'DONE quoted': [r => stream(r, well, 'data: "[DONE]"\n\n').end(), { text: 'well', failure: undefined }],
  'event done': [r => stream(r, well, 'event: done\ndata: {}\n\n').end(), { text: 'well', failure: undefined }],
  'finish in last with usage same chunk': [r => stream(r, event({ choices: [{ delta: { content: 'well' }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 2 } })).end(), { text: 'well' }],
  'finish_reason at the top of message': [r => stream(r, well, event({ choices: [{ delta: {}, finishReason: 'STOP' }] })).end(), { text: 'well', failure: undefined }],
  'empty string error': [r => stream(r, event({ error: '', choices: [{ delta: { content: 'well' } }] }), END).end(), { text: 'well' }],
  'error null code': [r => stream(r, event({ error: { message: '', code: null, type: null }, choices: [{ delta: { content: 'well' } }] }), END).end(), { text: 'well' }],
  'error zero string': [r => stream(r, event({ error: { code: '0', message: '' }, choices: [{ delta: { content: 'well' } }] }), END).end(), { text: 'well' }],
  'code 0 msg ok': [r => json(r, 200, { code: 0, message: 'success', choices: [{ message: { content: 'well' }, finish_reason: 'stop' }] }), { text: 'well' }],
  'tool_calls only': [r => stream(r, event(chunk({ content: null, tool_calls: [{ index: 0, function: { name: 'f', arguments: '{}' } }] })), event(chunk({}, 'tool_calls')), event('[DONE]')).end(), { text: '', failure: 'BOT_NONSENSE' }],
  'parts in output': [r => whole(r, { content: [{ type: 'output_text', text: 'well', annotations: [] }] }), { text: 'well' }],
  'thinking part nested': [r => whole(r, { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'hm' }], closed: true }, { type: 'text', text: 'well' }] }), { text: 'well' }],
  'redacted thinking': [r => whole(r, { content: [{ type: 'redacted_thinking', data: 'xx' }, { type: 'text', text: 'well' }] }), { text: 'well' }],
  reasoning_details: [r => stream(r, event(chunk({ content: '', reasoning_details: [{ type: 'reasoning.text', text: 'hm' }] })), well, END).end(), { text: 'well' }],
  'reasoning object': [r => stream(r, event(chunk({ content: null, reasoning: { text: 'hm' } })), well, END).end(), { text: 'well' }],
  'thought flag google': [r => stream(r, event({ choices: [{ delta: { content: 'hm', extra_content: { google: { thought: true } } } }] }), well, END).end(), { text: 'well' }],
  'thought tag': [r => stream(r, event(chunk({ content: '<thought>hm</thought>well' })), END).end(), { text: 'well' }],
  'reason tag': [r => stream(r, event(chunk({ content: '<reason>hm</reason>well' })), END).end(), { text: 'well' }],
  reflection: [r => stream(r, event(chunk({ content: '<scratchpad>hm</scratchpad>well' })), END).end(), { text: 'well' }],
  'analysis channel': [r => stream(r, event(chunk({ content: '<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>well' })), END).end(), { text: 'well' }],
  'gemma4 channel': [r => stream(r, event(chunk({ content: '<|channel>thought\nhm<channel|>well' })), END).end(), { text: 'well' }],
  unused94: [r => stream(r, event(chunk({ content: '<unused94>thought\nhm<unused95>well' })), END).end(), { text: 'well' }],
  'mm:think': [r => stream(r, event(chunk({ content: '<mm:think>hm</mm:think>well' })), END).end(), { text: 'well' }],
  'JSON lines, torn': [r => { for (const piece of ['{"choices":[{"delta":{"con', 'tent":"we"}}]}', '\n{"choices":[{"delta":{"content":"ll"},"finish_reason":"stop"}]}']) r.write(piece); r.end() }, { text: 'well' }],
  'JSON lines on a connection that stays open': [r => { r.write(`${JSON.stringify(chunk({ content: 'well' }))}\n${JSON.stringify(chunk({}, 'stop'))}\n`) }, { text: 'well' }],
  'JSON lines that are cut': [r => r.end(`${JSON.stringify(chunk({ content: 'well' }))}\n{"choi`), { text: 'well', failure: 'BOT_NONSENSE' }],
  'one line of JSON, and white space': [r => r.end(`${JSON.stringify({ choices: [{ message: { content: 'well' } }] })}\n \n`), { text: 'well' }],
  'JSON lines of Ollama, with the cost': [r => r.end(`${JSON.stringify({ message: { content: 'well' }, done: false })}\n${JSON.stringify({ message: { content: '' }, done: true, prompt_eval_count: 3, eval_count: 1 })}`), { text: 'well', pieces: [{ text: 'well' }, { usage: { promptTokens: 3, completionTokens: 1 } }] }],
  'whole lone close': [r => whole(r, { content: 'hm\n</think>\n\nwell' }), { text: 'well' }],
  'lone long': [r => stream(r, event(chunk({ content: 'hm' })), event(chunk({ content: '</long' })), event(chunk({ content: '_thought>well' })), END).end(), { text: /well/ }]
}

t.test('an answer is read in these shapes', async t => {
  let write: Answer = () => {}
  let n = 0
  const { ask } = await serve(t, (response, body) => write(response, body), { BOT_TIMEOUT_FIRST: 1, BOT_TIMEOUT_SILENCE: 1.5 })
  for (const [what, [answer, expected]] of Object.entries(SHAPES)) {
    write = answer
    const heard = await ask({ model: `m${n++}` })
    if ('text' in expected && typeof expected.text === 'string') t.equal(heard.text, expected.text, `${what} strictly`)
    t.match(heard, { failure: undefined, ...expected }, `${what}: ${heard.text} ${heard.failure} ${heard.log}`)
    t.ok(heard.took < 4000, `${what} took ${heard.took}`)
  }
})

/** What is refused, with which status, in which words, and whose they are. */
const REFUSALS: Array<[string, number, unknown, string]> = [
  ['stream_options', 400, { message: 'body/stream_options must NOT have additional properties', code: 'FST_ERR_VALIDATION' }, 'ajv'],
  ['stream_options', 400, { error: 'json: unknown field "stream_options"' }, 'go'],
  ['stream_options', 422, 'Failed to deserialize the JSON body into the target type: unknown field `stream_options`, expected one of `model`, `messages`, `stream`, `temperature` at line 1 column 90', 'serde'],
  ['stream_options', 400, { errors: [{ path: ['stream_options'], code: 'unrecognized_keys', message: 'Unrecognized key(s) in object' }] }, 'zod'],
  ['stream_options', 400, { error: { issues: [{ code: 'unrecognized_keys', keys: ['stream_options'], path: [], message: "Unrecognized key(s) in object: 'stream_options'" }], name: 'ZodError' } }, 'zod2'],
  ['stream_options', 400, { detail: 'Unsupported parameter(s): `stream_options`' }, 'nvidia'],
  ['stream_options', 400, { error: { message: "1 validation error for ChatCompletionRequest\nstream_options\n  Extra inputs are not permitted [type=extra_forbidden, input_value={'include_usage': True}, input_type=dict]" } }, 'pydantic text'],
  ['stream_options', 400, { fault: { faultstring: 'Invalid JSON payload received. Unknown name "stream_options": Cannot find field.' } }, 'google'],
  ['stream_options', 400, { stream_options: ['This field is not allowed.'] }, 'drf'],
  ['stream_options', 405, { error: { message: 'stream_options not supported' } }, '405'],
  ['stream_options', 415, 'stream_options is unsupported', '415'],
  ['stream_options', 500, { error: { message: 'create_chat_completion() got an unexpected keyword argument \'stream_options\'' } }, 'py kwarg 500'],
  ['stream_options', 501, { error: { message: 'streaming usage (stream_options) is not implemented' } }, '501'],
  ['temperature', 400, { error: { message: "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.", param: 'temperature', code: 'unsupported_value' } }, 'o1'],
  ['temperature', 400, { error: { message: '`temperature` is deprecated for this model.' } }, 'deprecated'],
  ['temperature', 400, { error: { message: 'temperature cannot be set for reasoning models' } }, 'cannot set'],
  ['temperature', 400, { error: { message: 'This model ignores sampling parameters; remove temperature.' } }, 'remove'],
  ['user', 400, { error: { message: 'Unrecognized request argument supplied: user' } }, 'argument'],
  ['user', 422, { detail: [{ loc: ['body', 'user'], msg: 'extra fields not permitted', type: 'value_error.extra' }] }, 'pydantic1'],
  ['user', 400, { message: "property 'user' is unsupported", object: 'error', type: 'invalid_request_error' }, 'groq'],
  ['user', 400, { error: { message: "Additional properties are not allowed ('user' was unexpected)" } }, 'jsonschema'],
  ['max_tokens', 400, { error: { message: "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", param: 'max_tokens' } }, 'o1 max'],
  ['max_tokens', 400, { error: { message: "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported." } }, 'both'],
  ['stream', 400, { error: { message: 'Your organization must be verified to stream this model.', param: 'stream', code: 'unsupported_value' } }, 'verify'],
  ['stream', 400, { error: { message: 'Streaming is not supported for this deployment' } }, 'streaming'],
  ['stream', 422, { message: 'stream: Input should be False' }, 'should be false'],
  ['stream', 400, { error: { message: "Only 'stream=False' is supported" } }, 'only false'],
  ['system', 400, { error: { message: 'Conversation roles must alternate user/assistant/user/assistant/...' } }, 'alternate'],
  ['system', 500, { error: { message: 'System role not supported' } }, 'gemma'],
  ['system', 400, { error: { message: 'Developer instruction is not enabled for models/gemma-3-27b-it' } }, 'gemini gemma'],
  ['system', 422, { detail: [{ loc: ['body', 'messages', 0, 'role'], msg: "Input should be 'user' or 'assistant'", type: 'literal_error' }] }, 'literal'],
  ['system', 400, { error: { message: 'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an input message role.' } }, 'anthropic'],
  ['system', 400, { error: { message: "Unsupported value: 'messages[0].role' does not support 'system' with this model.", param: 'messages[0].role' } }, 'o1-mini'],
  ['system', 400, 'jinja2.exceptions.TemplateError: After the optional system message, conversation roles must alternate', 'vllm jinja']
]

t.test('an option that is refused in these words is left out, and no other', async t => {
  for (const [option, status, words, what] of REFUSALS) {
    const isIn = (body: Body) => option === 'system' ? ['system', 'developer'].includes(body.messages[0]!.role) : option === 'max_tokens' ? body.max_tokens !== undefined : body[option as keyof Body] !== undefined
    const { ask, bodies } = await serve(t, (response, body) => isIn(body) ? typeof words === 'string' ? response.writeHead(status).end(words) : json(response, status, words) : body.stream ? say(response, 'well') : whole(response, { content: 'well' }), { BOT_TIMEOUT_FIRST: 3 })
    const heard = await ask({ prompt: 'Be kind', temperature: 0.5, max_tokens: 5 }, HELLO, 'u1')
    t.match(heard, { text: 'well', failure: undefined }, `${option} ${what} ${heard.failure} ${heard.log} asked ${heard.asked}`)
    t.ok(heard.asked <= 3, `${option} ${what} asked ${heard.asked}`)
    const last = bodies.at(-1)!
    for (const other of (['stream_options', 'temperature', 'user', 'max_tokens', 'stream'] as const).filter(o => o !== option)) if (!(option === 'stream' && other === 'stream_options')) t.ok(last[other] !== undefined, `${option} ${what} keeps ${other}`)
    t.match(await ask({ prompt: 'Be kind', temperature: 0.5, max_tokens: 5 }, HELLO, 'u1'), { asked: 1 }, `${what} remembered`)
  }
})
/** A full window. */
const FULL: Array<[number, unknown]> = [
  [400, { error: { message: "Requested token count exceeds the model's maximum context length of 4096 tokens." } }],
  [400, { error: { message: 'the prompt is too long; ctx size 2048' } }],
  [400, { error: { type: 'exceed_context_size_error', message: 'the request exceeds the available context size', n_prompt_tokens: 9000, n_ctx: 4096 } }],
  [400, { message: 'ValidationException: Input is too long for requested model.' }],
  [400, { error: { message: 'prompt tokens (9000) > max sequence length (4096)' } }],
  [422, { error: { message: 'Total length of messages exceeds 32000 characters' } }],
  [400, { error: { code: '1261', message: 'Prompt 超长' } }],
  [400, { error: { message: '输入长度超过模型限制' } }],
  [400, { error: { message: "You passed 9001 input tokens and requested 0 output tokens. However, the model's context length is only 4096 tokens" } }],
  [200, { error: { message: 'Context size has been exceeded.' } }],
  [500, { error: { message: 'input is too large to process. increase the physical batch size' } }],
  [400, { error: { message: 'Please reduce the length of either one. (max_tokens + prompt > 4096)' } }],
  [400, { error: { message: 'Number of tokens in the input is greater than the limit 4096' } }]
]

t.test('these words mean that the context window is full', async t => {
  const turns = Array.from({ length: 41 }, (_, n) => n % 2 === 0 ? user(`question ${n} ${'word '.repeat(20)}`) : bot(`answer ${n} ${'word '.repeat(20)}`))
  for (const [status, words] of FULL) {
    const { ask } = await serve(t, (response, body) => JSON.stringify(body).length > 2000 ? json(response, status, words) : say(response, 'well'), { BOT_TIMEOUT_FIRST: 3 })
    const heard = await ask({ max_tokens: 50 }, turns)
    t.match(heard, { text: 'well', failure: undefined }, `${JSON.stringify(words)} ${heard.failure} ${heard.asked}`)
  }
})
/** A content filter, or a file that cannot be read. */
const FILTERED: Array<[number, unknown]> = [
  [400, { error: { code: 'content_filter', message: 'x', innererror: { code: 'ResponsibleAIPolicyViolation', content_filter_result: { hate: { filtered: true, severity: 'high' } } } } }],
  [400, { error: { message: 'Output blocked by content filtering policy' } }],
  [400, { error: { message: 'The request was blocked by the safety guard (llama-guard: S1)' } }],
  [451, { error: { message: 'Unavailable for legal reasons: policy violation' } }],
  [400, { error: { code: 'SensitiveContentDetected', message: 'The request failed because the input text may contain sensitive information.' } }],
  [400, { promptFeedback: { blockReason: 'PROHIBITED_CONTENT' } }],
  [200, { choices: [{ finish_reason: 'SAFETY', message: { content: '' } }] }],
  [200, { choices: [], promptFeedback: { blockReason: 'SAFETY' } }],
  [400, { error: { message: "Invalid 'messages[1].content[0].image_url': unsupported image" } }],
  [400, { error: { message: 'You uploaded an unsupported image. Please make sure your image is valid.', code: 'image_parse_error' } }],
  [400, { error: { message: 'The document could not be read: password protected PDF' } }],
  [422, { error: 'toxic content detected' }],
  [400, { error: { message: 'Request rejected: harm category violence' } }]
]

t.test('these words mean that a message was refused', async t => {
  for (const [status, words] of FILTERED) {
    const { ask } = await serve(t, (response, body) => JSON.stringify(body).includes('bad') ? json(response, status, words) : say(response, 'well'), { BOT_TIMEOUT_FIRST: 3 })
    const heard = await ask({}, [user('bad')])
    t.match(heard, { text: '', failure: 'MESSAGE_REFUSED' }, `${JSON.stringify(words)} ${heard.failure} ${heard.asked}`)
  }
})
