import t from 'tap'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { createAnswerReader } from '../../src/bots/answer-reader.ts'
import { createRedaction } from '../../src/bots/secrets.ts'
import { createMemory, createThoughtFilter } from '../../src/bots/thoughts.ts'
import { fit, linesOf } from '../../src/bots/history.ts'
import type { ReplyPiece, Turn } from '../../src/bots/bot.ts'
import { tidy } from '../../src/bots/pieces.ts'
import { createTokenCounter } from '../../src/bots/token-counter.ts'
import { startApp } from '../support/helper.ts'
import { chunk, END, event, json, KEY, say, serve, stream, user, whole, type Answer } from '../support/model.ts'
import { isPrompt } from '../support/prompt.ts'
import { isInOrder } from '../support/providers.ts'

// The response formats of language model providers, and the history that providers get.

t.test('a response is read in every known format', async t => {
  let write: Answer = () => {}
  const { ask } = await serve(t, (response, body) => write(response, body))
  const text = (...texts: string[]) => texts.map(content => event(chunk({ content }))).join('')
  const encoded = (encoding: string, encode: (text: string) => Buffer): Answer => response => response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': encoding }).end(encode(text('well') + END))
  const gzipTimes = (times: number, data: string | Buffer): Buffer => times === 1 ? gzipSync(data) : gzipTimes(times - 1, gzipSync(data))
  const cases: Record<string, [Answer, object]> = {
    'whole JSON': [response => whole(response, { role: 'assistant', content: 'well' }), { text: 'well' }],
    'whole JSON with the content type of a stream': [response => stream(response, `\ufeff \n${JSON.stringify({ choices: [{ message: { content: 'well' } }] }, null, 2)}`).end(), { text: 'well' }],
    'whole JSON after white space that keeps the connection alive': [response => stream(response, ' \n'.repeat(2000), JSON.stringify({ choices: [{ message: { content: 'well' } }] })).end(), { text: 'well' }],
    'whole JSON in many pieces': [response => stream(response, ...Array<string>(30).fill(' '), '{"a":{}', ...Array<string>(30).fill(',"b":{}'), ',"choices":[{"message":{"content":"well"}}]}').end(), { text: 'well' }],
    'whole JSON whose first pieces look complete': [response => { for (let n = 0; n < 30; n++) setTimeout(() => response.write(n === 0 ? '{"a":{}' : ',"b":{}'), n * 5); setTimeout(() => response.end(',"choices":[{"message":{"content":"well"}}]}'), 300) }, { text: 'well' }],
    'whole JSON on a connection that stays open': [response => stream(response, JSON.stringify({ choices: [{ message: { content: 'well' } }] })), { text: 'well' }],
    'whole JSON with usage': [response => json(response, 200, { choices: [{ message: { content: 'well' } }], usage: { prompt_tokens: 1, completion_tokens: 2 } }), { pieces: [{ text: 'well' }, { usage: { promptTokens: 1, completionTokens: 2 } }] }],
    'whole JSON that breaks off': [response => response.end('{"choices":[{"message":{"content":"we'), { text: '', failure: 'BOT_NONSENSE' }],
    'whole JSON without an end': [response => { for (let n = 0; n < 90; n++) response.write(`{"a":"${'x'.repeat(100_000)}`) }, { failure: 'BOT_NONSENSE' }],
    'content in parts': [response => stream(response, event(chunk({ content: [{ type: 'text', text: 'we' }, 'l', { type: 'output_text', text: { value: 'l' } }, { type: 'image_url', image_url: 'x' }, { text: '!' }, { type: 'text' }] })), END).end(), { text: 'well!' }],
    'content that is one part': [response => whole(response, { content: { type: 'text', text: 'well' } }), { text: 'well' }],
    'message in place of delta': [response => stream(response, event({ choices: [{ message: { content: 'we' } }] }), event({ choices: [{ message: { content: 'll' }, finish_reason: 'stop' }] })).end(), { text: 'well' }],
    'both delta and the whole message': [response => stream(response, event({ choices: [{ delta: { content: 'we' }, message: { content: 'we' } }] }), event({ choices: [{ delta: { content: 'll' }, message: { content: 'well' } }] }), event({ choices: [{ delta: { content: '' }, message: { content: 'well' }, finish_reason: 'stop' }] })).end(), { text: 'well' }],
    'an empty delta beside a message': [response => stream(response, event({ choices: [{ delta: {}, message: { content: 'well' }, finish_reason: 'stop' }] })).end(), { text: 'well' }],
    'text as in the completions API': [response => stream(response, event({ choices: [{ text: 'well', finish_reason: 'stop' }] })).end(), { text: 'well' }],
    'an empty error': [response => stream(response, ...[{}, null, '', [], false, { message: '' }].map(error => event({ error, choices: [{ delta: { content: '.' } }] })), END).end(), { text: '......' }],
    'empty data in several places': [response => stream(response, 'data:\n\n', 'data: \n\n', 'event: error\ndata:\n\n', text('we'), 'data\n\n', 'event: ping\ndata:   \n\n', 'id: 5\nretry: 3\n\n', text('ll'), END, 'data:\n\n').end(), { text: 'well' }],
    'keep-alive events with their own names': [response => stream(response, event('still here', 'ping'), event({ type: 'ping' }, 'ping'), event({ choices: [{ delta: { content: 'well' } }] }, 'message'), event('5', 'heartbeat'), END).end(), { text: 'well' }],
    'invalid data in a message event': [response => stream(response, text('well'), event('garbage', 'message')).end(), { text: 'well', failure: 'BOT_NONSENSE' }],
    'a refusal in a delta': [response => stream(response, event(chunk({ role: 'assistant', refusal: null })), event(chunk({ refusal: 'I cannot ' })), event(chunk({ refusal: 'say that.' })), END).end(), { text: 'I cannot say that.' }],
    'a refusal in a message': [response => whole(response, { content: null, refusal: 'I cannot say that.' }), { text: 'I cannot say that.' }],
    'a refusal as a part': [response => whole(response, { content: [{ type: 'refusal', refusal: 'No.' }] }), { text: 'No.' }],
    'choices without a choice': [response => stream(response, event({ choices: [null] }), event({ choices: [] }), event({ choices: 'none' }), event(5), text('well'), END).end(), { text: 'well' }],
    gzip: [encoded('gzip', gzipSync), { text: 'well' }],
    'x-gzip': [encoded('X-GZip', gzipSync), { text: 'well' }],
    br: [encoded('br', brotliCompressSync), { text: 'well' }],
    deflate: [encoded('deflate', deflateSync), { text: 'well' }],
    'raw deflate': [encoded('deflate', deflateRawSync), { text: 'well' }],
    'twice compressed': [encoded('deflate, gzip', text => gzipSync(deflateSync(text))), { text: 'well' }],
    'compressed five times': [encoded('gzip, gzip, gzip, gzip, gzip', text => gzipTimes(5, text)), { text: 'well' }],
    'compressed more often, each time of which takes memory': [encoded('gzip, gzip, gzip, gzip, gzip, gzip', text => gzipTimes(6, text)), { text: '', failure: 'BOT_UNREACHABLE', log: /6 content encodings/ }],
    identity: [encoded('identity', Buffer.from), { text: 'well' }],
    'compressed data that breaks off': [response => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(text('well') + END).subarray(0, -8)), { text: 'well' }],
    'an empty body that is declared as compressed': [response => response.writeHead(200, { 'content-encoding': 'deflate' }).end(), { failure: 'BOT_NONSENSE' }],
    'compressed, without any data': [response => { response.writeHead(200, { 'content-encoding': 'deflate' }).flushHeaders(); setTimeout(() => response.destroy(), 50) }, { failure: /BOT_/ }],
    'not compressed at all': [response => response.writeHead(200, { 'content-encoding': 'gzip' }).end('well'), { failure: 'BOT_BROKE_OFF' }],
    'an empty finish_reason, and the text null': [response => stream(response, event({ choices: [{ delta: { content: 'we' }, finish_reason: '' }] }), event({ choices: [{ delta: { content: 'll' }, finish_reason: 'null' }] }), '\r\ndata:[DONE] \r\n\r\n').end(), { text: 'well' }],
    'an error in a choice': [response => stream(response, text('well'), event({ choices: [{ delta: { content: '' }, finish_reason: 'error', error: { code: 502, message: 'upstream gone' } }] })).end(), { text: 'well', failure: 'BOT_BROKE_OFF', log: /upstream gone/ }],
    'finish_reason: error': [response => stream(response, text('well'), event(chunk({}, 'error'))).end(), { text: 'well', failure: 'BOT_BROKE_OFF' }],
    'finish_reason: length': [response => stream(response, text('well'), event(chunk({}, 'length'))).end(), { text: 'well', failure: undefined }]
  }
  for (const [what, [answer, expected]] of Object.entries(cases)) {
    write = answer
    t.match(await ask(), { failure: undefined, ...expected }, what)
  }
})

