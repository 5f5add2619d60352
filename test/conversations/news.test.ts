import t from 'tap'
import http from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import { createTidyStore } from '../../src/accounts/tidy-store.ts'
import { createNews } from '../../src/conversations/news/news.ts'
import { createNewsStore } from '../../src/conversations/news/store.ts'
import { migrateUp } from '../../src/db/migrate.ts'
import { API_KEY, run, silent, type Client } from '../support/helper.ts'
import { connect, CUT, startLive, type Server } from '../support/live.ts'
import { openNewsSocket, openNewsStream, WAYS, type Listed, type Reader } from '../support/news.ts'
import { startPostgres } from '../support/postgres.ts'
import { connect as openConnection, until } from '../support/process.ts'
import { auth, startTwo } from '../support/socket-users.ts'

// News by user: what happens in somebody's conversations, over event streams and sockets.

/** Creates a conversation without bots, unless there are others in `more`, and lets users in. */
async function begin (client: Client, name: string, { users = [], ...more }: { users?: string[], [field: string]: unknown } = {}): Promise<number> {
  const { id } = (await client.post('/api/conversations', { name, bots: [], ...more })).json()
  for (const username of users) await client.post(at(id, '/users'), { username })
  return id
}

const at = (id: number, rest = '') => `/api/conversations/${id}${rest}`
const say = async (client: Client, id: number, text: string) => (await client.post(at(id, '/messages'), { text })).json() as Array<{ id: number, rev: number }>
const invite = async (client: Client, id: number, username: string) => (await client.post(at(id, '/users'), { username })).json().id as number
const listed = async (client: Client, id: number) => (await client.get('/api/conversations')).json().find((one: { id: number }) => one.id === id)
const saysLast = (text: string) => ({ newest }: Listed) => newest?.text === text

/** What a list has of each conversation, from the news or from the API. */
const rowsOf = (reader: Reader) => [...reader.shown.values()].map(({ id, name, unread, newest }) => ({ id, name, unread, text: newest?.text })).sort((a, b) => a.id - b.id)
const listOf = async (client: Client) => ((await client.get('/api/conversations?messages=1&limit=200')).json() as Array<{ id: number, name: string, unread: number, messages: Array<{ text: string }> }>)
  .map(({ id, name, unread, messages }) => ({ id, name, unread, text: messages[0]?.text })).sort((a, b) => a.id - b.id)

/**
 * The news that differ from those before. A transaction that runs while a cursor is made, also in another database of the
 * same Postgres, makes the cursor begin earlier, so that states may come again.
 */
function newIn (told: Reader['told'], before: Reader['told']) {
  const last = new Map(before.map(({ event, data }) => [data.id, { event, data }]))
  return told.filter(({ event, data }) => event === 'ready' || !isDeepStrictEqual({ event, data }, last.get(data.id)))
}

