import t, { type Test } from 'tap'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { freshDatabase, run } from '../support/helper.ts'
import { clientOf, connect, isWaiting, layCable, openPlace, until, type Answer, type Client, type Place, type Program } from '../support/process.ts'
import { isPrompt } from '../support/prompt.ts'

// The server as a separate process: start, restart, SIGTERM and `kill -9`.

t.jobs = 4 // for tests that are `buffered`

t.test('a request that never finishes does not keep the server from ending', { buffered: true }, async t => {
  const place = await openPlace(t)
  const server = await place.serve({ LOG_LEVEL: 'debug' })
  const ann = await server.join('ann')
  const { postgres, release } = await hold(t, place, ann)
  const stuck = ann.post('/api/conversations/1/messages', { text: 'Anybody there?' }).catch(() => undefined)
  await isWaiting(postgres)
  const half = net.connect(Number(new URL(server.url).port), '127.0.0.1')
  t.teardown(() => half.destroy())
  half.on('error', () => { /* the server may close it */ })
  half.write('POST /chat HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"user_phone":')
  await server.hasSaid(/"path":"\/chat"/)

  server.kill('SIGTERM')
  t.equal((await server.ended).code, 0, 'it ends by itself, within the time that it has for this')
  t.match(await stuck, { status: 503 })
  t.equal(await place.runningPostgres(), undefined)
  await release()
})

