import t, { type Test } from 'tap'
import type { Config } from '../../src/config.ts'
import { API_KEY, startApp, type Client } from '../support/helper.ts'
import { connect, startLive, tokenOf, type Refusal } from '../support/live.ts'
import { from, signed, startMeta } from '../support/meta.ts'
import { until } from '../support/process.ts'

// Daily token budgets.

const SPENT = { statusCode: 429, code: 'BUDGET_SPENT' }

/** Records the cost of a reply at a time given as an SQL expression, as the end of a reply does. */
const spend = (query: (sql: string, values?: unknown[]) => Promise<unknown>, where: string, tokens: number, at = 'now()') =>
  query(`INSERT INTO reply_costs (user_id, api_key_hash, status, prompt_tokens, completion_tokens, created_at)
    SELECT id, api_key_hash, 'complete', ${tokens - 1}, 1, ${at} FROM users WHERE ${where}`)

const YESTERDAY = "date_trunc('day', now(), 'UTC') - interval '1 second'"

async function startWithBudget (t: Test, changes: Partial<Config>) {
  const server = await startApp(t, changes)
  return { ...server, spend: (where: string, tokens: number, at?: string) => spend(server.query, where, tokens, at) }
}

const say = async (client: Client, conversation: number, text = 'Hi', headers = {}) =>
  await client.post(`/api/conversations/${conversation}/messages`, { text }, headers)

t.test('a user whose token budget for the day is spent cannot ask a streaming bot', async t => {
  const { as, query, slowChat, spend } = await startWithBudget(t, { BUDGET_TOKENS_PER_USER_DAY: 100 })
  const [ann, bob] = [await as('ann'), await as('bob')]
  const [anns, bobs] = [await slowChat(ann), await slowChat(bob)]
  await spend("username = 'ann'", 1000, YESTERDAY)
  await spend("username = 'ann'", 99)
  const first = await say(ann, anns, 'First', { 'idempotency-key': 'mine' })
  t.equal(first.statusCode, 201, 'one token is left')
  await spend("username = 'ann'", 1)
  const count = async () => (await query('SELECT FROM messages')).length
  const before = await count()

  const secondsLeft = async () => (await query("SELECT extract(epoch FROM date_trunc('day', now(), 'UTC') + interval '1 day' - now())::int AS left"))[0].left
  const most = await secondsLeft()
  const refused = await say(ann, anns)
  const least = await secondsLeft()
  t.match(refused.json(), { ...SPENT, error: /tomorrow/ })
  const seconds = Number(refused.headers['retry-after'])
  t.ok(seconds <= most + 1 && seconds >= least - 1, `${seconds} s: the next day began in ${most} to ${least} s`)
  t.match((await say(ann, anns, 'Hi', { accept: 'text/event-stream' })).json(), SPENT, 'a streamed reply is refused too')
  t.match((await ann.post(`/api/conversations/${anns}/messages/2/regenerate`)).json(), SPENT)
  t.equal(await count(), before, 'nothing was stored')
  const again = await say(ann, anns, 'First', { 'idempotency-key': 'mine' })
  t.same([again.statusCode, again.json()], [201, first.json()], 'a retry gets the first response')
  const edited = await ann.put(`/api/conversations/${anns}/messages/1`, { text: 'First, in other words' })
  t.match([edited.statusCode, edited.json()], [200, { text: 'First, in other words' }], 'the message is edited')
  t.match((await ann.get(`/api/conversations/${anns}/messages/2`)).json(), { text: 'Slowly: First' }, 'the edited message gets no new reply')

  const { id: instant } = (await ann.post('/api/conversations', { name: 'Instant', bots: ['simulated'] })).json()
  t.match((await say(ann, instant)).json()[1], { text: 'You said: Hi' }, 'instant bots still reply, because they cost nothing')
  t.equal((await say(bob, bobs)).statusCode, 201, 'other users have their own budget')

  t.comment('Regenerating a reply needs budget of the caller and of the author of the question')
  await bob.post(`/api/conversations/${bobs}/users`, { username: 'ann' })
  t.match((await ann.post(`/api/conversations/${bobs}/messages/2/regenerate`)).json(), SPENT)
  await query("UPDATE users SET budget_tokens = 1000000 WHERE username = 'ann'")
  t.equal((await ann.post(`/api/conversations/${bobs}/messages/2/regenerate`)).statusCode, 200)
  await spend("username = 'bob'", 100)
  t.match((await ann.post(`/api/conversations/${bobs}/messages/2/regenerate`)).json(), SPENT)
  const carol = await as('carol')
  t.match((await carol.post(`/api/conversations/${bobs}/messages/2/regenerate`)).json(), { statusCode: 404, code: 'MESSAGE_NOT_FOUND' }, 'a stranger does not learn about the budget')
})

