import t from 'tap'
import { API_KEY, type Client } from '../support/helper.ts'
import { until } from '../support/process.ts'
import { isPrompt } from '../support/prompt.ts'
import { listen, openStream } from '../support/reader.ts'
import { ask, BUSY, GONE, hasStatus, isAborted, isStored, messagesOf, NOT_LAST, oneInstance, rowOf, TOO_MANY, twoInstances } from '../support/slow-replies.ts'

// Replies that are stopped, regenerated or requested concurrently, and limits on their number.

t.test('stop, at any instance, keeps the text so far and aborts the request to the model', async t => {
  const { one, two, ann, annAtTwo, id, url, query } = await twoInstances(t)
  const ways: Array<[name: string, stop: () => Promise<unknown>]> = [
    ['here', async () => t.equal((await ann.post(`${url}/stop`)).statusCode, 204)],
    ['at the other instance', async () => t.equal((await annAtTwo.post(`${url}/stop`)).statusCode, 204)],
    ['without a notification', async () => await query('SELECT stop_conversation($1, 1)', [id])]
  ]
  for (const [n, [name, stop]] of ways.entries()) {
    for (const said of ['I go on and', '']) {
      const calls = one.bots.calls.length
      const sent = ask(ann, url, `Stop ${name}`)
      const call = await one.bots.call(calls + 1)
      call.say(said)
      if (n < 2) call.cost(3, 1)
      const before = performance.now()
      await stop()
      await isAborted(call)
      isPrompt(t, before, 1_000, `${name}: aborted`)
      call.say(' too late')
      const answer = (await sent).json()[1]
      t.match([answer.text, answer.status], [said, 'stopped'])
    }
  }
  t.equal((await ann.post(`${url}/stop`)).statusCode, 204, 'stop does nothing if no reply is being generated')
  const eve = await one.as('eve')
  t.match((await eve.post(`${url}/stop`)).json(), GONE)
  t.match((await ann.post('/api/conversations/999/stop')).json(), GONE)
  t.equal(two.bots.calls.length, 0)
})

t.test('a session that ends gets nothing of a reply that it waits for, and the reply goes on', async t => {
  const { bots, ann, as, url } = await oneInstance(t)
  const sent = ask(ann, url, 'Hi')
  const call = await bots.call()
  call.say('Secret')
  const again = await as('ann')
  t.equal((await ann.post('/api/logout')).statusCode, 200)
  t.match((await sent).json(), { statusCode: 401, code: 'UNAUTHORIZED' })
  call.end()
  await until(async () => (await messagesOf(again, url)).at(-1).status === 'complete')
  t.match(await messagesOf(again, url), [{ text: 'Hi' }, { text: 'Secret', status: 'complete' }])
})

