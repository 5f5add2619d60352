import t from 'tap'
import { API_KEY, holdLock, startApp, type Client } from '../support/helper.ts'

type Server = Awaited<ReturnType<typeof startApp>>
type Answer = Awaited<ReturnType<Client['get']>>

const begin = async (client: Client, more: object = {}): Promise<string> =>
  `/api/conversations/${(await client.post('/api/conversations', { name: 'Plans', ...more })).json().id}`

const idOf = async (client: Client): Promise<number> => (await client.get('/api/me')).json().id
const namesOf = (answer: Answer) => answer.json().map(({ username, name }: { username?: string, name?: string }) => username ?? name)
const usersOf = async (client: Client, url: string) => (await client.get(`${url}/users`)).json()
const ownerOf = async (client: Client, url: string) => (await usersOf(client, url)).find(({ is_owner: isOwner }: { is_owner: boolean }) => isOwner).username

/** Ann's conversation with other members, who were added in this order. */
async function group ({ as }: Server, others: string[], more: object = {}) {
  const ann = await as('ann')
  const url = await begin(ann, more)
  const members = []
  for (const username of others) {
    members.push(await as(username))
    await ann.post(`${url}/users`, { username })
  }
  return { ann, url, members, ids: await Promise.all(members.map(idOf)) }
}

const answersTo = async (client: Client, url: string, text: string) => (await client.post(`${url}/messages`, { text })).json()
  .slice(1).map(({ username, text }: { username: string, text: string }) => `${username}: ${text}`)

const FULL = { statusCode: 409, code: 'CONVERSATION_FULL' }
const GONE = { statusCode: 404, code: 'CONVERSATION_NOT_FOUND' }
const NOT_THE_OWNER = { statusCode: 403, code: 'NOT_THE_OWNER' }

t.test('an owner adds users by name; members can read everything, write, rename, and see the conversation in their list', async t => {
  const server = await startApp(t)
  const { as, anyone, clientOf } = server
  const [ann, bob, eve] = [await as('ann'), await as('Bob'), await as('eve')]
  const url = await begin(ann)
  await ann.post(`${url}/messages`, { text: 'before anybody came' })
  t.match((await bob.get(url)).json(), GONE)

  const invited = await ann.post(`${url}/users`, { username: ' bOB ' })
  t.equal(invited.statusCode, 201)
  const id = await idOf(bob)
  t.same(invited.json(), { id, username: 'Bob' }, 'the spelling of the name does not matter')
  const users = await usersOf(ann, url)
  t.match(users, [{ username: 'ann', is_owner: true, joined_at: /^\d{4}-.*\.\d{3}Z$/ }, { id, username: 'Bob', is_owner: false }])
  t.same(Object.keys(users[1]), ['id', 'username', 'is_owner', 'joined_at', 'read_rev'])

  const again = await ann.post(`${url}/users`, { username: 'Bob' })
  t.same([again.statusCode, again.json()], [201, invited.json()], 'adding a member again changes nothing')
  t.same((await ann.post(`${url}/users`, { username: 'ann' })).json(), { id: users[0].id, username: 'ann' })
  t.same(await usersOf(bob, url), users, 'members see the same list of members')

  t.same(namesOf(await bob.get(`${url}/messages`)), ['ann', 'simulated'], 'a new member can read everything from the beginning')
  const [mine] = (await bob.post(`${url}/messages`, { text: 'from Bob' })).json()
  t.match(mine, { sender: 'user', username: 'Bob', text: 'from Bob' })
  t.match((await ann.get(`${url}/messages`)).json()[2], mine, 'everybody sees the author')
  t.match((await bob.get('/api/conversations')).json(), [{ name: 'Plans', messages: [{ username: 'ann' }, {}, { username: 'Bob' }, {}] }])
  t.equal((await bob.put(url, { name: 'Ours' })).statusCode, 200)
  t.match((await bob.delete(url)).json(), NOT_THE_OWNER)
  t.match((await bob.put(`${url}/messages/1`, { text: 'x' })).json(), { code: 'NOT_THE_AUTHOR' })
  t.equal((await ann.delete(`${url}/messages/3`)).statusCode, 204, 'the owner can delete any message')

  const guest = clientOf({ authorization: `Bearer ${(await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json().token}` })
  await anyone.post('/chat', { user_phone: '123456', user_message: 'hello' })
  for (const username of ['nobody', '', '123456', '+123456', 'null']) {
    t.match((await ann.post(`${url}/users`, { username })).json(), { statusCode: 404, code: 'USER_NOT_FOUND' }, `no account: ${username}`)
  }
  t.match((await bob.post(`${url}/users`, { username: 'eve' })).json(), NOT_THE_OWNER)
  t.match((await eve.post(`${url}/users`, { username: 'eve' })).json(), GONE)
  t.match((await guest.post(`${url}/users`, { username: 'eve' })).json(), { statusCode: 403, code: 'NOT_FOR_GUESTS' })
  t.same(await usersOf(ann, url), [users[0], { ...users[1], read_rev: 3 }], 'nobody was added; Bob has written, and so has read')
})