t.test('a message to several bots gets all of its replies, although the first one spends the budget', async t => {
  const { as, query } = await startWithBudget(t, { BUDGET_TOKENS_PER_USER_DAY: 1 })
  const ann = await as('ann')
  const bots = Array.from({ length: 8 }, (_, n) => `bot${n}`)
  await query("INSERT INTO chatbots (name, engine) SELECT name, 'webhook' FROM unnest($1::text[]) name", [bots])
  const { id } = (await ann.post('/api/conversations', { name: 'Many', bots })).json()
  const answer = await say(ann, id, `${bots.map(name => `@${name}`).join(' ')} Hi`)
  t.same(answer.json().slice(1).map(({ username, status }: { username: string, status: string }) => `${username} ${status}`), bots.map(name => `${name} complete`))
  t.match((await say(ann, id, '@bot0 Hi')).json(), SPENT)
})

t.test('an admin gives a user another budget', async t => {
  const { as, query, slowChat, spend } = await startWithBudget(t, {})
  const ada = await as('ada')
  await query("UPDATE users SET role = 'admin'")
  const ann = await as('ann')
  const { id } = (await ann.get('/api/me')).json()
  const chat = await slowChat(ann)
  await spend("username = 'ann'", 1_000_000)
  t.equal((await say(ann, chat)).statusCode, 201, 'there is no budget by default')
  const set = async (budget: number | null) => (await ada.patch(`/api/admin/users/${id}`, { budget })).json()
  // The reply cost another 5 tokens.
  t.match(await set(1_000_005), { budget: 1_000_005, tokens_today: 1_000_005 })
  t.match((await say(ann, chat)).json(), SPENT)
  await set(1_000_006)
  t.equal((await say(ann, chat)).statusCode, 201)
  await query('DELETE FROM reply_costs')
  await set(0)
  t.match((await say(ann, chat)).json(), SPENT, 'a budget of 0 allows no replies')
  await set(null)
  t.equal((await say(ann, chat)).statusCode, 201)
  for (const budget of [-1, 1.5, 2 ** 31, '7']) t.equal((await ada.patch(`/api/admin/users/${id}`, { budget })).statusCode, 400, String(budget))
})

t.test('the guests of one API key share a budget', async t => {
  const { anyone, query, spend } = await startWithBudget(t, { BUDGET_TOKENS_PER_KEY_DAY: 100, GUEST_BOT: 'slow' })
  await query("INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook')")
  const enter = async (key: string) => (await anyone.get('/chat/initial', { 'x-api-key': key })).json().token as string
  const [one, other, elsewhere] = [await enter(API_KEY), await enter(API_KEY), await enter('another-key-for-tests')]
  const chat = async (token: string) => await anyone.post('/chat', { token, content: 'Hi' })
  t.equal((await query('SELECT DISTINCT api_key_hash FROM users')).length, 2)
  t.notMatch(JSON.stringify(await query('SELECT api_key_hash FROM users')), API_KEY)
  await spend('id = (SELECT min(id) FROM users)', 60)
  t.equal((await chat(other)).statusCode, 200)
  await spend('id = (SELECT min(id) + 1 FROM users)', 40)
  for (const token of [one, other, await enter(API_KEY)]) t.match((await chat(token)).json(), { ...SPENT, error: /^429 Too Many Requests: / })
  t.equal((await chat(elsewhere)).statusCode, 200, 'guests of another key have their own budget')
  const signUp = await anyone.post('/api/signup', { username: 'ann', password: 'correct horse' }, { authorization: `Bearer ${one}` })
  t.equal(signUp.statusCode, 201)
  const { cookies: [cookie] } = await anyone.post('/api/login', { username: 'ann', password: 'correct horse' })
  const [{ id }] = (await anyone.get('/api/conversations', { cookie: `session=${cookie!.value}` })).json()
  t.equal((await anyone.post(`/api/conversations/${id}/messages`, { text: 'Hi' }, { cookie: `session=${cookie!.value}` })).statusCode, 201, 'a guest who signed up no longer counts as a guest of the key')
})