for (const [way, openNews] of Object.entries(WAYS)) {
  t.test(`every kind of news over ${way}`, async t => {
    const server = await startLive(t)
    const [ann, bob, eve] = [await server.as('ann'), await server.as('bob'), await server.as('eve')]
    const anns = await openNews(t, server, ann)
    const bobs = await openNews(t, server, bob)
    const eves = await openNews(t, server, eve)
    t.match(anns.told, [{ event: 'ready', data: { reset: true, cursor: anns.cursor } }], 'without a cursor it begins at the present')

    const id = await begin(ann, 'Plans', { client_id: 'mine', metadata: { colour: 'red' } })
    const { data } = await anns.has(id, () => true)
    t.match(data, { id, name: 'Plans', last_rev: 0, read_rev: 0, unread: 0, members: 1, newest: null, client_id: 'mine', metadata: { colour: 'red' } }, 'it is new')
    t.match(data.last_updated, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

    const bobId = await invite(ann, id, 'bob')
    t.match((await bobs.has(id, () => true)).data, { name: 'Plans', members: 2, unread: 0, newest: null }, 'somebody is let in')
    t.notOk('client_id' in bobs.of(id)[0]!.data, 'the owner’s own id is for the owner')
    await anns.has(id, ({ members }) => members === 2)

    await say(ann, id, 'Hello, Bob')
    t.match((await bobs.has(id, saysLast('Hello, Bob'))).data, { unread: 1, last_rev: 1, newest: { id: 1, rev: 1, sender: 'user', username: 'ann', status: 'complete' } })
    t.match((await anns.has(id, saysLast('Hello, Bob'))).data, { unread: 0, read_rev: 1 }, 'one’s own message is read')
    t.match(await listed(bob, id), { unread: 1 })
    t.match((await bob.get(at(id))).json(), { unread: 1 })

    await ann.put(at(id, '/messages/1'), { text: 'Hello, Bob!' })
    t.match((await bobs.has(id, saysLast('Hello, Bob!'))).data, { unread: 1, last_rev: 2 }, 'an edit changes what is newest, and is not one more unread message')

    await bob.put(at(id, '/read'), { rev: 2 })
    t.match((await bobs.has(id, ({ unread }) => unread === 0)).data, { read_rev: 2 }, 'it is read, which other devices learn')
    t.match((await ann.get(at(id, '/users'))).json(), [{ username: 'ann', read_rev: 1 }, { username: 'bob', read_rev: 2 }])

    await ann.patch(at(id), { name: 'Better plans' })
    await bobs.has(id, ({ name }) => name === 'Better plans')
    await ann.delete(at(id, '/messages/1'))
    await bobs.has(id, ({ newest }) => newest === null)

    await ann.delete(at(id, `/users/${bobId}`))
    t.same((await bobs.has(id, null)).data, { id }, 'Bob was removed')
    t.match((await anns.has(id, ({ members }) => members === 1)).data, { name: 'Better plans' })
    const before = bobs.of(id).length
    await say(ann, id, 'Without Bob')
    await anns.has(id, saysLast('Without Bob'))

    await invite(ann, id, 'bob')
    t.match((await bobs.has(id, ({ members }) => members === 2)).data, { unread: 1, newest: { text: 'Without Bob' } }, 'Bob is back, and has not read what was said meanwhile')
    t.equal(bobs.of(id).length, before + 1)
    await bob.delete(at(id, `/users/${bobId}`))
    await bobs.has(id, null)

    await ann.delete(at(id))
    t.same((await anns.has(id, null)).data, { id }, 'it was deleted')
    t.same(eves.told.map(({ event }) => event), ['ready'], 'a stranger hears nothing')
    await say(eve, await begin(eve, 'Mine'), 'Only mine')
    await until(() => eves.told.length > 1)
    t.same(anns.of(eves.told.at(-1)!.data.id), [], 'nor does anybody hear of the stranger’s')
  })

  t.test(`who was away gets everything after a cursor, over ${way}`, async t => {
    const server = await startLive(t)
    const [ann, bob] = [await server.as('ann'), await server.as('bob')]
    const beginning = (await openNews(t, server, bob)).cursor!
    const ids = await Promise.all(Array.from({ length: 6 }, (_, n) => begin(ann, `Number ${n}`)))
    const [, said, renamed, left, deleted, again] = ids as [number, number, number, number, number, number]
    for (const id of ids) await invite(ann, id, 'bob')
    const earlier = await openNews(t, server, bob, { after: beginning })
    earlier.leave()
    const toldBefore = [...earlier.told]
    const first = await openNews(t, server, bob)
    const me = (await bob.get('/api/me')).json().id
    const cursor = first.cursor!
    first.leave()

    await say(ann, said, 'While you were away')
    await ann.put(at(renamed), { name: 'Another name' })
    await bob.delete(at(left, `/users/${me}`))
    await ann.delete(at(deleted))
    await ann.delete(at(again, `/users/${me}`))
    await invite(ann, again, 'bob')
    const fresh = await begin(ann, 'New', { users: ['bob'] })
    const both = await begin(ann, 'Came and went', { users: ['bob'] })
    await ann.delete(at(both))

    for (const from of [{ after: cursor }, { lastEventId: cursor }]) {
      const bobs = await openNews(t, server, bob, from)
      t.equal(bobs.told.at(-1)!.event, 'ready')
      t.match(bobs.told.at(-1)!.data, { reset: false })
      const caughtUp = bobs.told.slice(0, -1)
      t.equal(new Set(caughtUp.map(({ data }) => data.id)).size, caughtUp.length, 'each once')
      const changed: Array<[number, string]> = [
        [said, 'conversation'], [renamed, 'conversation'], [left, 'gone'], [deleted, 'gone'], [again, 'conversation'], [fresh, 'conversation'], [both, 'gone']
      ]
      t.same(changed.map(([id]) => [id, caughtUp.find(({ data }) => data.id === id)?.event]), changed, 'all that changed')
      const others = caughtUp.filter(({ data }) => !changed.some(([id]) => id === data.id))
      t.same(newIn(others, toldBefore), [], 'and nothing else')
      t.match(bobs.shown.get(said), { unread: 1, newest: { text: 'While you were away' } })
      t.ok(bobs.told.slice(0, -1).every(({ cursor }) => cursor === undefined), 'the cursor moves when everything was sent')

      const once = await openNews(t, server, bob, { after: bobs.cursor! })
      t.same(newIn(once.told, bobs.told).map(({ event }) => event), ['ready'], 'and then nothing is left')
      once.leave()
      bobs.leave()
    }
  })

  t.test(`over ${way} a cursor is refused that cannot be continued`, async t => {
    const server = await startLive(t)
    const ann = await server.as('ann')
    await begin(ann, 'Plans')
    const { cursor } = await openNews(t, server, ann)
    const [history, xid, time] = Buffer.from(cursor!, 'base64url').toString().split(' ') as [string, string, string]
    const made = (...parts: unknown[]) => Buffer.from(parts.join(' ')).toString('base64url')
    for (const [why, after] of [
      ['none', undefined], ['not a cursor', 'x'], ['of another database', made('00000000', xid, time)], ['from the future', made(history, Number(xid) + 1_000_000, time)],
      ['too many transactions ago', made(history, Number(xid) - 2 ** 31, time)], ['30 days old', made(history, xid, Number(time) - 30 * 24 * 3600 * 1000)]
    ] as const) {
      const reader = await openNews(t, server, ann, { after })
      t.match(reader.told.map(({ event, data }) => [event, data.reset]), [['ready', true]], why)
      reader.leave()
    }
    const reader = await openNews(t, server, ann, { after: made(history, 3, time) })
    t.match(reader.told.map(({ event, data }) => [event, data.reset]), [['conversation', undefined], ['ready', false]], 'an old one that can be')
  })

  t.test(`news by ${way} on another instance, also when notifications are lost`, async t => {
    const [one, two] = await startTwo(t)
    const ann = await one.as('ann')
    const bob = await one.as('bob')
    const id = await begin(ann, 'Plans', { users: ['bob'] })
    const bobs = await openNews(t, two, bob)
    const elsewhere = two.clientOf(bob.headers)
    const everything = async (round: string) => {
      const rev = (await say(ann, id, round))[0]!.rev
      await bobs.has(id, saysLast(round))
      await bob.put(at(id, '/read'), { rev })
      await bobs.has(id, ({ read_rev: read, unread }) => read === rev && unread === 0)
      const other = await begin(ann, `Other ${round}`, { users: ['bob'] })
      await bobs.has(other, () => true)
      await ann.put(at(other), { name: `Renamed ${round}` })
      await bobs.has(other, ({ name }) => name === `Renamed ${round}`)
      await ann.delete(at(other))
      await bobs.has(other, null)
      await elsewhere.put(at(id, '/read'), { rev: rev + 1 })
    }
    await everything('with notifications')
    await one.query(CUT)
    await everything('with a LISTEN connection that was cut')
    await one.query('ALTER FUNCTION pg_notify RENAME TO pg_notify_away')
    await everything('without any')
    await one.query('ALTER FUNCTION pg_notify_away RENAME TO pg_notify')
    for (const channel of ['conversations', 'reads']) {
      for (const payload of ['text', '{}', 'null', '["a"]', '["a", null]', '["a", null, {}]', '["a", 1e99, 1]', `["a", 1e99, ${(await bob.get('/api/me')).json().id}]`]) await one.query('SELECT pg_notify($1, $2)', [channel, payload])
    }
    await everything('with invalid ones')
  })

  t.test(`the news over ${way} end with the session, and when the server closes`, async t => {
    const [one, two] = await startTwo(t)
    const ann = await one.as('ann')
    const bob = await one.as('bob')
    const readers = [await openNews(t, one, ann), await openNews(t, two, ann)]
    const others = await openNews(t, one, bob)
    const session = (await ann.get('/api/me/sessions')).json().find(({ is_current: is }: { is_current: boolean }) => is)
    await ann.delete(`/api/me/sessions/${session.id}`)
    await until(() => readers.every(({ isOver }) => isOver()))
    t.notOk(others.isOver())
    await one.app.close()
    await until(() => others.isOver())
  })
}

t.test('the event stream', async t => {
  const server = await startLive(t, { RATE_LIMITS: 'on', STREAMS_PER_USER: 2 })
  const ann = await server.as('ann')
  t.equal((await ann.get(`/api/events?after=${'x'.repeat(101)}`)).statusCode, 400)
  const stream = await openNewsStream(t, server, ann)
  t.match(stream.answer.headers, { 'content-type': /^text\/event-stream/, 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' })
  t.match(stream.raw.join(''), /^:\nretry: 1000\nid: \S+\nevent: ready\ndata: \{.*\}\n\n$/, 'the first block says when to reconnect')
  const id = await begin(ann, 'Plans')
  await stream.has(id, () => true)
  t.equal((await openNewsStream(t, server, ann)).answer.statusCode, 200)
  t.equal((await openNewsStream(t, server, ann)).answer.statusCode, 429, 'it counts as an open stream')
  t.equal((await server.anyone.get('/api/events')).statusCode, 401)
})

t.test('a socket that joins again hears each news once', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const reader = await openNewsSocket(t, server, ann)
  const before = await begin(ann, 'Before')
  await reader.has(before, () => true)
  const joins = await Promise.all([reader.socket.emitWithAck('join_news'), reader.socket.emitWithAck('join_news', { after: reader.cursor })])
  t.match(joins, [{ reset: true }, { reset: false }])
  const after = await begin(ann, 'After')
  await reader.has(after, () => true)
  await begin(ann, 'Last').then(last => reader.has(last, () => true))
  t.equal(reader.of(after).length, 1)
})

t.test('a guest has news too', async t => {
  const server = await startLive(t)
  const { token } = (await server.anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  const guest = server.clientOf({ authorization: `Bearer ${token}` })
  const stream = await openNewsStream(t, server, guest)
  await guest.post('/chat', { token, content: 'Hello' })
  const [{ id }] = (await guest.get('/api/conversations')).json()
  t.match((await stream.has(id, ({ last_rev: rev }) => rev === 3)).data, { name: 'Chat', unread: 1 })
})

t.test('what is read', async t => {
  const server = await startLive(t)
  const [ann, bob, eve] = [await server.as('ann'), await server.as('bob'), await server.as('eve')]
  const id = await begin(ann, 'Plans', { users: ['bob'] })
  const readBy = async (name: string) => (await ann.get(at(id, '/users'))).json().find(({ username }: { username: string }) => username === name).read_rev
  for (let n = 1; n <= 5; n++) await say(ann, id, `m${n}`)
  t.equal((await bob.put(at(id, '/read'), { rev: 3 })).statusCode, 204)
  t.equal((await listed(bob, id)).unread, 2)
  t.equal((await bob.put(at(id, '/read'), { rev: 1 })).statusCode, 204)
  t.equal(await readBy('bob'), 3, 'it never moves back')
  t.equal((await bob.put(at(id, '/read'), { rev: Number.MAX_SAFE_INTEGER })).statusCode, 204)
  t.equal(await readBy('bob'), 5, 'nor to what is not said yet')
  for (const rev of [-1, 1.5, '1', null, undefined]) t.equal((await bob.put(at(id, '/read'), { rev })).statusCode, 400)
  t.match((await eve.put(at(id, '/read'), { rev: 1 })).json(), { statusCode: 404, code: 'CONVERSATION_NOT_FOUND' })
  t.match((await bob.put(at(id + 1, '/read'), { rev: 1 })).json(), { statusCode: 404, code: 'CONVERSATION_NOT_FOUND' })

  for (let n = 1; n <= 101; n++) await say(ann, id, `more ${n}`)
  t.equal((await listed(bob, id)).unread, 99, 'counted to 99')
  await say(bob, id, 'I have read it all')
  t.equal((await listed(bob, id)).unread, 0, 'who writes has read')
  t.equal((await listed(ann, id)).unread, 1)
  await bob.delete(at(id, `/messages/${await readBy('bob')}`))
  t.equal((await listed(ann, id)).unread, 0, 'a deleted message is not unread')

  await t.test('a bot’s reply counts when it has ended, and again when it was generated anew', async t => {
    const slow = await server.slowChat(ann)
    server.bots.takeOver()
    const sending = say(ann, slow, 'Hello')
    const call = await server.bots.call(1)
    await ann.put(at(slow, '/read'), { rev: 2 })
    t.equal((await listed(ann, slow)).unread, 0, 'it is under way')
    call.say('Well')
    call.end()
    await sending
    t.equal((await listed(ann, slow)).unread, 1)
    await ann.put(at(slow, '/read'), { rev: 3 })
    t.equal((await listed(ann, slow)).unread, 0)
    const again = ann.post(at(slow, '/messages/2/regenerate'))
    const second = await server.bots.call(2)
    second.end()
    await again
    t.equal((await listed(ann, slow)).unread, 1)
  })
})

t.test('sends and reads at the same moment', async t => {
  const [one, two] = await startTwo(t)
  const [ann, bob] = [await one.as('ann'), await one.as('bob')]
  const id = await begin(ann, 'Plans', { users: ['bob'] })
  const anns = await openNewsStream(t, two, ann)
  const bobs = await openNewsSocket(t, two, bob)
  const revs: number[] = []
  const stopping = new AbortController()
  const watching = (async () => {
    const client = await openConnection(t, one.connection)
    while (!stopping.signal.aborted) {
      const { rows } = await client.query('SELECT user_id::int AS who, read_rev::int AS rev FROM conversation_users WHERE conversation_id = $1', [id])
      for (const { who, rev } of rows) {
        if (rev < (revs[who] ?? 0)) t.fail(`what ${who} has read moved back from ${revs[who]} to ${rev}`)
        revs[who] = rev
      }
    }
  })()
  const [here, there] = [bob, two.clientOf(bob.headers)]
  await Promise.all([
    ...[ann, two.clientOf(ann.headers)].map(async (client, which) => { for (let n = 0; n < 30; n++) await say(client, id, `ann ${which} ${n}`) }),
    ...[here, there].map(async (client, which) => {
      for (let n = 0; n < 30; n++) {
        await client.put(at(id, '/read'), { rev: Math.max(0, 2 * n - 3 * which) })
        if (n % 10 === 5) await say(client, id, `bob ${which} ${n}`)
      }
    })
  ])
  stopping.abort()
  await watching
  const last = (await listed(ann, id)).messages.at(-1)
  for (const reader of [anns, bobs]) await reader.has(id, ({ last_rev: rev }) => rev === last.rev)
  t.same(rowsOf(anns), await listOf(ann))
  t.same(rowsOf(bobs), await listOf(bob))
  const states = bobs.of(id).map(({ data }) => data)
  t.ok(states.every(({ last_rev: rev, read_rev: read }, n) => n === 0 || (rev >= states[n - 1]!.last_rev && read >= states[n - 1]!.read_rev)), 'an older state never comes after a newer one')
})

t.test('readers that come and go while much happens miss nothing', async t => {
  const [one, two] = await startTwo(t)
  const names = ['ann', 'bob', 'carol']
  const clients = await Promise.all(names.map(name => one.as(name)))
  const ids: number[] = []
  const gone: number[] = []
  let isOver = false
  const working = Promise.all(clients.map(async (client, which) => {
    const here = which % 2 === 0 ? client : two.clientOf(client.headers)
    for (let n = 0; n < 25; n++) {
      const id = await begin(here, `${names[which]} ${n}`, { users: n % 2 === 0 ? names.filter((_, other) => other !== which) : [] })
      ids.push(id)
      await say(here, id, 'first')
      const any = ids[Math.floor(n * 7 % ids.length)]!
      await here.post(at(any, '/messages'), { text: `${names[which]} says ${n}` })
      await here.put(at(any, '/read'), { rev: 1 })
      await here.put(at(ids[(n * 5) % ids.length]!), { name: `renamed ${which} ${n}` })
      if (n % 6 === 5 && (await here.delete(at(id))).statusCode === 204) gone.push(id)
    }
  })).finally(() => { isOver = true })

  await Promise.all(clients.map(async (client, which) => {
    const servers: Server[] = [one, two]
    let reader: Reader | undefined
    const shown = new Map<number, Listed>()
    for (let round = which; ; round++) {
      const isLast = isOver
      const next: Reader = await (round % 2 === 0 ? openNewsStream : openNewsSocket)(t, servers[round % 3 % 2]!, client, { after: reader?.cursor })
      for (const { event, data } of next.told.filter(({ event }) => event !== 'ready')) event === 'gone' ? shown.delete(data.id) : shown.set(data.id, data)
      if (reader === undefined) t.equal(next.told[0]!.data.reset, true, 'a reader without a cursor loads its lists anew')
      if (isLast) {
        t.same([...shown.values()].map(({ id, name, unread, newest }) => ({ id, name, unread, text: newest?.text })).sort((a, b) => a.id - b.id), await listOf(client), `${names[which]}’s list, from the news alone`)
        next.leave()
        return
      }
      const heard = next.told.length
      await until(() => next.told.length > heard || isOver)
      next.leave()
      for (const { event, data } of next.told.slice(heard)) event === 'gone' ? shown.delete(data.id) : shown.set(data.id, data)
      reader = next
    }
  }))
  await working
  t.ok(gone.length > 0)
})

t.test('a transaction that began earlier and commits later is not missed', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const [slow, fast] = [await begin(ann, 'Slow'), await begin(ann, 'Fast')]
  const late = await openConnection(t, server.connection)
  await late.query('BEGIN')
  await late.query("UPDATE conversations SET name = 'Late' WHERE id = $1", [slow])
  await say(ann, fast, 'Early')
  const first = await openNewsStream(t, server, ann)
  const early = first.cursor!
  await say(ann, fast, 'Meanwhile')
  await first.has(fast, saysLast('Meanwhile'))
  first.leave()
  await late.query('COMMIT')
  const second = await openNewsStream(t, server, ann, { after: early })
  t.match(second.shown.get(slow), { name: 'Late' })

  await late.query('BEGIN; SAVEPOINT part')
  await late.query("UPDATE conversations SET name = 'Later' WHERE id = $1", [slow])
  await late.query('RELEASE part')
  const third = await openNewsStream(t, server, ann, { after: second.cursor! })
  await late.query('COMMIT')
  await third.has(slow, ({ name }) => name === 'Later')
})

t.test('while a transaction of another program runs for long, what was told is not read again at every poll, and nothing is missed', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const ids = [await begin(ann, 'Long'), await begin(ann, 'Short'), await begin(ann, 'Quiet')]
  const [long, short, quiet] = ids as [number, number, number]
  const [other, another] = [await openConnection(t, server.connection), await openConnection(t, server.connection)]
  await other.query('BEGIN; SAVEPOINT part')
  await other.query("UPDATE conversations SET name = 'At last' WHERE id = $1", [long])
  await other.query('RELEASE part')
  await another.query('BEGIN; SELECT pg_current_xact_id()')
  await server.query("UPDATE conversations SET name = 'Quieter' WHERE id = $1", [quiet])
  const next = watchPolls(server)
  const first = await openNewsStream(t, server, ann)
  await another.query('COMMIT')
  await next()
  await say(ann, short, 'One')
  await say(ann, quiet, 'One')
  for (const id of [short, quiet]) await first.has(id, saysLast('One'))
  await readsNothing()
  t.same([short, quiet].map(id => first.of(id).length), [1, 1], 'a new reader is not told what happened before')

  const { cursor } = first
  await another.query('BEGIN; SAVEPOINT part')
  await another.query("UPDATE conversations SET name = 'Shorter' WHERE id = $1", [short])
  await next()
  await say(ann, quiet, 'Two')
  await first.has(quiet, saysLast('Two'))
  await next()
  await another.query('COMMIT')
  await first.has(short, ({ name }) => name === 'Shorter')
  const second = await openNewsSocket(t, server, ann, { after: cursor })
  t.match([short, quiet].map(id => second.shown.get(id)), [{ name: 'Shorter' }, { newest: { text: 'Two' } }], 'a reader that comes back has missed nothing')
  await say(ann, quiet, 'Three')
  for (const reader of [first, second]) await reader.has(quiet, saysLast('Three'))
  await readsNothing()
  await other.query('COMMIT')
  for (const reader of [first, second]) await reader.has(long, ({ name }) => name === 'At last')

  /** Waits for a poll that reads nothing. Other tests use the same Postgres: when one of their transactions ends, a poll reads everything since its begin. */
  async function readsNothing () {
    const found = [await next()]
    while (found.at(-1) !== 0 && found.length < 10) found.push(await next())
    t.equal(found.at(-1), 0, 'a poll does not read again what an earlier one has read')
  }

  /** Counts the conversations that each poll of this server reads. The function that it gives waits for a poll that begins from now on. */
  function watchPolls ({ db }: Server) {
    const query = db.$client.query.bind(db.$client) as (...args: unknown[]) => Promise<{ rows: Array<{ user: number | null }> }>
    const polls: number[] = []
    let begun = 0
    db.$client.query = (async (...args: [{ name?: string }]) => {
      if (args[0].name !== 'news_versions') return await query(...args)
      const nth = begun++
      const answer = await query(...args)
      polls[nth] = answer.rows.filter(({ user }) => user !== null).length
      return answer
    }) as never
    return async function next () {
      const nth = begun
      await until(() => polls[nth] !== undefined)
      return polls[nth]
    }
  }
})

t.test('long catching up comes in pieces, and a reader that does not read is cut', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { cursor } = await openNewsStream(t, server, ann)
  await server.query(`
    WITH made AS (INSERT INTO conversations (name, owner_id, last_rev) SELECT 'Number ' || n, id, 1 FROM users, generate_series(1, 200) n WHERE username = 'ann' RETURNING id, owner_id),
    members AS (INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM made)
    INSERT INTO messages (conversation_id, id, rev, sender, text) SELECT id, 1, 1, 'bot', repeat('語', 33000) FROM made`)
  for (const openNews of Object.values(WAYS)) {
    const names = server.watchQueries()
    const reader = await openNews(t, server, ann, { after: cursor! })
    t.equal(reader.shown.size, 200)
    t.ok([...reader.shown.values()].every(({ unread, newest }) => unread === 1 && newest!.text.length === 33_000))
    t.ok(names.filter(name => name === 'news_reports').length >= 67, 'at most three at once, or what fits into 256 KiB')
    reader.leave()
  }
})

