import t from 'tap'
import { favoriteSong } from '../src/bots/guided/favorite-song.js'
import { createGuidedBot, step, type Script } from '../src/bots/guided/flow.js'
import { startApp, type Client } from './helper.js'

const chatterOf = (client: Client, url = '/chat') => async (phone: string | number, message: string | number, headers = {}): Promise<string> =>
  (await client.post(url, { user_phone: phone, user_message: message }, headers)).json().bot_message

t.test('the script as data: every state, word for word', async t => {
  const rows: Array<[from: string, says: string, reply: string, to: string]> = [
    ['INITIAL', 'hello', 'What is your name?', 'WAITING_FOR_NAME'],
    ['INITIAL', 'HeLLo', 'What is your name?', 'WAITING_FOR_NAME'],
    ['INITIAL', 'hi', 'Invalid initial input, please say hello.', 'INITIAL'],
    ['WAITING_FOR_NAME', 'J', 'Hello J, what is your favorite song?', 'WAITING_FOR_SONG'],
    ['WAITING_FOR_NAME', '🎸'.repeat(100), `Hello ${'🎸'.repeat(100)}, what is your favorite song?`, 'WAITING_FOR_SONG'],
    ['WAITING_FOR_NAME', 'x'.repeat(101), 'That name is too long. What is your name?', 'WAITING_FOR_NAME'],
    ['WAITING_FOR_SONG', 'x'.repeat(200), `Playing ${'x'.repeat(200)}`, 'COMPLETED'],
    ['WAITING_FOR_SONG', 'x'.repeat(201), 'That title is too long. What is your favorite song?', 'WAITING_FOR_SONG'],
    ['WAITING_FOR_SONG', '{name}', 'Playing {name}', 'COMPLETED'],
    ['COMPLETED', 'hello', 'What is your name?', 'WAITING_FOR_NAME'],
    ['COMPLETED', 'anything', 'Hello Jo! Your favorite song is So What', 'COMPLETED']
  ]
  for (const [at, input, reply, to] of rows) {
    const stepped = step(favoriteSong, { at, answers: { name: 'Jo', song: 'So What' } }, input)
    t.same({ reply: stepped.reply, at: stepped.place.at }, { reply, at: to }, `${at}: ${input.slice(0, 20)}`)
  }
})

t.test('another script is another piece of data', async t => {
  const script: Script = {
    start: 'ASK', end: 'DONE', states: { ASK: [{ keep: 'city', reply: 'To {city}!', next: 'DONE' }], DONE: [{ reply: 'Bye, {city}.' }] }
  }
  const bot = createGuidedBot(script)
  const asked = bot({ text: 'Rome', state: undefined })
  t.match(asked, { text: 'To Rome!', isFinished: true })
  t.match(bot({ text: 'and?', state: asked.state }), { text: 'Bye, Rome.' })
})

t.test('a chat by phone, from hello to the song, and from the beginning', async t => {
  const { anyone, query } = await startApp(t)
  const answer = await anyone.post('/chat', { user_phone: ' +49 (30) 12-34.5 ', user_message: ' hello ' })
  t.equal(answer.statusCode, 200)
  t.same(answer.json(), { user_phone: '+49 (30) 12-34.5', bot_message: 'What is your name?' }, 'the number is echoed as it was sent')

  const say = chatterOf(anyone, '/api/chat')
  t.equal(await say(493012345, 'John'), 'Hello John, what is your favorite song?', 'the digits are the identity')
  const session = async () => (await query('SELECT * FROM user_sessions WHERE phone_number = $1', ['493012345']))[0]
  t.match(await session(), { user_name: 'John', favorite_song: null, conversation_state: 'WAITING_FOR_SONG', last_interaction: Date })
  t.equal(await say('493012345', 'Bohemian Rhapsody'), 'Playing Bohemian Rhapsody')
  t.equal(await say('493012345', 'and now?'), 'Hello John! Your favorite song is Bohemian Rhapsody')
  t.match(await session(), { user_name: 'John', favorite_song: 'Bohemian Rhapsody', conversation_state: 'COMPLETED' })
  t.equal((await query('SELECT FROM conversations')).length, 1)
  t.equal(await say('493012345', 'HELLO'), 'What is your name?')
  t.match(await session(), { user_name: null, favorite_song: null, conversation_state: 'WAITING_FOR_NAME' })
  t.match(await query('SELECT is_finished FROM conversations ORDER BY id'), [{ is_finished: true }, { is_finished: false }], 'in a new conversation')
  t.equal(await say('493012345', 42), 'Hello 42, what is your favorite song?')
})

