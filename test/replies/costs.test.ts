import t, { type Test } from 'tap'
import { EventEmitter } from 'node:events'
import type { Estimate } from '../../src/bots/bot.ts'
import type { Db } from '../../src/db/client.ts'
import { createMetrics } from '../../src/metrics/metrics.ts'
import { API_KEY, startApp, type Client } from '../support/helper.ts'
import { until } from '../support/process.ts'

// The cost of replies with any outcome. It is stored separately from the messages, and is the same wherever it is shown.

type App = Awaited<ReturnType<typeof startApp>>

/** The estimate of a reply’s cost that an engine gives. */
const estimated = (promptTokens: number, completionTokens: number, model = 'small'): Estimate =>
  ({ model, roughPromptTokens: promptTokens, count: async () => ({ promptTokens, completionTokens }) })

async function begin (t: Test) {
  const app = await startApp(t)
  app.bots.takeOver()
  const ann = await app.as('ann')
  await app.query("UPDATE users SET role = 'admin' WHERE username = 'ann'")
  return { ...app, ann, url: `/api/conversations/${await app.slowChat(ann)}` }
}

/** Sends a message, and returns the bot's call and a promise of the response. */
async function ask ({ bots }: Pick<App, 'bots'>, client: Client, url: string) {
  const ended = client.post(`${url}/messages`, { text: 'Hi' })
  return { ended, call: await bots.call(bots.calls.length + 1) }
}

const isAborted = async ({ signal }: { signal: AbortSignal }) => await until(() => signal.aborted)

const costsIn = async ({ query }: Pick<App, 'query'>) => await query(`
  SELECT user_id::int AS user, status, prompt_tokens AS prompt, completion_tokens AS completion, is_estimate AS estimate, model, bot_name AS bot
  FROM reply_costs ORDER BY id`)

const tokensOf = (rows: Array<{ prompt_tokens: number, completion_tokens: number, replies: number }>) =>
  rows.reduce((sum, row) => ({ prompt: sum.prompt + row.prompt_tokens, completion: sum.completion + row.completion_tokens, replies: sum.replies + row.replies }), { prompt: 0, completion: 0, replies: 0 })

/** All tokens that /metrics has counted. */
async function counted ({ anyone }: Pick<App, 'anyone'>) {
  return tokensOfMetrics((await anyone.get('/metrics')).body)
}

function tokensOfMetrics (body: string) {
  const sum = (kind: string) => [...body.matchAll(/^parley_reply_tokens_total\{.*kind="(\w+)"\} (\d+)$/gm)]
    .reduce((sum, [, of, tokens]) => of === kind ? sum + Number(tokens) : sum, 0)
  return { prompt: sum('prompt'), completion: sum('completion') }
}

