import t from 'tap'
import { freshDatabase, startApp, type Client } from '../support/helper.ts'

const begin = async (client: Client, name = 'Plans', more: object = {}): Promise<string> =>
  `/api/conversations/${(await client.post('/api/conversations', { name, ...more })).json().id}`

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

t.test('a conversation may begin without a name', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  t.match((await ann.post('/api/conversations', {})).json(), { id: Number, name: 'New conversation' })
})

t.test('a user creates, reads, renames and deletes a conversation', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  const begun = await ann.post('/api/conversations', { name: '  Plans ' })
  t.equal(begun.statusCode, 201)
  const { id } = begun.json()
  t.same(begun.json(), { id, name: 'Plans' })
  const url = `/api/conversations/${id}`

  t.equal((await ann.post('/api/conversations', { name: ' ' })).statusCode, 400)
  const renamed = await ann.put(url, { name: 'Better plans' })
  t.equal(renamed.statusCode, 200)
  t.same(renamed.json(), { id, name: 'Better plans' })

  await ann.post(`${url}/messages`, { text: 'hi' })
  const read = await ann.get(url)
  t.equal(read.statusCode, 200)
  t.match(read.json(), { id, name: 'Better plans', is_finished: false, last_updated: ISO })
  t.same(read.json().messages.map(({ text }: { text: string }) => text), ['hi', 'You said: hi'])
  t.same((await ann.get(`${url}?messages=0`)).json().messages, [])
  t.same((await ann.get(`${url}?messages=1`)).json().messages.map(({ text }: { text: string }) => text), ['You said: hi'])

  const deleted = await ann.delete(url)
  t.equal(deleted.statusCode, 204)
  t.equal(deleted.body, '')
  t.equal((await ann.get(url)).statusCode, 404)
  t.equal((await ann.delete(url)).statusCode, 404)
  t.same(await query('SELECT FROM messages'), [], 'its messages are deleted with it')
})

t.test('a message is the same wherever it is read, with any characters and any timestamp', async t => {
  const { as, db, query } = await startApp(t)
  const ann = await as('ann')
  const url = await begin(ann, 'With "quotes", \\, \u2028 and more')
  for (const text of ['"quotes" and \\n', 'two\nlines\tand \u0001', '\u2028 </script> é 👩‍👩‍👧 \ufffe']) await ann.post(`${url}/messages`, { text })
  for (const [id, time] of [[1, '2026-01-02 03:04:05.000001+00'], [2, '2026-01-02 03:04:05.9999+00'], [3, '2026-11-21 23:59:59.12-05'], [4, '1999-12-31 23:59:59.9996+00']] as const) {
    await query(`UPDATE messages SET created_at = '${time}' WHERE id = ${id}`)
  }
  const messages = (await ann.get(`${url}/messages`)).json()
  t.same(messages, (await Promise.all([1, 2, 3, 4, 5, 6].map(id => ann.get(`${url}/messages/${id}`)))).map(one => one.json()))
  t.same(messages, (await ann.get(`${url}/messages?after=0`)).json())
  t.match(messages[2], { created_at: '2026-11-22T04:59:59.120Z' })
  const [listed] = (await ann.get('/api/conversations')).json()
  t.match(listed, { name: 'With "quotes", \\, \u2028 and more', last_updated: ISO })
  t.same(listed.messages, messages)
  t.same((await ann.get(url)).json(), listed)
  t.same((await db.$client.query("SELECT '12026-01-02 03:04:05.678+00'::timestamptz AS time")).rows, [{ time: new Date('+012026-01-02T03:04:05.678Z') }])
  t.match((await ann.get(`${url}/messages`)).headers, { 'content-type': 'application/json; charset=utf-8' })
})