t.test('the reply ends with the response, even if the connection stays open or breaks', async t => {
  let write: Answer = () => {}
  const { ask } = await serve(t, (response, body) => write(response, body))
  const open = await serve(t, async response => { for (const content of ['we', 'll']) { stream(response, event(chunk({ content }, 'stop'))); await sleep(100) } })
  const heardOfOpen = open.ask() // takes twenty seconds, in which the others are tried
  const well = event(chunk({ content: 'well' }))
  const usage = event({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } })
  const cases: Array<[string, Answer, object, number, number]> = [
    ['[DONE], and nothing after it', response => stream(response, well, END), { pieces: [{ text: 'well' }] }, 0, 500],
    ['[DONE] without a finish_reason', response => stream(response, well, event('[DONE]')), { pieces: [{ text: 'well' }] }, 0, 500],
    ['[DONE], then endless invalid data', response => { stream(response, well, END); const timer = setInterval(() => response.write('data: {"rubb\n\n'), 5); response.on('close', () => clearInterval(timer)) }, { pieces: [{ text: 'well' }] }, 0, 500],
    ['[DONE], then the connection breaks', response => stream(response, well, END).write(' ', () => response.destroy()), { pieces: [{ text: 'well' }] }, 0, 500],
    ['a finish_reason, and the usage later', response => { stream(response, event(chunk({ content: 'well' }, 'stop'))); setTimeout(() => stream(response, usage), 500) }, { pieces: [{ text: 'well' }, { usage: { promptTokens: 1, completionTokens: 2 } }] }, 1800, 2500],
    ['a finish_reason, and nothing after it', response => stream(response, event(chunk({ content: 'well' }, 'stop'))), { pieces: [{ text: 'well' }] }, 1800, 2500],
    ['a finish_reason in every piece', async response => { for (const content of ['w', 'e', 'l', 'l']) { stream(response, event(chunk({ content }, 'stop'))); await sleep(content === 'e' ? 2300 : 500) } stream(response, event('[DONE]')) }, { text: 'well' }, 3800, 15_000],
    ['a finish_reason in the first piece', async response => { stream(response, event(chunk({ content: 'w' }, 'stop'))); for (const content of ['e', 'l', 'l']) { await sleep(1000); stream(response, event(chunk({ content }))) } response.end() }, { text: 'well' }, 3000, 15_000],
    ['a finish_reason in the first piece, then text of which the end is held back', response => stream(response, event(chunk({ content: 'Use ' }, 'stop')), event(chunk({ content: '```\n</think>\n' })), event(chunk({ content: 'if 1 <' })), event('[DONE]')).end(), { text: 'Use ```\n</think>\nif 1 <' }, 0, 2000],
    ['a finish_reason in the first event, which has no text', async response => { stream(response, event(chunk({ role: 'assistant', content: '' }, 'stop'))); await sleep(2300); for (const content of ['<think>So', '</think>we', 'll']) stream(response, event(chunk({ content }))); stream(response, END) }, { text: 'well', reasoning: 'So' }, 2300, 15_000],
    ['a finish_reason in every piece, then the connection breaks', async response => { for (const content of ['we', 'l']) { stream(response, event(chunk({ content }, 'stop'))); await sleep(100) } response.destroy() }, { text: 'wel', failure: 'BOT_BROKE_OFF', asked: 1 }, 0, 2000],
    ['a finish_reason in every piece, and [DONE], then the connection breaks', async response => { for (const content of ['we', 'll']) { stream(response, event(chunk({ content }, 'stop'))); await sleep(100) } stream(response, event('[DONE]')).write(' ', () => response.destroy()) }, { text: 'well' }, 0, 2000],
    ['a finish_reason, then endless keep-alives', response => { stream(response, event(chunk({ content: 'well' }, 'stop'))); const timer = setInterval(() => response.write(':\n\n'), 5); response.on('close', () => clearInterval(timer)) }, { pieces: [{ text: 'well' }] }, 1800, 2500]
  ]
  for (const [what, answer, expected, least, most] of cases) {
    write = answer
    const heard = await ask()
    t.match(heard, { failure: undefined, ...expected }, what)
    t.ok(heard.took >= least, `${what}: ended after ${heard.took} ms`)
    isPrompt(t, performance.now() - heard.took, most, what)
  }
  t.match(await heardOfOpen, { text: 'well', failure: undefined }, 'a finish_reason in every piece, and nothing after the last one')
  write = response => say(response, 'well')
  const ports = new Set<unknown>()
  for (let n = 0; n < 8; n++) ports.add((await ask()).port)
  t.ok(ports.size <= 3, `intact connections are reused: ${ports.size} connections for 8 replies`)
})