t.test('the cost of every attempt is recorded, with any outcome, and is the same everywhere', async t => {
  const app = await begin(t)
  const { ann, as, url, slowChat, query, bots } = app
  const me = (await ann.get('/api/me')).json().id
  const expected: Array<[status: string, prompt: number, completion: number, isEstimate: boolean]> = []
  const done = async (what: string, ...cost: typeof expected[0]) => {
    expected.push(cost)
    await until(async () => (await costsIn(app)).length === expected.length)
    const { status, prompt, completion, estimate } = (await costsIn(app)).at(-1)!
    t.same([status, prompt, completion, estimate], cost, what)
  }

  const complete = await ask(app, ann, url)
  complete.call.cost(1, 1)
  complete.call.say('Well')
  complete.call.cost(10, 2)
  complete.call.end()
  const [, { id: reply }] = (await complete.ended).json()
  await done('complete: the last of what was said counts', 'complete', 10, 2, false)

  const again = ann.post(`${url}/messages/${reply}/regenerate`)
  const second = await bots.call(2)
  second.cost(20, 4)
  second.end()
  await again
  await done('asked again: both count', 'complete', 20, 4, false)

  const stopped = await ask(app, ann, url)
  stopped.call.begin(estimated(30, 6))
  stopped.call.say('As I')
  await ann.post(`${url}/stop`)
  await stopped.ended
  await done('stopped: an estimate', 'stopped', 30, 6, true)

  const thinking = await ask(app, ann, url)
  thinking.call.begin({ ...estimated(35, 0), count: async text => ({ promptTokens: 35, completionTokens: text.length }) })
  thinking.call.say('They')
  thinking.call.give({ text: '', replaces: true })
  thinking.call.think('They greet')
  await until(async () => (await query("SELECT FROM messages WHERE parts::text LIKE '%They greet%'")).length === 1)
  await ann.post(`${url}/stop`)
  await thinking.ended
  await done('stopped while it thinks: the reasoning counts, once', 'stopped', 35, 10, true)

  const silent = await ask(app, ann, url)
  silent.call.cost(40, 0)
  silent.call.fail(Object.assign(new Error('no text'), { failure: 'BOT_NONSENSE' }))
  await silent.ended
  await done('failed without text', 'failed', 40, 0, false)

  const broken = await ask(app, ann, url)
  broken.call.begin(estimated(50, 10, 'large'))
  broken.call.say('And then')
  broken.call.fail(new Error('cut'))
  await broken.ended
  await done('broken off', 'failed', 50, 10, true)

  const refused = await ask(app, ann, url)
  refused.call.fail(Object.assign(new Error('no'), { failure: 'BOT_REFUSED' }))
  await refused.ended

  const deleted = await ask(app, ann, url)
  deleted.call.cost(60, 12)
  deleted.call.say('I am')
  await until(async () => (await query("SELECT FROM messages WHERE text = 'I am'")).length === 1)
  const [{ id }] = await query("SELECT id::int FROM messages WHERE text = 'I am'")
  await ann.delete(`${url}/messages/${id}`)
  await done('the message is deleted while it is written', 'interrupted', 60, 12, false)
  await deleted.ended

  const other = `/api/conversations/${await slowChat(ann)}`
  const gone = await ask(app, ann, other)
  gone.call.begin(estimated(70, 14))
  gone.call.say('I am')
  await ann.delete(other)
  await done('the conversation is deleted while it is written', 'interrupted', 70, 14, true)
  await gone.ended

  const whole = `/api/conversations/${await slowChat(ann)}`
  const later = await ask(app, ann, whole)
  later.call.cost(80, 16)
  later.call.end()
  await later.ended
  await ann.delete(whole)
  await done('the conversation is deleted later', 'complete', 80, 16, false)

  const lost = await ask(app, ann, url)
  lost.call.cost(90, 18)
  lost.call.say('Slow')
  await until(async () => (await query("SELECT FROM messages WHERE text = 'Slow' AND cost_so_far IS NOT NULL")).length === 1)
  // Does what another instance does if it considers this one dead. One transaction, so that the lease is not renewed in between.
  await query(`DO $$ DECLARE place record; BEGIN
    UPDATE messages SET lease_until = now() - interval '1 second' WHERE text = 'Slow' RETURNING conversation_id, id INTO place;
    PERFORM interrupt_reply(place.conversation_id, place.id); END $$`)
  await lost.ended
  await isAborted(lost.call)
  await until(async () => (await costsIn(app)).length === expected.length + 1)
  t.match((await costsIn(app)).at(-1), { prompt: 90, completion: 18, status: 'interrupted', estimate: false }, 'after a lost lease, the cost is recorded once')

  const bob = await as('bob')
  const bobs = `/api/conversations/${await slowChat(bob)}`
  await bob.post(`${bobs}/users`, { username: 'ann' })
  const leaving = await ask(app, bob, bobs)
  leaving.call.cost(7, 7)
  leaving.call.say('I am')
  t.equal((await bob.delete('/api/me', {}, { password: 'correct horse' })).statusCode, 204)
  leaving.call.end()
  await leaving.ended
  await until(async () => (await costsIn(app)).some(({ user }) => user === null))
  t.match((await costsIn(app)).filter(({ prompt }) => prompt === 7), [{ user: null, bot: 'slow' }], 'the account is deleted while the reply is written')

  const mine = tokensOf((await ann.get('/api/me/usage')).json())
  t.same(mine, { prompt: 485, completion: 92, replies: 10 })
  const all = (await ann.get('/api/admin/usage')).json()
  t.same(tokensOf(all.filter(({ user_id: user }: { user_id: number | null }) => user === me)), mine)
  t.match(all.filter(({ user_id: user }: { user_id: number | null }) => user === null), [{ username: null, prompt_tokens: 7 }])
  const { prompt, completion } = tokensOf(all)
  t.same({ prompt, completion }, { prompt: mine.prompt + 7, completion: mine.completion + 7 })
  const { prompt: metered, completion: spoken } = await counted(app)
  // The cost of the lost lease was recorded by this test, not by an instance, so /metrics does not have it.
  t.same({ metered, spoken }, { metered: prompt - 90, spoken: completion - 18 }, '/metrics has the same numbers')

  await bob.post('/api/signup', { username: 'bob', password: 'correct horse' })
  const carol = await as('carol')
  const carols = `/api/conversations/${await slowChat(carol)}`
  const asked = await ask(app, carol, carols)
  asked.call.cost(5, 5)
  asked.call.end()
  await asked.ended
  await carol.delete('/api/me', {}, { password: 'correct horse' })
  t.match((await costsIn(app)).at(-1), { user: null, prompt: 5 }, 'the costs of a deleted account are kept, without the user')
})

