import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import Fastify from 'fastify'
import pino from 'pino'
import t from 'tap'
import { loggerOptions, OneLineLogController } from '../../src/http/logging.ts'

// What is logged about requests.

t.test('there is one line for each request, with its method, path, status and time', async t => {
  const { app, lines } = startLogging()
  t.teardown(() => app.close())
  await app.inject('/hello?token=s3cret')
  t.equal(lines().length, 1)
  t.match(lines()[0], { level: 30, msg: 'request completed', reqId: /./, req: { method: 'GET', path: '/hello' }, res: { statusCode: 200 }, responseTime: Number })
  t.notMatch(JSON.stringify(lines()), /s3cret/)
})

t.test('a response that breaks is one line too, with the error', async t => {
  const { app, lines } = startLogging()
  t.teardown(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const client = net.connect((app.server.address() as AddressInfo).port, '127.0.0.1').on('error', () => { /* 'close' follows */ })
  client.write('GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(client.resume(), 'close')
  t.equal(lines().length, 1)
  t.match(lines()[0], { level: 50, msg: 'request errored', req: { path: '/broken' }, err: { message: 'the cable is cut' } })
})

/** A server with our log, and the lines that it has written. */
function startLogging () {
  const written = new PassThrough({ encoding: 'utf8' })
  let text = ''
  written.on('data', (piece: string) => { text += piece })
  const app = Fastify({ loggerInstance: pino(loggerOptions({ LOG_LEVEL: 'info' }, false), written), logController: new OneLineLogController() })
  app.get('/hello', async () => 'Hello')
  app.get('/broken', (_request, reply) => {
    reply.hijack()
    reply.raw.emit('error', new Error('the cable is cut')) // as Node does when it cannot write
    reply.raw.destroy()
  })
  return { app, lines: () => text.split('\n').filter(line => line.includes('"reqId"')).map(line => JSON.parse(line) as object) }
}