const THOUGHTS = ['<think>', '<thinking>', '<thought>', '<THINK>', '[THINK]', '◁think▷', '<|begin_of_thought|>', '<seed:think>']
const CLOSES = ['</think>', '</thinking>', '</thought>', '</THINK>', '[/THINK]', '◁/think▷', '<|end_of_thought|>', '</seed:think>']

t.test('reasoning in the text is not part of the reply, however the text is cut into pieces', async t => {
  let text = ''
  let size = 1
  let finish = 'stop'
  const { ask } = await serve(t, response => {
    const pieces = text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []
    stream(response, ...pieces.map(content => event(chunk({ content }))), event(chunk({}, finish)), event('[DONE]')).end()
  })
  for (size of [1, 2, 3, 5, 1000]) {
    for (const [n, open] of THOUGHTS.entries()) {
      const close = CLOSES[n]!
      for (text of [`${open}So, a < b.${close}Well, a<b [1].`, `\n${open}\nSo\n${close}\n\nWell, a<b [1].`, `${open}${close}Well, a<b [1].`, `${open}one${close}\n${open}two${close} Well, a<b [1].`, `${close}\nWell, a<b [1].`]) {
        const heard = await ask({ model: `${open}${size}` })
        t.match(heard, { text: 'Well, a<b [1].', failure: undefined }, `${JSON.stringify(text)} in pieces of ${size}`)
        t.notOk(heard.pieces.some(piece => 'text' in piece && piece.replaces), 'no reasoning was ever shown')
        t.equal(heard.reasoning.trim(), /\bone/.test(text) ? 'onetwo' : /So, a < b[.]/.exec(text)?.[0] ?? (text.includes('So') ? 'So' : ''))
      }
    }
    for (text of ['<b>Well</b>', '<thinker> is a tag', '  <', 'Write `</think>` there', 'It says "</think>" there', 'So:\n```\na</think>b\n```\n', '[think tank](x)', 'a </thin', '<']) {
      t.match(await ask({ model: 'plain' }), { text, failure: undefined }, `${JSON.stringify(text)} is not reasoning`)
    }
  }
  for (size of [1, 1000]) {
    text = '<think>İİ.</THINK>Well, İ.'
    t.match(await ask({ model: 'plain' }), { text: 'Well, İ.', reasoning: 'İİ.' }, 'letters that are longer in lower case')
  }
  text = '<think>on and on'
  for (finish of ['stop', 'length']) t.match(await ask(), { text: '', reasoning: 'on and on', pieces: [], failure: 'BOT_NONSENSE' }, 'reasoning without an end')
})