t.test('texts that are long as JSON do not cut off a reader that catches up', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { cursor } = await openNewsStream(t, server, ann)
  await server.query(`
    WITH made AS (INSERT INTO conversations (name, owner_id, last_rev) SELECT 'Number ' || n, id, 1 FROM users, generate_series(1, 30) n WHERE username = 'ann' RETURNING id, owner_id),
    members AS (INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM made)
    INSERT INTO messages (conversation_id, id, rev, sender, text) SELECT id, 1, 1, 'bot', repeat(E'\\x01', 60000) FROM made`)
  for (const openNews of Object.values(WAYS)) {
    const reader = await openNews(t, server, ann, { after: cursor! })
    t.equal(reader.shown.size, 30)
    t.notOk(reader.isOver())
  }
})

t.test('a reader that leaves while it catches up', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const { cursor, leave } = await openNewsStream(t, server, ann)
  leave()
  await server.query(`
    WITH made AS (INSERT INTO conversations (name, owner_id) SELECT 'Number ' || n, id FROM users, generate_series(1, 100) n WHERE username = 'ann' RETURNING id, owner_id)
    INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM made`)
  const stream = server.hold('news_reports', 2)
  const request = http.get(`${server.url}/api/events?after=${cursor}`, { headers: ann.headers, agent: false })
  await stream.asked
  request.destroy()
  await until(async () => await server.connections() === 0)
  stream.release()
  const joined = server.hold('news_reports', 2)
  const socket = await connect(t, server.url, auth(ann))
  socket.emit('join_news', { after: cursor })
  await joined.asked
  socket.close()
  await until(() => server.app.countSockets() === 0)
  joined.release()
  const names = server.watchQueries()
  await begin(ann, 'Nobody is there')
  const present = await openNewsStream(t, server, ann)
  t.same(names.filter(name => name === 'news_concerned'), [], 'nobody was told')
  t.equal(present.told[0]!.event, 'ready')
})

