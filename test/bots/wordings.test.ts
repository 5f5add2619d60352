import t from 'tap'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { createCompletionReader } from '../../src/bots/completion.ts'
import { readPieces } from '../../src/bots/event-stream.ts'
import { createMemory, createThoughtFilter } from '../../src/bots/thoughts.ts'
import { isPrompt } from '../support/prompt.ts'
import type { Body } from '../support/providers.ts'
import { bot, chunk, END, event, HELLO, json, say, serve, stream, user, whole, type Answer } from '../support/model.ts'

// Further response formats and wordings of errors, one line for each. When you find a new one, add it here.

/** Sends the parts of a response one after the other, so that they arrive one by one. */
function inTurn (response: Parameters<Answer>[0], [part, ...parts]: string[]) {
  if (part === undefined) return response.end()
  response.write(part)
  setTimeout(() => inTurn(response, parts), 50)
}

const well = event(chunk({ content: 'well' }))
/** The response of a provider, and the expected reply. */
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
  'lines that arrive one by one, of Ollama': [r => inTurn(r, ['we', 'll', ''].map((content, n) => JSON.stringify({ model: 'x', message: { role: 'assistant', content }, done: n === 2 }) + '\n')), { text: 'well', failure: undefined }],
  'lines that arrive one by one, of chunks': [r => inTurn(r, [chunk({ content: 'we' }), chunk({ content: 'll' }), chunk({}, 'stop')].map(c => JSON.stringify(c) + '\n')), { text: 'well', failure: undefined }],
  'lines of which the first arrives before its end': [r => inTurn(r, [chunk({ content: 'we' }), chunk({ content: 'll' }), chunk({}, 'stop')].map((c, n) => (n === 0 ? '' : '\n') + JSON.stringify(c))), { text: 'well', failure: undefined }],
  'lines that arrive one by one, of which the first has no choices': [r => inTurn(r, [{ object: 'chat.completion.chunk', choices: [], prompt_filter_results: [] }, chunk({ content: 'well' }), chunk({}, 'stop')].map(c => JSON.stringify(c) + '\n')), { text: 'well', failure: undefined }],
  'lines that break off after the first one': [r => { r.writeHead(200); r.write(JSON.stringify(chunk({ content: 'we' })) + '\n'); setTimeout(() => r.destroy(), 50) }, { text: 'we', failure: 'BOT_BROKE_OFF' }],
  'a single line that says that more follow': [r => r.end(JSON.stringify({ message: { content: 'we' }, done: false })), { text: 'we', failure: 'BOT_BROKE_OFF' }],
  'a single line in the form of a chunk': [r => r.end(JSON.stringify(chunk({ content: 'well' }))), { text: 'well', failure: undefined }],
  'one JSON text in two chunks, of which the first ends with a bracket': [r => inTurn(r, JSON.stringify({ choices: [{ message: { content: 'well' }, logprobs: [] }] }).split(/(?<=\[\])/)), { text: 'well', failure: undefined }],
  'one JSON text that ends too early': [r => r.end('{"choices":[{"message":{"content":"well"}}]'), { text: '', failure: 'BOT_NONSENSE', log: /not JSON.*well/ }],
  'whole ollama native': [r => json(r, 200, { model: 'x', message: { role: 'assistant', content: 'well' }, done: true, done_reason: 'stop' }), { text: 'well' }],
  zstd: [r => r.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'zstd' }).end(zstdCompressSync(well + END)), { text: 'well' }],
  'gzip streamed in pieces': [r => { r.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }); const z = gzipSync(well + END); for (const b of z) r.write(Buffer.from([b])); r.end() }, { text: 'well' }],
  'a byte order mark': [r => stream(r, '\ufeff' + well, END).end(), { text: 'well' }],
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
  'JSON lines, split into pieces': [r => { for (const piece of ['{"choices":[{"delta":{"con', 'tent":"we"}}]}', '\n{"choices":[{"delta":{"content":"ll"},"finish_reason":"stop"}]}']) r.write(piece); r.end() }, { text: 'well' }],
  'JSON lines after empty lines': [r => r.end(` \r\n\n${JSON.stringify(chunk({ content: 'we' }))}\n${JSON.stringify(chunk({ content: 'll' }))}\n${JSON.stringify(chunk({}, 'stop'))}\n`), { text: 'well' }],
  'JSON lines on a connection that stays open': [r => { r.write(`${JSON.stringify(chunk({ content: 'well' }))}\n${JSON.stringify(chunk({}, 'stop'))}\n`) }, { text: 'well' }],
  'JSON lines that break off': [r => r.end(`${JSON.stringify(chunk({ content: 'well' }))}\n{"choi`), { text: 'well', failure: 'BOT_NONSENSE' }],
  'one line of JSON, and white space': [r => r.end(`${JSON.stringify({ choices: [{ message: { content: 'well' } }] })}\n \n`), { text: 'well' }],
  'JSON lines of Ollama, with usage': [r => r.end(`${JSON.stringify({ message: { content: 'well' }, done: false })}\n${JSON.stringify({ message: { content: '' }, done: true, prompt_eval_count: 3, eval_count: 1 })}`), { text: 'well', pieces: [{ text: 'well' }, { usage: { promptTokens: 3, completionTokens: 1 } }] }],
  'whole JSON with only a closing tag': [r => whole(r, { content: 'hm\n</think>\n\nwell' }), { text: 'well' }],
  'other choices alternate with the first': [r => stream(r, event({ choices: [{ index: 0, delta: { content: 'we' } }] }), event({ choices: [{ index: 1, delta: { content: 'other' } }] }), event({ choices: [{ index: 1, delta: {}, finish_reason: 'stop' }] }), event({ choices: [{ index: 1, delta: { content: 'x' } }, { index: 0, delta: { content: 'll' } }] }), END).end(), { text: 'well' }],
  'other choices before the first': [r => json(r, 200, { choices: [{ index: 1, message: { content: 'other' }, finish_reason: 'stop' }, { index: 0, message: { content: 'well' }, finish_reason: 'stop' }] }), { text: 'well' }],
  'an answer that is a number': [r => whole(r, { content: 42 }), { text: '42' }],
  'pieces that are numbers': [r => stream(r, event(chunk({ content: '4' })), event({ choices: [{ delta: { content: 2 }, message: { content: '42' } }] }), END).end(), { text: '42' }],
  'pieces in lists': [r => stream(r, event([chunk({ content: 'we' }), chunk({ content: 'll' })]), END).end(), { text: 'well' }],
  'a list of pieces as a whole': [r => json(r, 200, [chunk({ content: 'we' }), chunk({ content: 'll' }, 'stop')]), { text: 'well' }],
  'an error in a list, after text': [r => stream(r, well, event([{ error: { message: 'gone' } }])).end(), { text: 'well', failure: 'BOT_BROKE_OFF', log: /gone/ }],
  'no empty lines': [r => stream(r, `data: ${JSON.stringify(chunk({ content: 'we' }))}\ndata: ${JSON.stringify(chunk({ content: 'll' }))}\ndata: ${JSON.stringify(chunk({}, 'stop'))}\ndata: [DONE]\n`), { text: 'well' }],
  'one JSON text in many chunks that look like its end': [r => { r.writeHead(200); for (const piece of JSON.stringify({ pad: Array(30).fill(`${'x'.repeat(150_000)}}`), ...chunk({ content: 'well' }, 'stop') }).split(/(?<=x\})/)) r.write(piece); r.end() }, { text: 'well' }],
  'one JSON text with millions of lists': [r => r.end(`[${'[],'.repeat(2_000_000)}[]]`), { text: '', failure: 'BOT_NONSENSE', log: /too many objects and lists/ }],
  'an event of as many lines as fit': [r => stream(r, 'data: [\n', 'data: 0,\n'.repeat(110_000), 'data: 0]\n\n', well, END).end(), { text: 'well' }],
  'one JSON text in many lines': [r => stream(r, `${JSON.stringify(chunk({ content: 'well' }), null, 1).split('\n').map(line => `data: ${line}\n`).join('')}\n`, END).end(), { text: 'well' }],
  ...Object.fromEntries(['data: [DONE]', 'data:[DONE]', 'data: [DONE]\n', 'data: [DONE]\r', ' data: [DONE] ', 'data: "[DONE]"\n', 'data: [done] '].map((end, n) => [`[DONE] on a connection that stays open ${n}`, [r => stream(r, well, end.trimStart()), { text: 'well', failure: undefined }]])),
  '[DONE] in two pieces on a connection that stays open': [r => { stream(r, well, 'data: [DO'); setTimeout(() => r.write('NE]'), 50) }, { text: 'well', failure: undefined }],
  'text that ends with [DONE]': [r => stream(r, event(chunk({ content: 'It says [DONE]' })), event(chunk({ content: ' and\ndata: [DONE]' })), END).end(), { text: 'It says [DONE] and\ndata: [DONE]' }],
  'an error in a separate SSE field': [r => stream(r, 'error: {"code":400,"message":"gone","type":"invalid_request_error"}\n\n').end(), { text: '', failure: 'BOT_REFUSED', log: /gone/ }],
  'an error outside of an event': [r => stream(r, well, '{"error":{"message":"gone"}}\n\n'), { text: 'well', failure: 'BOT_BROKE_OFF', log: /gone/ }],
  'an error outside of an event, in many lines': [r => stream(r, well, '[{\n  "error": {\n    "message": "gone"\n  }\n}\n]\n\n').end(), { text: 'well', failure: 'BOT_BROKE_OFF', log: /gone/ }],
  'usage with other names': [r => json(r, 200, { choices: [{ message: { content: 'well' }, finish_reason: 'stop' }], usage: { input_tokens: 3, output_tokens: 1 } }), { pieces: [{ text: 'well' }, { usage: { promptTokens: 3, completionTokens: 1 } }] }],
  'usage in a choice': [r => stream(r, well, event({ choices: [{ delta: {}, finish_reason: 'stop', usage: { prompt_tokens: 3, completion_tokens: 1 } }] })).end(), { pieces: [{ text: 'well' }, { usage: { promptTokens: 3, completionTokens: 1 } }] }],
  'usage of Groq': [r => stream(r, well, event({ ...chunk({}, 'stop'), x_groq: { usage: { prompt_tokens: 3, completion_tokens: 1 } } })).end(), { pieces: [{ text: 'well' }, { usage: { promptTokens: 3, completionTokens: 1 } }] }],
  ...Object.fromEntries([{ prompt_tokens: 32, completion_tokens: 9, total_tokens: 135, completion_tokens_details: { reasoning_tokens: 94 } }, { prompt_tokens: 32, completion_tokens: 0, total_tokens: 135 }, { prompt_tokens: 32, total_tokens: 135 }, { prompt_tokens: 32, completion_tokens: 103, total_tokens: 0 }, { prompt_tokens: 32, completion_tokens: 103, total_tokens: null }].map((usage, n) => [`usage with reasoning in the total alone ${n}`, [r => stream(r, well, event({ ...chunk({}, 'stop'), usage })).end(), { pieces: [{ text: 'well' }, { usage: { promptTokens: 32, completionTokens: 103 } }] }]])),
  'usage as text': [r => stream(r, well, event({ choices: [], usage: { prompt_tokens: '3', completion_tokens: '1' } }), END).end(), { pieces: [{ text: 'well' }, { usage: { promptTokens: 3, completionTokens: 1 } }] }],
  ...Object.fromEntries([{ prompt_tokens: -3, completion_tokens: 1 }, { prompt_tokens: 0, completion_tokens: 0 }, { prompt_tokens: 1.5, completion_tokens: 1 }, { prompt_tokens: 'many', completion_tokens: 1 }, { prompt_tokens: true, completion_tokens: 1 }, { prompt_tokens: null }, []].map((usage, n) => [`what it cost is none ${n}`, [r => stream(r, event({ ...chunk({ content: 'well' }), usage: { prompt_tokens: 3, completion_tokens: 1 } }), event({ ...chunk({}, 'stop'), usage })).end(), { text: 'well', pieces: [{ text: 'well' }, { usage: { promptTokens: 3, completionTokens: 1 } }] }]])),
  ...Object.fromEntries(['violation', 'SPII', 'ERROR_TOXIC', 'refusal', 'moderation', 'IMAGE_SAFETY'].map(reason => [`filtered: ${reason}`, [r => json(r, 200, { choices: [{ finish_reason: reason, message: { content: '' } }] }), { text: '', failure: 'MESSAGE_REFUSED' }]])),
  ...Object.fromEntries(['insufficient_system_resource', 'network_error', 'abort', 'cancelled', 'ERROR', 'error'].flatMap((reason): Array<[string, [Answer, object]]> => [
    [`cut off: ${reason}`, [r => stream(r, well, event(chunk({}, reason)), event('[DONE]')).end(), { text: 'well', failure: 'BOT_BROKE_OFF', asked: 1, log: new RegExp(reason) }]],
    [`not even begun: ${reason}`, [r => stream(r, event(chunk({}, reason)), event('[DONE]')).end(), { text: '', failure: 'BOT_UNREACHABLE', asked: 3, log: new RegExp(reason) }]]
  ])),
  'a long tag that is only closed': [r => stream(r, event(chunk({ content: 'hm' })), event(chunk({ content: '</long' })), event(chunk({ content: '_thought>well' })), END).end(), { text: /well/ }]
}

