import t from 'tap'
import { createUiWire } from '../../../src/channels/ai-sdk/ui-stream.ts'
import type { Message } from '../../../src/log/message.ts'

const created_at = new Date('2026-11-28T09:30:00Z')
const reply = (text: string, more: Partial<Message> = {}): Message => ({ id: 2, rev: 2, sender: 'bot', username: 'assistant', text, status: 'streaming', created_at, ...more })

/** The chunks of a stream, in short. */
function chunksOf (text: string) {
  return text.split('\n\n').slice(0, -1).map(block => {
    t.ok(block.startsWith('data: '))
    const data = block.slice('data: '.length)
    if (data === '[DONE]') return data
    const { type, id, delta, ...rest } = JSON.parse(data)
    const more = Object.keys(rest).length === 0 ? '' : ` ${JSON.stringify(rest)}`
    return `${type}${id === undefined ? '' : ` ${id}`}${delta === undefined ? '' : `: ${delta}`}${more}`
  })
}

const START = `start {"messageId":"m2","messageMetadata":{"id":2,"rev":2,"username":"assistant","created_at":"${created_at.toISOString()}"}}`

t.test('a reply that grows', async t => {
  const wire = createUiWire(2)
  t.equal(wire.message(reply('', { status: 'queued' })), '', 'nothing while it waits')
  t.same(chunksOf(wire.message(reply(''))), [START, 'start-step'])
  t.same(chunksOf(wire.delta({ id: 2, offset: 0, text: 'One' })), ['text-start t1', 'text-delta t1: One'])
  t.same(chunksOf(wire.delta({ id: 2, offset: 3, text: ' two' })), ['text-delta t1:  two'])
  t.equal(wire.delta({ id: 2, offset: 0, text: 'One two' }), '', 'what is known is not said again')
  t.same(chunksOf(wire.message(reply('One two three', { status: 'complete', rev: 3 }))), [
    'text-delta t1:  three', 'text-end t1', 'finish-step', 'finish {"finishReason":"stop","messageMetadata":{"rev":3,"status":"complete"}}', '[DONE]'
  ])
})

t.test('a reply that is found in the middle, and one that is there at once', async t => {
  const wire = createUiWire(2)
  t.same(chunksOf(wire.message(reply('One'))), [START, 'start-step', 'text-start t1', 'text-delta t1: One'])
  t.same(chunksOf(createUiWire(2).message(reply('Hi', { status: 'complete' }))).slice(1, 5), ['start-step', 'text-start t1', 'text-delta t1: Hi', 'text-end t1'])
  t.same(chunksOf(createUiWire(2).message(reply('', { status: 'complete' }))).slice(1, 3), ['start-step', 'finish-step'], 'without a text')
})

t.test('other messages say nothing', async t => {
  const wire = createUiWire(2)
  t.equal(wire.message(reply('Not this', { id: 3 })), '')
  t.equal(wire.delta({ id: 2, offset: 0, text: 'Too early' }), '')
  wire.message(reply(''))
  t.equal(wire.delta({ id: 3, offset: 0, text: 'Not this' }), '')
})

t.test('how a reply may end', async t => {
  const end = (more: Partial<Message>) => chunksOf(createUiWire(2).message(reply('One', more))).slice(5)
  for (const status of ['stopped', 'interrupted', 'deleted'] as const) {
    t.same(end({ status }), ['finish-step', `abort {"reason":"${status}"}`, `finish {"finishReason":"other","messageMetadata":{"rev":2,"status":"${status}"}}`, '[DONE]'])
  }
  t.same(end({ status: 'failed', failure: 'BOT_SILENT' }), [
    'finish-step', 'message-metadata {"messageMetadata":{"rev":2,"status":"failed","failure":"BOT_SILENT"}}', 'error {"errorText":"The bot\'s provider took too long."}', '[DONE]'
  ])
  t.same(chunksOf(createUiWire(2).broken), ['error {"errorText":"The connection was closed before the reply had ended, please load the chat again"}', '[DONE]'])
})

