import t from 'tap'
import { API_KEY, holdLock, type Client } from '../support/helper.ts'
import { until } from '../support/process.ts'
import { isPrompt } from '../support/prompt.ts'
import { listen, openSocket, openStream } from '../support/reader.ts'
import type { Call } from '../support/slow-bot.ts'
import { ask, isStored, messagesOf, oneInstance, rowOf, textsOf, twoInstances } from '../support/slow-replies.ts'

// Streaming bots: their replies while they grow, and their costs.

t.test('a reply is stored with its question, grows and ends; a request without streaming waits for the end', async t => {
  const { bots, ann, url, query } = await oneInstance(t)
  const sent = ask(ann, url, 'Hi')
  const call = await bots.call()
  t.same(call.turns, [{ id: 1, sender: 'user', name: 'ann', text: 'Hi' }])
  t.match(await messagesOf(ann, url), [{ id: 1, rev: 1, sender: 'user', status: 'complete' }, { id: 2, rev: 2, sender: 'bot', username: 'slow', text: '', status: 'streaming' }])
  t.match(await query('SELECT lease_owner FROM messages WHERE id = 2 AND lease_until BETWEEN now() AND now() + interval \'8 seconds\''), [{ lease_owner: String }])
  call.say('One, ')
  await isStored({ query }, 2, 'One, ')
  t.match(await messagesOf(ann, url), [{}, { id: 2, rev: 2, text: 'One, ', status: 'streaming' }], 'the reply grows in its row')
  call.say('')
  call.say('two.')
  call.cost(30, 4)
  call.end()
  const answer = await sent
  t.equal(answer.statusCode, 201)
  t.match(answer.json(), [{ id: 1, text: 'Hi' }, { id: 2, rev: 3, text: 'One, two.', status: 'complete' }])
  t.match(await rowOf({ query }, 2), { cost_so_far: null, lease_owner: null, lease_until: null, error: null })
  t.match(await query('SELECT * FROM reply_costs'), [{ prompt_tokens: 30, completion_tokens: 4, is_estimate: false, status: 'complete', bot_name: 'slow' }])

  const second = ask(ann, url, 'And?')
  const next = await bots.call(2)
  t.same(next.turns, [
    { id: 1, sender: 'user', name: 'ann', text: 'Hi' }, { id: 2, sender: 'bot', name: 'slow', text: 'One, two.' }, { id: 4, sender: 'user', name: 'ann', text: 'And?' }
  ], 'the bot gets the earlier messages')
  next.end()
  t.match((await second).json()[1], { text: '', status: 'complete' }, 'an empty reply is complete')
})

t.test('a reply that fails keeps its text and gets an error code', async t => {
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
  t.equal(cut.text, '🙂'.repeat(60_000) + '🙃'.repeat(40_000), 'a reply has at most 100,000 characters')
  t.equal(cut.status, 'failed')
  t.equal(talking.signal.aborted, false)
})