t.test('a response is read in these formats', async t => {
  let write: Answer = () => {}
  let n = 0
  const { ask } = await serve(t, (response, body) => write(response, body), { BOT_TIMEOUT_SILENCE: 1.5 })
  for (const [what, [answer, expected]] of Object.entries(SHAPES)) {
    write = answer
    const began = performance.now()
    const heard = await ask({ model: `m${n++}` })
    if ('text' in expected && typeof expected.text === 'string') t.equal(heard.text, expected.text, `${what} strictly`)
    t.match(heard, { failure: undefined, ...expected }, `${what}: ${heard.text} ${heard.failure} ${heard.log}`)
    isPrompt(t, began, 2_000, what)
  }
})

t.test('a response is read in the same way wherever it is cut', async t => {
  for (const [what, [answer]] of Object.entries(SHAPES)) {
    const sent = await bodyOf(answer)
    if (sent === undefined || sent.length > 20_000) continue
    const expected = await readIn([sent])
    const lines = sent.toString('latin1').split(/(?<=\n)/).map(line => Buffer.from(line, 'latin1'))
    t.same(await readIn(lines), expected, `${what}: each line`)
    for (const size of [1, 2, 3, 7, 50]) {
      const chunks = Array.from({ length: Math.ceil(sent.length / size) }, (_, n) => sent.subarray(n * size, (n + 1) * size))
      t.same(await readIn(chunks), expected, `${what}: chunks of ${size} bytes`)
    }
  }
})

