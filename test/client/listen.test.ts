import t from 'tap'
import { ParleyError, type ConversationState, type Listening, type Unsent } from '../../client/index.ts'
import { startLive } from '../support/live.ts'
import { clientAt, PASSWORD, said, signedIn, waiting, watch, when } from '../support/parley-client.ts'
import { until } from '../support/process.ts'

// Our own client: how it listens, in another way than over event streams too, and what is unsent meanwhile.

/** A way to listen that the test controls. `calls` are those that are under way. */
function byHand () {
  const calls: Array<Listening & { fail: (error: Error) => void, end: () => void }> = []
  async function listen (listening: Listening) {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const call = { ...listening, fail: reject, end: resolve }
    calls.push(call)
    listening.signal.addEventListener('abort', () => resolve())
    await promise.finally(() => calls.splice(calls.indexOf(call), 1))
  }
  return {
    listen,
    calls,
    /** Resolves when this conversation, or else the news, is listened to. */
    call: async (conversation?: number) => await until(() => calls.find(call => call.conversation === conversation))
  }
}

t.test('a client listens in the way that it is given', async t => {
  const { url, as } = await startLive(t)
  const ann = await as('ann')
  const { listen, calls, call } = byHand()
  let signOuts = 0
  const parley = await signedIn(t, url, 'ann', { listen, onSignOut: () => { signOuts++ } })
  const chat = watch(t, await parley.create({ name: 'Plans', bots: [] }))
  const path = `/api/conversations/${chat.id}`
  await ann.post(`${path}/messages`, { text: 'One' })

  const first = await call(chat.id)
  t.equal(chat.state.connection, 'connecting')
  t.equal(first.conversation, chat.id)
  t.equal(first.after, chat.state.messages.at(-1)?.rev ?? 0, 'it goes on after what was loaded')
  first.opened()
  t.equal(chat.state.connection, 'live')
  await ann.post(`${path}/messages`, { text: 'Two' })
  const two = (await ann.get(`${path}/messages`)).json().at(-1)
  await first.hear([{ event: 'message', id: String(two.rev), data: two }])
  t.equal(said(chat.state).at(-1), 'Two')
  first.fail(new TypeError('the wire is cut'))
  t.match(await when(chat, ({ connection }) => connection === 'waiting'), { error: { code: 'UNREACHABLE', cause: { message: 'the wire is cut' } } })
  const second = await call(chat.id)
  t.equal(second.after, two.rev)
  second.opened()
  second.end()
  await when(chat, ({ connection }) => connection === 'waiting')

  const unfollow = parley.conversations.follow(() => {})
  const news = await call()
  t.same([news.conversation, news.after], [undefined, undefined])
  await news.hear([{ event: 'ready', id: 'here', data: { cursor: 'here', reset: true } }])
  t.match(parley.conversations.state.conversations, [{ name: 'Plans' }])
  news.end()
  await when(parley.conversations, ({ connection }) => connection === 'waiting')
  t.equal((await call()).after, 'here')
  unfollow()
  await until(() => calls.every(({ conversation }) => conversation !== undefined))

  const third = await call(chat.id)
  third.fail(new ParleyError({ code: 'UNAUTHORIZED', error: 'Please log in' }, { status: 401 }))
  await when(chat, ({ connection }) => connection === 'signed-out')
  t.equal(signOuts, 1)
})