t.test('a member who left or was removed is a stranger', async t => {
  const server = await startApp(t)
  const { url, ann, members: [bob, carol, dan], ids: [bobs, carols, dans] } = await group(server, ['bob', 'carol', 'dan'])
  const eve = await server.as('eve')
  await bob!.post(`${url}/messages`, { text: 'from bob' })
  const anns = await idOf(ann)

  t.match((await bob!.delete(`${url}/users/${carols}`)).json(), NOT_THE_OWNER)
  t.match((await bob!.delete(`${url}/users/${anns}`)).json(), NOT_THE_OWNER)
  t.match((await ann.delete(`${url}/users/${await idOf(eve)}`)).json(), { statusCode: 404, code: 'USER_NOT_FOUND' })
  const left = await dan!.delete(`${url}/users/${dans}`)
  t.same([left.statusCode, left.body], [204, ''])
  t.equal((await ann.delete(`${url}/users/${bobs}`)).statusCode, 204)
  t.match((await ann.delete(`${url}/users/${bobs}`)).json(), { statusCode: 404, code: 'USER_NOT_FOUND' })
  t.same(namesOf(await carol!.get(`${url}/users`)), ['ann', 'carol'])
  t.equal((await ann.get(`${url}/messages/1`)).json().username, 'bob', 'the messages of a removed member stay, with the author’s name')

  const calls: Array<[string, (client: Client, url: string) => Promise<Answer>]> = [
    ['read', (client, url) => client.get(url)],
    ['rename', (client, url) => client.put(url, { name: 'Mine' })],
    ['delete', (client, url) => client.delete(url)],
    ['list messages', (client, url) => client.get(`${url}/messages`)],
    ['catch up', (client, url) => client.get(`${url}/messages?after=0`)],
    ['send', (client, url) => client.post(`${url}/messages`, { text: 'x' })],
    ['read a message', (client, url) => client.get(`${url}/messages/1`)],
    ['edit', (client, url) => client.put(`${url}/messages/1`, { text: 'x' })],
    ['delete a message', (client, url) => client.delete(`${url}/messages/1`)],
    ['list users', (client, url) => client.get(`${url}/users`)],
    ['list users from some id', (client, url) => client.get(`${url}/users?after=1000000`)],
    ['invite', (client, url) => client.post(`${url}/users`, { username: 'bob' })],
    ['remove a member', (client, url) => client.delete(`${url}/users/${carols}`)],
    ['remove oneself', (client, url) => client.delete(`${url}/users/${bobs}`)],
    ['list bots', (client, url) => client.get(`${url}/bots`)],
    ['add a bot', (client, url) => client.post(`${url}/bots`, { name: 'simulated' })],
    ['remove a bot', (client, url) => client.delete(`${url}/bots/1`)]
  ]
  for (const [name, call] of calls) {
    for (const [who, client] of [['a former member', bob!], ['a member who left', dan!], ['a stranger', eve]] as const) {
      const strange = await call(client, url)
      t.match(strange.json(), GONE, `${who}: ${name}`)
      t.equal(strange.body, (await call(client, '/api/conversations/999999')).body, `${who}: ${name}, same response as for a conversation that does not exist`)
    }
  }
  t.same((await bob!.get('/api/conversations')).json(), [])
  t.same(namesOf(await ann.get(`${url}/messages`)), ['bob', 'simulated'])
  t.equal((await ann.post(`${url}/users`, { username: 'bob' })).statusCode, 201, 'a removed member can be added again')
  t.equal((await bob!.put(`${url}/messages/1`, { text: 'mine again' })).statusCode, 200)
})

