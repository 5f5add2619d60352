import t from 'tap'
import { createAgUiWire } from '../../../src/channels/ag-ui/wire.ts'
import type { Message } from '../../../src/log/message.ts'
import { eventsIn } from '../../support/ag-ui.ts'

const created_at = new Date('2026-11-28T09:30:00Z')
const reply = (text: string, more: Partial<Message> = {}): Message => ({ id: 2, rev: 2, sender: 'bot', username: 'assistant', text, status: 'streaming', created_at, ...more })
const wireFor = (...replies: number[]) => createAgUiWire({ threadId: 'thread', runId: 'run', replies })

/** The events of a stream, in short. */
const short = (text: string) => eventsIn(text).map(({ type, messageId, delta, ...rest }) => {
  const { threadId, runId, role, protocolVersion, ...more } = rest as Record<string, unknown>
  return [type, messageId, delta, ...Object.keys(more).length > 0 ? [JSON.stringify(more)] : []].filter(part => part !== undefined).join(' ')
})

t.test('a reply that grows', async t => {
  const wire = wireFor(2)
  t.same(short(wire.begin!), ['RUN_STARTED'])
  t.equal(wire.message(reply('', { status: 'queued' })), '', 'nothing while it waits')
  t.equal(wire.message(reply('')), '', 'nor before its first text')
  t.same(short(wire.delta({ id: 2, offset: 0, text: 'One' })), ['TEXT_MESSAGE_START m2 {"name":"assistant"}', 'TEXT_MESSAGE_CONTENT m2 One'])
  t.same(short(wire.delta({ id: 2, offset: 3, text: ' two' })), ['TEXT_MESSAGE_CONTENT m2  two'])
  t.equal(wire.delta({ id: 2, offset: 0, text: 'One two' }), '', 'what is known is not said again')
  t.same(short(wire.message(reply('One two three', { status: 'complete' }))), ['TEXT_MESSAGE_CONTENT m2  three', 'TEXT_MESSAGE_END m2', 'RUN_FINISHED'])
  t.equal(wire.message(reply('Later', { status: 'complete' })), '', 'nothing follows the end')
  t.equal(wire.delta({ id: 2, offset: 13, text: '!' }), '')
})

t.test('other messages say nothing, and a bot without a name has none', async t => {
  const wire = wireFor(2)
  t.equal(wire.message(reply('Not this', { id: 3 })), '')
  t.equal(wire.delta({ id: 3, offset: 0, text: 'Not this' }), '')
  t.same(short(wire.message(reply('This', { username: null }))), ['TEXT_MESSAGE_START m2', 'TEXT_MESSAGE_CONTENT m2 This'])
})

t.test('how a run may end', async t => {
  const end = (more: Partial<Message>) => short(wireFor(2).message(reply('One', more))).slice(2)
  t.same(end({ status: 'complete' }), ['TEXT_MESSAGE_END m2', 'RUN_FINISHED'])
  for (const status of ['stopped', 'interrupted', 'deleted'] as const) t.same(end({ status }), ['TEXT_MESSAGE_END m2', 'RUN_FINISHED {"outcome":{"type":"cancelled"}}'])
  t.same(end({ status: 'failed', failure: 'BOT_SILENT' }), ['TEXT_MESSAGE_END m2', 'RUN_ERROR {"message":"The bot\'s provider took too long.","code":"BOT_SILENT"}'])
  t.same(short(wireFor(2).broken), ['RUN_ERROR {"message":"The connection was closed before the reply had ended, please load the chat again","code":"UNAVAILABLE"}'])
  t.same(short(wireFor().begin!), ['RUN_STARTED', 'RUN_FINISHED'], 'without a reply')
})

t.test('of several replies, the first failure is told when all have ended', async t => {
  const wire = wireFor(2, 3, 4)
  t.same(short(wire.message(reply('', { status: 'failed', failure: 'BOT_SILENT' }))), [])
  t.same(short(wire.message(reply('Two', { id: 3, status: 'failed', failure: 'BOT_REFUSED' }))).at(-1), 'TEXT_MESSAGE_END m3')
  t.match(short(wire.message(reply('', { id: 4, status: 'stopped' }))), [/^RUN_ERROR .*BOT_SILENT/])
})

t.test('a text that is taken back is followed by the right one, in a message of its own', async t => {
  const wire = wireFor(2)
  wire.message(reply('I think'))
  t.same(short(wire.message(reply(''))), ['TEXT_MESSAGE_END m2'])
  t.same(short(wire.message(reply('Yes', { status: 'complete' }))), ['TEXT_MESSAGE_START m2.2 {"name":"assistant"}', 'TEXT_MESSAGE_CONTENT m2.2 Yes', 'TEXT_MESSAGE_END m2.2', 'RUN_FINISHED'])
})

