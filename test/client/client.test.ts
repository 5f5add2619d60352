import t from 'tap'
import { execFile } from 'node:child_process'
import http from 'node:http'
import { once } from 'node:events'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { createClient, ParleyError, type Message } from '../../client/index.ts'
import { API_KEY } from '../support/constants.ts'
import { startLive, tokenOf } from '../support/live.ts'
import { clientAt, PASSWORD, said, signedIn, waiting, watch, when } from '../support/parley-client.ts'
import { layCable, until } from '../support/process.ts'

// Our own client, in Node.js, against a server over loopback.

/** A server, Ann, her client there, and a conversation of hers with a bot that says what the test makes it say. */
async function start (t: Parameters<typeof startLive>[0], options: Parameters<typeof signedIn>[3] = {}) {
  const server = await startLive(t)
  server.bots.takeOver()
  const ann = await server.as('ann')
  const parley = await signedIn(t, server.url, 'ann', options)
  const chat = parley.conversation(await server.slowChat(ann))
  return { ...server, ann, parley, chat, path: `/api/conversations/${chat.id}` }
}

const stored = async ({ query, chat }: Pick<Awaited<ReturnType<typeof start>>, 'query' | 'chat'>) =>
  (await query("SELECT text FROM messages WHERE conversation_id = $1 AND sender = 'user' ORDER BY id", [chat.id])).map(({ text }) => text)

t.test('signing in and out, with a token and with a cookie', async t => {
  const { as, url } = await startLive(t)
  await as('ann')
  const parley = clientAt(t, url)
  t.equal(await parley.me(), null)
  await t.rejects(parley.signIn({ username: 'ann', password: 'wrong horse' }), { name: 'ParleyError', code: 'INVALID_CREDENTIALS', status: 401, message: 'Invalid username or password' })
  t.match(await parley.signIn({ username: 'ann', password: PASSWORD }), { username: 'ann' })
  t.match(await parley.me(), { username: 'ann' })
  await parley.signOut()
  t.equal(await parley.me(), null)

  let cookie = ''
  const inBrowser = clientAt(t, `${url}/`, {
    session: 'cookie',
    async fetch (input, init) {
      t.equal(init!.credentials, 'include')
      const answer = await fetch(input, { ...init, headers: { ...init!.headers, cookie } })
      for (const set of answer.headers.getSetCookie()) cookie = set.split(';')[0]!
      return answer
    }
  })
  t.match(await inBrowser.signIn({ username: 'ann', password: PASSWORD }), { username: 'ann' })
  t.match(await inBrowser.me(), { username: 'ann' })
  await inBrowser.signOut()
  t.equal(await inBrowser.me(), null)
})

t.test('a message is sent, and its reply appears while it is written', async t => {
  const { chat, bots } = await start(t)
  const seen: string[][] = []
  t.teardown(chat.follow(state => seen.push(said(state))))
  t.match(await chat.send('Hello!'), { id: 1, sender: 'user', username: 'ann', text: 'Hello!' })
  const { say, think, end } = await bots.call()
  think('Hm. ')
  say('Hi')
  const { messages: [question, reply], isReplying } = await when(chat, state => said(state).includes('Hi (streaming)'))
  t.ok(isReplying)
  t.match(reply!.parts, [{ type: 'reasoning', text: 'Hm. ' }, { type: 'text', text: 'Hi' }])
  say(' there')
  end()
  const { messages, unsent } = await when(chat, ({ isReplying, connection }) => !isReplying && connection === 'live')
  t.same(said({ messages }), ['Hello!', 'Hi there'])
  t.equal(messages[0], question, 'a message that does not change stays the same object')
  t.same(unsent, [])
  t.ok(seen.some(texts => texts[1] === 'Hi (streaming)'))
})

t.test('a conversation that nobody follows is current until the replies to what was sent have ended', async t => {
  const { chat, bots } = await start(t)
  const message = await chat.send({ parts: [{ type: 'text', text: 'Hello!' }], metadata: { from: 'a test' } })
  t.match(message, { text: 'Hello!', metadata: { from: 'a test' } })
  const { say, end } = await bots.call()
  say('Hi')
  await until(() => said(chat.state).at(-1) === 'Hi (streaming)')
  t.equal(chat.state.connection, 'closed')
  end()
  await until(() => !chat.state.isReplying)
  t.same(said(chat.state), ['Hello!', 'Hi'])
  t.equal(chat.state.isLoaded, false, 'older messages were not needed')
})

t.test('when the connection breaks while such a reply is written, its end is read all the same', async t => {
  const { chat: { id }, bots, port, ann, path } = await start(t)
  const cable = await layCable(t, { host: '127.0.0.1', port })
  await cable.open()
  const parley = await signedIn(t, `http://127.0.0.1:${(cable.server.address() as AddressInfo).port}`)
  const chat = parley.conversation(id)
  await chat.send('Hello!')
  const { say, end } = await bots.call()
  say('Hi')
  await until(() => said(chat.state).at(-1) === 'Hi (streaming)')
  await cable.close()
  say(' there')
  end()
  await until(async () => (await ann.get(`${path}/messages`)).json()[1].status === 'complete')
  await cable.open()
  await until(() => !chat.state.isReplying)
  t.same(said(chat.state), ['Hello!', 'Hi there'])
  await until(() => chat.state.connection === 'closed')
})