/** What a fake provider sends as the body; undefined if that is compressed or the status is not 200. */
async function bodyOf (answer: Answer): Promise<Buffer | undefined> {
  const body: Buffer[] = []
  let isPlain = true
  const { promise, resolve } = Promise.withResolvers<void>()
  const response = {
    headersSent: false,
    writeHead (status: number, headers: Record<string, string> = {}) {
      isPlain = status === 200 && headers['content-encoding'] === undefined
      response.headersSent = true
      return response
    },
    write (part: string | Buffer) { body.push(Buffer.from(part)) },
    end (part: string | Buffer = '') {
      body.push(Buffer.from(part))
      resolve()
    },
    destroy: () => resolve()
  }
  await answer(response as never, { model: 'm', messages: [] } as never)
  await Promise.race([promise, sleep(200)])
  return isPlain ? Buffer.concat(body) : undefined
}

/** The reply that is read from these chunks, and the error. */
async function readIn (chunks: Buffer[]) {
  const error = (...said: unknown[]) => new Error(JSON.stringify(said).slice(0, 500))
  const reader = createCompletionReader({ thoughts: createThoughtFilter('some', createMemory()), begins: () => {}, reported: error, filtered: error, unusable: error })
  const heard = { text: '', reasoning: '', others: [] as object[], error: '' }
  try {
    for await (const piece of readPieces(Readable.from(chunks), reader, () => {})) {
      if ('text' in piece) heard.text = (piece.replaces === true ? '' : heard.text) + piece.text
      else if ('reasoning' in piece) heard.reasoning = (piece.replaces === true ? '' : heard.reasoning) + piece.reasoning
      else heard.others.push(piece)
    }
  } catch (error) {
    heard.error = String((error as Error).cause ?? error).slice(0, 500)
  }
  return heard
}