t.test('a connection that never holds is tried again after longer and longer waits', async t => {
  const { url, as } = await startLive(t)
  await as('ann')
  const { listen, calls, call } = byHand()
  const list = (await signedIn(t, url, 'ann', { listen })).conversations
  // The clock stands still unless the test moves it, and no two waits that double have the length of another timer here.
  const SHARE = 1 / 1001
  const FIRST_DELAY_MS = 500 * SHARE
  let now = 0
  const waits: number[] = []
  const later = setTimeout
  t.intercept(performance, 'now', { value: () => now })
  t.intercept(Math, 'random', { value: () => SHARE })
  t.intercept(globalThis, 'setTimeout', {
    value (work: () => void, ms = 0, ...rest: []) {
      if (!Number.isInteger(ms)) waits.push(ms / FIRST_DELAY_MS)
      return later(work, ms, ...rest)
    }
  })
  const unfollow = list.follow(() => {})
  for (const heldForMs of [0, 0, 9_999, 10_000, 0]) {
    const { opened, end } = await call()
    opened()
    t.equal(list.state.connection, 'live')
    now += heldForMs
    end()
    await when(list, ({ connection }) => connection === 'waiting')
  }
  t.same(waits, [1, 2, 4, 1, 2])

  const { opened } = await call()
  unfollow()
  await until(() => calls.length === 0)
  opened()
  t.equal(list.state.connection, 'closed', 'what is opened too late is not shown')
})

t.test('a page that was asked for before everything was forgotten is not added', async t => {
  const { url, as, query } = await startLive(t)
  await as('ann')
  await query("INSERT INTO conversations (name, owner_id) SELECT 'Number ' || n, (SELECT id FROM users WHERE username = 'ann') FROM generate_series(1, 70) n")
  await query('INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM conversations')
  const { promise, resolve } = Promise.withResolvers<void>()
  let isHolding = false
  let held = 0
  const parley = await signedIn(t, url, 'ann', {
    async fetch (input, init) {
      const answer = await fetch(input, init)
      if (!isHolding || !String(input).includes('/api/conversations?')) return answer
      held++
      await promise
      return answer
    }
  })
  const list = parley.conversations
  t.teardown(list.follow(() => {}))
  await when(list, ({ isLoaded }) => isLoaded)
  isHolding = true
  const more = list.more()
  await until(() => held === 1)
  isHolding = false
  list.reset()
  await when(list, ({ isLoaded }) => isLoaded)
  resolve()
  await t.rejects(more, { name: 'AbortError' })
  t.equal(list.state.conversations.length, 30)
  await list.more()
  t.equal(list.state.conversations.length, 60)
})

t.test('when the server is back, all that waits for it goes on', async t => {
  const { url, as, slowChat } = await startLive(t)
  const [ann] = [await as('ann'), await as('bob')]
  const id = await slowChat(ann)
  let broken = new AbortController()
  const bob = await signedIn(t, url, 'bob', {
    fetch: async (input, init) => await fetch(input, String(input).includes('/api/events') ? { ...init, signal: AbortSignal.any([init!.signal!, broken.signal]) } : init)
  })
  t.teardown(bob.conversations.follow(() => {}))
  await when(bob.conversations, ({ isLoaded }) => isLoaded)
  const chat = watch(t, bob.conversation(id))
  await when(chat, ({ connection }) => connection === 'failed')
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  const before = broken
  broken = new AbortController()
  before.abort()
  await when(chat, ({ connection }) => connection === 'live')
})

t.test('a message is unsent or among the messages, never both and never neither', async t => {
  const { url, as, bots, slowChat } = await startLive(t)
  bots.takeOver()
  const ann = await as('ann')
  const held: Array<() => void> = []
  let isHolding = false
  const parley = await signedIn(t, url, 'ann', {
    async fetch (input, init) {
      const answer = await fetch(input, init)
      if (!isHolding || !String(input).endsWith('/messages') || init!.method !== 'POST') return answer
      const { promise, resolve } = Promise.withResolvers<void>()
      held.push(resolve)
      await promise
      return answer
    }
  })
  const chat = parley.conversation(await slowChat(ann))
  const states: ConversationState[] = []
  t.teardown(chat.follow(state => states.push(state)))
  await when(chat, ({ connection }) => connection === 'live')
  const earlier = chat.send('Hello!')
  ;(await bots.call()).end()
  await earlier
  await when(chat, ({ isReplying }) => !isReplying)

  // Twice the same text, as an earlier message has it. The answers to both are late.
  isHolding = true
  states.length = 0
  const sent = [chat.send('Hello! '), chat.send('Hello!')]
  const { say, end } = await bots.call(2)
  say('Again?')
  await when(chat, state => said(state).at(-1) === 'Again? (streaming)')
  const mine = ({ messages, unsent }: ConversationState) => messages.filter(({ sender }) => sender === 'user').length + unsent.length
  t.same([said(chat.state), waiting(chat.state)], [['Hello!', '', 'Again? (streaming)'], ['Hello!  (sending)', 'Hello! (sending)']])
  end()
  await until(() => held.shift()).then(release => release())
  await sent[0]
  t.same([said(chat.state)[2], waiting(chat.state)], ['Hello!', ['Hello! (sending)']])
  ;(await bots.call(3)).end()
  await when(chat, ({ messages }) => messages.at(-1)?.sender === 'bot' && messages.length === 5)
  await until(() => held.shift()).then(release => release())
  await sent[1]
  await when(chat, ({ isReplying }) => !isReplying)
  t.same(said(chat.state), ['Hello!', '', 'Hello!', 'Again?', 'Hello!', ''])
  t.same(states.slice(states.findIndex(state => mine(state) === 3)).filter(state => mine(state) !== 3), [], 'from when both were written')
})