t.test('after kill -9 the next server continues with the same data', { buffered: true }, async t => {
  const place = await openPlace(t)
  let server = await place.serve()
  const say = async (user_phone: string, user_message: string) => (await server.post('/chat', { user_phone, user_message })).body

  // The example conversation of the guided chat
  t.same(await say('1111111111', 'hello'), { user_phone: '1111111111', bot_message: 'What is your name?' })
  t.same(await say('1111111111', 'John'), { user_phone: '1111111111', bot_message: 'Hello John, what is your favorite song?' })
  t.same(await say('1111111111', 'Bohemian Rhapsody'), { user_phone: '1111111111', bot_message: 'Playing Bohemian Rhapsody' })
  await say('2222222222', 'hello')
  t.match(await say('2222222222', 'Jane'), { bot_message: 'Hello Jane, what is your favorite song?' })

  // The examples in the documentation of accounts and conversations
  t.same((await server.get('/api/test')).body, { message: 'Server is running' })
  const account = { username: 'ann', password: 'correct horse' }
  const signup = await server.post('/api/signup', account)
  t.match(signup, { status: 201, body: { message: 'User created successfully' } })
  const login = await server.post('/api/login', account)
  const user = { id: signup.body.user.id, username: 'ann' }
  t.match(login, { status: 200, body: { message: 'Login successful', user } })
  const [cookie] = login.headers.getSetCookie()[0]!.split(';') as [string]
  let ann = clientOf(server.url, { cookie })
  const { body: plans } = await ann.post('/api/conversations', { name: 'Plans' })
  t.same(plans, { id: plans.id, name: 'Plans' })
  const sent = await ann.post(`/api/conversations/${plans.id}/messages`, { text: 'Hello' })
  t.match(sent, { status: 201, body: [{ sender: 'user', text: 'Hello' }, { sender: 'bot', text: 'You said: Hello' }] })
  t.match(await ann.put(`/api/conversations/${plans.id}`, { name: 'Better plans' }), { status: 200, body: { id: plans.id, name: 'Better plans' } })
  const { body: other } = await ann.post('/api/conversations', { name: 'Other' })
  t.match(await ann.delete(`/api/conversations/${other.id}`), { status: 204, body: undefined })

  const secret = await stat(path.join(place.dataDir, 'jwt-secret'))
  t.equal(secret.mode & 0o777, 0o600, 'only the owner can read the file of the secret')

  server.kill('SIGKILL')
  await server.ended
  server = await place.serve()
  t.match(await say('2222222222', 'Dancing Queen'), { bot_message: 'Playing Dancing Queen' })
  t.match(await say('1111111111', 'And now?'), { bot_message: 'Hello John! Your favorite song is Bohemian Rhapsody' })
  ann = clientOf(server.url, { cookie })
  const conversations = [{ id: plans.id, name: 'Better plans', messages: sent.body }]
  t.match((await ann.get('/api/conversations')).body, conversations, 'the cookie from before the restart is still valid')
  const bearer = clientOf(server.url, { authorization: `Bearer ${cookie.slice('session='.length)}` })
  t.match((await bearer.get('/api/conversations')).body, conversations)

  await t.test('kill -9 during 200 messages: no answered message is lost, and none is stored twice', async t => {
    const ids = await Promise.all([1, 2, 3, 4].map(async n => (await ann.post('/api/conversations', { name: `Talk ${n}` })).body.id as number))
    // Every fifth message goes to the guided chat, whose answers show how many messages it got.
    const send = async (n: number) => n % 5 === 4
      ? await clientOf(server.url).post('/chat', { user_phone: '3333333333', user_message: 'hello', client_id: `c-${n}` })
      : await ann.post(`/api/conversations/${ids[n % 5]}/messages`, { text: `Message ${n}`, client_id: `c-${n}` })

    const answered = new Map<number, Answer>()
    const all = Array.from({ length: 200 }, (_, n) => n)
    await Promise.all(all.map(async n => {
      const answer = await send(n).catch(() => undefined)
      if (answer === undefined) return
      answered.set(n, answer)
      if (answered.size === 20) server.kill('SIGKILL')
    }))
    await server.ended
    t.ok(answered.size < 200, `killed when ${answered.size} messages were answered`)

    server = await place.serve()
    ann = clientOf(server.url, { cookie })
    await inOrder(t, ids, answered)
    const again = await Promise.all(all.map(send))
    t.same(again.map(({ status }) => status), all.map(n => n % 5 === 4 ? 200 : 201))
    t.same([...answered.keys()].map(n => again[n]!.body), [...answered.values()].map(({ body }) => body), 'a retried message gets the answer that it got before')
    t.equal(await inOrder(t, ids, new Map(all.map(n => [n, again[n]!]))), 160, 'each message is stored once')

    const guided = again.map(({ body }) => body.bot_message).filter(Boolean)
    const count = (text: string) => guided.filter(said => said === text).length
    t.same([count('What is your name?'), count('Hello hello, what is your favorite song?'), count('Playing hello')], [14, 13, 13])
  })

  /** Checks that the conversations have each message once, in order, with the reply that the client got. Returns the number of messages. */
  async function inOrder (t: Test, ids: number[], answered: Map<number, Answer>) {
    const logs = await Promise.all(ids.map(async id =>
      (await ann.get(`/api/conversations/${id}/messages?limit=200`)).body as Array<{ id: number, sender: string, text: string }>))
    const texts = logs.map(log => log.filter(({ sender }) => sender === 'user').map(({ text }) => text))
    t.equal(new Set(texts.flat()).size, texts.flat().length)
    const expected = texts.map(each => each.flatMap((text, n) =>
      [{ id: 2 * n + 1, sender: 'user', text }, { id: 2 * n + 2, sender: 'bot', text: `You said: ${text}` }]))
    t.same(logs.map(log => log.map(({ id, sender, text }) => ({ id, sender, text }))), expected)
    const answers = [...answered].filter(([n]) => n % 5 !== 4)
    t.same(answers.map(([n, { body }]) => logs[n % 5]!.slice(body[0].id - 1, body[1].id)), answers.map(([, { body }]) => body))
    return texts.flat().length
  }

  const goodbye = await ann.get('/api/logout')
  t.match(goodbye, { status: 200, body: { message: 'Logged out successfully' } })
  t.equal((await ann.get('/api/conversations')).status, 401)
  await endsCleanly(t, server, place, 'SIGINT')
})

