import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import t from 'tap'
import Fastify from 'fastify'
import { closeUnusedConnections } from '../../src/http/unused-connections.ts'
import { startApp } from '../support/helper.ts'
import { startLive } from '../support/live.ts'
import { until } from '../support/process.ts'
import { exchange } from '../support/raw-http.ts'

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

t.test('closing does not wait for the rest of a body after its request was answered', async t => {
  const { app, port, connections } = await startLive(t)
  for (const head of ['POST /api/login HTTP/1.1\r\nContent-Type: application/json', 'POST /api/login HTTP/1.1\r\nContent-Type: text/plain', 'GET /health/live HTTP/1.1']) {
    const socket = net.connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('error', () => { /* a reset, since the client has not sent everything */ })
    socket.write(`${head}\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n{`)
    await once(socket, 'data')
  }
  const ended = 'POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n'
  const body = JSON.stringify({ user_phone: '1111111111', user_message: 'hello' })
  const busy = net.connect(port, '127.0.0.1').setEncoding('utf8')
  busy.write(ended)
  await once(busy, 'data')
  const begun = once(app.server, 'request')
  busy.write(`${'x'.repeat(100_000)}POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`)
  await begun
  const closing = app.close()
  busy.write(body)
  t.match((await once(busy, 'data'))[0], /^HTTP\/1\.1 (200|503) /, 'a later request on such a connection may end')
  await closing
  t.equal(await connections(), 0)
})

t.test('closing does not wait for a connection that is kept alive after a stream', async t => {
  const server = await startLive(t)
  const { headers } = await server.as('ann')
  const agent = new http.Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const [stream] = await once(http.get(`${server.url}/api/events`, { headers, agent }), 'response') as [http.IncomingMessage]
  const over = once(stream.resume(), 'end')
  await server.app.close()
  await over
  t.equal(await server.connections(), 0)
})

t.test('a stream ends with the server, also where a request is injected, which has no connection', async t => {
  const { app, as } = await startApp(t)
  const answer = await app.inject({ url: '/api/events', headers: (await as('ann')).headers, payloadAsStream: true })
  const over = once(answer.stream().resume(), 'end')
  await app.close()
  await over
})

t.test('while the server closes, the end of one response does not cut another that a slow client still reads', async t => {
  const LARGE_BYTES = 32 * 1024 * 1024 // more than the buffers of a connection take
  const app = Fastify()
  closeUnusedConnections(app)
  const answers = new Map<string, http.ServerResponse>()
  app.get('/:name', async ({ params }, reply) => {
    answers.set((params as { name: string }).name, reply.hijack().raw)
  })
  t.teardown(() => app.server.closeAllConnections())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as net.AddressInfo
  const ask = async (name: string) => {
    const request = http.get({ port, host: '127.0.0.1', path: `/${name}`, agent: new http.Agent({ keepAlive: true }) })
    const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
    (await until(() => answers.get(name))).flushHeaders()
    return { answer: (await answered)[0] }
  }
  const [slow, quick] = [await ask('slow'), await ask('quick')]
  const closing = app.close()
  await until(() => !app.server.listening)
  answers.get('slow')!.end(Buffer.alloc(LARGE_BYTES, 'x'))
  const closed = once(quick.answer.resume().socket, 'close')
  answers.get('quick')!.end('x')
  await closed
  let length = 0
  for await (const chunk of slow.answer) length += (chunk as Buffer).length
  t.equal(length, LARGE_BYTES)
  await closing
})

t.test('the answers to pipelined requests all arrive while the server closes', async t => {
  const app = Fastify()
  closeUnusedConnections(app)
  const answers: http.ServerResponse[] = []
  app.get('/', async (_request, reply) => { answers.push(reply.hijack().raw) })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const request = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
  const answer = exchange((app.server.address() as net.AddressInfo).port, request + request)
  await until(() => answers.length === 2)
  const closing = app.close()
  await until(() => !app.server.listening)
  answers[0]!.end('first')
  await once(answers[0]!, 'close')
  answers[1]!.end('second')
  t.match(await answer, /first[^]*second/)
  await closing
})
