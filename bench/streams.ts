import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { percentile, startServer } from './server.js'

// 300 replies at once on one server process, of 50 tokens a second each, for 20 seconds; and how much later than from the
// provider itself the first token comes.

const USERS = 100
const EACH = 3
const TOKENS = 1_000
const PROBES = 50

const provider = fork(fileURLToPath(new URL('provider.ts', import.meta.url)), { execArgv: ['--import', 'tsx'] })
const [port] = await once(provider, 'message') as [number]
const providerUrl = `http://127.0.0.1:${port}/v1`
const server = await startServer({ OPENAI_API_KEY: 'bench', OPENAI_BASE_URL: providerUrl })

const rooms: Array<{ token: string, id: number }> = []
for (let n = 0; n < USERS; n++) {
  await server.post('/register', { id: `user-${n}`, passcode: 'correct horse' })
  const token = String((await server.post('/login', { id: `user-${n}`, passcode: 'correct horse' }))['access_token'])
  for (let room = 0; room < EACH; room++) {
    const { id } = await server.post('/api/conversations', { name: `Room ${room}`, bots: ['assistant'] }, token)
    rooms.push({ token, id: Number(id) })
  }
}

/** Asks for a reply of so many tokens; gives when its first one came, in milliseconds, and all that came. */
async function listen ({ token, id }: { token: string, id: number }, tokens: number) {
  const begin = performance.now()
  const answer = await fetch(`${server.url}/api/conversations/${id}/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, accept: 'text/event-stream' },
    body: JSON.stringify({ text: `Say ${tokens} words` })
  })
  return await readUntilTheEnd(answer, begin, /"word|: ?"word0 /)
}

async function askProvider () {
  const begin = performance.now()
  const answer = await fetch(`${providerUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ stream: true, messages: [{ role: 'user', content: 'Say 1 words' }] })
  })
  return await readUntilTheEnd(answer, begin, /word0/)
}

async function readUntilTheEnd (answer: Response, begin: number, first: RegExp) {
  let text = ''
  let firstToken = NaN
  const decoder = new TextDecoder()
  for await (const chunk of answer.body!) {
    text += decoder.decode(chunk as Uint8Array, { stream: true })
    if (Number.isNaN(firstToken) && first.test(text)) firstToken = performance.now() - begin
  }
  return { firstToken, text }
}

const probe = rooms[0]!
const direct: number[] = []
const through: number[] = []
for (let n = 0; n < PROBES; n++) {
  direct.push((await askProvider()).firstToken)
  through.push((await listen(probe, 1)).firstToken)
}

const memory = { before: server.memory(), during: 0 }
const begin = performance.now()
const replies = Promise.all(rooms.map(async room => await listen(room, TOKENS)))
const watch = setInterval(() => { memory.during = Math.max(memory.during, server.memory()) }, 1000)
const heard = await replies
clearInterval(watch)
const seconds = (performance.now() - begin) / 1000
const expected = Array.from({ length: TOKENS }, (_, n) => `word${n} `).join('')
const complete = heard.filter(({ text }) => text.includes(`"text":"${expected}","status":"complete"`)).length

await server.stop()
provider.kill()

const rows = {
  'first token, provider, median': `${percentile(direct, 50).toFixed(1)} ms`,
  'first token, through us, median': `${percentile(through, 50).toFixed(1)} ms`,
  'replies at once, complete': `${rooms.length}, ${complete}`,
  'tokens a reply, seconds in all': `${TOKENS}, ${seconds.toFixed(1)}`,
  'memory before': `${(memory.before / 1024 / 1024).toFixed(0)} MB`,
  'memory at most': `${(memory.during / 1024 / 1024).toFixed(0)} MB`,
  'memory a stream': `${((memory.during - memory.before) / rooms.length / 1024).toFixed(0)} kB`
}
for (const [name, value] of Object.entries(rows)) process.stdout.write(`${name.padEnd(34)} ${value}\n`)
process.exit(complete === rooms.length ? 0 : 1)
