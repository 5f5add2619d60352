import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { io, type Socket } from 'socket.io-client'
import { percentile, startServer } from './server.js'

// 500 sockets on one server process, in 100 conversations of five users each, and 200 messages a second for 20 seconds,
// each of which a bot answers. Every one of them must reach every other socket of its conversation, once.

const USERS = 5
const CONVERSATIONS = 100
const RATE = 200
const SECONDS = 20

interface Live { chat_session_id: number, id: number, sender: string, text: string }

const server = await startServer()
const tokens = await Promise.all(Array.from({ length: USERS }, async (_, n) => {
  await server.post('/register', { id: `user-${n}`, passcode: 'correct horse' })
  return String((await server.post('/login', { id: `user-${n}`, passcode: 'correct horse' }))['access_token'])
}))
const memory = { before: server.memory(), connected: 0, after: 0 }

const groups: Array<{ id: number, sockets: Socket[] }> = []
for (let n = 0; n < CONVERSATIONS; n++) {
  const sockets = await Promise.all(tokens.map(async token => {
    const socket = io(server.url, { auth: { token }, forceNew: true, transports: ['websocket'], reconnection: false })
    await once(socket as never, 'connect')
    return socket
  }))
  const users = tokens.map((_, n) => `user-${n}`)
  const { chat_session_id: id } = await sockets[0]!.emitWithAck('start_chat', { name: `Group ${n}`, users })
  for (const socket of sockets.slice(1)) await socket.emitWithAck('join_chat', { chat_session_id: id })
  groups.push({ id, sockets })
}
memory.connected = server.memory()

const sentAt = new Map<string, number>()
const deliveries = new Map<string, number>()
const latencies: number[] = []
const acknowledged: number[] = []
for (const { sockets } of groups) {
  for (const [n, socket] of sockets.entries()) {
    socket.on('new_message', ({ chat_session_id, id, sender, text }: Live) => {
      const place = `${chat_session_id} ${id} ${n}`
      deliveries.set(place, (deliveries.get(place) ?? 0) + 1)
      if (sender === 'user') latencies.push(performance.now() - sentAt.get(text)!)
    })
  }
}

const begin = performance.now()
const total = RATE * SECONDS
for (let n = 0; n < total; n++) {
  const { id, sockets } = groups[n % CONVERSATIONS]!
  const text = `Message ${n}`
  sentAt.set(text, performance.now())
  sockets[Math.floor(n / CONVERSATIONS) % USERS]!.emit('send_message', { chat_session_id: id, text }, () => { acknowledged.push(n) })
  const due = begin + (n + 1) * 1000 / RATE
  if (due > performance.now()) await sleep(due - performance.now())
}

// A message reaches the four others, its answer all five.
const expected = total * (USERS - 1 + USERS)
const patience = performance.now() + 30_000
while (deliveries.size + acknowledged.length < expected + total && performance.now() < patience) await sleep(50)
await sleep(1000) // what comes twice would come now
memory.after = server.memory()
const twice = [...deliveries.values()].filter(times => times > 1).length
for (const { sockets } of groups) for (const socket of sockets) socket.close()
await server.stop()

const megabytes = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(0)} MB`
const milliseconds = (hundredths: number) => `${percentile(latencies, hundredths).toFixed(1)} ms`
const rows = {
  'messages sent, acknowledged': `${total}, ${acknowledged.length}`,
  'deliveries expected, made, twice': `${expected}, ${deliveries.size}, ${twice}`,
  'latency to the others, median': milliseconds(50),
  'latency to the others, 99th': milliseconds(99),
  'latency to the others, most': milliseconds(100),
  'memory of the server at rest': megabytes(memory.before),
  'memory with 500 sockets': megabytes(memory.connected),
  'memory after the messages': megabytes(memory.after)
}
for (const [name, value] of Object.entries(rows)) process.stdout.write(`${name.padEnd(34)} ${value}\n`)
if (acknowledged.length < total || deliveries.size < expected || twice > 0) process.exit(1)
process.exit()