t.test('a late stop notification does not stop a reply that began after the stop', async t => {
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

t.test('a bot that ignores the abort signal blocks no later reply, and its text is dropped', async t => {
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

t.test('stop also stops queued replies', async t => {
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
  t.equal(bots.calls.length, 1, 'the bot was never called')
  const third = ask(ann, url, 'third')
  const next = await bots.call(2)
  t.same(next.turns.map(({ text }) => text), ['first', 'half', 'second', 'third'])
  next.end()
  await third
})

t.test('a message that is deleted while its reply is queued is not answered', async t => {
  const { bots, ann, url, as } = await oneInstance(t)
  const bob = await as('bob')
  await ann.post(`${url}/users`, { username: 'bob' })
  const first = ask(ann, url, 'first')
  const one = await bots.call(1)
  const [second, third] = [ask(bob, url, 'second'), ask(ann, url, 'third')]
  await until(async () => (await messagesOf(ann, url)).length === 6)
  const asked = (await messagesOf(ann, url)).find(({ text }: { text: string }) => text === 'second')
  t.equal((await bob.delete(`${url}/messages/${asked.id}`)).statusCode, 204)
  t.match((await second).json(), [{ id: asked.id, text: '', status: 'deleted' }, { text: '', status: 'deleted' }], 'at once, while the reply before it is still written')
  t.match((await ann.get(`${url}/messages?after=0`)).json().slice(-2), [{ id: asked.id, status: 'deleted' }, { id: asked.id + 1, status: 'deleted' }], 'readers learn both')
  one.say('answer one')
  one.end()
  await first
  const next = await bots.call(2)
  t.same(next.turns.map(({ text }) => text), ['first', 'answer one', 'third'])
  next.end()
  await third
  t.equal(bots.calls.length, 2, 'the bot was not asked again with a history that ends with its own reply')
})

t.test('regenerate writes into the row of the last reply', async t => {
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
  t.same(again.turns.map(({ text }) => text), ['first', 'good', 'second'], 'the bot does not get its previous reply')
  t.match((await messagesOf(ann, url))[3], { id: 5, rev: 7, text: '', status: 'streaming' })
  t.match(await rowOf({ query }, 5), { cost_so_far: null, error: null, stop_requested: false })
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
    { event: 'message', id: undefined, data: { id: 5, text: '', status: 'streaming' } }, { event: 'delta', data: { id: 5, offset: 0, text: 'best' } },
    { event: 'message', id: undefined, data: { id: 5, text: 'best', status: 'complete' } }
  ])

  t.match((await ann.post(`${url}/messages/2/regenerate`)).json(), NOT_LAST)
  for (const message of [1, 4, 99]) t.match((await ann.post(`${url}/messages/${message}/regenerate`)).json(), { statusCode: 404, code: 'MESSAGE_NOT_FOUND' }, `message ${message} is not a reply`)
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
  t.match((await ann.post(`${url}/messages/5/regenerate`)).json(), NOT_LAST, 'the bot was removed from the conversation')
  await ann.post(`${url}/bots`, { name: 'simulated' })
  const [, instant] = (await ask(ann, url, 'at once')).json()
  t.match((await ann.post(`${url}/messages/${instant.id}/regenerate`)).json(), NOT_LAST, 'a reply of an instant bot')
  await ann.delete(`${url}/messages/5`)
  t.match((await ann.post(`${url}/messages/5/regenerate`)).json(), { code: 'MESSAGE_NOT_FOUND' })

  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  const guest = clientOf({ authorization: `Bearer ${token}` })
  t.match((await guest.post(`/api/conversations/${id + 1}/messages/1/regenerate`)).json(), NOT_LAST, 'the greeting of a guest’s bot')
})

t.test('editing the last message generates a new reply', async t => {
  const { bots, ann, url, query } = await oneInstance(t)
  for (const text of ['first', 'second']) {
    const sent = ask(ann, url, text)
    const call = await bots.call(bots.calls.length + 1)
    call.say(`answer to ${text}`)
    call.end()
    await sent
  }
  t.equal((await ann.put(`${url}/messages/4`, { text: 'changed' })).statusCode, 200, 'the response does not wait for the reply')
  const call = await bots.call(3)
  t.same(call.turns.map(({ text }) => text), ['first', 'answer to first', 'changed'])
  t.match(await messagesOf(ann, url), [{}, {}, { text: 'changed', rev: 7 }, { id: 5, text: '', rev: 8, status: 'streaming' }])
  t.equal((await ann.put(`${url}/messages/4`, { text: 'while it answers' })).statusCode, 200)
  call.say('another answer')
  call.end()
  await hasStatus({ query }, 5, 'complete')
  t.match((await ann.put(`${url}/messages/1`, { text: 'changed, too' })).json(), { text: 'changed, too' })
  t.match((await messagesOf(ann, url))[1], { text: 'answer to first', status: 'complete' }, 'an earlier message keeps its reply')
  await ann.delete(`${url}/messages/5`)
  t.equal((await ann.put(`${url}/messages/4`, { text: 'again' })).statusCode, 200, 'a message without a reply gets none')
  t.equal(bots.calls.length, 3)
  await query('ALTER TABLE messages ADD CHECK (stop_requested OR status <> \'streaming\' OR sender <> \'bot\')')
  await query('UPDATE messages SET status = \'complete\' WHERE id = 5')
  t.match((await ann.put(`${url}/messages/4`, { text: 'once more' })).json(), { statusCode: 500 }, 'an internal error is reported')
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
  t.same(two.turns.map(({ text }) => text), ['first', 'answer one', 'second'], 'the second message is answered after the first one')
  t.match((await first).json()[1], { text: 'answer one', status: 'complete' })
  two.say('half an ans')

  t.match((await ann.patch(url, { when_busy: 'reject' })).json(), { name: 'Slow', when_busy: 'reject' })
  t.match((await ask(ann, url, 'third')).json(), BUSY)
  t.equal((await messagesOf(ann, url)).length, 4, 'the refused message is not stored')

  await ann.patch(url, { when_busy: 'interrupt' })
  const third = ask(ann, url, 'third')
  await isAborted(two)
  t.match((await second).json()[1], { text: 'half an ans', status: 'stopped' })
  const three = await bots.call(3)
  t.same(three.turns.map(({ text }) => text), ['first', 'answer one', 'second', 'half an ans', 'third'], 'both messages are answered')
  three.say('answer to both')
  three.end()
  t.match((await third).json()[1], { text: 'answer to both', status: 'complete' })
})

t.test('a queued reply is still written when the account that asked for it is deleted', async t => {
  const { bots, ann, url, query } = await oneInstance(t)
  const first = ask(ann, url, 'first')
  const one = await bots.call(1)
  const second = ask(ann, url, 'second')
  await until(async () => (await messagesOf(ann, url)).length === 4)
  await query("UPDATE messages SET user_id = NULL WHERE text = 'second'")
  one.end()
  const two = await bots.call(2)
  two.say('answer two')
  two.end()
  await first
  t.match((await second).json()[1], { text: 'answer two', status: 'complete' })
})

t.test('a user can have at most three replies in progress, in all conversations together, also with concurrent requests', async t => {
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

t.test('regenerating counts against the limit too, and an edit is kept even if it cannot be answered', async t => {
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

t.test('an instance generates a limited number of replies at the same time; the others wait', async t => {
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
