import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import fp from 'fastify-plugin'
import '@fastify/cookie'
import type { FastifyError } from 'fastify'
import { Server as Engine } from 'engine.io'
import { Server } from 'socket.io'
import { INVALID_TOKEN } from '../../errors.js'
import type { ErrorBody } from '../../http/schema.js'
import type { LiveServer, LiveSocket } from './events.js'
import { createSocketService, type SocketServiceOptions } from './service.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** How many sockets are connected. */
    countSockets: () => number
  }
}

export interface SocketIoOptions extends Omit<SocketServiceOptions, 'app'> {
  cookieName: string
  describe: (error: FastifyError) => ErrorBody
}

const PATH = '/socket.io/'

/** How long a client may take to say goodbye when the server closes, in milliseconds. */
const LAST_WORDS = 200

/**
 * Socket.IO on the server's own port, at its default path and namespace. Who connects has a session, and comes from a
 * page that may call us, as with HTTP: browsers do not guard WebSockets by themselves.
 */
export const socketio = fp<SocketIoOptions>(async function socketio (app, { cookieName, ...options }) {
  const engine = new Engine({
    maxHttpBufferSize: 64 * 1024,
    cors: { origin: app.origins, credentials: true },
    allowRequest: ({ headers }, decide) => { decide(null, app.isFromOurs(headers)) }
  })
  const io: LiveServer = new Server({ serveClient: false })
  io.bind(engine)
  const serve = createSocketService({ app, ...options })

  io.use(async (socket, next) => {
    try {
      const user = await app.userOf(tokenOf(socket))
      if (user === undefined) throw new INVALID_TOKEN()
      socket.data.user = user
      next()
    } catch (error) {
      const { code, error: sentence } = options.describe(error as FastifyError)
      next(Object.assign(new Error(sentence), { data: { code, error: sentence } }))
    }
  })
  io.on('connection', serve)
  app.decorate('countSockets', () => io.sockets.sockets.size)

  /** In `auth.token`, in the query, as Bearer, or in the cookie. */
  function tokenOf ({ handshake: { auth, query, headers } }: LiveSocket) {
    const given = [auth['token'], query['token'], /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? '')?.[1]]
    return given.find(token => typeof token === 'string') ?? app.parseCookie(headers.cookie ?? '')[cookieName]
  }

  // Long polling comes as any request does, on every address that we listen on; what follows is the engine's.
  app.route({
    method: ['GET', 'POST'],
    url: PATH,
    config: { limit: false },
    schema: { hide: true },
    exposeHeadRoute: false,
    async onRequest (request, reply) {
      reply.hijack()
      engine.handleRequest(request.raw, reply.raw)
    },
    /* c8 ignore next -- the engine has it already */
    async handler () {}
  })

  let isClosing = false
  const upgraded = new Set<Duplex>()
  app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') return
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
    if (!isClosing && request.url?.startsWith(PATH)) return engine.handleUpgrade(request, socket, head)
    socket.on('error', () => { /* whoever asked is gone, and 'close' follows */ })
    socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () => socket.destroy())
  })

  app.addHook('preClose', async () => {
    isClosing = true
    engine.close() // not `io.disconnectSockets`: whom that tells does not come back by itself, to another instance
    setTimeout(() => { for (const socket of upgraded) socket.destroy() }, LAST_WORDS).unref()
  })
})