t.test('after an account is deleted, others learn it, and nothing of it is left', async t => {
  const server = await startLive(t)
  const [ann, bob] = [await server.as('ann'), await server.as('bob')]
  const shared = await begin(ann, 'Shared', { users: ['bob'] })
  const bobs = await openNewsStream(t, server, bob)
  const left = await begin(ann, 'Left', { users: ['bob'] })
  const annId = (await ann.get('/api/me')).json().id
  await say(ann, shared, 'Bye')
  await ann.delete(at(left, `/users/${annId}`))
  const alone = await begin(ann, 'Alone')
  await ann.delete(at(alone))
  t.equal((await server.query('SELECT FROM gone_conversations WHERE user_id = $1', [annId])).length, 2)
  await ann.delete('/api/me', {}, { password: 'correct horse' })
  await bobs.has(shared, ({ members, newest }) => members === 1 && (newest as { username?: string | null } | null)?.username === null)
  t.same(await server.query('SELECT user_id FROM gone_conversations WHERE user_id = $1', [annId]), [])
  await bob.delete(at(shared))
  await bobs.has(shared, null)
  t.same((await server.query('SELECT conversation_id::int AS id, user_id::int AS who FROM gone_conversations')).map(row => row as unknown), [{ id: shared, who: (await bob.get('/api/me')).json().id }], 'only that it is gone')
  await bob.delete('/api/me', {}, { password: 'correct horse' })
  t.same(await server.query('SELECT FROM gone_conversations'), [])
  await until(() => bobs.isOver())
})