t.test('no reasoning is shown if a response begins inside of it, not even in the first response of a model', async t => {
  let text = 'The user greets.\n</think>\n\nWell.'
  let finish = 'stop'
  const { ask } = await serve(t, response => {
    stream(response, ...text.match(/[^]{1,4}/g)!.map(content => event(chunk({ content }))), event(chunk({}, finish)), event('[DONE]')).end()
  })
  for (const model of ['a', 'a', 'b', 'qwq-32b', 'deepseek/deepseek-r1', 'gpt-oss-r1']) {
    const heard = await ask({ model })
    t.equal(heard.text, 'Well.', model)
    t.notMatch(JSON.stringify(heard.pieces), /user|greets|replaces/, `${model}: no reasoning was ever shown`)
    t.equal(heard.reasoning, 'The user greets.\n', model)
  }
  const corrected = await ask({ model: 'gpt-4.1-mini' })
  t.match([corrected.text, corrected.reasoning, corrected.pieces[0]], ['Well.', 'The user greets.\n', { text: /^The/ }], 'the text of a model that is known not to begin with reasoning is shown immediately')
  t.match(corrected.pieces.find(piece => 'text' in piece && piece.replaces), { text: '', replaces: true }, 'reasoning that was shown nevertheless is removed')
  t.notMatch(JSON.stringify((await ask({ model: 'gpt-4.1-mini' })).pieces), /user/, 'the next response of this model shows no reasoning')

  finish = 'length'
  text = 'The user greets, and'
  t.match(await ask({ model: 'a' }), { text: '', reasoning: 'The user greets, and', failure: 'BOT_NONSENSE' }, 'reasoning that is cut off is not part of the reply')
  t.match(await ask({ model: 'new-thinking' }), { text, reasoning: '' }, 'the text of an unknown model may be the reply')
  finish = 'content_filter'
  t.match(await ask({ model: 'a' }), { text: '', failure: 'MESSAGE_REFUSED' }, 'reasoning that is cut off by a content filter')
  finish = 'stop'
  text = 'Well, without a thought.'
  t.match(await ask({ model: 'a' }), { text, reasoning: '', failure: undefined }, 'what was passed on as reasoning is taken back if it was the text')
  text = 'The user greets.\n</think>\n\nWell.'
  t.notMatch(JSON.stringify((await ask({ model: 'a' })).pieces), /user/, 'one response without reasoning changes nothing')
  text = 'Well, without a thought.'
  for (let n = 0; n < 20; n++) await ask({ model: 'a' })
  text = 'The user greets. </think> Well.'
  t.match((await ask({ model: 'a' })).pieces[0], { text: /^The/ }, 'after twenty responses without reasoning, text is shown immediately')
  text = 'The user greets. </think> Well, thought. And </think> thought again.'
  t.match(await ask({ model: 'c' }), { text: 'thought again.', reasoning: /^The user greets. Well, thought. And $/ })
  for (const [n, thought] of ['They say "hi".', 'Is it "hi"', 'They write ```js\nx', 'Look at `x', 'About `</think>` and "</think>", or ```\n</think>\n```.'].entries()) {
    text = `${thought}</think>"Hi", I say.`
    const heard = await ask({ model: `quoting-${n}` })
    t.match(heard.text, /^"Hi", I say\.$/, `quotes and code in reasoning: ${thought}`)
    t.notOk(heard.pieces.some(piece => 'text' in piece && piece.replaces))
  }
  text = 'They said: "</think>Hi.'
  t.match(await ask({ model: 'quoting' }), { text: 'Hi.' }, 'an unclosed quotation mark after the tag')
  const lone = await serve(t, response => stream(response, event(chunk({ content: 'So</think>' })), event(chunk({}, 'stop'))).end())
  t.match(await lone.ask(), { text: '', failure: 'BOT_NONSENSE' })
  const done = await serve(t, response => stream(response, event(chunk({ content: 'a <' })), event('[DONE]')).end())
  t.match(await done.ask(), { text: 'a <' }, 'text that was held back is sent at the end, also without a finish_reason')
})

t.test('the first response of an unknown model is held back only if it may be reasoning', async t => {
  let deltas: object[] = []
  let last: Answer = response => stream(response, END).end()
  const shown = async (model: string) => (await ask({ model })).pieces.map(piece => 'text' in piece ? piece.text : '')
  const { ask } = await serve(t, (response, body) => { stream(response, ...deltas.map(delta => event(chunk(delta)))); last(response, body) })
  const words = ['One ', 'two ', 'three.'].map(content => ({ content }))
  deltas = words
  t.same(await shown('a'), ['One ', 'two ', 'three.'], 'text that was held back is sent in its original pieces')
  const pending = createThoughtFilter('b', createMemory())
  pending.sendsApart()
  t.same(pending.take('One '), [{ text: 'One ' }], 'nothing is held back if reasoning arrives in a separate field')
  const late = createThoughtFilter('b', createMemory())
  late.take('One ')
  late.sendsApart()
  t.same(late.take('two '), [{ text: 'One two ' }], 'nothing is held back after that either')
  const memory = createMemory()
  const [one, two] = [createThoughtFilter('c', memory), createThoughtFilter('c', memory)]
  t.notMatch(JSON.stringify([one.take('One '), two.take('One ')]), /text/)
  t.match([one.holdsText(), createThoughtFilter('c', memory).holdsText()], [true, false])
  t.same(one.end(false).at(-1), { text: 'One ' })
  t.same(two.take('two '), [{ text: 'One two ' }], 'the end of another response shows how the model behaves')
  const open = createThoughtFilter('d', createMemory())
  open.take('<think>So</think>')
  t.same(open.take('One '), [{ text: 'One ' }], 'text after the reasoning is sent immediately')

  const certain = createMemory()
  certain.learn('e', true)
  const begun = () => createThoughtFilter('e', certain)
  const cutTag = begun()
  t.same([...cutTag.take('abc</thi'), ...cutTag.take('nk>Well')], [{ reasoning: 'abc' }, { reasoning: '' }, { text: 'Well' }], 'a model that is known to begin with reasoning: nothing is held back but a part of a tag')
  const quoted = begun()
  t.same([...quoted.take('a `</think>'), ...quoted.take('` b</think>Well')], [{ reasoning: 'a `' }, { reasoning: '</think>` b' }, { text: 'Well' }], 'a tag in an example')
  const unquoted = begun()
  t.same([...unquoted.take('a `</think>'), ...unquoted.take('\nWell')], [{ reasoning: 'a `' }, { reasoning: '' }, { text: 'Well' }], 'a backtick before a tag that none follows in the line')
  const mistaken = begun()
  t.same(mistaken.take('One '), [{ reasoning: 'One ' }])
  mistaken.sendsApart()
  t.same(mistaken.take('two '), [{ reasoning: '', replaces: true }, { text: 'One two ' }], 'it was the text')

  deltas = words
  for (const [what, answer, failure] of [
    ['cut', response => { setTimeout(() => response.destroy(), 50) }, 'BOT_BROKE_OFF'],
    ['without an end', response => response.end(), 'BOT_BROKE_OFF'],
    ['an error', response => stream(response, event({ error: { message: 'gone', code: 503 } })).end(), 'BOT_BROKE_OFF'],
    ['nonsense', response => stream(response, event('garbage')).end(), 'BOT_NONSENSE']
  ] as Array<[string, Answer, string]>) {
    last = answer
    t.match(await ask({ model: what }), { text: 'One two three.', failure, asked: 1 }, `${what}: the received text is kept`)
  }
})