t.test('what is wrong is said in both seeds’ fields', async t => {
  const { anyone, query } = await startApp(t)
  const required = "Invalid input. 'user_phone' and 'user_message' are required."
  const must = 'Request must contain user_phone and user_message'
  const empty = 'Phone number and message cannot be empty'
  const phone = 'A phone number has 3 to 15 digits, with an optional +'
  const clientId = 'client_id has characters or a form that is not allowed here'
  const rows: Array<[payload: unknown, status: number, code: string, error: string, bot: string, phone: string]> = [
    [{ user_phone: '123' }, 400, 'INVALID_REQUEST', required, must, '123'],
    [{ user_message: 'hello' }, 400, 'INVALID_REQUEST', required, must, ''],
    [{}, 400, 'INVALID_REQUEST', required, must, ''],
    [[], 400, 'INVALID_REQUEST', required, must, ''],
    ['', 400, 'INVALID_REQUEST', required, must, ''],
    [{ user_phone: true, user_message: 'hello' }, 400, 'INVALID_REQUEST', required, must, ''],
    [{ user_phone: '123', user_message: null }, 400, 'INVALID_REQUEST', required, must, '123'],
    [{ user_phone: '123', user_message: ' ' }, 400, 'EMPTY_INPUT', required, empty, '123'],
    [{ user_phone: ' ', user_message: 'hello' }, 400, 'EMPTY_INPUT', required, empty, ' '],
    [{ user_phone: '12', user_message: 'hello' }, 400, 'INVALID_PHONE', phone, phone, '12'],
    [{ user_phone: '1'.repeat(16), user_message: 'hello' }, 400, 'INVALID_PHONE', phone, phone, '1'.repeat(16)],
    [{ user_phone: '12+34', user_message: 'hello' }, 400, 'INVALID_PHONE', phone, phone, '12+34'],
    [{ user_phone: -1234, user_message: 'hello' }, 200, '', '', 'What is your name?', '-1234'],
    [{ user_phone: 1e21, user_message: 'hello' }, 400, 'INVALID_PHONE', phone, phone, '1e+21'],
    [{ user_phone: '٣٤٥٦', user_message: 'hello' }, 400, 'INVALID_PHONE', phone, phone, '٣٤٥٦'],
    [{ user_phone: '123', user_message: 'x'.repeat(8001) }, 400, 'MESSAGE_TOO_LONG', 'A message has at most 8,000 characters', 'A message has at most 8,000 characters', '123'],
    [{ user_phone: '123', user_message: 'hello', client_id: 'ä' }, 400, 'INVALID_REQUEST', clientId, clientId, '123']
  ]
  for (const [payload, statusCode, code, error, bot_message, user_phone] of rows) {
    const answer = await anyone.post('/chat', payload as string, { 'content-type': 'application/json' })
    t.match(answer.json(), statusCode === 200 ? { bot_message, user_phone } : { statusCode, code, error, bot_message, user_phone }, JSON.stringify(payload).slice(0, 60))
  }
  const key = await anyone.post('/chat', { user_phone: '123', user_message: 'hello' }, { 'idempotency-key': 'x'.repeat(256) })
  t.match(key.json(), { statusCode: 400, bot_message: 'idempotency-key has characters or a form that is not allowed here', user_phone: '123' })
  const text = await anyone.post('/chat', 'hello', { 'content-type': 'text/plain' })
  t.match(text.json(), { statusCode: 415, code: 'UNSUPPORTED_MEDIA_TYPE', bot_message: 'Content-Type must be application/json', user_phone: '' })
  t.equal((await query('SELECT FROM messages')).length, 2, 'nothing else is stored')
})