t.test('when the owner leaves, the member who joined first becomes the owner; the last member’s leaving deletes the conversation', async t => {
  const server = await startApp(t)
  const { url, ann, members: [carol, bob, dan], ids: [, bobs, dans] } = await group(server, ['carol', 'bob', 'dan'])
  t.equal((await ann.delete(`${url}/users/${await idOf(ann)}`)).statusCode, 204)
  t.match((await ann.get(url)).json(), GONE)
  t.equal(await ownerOf(bob!, url), 'carol', 'the member who joined first becomes the owner')
  t.equal((await carol!.post(`${url}/users`, { username: 'ann' })).statusCode, 201)

  await server.query('UPDATE conversation_users SET joined_at = now()')
  t.equal((await server.app.inject({ method: 'DELETE', url: '/api/me', headers: carol!.headers, payload: { password: 'correct horse' } })).statusCode, 204)
  const [first, second] = (await server.query("SELECT username FROM users WHERE username IN ('ann', 'bob', 'dan') ORDER BY id")).map(({ username }) => username as string)
  t.equal(await ownerOf(bob!, url), first, 'of two who joined at the same moment, the one with the older account becomes the owner')
  t.same([first, second], ['ann', 'bob'])
  t.match((await dan!.delete(`${url}/users/${bobs}`)).json(), NOT_THE_OWNER)
  t.equal((await ann.delete(`${url}/users/${bobs}`)).statusCode, 204)
  t.equal((await dan!.delete(`${url}/users/${dans}`)).statusCode, 204)

  const alone = await ann.delete(`${url}/users/${await idOf(ann)}`)
  t.match(alone.json(), { statusCode: 409, code: 'LAST_MEMBER', error: 'You are the only one here: delete the conversation instead' })
  t.same(namesOf(await ann.get(`${url}/users`)), ['ann'])
  t.equal((await ann.delete(url)).statusCode, 204)
})

t.test('an owner who goes hands the conversation to a member who can log in, if there is one', async t => {
  const server = await startApp(t)
  const { url, ann, members: [carol, bob, dan], ids: [carols] } = await group(server, ['carol', 'bob', 'dan'])
  await server.query('UPDATE users SET locked_at = now() WHERE id = $1', [carols])
  t.equal((await ann.delete(`${url}/users/${await idOf(ann)}`)).statusCode, 204)
  t.equal(await ownerOf(bob!, url), 'bob', 'carol, who joined first, is locked')
  t.equal((await bob!.post(`${url}/users`, { username: 'ann' })).statusCode, 201)

  const remove = async (client: Client) => (await client.delete('/api/me', {}, { password: 'correct horse' })).statusCode
  t.equal(await remove(bob!), 204)
  t.equal(await ownerOf(dan!, url), 'dan', 'the same when an account is deleted')
  t.equal(await remove(ann), 204)
  t.equal(await remove(dan!), 204)
  t.equal(await ownerOf(carol!, url), 'carol', 'a locked member gets it if there is nobody else')
})