t.test('while a message waits, those behind it wait, too', async t => {
  const { url, as, slowChat } = await startLive(t)
  const ann = await as('ann')
  const token = (await ann.post('/login', { id: 'ann', passcode: PASSWORD })).json().access_token
  let isOnline = false
  const parley = clientAt(t, url, {
    token,
    async fetch (input, init) {
      if (!isOnline) throw new TypeError('Failed to fetch')
      return await fetch(input, init)
    }
  })
  const chat = parley.conversation(await slowChat(ann))
  const seen: Unsent[][] = []
  t.teardown(chat.follow(({ unsent }) => seen.push(unsent)))
  const sent = ['One', 'Two'].map(text => chat.send(text))
  t.same(waiting(chat.state), ['One (sending)', 'Two (sending)'])
  await until(() => seen.some(([one, two]) => one?.status === 'waiting' && two?.status === 'waiting' && two.error?.code === 'UNREACHABLE'))
  await when(chat, ({ unsent }) => unsent[0]?.status === 'waiting')
  sent.push(chat.send('Three'))
  t.match(chat.state.unsent[2], { status: 'waiting', error: { code: 'UNREACHABLE' } })
  isOnline = true
  parley.reconnect()
  t.same((await Promise.all(sent)).map(({ text }) => text), ['One', 'Two', 'Three'])
})

t.test('what is read is told once, and again if that was refused', async t => {
  const { url, as, slowChat, query } = await startLive(t)
  const ann = await as('ann')
  let calls = 0
  let isBroken = true
  const parley = await signedIn(t, url, 'ann', {
    async fetch (input, init) {
      if (!String(input).endsWith('/read')) return await fetch(input, init)
      calls++
      if (isBroken) throw new TypeError('Failed to fetch')
      return await fetch(input, init)
    }
  })
  const chat = watch(t, parley.conversation(await slowChat(ann)))
  await ann.post(`/api/conversations/${chat.id}/messages`, { text: 'Hello!' })
  await when(chat, ({ messages, isReplying }) => messages.length === 2 && !isReplying)
  await t.rejects(chat.markRead(), { code: 'UNREACHABLE' })
  isBroken = false
  await Promise.all([chat.markRead(), chat.markRead()])
  t.equal(calls, 2)
  const [{ read_rev: read }] = await query('SELECT read_rev FROM conversation_users')
  t.ok(Number(read) >= 2)

  isBroken = true
  await ann.post(`/api/conversations/${chat.id}/messages`, { text: 'And again' })
  await when(chat, ({ messages, isReplying }) => messages.length === 4 && !isReplying)
  const refused = chat.markRead()
  chat.reset()
  await t.rejects(refused, { code: 'UNREACHABLE' })
  isBroken = false
  await when(chat, ({ messages }) => messages.length === 4)
  await chat.markRead()
  t.equal(calls, 4, 'after a reset it is told again')
})