const thought = (nth: number, ...pieces: string[]) => [`REASONING_START m2.r${nth}`, `REASONING_MESSAGE_START m2.r${nth}`, ...pieces.map(piece => `REASONING_MESSAGE_CONTENT m2.r${nth} ${piece}`)]
const endOf = (nth: number) => [`REASONING_MESSAGE_END m2.r${nth}`, `REASONING_END m2.r${nth}`]

t.test('reasoning is no part of the text, which goes on after it', async t => {
  const wire = wireFor(2)
  wire.message(reply(''))
  t.same(short(wire.delta({ id: 2, part: 0, type: 'reasoning', offset: 0, text: 'They' })), thought(1, 'They'))
  t.same(short(wire.delta({ id: 2, part: 0, type: 'reasoning', offset: 2, text: 'ey greet' })), ['REASONING_MESSAGE_CONTENT m2.r1  greet'])
  t.same(short(wire.delta({ id: 2, part: 1, offset: 0, text: 'Well' })), [...endOf(1), 'TEXT_MESSAGE_START m2 {"name":"assistant"}', 'TEXT_MESSAGE_CONTENT m2 Well'])
  t.same(short(wire.delta({ id: 2, part: 2, type: 'reasoning', offset: 0, text: 'And?' })), thought(2, 'And?'))
  t.same(short(wire.delta({ id: 2, part: 3, offset: 0, text: ' then' })), [...endOf(2), 'TEXT_MESSAGE_CONTENT m2  then'])
  const parts = [{ type: 'reasoning', text: 'They greet' }, { type: 'text', text: 'Well' }, { type: 'reasoning', text: 'And?' }, { type: 'text', text: ' then' }, { type: 'choices', choices: [{ id: 'y', title: 'Yes' }] }] as const
  t.same(short(wire.message(reply('Well then\n\n- Yes', { status: 'complete', parts: structuredClone(parts) as unknown as NonNullable<Message['parts']> }))), ['TEXT_MESSAGE_CONTENT m2 \n\n- Yes', 'TEXT_MESSAGE_END m2', 'RUN_FINISHED'], 'the text says choices in words')
})

t.test('a reply with reasoning that is followed later, in the order of its parts', async t => {
  const wire = wireFor(2)
  const partsWith = (last: string): Partial<Message> => ({ parts: [{ type: 'reasoning', text: 'They greet' }, { type: 'text', text: 'Well' }, { type: 'reasoning', text: last }] })
  const before = reply('Well', partsWith('And'))
  t.same(short(wire.message(before)), [...thought(1, 'They greet'), ...endOf(1), 'TEXT_MESSAGE_START m2 {"name":"assistant"}', 'TEXT_MESSAGE_CONTENT m2 Well', ...thought(2, 'And')])
  t.equal(wire.message(before), '', 'nothing twice')
  t.same(short(wire.delta({ id: 2, part: 2, type: 'reasoning', offset: 3, text: ' now?' })), ['REASONING_MESSAGE_CONTENT m2.r2  now?'])
  t.same(short(wire.message(reply('Well', { ...partsWith('And now?'), status: 'stopped' }))), [...endOf(2), 'TEXT_MESSAGE_END m2', 'RUN_FINISHED {"outcome":{"type":"cancelled"}}'])
})

t.test('a piece that continues a part which this stream counts differently is sent whole', async t => {
  const wire = wireFor(2)
  wire.message(reply('', { parts: [{ type: 'text', text: '' }, { type: 'reasoning', text: 'They' }] }))
  t.same(short(wire.delta({ id: 2, part: 1, type: 'reasoning', offset: 4, text: ' greet' })), [...endOf(1), ...thought(2, ' greet')])
})

t.test('reasoning that is taken back, because it was the text', async t => {
  const wire = wireFor(2)
  wire.delta({ id: 2, part: 0, type: 'reasoning', offset: 0, text: 'One' })
  t.same(short(wire.message(reply('Two', { parts: [{ type: 'reasoning', text: 'Two?' }, { type: 'text', text: 'Two' }] }))),
    [...endOf(1), ...thought(2, 'Two?'), ...endOf(2), 'TEXT_MESSAGE_START m2 {"name":"assistant"}', 'TEXT_MESSAGE_CONTENT m2 Two'])
  t.same(short(wire.message(reply('Two', { status: 'complete', parts: [{ type: 'text', text: 'Two' }] }))), ['TEXT_MESSAGE_END m2', 'RUN_FINISHED'])
})