/** The refused option, the status, the error message, and the provider that sends it. */
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
  ['system', 400, 'jinja2.exceptions.TemplateError: After the optional system message, conversation roles must alternate', 'vllm jinja'],
  ['stream_options', 400, { type: 'error', error: { type: 'invalid_request_error', message: 'stream_options: Extra inputs are not permitted' } }, 'more 1'],
  ['stream_options', 400, { message: '#/stream_options: extraneous key [stream_options] is not permitted' }, 'more 2'],
  ['stream_options', 400, { message: 'Malformed input request: #: extraneous key [stream_options] is not permitted, please reformat your input and try again.' }, 'more 3'],
  ['user', 400, { message: 'Malformed input request: #: extraneous key [user] is not permitted, please reformat your input and try again.' }, 'more 4'],
  ['stream_options', 400, { message: 'invalid request: unknown field: parameter stream_options is not a valid field' }, 'more 5'],
  ['user', 422, { message: 'invalid request: unknown field: user is not a recognized parameter' }, 'more 6'],
  ['temperature', 400, { error: { message: JSON.stringify({ error: { message: 'temperature: unsupported', code: 'x' } }), code: 400 } }, 'more 7'],
  ['temperature', 400, { error: '{"message":"temperature and top_p cannot both be specified for this model. Please use only one."}' }, 'more 8'],
  ['user', 400, '<html><body><pre>Error: Unrecognized property "user"</pre></body></html>', 'more 9'],
  ['stream_options', 400, 'event: error\ndata: {"error":{"message":"Unknown parameter: stream_options"}}\n\n', 'more 10'],
  ['stream', 400, { message: 'The model is unsupported for streaming' }, 'more 11'],
  ['stream', 400, { type: 'error', error: { type: 'invalid_request_error', message: 'This model does not support streaming.' } }, 'more 12'],
  ['stream', 405, { error: { message: 'stream=true is not allowed here' } }, 'more 13'],
  ['stream', 501, { error: 'Not Implemented: SSE' }, 'more 14'],
  ['stream', 400, { error: { message: 'Streaming responses are disabled for your account' } }, 'more 15'],
  ['system', 400, { type: 'error', error: { type: 'invalid_request_error', message: 'messages.0.role: Input should be \'user\' or \'assistant\'' } }, 'more 16'],
  ['system', 400, { message: "This model doesn't support system messages. Try again without a system message or use a model that supports system messages." }, 'more 17'],
  ['system', 400, { error: { message: 'Invalid role: system' } }, 'more 18'],
  ['system', 400, { error: { message: 'First message must have role user' } }, 'more 19'],
  ['system', 400, { error: { message: 'A conversation must start with a user message. Try again with a conversation that starts with a user message.' } }, 'more 20'],
  ['system', 400, { error: { message: "'system' is not one of ['user', 'assistant'] - 'messages.0.role'" } }, 'more 21'],
  ['system', 400, { error: { message: 'unknown variant `system`, expected `user` or `assistant`' } }, 'more 22'],
  ['max_tokens', 400, { error: { message: 'max_tokens is not supported', type: 'error' } }, 'more 23'],
  ['max_tokens', 400, { error: { message: 'Unknown name "max_tokens"' } }, 'more 24'],
  ['max_tokens', 422, { detail: [{ type: 'extra_forbidden', loc: ['body', 'max_tokens'], msg: 'Extra inputs are not permitted', input: 5 }] }, 'more 25'],
  ['temperature', 400, { error: { message: 'Sampling parameter `temperature` is only allowed for non-reasoning models' } }, 'more 26'],
  ['temperature', 400, { error: { message: 'Argument not supported on this model: temperature' } }, 'more 27'],
  ['temperature', 400, { error: { code: 'Client specified an invalid argument', error: 'Model grok-4 does not support parameter temperature.' } }, 'more 28'],
  ['user', 400, { error: { message: 'Argument not supported: user' } }, 'more 29'],
  ['user', 400, { code: 'Client specified an invalid argument', error: 'Argument not supported on this model: user' }, 'xAI'],
  ['user', 400, { error: { message: 'body.user: field required to be absent' } }, 'more 30'],
  ['stream_options', 400, { error: { message: 'Parameter `stream_options` is unsupported.', type: 'invalid_parameter_error' } }, 'more 31'],
  ['stream_options', 400, { code: 'InvalidParameter', message: 'Parameter stream_options should be set only if stream is true' }, 'more 32'],
  ['stream_options', 400, { error: { message: "<400> InternalError.Algo.InvalidParameter: The 'stream_options' is only allowed when 'stream' is true" } }, 'more 33'],
  ['stream_options', 400, { error: { message: 'include_usage is not supported' } }, 'more 34'],
  ['stream_options', 400, [{ code: 'unrecognized_keys', keys: ['stream_options'], path: [] }], 'more 35'],
  ['temperature', 400, { errors: { temperature: ['is unknown'] } }, 'more 36'],
  ['temperature', 400, { error: { message: 'Not a valid parameter', target: 'temperature' } }, 'more 37'],
  ['temperature', 400, { error: { details: [{ fieldViolations: [{ field: 'temperature', description: 'unsupported' }] }], message: 'bad' } }, 'more 38'],
  ['user', 400, { invalid_params: [{ name: 'user', reason: 'not allowed' }], title: 'Bad Request' }, 'more 39'],
  ['user', 400, { title: 'Bad Request', detail: 'user is not allowed' }, 'more 40'],
  ['user', 400, { error: 'unexpected property "user"' }, 'more 41'],
  ['user', 400, { error: { message: "'user' is a forbidden key" } }, 'more 42'],
  ['user', 400, { message: ['property user should not exist'], error: 'Bad Request', statusCode: 400 }, 'more 43'],
  ['stream_options', 400, { message: ['property stream_options should not exist'], error: 'Bad Request', statusCode: 400 }, 'more 44'],
  ['temperature', 400, { message: ['property temperature should not exist'], error: 'Bad Request', statusCode: 400 }, 'more 45'],
  ['stream_options', 400, { error: 'ValidationError: "stream_options" is not allowed' }, 'more 46'],
  ['stream_options', 400, { error: { code: 'invalid_value', message: "Unknown field 'stream_options'" } }, 'more 47'],
  ['stream_options', 400, { error: 'Parâmetro desconhecido: stream_options' }, 'more 48'],
  ['stream_options', 400, { error: 'Paramètre inconnu : stream_options' }, 'more 49'],
  ['stream_options', 400, { error: { message: '不支持的参数: stream_options' } }, 'more 50'],
  ['stream_options', 400, { error: { message: 'unsupported_parameter', param: 'stream_options.include_usage' } }, 'more 51'],
  ['stream_options', 200, { error: { message: 'stream_options not supported', code: 400 } }, 'more 52'],
  ['temperature', 200, { type: 'error', error: { type: 'invalid_request_error', message: 'temperature is not supported with this model' } }, 'more 53'],
  ['temperature', 400, { error: { message: 'invalid temperature: only 1 is allowed for this model', type: 'invalid_request_error' } }, 'Moonshot'],
  ['temperature', 400, { error: { message: 'litellm.BadRequestError: MoonshotException - invalid temperature: only 0.6 is allowed for this model' } }, 'Moonshot, behind a gateway'],
  ['user', 400, { __type: 'ValidationException', message: '1 validation error detected: Value at \'user\' failed to satisfy constraint: unknown' }, 'more 54']
]

