import t, { type Test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Config } from '../src/config.js'
import { API_KEY, freshDatabase, holdLock, startApp, type Client } from './helper.js'
import { text as textOf } from 'node:stream/consumers'
import { connect, layCable, until } from './process.js'
import { createScreen, listen, openAnswer, openSocket, openStream } from './reader.js'

// Bots that take their time: what they say, as it comes, and what becomes of it.

type App = Awaited<ReturnType<typeof startApp>>

/** Two instances on one database, whose bots say what a test makes them say, and Ann at both, with a bot of that kind. */
async function twoInstances (t: Test, changes: Partial<Config> = {}, database?: pg.PoolConfig) {
  const one = await startApp(t, changes, undefined, database)
  const two = await startApp(t, changes, undefined, one.connection)
  one.bots.takeOver()
  two.bots.takeOver()
  const ann = await one.as('ann')
  const id = await one.slowChat(ann)
  return { one, two, query: one.query, ann, annAtTwo: two.clientOf(ann.headers), id, url: `/api/conversations/${id}` }
}

async function oneInstance (t: Test, changes: Partial<Config> = {}) {
  const one = await startApp(t, changes)
  one.bots.takeOver()
  const ann = await one.as('ann')
  const id = await one.slowChat(ann)
  return { ...one, ann, id, url: `/api/conversations/${id}` }
}

const messagesOf = async (client: Client, url: string) => (await client.get(`${url}/messages?limit=200`)).json()
const textsOf = (messages: Array<{ text: string, status: string }>) => messages.map(({ text, status }) => `${text} (${status})`)
const rowOf = async ({ query }: Pick<App, 'query'>, id: number) => (await query('SELECT * FROM messages WHERE id = $1 ORDER BY conversation_id', [id]))[0]
const isStored = async (app: Pick<App, 'query'>, id: number, text: string) => await until(async () => (await rowOf(app, id)).text === text)
const hasStatus = async (app: Pick<App, 'query'>, id: number, status: string) => await until(async () => (await rowOf(app, id))?.status === status)
const isAborted = async ({ signal }: { signal: AbortSignal }) => await until(() => signal.aborted)
/** A message whose answer nobody waits for; whatever becomes of it is said at the end of the test. */
const ask = (client: Client, url: string, text: string, headers = {}) => client.post(`${url}/messages`, { text }, headers)

const BUSY = { statusCode: 409, code: 'BOT_BUSY' }
const NOT_LAST = { statusCode: 409, code: 'NOT_THE_LAST_REPLY' }
const TOO_MANY = { statusCode: 429, code: 'TOO_MANY_REPLIES' }
const GONE = { statusCode: 404, code: 'CONVERSATION_NOT_FOUND' }
const BROKEN = { statusCode: 503, code: 'UNAVAILABLE' }

t.test('a reply is there with its question, grows, and ends; who does not stream waits for the end', async t => {
  const { bots, ann, url, query } = await oneInstance(t)
  const sent = ask(ann, url, 'Hi')
  const call = await bots.call()
  t.same(call.turns, [{ sender: 'user', name: 'ann', text: 'Hi' }])
  t.match(await messagesOf(ann, url), [{ id: 1, rev: 1, sender: 'user', status: 'complete' }, { id: 2, rev: 2, sender: 'bot', username: 'slow', text: '', status: 'streaming' }])
  t.match(await query('SELECT lease_owner FROM messages WHERE id = 2 AND lease_until BETWEEN now() AND now() + interval \'8 seconds\''), [{ lease_owner: String }])
  call.say('One, ')
  await isStored({ query }, 2, 'One, ')
  t.match(await messagesOf(ann, url), [{}, { id: 2, rev: 2, text: 'One, ', status: 'streaming' }], 'it grows in its place')
  call.say('')
  call.say('two.')
  call.cost(30, 4)
  call.end()
  const answer = await sent
  t.equal(answer.statusCode, 201)
  t.match(answer.json(), [{ id: 1, text: 'Hi' }, { id: 2, rev: 3, text: 'One, two.', status: 'complete' }])
  t.match(await rowOf({ query }, 2), { prompt_tokens: 30, completion_tokens: 4, lease_owner: null, lease_until: null, error: null })

  const second = ask(ann, url, 'And?')
  const next = await bots.call(2)
  t.same(next.turns, [
    { sender: 'user', name: 'ann', text: 'Hi' }, { sender: 'bot', name: 'slow', text: 'One, two.' }, { sender: 'user', name: 'ann', text: 'And?' }
  ], 'it is told what was said before')
  next.end()
  t.match((await second).json()[1], { text: '', status: 'complete' }, 'one who has nothing to say has said it')
})

t.test('a bot that fails keeps what it said, and says why by a code', async t => {
  const { bots, ann, url, query } = await oneInstance(t)
  const failing = [
    { error: Object.assign(new Error('the provider’s own words'), { failure: 'BOT_SILENT' }), said: 'As I was say', code: 'BOT_SILENT' },
    { error: new TypeError('terminated'), said: '', code: 'BOT_BROKE_OFF' }
  ]
  for (const [n, { error, said, code }] of failing.entries()) {
    const sent = ask(ann, url, 'Hi')
    const call = await bots.call(n + 1)
    call.say(said)
    call.fail(error)
    const answer = await sent
    t.equal(answer.statusCode, 201)
    t.match(answer.json()[1], { text: said, status: 'failed' })
    t.notMatch(answer.body, /words|terminated/)
    t.equal((await rowOf({ query }, answer.json()[1].id)).error, code)
  }
  const long = ask(ann, url, 'Tell me everything')
  const talking = await bots.call(3)
  talking.say('🙂'.repeat(60_000))
  talking.say('🙃'.repeat(60_000))
  const [, cut] = (await long).json()
  t.equal(cut.text, '🙂'.repeat(60_000) + '🙃'.repeat(40_000), 'a bot says 100,000 characters at most')
  t.equal(cut.status, 'failed')
  t.equal(talking.signal.aborted, false)
})

t.test('characters come whole, whatever pieces they come in, and what no database stores is left out', async t => {
  const { app, bots, ann, url, query } = await oneInstance(t)
  const base = await listen({ app })
  const stream = await openStream(t, `${base}${url}/messages`, ann, { body: { text: 'Hi' } })
  const call = await bots.call()
  const text = '👩‍👩‍👧 e\u0301 🏳️‍🌈 Z͑ͫ a\u030a 漢字 🙂'
  for (const unit of text.split('')) {
    call.say(unit)
    if (unit === '字') await isStored({ query }, 2, text.slice(0, text.indexOf('字') + 1))
  }
  call.say('\0\ude42 and \0')
  call.say('\ud83d')
  call.end()
  t.equal(await stream.ended, true)
  const whole = `${text}\ufffd and `
  t.equal(stream.screen.text(2), whole)
  t.equal((await rowOf({ query }, 2)).text, whole)
})