t.test('a text that is taken back is followed by the right one, in a part of its own', async t => {
  const wire = createUiWire(2)
  wire.message(reply('I think'))
  t.same(chunksOf(wire.message(reply('Yes', { status: 'complete' }))).slice(0, 4), ['text-end t1', 'text-start t2', 'text-delta t2: Yes', 'text-end t2'])
})

t.test('a reply that is generated again begins a part of its own, and none of its pieces is taken for one that was sent', async t => {
  const wire = createUiWire(2)
  wire.message(reply('One'))
  t.equal(wire.message(reply('', { rev: 4 })), '')
  t.same(chunksOf(wire.delta({ id: 2, offset: 0, text: 'Two' })), ['text-end t1', 'text-start t2', 'text-delta t2: Two'])
  t.same(chunksOf(wire.message(reply('Two three', { rev: 5, status: 'complete' }))).slice(0, 2), ['text-delta t2:  three', 'text-end t2'])
})

t.test('reasoning, sources, choices and data', async t => {
  const [thought, said] = [{ type: 'reasoning' as const, text: 'They greet.' }, { type: 'text' as const, text: 'Well' }]
  const others = [
    { type: 'source' as const, url: 'https://example.com', title: 'A' }, { type: 'choices' as const, choices: [{ id: 'y', title: 'Yes' }] }, { type: 'data' as const, name: 'card', data: { a: 1 } }
  ]
  const wire = createUiWire(2)
  wire.message(reply(''))
  t.same(chunksOf(wire.delta({ id: 2, type: 'reasoning', offset: 0, text: 'They ' })), ['reasoning-start r1', 'reasoning-delta r1: They '])
  t.same(chunksOf(wire.delta({ id: 2, type: 'reasoning', offset: 5, text: 'greet.' })), ['reasoning-delta r1: greet.'])
  t.same(chunksOf(wire.delta({ id: 2, part: 1, offset: 0, text: 'We' })), ['reasoning-end r1', 'text-start t2', 'text-delta t2: We'])
  t.same(chunksOf(wire.message(reply('Well', { parts: [thought, said, ...others], status: 'complete' }))).slice(0, -2), [
    'text-delta t2: ll', 'text-end t2', 'source-url {"sourceId":"s2","url":"https://example.com","title":"A"}', 'data-choices {"data":[{"id":"y","title":"Yes"}]}', 'data-card {"data":{"a":1}}', 'finish-step'
  ])
  const found = createUiWire(2)
  t.same(chunksOf(found.message(reply('', { parts: [thought] }))).slice(2), ['reasoning-start r1', 'reasoning-delta r1: They greet.'])
  t.same(chunksOf(found.message(reply('Well', { parts: [thought, said] }))), ['reasoning-end r1', 'text-start t2', 'text-delta t2: Well'])

  const mistaken = createUiWire(2)
  mistaken.message(reply('They greet'))
  mistaken.delta({ id: 2, part: 1, type: 'reasoning', offset: 0, text: 'They greet.' })
  mistaken.delta({ id: 2, part: 2, offset: 0, text: 'Well' })
  t.same(chunksOf(mistaken.message(reply('Well', { parts: [thought, said], status: 'complete' })))[0], 'text-end t3', 'what was sent already is not sent again when a text before it is taken back')
})

t.test('a piece that continues a part which this stream counts differently is sent whole', async t => {
  const wire = createUiWire(2)
  wire.message(reply('', { parts: [{ type: 'text', text: '' }, { type: 'reasoning', text: 'They' }] }))
  t.same(chunksOf(wire.delta({ id: 2, part: 1, type: 'reasoning', offset: 4, text: ' greet' })), ['reasoning-end r1', 'reasoning-start r2', 'reasoning-delta r2:  greet'])
})