t.test('for a reply whose instance died, the known cost is recorded once', async t => {
  const app = await begin(t)
  const { ann, url, query } = app
  const orphan = async (cost: (call: Awaited<ReturnType<typeof ask>>['call']) => void, text: string, isKnown = true) => {
    const { ended, call } = await ask(app, ann, url)
    cost(call)
    call.say(text)
    await until(async () => (await query('SELECT FROM messages WHERE text = $1 AND (cost_so_far IS NOT NULL) = $2', [text, isKnown])).length === 1)
    // As if another instance had written the reply and had died.
    await query("UPDATE messages SET lease_owner = 'dead ' || id, lease_until = now() - interval '1 second' WHERE text = $1", [text])
    await ended
  }
  await orphan(call => call.begin(estimated(11, 99)), 'twelve chars')
  await orphan(call => call.cost(12, 4), 'so far')
  await orphan(() => {}, 'for nothing', false)
  await until(async () => (await costsIn(app)).length === 4)
  const dead = await query("SELECT prompt_tokens AS prompt, completion_tokens AS completion, is_estimate AS estimate, status FROM reply_costs WHERE attempt LIKE 'dead%' ORDER BY id")
  t.same(dead, [
    { prompt: 11, completion: 3, estimate: true, status: 'interrupted' }, { prompt: 12, completion: 4, estimate: false, status: 'interrupted' }
  ], 'tokens are estimated by the length of the text if nothing better is known')
  t.match(await query("SELECT cost_so_far FROM messages WHERE sender = 'bot' AND cost_so_far IS NOT NULL"), [])
  const { prompt, completion } = tokensOf((await ann.get('/api/admin/usage')).json())
  t.same(await counted(app), { prompt, completion })
})

t.test('an attempt is recorded once, and the writer’s figures replace an estimate', async t => {
  const { query } = await begin(t)
  const record = async (cost: object) => (await query("SELECT * FROM record_cost(1, 2, 'once', 'interrupted', $1)", [JSON.stringify({ bot: 'slow', ...cost })]))[0]
  t.same(await record({ prompt_tokens: 10, completion_tokens: 5, is_estimate: true }), { bot: 'slow', prompt_tokens: 10, completion_tokens: 5 })
  t.same(await record({ prompt_tokens: 12, completion_tokens: 3 }), { bot: 'slow', prompt_tokens: 2, completion_tokens: -2 })
  t.same(await record({ prompt_tokens: 12, completion_tokens: 3 }), { bot: 'slow', prompt_tokens: 0, completion_tokens: 0 }, 'a second time: nothing is added')
  t.match(await query('SELECT * FROM reply_costs'), [{ prompt_tokens: 12, completion_tokens: 3, is_estimate: false }])
  t.same((await query("SELECT prompt_tokens, completion_tokens FROM record_cost(1, 2, 'huge', 'complete', '{\"prompt_tokens\": 1e15, \"completion_tokens\": -5}')"))[0], { prompt_tokens: 2147483647, completion_tokens: 0 })
  t.same(await query("SELECT * FROM record_cost(1, 2, 'free', 'complete', NULL)"), [])
})

t.test('an estimate that was too high is corrected in /metrics', async t => {
  const db = { $client: Object.assign(new EventEmitter(), { totalCount: 0, idleCount: 0, waitingCount: 0 }) } as unknown as Db
  const metrics = createMetrics({ db, store: { count: async () => [] }, open: { sockets: () => 0, streams: () => 0, generations: () => 0, busy: () => 0 } })
  const shown = async () => tokensOfMetrics(await metrics.scrape())
  metrics.spent({ bot: 'slow', promptTokens: 10, completionTokens: 5 })
  metrics.spent({ bot: 'slow', promptTokens: 2, completionTokens: -2 })
  t.same(await shown(), { prompt: 12, completion: 3 }, 'corrected immediately if /metrics was not read since')
  metrics.spent({ bot: 'slow', promptTokens: -4, completionTokens: 1 })
  t.same(await shown(), { prompt: 12, completion: 4 }, 'a counter never decreases')
  metrics.spent({ bot: 'slow', promptTokens: 10, completionTokens: 1 })
  t.same(await shown(), { prompt: 18, completion: 5 }, 'the difference is subtracted from the next tokens')
})