t.test('the response to a new message has the message and the reply', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  const url = await begin(ann)
  const sent = await ann.post(`${url}/messages`, { text: '  hello\nthere ' })
  t.equal(sent.statusCode, 201)
  const [mine, reply] = sent.json()
  t.match(mine, { id: 1, rev: 1, sender: 'user', username: 'ann', text: 'hello\nthere', status: 'complete', created_at: ISO })
  t.match(reply, { id: 2, rev: 2, sender: 'bot', username: 'simulated', text: 'You said: hello\nthere', status: 'complete', created_at: ISO })
  t.same((await ann.get(`${url}/messages`)).json(), [mine, reply], 'both are read as they were in the response')
  t.same((await ann.get(`${url}/messages/2`)).json(), reply)

  const emoji = '👩‍🚀'.repeat(2000)
  t.equal((await ann.post(`${url}/messages`, { text: emoji })).json()[0].text, emoji, '8,000 code points')
  for (const text of ['', '   ', 'x'.repeat(8001), 42, null, ['x']]) {
    t.match((await ann.post(`${url}/messages`, { text })).json(), { statusCode: 400, code: 'INVALID_REQUEST' })
  }
  t.equal((await query('SELECT FROM messages')).length, 4)
})

t.test('which bots are in a conversation, and which of them answer', async t => {
  const { as, query } = await startApp(t)
  const ann = await as('ann')
  const answersTo = async (url: string, text: string) => (await ann.post(`${url}/messages`, { text })).json()
    .slice(1).map(({ username, text }: { username: string, text: string }) => `${username}: ${text}`)

  const guided = await begin(ann, 'Song', { bots: ['favorite-song'] })
  t.same(await answersTo(guided, 'Hello'), ['favorite-song: What is your name?'])
  t.same(await answersTo(guided, 'Ann'), ['favorite-song: Hello Ann, what is your favorite song?'])
  t.same(await answersTo(guided, 'Hey Jude'), ['favorite-song: Playing Hey Jude'])
  t.equal((await ann.get(guided)).json().is_finished, true)
  t.same(await answersTo(guided, 'hello'), ['favorite-song: What is your name?'], 'after the script has ended, an account continues in the same conversation')
  t.equal((await ann.get(guided)).json().is_finished, false)

  const none = await begin(ann, 'Notes', { bots: [] })
  t.same(await answersTo(none, 'to myself'), [])

  const both = await begin(ann, 'Both', { bots: ['simulated', 'favorite-song'] })
  t.same(await answersTo(both, 'hello'), [], 'with several bots, only mentioned bots answer')
  t.same(await answersTo(both, '@simulated hello'), ['simulated: You said: hello'])
  t.same(await answersTo(both, '@favorite-song, @simulated: hello'), ['favorite-song: What is your name?', 'simulated: You said: hello'])
  t.same(await answersTo(both, 'well, @favorite-song and @simulated?'), [
    'favorite-song: Hello well, @favorite-song and @simulated?, what is your favorite song?', 'simulated: You said: well, @favorite-song and @simulated?'
  ], 'bots answer in the order of the mentions')
  await answersTo(both, '@favorite-song Yesterday')
  await answersTo(both, '@simulated and now?')
  t.equal((await ann.get(both)).json().is_finished, true, 'the conversation stays finished when another bot answers')

  const before = await query('SELECT FROM conversations')
  t.match((await ann.post('/api/conversations', { name: 'X', bots: ['nobody'] })).json(), { statusCode: 404, code: 'BOT_NOT_FOUND' })
  t.equal((await ann.post('/api/conversations', { name: 'X', bots: ['simulated', 'simulated'] })).statusCode, 400)
  t.equal((await query('SELECT FROM conversations')).length, before.length)
})