t.test('when the connection of a follower breaks, too, the older messages that were loaded stay', async t => {
  let lost = new AbortController()
  let isAway = false
  const { chat, bots, parley, query } = await start(t, {
    async fetch (input, init) {
      const isStream = new Headers(init!.headers).get('accept') === 'text/event-stream'
      if (isStream && isAway && init!.method === 'GET') throw new TypeError('fetch failed')
      return await fetch(input, isStream ? { ...init, signal: AbortSignal.any([init!.signal!, lost.signal]) } : init)
    }
  })
  await query("INSERT INTO messages (conversation_id, id, rev, sender, text) SELECT $1, n, n, 'user', 'Number ' || n FROM generate_series(1, 120) n", [chat.id])
  await query('UPDATE conversations SET last_rev = 120 WHERE id = $1', [chat.id])
  watch(t, chat)
  await when(chat, ({ connection }) => connection === 'live')
  await chat.older()
  t.equal(chat.state.messages.length, 100)
  const lose = () => {
    lost.abort()
    lost = new AbortController()
  }
  isAway = true
  lose()
  await when(chat, ({ connection }) => connection === 'waiting')
  await chat.send('Hello!')
  const { say, end } = await bots.call()
  say('Hi')
  await when(chat, state => said(state).at(-1) === 'Hi (streaming)')
  lose()
  say(' there')
  end()
  await until(async () => (await query("SELECT FROM messages WHERE status = 'complete' AND text = 'Hi there'")).length === 1)
  isAway = false
  parley.reconnect()
  await when(chat, ({ isReplying, connection }) => !isReplying && connection === 'live')
  t.equal(chat.state.messages.length, 102)
  t.same(said(chat.state).slice(-2), ['Hello!', 'Hi there'])
})

