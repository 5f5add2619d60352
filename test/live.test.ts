import t, { type Test } from 'tap'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { io } from 'socket.io-client'
import { startApp, type Client } from './helper.js'

// Sockets and streams: what happens in a conversation, as it happens.

type App = Awaited<ReturnType<typeof startApp>>
const tokenOf = ({ headers }: Client) => headers['cookie']!.split('=')[1]!

async function listen ({ app }: App) {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}

function connect (t: Test, url: string, options: object) {
  const socket = io(url, { forceNew: true, reconnection: false, ...options })
  t.teardown(() => socket.close())
  return socket
}

t.test('first', async t => {
  const server = await startApp(t)
  const url = await listen(server)
  const ann = await server.as('ann')
  const socket = connect(t, url, { auth: { token: tokenOf(ann) } })
  await once(socket as never, 'connect')
  const { chat_session_id: id } = await socket.emitWithAck('start_chat', { name: 'x' })
  const heard: unknown[] = []
  socket.on('new_message', message => heard.push(message))
  socket.on('error', message => heard.push(message))
  const answer = await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hi' })
  t.comment(answer)
  await ann.post(`/api/conversations/${id}/messages`, { text: 'by http' })
  await new Promise(resolve => setTimeout(resolve, 300))
  t.comment(heard)
  const closed = once(socket as never, 'disconnect')
  await ann.post('/api/logout')
  const before = Date.now()
  t.comment(await closed, Date.now() - before)
})