t.test('that a conversation is gone is forgotten after 30 days, when no cursor can ask for it any more', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  for (const name of ['Long ago', 'Lately']) await ann.delete(at(await begin(ann, name)))
  await server.query("UPDATE gone_conversations SET gone_at = now() - interval '30 days' WHERE conversation_id = (SELECT min(conversation_id) FROM gone_conversations)")
  await server.work()
  await createTidyStore(server.db).tidy({ retentionDays: 0, sessions: server.app.sessions })
  t.same((await server.query("SELECT gone_at > now() - interval '1 day' AS lately FROM gone_conversations")).map(row => row as unknown), [{ lately: true }])
})

t.test('a message to a hundred members costs the same rows as one to nobody else, and no query more', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const alone = await begin(ann, 'Alone', { bots: ['simulated'] })
  const crowded = await begin(ann, 'Crowded', { bots: ['simulated'] })
  await server.query(`WITH made AS (INSERT INTO users (username, username_key) SELECT 'member' || n, 'member' || n FROM generate_series(1, 99) n RETURNING id)
    INSERT INTO conversation_users (conversation_id, user_id) SELECT $1, id FROM made`, [crowded])
  const client = await openConnection(t, server.connection)
  const versions = async (id: number) => (await client.query(`
    SELECT 'member ' || user_id AS row, xmin::text, used_in FROM conversation_users WHERE conversation_id = $1
    UNION ALL SELECT 'conversation', xmin::text, NULL FROM conversations WHERE id = $1
    UNION ALL SELECT 'message ' || id, xmin::text, NULL FROM messages WHERE conversation_id = $1
    UNION ALL SELECT 'gone', xmin::text, NULL FROM gone_conversations`, [id])).rows as Array<{ row: string, xmin: string, used_in: Date | null }>
  /** The rows that one message writes. Once a minute the time of the members' rows is written too, as ever: then it is sent again. */
  async function written (id: number) {
    for (;;) {
      const before = new Map((await versions(id)).map(one => [one.row, one]))
      const names = server.watchQueries()
      await say(ann, id, 'Hello')
      const after = await versions(id)
      if (after.some(({ row, used_in: used }) => used?.getTime() !== before.get(row)?.used_in?.getTime())) continue
      return { rows: after.filter(({ row, xmin }) => before.get(row)?.xmin !== xmin).map(({ row }) => row.replace(/ .*/, '')).sort(), queries: names }
    }
  }
  await say(ann, alone, 'First')
  await say(ann, crowded, 'First')
  const few = await written(alone)
  t.same(few.rows, ['conversation', 'member', 'message', 'message'], 'the message, its reply, the conversation, and what its author has read')
  t.same((await written(crowded)).rows, few.rows)
  const isNews = (name: string) => name.startsWith('news')
  t.same(few.queries.filter(isNews), [], 'nobody listens: nothing is read for it')

  const eve = await server.as('eve')
  const eves = await openNewsStream(t, server, eve)
  const { queries } = await written(crowded)
  await until(() => queries.filter(isNews).length >= 2)
  t.same(queries.filter(name => name === 'news_reports'), [], 'others listen: it is only looked up whether they are members')
  t.same(eves.told.map(({ event }) => event), ['ready'])
})