/** The text and the reasoning that readers see in the end. */
function heardOf (pieces: ReplyPiece[]) {
  const heard = { text: '', reasoning: '' }
  for (const piece of pieces) {
    const kind = 'text' in piece ? 'text' : 'reasoning'
    heard[kind] = (piece as { replaces?: true }).replaces === true ? '' : heard[kind] + (piece as Record<string, string>)[kind]!
  }
  return heard
}

t.test('a response with thousands of tags in examples does not block the server', async t => {
  const inside = createMemory()
  inside.learn('begins-inside', true)
  for (const [what, before, example, after] of [['in backticks', '', '`</think>` ', ''], ['in quotation marks', '', '"</think>" ', ''], ['on lines', '', '`</think>`\n', ''], ['in a code block', '```\n', '</think>\n', '```\n']] as const) {
    for (const [model, memory] of [['unknown', createMemory()], ['begins-inside', inside], ['gpt-4.1', createMemory()]] as const) {
      const pieces = [before, ...Array<string>(9_000).fill(example), after]
      const began = performance.now()
      const filter = createThoughtFilter(model, memory)
      const read = [...pieces.flatMap(filter.take), ...filter.end(false)]
      isPrompt(t, began, 1_000, `${what}, ${model}`)
      t.equal(read.map(piece => 'text' in piece ? piece.text : '').join(''), pieces.join(''), `${what}, ${model}: all of it is text`)
    }
  }
})

t.test('an answer in thousands of pieces does not block the server, whatever it begins with', async t => {
  const inside = createMemory()
  inside.learn('begins-inside', true)
  const plain = { text: 'a '.repeat(200_000), reasoning: '' }
  for (const [model, memory] of [['unknown', createMemory()], ['begins-inside', inside], ['gpt-4.1', createMemory()]] as const) {
    for (const [what, pieces, said] of [
      ['text', Array<string>(200_000).fill('a '), plain],
      ['white space', [...Array<string>(400_000).fill(' '), 'a'], { text: 'a', reasoning: '' }],
      ['a code block with a tag that goes on', ['```\n</think>\n', ...Array<string>(200_000).fill('a '), '\n```'], { text: ['```', '</think>', plain.text, '```'].join('\n'), reasoning: '' }],
      ['a line with a tag that goes on', ['`</think>', ...Array<string>(200_000).fill('a '), '`'], { text: ['', `</think>${plain.text}`, ''].join('`'), reasoning: '' }],
      ['tags on one line, in one piece', ['`</think>` '.repeat(9_000)], { text: '`</think>` '.repeat(9_000), reasoning: '' }],
      ['tags in one code block, in one piece', [['', '</think>'.repeat(9_000), ''].join('```')], { text: ['', '</think>'.repeat(9_000), ''].join('```'), reasoning: '' }],
      ['pairs of tags, in one piece', ['<think>a</think>'.repeat(9_000)], { text: '<think>a</think>'.repeat(8_900), reasoning: 'a'.repeat(100) }]
    ] as const) {
      const filter = createThoughtFilter(model, memory)
      const began = performance.now()
      const heard = heardOf([...pieces.flatMap(filter.take), ...filter.end(false)])
      isPrompt(t, began, 1_000, `${what}, ${model}`)
      t.ok(heard.text.trim() === said.text.trim() && heard.reasoning === said.reasoning, `${what}, ${model}: what is said and what is thought`)
      inside.learn('begins-inside', true)
    }
  }

  for (const [what, first, chunk, count] of [
    ['a line in chunks that look like the end of the stream', 'data: [', ']', 100_000], ['one JSON text and white space', `{"a":"${'x'.repeat(900_000)}"}\n`, ' ', 30_000]
  ] as const) {
    const reader = createAnswerReader(() => new Error('not JSON'))
    const [beginning, more] = [Buffer.from(first), Buffer.from(chunk)]
    const began = performance.now()
    const events = [...reader.eventsIn(beginning)]
    for (let n = 0; n < count; n++) events.push(...reader.eventsIn(more))
    events.push(...reader.eventsIn())
    isPrompt(t, began, 1_000, what)
    t.ok(events.length > 0, 'it is read')
  }

  const began = performance.now()
  let isVisible = false
  for await (const piece of tidy((function * () { for (let n = 0; n < 99_000; n++) yield { text: ' ' }; yield { text: 'a' } })())) isVisible ||= 'text' in piece && piece.text.endsWith(' a')
  isPrompt(t, began, 1_000, 'white space before the text')
  t.ok(isVisible)
})