t.test('an option that is refused with these error messages is left out, and no other', async t => {
  for (const [option, status, words, what] of REFUSALS) {
    const isIn = (body: Body) => option === 'system' ? ['system', 'developer'].includes(body.messages[0]!.role) : option === 'max_tokens' ? body.max_tokens !== undefined : body[option as keyof Body] !== undefined
    const { ask, bodies } = await serve(t, (response, body) => isIn(body) ? typeof words === 'string' ? response.writeHead(status).end(words) : json(response, status, words) : body.stream ? say(response, 'well') : whole(response, { content: 'well' }))
    const heard = await ask({ prompt: 'Be kind', temperature: 0.5, max_tokens: 5 }, HELLO, 'u1')
    t.match(heard, { text: 'well', failure: undefined }, `${option} ${what} ${heard.failure} ${heard.log} asked ${heard.asked}`)
    t.ok(heard.asked <= 3, `${option} ${what} asked ${heard.asked}`)
    const last = bodies.at(-1)!
    for (const other of (['stream_options', 'temperature', 'user', 'max_tokens', 'stream'] as const).filter(o => o !== option)) if (!(option === 'stream' && other === 'stream_options')) t.ok(last[other] !== undefined, `${option} ${what} keeps ${other}`)
    t.match(await ask({ prompt: 'Be kind', temperature: 0.5, max_tokens: 5 }, HELLO, 'u1'), { asked: 1 }, `${what} remembered`)
  }
})
/** Error messages for a full context window. */
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
  [400, { error: { message: 'Number of tokens in the input is greater than the limit 4096' } }],
  [400, { type: 'error', error: { type: 'invalid_request_error', message: 'prompt is too long: 212345 tokens > 200000 maximum' } }],
  [400, { type: 'error', error: { type: 'invalid_request_error', message: 'input length and `max_tokens` exceed context limit: 199000 + 5000 > 200000, decrease input length or `max_tokens` and try again' } }],
  [413, { type: 'error', error: { type: 'request_too_large', message: 'Request exceeds the maximum size' } }],
  [400, { message: 'too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000. Try using a shorter prompt, or enabling prompt truncating.' }],
  [400, { message: 'Too many input tokens. Max input tokens: 8192, request input token count: 9000' }],
  [400, { message: 'Input is too long for requested model.' }],
  [400, { message: 'The model returned the following errors: Input length 9000 exceeds 8192' }],
  [400, { error: { message: 'Please reduce the length of the messages or completion.', code: 'context_length_exceeded' } }],
  [400, { error: { message: 'Range of input length should be [1, 30720]', code: 'invalid_parameter_error' } }],
  [400, { error: { code: 'invalid_parameter_error', message: '<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]' } }],
  [400, { error: { message: 'Your input exceeds the context window of this model. Please adjust your input and try again.' } }],
  [400, { error: { message: 'tokens_exceeded', code: 'tokens_limit_reached' } }],
  [413, { error: { code: 'tokens_limit_reached', message: 'Request body too large for gpt-4o model. Max size: 8000 tokens.' } }],
  [422, { error: 'Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 50 `max_new_tokens`', error_type: 'validation' }],
  [422, { error: 'Input validation error: `inputs` must have less than 4095 tokens. Given: 5000' }],
  [400, { error: { message: "This model's maximum prompt length is 131072 but the request contains 150000 tokens." } }],
  [400, { error: { message: 'The total tokens requested exceed the limit', type: 'x' } }],
  [500, { error: { message: 'CUDA out of memory. Tried to allocate', type: 'x' } }],
  [400, { error: { message: 'message too long' } }],
  [400, { error: 'Conversation too long' }],
  [400, { error: 'The conversation is too long, please start a new one' }],
  [400, { error: { message: 'Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens' } }],
  [400, { error: { message: 'The number of tokens to keep from the initial prompt is greater than the context length.' } }],
  [400, { error: { message: 'Requested tokens (5000) exceed context window of 2048' } }],
  [400, { error: { message: 'prompt token count of 9000 exceeds the limit of 8192', code: 'model_max_prompt_tokens_exceeded' } }],
  [400, { error: { message: 'total message token length exceed model limit' } }],
  [400, { error: { message: 'Invalid request: Your request exceeded model token limit: 8192', type: 'invalid_request_error' } }],
  [400, { base_resp: { status_code: 1039, status_msg: 'token limit' } }],
  [200, { base_resp: { status_code: 2013, status_msg: 'invalid params, context window exceeds limit' } }],
  [400, { error_code: 336007, error_msg: 'the max input characters is 20000' }],
  [200, { error_code: 336103, error_msg: 'the max length of current question is 4800' }],
  [400, { error: { message: 'Длина контекста превышена', code: 400 } }],
  [400, { error: { message: 'El contexto es demasiado largo: se supera la longitud máxima' } }],
  [400, { error: { message: 'max_total_tokens exceeded: 9000 > 8192' } }],
  [400, { error: { message: 'query length too long' } }],
  [400, { error: { message: 'Sequence length 9000 longer than max 8192' } }],
  [400, { error: { message: 'Token indices sequence length is longer than the specified maximum sequence length for this model (5000 > 4096)' } }],
  [400, { error: { message: 'ContextWindowExceededError: litellm.BadRequestError' } }],
  [400, { error: { message: 'INVALID_ARGUMENT: Request payload size exceeds the limit: 10485760 bytes' } }],
  [400, { error: { message: 'Prompt exceeds max length', code: '1261' } }],
  [429, { error: { message: 'Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 9000, please reduce your message size and try again.', code: 'rate_limit_exceeded' } }],
  [400, { detail: 'Prompt length (5000) exceeds maximum allowed (4096)' }],
  [400, 'Input too long'],
  [414, 'URI Too long']
]