t.test('a stranger can do nothing, and cannot find out what exists', async t => {
  const { as, anyone } = await startApp(t)
  const ann = await as('ann')
  const bob = await as('bob')
  const url = await begin(ann)
  await ann.post(`${url}/messages`, { text: 'secret' })

  const calls: Array<[string, (client: Client, url: string) => ReturnType<Client['get']>]> = [
    ['read', (client, url) => client.get(url)],
    ['rename', (client, url) => client.put(url, { name: 'Mine' })],
    ['list messages', (client, url) => client.get(`${url}/messages`)],
    ['catch up', (client, url) => client.get(`${url}/messages?after=0`)],
    ['send', (client, url) => client.post(`${url}/messages`, { text: 'x' })],
    ['read a message', (client, url) => client.get(`${url}/messages/1`)],
    ['edit', (client, url) => client.put(`${url}/messages/1`, { text: 'x' })],
    ['delete a message', (client, url) => client.delete(`${url}/messages/1`)],
    ['delete', (client, url) => client.delete(url)]
  ]
  for (const [name, call] of calls) {
    const strange = await call(bob, url)
    t.equal(strange.statusCode, 404, `${name}: not found`)
    t.equal(strange.body, (await call(bob, '/api/conversations/999999')).body, `${name}: same response as for a conversation that does not exist`)
    t.equal((await call(anyone, url)).statusCode, 401, `${name}: 401 without a login`)
    t.ok((await call(ann, url)).statusCode < 300, `${name}: its owner can do it`)
  }
  t.same((await bob.get('/api/conversations')).json(), [])
})

t.test('a member can read, rename and write; only the owner can delete the conversation and any message', async t => {
  const { as, query } = await startApp(t)
  const [ann, bob] = [await as('ann'), await as('bob')]
  const url = await begin(ann)
  await query("INSERT INTO conversation_users (conversation_id, user_id) SELECT c.id, u.id FROM conversations c, users u WHERE u.username = 'bob'")
  t.equal((await bob.put(url, { name: 'Ours' })).statusCode, 200)
  t.equal((await bob.post(`${url}/messages`, { text: 'from bob' })).statusCode, 201)
  t.equal((await ann.post(`${url}/messages`, { text: 'from ann' })).statusCode, 201)
  t.match((await bob.delete(url)).json(), { statusCode: 403, code: 'NOT_THE_OWNER' })
  for (const id of [2, 3]) {
    t.match((await bob.put(`${url}/messages/${id}`, { text: 'x' })).json(), { statusCode: 403, code: 'NOT_THE_AUTHOR' })
    t.match((await bob.delete(`${url}/messages/${id}`)).json(), { statusCode: 403, code: 'NOT_THE_AUTHOR' })
  }
  t.equal((await ann.put(`${url}/messages/1`, { text: 'x' })).statusCode, 403, 'not even the owner can edit another member’s message')
  t.equal((await ann.delete(`${url}/messages/1`)).statusCode, 204)
  t.equal((await ann.delete(`${url}/messages/2`)).statusCode, 204, 'the owner can also delete a bot’s message')
  t.equal((await ann.delete(url)).statusCode, 204)
})

t.test('a client that reads all changes after its highest rev misses none', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const url = `${await begin(ann)}/messages`
  for (const text of ['one', 'two', 'three']) await ann.post(url, { text })
  const rev = 6

  const edited = await ann.put(`${url}/1`, { text: ' uno ' })
  t.equal(edited.statusCode, 200)
  t.match(edited.json(), { id: 1, rev: 7, text: 'uno', sender: 'user' })
  t.equal((await ann.delete(`${url}/3`)).statusCode, 204)
  await ann.post(url, { text: 'four' })

  const changes = (await ann.get(`${url}?after=${rev}`)).json()
  t.match(changes, [
    { id: 1, rev: 7, text: 'uno', status: 'complete' },
    { id: 3, rev: 8, text: '', status: 'deleted' },
    { id: 9, rev: 9, text: 'four' },
    { id: 10, rev: 10, text: 'You said: four' }
  ])
  t.equal(changes.length, 4)
  t.same((await ann.get(`${url}?after=10`)).json(), [])
  t.same((await ann.get(url)).json().map(({ id }: { id: number }) => id), [1, 2, 4, 5, 6, 9, 10], 'a page has the messages that exist, ordered by id')
  for (const answer of [await ann.get(`${url}/3`), await ann.put(`${url}/3`, { text: 'x' }), await ann.delete(`${url}/3`), await ann.get(`${url}/99`)]) {
    t.match(answer.json(), { statusCode: 404, code: 'MESSAGE_NOT_FOUND' })
  }

  const first = await ann.get(`${url}?after=0&limit=4`)
  t.same(first.json().map(({ rev }: { rev: number }) => rev), [2, 4, 5, 6])
  t.match(first.headers.link, '; rel="next"')
  const [, next] = /^<(.*)>/.exec(first.headers.link as string)!
  t.same((await ann.get(next!)).json().map(({ rev }: { rev: number }) => rev), [7, 8, 9, 10])
})

