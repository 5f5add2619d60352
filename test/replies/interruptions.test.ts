import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { freshDatabase, holdLock, run, startApp } from '../support/helper.ts'
import { startLive } from '../support/live.ts'
import { layCable, until } from '../support/process.ts'
import { listen, openStream } from '../support/reader.ts'
import { ask, BROKEN, GONE, hasStatus, isAborted, isStored, messagesOf, oneInstance, rowOf, twoInstances, type App } from '../support/slow-replies.ts'

// Replies whose instance dies, loses the database or shuts down, and conversations that are deleted during a reply.

t.test('a reply whose lease expires is interrupted, keeps its text, and the next one begins', async t => {
  const { one, two, ann, annAtTwo, url, query } = await twoInstances(t)
  const reader = await openStream(t, `${await listen(two)}${url}/events?after=0`, annAtTwo)
  const asked = ask(ann, url, 'Hi')
  const call = await one.bots.call()
  call.say('So far')
  await isStored({ query }, 2, 'So far')
  const second = ask(annAtTwo, url, 'And?')
  await until(async () => (await messagesOf(ann, url)).length === 4)
  // As if this instance had been frozen, and another one considered it dead.
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
  // The writer is dead, and a user had called stop.
  await query("UPDATE messages SET lease_owner = 'another', stop_requested = true, lease_until = now() - interval '1 second' WHERE id = 4")
  t.match((await second).json()[1], { text: 'Here I am', status: 'stopped' })
  t.match(await query('SELECT lease_owner FROM messages WHERE lease_owner IS NOT NULL'), [])
})

t.test('a reply whose conversation stays locked does not keep the others from being interrupted', async t => {
  const connection = await freshDatabase(t)
  const one = await startApp(t, {}, undefined, { ...connection, statement_timeout: 300 })
  one.bots.takeOver()
  const ann = await one.as('ann')
  const chats = [await one.slowChat(ann), await one.slowChat(ann)]
  const asked = chats.map(id => ask(ann, `/api/conversations/${id}`, 'Hi'))
  const calls = [await one.bots.call(1), await one.bots.call(2)]
  const lock = await holdLock(t, connection, chats[0]!)
  await one.query("UPDATE messages SET lease_owner = 'another', lease_until = now() - interval '1 second' WHERE id = 2")
  const statuses = async () => (await one.query('SELECT status FROM messages WHERE id = 2 ORDER BY conversation_id')).map(({ status }) => status)
  await until(async () => (await statuses())[1] === 'interrupted')
  t.equal((await statuses())[0], 'streaming')
  await lock.release()
  for (const call of calls) await isAborted(call)
  for (const answer of await Promise.all(asked)) t.match(answer.json()[1], { status: 'interrupted' })
})

t.test('a reply whose bot is silent keeps its lease when the clock of the server is set back', async t => {
  const { bots, ann, url, query } = await oneInstance(t)
  const asked = ask(ann, url, 'Hi')
  const call = await bots.call()
  const { now } = Date
  t.teardown(() => { Date.now = now })
  Date.now = () => now() - 60_000
  // The first renewal may have begun before the clock was set back.
  for (let renewals = 0; renewals < 2; renewals++) {
    const { lease_until: before } = await rowOf({ query }, 2)
    await until(async () => {
      const { lease_until: lease, status } = await rowOf({ query }, 2)
      return lease > before || status !== 'streaming'
    })
  }
  call.say('Here I am')
  call.end()
  t.match((await asked).json()[1], { text: 'Here I am', status: 'complete' })
})

t.test('an instance that has lost its lease writes nothing more, neither into this reply nor into the next one', async t => {
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
  // Who asked first is answered when the reply has ended, which is when the row above says so, or after the next attempt.
  const [, first] = (await asked).json()
  t.match([[first.text, first.status]], first.text === 'mine' ? [['mine', 'interrupted']] : [['anew', 'complete']])

  const lost = ask(ann, url, 'Once more')
  const last = await bots.call(3)
  await query("UPDATE messages SET lease_owner = 'another' WHERE id = 7")
  last.say('nobody hears this')
  await isAborted(last)
  t.equal((await rowOf({ query }, 7)).text, '')
  await query('UPDATE messages SET lease_until = now() WHERE id = 7')
  t.match((await lost).json()[1], { text: '', status: 'interrupted' })
})

t.test('when an instance loses the database permanently, others end its replies; if it reconnects in time, it continues them', async t => {
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
  t.match((await first).json()[1], { text: 'all that was stored', status: 'interrupted' }, 'a request that waits at this instance is answered when the database is back')
})

