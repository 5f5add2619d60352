import { once } from 'node:events'
import net from 'node:net'
import t from 'tap'
import { startLive } from '../support/live.ts'
import { until } from '../support/process.ts'

t.test('closing does not wait for a connection on which no request was sent', async t => {
  const { app, port, connections } = await startLive(t)
  const [used, unused] = [net.connect(port, '127.0.0.1'), net.connect(port, '127.0.0.1')]
  used.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(used, 'data')
  await until(async () => await connections() === 2)
  const closed = once(unused, 'close')
  await app.close()
  await closed
  t.equal(await connections(), 0)
})

t.test('a connection on which a request was begun may end it', async t => {
  const { app, port } = await startLive(t)
  const body = JSON.stringify({ user_phone: '1111111111', user_message: 'hello' })
  const socket = net.connect(port, '127.0.0.1')
  socket.write(`POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`)
  await once(app.server, 'request')
  const closing = app.close()
  socket.write(body)
  const [answer] = await once(socket.setEncoding('utf8'), 'data') as [string]
  t.match(answer, /^HTTP\/1\.1 (200|503) .*connection: close/is)
  await closing
})
