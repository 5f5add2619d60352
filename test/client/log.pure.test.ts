import t from 'tap'
import { EMPTY, withChanges, withDelta, withOlder, type Log } from '../../client/log.ts'

// How a client keeps the messages of a conversation up to date.

type Message = Log['messages'][number]
const said = (id: number, rev: number, text: string, status: Message['status'] = 'complete'): Message =>
  ({ id, rev, text, status, sender: 'bot', username: 'slow', created_at: '2026-11-21T10:00:00.000Z' })

t.test('changes may arrive late, twice and in any order: the page shows the same messages', async t => {
  const history = [said(1, 1, 'a'), said(2, 2, 'b'), said(3, 3, 'c'), said(2, 4, 'b, edited'), said(1, 5, '', 'deleted'), said(4, 6, 'd', 'streaming'), said(4, 7, 'd.')]
  const shown = ({ messages }: Log) => messages.map(({ id, text, status }) => `${id} ${text} ${status}`)
  const expected = ['1  deleted', '2 b, edited complete', '3 c complete', '4 d. complete']
  for (let round = 0; round < 200; round++) {
    const shuffled = [...history, ...history].map(change => ({ change, at: Math.random() })).sort((a, b) => a.at - b.at)
    t.same(shown(shuffled.reduce((log, { change }) => withChanges(log, [change]), EMPTY)), expected)
  }
})

t.test('changes to messages older than the loaded ones are ignored until the older messages are loaded', async t => {
  const newest: Log = { messages: [said(51, 51, 'x')], rev: 51, hasOlder: true }
  const changed = withChanges(newest, [said(3, 52, 'edited'), said(52, 53, 'y')])
  t.same(changed.messages.map(({ id }) => id), [51, 52])
  const older = withOlder(changed, [said(3, 52, 'edited'), said(51, 51, 'x')], false)
  t.same(older.messages.map(({ id }) => id), [3, 51, 52])
  t.same(withChanges({ ...EMPTY, hasOlder: true }, [said(1, 1, 'a')]).messages.length, 1)
})

t.test('a delta extends its reply, and is refused when earlier text is missing', async t => {
  const log = withChanges(EMPTY, [said(1, 1, 'One', 'streaming')])
  const textAfter = (delta: { id: number, offset: number, text: string }) => withDelta(log, delta)?.messages[0]!.text
  t.equal(textAfter({ id: 1, offset: 3, text: ', two' }), 'One, two')
  t.equal(textAfter({ id: 1, offset: 2, text: 'e, two' }), 'One, two', 'a part of the delta was there already')
  t.equal(textAfter({ id: 1, offset: 0, text: 'On' }), 'One', 'all of the delta was there already')
  t.equal(textAfter({ id: 1, offset: 4, text: 'two' }), undefined)
  t.equal(textAfter({ id: 2, offset: 0, text: 'Two' }), undefined)
  const newest = { ...log, messages: [said(5, 5, 'Five')], hasOlder: true }
  t.equal(withDelta(newest, { id: 1, offset: 4, text: 'two' }), newest, 'a reply that is older than the loaded messages')
  t.equal(withDelta(newest, { id: 6, offset: 0, text: 'Six' }), undefined)
  const thinking = [
    { id: 1, part: 1, type: 'reasoning' as const, offset: 0, text: 'Three?' }, { id: 1, part: 2, offset: 0, text: ' Three' }, { id: 1, part: 1, type: 'reasoning' as const, offset: 6, text: ' Yes' }
  ].reduce<Log>((log, delta) => withDelta(log, delta)!, log)
  t.match(thinking.messages[0], { text: 'One Three', parts: [{ type: 'text', text: 'One' }, { type: 'reasoning', text: 'Three? Yes' }, { type: 'text', text: ' Three' }] })
  t.same(withDelta(withChanges(EMPTY, [said(1, 1, '', 'streaming')]), { id: 1, type: 'reasoning', offset: 0, text: 'Hm' })?.messages[0], { ...said(1, 1, '', 'streaming'), parts: [{ type: 'reasoning', text: 'Hm' }] })
  t.equal(withDelta(log, { id: 1, part: 2, offset: 0, text: 'x' }), undefined, 'a part before it is missing')
  t.same(withChanges(thinking, [said(1, 1, 'One Three', 'streaming')]).messages, thinking.messages, 'of two messages with the same rev, the one with more reasoning stays')
  t.equal(withChanges(log, [said(1, 1, 'On', 'streaming')]).messages[0]!.text, 'One', 'of two texts with the same rev, the longer one stays')
})