t.test('a reply that ends while the database is away for longer than its lease is complete when the database is back', async t => {
  const connection = await freshDatabase(t)
  const cable = await layCable(t, connection as pg.ClientConfig)
  await cable.open()
  const one = await startApp(t, {}, undefined, { connectionString: cable.url })
  one.bots.takeOver()
  const ann = await one.as('ann')
  const url = `/api/conversations/${await one.slowChat(ann)}`
  const asked = ask(ann, url, 'Hi')
  const call = await one.bots.call()
  call.say('Stored, ')
  const query = (sql: string) => run(connection, sql)
  await until(async () => (await query("SELECT FROM messages WHERE text = 'Stored, '")).length === 1)
  await cable.close()
  call.say('and not yet')
  call.end()
  await until(async () => (await query("SELECT FROM messages WHERE status = 'streaming' AND lease_until < now()")).length === 1)
  await cable.open()
  t.match((await asked).json()[1], { text: 'Stored, and not yet', status: 'complete' })
  t.match(await query('SELECT text, status FROM messages WHERE id = 2'), [{ text: 'Stored, and not yet', status: 'complete' }])
})

t.test('a server that shuts down lets replies end, interrupts those that take too long, and begins no new ones', async t => {
  const patient = { ...await freshDatabase(t), statement_timeout: 60_000, query_timeout: 60_000 }
  const { one, two, ann, annAtTwo, url, query } = await twoInstances(t, {}, patient)
  const bob = await one.as('bob')
  const [bobs, slow, quick] = [await one.slowChat(bob), await one.slowChat(ann), await one.slowChat(bob)].map(id => `/api/conversations/${id}`)
  const base = await listen(one)
  const silent = await openStream(t, `${base}${url}/messages`, ann, { body: { text: 'Hi' } })
  await one.bots.call()
  const reader = await openStream(t, `${base}${slow}/events`, ann)
  const ending = ask(bob, bobs!, 'Hi')
  const call = await one.bots.call(2)
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
  t.match((await begun).json()[1], { text: 'I was quick', status: 'complete' }, 'a reply that was being started is completed')
  call.say('Just in time')
  call.end()
  t.match((await ending).json()[1], { text: 'Just in time', status: 'complete' })
  one.bots.calls[0]!.say('I never')
  await isAborted(one.bots.calls[0]!)
  t.ok(Date.now() - before > 7_000, `interrupted after ${Date.now() - before} ms`)
  await other.release()
  t.match((await late).json(), [{}, { text: '', status: 'interrupted' }])
  await silent.ended
  t.match([silent.screen.text(2), silent.screen.status(2)], ['I never', 'interrupted'], 'its readers see the end')
  t.equal(await reader.ended, true, 'the stream ended normally')
  const refused = await answered
  t.match([refused.status, await refused.json(), refused.headers.get('retry-after')], [503, BROKEN, /\d/], 'a new message is refused with 503 and Retry-After, so that clients retry at another instance')
  await closed
  const next = await two.bots.call()
  t.same(next.turns.map(({ text }) => text), ['Hi', 'I never', 'And?'], 'the other instance answers the next message')
  next.end()
  await hasStatus({ query }, 4, 'complete')
})

t.test('messages, bots, members and conversations can be deleted while a reply is being written', async t => {
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
  t.match((await member.waiting).json(), GONE, 'the user who asked is removed')
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
  t.match((await out.waiting).json()[1], { text: 'So far', status: 'complete' }, 'the bot is removed')
  await out.endNext()

  const bot = await begin()
  await query("UPDATE users SET role = 'admin' WHERE username_key LIKE 'ann%'")
  t.equal((await bot.ann.delete(`/api/admin/bots/${slow}`)).statusCode, 204)
  bot.call.say('!')
  bot.call.end()
  t.match((await bot.waiting).json()[1], { username: null, text: 'So far!', status: 'complete' }, 'the bot is deleted')
  t.match((await bot.queued).json()[1], { username: null, text: '', status: 'failed' }, 'the deleted bot does not answer queued messages')
})

t.test('a queued reply whose turn comes while the database is away waits for it, instead of failing', async t => {
  const server = await startLive(t)
  server.bots.takeOver()
  const ann = await server.as('ann')
  const url = `/api/conversations/${await server.slowChat(ann)}`
  const first = ask(ann, url, 'First')
  const one = await server.bots.call(1)
  const second = ask(ann, url, 'Second')
  await hasStatus(server, 4, 'queued')
  const history = server.hold('task')
  one.say('One')
  one.end()
  await history.asked
  history.release(new Error('Connection terminated unexpectedly'))
  const two = await server.bots.call(2)
  two.say('Two')
  two.end()
  t.match((await first).json()[1], { text: 'One', status: 'complete' })
  t.match((await second).json()[1], { text: 'Two', status: 'complete' })
})
