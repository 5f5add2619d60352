import t, { type Test } from 'tap'
import { API_KEY, startApp, type Client } from '../support/helper.ts'
import { until } from '../support/process.ts'
import { DIALECTS, serveDialect, tokensOf, WINDOW, type Dialect } from '../support/providers.ts'

// The same conversations with ten kinds of language model providers. Each fake accepts only what the real one accepts.

const KEY = 'sk-a-key-of-the-tests'
const WORDS = ['Hello', ' from', ' here.']
const REPLY = WORDS.join('')

interface Shown { id: number, text: string, status: string }

async function start (t: Test, dialect: Dialect) {
  const provider = await serveDialect(t, dialect, WORDS)
  const app = await startApp(t, { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: provider.url, BOT_BREAKER_FAILURES: 1000 })
  const settings = JSON.stringify({ prompt: 'Be kind.', temperature: 0.5, max_tokens: 100, greeting: 'Good day!' })
  await app.query('UPDATE chatbots SET settings = $1 WHERE name = \'assistant\'', [settings])
  await app.query('INSERT INTO chatbots (name, engine, settings) VALUES (\'second\', \'openai\', $1)', [settings])
  const ann = await app.as('ann')
  const chat = async (bots = ['assistant']): Promise<string> => `/api/conversations/${(await ann.post('/api/conversations', { name: 'Plans', bots })).json().id}`
  return { ...app, provider, ann, chat }
}

const say = async (client: Client, url: string, text: string): Promise<Shown[]> => (await client.post(`${url}/messages`, { text })).json()
const shown = async (client: Client, url: string): Promise<Shown[]> => (await client.get(`${url}/messages?limit=200`)).json()

for (const [name, dialect] of Object.entries(DIALECTS)) {
  t.test(`${name}: the next message is answered, no matter what happened before`, async t => {
    const { provider, ann, anyone, chat, query } = await start(t, dialect)
    /** Checks that messages are answered, each with one request, after the bot has learnt what the provider accepts. */
    const answered = (messages: Shown[], what: string) => {
      t.match(messages.at(-1), { status: 'complete', text: REPLY }, what)
      t.equal(provider.asked.at(-1)!.status, 200, what)
    }
    const lastAsked = () => provider.asked.at(-1)!.body.messages

    const url = await chat()
    answered(await say(ann, url, 'Number 1'), 'first message')
    t.match(JSON.stringify(lastAsked()), /Be kind/, 'the request has the prompt, in a place that the provider allows')
    const adapting = provider.asked.length
    for (let n = 2; n <= 10; n++) answered(await say(ann, url, `Number ${n}`), `message ${n}`)
    t.equal(provider.asked.length, adapting + 9, 'what was learnt about the provider causes no further requests')
    t.equal(lastAsked().at(-1)!.content, 'Number 10')
    t.notMatch(JSON.stringify(lastAsked()), /says hello|They say|They greet|wants an answer/, 'reasoning is not sent back')

    provider.next(response => response.destroy())
    provider.next(response => response.destroy())
    provider.next(response => response.destroy())
    t.match((await say(ann, url, 'Do you hear me?'))[1], { status: 'failed', text: '' })
    answered(await say(ann, url, 'And now?'), 'after a failure')
    t.match(lastAsked().at(-1)!.content, /^Do you hear me\?\n\nAnd now\?$/)

    let isAsked = false
    provider.next(() => { isAsked = true })
    const stopped = say(ann, url, 'Take your time')
    await until(() => isAsked)
    await ann.post(`${url}/stop`)
    t.match((await stopped)[1], { status: 'stopped', text: '' })
    answered(await say(ann, url, 'Never mind'), 'after a stop')

    const last = (await shown(ann, url)).at(-1)!
    await ann.post(`${url}/messages/${last.id}/regenerate`)
    await until(async () => (await shown(ann, url)).at(-1)!.status === 'complete')
    answered(await shown(ann, url), 'regenerate')
    t.match(lastAsked().at(-1)!.content, /Never mind$/)

    await ann.put(`${url}/messages/${last.id - 1}`, { text: 'Never ever mind' })
    await until(async () => (await shown(ann, url)).at(-1)!.status === 'complete')
    answered(await shown(ann, url), 'edit')
    t.match(lastAsked().at(-1)!.content, /Never ever mind$/)

    const { token, text: greeting } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
    t.equal(greeting, 'Good day!')
    for (const content of ['Hi', 'Hi again']) t.equal((await anyone.post('/chat', { token, content })).json().text, REPLY, 'a guest after a greeting')
    t.notMatch(JSON.stringify(lastAsked()), /Good day/, 'messages before the first one of a user are left out')

    const long = await chat()
    const id = Number(long.split('/').at(-1))
    await query('UPDATE conversations SET last_rev = 100 WHERE id = $1', [id])
    await query("INSERT INTO messages (conversation_id, id, rev, sender, user_id, text) SELECT $1, n, n, CASE n % 2 WHEN 1 THEN 'user' ELSE 'bot' END::sender, CASE n % 2 WHEN 1 THEN (SELECT id FROM users WHERE username = 'ann') END, repeat('word' || n || ' ', 30) FROM generate_series(1, 100) n", [id])
    answered(await say(ann, long, 'And what do you say to all that?'), 'a long history')
    if (name !== 'ollama') t.ok(tokensOf(provider.asked.at(-1)!.body) <= WINDOW && lastAsked().length > 2, 'as much of the history as fits into the context window is sent')
    const before = provider.asked.length
    answered(await say(ann, long, 'And now?'), 'a long history, once more')
    t.equal(provider.asked.length, before + 1, 'the length that fits is remembered')

    const group = await chat(['assistant', 'second'])
    await until(async () => (await ann.get(`${group}/bots`)).json().length === 2)
    for (const text of ['@assistant @second Hello', '@second And you?', '@assistant @second Both?']) answered(await say(ann, group, text), `a group: ${text}`)
    t.match((await shown(ann, group)).filter(({ status }) => status !== 'complete'), [])
    t.match(JSON.stringify(lastAsked()), /assistant: Hello from here/, 'messages of another bot are not those of the assistant')
  })
}