t.test('the first response of an unknown model is shown when it is longer than the longest reply, and is cut there', async t => {
  const closed = Promise.withResolvers<void>()
  const { ask } = await serve(t, async response => {
    stream(response)
    while (!response.destroyed) if (!response.write(event(chunk({ content: 'word '.repeat(100) })))) await Promise.race([once(response, 'drain'), once(response, 'close')])
    closed.resolve()
  })
  t.match(await ask({ model: 'endless' }), { text: 'word '.repeat(20_000), reasoning: '', failure: undefined })
  await closed.promise
  t.pass('the connection to the provider is closed')

  const thinking = event(chunk({ reasoning: 'So. '.repeat(250_000) }))
  const deep = await serve(t, async response => {
    stream(response)
    while (!response.destroyed) if (!response.write(thinking)) await Promise.race([once(response, 'drain'), once(response, 'close')])
  })
  const heard = await deep.ask({ model: 'thinks-endlessly' })
  t.match([heard.text, heard.failure, heard.log], ['', 'BOT_NONSENSE', 'The answer is larger than 128 MiB'], 'a model that never stops thinking')
})

t.test('reasoning in a field of its own keeps a reply from timing out, and is not part of the text', async t => {
  // The model's name says how it sends its reasoning, which takes twice as long as BOT_TIMEOUT_SILENCE in total.
  const { ask } = await serve(t, async (response, { model }) => {
    for (const delta of JSON.parse(model) as object[]) {
      stream(response, event(chunk(delta)))
      await new Promise(resolve => setTimeout(resolve, 300))
    }
    stream(response, event(chunk({ content: 'Well.' })), END).end()
  }, { BOT_TIMEOUT_FIRST: 1.5, BOT_TIMEOUT_SILENCE: 1.5 })
  const thoughts = [
    { reasoning_content: 'So' }, { reasoning: 'So' }, { reasoning: null, reasoning_content: 'So' }, { content: [{ type: 'thinking', thinking: 'So' }] }, { content: [{ type: 'reasoning', text: 'So' }] }, { content: [{ type: 'reasoning', reasoning: 'So' }] },
    { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'So' }] }] }, { content: '', thinking: 'So' }
  ].map(thought => Array<object>(10).fill(thought))
  thoughts.push([{ reasoning_content: 'So' }, { content: '<think>' }, ...Array<object>(8).fill({ content: 'so on' }), { content: '</think>' }])
  await Promise.all(thoughts.map(async deltas => {
    const model = JSON.stringify(deltas)
    t.match(await ask({ model }), { pieces: [{ text: 'Well.' }], reasoning: /^So(So){9}$|^So(so on){8}$/, failure: undefined }, model)
  }))
})

t.test('text that is held back because of a tag in a block of code keeps a reply from timing out', async t => {
  const lines = ['Write:\n```\n', 'tag = "</think>"\n', ...Array.from({ length: 10 }, (_, n) => `line ${n}\n`), '```\nDone.']
  const { ask } = await serve(t, async response => {
    for (const content of lines) {
      stream(response, event(chunk({ content })))
      await sleep(300)
    }
    stream(response, END).end()
  }, { BOT_TIMEOUT_FIRST: 1.5, BOT_TIMEOUT_SILENCE: 1.5 })
  await Promise.all(['gpt-4.1', 'unknown'].map(async model => t.match(await ask({ model }), { text: lines.join(''), reasoning: '', failure: undefined }, model)))
})

