import { fork } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { io } from 'socket.io-client'
import { APP_SECRET, from, signed, status, VERIFY_TOKEN, webhook, contact } from '../test/support/meta.ts'
import { percentile, startServer } from './server.ts'

// Does a little of everything at once for MINUTES, and compares the server's memory and event loop delay after the first
// minute with those at the end. Failures are counted; with any, the exit code is 1.

const MINUTES = Number(process.env['MINUTES'] ?? 15)
const SAMPLE_EVERY = 5_000
const USERS = 20
const SOCKETS = 50
const PHONES = 50

const provider = fork(fileURLToPath(new URL('provider.ts', import.meta.url)))
const [providerPort] = await once(provider, 'message') as [number]

/** A fake of Meta's API. It accepts every reply and soon afterwards reports by a webhook that it was delivered. */
let replied = 0
const meta = http.createServer(async (request, response) => {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  const { to, status: read } = JSON.parse(text) as { to?: string, status?: string }
  if (read !== undefined || to === undefined) return response.end('{"success":true}')
  const id = `wamid.out${++replied}`
  response.end(JSON.stringify({ messaging_product: 'whatsapp', contacts: [{ input: to, wa_id: to }], messages: [{ id }] }))
  deliver(webhook({ contacts: [contact(to)], statuses: [status(id, to, 'delivered')] })).catch(note('whatsapp'))
})
await once(meta.listen(0, '127.0.0.1'), 'listening')

const server = await startServer({
  OPENAI_API_KEY: 'soak',
  OPENAI_BASE_URL: `http://127.0.0.1:${providerPort}/v1`,
  META_APP_SECRET: APP_SECRET,
  META_VERIFY_TOKEN: VERIFY_TOKEN,
  META_ACCESS_TOKEN: 'soak',
  META_PHONE_NUMBER_ID: '106540352242922',
  META_API_URL: `http://127.0.0.1:${(meta.address() as AddressInfo).port}`,
  WHATSAPP_BOT: 'favorite-song'
})

const done: Record<string, number> = {}
const failed: Record<string, number> = {}
const note = (what: string) => (error: unknown) => {
  failed[what] = (failed[what] ?? 0) + 1
  if (failed[what] === 1) process.stderr.write(`${what}: ${String(error)}\n`)
}

async function deliver (body: object) {
  const raw = JSON.stringify(body)
  const answer = await fetch(`${server.url}/chat/whatsapp`, { method: 'POST', headers: signed(raw), body: raw })
  if (answer.status !== 200) throw new Error(`${answer.status}`)
}

const end = performance.now() + MINUTES * 60_000
/** Calls `work` this many times per second until the end, without waiting for earlier calls. */
async function repeat (what: string, perSecond: number, work: (n: number) => Promise<unknown>) {
  const begin = performance.now()
  for (let n = 0; performance.now() < end; n++) {
    work(n).then(() => { done[what] = (done[what] ?? 0) + 1 }, note(what))
    await sleep(Math.max(0, begin + (n + 1) * 1_000 / perSecond - performance.now()))
  }
}

const tokens = await Promise.all(Array.from({ length: USERS }, async (_, n) => {
  await server.post('/register', { id: `user-${n}`, passcode: 'correct horse' })
  return String((await server.post('/login', { id: `user-${n}`, passcode: 'correct horse' }))['access_token'])
}))
const begin = async (token: string, bot = 'simulated') => Number((await server.post('/api/conversations', { name: 'Soak', bots: [bot] }, token))['id'])
const rooms = await Promise.all(tokens.map(async token => ({ token, id: await begin(token) })))
const pick = <T> (list: T[], n: number) => list[n % list.length]!

async function connect (n: number) {
  const { token, id } = pick(rooms, n)
  const socket = io(server.url, { auth: { token }, forceNew: true, transports: ['websocket'] })
  await once(socket as never, 'connect')
  await socket.emitWithAck('join_chat', { chat_session_id: id })
  return { socket, id }
}
const sockets = await Promise.all(Array.from({ length: SOCKETS }, (_, n) => connect(n)))