t.test('a stream shows the question, the reply as it grows, and its end, and ends with it', async t => {
  const { app, bots, ann, id, url, query } = await oneInstance(t)
  const base = await listen({ app })
  const stream = await openStream(t, `${base}${url}/messages`, ann, { body: { text: 'Hi', client_id: 'c1' } })
  t.equal(stream.answer.statusCode, 200)
  t.match(stream.answer.headers, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
  await stream.screen.until(() => stream.screen.status(2) === 'streaming')
  const call = await bots.call()
  for (const [piece, whole] of [['One', 'One'], [', two', 'One, two']] as const) {
    call.say(piece)
    await stream.screen.until(() => stream.screen.text(2) === whole)
  }
  call.end()
  t.equal(await stream.ended, true)
  t.match(stream.events, [
    { event: 'message', id: '1', data: { id: 1, rev: 1, sender: 'user', text: 'Hi', status: 'complete' } },
    { event: 'message', id: '2', data: { id: 2, rev: 2, sender: 'bot', username: 'slow', text: '', status: 'streaming' } },
    { event: 'delta', data: { id: 2, offset: 0, text: 'One' } },
    { event: 'delta', data: { id: 2, offset: 3, text: ', two' } },
    { event: 'message', id: '3', data: { id: 2, rev: 3, text: 'One, two', status: 'complete' } }
  ])
  t.same(Object.keys(stream.events[4]!.data), ['id', 'rev', 'sender', 'username', 'text', 'status', 'created_at'])

  await query('UPDATE messages SET rev = 4, text = \'Hi there\' WHERE id = 1')
  await query('UPDATE conversations SET last_rev = 4')
  const again = await openStream(t, `${base}${url}/messages`, ann, { body: { text: 'Hi', client_id: 'c1' } })
  t.equal(await again.ended, true)
  t.match([...again.screen.shown.values()], [{ id: 2, text: 'One, two' }, { id: 1, text: 'Hi there' }], 'a retry gets it all, whatever changed since')

  await query('INSERT INTO conversation_bots VALUES ($1, 1)', [id])
  const instant = await openStream(t, `${base}${url}/messages`, ann, { body: { text: '@simulated Hi' } })
  t.equal(await instant.ended, true)
  t.match(instant.events, [{ data: { text: '@simulated Hi' } }, { data: { text: 'You said: Hi', status: 'complete' } }], 'an instant answer is there at once')
  for (const [path, status, code] of [['/api/conversations/999/messages', 404, 'CONVERSATION_NOT_FOUND'], [`${url}/messages`, 400, 'INVALID_REQUEST']] as const) {
    const refused = await fetch(base + path, { method: 'POST', headers: { ...ann.headers, accept: 'text/event-stream', 'content-type': 'application/json' }, body: JSON.stringify({ text: status === 404 ? 'Hi' : ' ' }) })
    t.equal(refused.status, status)
    t.match(await refused.json(), { code }, 'what is wrong is said as ever')
  }
})

t.test('pieces come at once on the same instance, and with the flush on the other', async t => {
  const { one, two, ann, annAtTwo, id, url } = await twoInstances(t)
  const [here, there] = [await listen(one), await listen(two)]
  const sent = ask(ann, url, 'Hi')
  const call = await one.bots.call()
  const readers = [await openStream(t, `${here}${url}/events?after=0`, ann), await openStream(t, `${there}${url}/events?after=0`, annAtTwo)]
  const sockets = [await openSocket(t, here, ann), await openSocket(t, there, annAtTwo)]
  for (const socket of sockets) t.match(await socket.join(id, 0), { messages: [{ id: 1 }, { id: 2, text: '', status: 'streaming' }], more: false })
  const screens = [...readers, ...sockets].map(({ screen }) => screen)
  for (const screen of screens) await screen.until(() => screen.status(2) === 'streaming')

  const lock = await connect(t, one.connection)
  await lock.query('BEGIN')
  await lock.query('SELECT FROM messages WHERE id = 2 FOR UPDATE')
  call.say('before it is stored')
  for (const screen of [screens[0]!, screens[2]!]) await screen.until(() => screen.text(2) === 'before it is stored')
  t.same([screens[1]!.text(2), screens[3]!.text(2)], ['', ''])
  await lock.query('COMMIT')
  for (const screen of screens) await screen.until(() => screen.text(2) === 'before it is stored')

  let whole = 'before it is stored'
  for (let n = 0; n < 40; n++) {
    const piece = `${' e\u0301👩‍👧'.repeat(n % 3)}${n}`
    call.say(piece)
    whole += piece
    if (n % 5 === 0) await sleep(30)
  }
  call.end()
  t.equal((await sent).json()[1].text, whole)
  for (const screen of screens) await screen.until(() => screen.status(2) === 'complete')
  for (const { events } of [...readers, ...sockets]) {
    const deltas = events.filter(({ event }) => event === 'delta').map(({ data }) => data)
    t.equal(deltas.map(({ text }) => text).join(''), whole.slice(0, deltas.at(-1)!.offset + deltas.at(-1)!.text.length), 'each exactly once, in order')
    const ends = events.filter(({ event, data }) => event === 'message' && data.status === 'complete' && data.id === 2)
    t.match(ends, [{ data: { text: whole, rev: 3 } }])
    t.equal(ends.length, 1)
  }
})

t.test('a reader that reloads in the middle, anywhere, at any moment, ends with exactly the text', async t => {
  const { one, two, ann, annAtTwo, id, url } = await twoInstances(t)
  const bases = [await listen(one), await listen(two)]
  const clients = [ann, annAtTwo]
  const alphabet = ['a', 'e\u0301', '👩‍👩‍👧‍👦', '🏳️‍🌈', '漢', '\r\n', '\n\n', 'data: ', ' ', '👍🏽', 'Z͑ͫ', 'ﷺ', '\u2028']
  const random = (most: number) => Math.floor(Math.random() * most)
  for (let round = 0; round < 6; round++) {
    const asked = ask(clients[round % 2]!, url, `Round ${round}`)
    const call = await (round % 2 === 0 ? one : two).bots.call(Math.floor(round / 2) + 1)
    const reply = (await until(async () => (await messagesOf(ann, url))[2 * round + 1])).id
    const whole = Array.from({ length: 150 }, () => alphabet[random(alphabet.length)]).join('')
    const talking = (async () => {
      for (let at = 0; at < whole.length;) {
        const next = at + 1 + random(6)
        call.say(whole.slice(at, next))
        at = next
        if (random(4) === 0) await sleep(random(25))
      }
      call.end()
    })()
    const overStreams = async () => {
      const screen = createScreen(t)
      let lastEventId: number | undefined = 0
      for (let reload = 0; reload < 3; reload++) {
        const where = random(2)
        const stream = await openStream(t, `${bases[where]}${url}/events`, clients[where]!, { lastEventId, screen })
        await sleep(random(150))
        stream.leave()
        await stream.ended
        lastEventId = stream.lastId
      }
      const where = random(2)
      const stream = await openStream(t, `${bases[where]}${url}/events`, clients[where]!, { lastEventId, screen })
      await screen.until(() => screen.status(reply) === 'complete')
      stream.leave()
      return screen
    }
    const overSockets = async () => {
      const screen = createScreen(t)
      for (let reload = 0; ; reload++) {
        const where = random(2)
        const socket = await openSocket(t, bases[where]!, clients[where]!, screen)
        t.equal((await socket.join(id, screen.rev())).more, false)
        if (reload === 3) {
          await screen.until(() => screen.status(reply) === 'complete')
          socket.close()
          return screen
        }
        await sleep(random(150))
        if (random(2) === 0) t.equal((await socket.join(id, screen.rev())).more, false, 'also one that joins where it is already')
        await sleep(random(50))
        socket.close()
      }
    }
    const screens = await Promise.all([overStreams(), overStreams(), overSockets(), overSockets()])
    await talking
    await asked
    for (const screen of screens) t.same(Buffer.from(screen.text(reply)!), Buffer.from(whole.toWellFormed()), `round ${round}`)
    t.equal((await ann.get(`${url}/messages/${reply}`)).json().text, whole.toWellFormed())
  }
})

t.test('who reads a page of what changed gets what is still being written, too', async t => {
  const { app, bots, ann, id, url, query } = await oneInstance(t)
  const asked = ask(ann, url, 'Hi')
  const call = await bots.call()
  call.say('I grow')
  await isStored({ query }, 2, 'I grow')
  for (const after of [0, 1]) t.match((await ann.get(`${url}/messages?after=${after}`)).json().at(-1), { id: 2, rev: 2, text: 'I grow', status: 'streaming' })
  const news = await ann.get(`${url}/messages?after=2`)
  t.match(news.json(), [{ id: 2, rev: 2, text: 'I grow' }], 'whatever is still streaming')
  await ann.put(`${url}/messages/1`, { text: 'Hello' })
  const first = await ann.get(`${url}/messages?after=0&limit=1`)
  t.match([first.json(), first.headers.link], [[{ id: 2 }], `<${url}/messages?after=2&limit=1>; rel="next"`])
  t.match((await ann.get(`${url}/messages?after=2&limit=1`)).json(), [{ id: 2, rev: 2 }, { id: 1, rev: 3, text: 'Hello' }])
  const socket = await openSocket(t, await listen({ app }), ann)
  t.match(await socket.join(id, 3), { messages: [{ id: 2, text: 'I grow', chat_session_id: id, isLocal: false }], more: false })
  call.say(' on')
  await socket.screen.until(() => socket.screen.text(2) === 'I grow on')
  await isStored({ query }, 2, 'I grow on')
  call.end()
  t.match((await asked).json(), [{ id: 1, text: 'Hello' }, { id: 2, rev: 4, text: 'I grow on' }])
  t.match((await ann.get(`${url}/messages?after=3`)).json(), [{ id: 2, rev: 4, status: 'complete' }])
  t.same((await ann.get(`${url}/messages?after=4`)).json(), [])
})

t.test('stop, at any instance, keeps what was said and aborts what the model still does', async t => {
  const { one, two, ann, annAtTwo, id, url, query } = await twoInstances(t)
  const ways: Array<[name: string, stop: () => Promise<unknown>]> = [
    ['here', async () => t.equal((await ann.post(`${url}/stop`)).statusCode, 204)],
    ['at the other instance', async () => t.equal((await annAtTwo.post(`${url}/stop`)).statusCode, 204)],
    ['when no word of it comes', async () => await query('SELECT stop_conversation($1, 1)', [id])]
  ]
  for (const [n, [name, stop]] of ways.entries()) {
    for (const said of ['I go on and', '']) {
      const calls = one.bots.calls.length
      const sent = ask(ann, url, `Stop ${name}`)
      const call = await one.bots.call(calls + 1)
      call.say(said)
      if (n < 2) call.cost(3, 1)
      const before = Date.now()
      await stop()
      await isAborted(call)
      t.ok(Date.now() - before < 2_000, `${name}: aborted after ${Date.now() - before} ms`)
      call.say(' too late')
      const answer = (await sent).json()[1]
      t.match([answer.text, answer.status], [said, 'stopped'])
    }
  }
  t.equal((await ann.post(`${url}/stop`)).statusCode, 204, 'where nothing is under way nothing happens')
  const eve = await one.as('eve')
  t.match((await eve.post(`${url}/stop`)).json(), GONE)
  t.match((await ann.post('/api/conversations/999/stop')).json(), GONE)
  t.equal(two.bots.calls.length, 0)
})

t.test('a word to stop that comes late does not stop what was begun since', async t => {
  const { bots, ann, id, url, query } = await oneInstance(t)
  const sent = ask(ann, url, 'Go on')
  const call = await bots.call()
  const [{ lease_until: leased }] = await query('SELECT lease_until FROM messages WHERE id = 2')
  await query("SELECT pg_notify('stops', $1)", [JSON.stringify(['another', id, 999])])
  await until(async () => (await rowOf({ query }, 2)).lease_until > leased)
  t.equal(call.signal.aborted, false)
  call.say('I go on')
  call.end()
  t.match((await sent).json()[1], { text: 'I go on', status: 'complete' })
})

t.test('a bot that does not heed the signal keeps nobody waiting, and is not heard', async t => {
  const { bots, ann, url, query } = await oneInstance(t)
  bots.takeOver({ isHeedless: true })
  const sent = ask(ann, url, 'Hi')
  const call = await bots.call()
  call.say('I stay')
  await isStored({ query }, 2, 'I stay')
  await ann.post(`${url}/stop`)
  t.match((await sent).json()[1], { text: 'I stay', status: 'stopped' })
  const again = ann.post(`${url}/messages/2/regenerate`)
  const second = await bots.call(2)
  call.say(' for ever')
  second.say('Better')
  await isStored({ query }, 2, 'Better')
  call.end()
  second.end()
  t.match((await again).json(), { text: 'Better', status: 'complete' })
})

t.test('stop stops those that wait, too', async t => {
  const { bots, ann, url } = await oneInstance(t)
  const first = ask(ann, url, 'first')
  const call = await bots.call()
  call.say('half')
  const second = ask(ann, url, 'second')
  await until(async () => (await messagesOf(ann, url)).length === 4)
  t.match((await messagesOf(ann, url))[3], { status: 'queued', text: '' })
  await ann.post(`${url}/stop`)
  t.match((await second).json()[1], { text: '', status: 'stopped' })
  t.match((await first).json()[1], { text: 'half', status: 'stopped' })
  t.equal(bots.calls.length, 1, 'it was never asked')
  const third = ask(ann, url, 'third')
  const next = await bots.call(2)
  t.same(next.turns.map(({ text }) => text), ['first', 'half', 'second', 'third'])
  next.end()
  await third
})

t.test('regenerate asks again in the row of the last reply', async t => {
  const { app, bots, ann, as, anyone, clientOf, id, url, query } = await oneInstance(t)
  const answer = async (asked: Promise<unknown>, text: string, end: 'end' | 'stop' = 'end') => {
    const call = await bots.call(bots.calls.length + 1)
    call.say(text)
    call.cost(5, 5)
    if (end === 'end') call.end()
    else await ann.post(`${url}/stop`)
    await asked
    return call
  }
  await answer(ask(ann, url, 'first'), 'good')
  await answer(ask(ann, url, 'second'), 'bad', 'stop')
  const regenerating = ann.post(`${url}/messages/5/regenerate`)
  const again = await bots.call(3)
  t.same(again.turns.map(({ text }) => text), ['first', 'good', 'second'], 'it does not hear what it said')
  t.match((await messagesOf(ann, url))[3], { id: 5, rev: 7, text: '', status: 'streaming' })
  t.match(await rowOf({ query }, 5), { prompt_tokens: null, error: null, stop_requested: false })
  t.match((await ann.post(`${url}/messages/5/regenerate`)).json(), BUSY)
  t.match((await ann.post(`${url}/messages/2/regenerate`)).json(), BUSY)
  again.say('better')
  again.end()
  t.match((await regenerating).json(), { id: 5, rev: 8, text: 'better', status: 'complete' })

  const base = await listen({ app })
  const streaming = openStream(t, `${base}${url}/messages/5/regenerate`, ann, { body: {} })
  const third = await bots.call(4)
  const stream = await streaming
  await stream.screen.until(() => stream.screen.status(5) === 'streaming')
  third.say('best')
  await stream.screen.until(() => stream.screen.text(5) === 'best')
  third.end()
  t.equal(await stream.ended, true)
  t.match(stream.events, [
    { event: 'message', id: '9', data: { id: 5, text: '', status: 'streaming' } }, { event: 'delta', data: { id: 5, offset: 0, text: 'best' } },
    { event: 'message', id: '10', data: { id: 5, text: 'best', status: 'complete' } }
  ])

  t.match((await ann.post(`${url}/messages/2/regenerate`)).json(), NOT_LAST)
  for (const message of [1, 4, 99]) t.match((await ann.post(`${url}/messages/${message}/regenerate`)).json(), { statusCode: 404, code: 'MESSAGE_NOT_FOUND' }, `no reply: ${message}`)
  const bob = await as('bob')
  t.match((await bob.post(`${url}/messages/5/regenerate`)).json(), { code: 'MESSAGE_NOT_FOUND' }, 'a stranger')
  await ann.post(`${url}/users`, { username: 'bob' })
  await answer(bob.post(`${url}/messages/5/regenerate`), 'for Bob')
  const bobs = (await bob.get('/api/me')).json().id
  await ann.delete(`${url}/users/${bobs}`)
  t.match((await bob.post(`${url}/messages/5/regenerate`)).json(), { code: 'MESSAGE_NOT_FOUND' }, 'a former member')
  await ann.delete(`${url}/messages/4`)
  await answer(ann.post(`${url}/messages/5/regenerate`), 'without a question')

  const slow = (await ann.get(`${url}/bots`)).json()[0].id
  await ann.delete(`${url}/bots/${slow}`)
  t.match((await ann.post(`${url}/messages/5/regenerate`)).json(), NOT_LAST, 'a bot that has been taken out')
  await ann.post(`${url}/bots`, { name: 'simulated' })
  const [, instant] = (await ask(ann, url, 'at once')).json()
  t.match((await ann.post(`${url}/messages/${instant.id}/regenerate`)).json(), NOT_LAST, 'an instant bot’s')
  await ann.delete(`${url}/messages/5`)
  t.match((await ann.post(`${url}/messages/5/regenerate`)).json(), { code: 'MESSAGE_NOT_FOUND' })

  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  const guest = clientOf({ authorization: `Bearer ${token}` })
  t.match((await guest.post(`/api/conversations/${id + 1}/messages/1/regenerate`)).json(), NOT_LAST, 'a greeting')
})

t.test('changing the last message asks again after it', async t => {
  const { bots, ann, url, query } = await oneInstance(t)
  for (const text of ['first', 'second']) {
    const sent = ask(ann, url, text)
    const call = await bots.call(bots.calls.length + 1)
    call.say(`answer to ${text}`)
    call.end()
    await sent
  }
  t.equal((await ann.put(`${url}/messages/4`, { text: 'changed' })).statusCode, 200, 'it does not wait for the answer')
  const call = await bots.call(3)
  t.same(call.turns.map(({ text }) => text), ['first', 'answer to first', 'changed'])
  t.match(await messagesOf(ann, url), [{}, {}, { text: 'changed', rev: 7 }, { id: 5, text: '', rev: 8, status: 'streaming' }])
  t.equal((await ann.put(`${url}/messages/4`, { text: 'while it answers' })).statusCode, 200)
  call.say('another answer')
  call.end()
  await hasStatus({ query }, 5, 'complete')
  t.match((await ann.put(`${url}/messages/1`, { text: 'changed, too' })).json(), { text: 'changed, too' })
  t.match((await messagesOf(ann, url))[1], { text: 'answer to first', status: 'complete' }, 'an earlier one keeps its answer')
  await ann.delete(`${url}/messages/5`)
  t.equal((await ann.put(`${url}/messages/4`, { text: 'again' })).statusCode, 200, 'what has no answer is not answered')
  t.equal(bots.calls.length, 3)
  await query('ALTER TABLE messages ADD CHECK (stop_requested OR prompt_tokens IS NOT NULL OR status <> \'streaming\' OR sender <> \'bot\')')
  await query('UPDATE messages SET status = \'complete\' WHERE id = 5')
  t.match((await ann.put(`${url}/messages/4`, { text: 'once more' })).json(), { statusCode: 500 }, 'what breaks is not kept back')
})

t.test('a message that comes while the bot answers waits, interrupts, or is refused', async t => {
  const { bots, ann, url } = await oneInstance(t)
  t.match((await ann.patch(url, { when_busy: 'nonsense' })).json(), { statusCode: 400, code: 'INVALID_REQUEST' })
  const first = ask(ann, url, 'first')
  const one = await bots.call(1)
  const second = ask(ann, url, 'second')
  await until(async () => (await messagesOf(ann, url)).length === 4)
  t.match((await messagesOf(ann, url)).map(({ status }: { status: string }) => status), ['complete', 'streaming', 'complete', 'queued'])
  one.say('answer one')
  one.end()
  const two = await bots.call(2)
  t.same(two.turns.map(({ text }) => text), ['first', 'answer one', 'second'], 'it is answered after')
  t.match((await first).json()[1], { text: 'answer one', status: 'complete' })
  two.say('half an ans')

  t.match((await ann.patch(url, { when_busy: 'reject' })).json(), { name: 'Slow', when_busy: 'reject' })
  t.match((await ask(ann, url, 'third')).json(), BUSY)
  t.equal((await messagesOf(ann, url)).length, 4, 'nothing of it is stored')

  await ann.patch(url, { when_busy: 'interrupt' })
  const third = ask(ann, url, 'third')
  await isAborted(two)
  t.match((await second).json()[1], { text: 'half an ans', status: 'stopped' })
  const three = await bots.call(3)
  t.same(three.turns.map(({ text }) => text), ['first', 'answer one', 'second', 'half an ans', 'third'], 'both are answered')
  three.say('answer to both')
  three.end()
  t.match((await third).json()[1], { text: 'answer to both', status: 'complete' })
})

t.test('a user has three replies under way at most, wherever, however fast he asks', async t => {
  const { one, two, ann, annAtTwo, url, query } = await twoInstances(t)
  const urls = [url]
  for (let n = 1; n < 10; n++) urls.push(`/api/conversations/${await one.slowChat(ann)}`)
  const ended: unknown[] = []
  const refused: Array<Record<string, unknown>> = []
  const asked = urls.map((url, n) => ask(n % 2 === 0 ? ann : annAtTwo, url, 'Hi').then(answer => {
    if (answer.statusCode === 201) return ended.push(answer.json()[1].status)
    return refused.push({ ...answer.json(), 'retry-after': answer.headers['retry-after'] })
  }))
  await until(() => refused.length === 7)
  t.match(refused, Array(7).fill({ ...TOO_MANY, 'retry-after': /\d/ }))
  await until(() => one.bots.calls.length + two.bots.calls.length === 3)
  const bob = await one.as('bob')
  const bobs = await one.slowChat(bob)
  const his = ask(bob, `/api/conversations/${bobs}`, 'Hi')
  await until(() => one.bots.calls.length + two.bots.calls.length === 4)
  for (const { calls } of [one.bots, two.bots]) for (const call of calls) call.end()
  await Promise.all([his, ...asked])
  t.same(ended, ['complete', 'complete', 'complete'])

  const three = urls.slice(0, 3).map(url => ask(ann, url, 'Again'))
  await until(() => one.bots.calls.length + two.bots.calls.length === 7)
  const quiet = urls.find((_, n) => n > 2)!
  const [{ conversation_id: other }] = await query("SELECT conversation_id FROM messages WHERE sender = 'bot' AND status = 'complete' AND conversation_id = $1", [bobs])
  t.equal(other, String(bobs))
  t.match((await ask(ann, quiet, 'One more')).json(), TOO_MANY)
  for (const { calls } of [one.bots, two.bots]) for (const call of calls) call.end()
  await Promise.all(three)
})

t.test('asking again counts, too, and an edit is kept where it cannot be answered', async t => {
  const { bots, ann, slowChat, url } = await oneInstance(t)
  const sent = ask(ann, url, 'Hi')
  const first = await bots.call()
  first.end()
  await sent
  const others = []
  for (let n = 0; n < 3; n++) others.push(ask(ann, `/api/conversations/${await slowChat(ann)}`, 'Hi'))
  await bots.call(4)
  t.match((await ann.post(`${url}/messages/2/regenerate`)).json(), TOO_MANY)
  t.match((await ann.put(`${url}/messages/1`, { text: 'Edited' })).json(), { text: 'Edited' })
  for (const call of bots.calls) call.end()
  await Promise.all(others)
})

t.test('an instance writes so many replies at most, however many come at once; the others wait', async t => {
  const { bots, ann, as, slowChat, url } = await oneInstance(t, { MAX_GENERATIONS: 2 })
  const bob = await as('bob')
  const chats: Array<[Client, string]> = [[ann, url], [bob, `/api/conversations/${await slowChat(bob)}`]]
  for (const client of [ann, bob]) chats.push([client, `/api/conversations/${await slowChat(client)}`])
  const asked = chats.map(([client, url]) => ask(client, url, 'Hi'))
  await bots.call(2)
  const statuses = async () => (await Promise.all(chats.map(async ([client, url]) => (await messagesOf(client, url))[1]?.status))).sort()
  await until(async () => (await statuses()).join() === 'queued,queued,streaming,streaming')
  t.equal(bots.calls.length, 2)
  bots.calls[0]!.end()
  bots.calls[1]!.end()
  const next = [await bots.call(3), await bots.call(4)]
  for (const call of next) {
    call.say('at last')
    call.end()
  }
  t.same((await Promise.all(asked)).map(answer => answer.json()[1].status), Array(4).fill('complete'))

  const busy = [ask(ann, url, 'Hi'), ask(...chats[1]!, 'Hi')]
  await bots.call(6)
  const again = ann.post(`${chats[2]![1]}/messages/2/regenerate`)
  await until(async () => (await messagesOf(...chats[2]!))[1]?.status === 'queued')
  for (const call of bots.calls) call.end()
  const last = await bots.call(7)
  last.say('again')
  last.end()
  t.match((await again).json(), { text: 'again', status: 'complete' })
  await Promise.all(busy)
})

t.test('several bots: each one named answers, one after the other; who is instant does so at once', async t => {
  const { bots, ann, url, query } = await oneInstance(t)
  await query("INSERT INTO chatbots (name, engine) VALUES ('other', 'webhook')")
  for (const name of ['other', 'simulated']) await ann.post(`${url}/bots`, { name })
  t.same((await ask(ann, url, 'to nobody')).json().length, 1)
  const asked = ask(ann, url, '@other, @simulated, @slow what do you say?')
  const one = await bots.call()
  t.match(textsOf(await messagesOf(ann, url)).slice(2), [' (streaming)', 'You said: what do you say? (complete)', ' (queued)'])
  t.same(one.turns.map(({ text }) => text), ['to nobody', '@other, @simulated, @slow what do you say?'])
  one.say('I am the other')
  one.end()
  const two = await bots.call(2)
  t.same(two.turns.slice(2), [
    { sender: 'bot', name: 'other', text: 'I am the other' }, { sender: 'bot', name: 'simulated', text: 'You said: what do you say?' }
  ])
  two.say('I am slow')
  two.end()
  t.match((await asked).json(), [{ sender: 'user' }, { username: 'other', text: 'I am the other' }, { username: 'simulated' }, { username: 'slow', text: 'I am slow' }])
  const again = ann.post(`${url}/messages/5/regenerate`)
  ;(await bots.call(3)).end()
  t.match((await again).json(), { id: 5, username: 'slow', text: '', status: 'complete' })
})

t.test('a retry that comes while the first is still answered waits for that answer, anywhere', async t => {
  const { one, two, ann, annAtTwo, id, url, query } = await twoInstances(t)
  await ann.patch(url, { when_busy: 'reject' })
  const sockets = [await openSocket(t, await listen(one), ann), await openSocket(t, await listen(two), annAtTwo)]
  const send = (client: Client) => client.post(`${url}/messages`, { text: 'Once', client_id: 'c1' })
  const overSocket = (n: number) => sockets[n]!.ask('send_message', { chat_session_id: id, text: 'Once', client_id: 'c1' })
  const sent = [send(ann)]
  const call = await one.bots.call()
  sent.push(send(ann), send(annAtTwo))
  const acknowledged = [await overSocket(0), await overSocket(1)]
  for (const answer of acknowledged) t.match(answer, { messages: [{ id: 1, text: 'Once', isLocal: true }, { id: 2, status: 'streaming' }] })
  call.say('For all')
  for (const { screen } of sockets) await screen.until(() => screen.text(2) === 'For all')
  call.end()
  const answers = await Promise.all(sent)
  t.match(answers[0]!.json(), [{ id: 1, text: 'Once' }, { id: 2, text: 'For all', status: 'complete' }])
  for (const answer of answers) t.same([answer.statusCode, answer.body], [201, answers[0]!.body])
  for (const { screen } of sockets) await screen.until(() => screen.status(2) === 'complete')
  t.match(await overSocket(1), { messages: [{ id: 1 }, { id: 2, text: 'For all', status: 'complete' }] })
  t.match(await query('SELECT count(*)::int FROM messages'), [{ count: 2 }])
  t.match((await ann.post(`${url}/messages`, { text: 'Twice', client_id: 'c1' })).json(), { statusCode: 409, code: 'IDEMPOTENCY_MISMATCH' })

  const lock = await holdLock(t, one.connection, id)
  const raced = [ann, annAtTwo].map(client => client.post(`${url}/messages`, { text: 'At once', client_id: 'c2' }))
  await lock.until(2)
  await lock.release()
  await until(() => one.bots.calls.length + two.bots.calls.length === 2)
  for (const { calls } of [one.bots, two.bots]) for (const call of calls) call.end()
  const [first, second] = await Promise.all(raced)
  t.equal(first!.statusCode, 201, 'who is answered is not told that the bot is busy with it')
  t.equal(first!.body, second!.body)
})

t.test('a reply whose writer is silent for too long is interrupted, keeps its text, and the next one begins', async t => {
  const { one, two, ann, annAtTwo, url, query } = await twoInstances(t)
  const reader = await openStream(t, `${await listen(two)}${url}/events?after=0`, annAtTwo)
  const asked = ask(ann, url, 'Hi')
  const call = await one.bots.call()
  call.say('So far')
  await isStored({ query }, 2, 'So far')
  const second = ask(annAtTwo, url, 'And?')
  await until(async () => (await messagesOf(ann, url)).length === 4)
  // As if this instance had stood still, and another one had it for dead.
  await query("UPDATE messages SET lease_owner = 'another', lease_until = now() - interval '1 second' WHERE id = 2")
  await hasStatus({ query }, 2, 'interrupted')
  await isAborted(call)
  call.say(' and on')
  call.end()
  t.match((await asked).json()[1], { text: 'So far', status: 'interrupted' })
  await reader.screen.until(() => reader.screen.status(2) === 'interrupted')
  await until(() => one.bots.calls.length + two.bots.calls.length === 2)
  const next = two.bots.calls[0] ?? one.bots.calls[1]!
  t.same(next.turns.map(({ text }) => text), ['Hi', 'So far', 'And?'])
  next.say('Here I am')
  await reader.screen.until(() => reader.screen.text(4) === 'Here I am')
  // The writer is gone, and somebody had asked to stop.
  await query("UPDATE messages SET lease_owner = 'another', stop_requested = true, lease_until = now() - interval '1 second' WHERE id = 4")
  t.match((await second).json()[1], { text: 'Here I am', status: 'stopped' })
  t.match(await query('SELECT lease_owner FROM messages WHERE lease_owner IS NOT NULL'), [])
})

t.test('an instance whose lease was given away writes nothing more, neither into this reply nor into the next one', async t => {
  const { bots, ann, url, query } = await oneInstance(t)
  const asked = ask(ann, url, 'Hi')
  const call = await bots.call()
  call.say('mine')
  await isStored({ query }, 2, 'mine')
  await query("UPDATE messages SET status = 'interrupted', rev = 3, lease_owner = NULL, lease_until = NULL WHERE id = 2")
  await query('UPDATE conversations SET last_rev = 3')
  const again = ann.post(`${url}/messages/2/regenerate`)
  const next = await bots.call(2)
  call.say(' still')
  call.end()
  next.say('anew')
  await isStored({ query }, 2, 'anew')
  next.end()
  t.match((await again).json(), { text: 'anew', status: 'complete' })
  t.match((await asked).json()[1], { text: 'anew', status: 'complete' })

  const lost = ask(ann, url, 'Once more')
  const last = await bots.call(3)
  await query("UPDATE messages SET lease_owner = 'another' WHERE id = 7")
  last.say('nobody hears this')
  await isAborted(last)
  t.equal((await rowOf({ query }, 7)).text, '')
  await query('UPDATE messages SET lease_until = now() WHERE id = 7')
  t.match((await lost).json()[1], { text: '', status: 'interrupted' })
})

t.test('an instance that loses the database for ever leaves its replies to the others; one that gets it back goes on', async t => {
  const connection = await freshDatabase(t)
  const cables = [await layCable(t, connection as pg.ClientConfig), await layCable(t, connection as pg.ClientConfig)]
  for (const cable of cables) await cable.open()
  const [one, two] = [await startApp(t, {}, undefined, { connectionString: cables[0]!.url }), await startApp(t, {}, undefined, { connectionString: cables[1]!.url })]
  const three = await startApp(t, {}, undefined, connection)
  for (const { bots } of [one, two, three]) bots.takeOver()
  const ann = await three.as('ann')
  const at = ({ clientOf }: App) => clientOf(ann.headers)
  const chats = [await three.slowChat(ann), await three.slowChat(ann)].map(id => `/api/conversations/${id}`)
  const first = ask(at(one), chats[0]!, 'Hi')
  const second = ask(at(two), chats[1]!, 'Hi')
  const [dying, patient] = [await one.bots.call(), await two.bots.call()]
  const waiting = ask(ann, chats[0]!, 'And?')
  const reader = await openStream(t, `${await listen(two)}${chats[1]}/events?after=0`, at(two))
  dying.say('all that was stored')
  patient.say('one, ')
  await until(async () => (await three.query("SELECT FROM messages WHERE text IN ('all that was stored', 'one, ')")).length === 2)
  await reader.screen.until(() => reader.screen.text(2) === 'one, ')

  for (const cable of cables) await cable.close()
  patient.say('two, ')
  await reader.screen.until(() => reader.screen.text(2) === 'one, two, ')
  dying.end()
  t.match((await at(two).post(`${chats[1]}/stop`)).json(), BROKEN)
  await sleep(1_500)
  await cables[1]!.open()
  patient.say('three 🙂')
  await until(async () => (await three.query("SELECT FROM messages WHERE text = 'one, two, three 🙂' AND status = 'streaming'")).length === 1)
  patient.end()
  t.match((await second).json()[1], { text: 'one, two, three 🙂', status: 'complete' })
  await reader.screen.until(() => reader.screen.status(2) === 'complete')
  t.equal(reader.screen.text(2), 'one, two, three 🙂')

  await until(async () => (await messagesOf(ann, chats[0]!))[1].status === 'interrupted')
  t.match((await messagesOf(ann, chats[0]!))[1], { text: 'all that was stored' })
  await until(() => two.bots.calls.length + three.bots.calls.length === 2)
  const next = three.bots.calls[0] ?? two.bots.calls[1]!
  next.say('I take over')
  next.end()
  t.match((await waiting).json()[1], { text: 'I take over', status: 'complete' })
  await cables[0]!.open()
  t.match((await first).json()[1], { text: 'all that was stored', status: 'interrupted' }, 'who waited there is told when it can be')
})

t.test('a server that closes lets replies end, interrupts those that do not, and begins none', async t => {
  const patient = { ...await freshDatabase(t), statement_timeout: 60_000, query_timeout: 60_000 }
  const { one, two, ann, annAtTwo, url, query } = await twoInstances(t, {}, patient)
  const bob = await one.as('bob')
  const [bobs, slow, quick] = [await one.slowChat(bob), await one.slowChat(ann), await one.slowChat(bob)].map(id => `/api/conversations/${id}`)
  const base = await listen(one)
  const silent = await openStream(t, `${base}${url}/messages`, ann, { body: { text: 'Hi' } })
  const reader = await openStream(t, `${base}${slow}/events`, ann)
  const ending = ask(bob, bobs!, 'Hi')
  const [, call] = [await one.bots.call(), await one.bots.call(2)]
  const answered = fetch(`${base}${url}/messages`, { method: 'POST', headers: { ...ann.headers, 'content-type': 'application/json' }, body: '{"text":"And?"}' })
  await until(async () => (await messagesOf(annAtTwo, url)).length === 4)
  const lock = await holdLock(t, one.connection, Number(slow!.split('/').at(-1)))
  const begun = ask(ann, slow!, 'Hi')
  await lock.until(1)
  const other = await holdLock(t, one.connection, Number(quick!.split('/').at(-1)))
  const late = ask(bob, quick!, 'Hi')
  await other.until(2)

  const before = Date.now()
  const closed = one.app.close()
  await until(async () => (await fetch(`${base}/health/ready`)).status === 503)
  await lock.release()
  const last = await one.bots.call(3)
  last.say('I was quick')
  last.end()
  t.match((await begun).json()[1], { text: 'I was quick', status: 'complete' }, 'what was being begun is begun')
  call.say('Just in time')
  call.end()
  t.match((await ending).json()[1], { text: 'Just in time', status: 'complete' })
  one.bots.calls[0]!.say('I never')
  await isAborted(one.bots.calls[0]!)
  t.ok(Date.now() - before > 7_000, `after ${Date.now() - before} ms`)
  await other.release()
  t.match((await late).json(), [{}, { text: '', status: 'interrupted' }])
  await silent.ended
  t.match([silent.screen.text(2), silent.screen.status(2)], ['I never', 'interrupted'], 'its readers see the end')
  t.equal(await reader.ended, true, 'in good order')
  const refused = await answered
  t.match([refused.status, await refused.json(), refused.headers.get('retry-after')], [503, BROKEN, /\d/], 'to be asked again elsewhere')
  await closed
  const next = await two.bots.call()
  t.same(next.turns.map(({ text }) => text), ['Hi', 'I never', 'And?'], 'the other instance goes on')
  next.end()
  await hasStatus({ query }, 4, 'complete')
})

t.test('whatever is deleted or taken out while a reply is under way, nothing hangs and nothing breaks', async t => {
  const { bots, app, as, slowChat, query } = await oneInstance(t)
  const base = await listen({ app })
  let n = 0
  const begin = async () => {
    n++
    const [ann, bob] = [await as(`ann${n}`), await as(`bob${n}`)]
    const url = `/api/conversations/${await slowChat(ann)}`
    await ann.post(`${url}/users`, { username: `bob${n}` })
    const calls = bots.calls.length
    const waiting = ask(bob, url, 'Hi')
    const call = await bots.call(calls + 1)
    call.say('So far')
    await until(async () => (await messagesOf(ann, url))[1].text === 'So far')
    const queued = ask(ann, url, 'And?')
    await until(async () => (await messagesOf(ann, url)).length === 4)
    const stream = await openStream(t, `${base}${url}/events?after=0`, bob)
    await stream.screen.until(() => stream.screen.text(2) === 'So far')
    const endNext = async () => {
      const next = await bots.call(calls + 2)
      next.say('Next')
      next.end()
      return (await queued).json()
    }
    return { ann, bob, url, call, waiting, queued, stream, endNext, bobs: (await bob.get('/api/me')).json().id }
  }

  const message = await begin()
  t.equal((await message.ann.delete(`${message.url}/messages/2`)).statusCode, 204)
  await isAborted(message.call)
  t.match((await message.waiting).json()[1], { text: '', status: 'deleted' }, 'the reply is deleted')
  await message.stream.screen.until(() => message.stream.screen.status(2) === 'deleted')
  t.match((await message.endNext())[1], { text: 'Next', status: 'complete' })

  const question = await begin()
  t.equal((await question.bob.delete(`${question.url}/messages/1`)).statusCode, 204)
  question.call.end()
  t.match((await question.waiting).json(), [{ text: '', status: 'deleted' }, { text: 'So far', status: 'complete' }], 'its question is deleted')
  await question.endNext()

  const conversation = await begin()
  t.equal((await conversation.ann.delete(conversation.url)).statusCode, 204)
  await isAborted(conversation.call)
  for (const answer of [await conversation.waiting, await conversation.queued]) t.match(answer.json(), GONE, 'the conversation is deleted')
  t.equal(await conversation.stream.ended, true)

  const member = await begin()
  t.equal((await member.ann.delete(`${member.url}/users/${member.bobs}`)).statusCode, 204)
  t.match((await member.waiting).json(), GONE, 'who asked is taken out')
  t.equal(await member.stream.ended, true)
  member.call.say(', and on')
  member.call.end()
  t.match((await member.endNext())[1], { status: 'complete' })
  t.match((await messagesOf(member.ann, member.url))[1], { text: 'So far, and on', status: 'complete' })

  const account = await begin()
  t.equal((await account.bob.delete('/api/me', {}, { password: 'correct horse' })).statusCode, 204)
  t.match((await account.waiting).json(), GONE, 'the account is deleted')
  t.equal(await account.stream.ended, true)
  account.call.end()
  await account.endNext()
  t.match((await messagesOf(account.ann, account.url)).slice(0, 2), [{ username: null, text: 'Hi' }, { text: 'So far', status: 'complete' }])

  const out = await begin()
  const slow = (await out.ann.get(`${out.url}/bots`)).json()[0].id
  t.equal((await out.ann.delete(`${out.url}/bots/${slow}`)).statusCode, 204)
  out.call.end()
  t.match((await out.waiting).json()[1], { text: 'So far', status: 'complete' }, 'the bot is taken out')
  await out.endNext()

  const bot = await begin()
  await query("UPDATE users SET role = 'admin' WHERE username_key LIKE 'ann%'")
  t.equal((await bot.ann.delete(`/api/admin/bots/${slow}`)).statusCode, 204)
  bot.call.say('!')
  bot.call.end()
  t.match((await bot.waiting).json()[1], { username: null, text: 'So far!', status: 'complete' }, 'the bot is deleted')
  t.match((await bot.queued).json()[1], { username: null, text: '', status: 'failed' }, 'and answers nothing more')
})

t.test('tokens are counted by day and bot', async t => {
  const { bots, anyone, clientOf, ann, as, url, query } = await oneInstance(t)
  await query("INSERT INTO chatbots (name, engine) VALUES ('other', 'webhook')")
  await ann.post(`${url}/bots`, { name: 'other' })
  const cost = async (client: Client, text: string, spent: Array<[number, number]>) => {
    const calls = bots.calls.length
    const asked = ask(client, url, text)
    for (const [n, [prompt, completion]] of spent.entries()) {
      const call = await bots.call(calls + n + 1)
      call.cost(prompt, completion)
      call.end()
    }
    await asked
  }
  t.same((await ann.get('/api/me/usage')).json(), [])
  await cost(ann, '@slow one', [[10, 1]])
  await cost(ann, '@slow @other two', [[20, 2], [30, 3]])
  await cost(ann, '@slow three', [[40, 4]])
  const free = ask(ann, url, '@slow for nothing')
  ;(await bots.call(5)).end()
  await free
  await query("UPDATE messages SET created_at = '2026-03-01T23:59:59Z' WHERE id <= 2")
  await query("UPDATE messages SET created_at = '2026-03-02T00:00:00Z' WHERE id BETWEEN 3 AND 9")
  await query("UPDATE messages SET created_at = '2026-03-03T12:00:00Z' WHERE id > 9")
  const [third, other, second, first] = [
    { day: '2026-03-03', bot: 'slow', replies: 1, prompt_tokens: 40, completion_tokens: 4 },
    { day: '2026-03-02', bot: 'other', replies: 1, prompt_tokens: 30, completion_tokens: 3 },
    { day: '2026-03-02', bot: 'slow', replies: 1, prompt_tokens: 20, completion_tokens: 2 },
    { day: '2026-03-01', bot: 'slow', replies: 1, prompt_tokens: 10, completion_tokens: 1 }
  ]
  t.same((await ann.get('/api/me/usage')).json(), [third, other, second, first])
  const pages = []
  for (let next = '/api/me/usage?limit=1'; next;) {
    const answer = await ann.get(next)
    pages.push(answer.json())
    next = /<(.*)>; rel="next"/.exec(String(answer.headers.link))?.[1] ?? ''
  }
  t.same(pages, [[third], [other, second], [first]], 'by pages of whole days')
  t.same((await ann.get('/api/me/usage?before=2026-03-02')).json(), [first])
  for (const before of ['2026-13-01', '2026-3-1', 'x']) t.match((await ann.get(`/api/me/usage?before=${before}`)).json(), { statusCode: 400 })

  const bob = await as('bob')
  await ann.post(`${url}/users`, { username: 'bob' })
  await cost(bob, '@slow from Bob', [[7, 7]])
  t.match((await bob.get('/api/me/usage')).json(), [{ bot: 'slow', replies: 1, prompt_tokens: 7 }], 'who asked pays')
  t.equal((await ann.get('/api/me/usage')).json().length, 4)
  await query("DELETE FROM chatbots WHERE name = 'slow'")
  t.match((await ann.get('/api/me/usage')).json().map(({ bot }: { bot: string | null }) => bot), [null, 'other', null, null])
  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  t.match((await clientOf({ authorization: `Bearer ${token}` }).get('/api/me/usage')).json(), { code: 'NOT_FOR_GUESTS' })
})

t.test('a guest waits for the reply of a bot that takes its time', async t => {
  const { anyone, bots, query } = await oneInstance(t, { GUEST_BOT: 'slow' })
  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  const say = (content: string, more: object = {}) => anyone.post('/chat', { token, content, ...more })
  const sent = [say('Hi', { client_id: 'c1' })]
  const call = await bots.call()
  sent.push(say('Hi', { client_id: 'c1' }))
  t.same(call.turns.map(({ text }) => text), ['Hello!', 'Hi'])
  call.say('I am ')
  await isStored({ query }, 3, 'I am ')
  call.say('here')
  call.end()
  for (const answer of await Promise.all(sent)) t.same([answer.statusCode, answer.json()], [200, { text: 'I am here' }])
  t.equal(bots.calls.length, 1)

  const failing = say('And?')
  ;(await bots.call(2)).fail(new Error('the provider’s own words'))
  const failed = await failing
  t.match([failed.statusCode, failed.json()], [503, { statusCode: 503, code: 'BOT_FAILED', error: '503 Service Unavailable: The bot cannot answer right now, please try again' }])
  t.match(failed.headers['retry-after'], /\d/)
})

t.test('who is behind, or hears of a reply late, gets it as far as it is, and then what comes', async t => {
  const { app, bots, ann, id, url, query } = await oneInstance(t)
  const base = await listen({ app })
  const asked = ask(ann, url, 'over HTTP', { 'idempotency-key': 'k' })
  const call = await bots.call()
  call.say('One')
  await isStored({ query }, 2, 'One')
  const tail = await openStream(t, `${base}${url}/events`, ann)
  await tail.screen.until(() => tail.screen.text(2) === 'One')
  t.equal(tail.lastId, 2, 'from now on, which the reader knows')

  const socket = await openSocket(t, base, ann)
  const { messages } = await socket.ask('send_message', { chat_session_id: id, text: 'over a socket' })
  t.match(messages, [{ id: 3, status: 'complete' }, { id: 4, status: 'queued' }])
  await socket.screen.until(() => socket.screen.text(2) === 'One')
  call.say(', two')
  for (const { screen } of [tail, socket]) await screen.until(() => screen.text(2) === 'One, two')
  await isStored({ query }, 2, 'One, two')
  const late = await openSocket(t, base, ann)
  t.match(await late.ask('send_message', { chat_session_id: id, text: 'over HTTP', client_id: 'k' }), { messages: [{ id: 1 }, { id: 2, text: 'One, two' }] })
  await late.screen.until(() => late.screen.text(2) === 'One, two' && late.screen.status(4) === 'queued')
  call.say(', three')
  for (const { screen } of [tail, socket, late]) await screen.until(() => screen.text(2) === 'One, two, three')

  // One who comes back shows an older message, and stays where it is.
  await ann.put(`${url}/messages/3`, { text: 'changed' })
  await tail.screen.until(() => tail.screen.text(3) === 'changed')
  const back = await openStream(t, `${base}${url}/events`, ann, { lastEventId: tail.lastId, screen: tail.screen })
  await back.screen.until(() => back.events.length > 0)
  t.match([back.events[0]!.data.id, back.events[0]!.id, back.lastId], [2, undefined, 5])
  call.end()
  await asked
  const next = await bots.call(2)
  next.end()
  for (const { screen } of [back, socket, late]) await screen.until(() => screen.status(4) === 'complete')
})

t.test('a reader that leaves stops nothing; one that reads too slowly is let go, and slows nobody', async t => {
  const { app, bots, ann, slowChat, url, query } = await oneInstance(t)
  const base = await listen({ app })
  const leaving = await openStream(t, `${base}${url}/messages`, ann, { body: { text: 'Hi' } })
  const call = await bots.call()
  leaving.leave()
  const waiting = new AbortController()
  const gone = fetch(`${base}${url}/messages`, { method: 'POST', headers: { ...ann.headers, 'content-type': 'application/json' }, body: '{"text":"And?"}', signal: waiting.signal })
  await until(async () => (await messagesOf(ann, url)).length === 4)
  waiting.abort()
  await t.rejects(gone)
  call.say('I go on')
  call.end()
  await hasStatus({ query }, 2, 'complete')
  ;(await bots.call(2)).end()
  await hasStatus({ query }, 4, 'complete')

  const slow = await slowChat(ann)
  const { answer: unread } = await openAnswer(t, `${base}/api/conversations/${slow}/events?after=0`, ann)
  const fast = await openStream(t, `${base}/api/conversations/${slow}/events?after=0`, ann)
  let asked = ask(ann, `/api/conversations/${slow}`, 'Talk')
  for (let n = 3; n < 150; n++) {
    const talking = await bots.call(n)
    talking.say(`${n} `.repeat(30_000).slice(0, 90_000))
    talking.end()
    t.equal((await asked).json()[1].status, 'complete')
    asked = ask(ann, `/api/conversations/${slow}`, 'Talk')
  }
  ;(await bots.call(150)).end()
  const [, last] = (await asked).json()
  await fast.screen.until(() => fast.screen.status(last.id) === 'complete')
  await t.rejects(textOf(unread), 'who reads nothing is let go, and can tell')
})

t.test('a long way to catch up is gone in the reader’s pace, as long as he may', async t => {
  const { app, ann, slowChat, bots, query } = await oneInstance(t)
  const base = await listen({ app })
  const fill = async (text: string, many: number) => {
    const id = await slowChat(ann)
    await query('UPDATE conversations SET last_rev = $2 WHERE id = $1', [id, many])
    await query('INSERT INTO messages (conversation_id, id, rev, sender, text) SELECT $1, n, n, \'bot\', $2 FROM generate_series(1, $3::int) n', [id, text, many])
    return { id, url: `${base}/api/conversations/${id}/events?after=0` }
  }
  const many = await fill('x', 450)
  const stream = await openStream(t, many.url, ann)
  await stream.screen.until(() => stream.screen.shown.size === 450)
  t.same(stream.events.map(({ id }) => Number(id)), Array.from({ length: 450 }, (_, n) => n + 1))
  await query('INSERT INTO messages (conversation_id, id, rev, sender, text) SELECT $1, n, n, \'bot\', $2 FROM generate_series(451, 900) n', [many.id, 'y'])
  await query('UPDATE conversations SET last_rev = 900 WHERE id = $1', [many.id])
  await stream.screen.until(() => stream.screen.shown.size === 900)
  t.equal(stream.events.length, 900, 'so many that come at once come once')

  const large = await fill('x'.repeat(90_000), 210)
  const { answer: slow } = await openAnswer(t, large.url, ann)
  await query('DELETE FROM conversation_users WHERE conversation_id = $1', [large.id])
  await t.rejects(textOf(slow), 'who is taken out meanwhile gets no more')
  t.equal(bots.calls.length, 0)
})

t.test('a quiet stream says every 15 s that it is alive', async t => {
  const { app, ann, url } = await oneInstance(t)
  const base = await listen({ app })
  const { setInterval } = globalThis
  const beats: Array<() => void> = []
  t.teardown(() => { globalThis.setInterval = setInterval })
  globalThis.setInterval = ((work: () => void, time: number) => {
    if (time === 15_000) beats.push(work)
    return setInterval(work, time)
  }) as typeof setInterval
  const stream = await openStream(t, `${base}${url}/events`, ann)
  await stream.screen.until(() => stream.lastId === 0)
  t.equal(beats.length, 1)
  beats[0]!()
  await stream.screen.until(() => stream.comments === 1)
  await ann.post('/api/logout')
  t.equal(await stream.ended, true, 'it ends with the session')
  beats[0]!()
})