t.test('characters are whole wherever pieces split them, and characters that Postgres cannot store are removed', async t => {
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

t.test('a bot gets at most a few MiB of a long conversation, the newest messages', async t => {
  const { bots, ann, url, query } = await oneInstance(t)
  const fill = async (from: number, to: number) => await query(`INSERT INTO messages (conversation_id, id, rev, sender, user_id, text)
    SELECT c.id, n, n, 'user', owner_id, n || repeat('😀', 100000) FROM conversations c, generate_series(${from}, ${to}) n`)
  await fill(1, 300)
  await query('UPDATE conversations SET last_rev = 300')
  const began = performance.now()
  const sent = ask(ann, url, 'Hi')
  const { turns, end } = await bots.call()
  isPrompt(t, began, 2_000)
  const bytes = turns.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0)
  t.ok(bytes < 4 * 1024 * 1024 && bytes > 3 * 1024 * 1024, `${bytes} bytes`)
  t.same(turns.map(({ text }) => parseInt(text)), [...Array.from({ length: turns.length - 1 }, (_, n) => 302 - turns.length + n), NaN], 'the newest messages and the question')
  end()
  await sent
})

t.test('a reply that the database refuses does not prevent others from being stored', async t => {
  const { bots, ann, url, query, slowChat } = await oneInstance(t)
  await query("ALTER TABLE messages ADD CHECK (text NOT LIKE '%poison%')")
  const sent = [url, `/api/conversations/${await slowChat(ann)}`].map(url => ask(ann, url, 'Hi'))
  await bots.call(2)
  const [bad, good] = bots.calls as [Call, Call]
  bad.say('poison')
  for (const word of ['One, ', 'two, ', 'three.']) {
    good.say(word)
    await until(async () => (await query('SELECT FROM messages WHERE text LIKE $1', [`%${word}`])).length === 1)
  }
  await until(() => bad.signal.aborted)
  good.end()
  const ends = await Promise.all(sent)
  t.same(ends.map(answer => textsOf(answer.json())[1]).sort(), [' (interrupted)', 'One, two, three. (complete)'])
})

t.test('several bots: each mentioned bot answers, one after the other; instant bots answer at once', async t => {
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
  t.same(two.turns.slice(2).map(({ sender, name, text }) => ({ sender, name, text })), [
    { sender: 'bot', name: 'other', text: 'I am the other' }, { sender: 'bot', name: 'simulated', text: 'You said: what do you say?' }
  ])
  two.say('I am slow')
  two.end()
  t.match((await asked).json(), [{ sender: 'user' }, { username: 'other', text: 'I am the other' }, { username: 'simulated' }, { username: 'slow', text: 'I am slow' }])
  const again = ann.post(`${url}/messages/5/regenerate`)
  ;(await bots.call(3)).end()
  t.match((await again).json(), { id: 5, username: 'slow', text: '', status: 'complete' })
})

t.test('a retry that arrives while the first request is being answered waits for the same reply, on any instance', async t => {
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
  t.equal(first!.statusCode, 201, 'a retry is not refused because the bot is busy with the same message')
  t.equal(first!.body, second!.body)
})

t.test('the history for a bot is read while the message is stored, and read again if the conversation changed before that', async t => {
  const { bots, ann, url, id, db, connection, query } = await oneInstance(t)
  const exchange = async (text: string) => {
    const sent = ask(ann, url, text)
    const call = await bots.call(bots.calls.length + 1)
    call.end()
    await sent
    return call.turns.map(({ text }) => text)
  }
  const reads: string[] = []
  const { query: original } = db.$client
  db.$client.query = ((...args: [{ name?: string }]) => {
    reads.push(args[0].name ?? '')
    if (args[0].name === 'task_ahead' && reads.includes('fails')) return Promise.reject(new Error('no'))
    return (original as (...args: unknown[]) => unknown).apply(db.$client, args)
  }) as typeof original
  t.same(await exchange('One'), ['One'])
  t.same([reads.includes('task_ahead'), reads.includes('task')], [true, false])

  const lock = await holdLock(t, connection, id)
  const removed = ann.delete(`${url}/messages/1`)
  await lock.until(1)
  const next = exchange('Two')
  await lock.until(2)
  await lock.release()
  await removed
  t.same(await next, ['Two'], 'the history from before the other change is not used')
  t.ok(reads.includes('task'))

  reads.push('fails')
  t.same(await exchange('Three'), ['Two', 'Three'], 'the history is read again if that fails')
  t.match(await query('SELECT count(*)::int FROM messages'), [{ count: 6 }])
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
  await query("UPDATE reply_costs SET created_at = '2026-03-01T23:59:59Z' WHERE message_id <= 2")
  await query("UPDATE reply_costs SET created_at = '2026-03-02T00:00:00Z' WHERE message_id BETWEEN 3 AND 6")
  await query("UPDATE reply_costs SET created_at = '2026-03-03T12:00:00Z' WHERE message_id > 6")
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
  t.same(pages, [[third], [other, second], [first]], 'in pages of whole days')
  t.same((await ann.get('/api/me/usage?before=2026-03-02')).json(), [first])
  for (const before of ['2026-13-01', '2026-02-30', '0000-01-01', '2026-3-1', 'x']) t.match((await ann.get(`/api/me/usage?before=${before}`)).json(), { statusCode: 400 })

  const bob = await as('bob')
  await ann.post(`${url}/users`, { username: 'bob' })
  await cost(bob, '@slow from Bob', [[7, 7]])
  t.match((await bob.get('/api/me/usage')).json(), [{ bot: 'slow', replies: 1, prompt_tokens: 7 }], 'tokens are counted for the user who asked')
  t.equal((await ann.get('/api/me/usage')).json().length, 4)
  await query("DELETE FROM chatbots WHERE name = 'slow'")
  t.match((await ann.get('/api/me/usage')).json().map(({ bot }: { bot: string | null }) => bot), ['slow', 'other', 'slow', 'slow'], 'tokens of a deleted bot are kept')
  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  t.match((await clientOf({ authorization: `Bearer ${token}` }).get('/api/me/usage')).json(), { code: 'NOT_FOR_GUESTS' })
})

t.test('a guest waits for the reply of a streaming bot', async t => {
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