t.test('whoever types a number has proved nothing', async t => {
  const { as, anyone, query } = await startApp(t)
  const ann = await as('ann')
  await query("UPDATE users SET phone_number = '4930111' WHERE username = 'ann'")
  await query("WITH w AS (INSERT INTO users (origin, phone_number) VALUES ('whatsapp', '4930111') RETURNING id) INSERT INTO identities (channel, address, user_id) SELECT 'whatsapp', '4930111', id FROM w")
  const say = chatterOf(anyone)
  await say('4930111', 'hello')
  t.equal(await say('4930111', 'Mallory'), 'Hello Mallory, what is your favorite song?')
  t.same((await ann.get('/api/conversations')).json(), [], 'it is not the account’s')
  const owners = await query('SELECT u.origin, u.username FROM conversations c JOIN users u ON u.id = c.owner_id')
  t.same(owners, [{ origin: 'phone', username: null }], 'nor the WhatsApp contact’s')
})

t.test('500 phones, interleaved at random: none sees another’s name', async t => {
  const { anyone } = await startApp(t)
  const say = chatterOf(anyone)
  const phones = Array.from({ length: 500 }, (_, n) => ({ phone: String(100_000 + n), lines: ['hello', `Name ${n}`, `Song ${n}`, 'again'], said: [] as string[] }))
  const waiting = [...phones]
  async function talk () {
    while (waiting.length > 0) {
      const [one] = waiting.splice(Math.floor(Math.random() * waiting.length), 1)
      one!.said.push(await say(one!.phone, one!.lines[one!.said.length]!))
      if (one!.said.length < one!.lines.length) waiting.push(one!)
    }
  }
  await Promise.all(Array.from({ length: 20 }, talk))
  const expected = phones.map((_, n) => ['What is your name?', `Hello Name ${n}, what is your favorite song?`, `Playing Song ${n}`, `Hello Name ${n}! Your favorite song is Song ${n}`])
  t.same(phones.map(({ said }) => said), expected)
})

t.test('messages of one phone at once are taken one after the other', async t => {
  const { anyone, query } = await startApp(t)
  const say = chatterOf(anyone)
  const said = await Promise.all(Array.from({ length: 50 }, () => say('777777', 'hello')))
  const count = (text: string) => said.filter(line => line === text).length
  t.equal(count('What is your name?'), 17)
  t.equal(count('Hello hello, what is your favorite song?'), 17)
  t.equal(count('Playing hello'), 16)
  t.equal((await query('SELECT FROM conversations')).length, 17)

  const hi = await Promise.all(Array.from({ length: 50 }, () => say('888888', 'hi')))
  t.ok(hi.every(line => line === 'Invalid initial input, please say hello.'))
  const [{ users, conversations, messages }] = await query(`
    SELECT count(DISTINCT c.owner_id)::int AS users, count(DISTINCT c.id)::int AS conversations, count(*)::int AS messages
    FROM conversations c JOIN messages m ON m.conversation_id = c.id JOIN identities i ON i.user_id = c.owner_id WHERE i.address = '888888'`)
  t.same({ users, conversations, messages }, { users: 1, conversations: 1, messages: 100 })
})

t.test('a message sent twice is answered once, also when the script has gone on', async t => {
  const { anyone, query } = await startApp(t)
  const say = chatterOf(anyone)
  const key = (id: string) => ({ 'idempotency-key': id })
  t.equal(await say('999', 'hello', key('one')), 'What is your name?')
  t.equal(await say('999', 'hello', key('one')), 'What is your name?')
  t.equal(await say('999', 'Jo', key('two')), 'Hello Jo, what is your favorite song?')
  t.equal(await say('999', 'hello', key('three')), 'Playing hello')
  t.equal(await say('999', 'hello', key('three')), 'Playing hello', 'not a new conversation')
  t.equal((await anyone.post('/chat', { user_phone: '999', user_message: 'hello', client_id: 'one' })).json().bot_message, 'What is your name?')
  const mismatch = await anyone.post('/chat', { user_phone: '999', user_message: 'bye', client_id: 'one' })
  t.match(mismatch.json(), { statusCode: 409, code: 'IDEMPOTENCY_MISMATCH', user_phone: '999' })
  t.equal(await say('998', 'hello', key('one')), 'What is your name?', 'another phone’s ids are its own')
  t.equal((await query('SELECT FROM messages')).length, 8)
})

t.test('without its bot the guided chat says so', async t => {
  const { anyone, query } = await startApp(t)
  await query("DELETE FROM chatbots WHERE name = 'favorite-song'")
  t.match((await anyone.post('/chat', { user_phone: '123', user_message: 'hello' })).json(), { statusCode: 404, code: 'BOT_NOT_FOUND', bot_message: 'Bot not found' })
})