t.test('SIGTERM: new requests are refused, and running ones are answered', { buffered: true }, async t => {
  const place = await openPlace(t)
  const server = await place.serve()
  const ann = await server.join('ann')
  const { postgres, release } = await hold(t, place, ann)
  const underWay = ann.post('/api/conversations/1/messages', { text: 'Wait for me' })
  await isWaiting(postgres)

  const began = performance.now()
  server.kill('SIGTERM')
  const isRefused = (path: string) => server.get(path).then(({ status }) => status === 503, () => true)
  await until(() => isRefused('/health/ready'))
  for (const path of ['/health/ready', '/health/live', '/api/test', '/openapi.json']) t.ok(await isRefused(path), path)
  await release()
  t.match(await underWay, { status: 201, body: [{ text: 'Wait for me' }, { text: 'You said: Wait for me' }] })
  t.equal((await server.ended).code, 0)
  isPrompt(t, began, 2_000, 'the server does not wait for idle keep-alive connections')
  t.equal(await place.runningPostgres(), undefined)
})

t.test('after a signal during the start no Postgres keeps running', { buffered: true }, async t => {
  const place = await openPlace(t)
  const server = place.run('server.ts')
  const hasEnded = server.ended.then(() => true)
  await until(async () => await place.runningPostgres() ?? await Promise.race([hasEnded, false]))
  server.kill('SIGTERM')
  t.match(await server.ended, { code: 0, stderr: '' })
  t.equal(await place.runningPostgres(), undefined)
})

t.test('two servers share a data folder, and the last one to end stops its Postgres', { buffered: true }, async t => {
  const place = await openPlace(t)
  const [one, other] = await Promise.all([place.serve(), place.serve()])
  const here = await one.join('ann')
  const there = clientOf(other.url, { cookie: here.cookie })
  const { body: { id } } = await here.post('/api/conversations', { name: 'Shared' })
  const { body: sent } = await here.post(`/api/conversations/${id}/messages`, { text: 'Over here' })
  t.same((await there.get(`/api/conversations/${id}/messages`)).body, sent)

  const clean = place.run('db/command.ts', ['clean', '--force'])
  t.match(await clean.ended, { code: 1, stderr: /Parley is running on this database: please stop it first/ })

  one.kill('SIGTERM')
  t.equal((await one.ended).code, 0)
  t.equal((await there.post(`/api/conversations/${id}/messages`, { text: 'Still there?' })).status, 201)
  t.equal((await there.get(`/api/conversations/${id}/messages`)).body.length, 4)
  await endsCleanly(t, other, place, 'SIGTERM')
})

