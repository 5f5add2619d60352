import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { text as textOf } from 'node:stream/consumers'
import { connect, until } from '../support/process.ts'
import { createScreen, listen, openAnswer, openSocket, openStream } from '../support/reader.ts'
import { ask, hasStatus, isStored, messagesOf, oneInstance, twoInstances } from '../support/slow-replies.ts'

// Readers of a growing reply: from the beginning, from the middle, on another instance, and readers that are too slow.

t.test('a stream has the question, the growing reply and its end, and ends with it', async t => {
  const { app, bots, ann, id, url, query } = await oneInstance(t)
  const base = await listen({ app })
  const stream = await openStream(t, `${base}${url}/messages`, ann, { body: { text: 'Hi', client_id: 'c1' } })
  t.equal(stream.answer.statusCode, 200)
  t.match(stream.answer.headers, { 'content-type': 'text/event-stream', 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' })
  await stream.screen.until(() => stream.screen.status(2) === 'streaming')
  const call = await bots.call()
  for (const [piece, whole] of [['One', 'One'], [', two', 'One, two']] as const) {
    call.say(piece)
    await stream.screen.until(() => stream.screen.text(2) === whole)
  }
  call.end()
  t.equal(await stream.ended, true)
  t.match(stream.events, [
    { event: 'message', id: undefined, data: { id: 1, rev: 1, sender: 'user', text: 'Hi', status: 'complete' } },
    { event: 'message', id: undefined, data: { id: 2, rev: 2, sender: 'bot', username: 'slow', text: '', status: 'streaming' } },
    { event: 'delta', data: { id: 2, offset: 0, text: 'One' } },
    { event: 'delta', data: { id: 2, offset: 3, text: ', two' } },
    { event: 'message', id: undefined, data: { id: 2, rev: 3, text: 'One, two', status: 'complete' } }
  ])
  t.same(Object.keys(stream.events[4]!.data), ['id', 'rev', 'sender', 'username', 'text', 'status', 'created_at'])

  await query('UPDATE messages SET rev = 4, text = \'Hi there\' WHERE id = 1')
  await query('UPDATE conversations SET last_rev = 4')
  const again = await openStream(t, `${base}${url}/messages`, ann, { body: { text: 'Hi', client_id: 'c1' } })
  t.equal(await again.ended, true)
  t.match([...again.screen.shown.values()], [{ id: 2, text: 'One, two' }, { id: 1, text: 'Hi there' }], 'a retry gets the current question and reply')

  await query('INSERT INTO conversation_bots VALUES ($1, 1)', [id])
  const instant = await openStream(t, `${base}${url}/messages`, ann, { body: { text: '@simulated Hi' } })
  t.equal(await instant.ended, true)
  t.match(instant.events, [{ data: { text: '@simulated Hi' } }, { data: { text: 'You said: Hi', status: 'complete' } }], 'an instant reply is sent as a whole')
  for (const [path, status, code] of [['/api/conversations/999/messages', 404, 'CONVERSATION_NOT_FOUND'], [`${url}/messages`, 400, 'INVALID_REQUEST']] as const) {
    const refused = await fetch(base + path, { method: 'POST', headers: { ...ann.headers, accept: 'text/event-stream', 'content-type': 'application/json' }, body: JSON.stringify({ text: status === 404 ? 'Hi' : ' ' }) })
    t.equal(refused.status, status)
    t.match(await refused.json(), { code }, 'an error has the usual format')
  }
})

t.test('pieces arrive immediately on the same instance, and with each flush on another one', async t => {
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
    t.equal(deltas.map(({ text }) => text).join(''), whole.slice(0, deltas.at(-1)!.offset + deltas.at(-1)!.text.length), 'each piece arrives exactly once, in order')
    const ends = events.filter(({ event, data }) => event === 'message' && data.status === 'complete' && data.id === 2)
    t.match(ends, [{ data: { text: whole, rev: 3 } }])
    t.equal(ends.length, 1)
  }
})

t.test('a reader that reconnects at any moment, on any instance, ends up with exactly the text', async t => {
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
        if (random(2) === 0) t.equal((await socket.join(id, screen.rev())).more, false, 'a second join changes nothing')
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

t.test('a page of changes includes replies that are still being written', async t => {
  const { app, bots, ann, id, url, query } = await oneInstance(t)
  const asked = ask(ann, url, 'Hi')
  const call = await bots.call()
  call.say('I grow')
  await isStored({ query }, 2, 'I grow')
  for (const after of [0, 1]) t.match((await ann.get(`${url}/messages?after=${after}`)).json().at(-1), { id: 2, rev: 2, text: 'I grow', status: 'streaming' })
  const news = await ann.get(`${url}/messages?after=2`)
  t.match(news.json(), [{ id: 2, rev: 2, text: 'I grow' }], 'a reply that is still streaming is included')
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

t.test('a reader that connects during a reply gets the text so far, and then the rest', async t => {
  const { app, bots, ann, id, url, query } = await oneInstance(t)
  const base = await listen({ app })
  const asked = ask(ann, url, 'over HTTP', { 'idempotency-key': 'k' })
  const call = await bots.call()
  call.say('One')
  await isStored({ query }, 2, 'One')
  const tail = await openStream(t, `${base}${url}/events`, ann)
  await tail.screen.until(() => tail.screen.text(2) === 'One')
  t.equal(tail.lastId, 2, 'a reader without Last-Event-ID starts at the newest rev')
  t.equal(tail.events[0]!.id, '2', 'the first event tells the reader this id')

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

  // A reader that reconnects gets an older message again, and its Last-Event-ID does not move backwards.
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

t.test('a reader that leaves does not stop the reply; one that is too slow is disconnected and does not slow down others', async t => {
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
  const connections = async () => await new Promise<number>((resolve, reject) => {
    app.server.getConnections((error, count) => error ? reject(error) : resolve(count))
  })
  const open = await connections()
  let asked = ask(ann, `/api/conversations/${slow}`, 'Talk')
  let n = 3
  for (; n < 150 && await connections() === open; n++) {
    const talking = await bots.call(n)
    talking.say(`${n} `.repeat(30_000).slice(0, 90_000))
    talking.end()
    t.equal((await asked).json()[1].status, 'complete')
    asked = ask(ann, `/api/conversations/${slow}`, 'Talk')
  }
  t.ok(n < 150, `disconnected after ${n - 3} replies`)
  ;(await bots.call(n)).end()
  const [, last] = (await asked).json()
  await fast.screen.until(() => fast.screen.status(last.id) === 'complete')
  await t.rejects(textOf(unread), 'a client that reads nothing is disconnected, and sees that the stream broke')
})

t.test('a long backlog is sent at the reader’s pace, until a time limit', async t => {
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
  t.equal(stream.events.length, 900, 'a long backlog arrives once')

  const large = await fill('x'.repeat(90_000), 210)
  const { answer: slow } = await openAnswer(t, large.url, ann)
  await query('DELETE FROM conversation_users WHERE conversation_id = $1', [large.id])
  await t.rejects(textOf(slow), 'a member who is removed meanwhile gets no further events')
  t.equal(bots.calls.length, 0)
})

t.test('the largest message that a bot may write reaches everybody, also those who come later', async t => {
  const { app, ann, bots, url } = await oneInstance(t)
  const base = await listen({ app })
  const stream = await openStream(t, `${base}${url}/events?after=0`, ann)
  const asked = ask(ann, url, 'Tell me everything')
  const { say, give, end } = await bots.call()
  say('語'.repeat(99_000))
  for (let n = 0; n < 31; n++) give({ part: { type: 'data', name: 'more', data: 'x'.repeat(16_000) }, isSaid: false })
  end()
  const [, reply] = (await asked).json()
  t.equal(reply.parts.length, 32)
  await stream.screen.until(() => stream.screen.status(2) === 'complete')
  const late = await openStream(t, `${base}${url}/events?after=0`, ann)
  await late.screen.until(() => late.screen.status(2) === 'complete')
  t.same([stream.screen.text(2), late.screen.text(2)], [reply.text, reply.text])
})

t.test('an idle stream sends a keep-alive every 15 s', async t => {
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
  await stream.screen.until(() => stream.comments === 1)
  t.equal(beats.length, 1)
  beats[0]!()
  await stream.screen.until(() => stream.comments === 2)
  await ann.post('/api/logout')
  t.equal(await stream.ended, true, 'it ends with the session')
  beats[0]!()
})
