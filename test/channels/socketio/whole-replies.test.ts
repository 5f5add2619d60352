import t, { type Test } from 'tap'
import type { Socket } from 'socket.io-client'
import { connect, next, startLive, type Live, type Server } from '../../support/live.ts'
import { until } from '../../support/process.ts'
import { auth } from '../../support/socket-users.ts'

// Streamed replies on sockets: clients that can show deltas get them; all other clients get the whole reply once.

/** A server for Ann, with a bot `slow` that the test controls. */
async function start (t: Test) {
  const server = await startLive(t)
  server.bots.takeOver()
  const ann = await server.as('ann')
  await server.slowChat(ann)
  return { server, ann }
}

/** Shows messages like the page of the legacy system: each `new_message` adds a bubble. */
function append (socket: Socket) {
  const bubbles: string[] = []
  socket.on('new_message', ({ text }: Live) => bubbles.push(text))
  return bubbles
}

/** All events that a socket gets, in a short form. */
function record (socket: Socket) {
  const heard: string[] = []
  socket.on('new_message', ({ text, status }: Live) => heard.push(`${text} (${status})`))
  socket.on('message_delta', ({ text }: { text: string }) => heard.push(`+${text}`))
  return heard
}

async function speak ({ bots }: Server, times: number, heard: string[] = []) {
  const { say, end } = await bots.call(times)
  say('One')
  if (heard.length > 0) await until(() => heard.at(-1) === '+One')
  say(' two')
  end()
}

t.test('a client that appends each message shows a streamed reply in one bubble', async t => {
  const { server, ann } = await start(t)
  const socket = await connect(t, server.url, auth(ann))
  const bubbles = append(socket)
  socket.emit('start_chat', { bots: ['slow'] })
  const { chat_session_id: id } = await next<{ chat_session_id: number }>(socket, 'chat_session_started')

  socket.emit('send_message', { chat_session_id: id, text: 'Hello' })
  await speak(server, 1)
  await until(() => bubbles.length > 0)
  t.same(bubbles, ['One two'])

  socket.emit('send_message', { chat_session_id: id, text: 'A' })
  socket.emit('send_message', { chat_session_id: id, text: 'B' })
  await speak(server, 2)
  await speak(server, 3)
  await until(() => bubbles.length > 2)
  t.same(bubbles, ['One two', 'One two', 'One two'], 'a reply that was queued is in one bubble, too')

  socket.emit('send_message', { chat_session_id: id, text: 'And now?' })
  const { say, fail } = await server.bots.call(4)
  say('Well')
  fail(new Error('gone'))
  await until(() => bubbles.length > 3)
  t.equal(bubbles[3], 'Well', 'a failed reply, with its text so far')
})

t.test('a client that asks for streaming, in the handshake or with start_chat', async t => {
  const { server, ann } = await start(t)
  const byHandshake = await connect(t, server.url, { auth: { ...auth(ann).auth, stream: true } })
  const byStart = await connect(t, server.url, auth(ann))
  for (const [nth, [socket, input]] of ([[byHandshake, {}], [byStart, { stream: true }]] as const).entries()) {
    const heard = record(socket)
    const { chat_session_id: id } = await socket.emitWithAck('start_chat', { bots: ['slow'], ...input })
    socket.emit('send_message', { chat_session_id: id, text: 'Hello' })
    await server.bots.call(nth + 1)
    await until(() => heard.length > 0)
    await speak(server, nth + 1, heard)
    await until(() => heard.at(-1)!.includes('complete'))
    t.same(heard, [' (streaming)', '+One', '+ two', 'One two (complete)'])
  }
  t.match(await byStart.emitWithAck('start_chat', { stream: 'yes' }), { code: 'INVALID_REQUEST' })
})

t.test('a client that joins during a reply gets its deltas from there on', async t => {
  const { server, ann } = await start(t)
  const socket = await connect(t, server.url, auth(ann))
  const heard = record(socket)
  const { chat_session_id: id } = await socket.emitWithAck('start_chat', { bots: ['slow'] })
  await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hello' })
  const { say, end } = await server.bots.call(1)
  say('One')
  await until(async () => (await server.query('SELECT text FROM messages WHERE id = 2'))[0].text === 'One')
  t.same(heard, [])
  const { messages } = await socket.emitWithAck('join_chat', { chat_session_id: id, after: 0 })
  t.match(messages, [{ text: 'Hello' }, { text: 'One', status: 'streaming' }])
  say(' two')
  end()
  await until(() => heard.length === 2)
  t.same(heard, ['+ two', 'One two (complete)'])
})