t.test('an uncaught error is logged and ends the server and its Postgres', { buffered: true }, async t => {
  const place = await openPlace(t)
  const defect = 'process.once("SIGWINCH", () => { throw new Error("a defect") })'
  const server = await place.serve({ NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import data:text/javascript,${encodeURIComponent(defect)}` })
  server.kill('SIGWINCH')
  const { code, stdout } = await server.ended
  t.equal(code, 1)
  t.match(stdout, /"level":60.*"message":"a defect"/)
  t.equal(await place.runningPostgres(), undefined)
})

t.test('the log when many things go wrong', { buffered: true }, async t => {
  const database = await freshDatabase(t)
  const cable = await layCable(t, database)
  await cable.open()
  const place = await openPlace(t)
  const server = await place.serve({ DATABASE_URL: cable.url, LOG_LEVEL: 'trace', GUEST_BOT: 'nobody' })
  await server.hasSaid(/JWT_SECRET is not set: several instances/)
  await server.hasSaid(/GUEST_BOT names a bot that does not exist: nobody/)
  const ann = await server.join('ann', 'pass-s3cret-word')
  await server.post('/api/login', { username: 'ann', password: 'wrong-s3cret' })
  const { body: { id } } = await ann.post('/api/conversations', { name: 'Diary' })
  const write = () => ann.post(`/api/conversations/${id}/messages`, { text: 'text-s3cret', client_id: 'client' })

  await t.test('requests', async t => {
    t.equal((await write()).status, 201)
    t.equal((await server.post('/chat', { user_phone: '123', user_message: 'phone-s3cret' })).status, 200)
    t.equal((await server.get('/api/conversations?token=query-s3cret', undefined, { authorization: 'Bearer bearer-s3cret' })).status, 401)
    t.equal((await server.get('/api/%E0%A4%A?token=path-s3cret')).status, 400)
    t.equal((await server.post('/api/signup', { username: 'Ann', password: 'pass-s3cret-word' })).status, 400)
    t.equal((await server.post('/api/signup', { username: ['list-s3cret'], password: 'pass-s3cret-word' })).status, 400)
    const malformed = await fetch(`${server.url}/api/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"password":json-s3cret}' })
    t.equal(malformed.status, 400)
    const raw = net.connect(Number(new URL(server.url).port), '127.0.0.1').resume()
    raw.end('GET /api/test HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer raw-s3cret\r\nmalformed\r\n\r\n')
    await once(raw, 'close')
  })

  await t.test('the cause of a 500 is in the log only', async t => {
    await run(database, 'ALTER TABLE messages RENAME TO hidden')
    const { status, body } = await ann.post(`/api/conversations/${id}/messages`, { text: 'broken-s3cret' })
    t.equal(status, 500)
    t.same(body, { statusCode: 500, code: 'INTERNAL', error: 'Something went wrong on our side' })
    await server.hasSaid(/relation \\"messages\\" does not exist/)
    await run(database, 'ALTER TABLE hidden RENAME TO messages')
    t.equal((await write()).status, 201, 'a retry of the first message gets its stored answer again')
  })

  await t.test('requests get 503 while the database is down', async t => {
    const postgres = await connect(t, database)
    await postgres.query('BEGIN; LOCK TABLE conversations, messages')
    const underWay = [ann.post('/api/conversations', { name: 'name-s3cret' }), ann.post(`/api/conversations/${id}/messages`, { text: 'cut-s3cret' })]
    await isWaiting(postgres, 2)
    await cable.close()
    const away = [
      ...await Promise.all(underWay),
      await write(),
      await server.get('/health/ready'),
      await server.post('/api/signup', { username: 'user-s3cret', password: 'pass-s3cret-word' }),
      await server.post('/chat', { user_phone: '123', user_message: 'chat-s3cret' })
    ]
    for (const { status, headers, body } of away) {
      t.equal(status, 503)
      t.match(headers.get('retry-after'), /^\d+$/)
      t.match(body, { statusCode: 503, code: 'UNAVAILABLE', error: /not available right now/ })
    }
    t.equal((await server.get('/health/live')).status, 200)
    await postgres.query('ROLLBACK')
    await cable.open()
    t.equal((await server.get('/health/ready')).status, 200)
    t.equal((await write()).status, 201)
  })

  await t.test('what was logged', async t => {
    server.kill('SIGTERM')
    const { code, stdout, stderr } = await server.ended
    t.equal(code, 0)
    t.equal(stderr, '')
    t.notMatch(stdout, /s3cret/)
    t.notOk(stdout.includes(ann.cookie.slice('session='.length)))
    const lines = stdout.trim().split('\n').map(line => JSON.parse(line) as { msg: string, reqId?: string, req?: { path: string } })
    const requests = lines.filter(({ msg }) => msg === 'request completed')
    t.ok(requests.length > 15)
    t.equal(new Set(requests.map(({ reqId }) => reqId)).size, requests.length, 'each request has its own id')
    t.ok(requests.some(({ req }) => req?.path === '/api/conversations'))
  })
})

/** A Postgres connection that locks the row of a user's first conversation, so that writes to it wait. */
async function hold (t: Test, place: Place, user: Client) {
  const { body: { id } } = await user.post('/api/conversations', { name: 'Held' })
  const postgres = await connect(t, (await place.runningPostgres())!)
  await postgres.query('BEGIN')
  await postgres.query('SELECT FROM conversations WHERE id = $1 FOR UPDATE', [id])
  return { postgres, release: () => postgres.end() }
}

async function endsCleanly (t: Test, server: Program, place: Place, signal: NodeJS.Signals) {
  server.kill(signal)
  t.equal((await server.ended).code, 0)
  t.equal(await place.runningPostgres(), undefined)
}
