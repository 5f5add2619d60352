import t, { type Test } from 'tap'
import type { Script } from '../../../src/bots/guided/flow.ts'
import { startApp, type Client } from '../../support/helper.ts'
import { until } from '../../support/process.ts'

const chatterOf = (client: Client, url = '/chat') => async (phone: string | number, message: string | number, headers = {}): Promise<string> =>
  (await client.post(url, { user_phone: phone, user_message: message }, headers)).json().bot_message

t.test('the guided chat by phone number, from hello to the song, and again from the beginning', async t => {
  const { anyone, query } = await startApp(t)
  const answer = await anyone.post('/chat', { user_phone: ' +49 (30) 12-34.5 ', user_message: ' hello ' })
  t.equal(answer.statusCode, 200)
  t.same(answer.json(), { user_phone: '+49 (30) 12-34.5', bot_message: 'What is your name?' }, 'the number is echoed as it was sent')

  const say = chatterOf(anyone, '/api/chat')
  t.equal(await say(493012345, 'John'), 'Hello John, what is your favorite song?', 'only the digits identify the user')
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

t.test('two concurrent first messages of a phone number create one user', async t => {
  const { anyone, db, query } = await startApp(t)
  const other = await db.$client.connect()
  await other.query("BEGIN; INSERT INTO users (origin, phone_number) VALUES ('phone', '493012345')")
  await other.query("INSERT INTO identities (channel, address, user_id) SELECT 'phone', phone_number, id FROM users")
  const said = chatterOf(anyone)('493012345', 'hello')
  await until(async () => (await query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")).length === 1)
  await other.query('COMMIT')
  other.release()
  t.equal(await said, 'What is your name?')
  t.equal((await query('SELECT FROM users')).length, 1)
})

t.test('errors have the fields of both legacy clients', async t => {
  const { anyone, query } = await startApp(t)
  const required = "Invalid input. 'user_phone' and 'user_message' are required."
  const must = 'Request must contain user_phone and user_message'
  const empty = 'Phone number and message cannot be empty'
  const phone = 'A phone number has 3 to 15 digits, with an optional +'
  const clientId = 'client_id may contain only printable ASCII characters'
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
    [{ user_phone: '1'.repeat(201), user_message: 'hello' }, 400, 'INVALID_PHONE', phone, phone, '1'.repeat(200)],
    [{ user_phone: '12+34', user_message: 'hello' }, 400, 'INVALID_PHONE', phone, phone, '12+34'],
    [{ user_phone: -1234, user_message: 'hello' }, 200, '', '', 'What is your name?', '-1234'],
    [{ user_phone: 1e21, user_message: 'hello' }, 400, 'INVALID_PHONE', phone, phone, '1e+21'],
    [{ user_phone: '٣٤٥٦', user_message: 'hello' }, 200, '', '', 'What is your name?', '٣٤٥٦'],
    [{ user_phone: '123', user_message: 'x'.repeat(8001) }, 400, 'MESSAGE_TOO_LONG', 'A message has at most 8,000 characters', 'A message has at most 8,000 characters', '123'],
    [{ user_phone: '123', user_message: 'hello', client_id: 'ä' }, 400, 'INVALID_REQUEST', clientId, clientId, '123']
  ]
  for (const [payload, statusCode, code, error, bot_message, user_phone] of rows) {
    const answer = await anyone.post('/chat', payload as string, { 'content-type': 'application/json' })
    t.match(answer.json(), statusCode === 200 ? { bot_message, user_phone } : { statusCode, code, error, bot_message, user_phone }, JSON.stringify(payload).slice(0, 60))
  }
  const key = await anyone.post('/chat', { user_phone: '123', user_message: 'hello' }, { 'idempotency-key': 'x'.repeat(256) })
  t.match(key.json(), { statusCode: 400, bot_message: 'idempotency-key may have at most 255 characters', user_phone: '123' })
  const text = await anyone.post('/chat', 'hello', { 'content-type': 'text/plain' })
  t.match(text.json(), { statusCode: 415, code: 'UNSUPPORTED_MEDIA_TYPE', bot_message: 'Content-Type must be application/json', user_phone: '' })
  t.equal((await query('SELECT FROM messages')).length, 4, 'no other message is stored')
})

t.test('typing a phone number gives no access to an account or a WhatsApp contact', async t => {
  const { as, anyone, query } = await startApp(t)
  const ann = await as('ann')
  await query("UPDATE users SET phone_number = '4930111' WHERE username = 'ann'")
  await query("WITH w AS (INSERT INTO users (origin, phone_number) VALUES ('whatsapp', '4930111') RETURNING id) INSERT INTO identities (channel, address, user_id) SELECT 'whatsapp', '4930111', id FROM w")
  const say = chatterOf(anyone)
  await say('4930111', 'hello')
  t.equal(await say('4930111', 'Mallory'), 'Hello Mallory, what is your favorite song?')
  t.same((await ann.get('/api/conversations')).json(), [], 'the account does not have the conversation')
  const owners = await query('SELECT u.origin, u.username FROM conversations c JOIN users u ON u.id = c.owner_id')
  t.same(owners, [{ origin: 'phone', username: null }], 'the conversation belongs to a separate phone user')
})

t.test('500 phone users in random order: none sees another’s name', async t => {
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

t.test('concurrent messages of one phone user are processed one after the other', async t => {
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

t.test('a repeated message gets its first answer, also if the script has continued since', async t => {
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
  t.equal(await say('998', 'hello', key('one')), 'What is your name?', 'another phone user can use the same id')
  t.equal((await query('SELECT FROM messages')).length, 8)
})

// --- PHONE_BOT ---

const CITY: Script = {
  start: 'ASK',
  end: 'DONE',
  states: {
    ASK: [{ reply: 'Where to?', next: 'WAITING_FOR_CITY' }],
    WAITING_FOR_CITY: [{ keep: 'name', reply: 'To {name}! And then?', next: 'WAITING_FOR_NEXT' }],
    WAITING_FOR_NEXT: [{ keep: 'next', reply: 'To {name}, then to {next}.', next: 'DONE' }],
    DONE: [{ says: 'again', reply: 'Where to?', next: 'WAITING_FOR_CITY', forget: true }, { reply: 'Bye, {name}.' }]
  }
}

/** Servers on one database, each with a different PHONE_BOT. */
async function startWith (t: Test) {
  const first = await startApp(t)
  await first.query("INSERT INTO chatbots (name, engine, settings) VALUES ('city', 'guided', $1), ('slow', 'webhook', '{}')", [JSON.stringify({ script: CITY })])
  const server = (PHONE_BOT: string) => startApp(t, { PHONE_BOT }, undefined, first.connection)
  const session = async (phone: string) => (await first.query('SELECT user_name, favorite_song, conversation_state FROM user_sessions WHERE phone_number = $1', [phone])).map(row => Object.values(row))
  return { ...first, server, session }
}

t.test('the guided chat can have any script, and the view shows the user’s state in it', async t => {
  const { server, session, query } = await startWith(t)
  const say = chatterOf((await server('city')).anyone)
  t.equal(await say('555', 'hello'), 'Where to?')
  t.same(await session('555'), [[null, null, 'WAITING_FOR_CITY']])
  t.equal(await say('555', 'Rome'), 'To Rome! And then?')
  t.same(await session('555'), [['Rome', null, 'WAITING_FOR_NEXT']], 'the view shows the fields that the script has')
  t.equal(await say('555', 'Oslo'), 'To Rome, then to Oslo.')
  t.same(await session('555'), [['Rome', null, 'DONE']])
  t.equal(await say('555', 'and?'), 'Bye, Rome.')
  t.equal(await say('555', 'again'), 'Where to?')
  t.same((await query('SELECT is_finished FROM conversations ORDER BY id')).map(row => row.is_finished), [true, false])
  const said = await Promise.all(Array.from({ length: 20 }, () => say('556', 'x')))
  t.equal(said.filter(text => text === 'To x, then to x.').length, 1, 'also with concurrent messages')
})

t.test('a reply that ends late makes an earlier conversation unfinished, and the next message continues it', async t => {
  const { server, query } = await startWith(t)
  const { anyone, bots } = await server('slow')
  bots.takeOver()
  const say = chatterOf(anyone)
  const isStored = async (messages: number) => await until(async () => (await query('SELECT FROM messages')).length === messages)
  const answer = async (nth: number, isFinished: boolean) => {
    const call = await bots.call(nth)
    call.remember({ isFinished })
    call.say(`Answer ${nth}`)
    call.end()
  }
  const first = say('555', 'one')
  await isStored(2)
  const second = say('555', 'two')
  await isStored(4)
  await answer(1, true)
  t.equal(await first, 'Answer 1')
  const late = await bots.call(2)
  const third = say('555', 'three')
  await answer(3, true)
  t.equal(await third, 'Answer 3')
  t.match(await query('SELECT is_finished FROM conversations ORDER BY id'), [{ is_finished: true }, { is_finished: true }])
  late.remember({ isFinished: false })
  late.say('Answer 2')
  late.end()
  t.equal(await second, 'Answer 2')
  const fourth = say('555', 'four')
  await answer(4, false)
  t.equal(await fourth, 'Answer 4')
  t.match(await query("SELECT m.conversation_id = min(c.id) AS is_first FROM messages m, conversations c WHERE text = 'four' GROUP BY m.conversation_id"), [{ is_first: true }])
})

t.test('PHONE_BOT is changed during a conversation, and changed back', async t => {
  const { server, session, query } = await startWith(t)
  const [song, city, slow, simulated] = await Promise.all(['favorite-song', 'city', 'slow', 'simulated'].map(async name => chatterOf((await server(name)).anyone)))
  t.equal(await song!('555', 'hello'), 'What is your name?')
  t.equal(await song!('555', 'Jo'), 'Hello Jo, what is your favorite song?')
  t.equal(await city!('555', 'hello'), 'Where to?', 'the new bot starts at its beginning')
  t.same(await session('555'), [[null, null, 'WAITING_FOR_CITY']], 'the view shows the state of the bot that answered last')
  t.equal(await song!('555', 'So What'), 'Playing So What', 'the first bot continues where it was')
  t.same(await session('555'), [['Jo', 'So What', 'COMPLETED']])
  t.equal(await city!('555', 'Rome'), 'To Rome! And then?', 'the second bot continues where it was')
  t.equal(await slow!('555', 'Hi'), 'Slowly: Hi', 'the request waits for a slow bot')
  t.same(await session('555'), [[null, null, 'INITIAL']], 'a bot without a script has no state')
  t.match(await simulated!('555', 'Hi'), /./)
  t.equal(await city!('555', 'Oslo'), 'To Rome, then to Oslo.')
  t.equal((await query('SELECT FROM conversations WHERE is_finished')).length, 2, 'one conversation for each script that was finished')
  t.equal((await query('SELECT FROM conversations')).length, 2)
})

t.test('if a script is changed during a conversation, the conversation starts again', async t => {
  const { server, query } = await startWith(t)
  const say = chatterOf((await server('city')).anyone)
  await say('555', 'hello')
  await query("UPDATE chatbots SET settings = $1 WHERE name = 'city'", [JSON.stringify({ script: { ...CITY, states: { ASK: [{ reply: 'By what?{name}', next: 'GO' }], GO: [{ reply: 'Fine.' }] } } })])
  t.equal(await say('555', 'Rome'), 'By what?')
  t.equal(await say('555', 'Train'), 'Fine.')
})

t.test('a phone user’s request waits for a streaming bot, and gets an error if the bot fails', async t => {
  const { connection } = await startWith(t)
  const { anyone, bots, query } = await startApp(t, { PHONE_BOT: 'slow' }, undefined, connection)
  bots.takeOver()
  const say = (user_message: string, client_id?: string) => anyone.post('/chat', { user_phone: '555', user_message, client_id })
  const sent = [say('Hi', 'c1')]
  const first = await bots.call()
  sent.push(say('Hi', 'c1'), say('And?'))
  first.say('I am here')
  first.end()
  const second = await bots.call(2)
  t.same(second.turns.map(({ text }) => text), ['Hi', 'I am here', 'And?'])
  second.say('That is all')
  second.end()
  t.same((await Promise.all(sent)).map(answer => answer.json().bot_message), ['I am here', 'I am here', 'That is all'])
  const failing = say('More')
  const third = await bots.call(3)
  third.fail(new Error('it broke'))
  t.match((await failing).json(), { statusCode: 503, code: 'BOT_FAILED', bot_message: 'The bot cannot answer right now, please try again', user_phone: '555' })
  t.equal((await query('SELECT FROM conversations')).length, 1)
})

t.test('the guided chat returns an error if PHONE_BOT does not exist', async t => {
  const { anyone, query } = await startApp(t)
  await query("DELETE FROM chatbots WHERE name = 'favorite-song'")
  t.match((await anyone.post('/chat', { user_phone: '123', user_message: 'hello' })).json(), { statusCode: 404, code: 'BOT_NOT_FOUND', bot_message: 'Bot not found' })
})
