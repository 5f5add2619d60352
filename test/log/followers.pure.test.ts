import t from 'tap'
import { createEvents } from '../../src/log/followers.ts'
import { silent } from '../support/constants.ts'

// Followers of a conversation (sockets and event streams), without a database.

t.test('a follower that leaves during a read does not keep others from getting the messages', async t => {
  const asked: number[][] = []
  let go = () => {}
  const feeds = {
    news: async (places: Array<{ conversation: number, after: number }>) => {
      asked.push(places.map(({ conversation }) => conversation))
      if (places.some(({ after }) => !Number.isSafeInteger(after))) throw new Error('invalid input syntax for type bigint: "Infinity"')
      if (asked.length === 1) await new Promise<void>(resolve => { go = resolve })
      return []
    },
    stale: async () => []
  }
  const warned: unknown[] = []
  const events = createEvents({ publish: async () => {}, subscribe () {} }, feeds, { warn: (...args: unknown[]) => { warned.push(args) } } as never)
  const follower = () => ({ user: 1, after: 0, hear () {}, leave () {} })
  events.follow(1, follower())
  const leave = [events.follow(1, { ...follower(), leave () { t.fail('the follower was disconnected, although it did not leave') } }), events.follow(2, follower())]
  for (const each of leave) each()
  go()
  await events.settle()
  t.same(warned, [])
  t.same(asked[0], [1])
})

t.test('a follower that does not have the reply yet gets its text when it is stored', async t => {
  const read: number[][] = []
  const nothing = { lastRev: 0, members: new Set([1]), changes: [], more: false, streaming: [] }
  const feeds = {
    news: async (places: Array<{ conversation: number }>) => {
      read.push(places.map(({ conversation }) => conversation))
      return places.map(({ conversation }) => ({ ...nothing, conversation }))
    },
    stale: async () => []
  }
  const events = createEvents({ publish: async () => {}, subscribe () {} }, feeds, silent)
  const leave = events.follow(1, { user: 1, after: 0, hear () {}, grow () {}, leave () {} })
  await events.settle()
  events.stored([{ conversation: 1, id: 2, lengths: [10] }, { conversation: 2, id: 2, lengths: [10] }])
  await events.settle()
  t.same(read, [[1], [1]])
  leave()
})

t.test('a follower gets each part of a reply in order, and of each what it lacks', async t => {
  const feeds = { news: async () => [], stale: async () => [] }
  const events = createEvents({ publish: async () => {}, subscribe () {} }, feeds, silent)
  const deltas: object[] = []
  const follower = { user: 1, after: 0, heard: new Map([[2, [3]]]), hear () {}, grow (delta: object) { deltas.push(delta) }, leave () {} }
  events.follow(1, follower)
  const grew = (part: number, type: 'text' | 'reasoning', text: string, piece: string, before = 0) => events.grew({ conversation: 1, id: 2 }, { part, type, text, piece, before })
  grew(2, 'text', 'Well', 'Well', 2)
  t.same(deltas, [], 'the part before it is not known yet')
  grew(0, 'text', 'One', 'e')
  t.same(deltas, [], 'nothing new')
  grew(1, 'reasoning', 'Hm', 'Hm', 4)
  t.same(deltas, [], 'the part before it is not known to its end')
  grew(1, 'reasoning', 'Hm', 'Hm', 3)
  grew(2, 'text', 'Well', 'l', 2)
  grew(0, 'text', 'One two', ' two')
  t.same(deltas, [
    { id: 2, part: 1, type: 'reasoning', offset: 0, text: 'Hm' }, { id: 2, part: 2, offset: 0, text: 'Well' }, { id: 2, offset: 3, text: ' two' }
  ])
  t.same([...follower.heard], [[2, [7, 2, 4]]])
  await events.settle()
})
