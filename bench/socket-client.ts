import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { io, type Socket } from 'socket.io-client'

// Holds sockets for `sockets.ts`, in its own process. The parent gives it one task after the other: connect sockets, begin a
// conversation, send messages to it.

interface Question {
  connect?: { url: string, tokens: string[] }
  group?: { names: string[] }
  messages?: number
}

/** The number of sockets that connect at once. */
const AT_ONCE = 50
/** The pause between two messages, in milliseconds. */
const PAUSE = 50

const sockets: Socket[] = []
let conversation: number
let others: Socket[] = []

process.once('disconnect', () => process.exit()) // the parent process has ended
process.on('message', async ({ connect, group, messages }: Question) => {
  if (connect !== undefined) await connectAll(connect.url, connect.tokens)
  if (group !== undefined) await begin(group.names)
  process.send!(messages === undefined ? [] : await sendAll(messages))
})

async function connectAll (url: string, tokens: string[]) {
  for (let n = 0; n < tokens.length; n += AT_ONCE) {
    sockets.push(...await Promise.all(tokens.slice(n, n + AT_ONCE).map(async token => {
      const socket = io(url, { auth: { token }, forceNew: true, transports: ['websocket'], reconnection: false })
      await once(socket as never, 'connect')
      return socket
    })))
  }
}

/** The first socket begins a conversation with the users of the sockets after it. */
async function begin (names: string[]) {
  const { chat_session_id: id } = await sockets[0]!.emitWithAck('start_chat', { name: 'Group', bots: [], users: names })
  conversation = id
  others = sockets.slice(1, names.length + 1)
  for (const socket of others) await socket.emitWithAck('join_chat', { chat_session_id: id })
}

/** Sends messages and returns how many milliseconds each took to reach each of the others. Stops ten seconds after the last message. */
async function sendAll (messages: number) {
  const sentAt = new Map<string, number>()
  const latencies: number[] = []
  const hear = ({ text }: { text: string }) => { latencies.push(performance.now() - sentAt.get(text)!) }
  for (const socket of others) socket.on('new_message', hear)
  for (let n = 0; n < messages; n++) {
    const text = `Message ${n} of ${performance.now()}`
    sentAt.set(text, performance.now())
    sockets[0]!.emit('send_message', { chat_session_id: conversation, text })
    await sleep(PAUSE)
  }
  for (let wait = 0; wait < 200 && latencies.length < messages * others.length; wait++) await sleep(50)
  for (const socket of others) socket.off('new_message', hear)
  return latencies
}
