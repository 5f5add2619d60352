import t from 'tap'
import { createChunks } from '../../client/ai-sdk/chunks.ts'
import type { Message } from '../../client/index.ts'

// The states of a reply as the chunks of the AI SDK.

const reply = (changes: Partial<Message>): Message =>
  ({ id: 2, rev: 2, sender: 'bot', username: 'slow', text: '', status: 'streaming', created_at: '2026-11-21T10:00:00.000Z', ...changes })

t.test('each state gives what is new', async t => {
  const chunksOf = createChunks()
  t.same(chunksOf(reply({ status: 'queued' })), { chunks: [], hasEnded: false })
  t.match(chunksOf(reply({})), { chunks: [{ type: 'start', messageId: 'm2' }, { type: 'start-step' }], hasEnded: false })
  t.match(chunksOf(reply({ text: 'One' })).chunks, [{ type: 'text-start', id: 'p0' }, { type: 'text-delta', delta: 'One' }])
  t.same(chunksOf(reply({ text: 'One' })).chunks, [])
  const parts = [{ type: 'text', text: 'One two' }, { type: 'source', url: 'https://example.com/' }, { type: 'unknown' }] as Message['parts']
  const { chunks, hasEnded } = chunksOf(reply({ rev: 3, text: 'One two', parts, status: 'complete' }))
  t.same(chunks.map(({ type }) => type), ['text-delta', 'text-end', 'source-url', 'finish-step', 'finish'], 'a part of an unknown type is left out')
  t.ok(hasEnded)
})

t.test('a reply that begins again cannot be shown in the same stream', async t => {
  const chunksOf = createChunks()
  chunksOf(reply({ text: 'One' }))
  t.match(chunksOf(reply({ rev: 3, text: 'Other' })), { chunks: [{ type: 'error', errorText: String }], hasEnded: true })
})

t.test('at its end a reply may turn out to have other parts: those that were not sent follow', async t => {
  const short = ({ chunks }: ReturnType<ReturnType<typeof createChunks>>) => chunks.map(({ type, ...chunk }) => 'delta' in chunk ? `${type} ${chunk.id}: ${chunk.delta}` : 'id' in chunk ? `${type} ${chunk.id}` : type)
  const [thought, text] = [{ type: 'reasoning' as const, text: 'Well' }, { type: 'text' as const, text: 'Well, yes' }]

  const thinking = createChunks()
  thinking(reply({ parts: [thought] }))
  t.same(short(thinking(reply({ text: 'Well, yes', parts: [thought, text] }))), ['reasoning-end p0', 'text-start p1', 'text-delta p1: Well, yes'])
  t.same(short(thinking(reply({ rev: 3, text: 'Well, yes', status: 'complete' }))), ['text-end p1', 'finish-step', 'finish'], 'the reasoning was the text')

  const talking = createChunks()
  talking(reply({ text: 'Well' }))
  t.same(short(talking(reply({ rev: 3, text: 'Yes', parts: [thought, { type: 'text', text: 'Yes' }], status: 'complete' }))),
    ['text-end p0', 'reasoning-start p1', 'reasoning-delta p1: Well', 'reasoning-end p1', 'text-start p2', 'text-delta p2: Yes', 'text-end p2', 'finish-step', 'finish'], 'the text was reasoning')
})

t.test('a reply without a word', async t => {
  t.same(createChunks()(reply({ status: 'stopped' })).chunks.map(({ type }) => type), ['start', 'start-step', 'finish-step', 'finish'])
})