t.test('conversations are listed by last use, with their newest messages, page by page', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  const urls = []
  for (const name of ['a', 'b', 'c', 'd', 'e']) urls.push(await begin(ann, name))
  await ann.post(`${urls[1]}/messages`, { text: 'used again' })

  const names = (answer: { json: () => Array<{ name: string }> }) => answer.json().map(({ name }) => name)
  const all = await ann.get('/api/conversations?messages=1')
  t.same(names(all), ['b', 'e', 'd', 'c', 'a'])
  t.equal(all.headers.link, undefined)
  t.match(all.json()[0], { messages: [{ text: 'You said: used again' }], last_updated: ISO })

  const first = await ann.get('/api/conversations?limit=2&messages=0')
  const [, next] = /^<(.*)>; rel="next"$/.exec(first.headers.link as string)!
  const second = await ann.get(next!)
  const [, last] = /^<(.*)>/.exec(second.headers.link as string)!
  const third = await ann.get(last!)
  t.same([first, second, third].map(names), [['b', 'e'], ['d', 'c'], ['a']])
  t.equal(third.headers.link, undefined)
})

t.test('the list of conversations is in order to the millisecond, for all members, and page by page', async t => {
  const { as, query } = await startApp(t)
  const [ann, bob] = [await as('ann'), await as('bob')]
  const places: number[] = []
  for (let n = 0; n < 12; n++) places.push((await ann.post('/api/conversations', { name: `Chat ${n}`, bots: n % 2 === 0 ? ['simulated'] : [] })).json().id)
  // Last used two hours ago: several in the same minute, and two at the same moment.
  await query("UPDATE conversations SET last_updated = now() - interval '2 hours' - make_interval(secs => (id * 7 % 5) * 20)")
  for (const id of places.slice(0, 3)) await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  await bob.post(`/api/conversations/${places[1]}/messages`, { text: 'to all' })
  await ann.post(`/api/conversations/${places[8]}/messages`, { text: 'hello' })

  for (const [client, user] of [[ann, 'ann'], [bob, 'bob']] as const) {
    const expected = await query(`SELECT c.id::int FROM conversations c JOIN conversation_users cu ON cu.conversation_id = c.id JOIN users u ON u.id = cu.user_id
      WHERE u.username = '${user}' ORDER BY c.last_updated DESC, c.id DESC`)
    const found: number[] = []
    let url: string | undefined = '/api/conversations?limit=2&messages=1'
    while (url !== undefined) {
      const answer = await client.get(url)
      found.push(...answer.json().map(({ id }: { id: number }) => id))
      url = /<(.*)>/.exec(String(answer.headers['link'] ?? ''))?.[1]
    }
    t.same(found, expected.map(({ id }) => id), user)
    t.equal(found.length, user === 'ann' ? 12 : 3)
  }
  t.same(await query("SELECT FROM conversation_users cu JOIN conversations c ON c.id = cu.conversation_id WHERE cu.used_in <> date_bin('1 minute', c.last_updated, 'epoch')"), [])
})

t.test('timestamps do not depend on the time zone of the database', async t => {
  const connection = await freshDatabase(t)
  const { as, clientOf } = await startApp(t, {}, undefined, connection)
  const ann = await as('ann')
  const url = await begin(ann)
  const abroad = await startApp(t, {}, undefined, { ...connection, options: '-c TimeZone=Asia/Kolkata' })
  const sent = (await ann.post(`${url}/messages`, { text: 'now' })).json()
  t.ok(Math.abs(Date.parse(sent[0].created_at) - Date.now()) < 10_000)
  for (const client of [clientOf(ann.headers), abroad.clientOf(ann.headers)]) t.same((await client.get(`${url}/messages`)).json(), sent)
})