t.test('these error messages mean that the context window is full', async t => {
  const turns = Array.from({ length: 41 }, (_, n) => n % 2 === 0 ? user(`question ${n} ${'word '.repeat(20)}`) : bot(`answer ${n} ${'word '.repeat(20)}`))
  for (const [status, words] of FULL) {
    const { ask } = await serve(t, (response, body) => JSON.stringify(body).length > 2000 ? json(response, status, words) : say(response, 'well'))
    const heard = await ask({ max_tokens: 50 }, turns)
    t.match(heard, { text: 'well', failure: undefined }, `${JSON.stringify(words)} ${heard.failure} ${heard.asked}`)
  }
})
/** Error messages of a content filter, or for a file that cannot be read. */
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
  [400, { error: { message: 'Request rejected: harm category violence' } }],
  [400, { type: 'error', error: { type: 'invalid_request_error', message: 'Output blocked by content filtering policy' } }],
  [400, { message: 'The content of this request violates our usage policy.' }],
  [403, { error: { message: 'Content violates usage guidelines. Team: x, API key ID: y, Model: z, Failed check: SAFETY_CHECK_TYPE_CSAM' } }],
  [400, { error: { message: 'Your input image may contain content that is not allowed by our safety system.' } }],
  [400, { error: { code: 'data_inspection_failed', message: 'Input data may contain inappropriate content.' } }],
  [400, { error: { code: '1301', message: '系统检测到输入或生成内容可能包含不安全或敏感内容' } }],
  [200, { base_resp: { status_code: 1026, status_msg: 'input new_sensitive' } }],
  [400, { error: { message: 'The request was rejected as a result of our safety system.' } }],
  [403, { error: { message: 'Your chosen model requires moderation and your input was flagged for "violence". No credits were charged.', code: 403, metadata: { reasons: ['violence'], flagged_input: 'bad' } } }],
  [400, { error: { message: 'Prompt blocked' } }],
  [400, { error: { message: 'I\'m sorry, request cannot be fulfilled', type: 'guardrail_intervened' } }],
  [446, { error: { message: 'blocked by Azure AI Content Safety' } }],
  [446, { hook_results: { before_request_hooks: [{ verdict: false }] }, error: { message: 'The guardrail checks defined in the config failed.', type: 'hooks_failed' } }],
  [424, { error: { message: 'Prompt Guard detected jailbreak attempt', code: '2016' } }],
  [400, { error: { message: 'Prompt injection detected' } }],
  [400, { error: { message: 'prompt rejected by moderation' } }],
  [400, { detail: 'NSFW content detected' }],
  [200, { choices: [{ finish_reason: 'content_filter', message: { content: '' } }] }],
  [200, { choices: [{ finish_reason: 'PROHIBITED_CONTENT', message: { content: null } }] }],
  [200, { choices: [{ finish_reason: 'guardrail_intervened', message: { content: null } }] }],
  [200, { choices: [{ finish_reason: 'violation', message: { content: '' } }] }],
  [200, { choices: [{ finish_reason: 'IMAGE_SAFETY', message: { content: '' } }] }],
  [200, { choices: [{ finish_reason: 'SPII', message: { content: '' } }] }],
  [200, { choices: [{ finish_reason: 'ERROR_TOXIC', message: { content: '' } }] }],
  [200, { choices: [{ finish_reason: 'refusal', message: { content: '' } }] }],
  [400, { error: { message: 'We detected personally identifiable information (PII) in your request' } }],
  [400, { error: { message: 'Запрос содержит запрещённый контент' } }],
  [400, { error: 'Content not allowed' }],
  [400, { error: { message: 'The response was filtered due to the prompt triggering Azure OpenAI\'s content management policy.' } }]
]