t.test('reasoning that was shown by mistake is removed for readers', async t => {
  const { url } = await serve(t, response => stream(response, event(chunk({ content: 'The user greets.' })), event(chunk({ content: '</think>' })), event(chunk({ content: 'Well 🙂.' })), END).end())
  const { as } = await startApp(t, { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url })
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const parts = [{ type: 'reasoning', text: 'The user greets.' }, { type: 'text', text: 'Well 🙂.' }]
  t.match((await ann.post(`/api/conversations/${id}/messages`, { text: 'Hi' })).json()[1], { text: 'Well 🙂.', parts, status: 'complete' })
  const streamed = (await ann.post(`/api/conversations/${id}/messages`, { text: 'Hi' }, { accept: 'text/event-stream' })).body
  t.match(streamed, '"type":"reasoning","offset":0,"text":"The user greets."')
  t.notMatch(streamed, /"text":"The user greets[.]","status"|"id":4,"offset":0,"text":"The/, 'the text has no reasoning')
})

t.test('citations are sources, each once', async t => {
  const cite = (url: unknown, title?: unknown) => ({ type: 'url_citation', url_citation: { url, title, start_index: 0, end_index: 4 } })
  const annotations = [cite('https://example.com/a', 'A'), cite('https://example.com/b'), cite('https://example.com/a', 'Again'), cite('file:///etc/passwd'), cite(7), null, { type: 'url_citation', url: 'http://example.com/c', title: ' C ' }]
  let write: Answer = response => whole(response, { content: 'Well', annotations })
  const { ask } = await serve(t, (response, body) => write(response, body))
  const source = (url: string, title: string) => ({ part: { type: 'source', url, title }, isSaid: true })
  const sources = [source('https://example.com/a', 'A'), source('https://example.com/b', 'https://example.com/b'), source('http://example.com/c', 'C')]
  t.same((await ask()).pieces.filter(piece => 'part' in piece), sources)
  write = response => stream(response, event(chunk({ content: 'Well', annotations: annotations.slice(0, 2) })), event(chunk({ annotations })), END).end()
  t.same((await ask()).pieces.filter(piece => 'part' in piece), sources)
})

t.test('the log has the provider’s error, without the key', async t => {
  let write: Answer = () => {}
  const { ask } = await serve(t, (response, body) => write(response, body))
  const base64 = Buffer.from(`user:${KEY}`).toString('base64')
  const escaped = [...KEY].map(char => `\\u00${char.charCodeAt(0).toString(16)}`).join('')
  const entities = [...KEY].map((char, n) => n % 2 === 0 ? `&#${char.charCodeAt(0)};` : `&#x${char.charCodeAt(0).toString(16)};`).join('')
  const forms = [KEY, encodeURIComponent(KEY), base64, Buffer.from(KEY).toString('base64url'), Buffer.from(KEY).toString('hex'), KEY.slice(0, 12), KEY.slice(9), `${KEY.slice(0, 5)}*****${KEY.slice(-4)}`, `${KEY.slice(0, 7)}...`, escaped, entities, `https://x.example/?key=${encodeURIComponent(KEY)}&a=1`]
  for (const form of forms) {
    write = response => json(response, 400, { error: { message: `Incorrect key: ${form} is wrong` } })
    const { log, failure } = await ask()
    t.equal(failure, 'BOT_REFUSED')
    t.match(log, /400 .*Incorrect key: .*… is wrong/, form)
    for (let at = 0; at + 6 <= KEY.length; at++) t.notOk(log.includes(KEY.slice(at, at + 6)) || log.includes(form), `${form} in ${log}`)
  }
  const cases: Record<string, [Answer, object]> = {
    'an error with 200': [response => json(response, 200, { error: { message: 'quota is used up', type: 'insufficient' } }), { failure: 'BOT_REFUSED', log: /quota is used up/ }],
    'a status in it': [response => json(response, 200, { error: { code: 503, message: 'no capacity' } }), { failure: 'BOT_UNREACHABLE', log: /503.*no capacity/ }],
    'a status in a text': [response => json(response, 200, { error: 'slow down', status: '429' }), { failure: 'BOT_OVERLOADED', log: /slow down/ }],
    'a kind in it': [response => json(response, 200, { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }), { failure: 'BOT_OVERLOADED', log: /Overloaded/ }],
    'a kind beside it, of TGI': [response => stream(response, event({ error: 'Model is overloaded', error_type: 'overloaded' })).end(), { failure: 'BOT_OVERLOADED', asked: 3, log: /429.*Model is overloaded/ }],
    'a rate limit of MiniMax': [response => json(response, 200, { base_resp: { status_code: 1002, status_msg: 'rate limit' } }), { failure: 'BOT_OVERLOADED', asked: 3, log: /429.*1002/ }],
    'an internal error of MiniMax': [response => json(response, 200, { choices: null, base_resp: { status_code: 1024, status_msg: 'internal error' } }), { failure: 'BOT_UNREACHABLE', asked: 3, log: /502.*1024/ }],
    'another kind': [response => json(response, 200, [{ error: { type: 'server_error', message: 'oops' } }]), { failure: 'BOT_UNREACHABLE', log: /oops/ }],
    'a third kind': [response => json(response, 200, { error: { type: 'invalid_request_error', message: 'oops' } }), { failure: 'BOT_REFUSED', log: /oops/ }],
    'an invalid request of TGI': [response => stream(response, event({ error: 'Input validation error: no', error_type: 'validation' })).end(), { failure: 'BOT_REFUSED', asked: 1, log: /400.*Input validation error/ }],
    'an error without the word': [response => json(response, 200, { object: 'error', message: 'no such model' }), { failure: 'BOT_REFUSED', log: /no such model/ }],
    'a detail': [response => json(response, 200, { detail: 'no such model' }), { failure: 'BOT_REFUSED', log: /no such model/ }],
    errors: [response => json(response, 200, { errors: ['no such model'] }), { failure: 'BOT_REFUSED', log: /no such model/ }],
    'a message with a code': [response => json(response, 200, { code: 1234, message: 'no such model' }), { failure: 'BOT_REFUSED', log: /no such model/ }],
    'a page with 200': [response => response.writeHead(200, { 'content-type': 'text/html' }).end('<html><h1>Please log in</h1>'), { failure: 'BOT_NONSENSE', log: /Please log in/ }],
    'a text with 200': [response => response.end('Please log in'), { failure: 'BOT_NONSENSE', log: /Please log in/ }],
    'a page with 502': [response => response.writeHead(502, { 'content-type': 'text/html' }).end('<html><h1>nginx</h1>'), { failure: 'BOT_UNREACHABLE', log: /502 .*nginx/ }],
    'an answer of another API': [response => json(response, 200, { object: 'response', output: [] }), { failure: 'BOT_NONSENSE', log: /not a chat completion: .*"object":"response"/ }],
    'an event that is not JSON': [response => stream(response, event("{'error': 'overloaded'}")).end(), { failure: 'BOT_NONSENSE', log: /not JSON: .*overloaded/ }],
    'one that is not JSON, with the key': [response => stream(response, event(`no ${KEY}`)).end(), { failure: 'BOT_NONSENSE', log: /not JSON: no …$/ }],
    'a whole one that is not JSON': [response => response.end('{"error": overloaded}'), { failure: 'BOT_NONSENSE', log: /not JSON: .*overloaded/ }],
    'an event of an error': [response => stream(response, event('the model is gone', 'error')).end(), { failure: 'BOT_REFUSED', log: /the model is gone/ }],
    'an error of two parts': [response => stream(response, event({ message: 'the model is gone' }, 'error')).end(), { failure: 'BOT_REFUSED', log: /the model is gone/ }],
    'a list with nothing in it': [response => json(response, 200, []), { failure: 'BOT_NONSENSE' }],
    'a long one': [response => json(response, 400, { error: 'x '.repeat(200_000) }), { failure: 'BOT_REFUSED', log: /^.{1000}$/ }],
    'one without an end': [response => response.writeHead(400).write('no, because'), { failure: 'BOT_REFUSED', log: /no, because/ }],
    'a deep one': [response => json(response, 400, JSON.parse('{"a":'.repeat(50) + '"stream_options is not supported"' + '}'.repeat(50))), { failure: 'BOT_REFUSED' }]
  }
  for (const [what, [answer, expected]] of Object.entries(cases)) {
    write = answer
    t.match(await ask(), expected, what)
  }
  const redact = createRedaction([KEY])
  const began = performance.now()
  t.match(redact(`gone ${'x'.repeat(8_000_000)}`), /^gone x{995}$/, 'an error as long as an answer may be')
  isPrompt(t, began, 100, 'a long error is shortened before it is searched for the key')
  t.match(redact(`${'&#x78;'.repeat(990)}${[...KEY].map(character => `&#x${character.charCodeAt(0).toString(16)};`).join('')}`), '…', 'a key that is cut off at the end')
  const short = await serve(t, response => json(response, 400, { error: 'anything goes, any key' }), { OPENAI_API_KEY: 'any' })
  t.match((await short.ask()).log, /anything goes, … key/)
})

t.test('the history alternates, begins and ends with the user, and has no blank turn, cut at every budget', async t => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  t.comment(`seed ${seed}`)
  const random = randomOf(seed)
  const pick = <T>(list: T[]): T => list[Math.floor(random() * list.length)]!
  const tokens = createTokenCounter(text => text.split(/\s+/).length)
  for (let round = 0; round < 400; round++) {
    const people = pick([['ann'], ['ann', 'bob'], ['ann', null]])
    const bots = pick([['assistant'], ['assistant', 'other'], ['other'], ['assistant', null]])
    // Messages of every status: stopped, failed, interrupted and deleted ones may have a part of their text or none.
    const turns = Array.from({ length: Math.floor(random() * 20) }, (_, n): Turn => {
      const sender = pick<'user' | 'bot'>(['user', 'user', 'bot', 'bot', 'bot'])
      return { sender, name: pick<string | null>(sender === 'user' ? people : bots), text: pick([`word${n}`, `word${n} `.repeat(Math.ceil(random() * 30)), '', ' \n', '\u200b']) }
    })
    const all = linesOf(turns, 'assistant')
    const question = turns.filter(({ sender, text }) => sender === 'user' && /word/.test(text)).at(-1)
    const isOk = (lines: typeof all) => lines.length === 0 ? all.length === 0 : isInOrder(lines.map(line => ({ ...line })), [])
    if (!isOk(all)) t.fail(`seed ${seed}, round ${round}`)
    for (let budget = 0; budget < 600; budget = budget < 40 ? budget + 1 : Math.ceil(budget * 1.3)) {
      const { lines, tokens: used } = await fit(turns, budget, 'assistant', tokens)
      if (!isOk(lines)) t.fail(`seed ${seed}, round ${round}, budget ${budget}: out of order`)
      if (question !== undefined && !lines.some(({ content }) => content.includes(question.text))) t.fail(`seed ${seed}, round ${round}, budget ${budget}: without the question`)
      if (used > budget && lines.length > 1) t.fail(`seed ${seed}, round ${round}, budget ${budget}: over budget`)
    }
    const { lines } = await fit(turns, 100_000, 'assistant', tokens)
    if (JSON.stringify(lines) !== JSON.stringify(all)) t.fail(`seed ${seed}, round ${round}: something was left out`)
  }
  t.same(linesOf([user('one'), user('two'), { sender: 'bot', name: 'assistant', text: 'three' }, { sender: 'bot', name: null, text: 'four' }, user('five', 'bob')], 'assistant'),
    [{ role: 'user', content: 'ann: one\n\nann: two' }, { role: 'assistant', content: 'three\n\nfour' }, { role: 'user', content: 'bob: five' }])
  const nobody = await serve(t, response => say(response, 'well'))
  t.match(await nobody.ask({}, [{ sender: 'bot', name: 'assistant', text: 'Hello!' }]), { failure: 'BOT_NONSENSE', asked: 0 }, 'a history without a question')
  t.match(await nobody.ask({}, [{ sender: 'bot', name: 'other', text: 'Hello!' }]), { text: 'well' }, 'a bot can answer another bot')
})

t.test('a reply can be stopped at any time, which closes the connection to the provider', async t => {
  let write: Answer = () => {}
  let gone: Promise<unknown> = Promise.resolve()
  const { stopAfter } = await serve(t, (response, body) => { gone = once(response, 'close'); return write(response, body) }, { OPENAI_MODEL: 'gpt-4.1-mini' })
  write = response => stream(response, event(chunk({ content: 'one' })), event(chunk({ content: 'two' })))
  t.equal(await stopAfter(1), 'one')
  await gone
  t.pass('the connection is closed')
})

/** Numbers that look random and are the same for a seed. @see https://prng.di.unimi.it/splitmix64.c, in 32 bits */
function randomOf (seed: number) {
  let state = seed
  return () => {
    state = (state + 0x9e3779b9) | 0
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32
  }
}