t.test('a conversation has at most a hundred users and eight bots, also with concurrent requests; both are listed in pages', async t => {
  const one = await startApp(t)
  const two = await startApp(t, {}, undefined, one.connection)
  const { ann, url } = await group(one, [], { bots: [] })
  const anns = [ann, two.clientOf(ann.headers)]
  await one.query("INSERT INTO users (username, username_key) SELECT 'user' || n, 'user' || n FROM generate_series(1, 105) n")
  await one.query("INSERT INTO conversation_users (conversation_id, user_id) SELECT 1, id FROM users WHERE username_key LIKE 'user%' ORDER BY id LIMIT 96")
  const invite = (n: number) => anns[n % 2]!.post(`${url}/users`, { username: `user${n}` })
  const invited = await Promise.all([97, 98, 99, 100, 101, 102, 103, 104].map(invite))
  t.same(invited.map(({ statusCode }) => statusCode).sort(), [201, 201, 201, 409, 409, 409, 409, 409])
  t.match(invited.find(({ statusCode }) => statusCode === 409)!.json(), FULL)
  t.equal((await invite(1)).statusCode, 201, 'a member can still be added again')

  const pages = []
  for (let next: string | undefined = `${url}/users?limit=40`; next !== undefined;) {
    const page: Answer = await ann.get(next)
    pages.push(page.json().length)
    next = /^<(.*)>; rel="next"$/.exec(String(page.headers.link ?? ''))?.[1]
  }
  t.same(pages, [40, 40, 20])
  t.equal((await ann.get(`${url}/users`)).json().length, 50)
  t.same((await ann.get(`${url}/users?after=1000000`)).json(), [])

  await one.query("INSERT INTO chatbots (name, engine) SELECT 'bot' || n, 'simulated' FROM generate_series(1, 10) n")
  const added = await Promise.all(Array.from({ length: 10 }, (_, n) => anns[n % 2]!.post(`${url}/bots`, { name: `bot${n + 1}` })))
  t.same(added.map(({ statusCode }) => statusCode).sort(), [...Array(8).fill(201), 409, 409])
  t.match(added.find(({ statusCode }) => statusCode === 409)!.json(), FULL)
  const { json, headers } = await ann.get(`${url}/bots?limit=5`)
  t.equal(json().length, 5)
  t.equal((await ann.get(/<(.*)>/.exec(String(headers.link))![1]!)).json().length, 3)
  t.match((await ann.get('/api/bots?limit=12')).headers.link, undefined)
  t.match((await ann.get('/api/bots?limit=11')).headers.link, '/api/bots?limit=11&after=')
})

t.test('bots are added and removed; a single bot always answers, of several bots only those that are mentioned', async t => {
  const server = await startApp(t)
  const { url, ann, members: [bob] } = await group(server, ['bob'])
  const simulated = { id: 1, name: 'simulated', description: 'Repeats what you say. For trying things out.', streaming: false, is_default: true, is_ready: true }
  const song = { id: 2, name: 'favorite-song', description: 'Asks for your name and your favorite song.', streaming: false, is_default: false, is_ready: true }
  t.same((await bob!.get('/api/bots')).json(), [simulated, song], 'bots of a new database; a language model without an API key is not listed')
  t.same((await bob!.get(`${url}/bots`)).json(), [simulated])
  t.same(await answersTo(bob!, url, 'hello @ann'), ['simulated: You said: hello @ann'], 'the only bot answers everybody')
  t.same(await answersTo(bob!, url, '@favorite-song hello'), ['simulated: You said: @favorite-song hello'])

  const added = await ann.post(`${url}/bots`, { name: 'favorite-song' })
  t.same([added.statusCode, added.json()], [201, song])
  t.same((await ann.post(`${url}/bots`, { name: 'favorite-song' })).json(), added.json(), 'adding the bot again gives the same response')
  for (const name of ['nobody', 'Simulated', '']) t.match((await ann.post(`${url}/bots`, { name })).json(), { statusCode: 404, code: 'BOT_NOT_FOUND' }, name)
  t.match((await bob!.post(`${url}/bots`, { name: 'simulated' })).json(), NOT_THE_OWNER)
  t.match((await bob!.delete(`${url}/bots/1`)).json(), NOT_THE_OWNER)

  const unnamed = ['hello', 'mail@simulated', 'mail@simulated hello', 'é@simulated', '@simulated2', '@simulatedé', '@simulatedя', '@simulated\u0301', '@simulated-', 'é＠simulated', '@bob hello', '@', '@ simulated', '@simu']
  for (const text of unnamed) t.same(await answersTo(ann, url, text), [], `no bot is mentioned: ${text}`)
  const named: Array<[string, string[]]> = [
    ['@simulated hello', ['simulated: You said: hello']],
    ['@SIMULATED: hello', ['simulated: You said: hello']],
    ['@simulated', ['simulated: You said: @simulated']],
    ['hello,@Simulated!', ['simulated: You said: hello,@Simulated!']],
    ['@simulated @bob hello', ['simulated: You said: @bob hello']],
    ['@bob @simulated hello', ['simulated: You said: @bob hello']],
    ['@simulated, @simulated and @simulated', ['simulated: You said: and @simulated']],
    ['@simulated、hello', ['simulated: You said: hello']],
    ['＠simulated hello', ['simulated: You said: hello']],
    ['@simulated：你好', ['simulated: You said: 你好']],
    ...['你好@simulated你是谁', '@simulatedさん、元気？', 'シミュレーター＠simulatedへ', '@simulated야 안녕', 'สวัสดี@simulatedครับ'].map((text): [string, string[]] => [text, [`simulated: You said: ${text}`]]),
    ['@favorite-song @simulated hello', ['favorite-song: What is your name?', 'simulated: You said: hello']],
    ['@simulated @Favorite-Song Bob', ['simulated: You said: Bob', 'favorite-song: Hello Bob, what is your favorite song?']]
  ]
  for (const [text, answers] of named) t.same(await answersTo(bob!, url, text), answers, text)
  t.same((await server.query('SELECT state FROM conversations'))[0].state, { 2: { at: 'WAITING_FOR_SONG', answers: { name: 'Bob' } } })

  const removed = await ann.delete(`${url}/bots/2`)
  t.same([removed.statusCode, removed.body], [204, ''])
  t.same((await server.query('SELECT state FROM conversations'))[0].state, {}, 'the state of a removed bot is deleted')
  t.match((await ann.delete(`${url}/bots/2`)).json(), { statusCode: 404, code: 'BOT_NOT_FOUND' })
  t.same(await answersTo(bob!, url, 'hello'), ['simulated: You said: hello'], 'the remaining bot answers again')
  await ann.post(`${url}/bots`, { name: 'favorite-song' })
  await ann.delete(`${url}/bots/1`)
  t.same(await answersTo(bob!, url, 'hello'), ['favorite-song: What is your name?'], 'a bot that is added again starts from the beginning')
  await ann.delete(`${url}/bots/2`)
  t.same((await ann.get(`${url}/bots`)).json(), [])
  t.same(await answersTo(bob!, url, 'just us'), [])
})