t.test('these error messages mean that a message was refused', async t => {
  for (const [status, words] of FILTERED) {
    const { ask } = await serve(t, (response, body) => JSON.stringify(body).includes('bad') ? json(response, status, words) : say(response, 'well'))
    const heard = await ask({}, [user('bad')])
    t.match(heard, { text: '', failure: 'MESSAGE_REFUSED' }, `${JSON.stringify(words)} ${heard.failure} ${heard.asked}`)
  }
})

/** Error messages that sound like those of a content filter, but are not about any message. */
const NOT_FILTERED: Array<[number, unknown]> = [
  [404, { error: { message: 'No endpoints available matching your guardrail restrictions and data policy. Configure: https://openrouter.ai/settings/privacy', code: 404 } }],
  [403, { error: { code: 'Forbidden', message: 'Your resource has been temporarily blocked because we detected behavior that may violate our content policy.' } }],
  [403, { error: { message: 'Your access was terminated due to violation of our policies, please check your email for more information.', type: 'access_terminated', param: null, code: 'access_terminated' } }],
  [400, { error: { message: 'Your access was terminated due to violation of our policies, please check your email for more information.' } }],
  [403, { error: { message: '[user_blocked] Your access has been restricted due to repeated policy violations.' } }],
  [403, { error: { message: 'The account acme has been suspended for violating our usage policies.' } }]
]

