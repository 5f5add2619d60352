import t, { type Test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, follow, listen, next, tokenOf, type Live } from '../../support/live.ts'
import { clientOf, openPlace, until } from '../../support/process.ts'
import { isPrompt } from '../../support/prompt.ts'

// Sockets and event streams of servers in separate processes on one database.

t.jobs = 2 // for tests that are `buffered`

async function enter (t: Test, url: string, cookie: string) {
  const socket = await connect(t, url, { auth: { token: tokenOf({ headers: { cookie } }) } })
  return { socket, ...follow(socket) }
}

t.test('five users and two bots on two servers, one of which is killed', { buffered: true }, async t => {
  const place = await openPlace(t)
  const [one, two] = await Promise.all([place.serve(), place.serve()])
  const names = ['ann', 'bob', 'cem', 'dan', 'eve']
  const users = await Promise.all(names.map(name => one.join(name)))
  const present = await Promise.all(users.map(({ cookie }, n) => enter(t, n % 2 === 0 ? one.url : two.url, cookie)))
  const { chat_session_id: id } = await present[0]!.socket.emitWithAck('start_chat', { name: 'Group', users: names.slice(1), bots: ['simulated', 'favorite-song'] })
  for (const { join } of present) await join(id)

  /** Each user sends messages over a socket or by HTTP, and retries each until it is answered. */
  const said = new Map<string, number>()
  let current = present
  async function say (n: number, text: string) {
    const message = { chat_session_id: id, text, client_id: text }
    for (;;) {
      const { socket } = current[n % 5]!
      const answer = await Promise.race([socket.timeout(5_000).emitWithAck('send_message', message), next(socket, 'disconnect')]).catch(() => undefined) as { messages?: Live[] } | undefined
      if (answer?.messages !== undefined) return said.set(text, answer.messages[0]!.id)
      await sleep(20)
    }
  }
  const speakers = users.map(async (_, n) => {
    for (let m = 0; m < 20; m++) await say(n, `${names[n]} ${m}${m % 4 === 1 ? ' @simulated' : m % 4 === 2 ? ' @favorite-song' : ''}`)
  })
  await until(() => said.size >= 30)
  two.kill('SIGKILL')
  await two.ended
  const heard: Live[][] = present.map(({ heard }) => heard)
  current = await Promise.all(present.map(async (there, n) => {
    if (n % 2 === 0) return there
    await until(() => !there.socket.connected)
    const again = await enter(t, one.url, users[n]!.cookie)
    again.heard.push(...there.heard)
    heard[n] = again.heard
    await again.join(id)
    return again
  }))
  await Promise.all(speakers)

  const { body } = await clientOf(one.url, { cookie: users[0]!.cookie }).get(`/api/conversations/${id}/messages?after=0&limit=200`)
  const log = (body as Live[]).map(({ id, text, username }) => ({ id, text, username }))
  t.equal(said.size, 100)
  t.equal(log.length, 150, 'each message is stored once, with the replies of the mentioned bots')
  t.same(log.map(({ id }) => id), Array.from({ length: 150 }, (_, n) => n + 1))
  const group = log.map(({ id }) => id)
  for (const [n, name] of names.entries()) {
    // A socket gets its own messages by acknowledgements.
    const others = log.filter(({ username }) => username !== name)
    await until(() => group.at(-1) === log.at(-1)!.id && (heard[n]!.at(-1)?.id ?? 0) >= others.at(-1)!.id)
    t.same(heard[n]!.filter(({ username }) => username !== name).map(({ id, text, username }) => ({ id, text, username })), others, `${name} got all messages of others, in order`)
    t.ok(log.filter(({ username }) => username === name).every(({ id, text }) => said.get(text) === id), 'the acknowledgements of own messages had the right ids')
  }
})

t.test('a logout at one server closes sockets and streams at the other one', { buffered: true }, async t => {
  const place = await openPlace(t)
  const [one, two] = await Promise.all([place.serve(), place.serve()])
  const ann = await one.join('ann')
  const { socket } = await enter(t, two.url, ann.cookie)
  const { chat_session_id: id } = await socket.emitWithAck('start_chat')
  const stream = await listen(t, `${two.url}/api/conversations/${id}/events`, { cookie: ann.cookie })
  const gone = Promise.all([next(socket, 'disconnect'), stream.ended])
  await ann.get('/api/logout')
  const began = performance.now()
  t.equal((await clientOf(two.url, { cookie: ann.cookie }).get('/api/conversations')).status, 401)
  await gone
  isPrompt(t, began, 1_000)
})

t.test('SIGTERM with sockets and streams open', { buffered: true }, async t => {
  const place = await openPlace(t)
  const server = await place.serve()
  const ann = await server.join('ann')
  const { socket } = await enter(t, server.url, ann.cookie)
  const polling = await connect(t, server.url, { auth: { token: tokenOf({ headers: { cookie: ann.cookie } }) }, transports: ['polling'] })
  const mute = await enter(t, server.url, ann.cookie)
  ;(mute.socket.io.engine.transport as unknown as { ws: { pause: () => void } }).ws.pause()
  const { chat_session_id: id } = await socket.emitWithAck('start_chat')
  const stream = await listen(t, `${server.url}/api/conversations/${id}/events`, { cookie: ann.cookie })
  const gone = Promise.all([next(socket, 'disconnect'), next(polling, 'disconnect'), stream.ended])
  const began = performance.now()
  server.kill('SIGTERM')
  await gone
  const { code, stderr } = await server.ended
  t.equal(code, 0)
  t.equal(stderr, '')
  isPrompt(t, began, 2_000, 'the server does not wait until open connections would be closed by force')
  t.equal(await place.runningPostgres(), undefined)
})