t.test('an admin manages the bots, and everybody sees changes immediately', async t => {
  const server = await startApp(t)
  const { as, anyone, query } = server
  const { url, ann, members: [bob] } = await group(server, ['bob'])
  t.match((await ann.get('/api/admin/bots')).json(), { statusCode: 403, code: 'NOT_AN_ADMIN', error: 'Only an admin may do this' })
  await query("UPDATE users SET role = 'admin' WHERE username = 'ann'")
  t.match((await ann.get('/api/admin/bots')).json(), [
    { id: 1, name: 'simulated', engine: 'simulated', settings: { greeting: 'Hello! Say something, and I will say it back.' } },
    { id: 2, name: 'favorite-song', engine: 'guided', settings: { greeting: 'Please say hello.', script: 'favorite-song' } },
    { id: 3, name: 'assistant', engine: 'openai', settings: { prompt: /You are/, greeting: /Hello/ } }
  ], 'the change has effect from the next request on')
  t.match((await ann.get('/api/admin/bots?limit=1')).headers.link, '</api/admin/bots?limit=1&after=1>; rel="next"')
  t.match((await (await as('eve')).post('/api/admin/bots', {})).json(), { code: 'NOT_AN_ADMIN' })
  t.match((await anyone.get('/api/admin/bots')).json(), { code: 'UNAUTHORIZED' })

  const wrong: Array<[object, string]> = [
    [{ name: 'two words', engine: 'simulated', settings: {} }, 'name'],
    [{ name: '', engine: 'simulated', settings: {} }, 'name'],
    [{ name: 'x'.repeat(65), engine: 'simulated', settings: {} }, 'name'],
    [{ name: 'parrot', engine: 'nonsense', settings: {} }, 'engine'],
    [{ name: 'parrot', settings: {} }, 'engine'],
    [{ name: 'parrot', engine: 'simulated' }, 'settings'],
    [{ name: 'parrot', engine: 'simulated', settings: { script: 'favorite-song' } }, 'settings'],
    [{ name: 'parrot', engine: 'simulated', settings: { greeting: ' ' } }, 'settings.greeting'],
    [{ name: 'parrot', engine: 'guided', settings: {} }, 'settings.script'],
    [{ name: 'parrot', engine: 'guided', settings: { script: 'constructor' } }, 'settings.script'],
    [{ name: 'parrot', engine: 'guided', settings: { script: 'favorite-song', volume: 11 } }, 'settings']
  ]
  for (const [body, path] of wrong) {
    const { json } = await ann.post('/api/admin/bots', body)
    t.match(json(), { statusCode: 400, code: 'INVALID_REQUEST', details: [{ path }] }, JSON.stringify(body).slice(0, 80))
    t.ok(json().error.startsWith(path))
  }
  for (const name of ['simulated', 'Simulated']) {
    t.match((await ann.post('/api/admin/bots', { name, engine: 'simulated', settings: {} })).json(), { statusCode: 409, code: 'BOT_NAME_TAKEN' })
  }

  const made = await ann.post('/api/admin/bots', { id: 1, name: 'parrot', engine: 'guided', settings: { script: 'favorite-song' } })
  t.equal(made.statusCode, 201)
  const parrot = made.json()
  t.match(parrot, { name: 'parrot', engine: 'guided', settings: { script: 'favorite-song' } })
  t.same((await bob!.get('/api/bots?after=3')).json(), [{ id: parrot.id, name: 'parrot', description: null, streaming: false, is_default: false, is_ready: true }])
  const place = `/api/admin/bots/${parrot.id}`
  await ann.post(`${url}/bots`, { name: 'parrot' })
  t.same(await answersTo(bob!, url, '@parrot hello'), ['parrot: What is your name?'])

  const renamed = await ann.patch(place, { name: 'cockatoo' })
  t.same([renamed.statusCode, renamed.json()], [200, { ...parrot, name: 'cockatoo' }])
  t.same(await answersTo(bob!, url, '@parrot Bob'), [])
  t.same(await answersTo(bob!, url, '@cockatoo Bob'), ['cockatoo: Hello Bob, what is your favorite song?'])
  t.same((await ann.patch(place, { name: 'Cockatoo' })).json().name, 'Cockatoo', 'a bot can keep its own name')
  t.match((await ann.patch(place, { name: 'SIMULATED' })).json(), { statusCode: 409, code: 'BOT_NAME_TAKEN' })
  t.same((await ann.patch(place, {})).json(), { ...parrot, name: 'Cockatoo' })
  const greeted = await ann.patch(place, { settings: { script: 'favorite-song', greeting: ' Squawk ', description: ' A parrot. ' } })
  t.same(greeted.json().settings, { script: 'favorite-song', greeting: 'Squawk', description: 'A parrot.' })
  t.match((await bob!.get('/api/bots?after=3')).json(), [{ name: 'Cockatoo', description: 'A parrot.' }])
  for (const settings of [{}, { script: 'nonsense' }, { script: 'favorite-song', volume: 11 }, null]) {
    t.match((await ann.patch(place, { settings })).json(), { statusCode: 400, code: 'INVALID_REQUEST' })
    t.match((await ann.patch(place, { settings, engine: 'simulated' })).json(), { statusCode: 400 }, 'the engine cannot be changed, so the settings are still validated for the old one')
  }
  await query("ALTER TABLE chatbots ADD CHECK (name <> 'unlucky')")
  t.match((await ann.patch(place, { name: 'unlucky' })).json(), { statusCode: 500, code: 'INTERNAL' })
  t.equal((await ann.patch('/api/admin/bots/1', { settings: { greeting: 'Good morning' } })).statusCode, 200)
  t.equal((await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json().text, 'Good morning')

  t.equal((await ann.delete(place)).statusCode, 204)
  t.same(namesOf(await ann.get('/api/bots')), ['simulated', 'favorite-song', 'assistant'])
  t.same((await query('SELECT state FROM conversations WHERE id = 1'))[0].state, {})
  t.same(await answersTo(bob!, url, 'hello'), ['simulated: You said: hello'], 'a deleted bot is removed from its conversations')
  t.match((await ann.get(`${url}/messages/2`)).json(), { sender: 'bot', username: null, text: 'What is your name?' }, 'the messages of a deleted bot stay')
  for (const answer of [await ann.delete(place), await ann.patch(place, { name: 'x' })]) t.match(answer.json(), { statusCode: 404, code: 'BOT_NOT_FOUND' })
})

t.test('concurrent changes of a conversation are serialised', async t => {
  const one = await startApp(t)
  const two = await startApp(t, {}, undefined, one.connection)
  const there = (client: Client) => two.clientOf(client.headers)
  const deleteAccount = (client: Client) => one.app.inject({ method: 'DELETE', url: '/api/me', headers: client.headers, payload: { password: 'correct horse' } })
  /** Sends requests that wait for the conversation's lock in this order; then the lock is released. */
  const inOrder = async (url: string, calls: Array<() => Promise<Answer>>, meanwhile = '') => {
    const lock = await holdLock(t, one.connection, Number(url.split('/').at(-1)))
    const asked = []
    for (const [n, call] of calls.entries()) {
      asked.push(call())
      await lock.until(n + 1)
    }
    await lock.query(meanwhile)
    await lock.release()
    return await Promise.all(asked)
  }
  const statuses = (answers: Answer[]) => answers.map(({ statusCode }) => statusCode)

  const deleted = await group(one, ['bob'])
  const { ann } = deleted
  t.same(statuses(await inOrder(deleted.url, [
    () => ann.delete(deleted.url),
    () => there(ann).post(`${deleted.url}/users`, { username: 'bob' }),
    () => there(ann).post(`${deleted.url}/bots`, { name: 'favorite-song' })
  ])), [204, 404, 404], 'nobody can be added to a deleted conversation')

  const left = await group(one, ['bob', 'carol'])
  const anns = await idOf(ann)
  await one.as('dan')
  t.same(statuses(await inOrder(left.url, [
    () => ann.delete(`${left.url}/users/${anns}`),
    () => there(ann).post(`${left.url}/users`, { username: 'dan' }),
    () => there(ann).delete(left.url),
    () => there(left.members[0]!).post(`${left.url}/users`, { username: 'dan' })
  ])), [204, 404, 404, 201], 'a request succeeds if its sender became the owner while it waited')
  t.equal(await ownerOf(left.members[1]!, left.url), 'bob')

  const out = await group(one, ['bob', 'carol'])
  await out.members[0]!.post(`${out.url}/messages`, { text: 'first' })
  t.same(statuses(await inOrder(out.url, [
    () => ann.delete(`${out.url}/users/${out.ids[0]}`),
    () => there(out.members[0]!).post(`${out.url}/messages`, { text: 'too late' }),
    () => there(out.members[0]!).put(`${out.url}/messages/1`, { text: 'too late' }),
    () => out.members[0]!.put(out.url, { name: 'too late' })
  ])), [204, 404, 404, 404], 'a removed member cannot write')
  t.match((await ann.get(out.url)).json(), { name: 'Plans', messages: [{ text: 'first' }, { text: 'You said: first' }] })

  const quiet = await group(one, ['bob'], { bots: ['favorite-song'] })
  const [, said] = await inOrder(quiet.url, [
    () => ann.delete(`${quiet.url}/bots/2`),
    () => there(quiet.members[0]!).post(`${quiet.url}/messages`, { text: 'hello' })
  ])
  t.match([said!.statusCode, said!.json().length], [201, 1], 'a removed bot does not answer')
  t.same((await one.query('SELECT state FROM conversations ORDER BY id DESC LIMIT 1'))[0].state, {}, 'a removed bot stores no state')

  const handed = await group(one, ['bob', 'carol'])
  t.same(statuses(await inOrder(handed.url, [
    () => deleteAccount(handed.members[0]!),
    () => there(ann).delete(`${handed.url}/users/${anns}`)
  ])), [204, 204], 'a member whose account is being deleted does not become the owner')
  t.equal(await ownerOf(handed.members[1]!, handed.url), 'carol')

  const heirs = await group(one, ['bob', 'carol', 'dan'])
  t.same(statuses(await inOrder(heirs.url, [() => deleteAccount(heirs.ann), () => deleteAccount(heirs.members[0]!), () => deleteAccount(heirs.members[1]!)])), [204, 204, 204])
  t.equal(await ownerOf(heirs.members[2]!, heirs.url), 'dan', 'also if several members leave at the same time')

  const last = await group(one, ['bob'])
  const lock = await holdLock(t, one.connection, 1)
  await lock.query("DELETE FROM users WHERE username = 'bob'")
  const invited = last.ann.post(`${await begin(last.ann)}/users`, { username: 'bob' })
  await lock.until(1)
  await lock.release()
  t.match((await invited).json(), { statusCode: 503, code: 'UNAVAILABLE' }, '503 if the account is deleted meanwhile: the client should retry')
})