t.test('when the database fails', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  const id = await begin(ann, 'Plans')
  const anns = await openNewsStream(t, server, ann)
  const query = server.db.$client.query.bind(server.db.$client) as (...args: unknown[]) => Promise<unknown>
  let failing = /^never$/
  const failed: string[] = []
  server.db.$client.query = (async (...args: [{ name?: string }]) => {
    const { name = '' } = args[0]
    const answer = await query(...args)
    if (!failing.test(name)) return answer
    failed.push(name)
    throw new Error('the database is away')
  }) as never

  for (const name of ['news_concerned', 'news_reports', 'news_versions']) {
    failing = new RegExp(`^${name}$`)
    failed.length = 0
    await say(ann, id, `While ${name} fails`)
    await until(() => failed.length > 0)
    failing = /^never$/
    await anns.has(id, saysLast(`While ${name} fails`))
  }
  const { cursor } = anns
  failing = /^news_reports$/
  t.ok((await openNewsStream(t, server, ann, { after: cursor! })).isOver(), 'a stream that breaks while it catches up is closed, and the client comes back')
  failing = /^news_versions$/
  t.equal((await ann.get('/api/events')).statusCode, 500)
  const socket = await connect(t, server.url, auth(ann))
  t.match(await socket.emitWithAck('join_news'), { code: /./ })
  failing = /^never$/
  t.match(await socket.emitWithAck('join_news'), { reset: true })
})

