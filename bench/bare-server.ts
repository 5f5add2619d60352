import jwt from '@fastify/jwt'
import Fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import { SECRET } from './database.ts'

// The least that a server does for a request: Fastify checks a Bearer token, parses and validates a JSON body, and answers
// with JSON. There is neither a database nor a log. It runs in its own process and sends its port to the parent.

process.once('disconnect', () => process.exit()) // the parent process has ended

const app = Fastify()
await app.register(jwt, { secret: SECRET })

const Said = { type: 'object', required: ['text'], properties: { text: { type: 'string', maxLength: 8_000 } } }

app.post<{ Body: { text: string } }>('/', {
  onRequest: async request => { await request.jwtVerify() },
  schema: { body: Said, response: { 201: { type: 'array', items: Said } } }
}, async ({ body }, reply) => reply.code(201).send([body, { text: `You said: ${body.text}` }]))

await app.listen({ port: 0, host: '127.0.0.1' })
process.send!((app.server.address() as AddressInfo).port)
