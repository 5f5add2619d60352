import net, { type AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import Fastify from 'fastify'
import pino from 'pino'
import t from 'tap'
import { loggerOptions, OneLineLogController } from '../../src/http/logging.ts'
import { until } from '../support/process.ts'

// What is logged about requests.

t.test('there is one line for each request, with its method, path, status and time', async t => {
  const { app, lines } = startLogging()
  t.teardown(() => app.close())
  await (await fetch(`${await app.listen({ host: '127.0.0.1', port: 0 })}/hello?token=s3cret`)).text()
  await until(() => lines().length > 0)
  await app.close()
  t.equal(lines().length, 1)
  t.match(lines()[0], { level: 30, msg: 'request completed', reqId: /./, req: { method: 'GET', path: '/hello' }, res: { statusCode: 200 }, responseTime: Number })
  t.notMatch(JSON.stringify(lines()), /s3cret/)
})

for (const [what, path, line] of [
  ['a response that breaks', '/broken', { level: 50, msg: 'request errored', req: { path: '/broken' }, err: { message: 'the cable is cut' } }],
  ['a request whose client leaves', '/patient', { level: 30, msg: 'request aborted', req: { path: '/patient' } }]
] as const) {
  t.test(`${what} is one line too`, async t => {
    const { app, lines, arrived } = startLogging()
    t.teardown(() => app.close())
    await app.listen({ host: '127.0.0.1', port: 0 })
    const client = net.connect((app.server.address() as AddressInfo).port, '127.0.0.1').on('error', () => { /* 'close' follows */ })
    client.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    await arrived
    client.destroy()
    await until(() => lines().length > 0)
    await app.close()
    t.equal(lines().length, 1)
    t.match(lines()[0], line)
  })
}

/** A server with our log, and the lines that it has written. */
function startLogging () {
  const written = new PassThrough({ encoding: 'utf8' })
  let text = ''
  written.on('data', (piece: string) => { text += piece })
  const app = Fastify({ loggerInstance: pino(loggerOptions({ LOG_LEVEL: 'info' }, false), written), logController: new OneLineLogController() })
  app.get('/hello', async () => 'Hello')
  app.addHook('onResponse', async () => { /* as the real server has; with it, Fastify tells no error to its log */ })
  const { promise: arrived, resolve } = Promise.withResolvers<void>()
  app.get('/broken', (_request, reply) => {
    resolve()
    reply.hijack()
    reply.raw.destroy(new Error('the cable is cut'))
  })
  app.get('/patient', (_request, reply) => {
    resolve()
    reply.hijack()
  })
  return { app, arrived, lines: () => text.split('\n').filter(line => line.includes('"reqId"')).map(line => JSON.parse(line) as object) }
}