t.test('a reply ends even if its tokens cannot be counted', async t => {
  const app = await begin(t)
  const { ended, call } = await ask(app, app.ann, app.url)
  call.begin({ ...estimated(1, 1), count: async () => { throw new Error('no tokenizer') } })
  call.end()
  t.match((await ended).json()[1], { status: 'complete' })
  t.same(await costsIn(app), [])
})

t.test('an admin sees costs by day, user, bot and model, a page at a time', async t => {
  const { ann, as, anyone, clientOf, query } = await begin(t)
  const bob = await as('bob')
  await query(`INSERT INTO reply_costs (created_at, user_id, bot_name, model, status, prompt_tokens, completion_tokens, is_estimate) VALUES
    ('2026-03-01T23:59:59Z', 1, 'a', 'm', 'complete', 1, 1, false), ('2026-03-01T12:00:00Z', 1, 'a', 'm', 'stopped', 2, 2, true),
    ('2026-03-01T12:00:00Z', 1, 'a', NULL, 'complete', 3, 3, false), ('2026-03-01T12:00:00Z', 2, 'a', 'm', 'complete', 4, 4, false),
    ('2026-03-01T12:00:00Z', NULL, NULL, 'n', 'complete', 5, 5, false), ('2026-03-02T00:00:00Z', 2, 'b', 'm', 'complete', 6, 6, false)`)
  const row = (day: string, user_id: number | null, username: string | null, bot: string | null, model: string | null, replies: number, estimated: number, tokens: number) =>
    ({ day: `2026-03-0${day}`, user_id, username, bot, model, replies, estimated, prompt_tokens: tokens, completion_tokens: tokens })
  const all = [
    row('2', 2, 'bob', 'b', 'm', 1, 0, 6), row('1', null, null, null, 'n', 1, 0, 5), row('1', 1, 'ann', 'a', null, 1, 0, 3),
    row('1', 1, 'ann', 'a', 'm', 2, 1, 3), row('1', 2, 'bob', 'a', 'm', 1, 0, 4)
  ]
  const get = async (query = '') => (await ann.get(`/api/admin/usage${query}`)).json()
  t.same(await get(), all)
  for (let limit = 1; limit < 6; limit++) {
    const pages: object[] = []
    for (let next: string | undefined = `/api/admin/usage?limit=${limit}`; next !== undefined;) {
      const { headers, json } = await ann.get(next)
      t.ok(json().length <= limit)
      pages.push(...json())
      next = /^<(.*)>; rel="next"$/.exec(String(headers.link ?? ''))?.[1]
    }
    t.same(pages, all, `in pages of ${limit}`)
  }
  t.same(await get('?user=2'), [all[0], all[4]])
  t.same(await get('?bot=b'), [all[0]])
  t.same(await get('?model=n'), [all[1]])
  t.same(await get('?from=2026-03-02'), [all[0]])
  t.same(await get('?before=2026-03-02&user=1'), [all[2], all[3]])
  const made = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  for (const cursor of ['x', made(null), made(['2026-03-01', 'x', null, null]), made(['2026-3-1', 1, null, null]), made(['2026-03-01', 1, 'a\0', null]), made(['2026-03-01', 1, 'a', null, 1])]) {
    t.match(await get(`?cursor=${cursor}`), { statusCode: 400, code: 'INVALID_CURSOR' }, cursor)
  }
  t.match((await bob.get('/api/admin/usage')).json(), { code: 'NOT_AN_ADMIN' })
  t.match((await anyone.get('/api/admin/usage')).json(), { code: 'UNAUTHORIZED' })
  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  t.match((await clientOf({ authorization: `Bearer ${token}` }).get('/api/admin/usage')).json(), { code: 'NOT_FOR_GUESTS' })
})

t.test('a guest’s tokens are charged to the API key', async t => {
  const app = await startApp(t, { GUEST_BOT: 'slow' })
  await app.query("INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook')")
  const { token } = (await app.anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  await app.query("UPDATE users SET api_key_hash = 'a hash' WHERE is_guest")
  await app.anyone.post('/chat', { token, content: 'Hi' })
  await app.query('DELETE FROM users')
  t.match(await app.query('SELECT user_id, api_key_hash, prompt_tokens FROM reply_costs'), [{ user_id: null, api_key_hash: 'a hash', prompt_tokens: 3 }])
})