t.test('these error messages do not mean that a message was refused', async t => {
  for (const [status, words] of NOT_FILTERED) {
    const { ask } = await serve(t, response => json(response, status, words))
    t.match(await ask({}, [user('one'), bot('two'), user('three')]), { text: '', failure: 'BOT_REFUSED' }, JSON.stringify(words))
  }
})

t.test('an unknown error does not make a conversation unusable', async t => {
  const turns = Array.from({ length: 41 }, (_, n) => n % 2 === 0 ? user(`question ${n} ${'word '.repeat(20)}`) : bot(`answer ${n} ${'word '.repeat(20)}`))
  const WORDS: Array<[number, unknown]> = [
    [400, ''], [400, 'Bad request'], [400, { error: 'Kontextfenster überschritten' }], [422, { detail: 'nope' }], [424, {}], [431, 'x'], [446, { code: 17 }], [451, '???']
  ]
  for (const [status, words] of WORDS) {
    const refuse = (response: Parameters<Answer>[0]) => typeof words === 'string' ? response.writeHead(status).end(words) : json(response, status, words)
    const full = await serve(t, (response, body) => JSON.stringify(body).length > 4000 ? refuse(response) : say(response, 'well'))
    t.match(await full.ask({}, turns), { text: 'well', asked: 2 }, `${status}: half of the history is sent`)
    t.ok(full.bodies.at(-1)!.messages.length > 5)
    t.match(await full.ask({}, turns), { text: 'well', asked: 1 }, 'the length is remembered')
    const alone = await serve(t, (response, body) => body.messages.length > 1 ? refuse(response) : say(response, 'well'))
    t.match(await alone.ask({}, turns), { text: 'well', asked: 3 }, `${status}: the question is sent alone`)
    const never = await serve(t, refuse)
    t.match(await never.ask({}, turns), { failure: 'BOT_REFUSED', asked: 3 })
    t.match(await never.ask({}), { failure: 'BOT_REFUSED', asked: 1 })
  }
  for (const status of [401, 403, 404, 405, 409]) {
    const { ask } = await serve(t, response => json(response, status, { error: 'nope' }))
    t.match(await ask({}, turns), { failure: 'BOT_REFUSED', asked: 1 }, `${status} is not caused by the messages`)
  }
})

t.test('an unknown error about a history that is not too long makes no other history shorter', async t => {
  const long = Array.from({ length: 41 }, (_, n) => n % 2 === 0 ? user(`question ${n} ${'word '.repeat(20)}`) : bot(`answer ${n} ${'word '.repeat(20)}`))
  const odd = [user('odd'), bot('two'), user('three'), bot('four'), user('five')]
  const { ask, bodies } = await serve(t, (response, body) => body.messages[0]!.content.startsWith('odd') ? json(response, 400, { error: 'nope' }) : say(response, 'well'))
  t.match(await ask({}, odd), { text: 'well', asked: 2 }, 'half of the history is sent')
  t.match(await ask({}, long), { text: 'well', asked: 1 })
  t.equal(bodies.at(-1)!.messages.length, 41, 'every model takes as much as this')
  const longer = [user(`odd ${'word '.repeat(600)}`), bot('two'), user('three')]
  t.match(await ask({}, longer), { text: 'well', asked: 2 })
  t.match(await ask({}, long), { text: 'well', asked: 1 })
  t.equal(bodies.at(-1)!.messages.length, 41, 'this model has taken as much before')
})