t.test('a conversation can be found that is not on a loaded page, if something has happened to it', async t => {
  const { url, as, query } = await startLive(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Old', bots: [] })).json()
  const parley = await signedIn(t, url)
  await query("INSERT INTO conversations (name, owner_id) SELECT 'Number ' || n, (SELECT id FROM users WHERE username = 'ann') FROM generate_series(1, 40) n")
  await query("UPDATE conversations SET last_updated = now() - interval '1 day' WHERE name = 'Old'")
  await query('INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM conversations ON CONFLICT DO NOTHING')
  const list = parley.conversations
  t.teardown(list.follow(() => {}))
  const { conversations: [listed], hasMore } = await when(list, ({ isLoaded }) => isLoaded)
  t.equal(hasMore, true)
  t.equal(list.find(listed!.id), listed)
  t.equal(listed!.members, undefined)
  t.equal(list.find(id), undefined)
  await ann.put(`/api/conversations/${id}`, { name: 'Renamed' })
  await when(list, () => list.find(id)?.name === 'Renamed')
  t.equal(list.find(id)!.members, 1)
  t.notOk(list.state.conversations.some(listed => listed.id === id), 'its page is not loaded')
  await ann.delete(`/api/conversations/${id}`)
  await when(list, () => list.find(id) === undefined)
})

t.test('when the cookie is of another user, nothing of the one before is left', async t => {
  const { url, as, slowChat } = await startLive(t)
  const [ann, bob] = [await as('ann'), await as('bob')]
  let { headers } = ann
  const parley = clientAt(t, url, { session: 'cookie', fetch: async (input, init) => await fetch(input, { ...init, headers: { ...init!.headers, cookie: headers['cookie']! } }) })
  t.match(await parley.me(), { username: 'ann' })
  await slowChat(ann)
  t.teardown(parley.conversations.follow(() => {}))
  await when(parley.conversations, ({ conversations }) => conversations.length === 1)
  headers = bob.headers
  t.match(await parley.me(), { username: 'bob' })
  t.same(parley.conversations.state.conversations, [])
  await when(parley.conversations, ({ isLoaded, conversations }) => isLoaded && conversations.length === 0)
})

t.test('a message that waits for a connection is not sent as another user, whose cookie the browser has meanwhile', async t => {
  const { url, as, slowChat, query } = await startLive(t)
  const [ann, bob] = [await as('ann'), await as('bob')]
  const id = await slowChat(ann)
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  let { headers } = ann
  let isLost = true
  let signOuts = 0
  const inBrowser = async (input: string | URL | Request, init?: RequestInit) => {
    if (isLost && init!.method === 'POST') throw new TypeError('offline')
    return await fetch(input, { ...init, headers: { ...init!.headers, cookie: headers['cookie']! } })
  }
  // Nobody has called `me`.
  const parley = clientAt(t, url, { session: 'cookie', fetch: inBrowser, onSignOut: () => { signOuts++ } })
  const chat = parley.conversation(id)
  const sent = [chat.send('Ann’s words'), chat.send('Ann’s further words')]
  await when(chat, state => waiting(state).join() === 'Ann’s words (waiting),Ann’s further words (waiting)')
  headers = bob.headers
  isLost = false
  parley.reconnect()
  t.match((await when(chat, ({ unsent: [first] }) => first?.status !== 'sending' && first?.error?.code !== 'UNREACHABLE')).unsent[0], { status: 'waiting', error: { message: 'Another user has signed in' } })
  t.equal(signOuts, 1)
  chat.discard(chat.state.unsent[0]!)
  await t.rejects(sent[0]!, { code: 'DISCARDED' })
  await when(chat, ({ unsent: [first] }) => first?.error?.message === 'Another user has signed in')
  t.equal(signOuts, 1)
  t.same(await query('SELECT text FROM messages'), [])

  headers = ann.headers
  parley.reconnect()
  t.match(await sent[1]!, { username: 'ann', text: 'Ann’s further words' })
  t.same(await query("SELECT text FROM messages WHERE sender = 'user'"), [{ text: 'Ann’s further words' }])
})