t.test('a history that is cut off, such as by a backup that is restored, makes readers begin anew', async t => {
  for (const openNews of Object.values(WAYS)) {
    const server = await startLive(t)
    const ann = await server.as('ann')
    const reader = await openNews(t, server, ann)
    const { cursor } = reader
    await run(server.connection, 'ALTER TABLE conversations RENAME TO former; CREATE TABLE conversations (LIKE former INCLUDING ALL); ALTER TABLE conversation_users DISABLE TRIGGER ALL')
    await until(() => reader.told.filter(({ event }) => event === 'ready').length === 2)
    t.match(reader.told.at(-1), { event: 'ready', data: { reset: true } })
    t.not(reader.cursor, cursor)
    t.match((await openNews(t, server, ann, { after: cursor! })).told, [{ event: 'ready', data: { reset: true } }])
  }
})

t.test('after a crash of Postgres, which uses ids of transactions again, readers begin anew', async t => {
  const postgres = await startPostgres(t)
  await migrateUp(postgres.connection)
  const server = await startLive(t, {}, postgres.connection)
  const ann = await server.as('ann')
  const id = await begin(ann, 'Plans')
  // These transactions change nothing. So Postgres does not wait until the disk has them, as with those that change temporary tables only.
  const takeIds = async () => { for (let n = 0; n < 100; n++) await server.query('SELECT pg_current_xact_id()') }
  await server.query("ALTER SYSTEM SET wal_writer_delay = '10s'")
  await server.query('SELECT pg_reload_conf()')
  await takeIds()
  const live = await openNewsStream(t, server, ann)
  const away = await openNewsStream(t, server, ann)
  away.leave()
  await postgres.crash()
  await postgres.start()
  await until(async () => (await ann.put(at(id), { name: 'Plans after the crash' })).statusCode === 200)
  await takeIds()
  await takeIds()
  t.match((await openNewsStream(t, server, ann, { after: away.cursor })).told, [{ event: 'ready', data: { reset: true } }], 'one that was away')
  await until(() => live.told.filter(({ event }) => event === 'ready').length === 2)
  t.match(live.told.findLast(({ event }) => event === 'ready'), { data: { reset: true } }, 'one that was there')
  await say(ann, id, 'Here again')
  await live.has(id, saysLast('Here again'))
})

t.test('many readers are checked in turn', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  await server.query("INSERT INTO users (username, username_key) SELECT 'user' || n, 'user' || n FROM generate_series(1, 250) n")
  const ids = (await server.query("SELECT id::int FROM users WHERE username LIKE 'user%'")).map(({ id }) => id as unknown as number)
  const { present } = await createNewsStore(server.db).versions([{ user: 1, after: 0 }])
  t.match(present, { xid: Number, history: /^[\da-f]{8}$/, time: Date })
  const heard = new Set<number>()
  const news = createNews({ publish: async () => {}, subscribe () {} }, { watch () {} }, createNewsStore(server.db), silent)
  const listening = await Promise.all(ids.map(async id => await (await news.begin(id, undefined))({ hear: () => heard.add(id), reset () {}, drained: async () => {}, inSlot: async read => await read(), isOpen: () => true })))
  await server.query(`WITH c AS (INSERT INTO conversations (name, owner_id) SELECT 'Silently', id FROM users WHERE username LIKE 'user%' RETURNING id, owner_id)
    INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM c`)
  await until(() => heard.size === ids.length)
  for (const { stop } of listening) stop()
  t.equal((await openNewsSocket(t, server, ann)).told[0]!.event, 'ready')
})