/** Asks the model for a hundred words in a new conversation, and reads the whole stream. */
async function stream (n: number) {
  const token = pick(tokens, n)
  const id = await begin(token, 'assistant')
  const answer = await fetch(`${server.url}/api/conversations/${id}/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, accept: 'text/event-stream' },
    body: JSON.stringify({ text: 'Say 100 words' })
  })
  const text = await answer.text()
  if (!text.includes('"status":"complete","created_at"') || !text.includes('word99')) throw new Error(text.slice(-500))
}

const loads = [
  repeat('sends', 10, n => server.post(`/api/conversations/${pick(rooms, n).id}/messages`, { text: `Message ${n}`, client_id: `send-${n}` }, pick(rooms, n).token)),
  repeat('guided', 5, n => server.post('/chat', { user_phone: `1555000${n % PHONES}`, user_message: 'hello' })),
  repeat('lists', 2, n => fetch(`${server.url}/api/conversations`, { headers: { authorization: `Bearer ${pick(tokens, n)}` } }).then(async answer => { if (!answer.ok) throw new Error(await answer.text()); await answer.arrayBuffer() })),
  repeat('sockets', 5, async n => {
    const { socket, id } = pick(sockets, n)
    const answer = await socket.timeout(20_000).emitWithAck('send_message', { chat_session_id: id, text: `Socket ${n}` })
    if (answer.messages === undefined) throw new Error(JSON.stringify(answer))
  }),
  repeat('comings', 1, async n => {
    const place = n % SOCKETS
    const former = sockets[place]!
    sockets[place] = await connect(place)
    await sleep(10_000) // by then the old socket's messages have all been answered
    former.socket.close()
  }),
  repeat('streams', 1, stream),
  repeat('logins', 0.5, n => server.post('/login', { id: `user-${n % USERS}`, passcode: 'correct horse' })),
  repeat('whatsapp', 2, n => deliver(from(`1666000${n % PHONES}`, 'hello')))
]

interface Sample { minute: number, memory: number, heap: number, delay: number }
const samples: Sample[] = []

/** Reads the server's own metrics. The event loop delay is measured since the last call. */
async function sample (minute: number) {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const value = (name: string) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)![1])
  samples.push({ minute, memory: value('process_resident_memory_bytes'), heap: value('nodejs_heap_size_used_bytes'), delay: value('nodejs_eventloop_lag_p99_seconds') })
}

const began = performance.now()
let printed = 0
print('minute', 'resident', 'smallest heap', 'event loop delay: median of the 99th percentiles')
while (performance.now() < end) {
  await sleep(SAMPLE_EVERY)
  const minute = Math.floor((performance.now() - began) / 60_000) + 1
  await sample(minute).catch(note('metrics'))
  if (minute > printed + 1) report(++printed)
}
if (printed < MINUTES) report(MINUTES)
await Promise.all(loads)
await sleep(5_000)
for (const { socket } of sockets) socket.close()
await server.stop()
provider.kill()

for (const what of Object.keys(done)) print(what, `${done[what]}`, `${failed[what] ?? 0} failed`)
process.exit(Object.keys(failed).length === 0 ? 0 : 1)

function report (minute: number) {
  const those = samples.filter(sample => sample.minute === minute)
  const megabytes = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MB`
  print(`${minute}`, megabytes(percentile(those.map(({ memory }) => memory), 50)), megabytes(Math.min(...those.map(({ heap }) => heap))),
    `${(1_000 * percentile(those.map(({ delay }) => delay), 50)).toFixed(1)} ms`)
}

function print (...columns: string[]) {
  process.stdout.write(`${columns.map(column => column.padEnd(14)).join(' ').trimEnd()}\n`)
}