t.test('wherever a proxy cuts the stream that answers a message, the message and its reply are there, once', async t => {
  const { port, as, slowChat, query } = await startLive(t)
  const ann = await as('ann')
  const id = await slowChat(ann)
  const received = { length: 0, head: 0, hasReply: 0 }
  let left = Infinity
  let version = '1.1'
  const proxy = net.createServer(near => {
    const far = net.connect(port, '127.0.0.1')
    let isPost = false
    near.on('data', data => {
      isPost = data.includes('POST /api/conversations/')
      far.write(isPost ? data.toString('latin1').replace(' HTTP/1.1', ` HTTP/${version}`) : data, 'latin1')
    })
    far.on('data', (data: Buffer) => {
      if (!isPost) return near.write(data)
      near.write(data.subarray(0, left))
      left -= data.length
      received.head ||= data.indexOf('\r\n\r\n')
      received.length += data.length
      if (data.includes('"streaming"')) received.hasReply = received.length
      if (left > 0) return
      left = Infinity
      near.end()
      far.destroy()
    })
    for (const [end, other] of [[near, far], [far, near]] as const) {
      end.on('error', () => { /* 'close' follows */ })
      end.once('close', () => other.destroySoon())
    }
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => proxy.close())

  async function cutAfter (bytes: number) {
    left = bytes
    const parley = await signedIn(t, `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`)
    const chat = parley.conversation(id)
    const text = `${version}, ${bytes} bytes 😀`
    await chat.send(text)
    await until(() => chat.state.messages.at(-1)?.status === 'complete' && !chat.state.isReplying && chat.state.connection === 'closed' && chat.state.messages.length > 1)
    t.same(said(chat.state).slice(-2), [text, `Slowly: ${text}`], `cut after ${bytes} bytes with HTTP/${version}`)
    parley.close()
  }

  await cutAfter(Infinity)
  const { length, head } = received
  const STEP = 11
  for (let bytes = head; bytes < length; bytes += STEP) await cutAfter(bytes)
  version = '1.0'
  Object.assign(received, { length: 0, hasReply: 0 })
  await cutAfter(Infinity)
  const { length: closed, hasReply } = received
  for (let bytes = hasReply; bytes < closed; bytes += STEP) await cutAfter(bytes)
  const twice = await query('SELECT text FROM messages GROUP BY text HAVING count(*) > 1')
  t.same(twice, [])
})

t.test('messages come in pages', async t => {
  const { chat, query } = await start(t)
  await query("INSERT INTO messages (conversation_id, id, rev, sender, text) SELECT $1, n, n, 'user', 'Number ' || n FROM generate_series(1, 120) n", [chat.id])
  await query('UPDATE conversations SET last_rev = 120 WHERE id = $1', [chat.id])
  await chat.older()
  t.equal(chat.state.messages.length, 0, 'nothing is loaded before it is followed')
  watch(t, chat)
  const { hasOlder } = await when(chat, ({ isLoaded }) => isLoaded)
  const ids = () => chat.state.messages.map(({ id }) => id)
  t.same([hasOlder, ids()[0], ids().length], [true, 71, 50])
  await Promise.all([chat.older(), chat.older()])
  t.same([chat.state.hasOlder, ids()[0], ids().length], [true, 21, 100], 'a page is loaded once')
  await chat.older()
  t.same([chat.state.hasOlder, ids()[0], ids().length], [false, 1, 120])
  await chat.older()
  t.same(ids(), Array.from({ length: 120 }, (_, n) => n + 1))
})

t.test('a message that is edited or deleted while its page is on its way is not shown as it was', async t => {
  const asked = Promise.withResolvers<void>()
  const arriving = Promise.withResolvers<void>()
  const { parley, ann, query } = await start(t, {
    async fetch (input, init) {
      const answer = await fetch(input, init)
      if (String(input).includes('before=')) {
        asked.resolve()
        await arriving.promise
      }
      return answer
    }
  })
  const chat = await parley.create({ bots: [] })
  const path = `/api/conversations/${chat.id}/messages`
  await query("INSERT INTO messages (conversation_id, id, rev, sender, user_id, text) SELECT id, n, n, 'user', owner_id, 'Number ' || n FROM conversations, generate_series(1, 60) n WHERE id = $1", [chat.id])
  await query('UPDATE conversations SET last_rev = 60 WHERE id = $1', [chat.id])
  await when(watch(t, chat), ({ isLoaded }) => isLoaded)
  const loading = chat.older()
  await asked.promise
  await ann.put(`${path}/3`, { text: 'Number three' })
  await ann.delete(`${path}/4`)
  await ann.post(path, { text: 'Number 61' })
  await when(chat, state => said(state).at(-1) === 'Number 61')
  arriving.resolve()
  await loading
  t.same(said(chat.state).slice(0, 4), ['Number 1', 'Number 2', 'Number three', 'Number 5'])
  t.same([chat.state.messages.length, chat.state.hasOlder], [60, false])
})

t.test('stopped, regenerated, edited and deleted', async t => {
  const { chat, bots } = await start(t)
  watch(t, chat)
  await chat.send('Hello!')
  const first = await bots.call()
  first.say('One')
  await when(chat, state => said(state).includes('One (streaming)'))
  await chat.stop()
  await when(chat, state => said(state).includes('One (stopped)'))
  t.ok(first.signal.aborted)

  await chat.regenerate()
  const second = await bots.call(2)
  second.say('Two')
  second.end()
  await when(chat, state => said(state).includes('Two'))
  t.match(await chat.edit(1, 'Goodbye!'), { id: 1, text: 'Goodbye!' })
  const third = await bots.call(3)
  t.equal(third.turns.at(-1)!.text, 'Goodbye!')
  third.say('Three')
  third.end()
  await when(chat, state => said(state).join() === 'Goodbye!,Three')
  await chat.remove(1)
  t.same(said(chat.state), ['Three'])
  await t.rejects(chat.remove(1), { code: 'MESSAGE_NOT_FOUND', status: 404 })
})

t.test('without a follower a regenerated reply is read to its end', async t => {
  const { chat, bots } = await start(t)
  await chat.send('Hello!')
  const first = await bots.call()
  first.end()
  await until(() => !chat.state.isReplying)
  await chat.regenerate(2)
  const second = await bots.call(2)
  second.say('Two')
  second.end()
  await until(() => said(chat.state).at(-1) === 'Two')
})

t.test('without a follower the last reply is regenerated, whatever is loaded', async t => {
  const { chat, bots, ann, path } = await start(t)
  await t.rejects(chat.regenerate(), { code: 'MESSAGE_NOT_FOUND', message: 'There is no reply to be generated again' })
  const sent = ann.post(`${path}/messages`, { text: 'Hello!' })
  const first = await bots.call()
  first.say('One')
  first.end()
  await sent
  await chat.regenerate()
  const second = await bots.call(2)
  second.say('Two')
  second.end()
  await until(() => said(chat.state).at(-1) === 'Two')

  const more = ann.post(`${path}/messages`, { text: 'Hello again!' })
  const third = await bots.call(3)
  third.say('Three')
  third.end()
  await more
  await chat.regenerate()
  const fourth = await bots.call(4)
  fourth.say('Four')
  fourth.end()
  await until(() => said(chat.state).at(-1) === 'Four')
})

t.test('errors have a code, a status, a sentence and, where it helps, more', async t => {
  const { parley, chat, bots, query } = await start(t)
  const error = await parley.request('get', '/api/conversations/{id}', { path: { id: 999 } }).catch(error => error)
  t.ok(error instanceof ParleyError)
  t.match(error, { code: 'CONVERSATION_NOT_FOUND', status: 404, message: 'Conversation not found', retryAfter: undefined, details: [] })
  await t.rejects(parley.create({ name: '' }), { code: 'INVALID_REQUEST', status: 400, details: [{ path: 'name', message: String }] })
  await query('UPDATE users SET budget_tokens = 0')
  const refused = await chat.send('Hello!').catch(error => error)
  t.match(refused, { code: 'BUDGET_SPENT', status: 429, retryAfter: Number })
  t.same(waiting(chat.state), ['Hello! (refused)'], 'what the user has to decide is not sent again by itself')
  t.equal(chat.state.unsent[0]!.error, refused)

  await query('UPDATE users SET budget_tokens = NULL')
  const again = chat.resend(chat.state.unsent[0]!)
  await t.rejects(chat.resend({ clientId: 'unknown' }), { code: 'DISCARDED' })
  t.match(await again, { id: 1, text: 'Hello!' })
  t.same(chat.state.unsent, [])
  ;(await bots.call()).end()
})

t.test('every route of the API can be called, with its types', async t => {
  const { parley, chat } = await start(t)
  const users = await parley.request('get', '/api/conversations/{id}/users', { path: { id: chat.id }, query: { limit: 10 } })
  t.match(users, [{ username: 'ann', is_owner: true }])
  const { name } = await parley.request('put', '/api/conversations/{id}', { path: { id: chat.id }, body: { name: 'Renamed' } })
  t.equal(name, 'Renamed')
  t.equal(await parley.request('delete', '/api/conversations/{id}', { path: { id: chat.id } }), undefined)
  t.match(await parley.request('get', '/api/settings'), Object)
  const made = await parley.create({ name: 'Plans', client_id: 'mine' })
  t.equal(await parley.create({ name: 'Plans', client_id: 'mine' }), made, 'one object for one conversation')
  t.not((await parley.create()).id, made.id, 'without a name')
  const controller = new AbortController()
  controller.abort(new Error('not any more'))
  await t.rejects(parley.request('get', '/api/settings', { signal: controller.signal }), { message: 'not any more' })
})

t.test('a lost connection: what happened meanwhile is caught up, and what was written is sent in its order, once', async t => {
  const { chat: { id }, port, ann, path, query, bots, ...server } = await start(t)
  const cable = await layCable(t, { host: '127.0.0.1', port })
  await cable.open()
  const parley = await signedIn(t, `http://127.0.0.1:${(cable.server.address() as AddressInfo).port}`)
  const chat = watch(t, parley.conversation(id))
  const states: string[] = []
  t.teardown(chat.follow(({ connection }) => states.push(connection)))
  await when(chat, ({ connection }) => connection === 'live')
  await cable.close()
  const { error } = await when(chat, ({ connection }) => connection === 'waiting')
  const sent = ['One', 'Two', 'Three', 'Four'].map(text => chat.send(text))
  await when(chat, state => waiting(state)[0] === 'One (waiting)')
  t.match(chat.state.unsent[0]!.error, { code: 'UNREACHABLE', status: 0 })
  t.ok(error === undefined || error.code === 'UNREACHABLE')
  chat.discard(chat.state.unsent[0]!)
  await t.rejects(sent[0]!, { code: 'DISCARDED' })
  chat.discard(chat.state.unsent[2]!)
  await t.rejects(sent[3]!, { code: 'DISCARDED' })
  const meanwhile = ann.post(`${path}/messages`, { text: 'From elsewhere' })
  const { say, end } = await bots.call()
  say('Here')
  end()
  await meanwhile

  await cable.open()
  const ids = (await Promise.all(sent.slice(1, 3))).map(({ id }) => id)
  t.same(ids, [4, 6])
  for (const nth of [2, 3]) (await bots.call(nth)).end()
  const state = await when(chat, ({ messages, isReplying }) => messages.length === 6 && !isReplying)
  t.same(said(state).filter(text => text !== ''), ['From elsewhere', 'Here', 'Two', 'Three'])
  t.same(await stored({ ...server, query, chat }), ['From elsewhere', 'Two', 'Three'])
  t.equal(states[0], 'connecting', 'who follows later is told at once')
})

t.test('a message whose answer was lost is sent again, and stored and answered once', async t => {
  let lost = 0
  const { chat, bots, ...server } = await start(t, {
    async fetch (input, init) {
      const answer = await fetch(input, init)
      if (!String(input).endsWith('/messages') || init!.method !== 'POST' || ++lost > 2) return answer
      await answer.body!.cancel()
      throw new TypeError('terminated')
    }
  })
  watch(t, chat)
  const message = await chat.send('Hello!')
  t.equal(lost, 3)
  t.equal(message.id, 1)
  const { say, end } = await bots.call()
  say('Hi')
  end()
  await when(chat, state => said(state).join() === 'Hello!,Hi')
  t.same(await stored({ ...server, chat }), ['Hello!'])
  t.equal(bots.calls.length, 1)
})

/** A storage as a browser tab has it. */
function createStorage () {
  const values = new Map<string, string>()
  return {
    values,
    getItem: (name: string) => values.get(name) ?? null,
    setItem: (name: string, value: string) => { values.set(name, value) },
    removeItem: (name: string) => { values.delete(name) }
  }
}

t.test('what was unsent when the page was closed is sent by the next one, in its order, once', async t => {
  const storage = createStorage()
  const arrived = Promise.withResolvers<void>()
  // The first page hears nothing from the server after a message has arrived there.
  const { url, ann, chat, bots, ...server } = await start(t, {
    storage,
    async fetch (input, init) {
      if (!String(input).endsWith('/messages') || init!.method !== 'POST') return await fetch(input, init)
      const { body } = await fetch(input, init)
      await body!.cancel()
      arrived.resolve()
      return await noAnswer(init!.signal!)
    }
  })
  watch(t, chat)
  await when(chat, ({ isLoaded }) => isLoaded)
  chat.send('Again')
  chat.send({ text: 'Again', metadata: { nth: 2 } })
  const discarded = chat.send('Discarded')
  chat.discard(chat.state.unsent[2]!)
  await t.rejects(discarded, { code: 'DISCARDED' })
  await arrived.promise
  const { say, end } = await bots.call()
  say('Hi')
  end()
  await when(chat, state => said(state).join() === 'Hi')

  const next = clientAt(t, url, { storage, token: tokenOf(ann) })
  t.same(await stored({ ...server, chat }), ['Again'])
  const reopened = next.conversation(chat.id)
  t.same(waiting(reopened.state), ['Again (sending)', 'Again (sending)'])
  const seen: number[] = []
  t.teardown(reopened.follow(({ isLoaded, messages, unsent }) => { if (isLoaded) seen.push(messages.filter(({ sender }) => sender === 'user').length + unsent.length) }))
  const third = reopened.send('Third')
  for (const nth of [2, 3]) (await bots.call(nth)).end()
  t.match(await third, { text: 'Third' })
  await when(reopened, ({ isReplying, unsent }) => !isReplying && unsent.length === 0)
  t.same(await stored({ ...server, chat }), ['Again', 'Again', 'Third'])
  t.match(reopened.state.messages.filter(({ sender }) => sender === 'user'), [{ text: 'Again' }, { text: 'Again', metadata: { nth: 2 } }, { text: 'Third' }])
  t.notOk(seen.some(count => count > 3), 'none is shown twice')
  t.equal(bots.calls.length, 3)
  t.equal(storage.values.size, 0)
})

t.test('what was refused stays so on the next page, and belongs to its user', async t => {
  const storage = createStorage()
  const { url, chat, as } = await start(t, { storage })
  await as('bob')
  const refused = await chat.send(' ').catch(error => error)
  t.equal(refused.code, 'INVALID_REQUEST')
  const next = clientAt(t, url, { storage })
  const reopened = next.conversation(chat.id)
  t.match(reopened.state.unsent, [{ text: ' ', status: 'refused', error: new ParleyError({ code: 'INVALID_REQUEST', error: refused.message, details: refused.details }, { status: 400 }) }])
  await next.signIn({ username: 'ann', password: PASSWORD })
  t.equal(reopened.state.unsent.length, 1, 'the same user has signed in')
  await t.rejects(reopened.resend(reopened.state.unsent[0]!), { code: 'INVALID_REQUEST' })

  const another = await signedIn(t, url, 'bob', { storage })
  t.equal(storage.values.size, 0)
  t.same(another.conversation(chat.id).state.unsent, [])
})

/** Notes the path of each request. */
const recording = (asked: string[]): typeof fetch => async (input, init) => {
  asked.push(new URL(String(input)).pathname)
  return await fetch(input, init)
}

/** A connection over which no message gets through. */
const withoutMessages: typeof fetch = async (input, init) =>
  init!.method === 'POST' && String(input).endsWith('/messages') ? await noAnswer(init!.signal!) : await fetch(input, init)

/** A connection over which messages fail at once. */
const losingMessages: typeof fetch = async (input, init) => {
  if (init!.method === 'POST') throw new TypeError('offline')
  return await fetch(input, init)
}

/** Ends only when the request is aborted, as when its page is closed. */
async function noAnswer (signal: AbortSignal): Promise<Response> {
  await once(signal, 'abort')
  throw signal.reason
}

t.test('what an earlier page left unsent is sent when its user is back, also in a conversation that nobody opens', async t => {
  const storage = createStorage()
  const { url, ann, parley, chat, bots, ...server } = await start(t, { storage, fetch: withoutMessages })
  const other = parley.conversation((await ann.post('/api/conversations', { name: 'Other', bots: [] })).json().id)
  chat.send('One')
  chat.send('Two')
  other.send('Three')

  const next = clientAt(t, url, { storage, token: tokenOf(ann) })
  t.match(await next.me(), { username: 'ann' })
  t.match(await next.me(), { username: 'ann' }, 'asking again sends nothing twice')
  for (const nth of [1, 2]) (await bots.call(nth)).end()
  await until(() => storage.values.size === 0)
  t.same(await stored({ ...server, chat }), ['One', 'Two'])
  t.same(await stored({ ...server, chat: other }), ['Three'])
})

t.test('what an earlier page left unsent is refused, not forever being sent, when its conversation is gone', async t => {
  const storage = createStorage()
  const { url, ann, chat, path } = await start(t, { storage, fetch: withoutMessages })
  chat.send('Precious')
  await ann.delete(path)
  const reopened = watch(t, clientAt(t, url, { storage, token: tokenOf(ann) }).conversation(chat.id))
  await when(reopened, ({ connection, unsent }) => connection === 'failed' && unsent[0]!.status !== 'sending')
  t.match(reopened.state.unsent, [{ text: 'Precious', status: 'refused', error: { code: 'CONVERSATION_NOT_FOUND' } }])
})

t.test('sending a refused message again on the next page sends the others that wait there, too', async t => {
  const storage = createStorage()
  let isCut = false
  const { url, ann, chat, bots, ...server } = await start(t, { storage, fetch: async (...request) => await (isCut ? withoutMessages : fetch)(...request) })
  await chat.send(' ').catch(() => { /* it is refused */ })
  isCut = true
  chat.send('Hello!')
  const reopened = clientAt(t, url, { storage, token: tokenOf(ann) }).conversation(chat.id)
  await t.rejects(reopened.resend(reopened.state.unsent[0]!), { code: 'INVALID_REQUEST' })
  ;(await bots.call()).end()
  await when(reopened, ({ unsent }) => unsent.length === 1)
  t.same(await stored({ ...server, chat }), ['Hello!'])
})

t.test('what an earlier page left unsent is not sent as another user, also if nobody calls me', async t => {
  const storage = createStorage()
  const { url, ann, as, chat: { id }, path, query, clientOf } = await start(t)
  const bob = await as('bob')
  await ann.post(`${path}/users`, { username: 'bob' })
  const before = clientAt(t, url, { storage, token: () => tokenOf(ann), fetch: losingMessages })
  before.conversation(id).send('Ann’s words')
  await when(before.conversation(id), state => waiting(state)[0] === 'Ann’s words (waiting)')
  const copy = createStorage()
  for (const [name, value] of storage.values) copy.setItem(name, value)

  const next = clientAt(t, url, { storage: copy, token: () => tokenOf(bob) })
  t.match((await when(next.conversation(id), ({ unsent }) => unsent[0]?.status !== 'sending')).unsent[0], { status: 'waiting', error: { code: 'UNAUTHORIZED' } })
  t.same(await query('SELECT text FROM messages'), [])

  const { token } = (await clientOf({}).get('/chat/initial', { 'x-api-key': API_KEY })).json()
  const [{ conversation_id: theirs }] = await query('SELECT conversation_id FROM messages')
  const asked: string[] = []
  const guest = clientAt(t, url, { storage: createStorage(), token: () => token, fetch: recording(asked) })
  for (const text of ['A guest’s words', 'More words']) t.match(await guest.conversation(theirs).send(text), { text })
  t.equal(asked.filter(path => path === '/api/me').length, 1, 'who a guest is is asked once')
})

t.test('a message that waits for its author does not keep asking, also if a sign-out makes the app reconnect', async t => {
  const storage = createStorage()
  const { url, ann, as, bots, chat: { id } } = await start(t)
  const bob = await as('bob')
  let author = ann
  const asked: string[] = []
  let isLost = true
  const parley = clientAt(t, url, {
    storage,
    token: () => tokenOf(author),
    fetch: async (...request) => await (isLost ? losingMessages : recording(asked))(...request),
    async onSignOut () {
      await parley.request('get', '/api/bots') // as if a new token was asked for
      parley.reconnect()
    }
  })
  const sent = parley.conversation(id).send('Ann’s words')
  await when(parley.conversation(id), state => waiting(state)[0] === 'Ann’s words (waiting)')
  author = bob
  isLost = false
  parley.reconnect()
  await when(parley.conversation(id), ({ unsent: [first] }) => first?.status === 'waiting' && first.error?.code === 'UNAUTHORIZED')
  for (let at = 0; at < 10; at++) await parley.request('get', '/api/conversations')
  t.ok(asked.filter(path => path === '/api/me').length <= 2, asked.join())
  author = ann
  parley.reconnect()
  t.match(await sent, { text: 'Ann’s words' });
  (await bots.call()).end()
})

t.test('a storage that is full, blocked or broken does no harm', async t => {
  const broken = createStorage()
  broken.setItem('parley unsent', '{')
  const throwing = () => { throw new DOMException('The quota has been exceeded', 'QuotaExceededError') }
  const { url, chat, bots } = await start(t, { storage: { getItem: throwing, setItem: throwing, removeItem: throwing } })
  t.match(await chat.send('Hello!'), { text: 'Hello!' })
  ;(await bots.call()).end()
  const other = (await signedIn(t, url, 'ann', { storage: broken })).conversation(chat.id)
  t.match(await other.send('Hello again!'), { text: 'Hello again!' })
  ;(await bots.call(2)).end()
})

t.test('a session that ends in the middle: streams and messages wait for the next sign-in', async t => {
  let signOuts = 0
  const { chat, parley, bots, query, ...server } = await start(t, { onSignOut: () => { signOuts++ } })
  watch(t, chat)
  t.teardown(parley.conversations.follow(() => {}))
  await when(chat, ({ connection }) => connection === 'live')
  await when(parley.conversations, ({ isLoaded }) => isLoaded)
  await query('UPDATE sessions SET revoked_at = now()')
  const sent = chat.send('Hello!')
  await when(chat, state => waiting(state)[0] === 'Hello! (waiting)')
  t.match((await when(chat, ({ connection }) => connection === 'signed-out')).error, { code: 'UNAUTHORIZED', status: 401 })
  await when(parley.conversations, ({ connection }) => connection === 'signed-out')
  t.equal(signOuts, 1, 'it is said once')

  await parley.signIn({ username: 'ann', password: PASSWORD })
  t.match(await sent, { id: 1, text: 'Hello!' })
  const { say, end } = await bots.call()
  say('Hi')
  end()
  await when(chat, state => said(state).join() === 'Hello!,Hi')
  await when(parley.conversations, ({ conversations }) => conversations[0]?.newest?.text === 'Hi')
  t.same(await stored({ ...server, query, chat }), ['Hello!'])
})

t.test('another user finds nothing of the one before', async t => {
  const { chat, parley, as } = await start(t)
  await as('bob')
  watch(t, chat)
  t.teardown(parley.conversations.follow(() => {}))
  await when(parley.conversations, ({ conversations }) => conversations.length === 1)
  const refused = await chat.send(' ').catch(error => error)
  t.equal(refused.code, 'INVALID_REQUEST')
  t.equal(chat.state.unsent.length, 1)
  await parley.signOut()
  t.same([chat.state.messages, chat.state.unsent, parley.conversations.state.conversations], [[], [], []])
  await parley.signIn({ username: 'bob', password: PASSWORD })
  t.match((await when(chat, ({ connection }) => connection === 'failed')).error, { code: 'CONVERSATION_NOT_FOUND' })
  t.same((await when(parley.conversations, ({ isLoaded }) => isLoaded)).conversations, [])
  t.same([chat.state.messages, chat.state.unsent], [[], []])
})

t.test('a guest finds nothing of the user before, neither on the same page nor on the next one', async t => {
  const storage = createStorage()
  const { url, ann, clientOf, ...server } = await start(t)
  const id = server.chat.id
  const guest = (await clientOf({}).get('/chat/initial', { 'x-api-key': API_KEY })).json().token
  let token = tokenOf(ann)
  const parley = clientAt(t, url, { storage, token: () => token, fetch: withoutMessages })
  t.match(await parley.me(), { username: 'ann' })
  t.teardown(parley.conversations.follow(() => {}))
  const chat = watch(t, parley.conversation(id))
  await when(parley.conversations, ({ conversations }) => conversations.length === 1)
  chat.send('Ann’s words')
  t.match([...storage.values.values()], [/Ann’s words/])
  const copy = createStorage()
  for (const [name, value] of storage.values) copy.setItem(name, value)

  token = guest
  t.equal(await parley.me(), null)
  t.same([chat.state.unsent, parley.conversations.state.conversations, storage.values.size], [[], [], 0])
  const next = clientAt(t, url, { storage: copy, token })
  t.equal(await next.me(), null)
  t.same([next.conversation(id).state.unsent, copy.values.size], [[], 0])
})

t.test('a token that a function gives is asked for again when the server refuses it', async t => {
  const { ann, url, chat: { id } } = await start(t)
  const { json } = await ann.post('/login', { id: 'ann', passcode: PASSWORD })
  const tokens: Array<string | undefined> = ['stale', undefined, json().access_token]
  const asked: Array<string | undefined> = []
  let signOuts = 0
  const parley = clientAt(t, url, {
    async token () {
      asked.push(tokens[0])
      return tokens.length > 1 ? tokens.shift() : tokens[0]
    },
    onSignOut: () => { signOuts++ }
  })
  t.equal(await parley.me(), null)
  t.same([asked, signOuts], [['stale', undefined], 1], 'twice for a call that is refused')
  t.match(await parley.me(), { username: 'ann' })
  const chat = watch(t, parley.conversation(id))
  await when(chat, ({ connection }) => connection === 'live')

  const broken = clientAt(t, url, { token () { throw new Error('no token today') } })
  await t.rejects(broken.me(), { code: 'UNREACHABLE', cause: { message: 'no token today' } })
})

t.test('a conversation that is refused is tried again when asked', async t => {
  const { chat: { id }, url, as, ann, path } = await start(t)
  await as('bob')
  const parley = await signedIn(t, url, 'bob')
  const chat = watch(t, parley.conversation(id))
  t.match((await when(chat, ({ connection }) => connection === 'failed')).error, { code: 'CONVERSATION_NOT_FOUND' })
  t.equal((await ann.post(`${path}/users`, { username: 'bob' })).statusCode, 201)
  parley.reconnect()
  await when(chat, ({ connection, error }) => connection === 'live' && error === undefined)
})

t.test('the list of conversations is live, with unread messages, and comes in pages', async t => {
  const { parley, ann, as, query } = await start(t)
  const list = parley.conversations
  await query("DELETE FROM conversations; INSERT INTO conversations (name, owner_id, last_updated) SELECT 'Number ' || n, (SELECT id FROM users WHERE username = 'ann'), '2026-01-01'::timestamptz + n * interval '1 minute' FROM generate_series(1, 70) n")
  await query('INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM conversations')
  await list.more()
  t.same(list.state.conversations, [])
  t.teardown(list.follow(() => {}))
  const names = () => list.state.conversations.map(({ name }) => name)
  await when(list, ({ isLoaded }) => isLoaded)
  t.same([names()[0], names().length, list.state.hasMore], ['Number 70', 30, true])
  await Promise.all([list.more(), list.more()])
  t.equal(names().length, 60, 'a page is loaded once')

  const bob = await as('bob')
  const { id } = (await bob.post('/api/conversations', { name: 'Bob’s' })).json()
  await bob.post(`/api/conversations/${id}/users`, { username: 'ann' })
  await bob.post(`/api/conversations/${id}/messages`, { text: 'Hello, Ann' })
  await when(list, ({ conversations: [first] }) => first?.name === 'Bob’s' && first.unread === 2)
  t.match(list.state.conversations[0], { id, newest: { text: 'You said: Hello, Ann' } })
  const chat = watch(t, parley.conversation(id))
  await when(chat, ({ messages }) => messages.length === 2)
  await chat.markRead()
  await chat.markRead()
  await when(list, ({ conversations: [first] }) => first?.unread === 0)

  const last = list.state.conversations.at(-1)!
  await ann.put(`/api/conversations/${last.id}`, { name: 'Renamed' })
  await when(list, () => names().includes('Renamed'))
  await bob.delete(`/api/conversations/${id}`)
  await when(list, () => !names().includes('Bob’s'))
  await list.more()
  t.same([names().length, list.state.hasMore], [70, false])
})

/** A `fetch` whose streams of news cannot be continued, as if the cursor were of another database. Aborting a controller in `streams` breaks a stream. */
function forgetfulFetch () {
  const streams: AbortController[] = []
  const forgetful: typeof fetch = async (input, init) => {
    if (!String(input).includes('/api/events')) return await fetch(input, init)
    const broken = new AbortController()
    streams.push(broken)
    return await fetch(String(input).replace(/after=.*/, 'after=unknown'), { ...init, signal: AbortSignal.any([init!.signal!, broken.signal]) })
  }
  return { streams, fetch: forgetful }
}

t.test('a list that cannot be continued is read anew, as far as it was loaded', async t => {
  const { streams, fetch } = forgetfulFetch()
  const { parley, query } = await start(t, { fetch })
  const list = parley.conversations
  // The list shows news of conversations that were used as recently as those that it has loaded: these were all used at different times.
  await query("INSERT INTO conversations (name, owner_id, last_updated) SELECT 'Number ' || n, (SELECT id FROM users WHERE username = 'ann'), now() - make_interval(mins => n) FROM generate_series(1, 69) n")
  await query('INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM conversations ON CONFLICT DO NOTHING')
  t.teardown(list.follow(() => {}))
  await when(list, ({ isLoaded }) => isLoaded)
  await list.more()
  t.equal(list.state.conversations.length, 60)
  await query("UPDATE conversations SET name = 'Renamed'")
  streams[0]!.abort()
  await when(list, ({ conversations }) => conversations.every(({ name }) => name === 'Renamed'))
  t.same([list.state.conversations.length, list.state.hasMore], [60, true])
})

for (const moment of ['while', 'after']) {
  t.test(`a page that arrives ${moment} the list is read anew leaves no gap in it`, async t => {
    const { streams, fetch } = forgetfulFetch()
    const late = Promise.withResolvers<void>()
    const loaded = Promise.withResolvers<void>()
    let pages = 0
    const { parley, query } = await start(t, {
      async fetch (input, init) {
        const page = String(input).includes('/api/conversations?') ? ++pages : undefined
        const answer = await fetch(input, init)
        if (page === 3) await late.promise
        if (page === 5 && moment === 'while') {
          late.resolve()
          await loaded.promise
        }
        return answer
      }
    })
    const list = parley.conversations
    await query("INSERT INTO conversations (name, owner_id, last_updated) SELECT 'Number ' || n, (SELECT id FROM users WHERE username = 'ann'), now() - make_interval(mins => n) FROM generate_series(1, 99) n")
    await query('INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM conversations ON CONFLICT DO NOTHING')
    t.teardown(list.follow(() => {}))
    await when(list, ({ isLoaded }) => isLoaded)
    await list.more()
    list.more().then(loaded.resolve, loaded.reject)
    await until(() => pages === 3)
    // 30 conversations are used, so that the first 60 are others than before.
    await query("UPDATE conversations SET name = name || '!', last_updated = last_updated + make_interval(hours => CASE WHEN name ~ 'Number [67].' THEN 3 ELSE 0 END)")
    const isAnew = ({ name }: { name: string }) => name.endsWith('!')
    streams[0]!.abort()
    await when(list, ({ conversations }) => conversations.every(isAnew))
    late.resolve()
    await loaded.promise
    await list.more()
    const expected = await query('SELECT id::int FROM conversations ORDER BY last_updated DESC, id DESC LIMIT $1', [list.state.conversations.length])
    t.same(list.state.conversations.map(({ id }) => id), expected.map(({ id }) => id))
    t.ok(list.state.conversations.length >= 90 && list.state.conversations.every(isAnew))
  })
}

t.test('a reply of which a piece was lost is read again', async t => {
  let lost = 0
  const { chat, bots } = await start(t, {
    async fetch (input, init) {
      const answer = await fetch(input, init)
      if (!String(input).includes('/events?') || !answer.ok) return answer
      const decoder = new TextDecoder()
      return new Response(answer.body!.pipeThrough(new TransformStream<Uint8Array, Uint8Array>({
        transform (chunk, out) {
          if (lost === 0 && decoder.decode(chunk).includes('event: delta')) lost++
          else out.enqueue(chunk)
        }
      })))
    }
  })
  watch(t, chat)
  await when(chat, ({ connection }) => connection === 'live')
  await chat.send('Hello!')
  const { say, end } = await bots.call()
  await when(chat, ({ isReplying }) => isReplying)
  say('One')
  await until(() => lost === 1)
  say(' two')
  await when(chat, state => said(state).at(-1) === 'One two (streaming)')
  end()
  await when(chat, state => said(state).at(-1) === 'One two')
})

t.test('in a browser: the cookie is the default, and being online again ends a wait', async t => {
  const window = new EventTarget()
  t.intercept(globalThis as { document?: object }, 'document', { value: {} })
  t.intercept(globalThis as { addEventListener?: unknown }, 'addEventListener', { value: window.addEventListener.bind(window) })
  const { url, as } = await startLive(t)
  await as('ann')
  const asked: string[] = []
  let isOffline = true
  const parley = clientAt(t, url, {
    async fetch (input, init) {
      asked.push(String(input))
      if (isOffline) throw new TypeError('Failed to fetch')
      return await fetch(input, init)
    }
  })
  t.teardown(parley.conversations.follow(() => {}))
  await when(parley.conversations, ({ connection }) => connection === 'waiting')
  isOffline = false
  window.dispatchEvent(new Event('online'))
  await when(parley.conversations, ({ connection }) => connection === 'signed-out')
  await t.rejects(parley.signIn({ username: 'ann', password: PASSWORD }), { code: 'COOKIE_DROPPED' })
  t.ok(asked.includes(`${url}/api/login`))
})

t.test('a connection that is silent for too long is opened again', async t => {
  const { chat: { id }, port, ann, path, bots } = await start(t)
  const cable = await layCable(t, { host: '127.0.0.1', port })
  await cable.open()
  // Requests that take too long on a busy machine are repeated here, which those of a sign-in would not be.
  const token = (await ann.post('/login', { id: 'ann', passcode: PASSWORD })).json().access_token
  const parley = clientAt(t, `http://127.0.0.1:${(cable.server.address() as AddressInfo).port}`, { token, timeoutMs: 5_000 })
  const chat = watch(t, parley.conversation(id))
  await when(chat, ({ connection }) => connection === 'live')
  cable.mute()
  const sent = ann.post(`${path}/messages`, { text: 'Hello!' })
  ;(await bots.call()).end()
  await sent
  await when(chat, ({ messages }) => messages.length === 2)
})

t.test('a client may wait without end', async t => {
  const { url } = await startLive(t)
  const parley = clientAt(t, url, { timeoutMs: Infinity })
  t.match(await parley.request('get', '/api/settings'), Object)
})

t.test('what a proxy answers in place of the server', async t => {
  let status = 502
  const proxy = http.createServer((_request, response) => { response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>Oh</h1>') })
  t.teardown(() => { proxy.closeAllConnections(); proxy.close() })
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  const parley = clientAt(t, `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`)
  await t.rejects(parley.me(), { code: 'UNREACHABLE', status: 502 })
  const chat = watch(t, parley.conversation(1))
  await when(chat, ({ connection }) => connection === 'waiting')
  status = 200
  await t.rejects(parley.me(), { code: 'UNREACHABLE', status: 0 })
  status = 404
  parley.reconnect()
  await when(chat, ({ connection }) => connection === 'failed')
  await t.rejects(chat.send('Hello!'), { code: 'UNREACHABLE', status: 404 })
})

t.test('an error of a listener is reported, and does not break the stream off', async t => {
  const program = `import { createClient } from '${new URL('../../client/index.ts', import.meta.url).href}'
    createClient({ url: 'http://127.0.0.1:1' }).conversations.follow(() => { throw new Error('mine') })`
  const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]).catch(error => error)
  t.match(stderr, /Error: mine/)
})

t.test('so is an error of onSignOut: the session has ended, and the server can be reached', async t => {
  const { url } = await startLive(t)
  const program = `import { createClient } from '${new URL('../../client/index.ts', import.meta.url).href}'
    process.on('uncaughtException', ({ message }) => console.log('reported:', message))
    const parley = createClient({ url: '${url}', token: 'ended', onSignOut () { throw new Error('mine') } })
    console.log(await parley.me())
    parley.conversations.follow(({ connection }) => { if (connection !== 'connecting') console.log(connection) })`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]).catch(error => error)
  t.equal(stdout, 'reported: mine\nnull\nsigned-out\n')
})

t.test('without an address, a browser’s own', async t => {
  const asked: unknown[] = []
  const parley = createClient({ async fetch (input) { asked.push(input); throw new Error('offline') } })
  await t.rejects(parley.me(), { code: 'UNREACHABLE' })
  t.same(asked, ['/api/me'])
  t.same((parley.conversation(1).state.messages satisfies Message[]), [])
})