t.test('a socket gets BUDGET_SPENT and stays connected', async t => {
  const server = await startLive(t, { BUDGET_TOKENS_PER_USER_DAY: 10 })
  const ann = await server.as('ann')
  const chat = await server.slowChat(ann)
  const socket = await connect(t, server.url, { auth: { token: tokenOf(ann) } })
  await spend(server.query, "username = 'ann'", 10)
  const told = new Promise<Refusal>(resolve => socket.once('error', resolve))
  const answer = await socket.emitWithAck('send_message', { chat_session_id: chat, text: 'Hi' })
  t.match([answer, await told], [{ code: 'BUDGET_SPENT' }, { code: 'BUDGET_SPENT' }])
  t.ok(socket.connected)
  await server.query('DELETE FROM reply_costs')
  t.match(await socket.emitWithAck('send_message', { chat_session_id: chat, text: 'Hi' }), { messages: [{ text: 'Hi' }, {}] })
})

t.test('on WhatsApp a contact without budget is asked to write again tomorrow, and a locked contact gets no answer', async t => {
  const meta = await startMeta(t)
  const { anyone, query, work, bots } = await startApp(t, { ...meta.settings, WHATSAPP_BOT: 'slow', BUDGET_TOKENS_PER_USER_DAY: 10 })
  await query("INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook')")
  await query("WITH u AS (INSERT INTO users (origin, phone_number) VALUES ('whatsapp', '16505551234') RETURNING id) INSERT INTO identities SELECT 'whatsapp', '16505551234', id FROM u")
  await spend(query, "origin = 'whatsapp'", 10)
  await work()
  const send = async (text: string) => {
    const body = JSON.stringify(from('16505551234', text))
    t.equal((await anyone.post('/chat/whatsapp', body, signed(body))).statusCode, 200)
  }
  const allHandled = () => until(async () => (await query('SELECT FROM whatsapp_inbox WHERE handled_at IS NULL')).length === 0)
  await send('Hi')
  await allHandled()
  const SORRY = 'Sorry, I cannot answer any more today. Please write again tomorrow.'
  t.match(await query('SELECT text, status FROM messages ORDER BY id'), [{ text: 'Hi', status: 'complete' }, { text: SORRY, status: 'complete' }])
  t.match(await meta.has(1), [{ to: '16505551234', text: SORRY }])
  t.equal(bots.calls.length, 0)
  await query('UPDATE users SET locked_at = now()')
  await send('Are you there?')
  await allHandled()
  t.equal((await query('SELECT FROM messages')).length, 2)

  await query('UPDATE users SET locked_at = NULL')
  await query('ALTER TABLE reply_costs RENAME TO hidden')
  await send('And now?')
  await until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE task_identifier = 'whatsapp-inbox' AND last_error IS NOT NULL")).length > 0)
  await query('ALTER TABLE hidden RENAME TO reply_costs')
  t.equal((await query('SELECT FROM whatsapp_inbox WHERE handled_at IS NULL')).length, 1, 'a message that fails for another reason is tried again')
})
