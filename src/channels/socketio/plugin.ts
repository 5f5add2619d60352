import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import fp from 'fastify-plugin'
import '@fastify/cookie'
import type { FastifyError } from 'fastify'
import { Server as Engine } from 'engine.io'
import { Server } from 'socket.io'
import { Encoder } from 'socket.io-parser'
import { WebSocketServer, type ServerOptions } from 'ws'
import type { Config } from '../../config.ts'
import { INVALID_TOKEN, NOT_FOUND, TOO_MANY_REQUESTS } from '../../errors.ts'
import { answerRaw } from '../../http/raw-answer.ts'
import type { ErrorBody } from '../../http/schema.ts'
import { SECURITY_HEADERS } from '../../http/security-headers.ts'
import { connectionOf } from './backlog.ts'
import { BoundedDecoder } from './decoder.ts'
import type { LiveServer, LiveSocket } from './events.ts'
import { createSocketGuard, type GuardConfig } from './guard.ts'
import { createSocketService, type SocketServiceOptions } from './service.ts'
import { routerAmong, routerOf, type Sibling } from './siblings.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The number of connected sockets. */
    countSockets: () => number
  }
}

export interface SocketIoOptions extends Omit<SocketServiceOptions, 'app' | 'config' | 'useOf'> {
  config: SocketServiceOptions['config'] & GuardConfig & Pick<Config, 'SOCKET_LOGIN_TIMEOUT'>
  cookieName: string
  describe: (error: FastifyError) => ErrorBody
  /** Which of several workers this is; undefined in a server of one process. */
  sibling: Sibling | undefined
}

const PATH = '/socket.io/'

/** A client that sends a larger packet is disconnected without an answer. Smaller ones that are too long for their event are refused. */
const MAX_PAYLOAD_BYTES = 4 * 1024 * 1024

/** How long a client may take for the closing handshake. */
const CLOSE_TIMEOUT_MS = 200

/**
 * Whether a request begins a connection. Later ones carry its `sid`. The URL is read as the engine reads it, for which an empty `sid` is
 * none, the last of several counts, and what follows a # does not: otherwise such handshakes would not be counted.
 */
const isHandshake = (url: string) => !new URL(url, 'http://localhost').searchParams.getAll('sid').at(-1)

/**
 * Closes a WebSocket whose client does not answer the closing handshake. By default `ws` waits 30 s for that, in which a
 * client that was refused or disconnected would keep its connection, uncounted by the limits on sockets.
 */
class ImpatientWebSocketServer extends WebSocketServer {
  constructor (options: ServerOptions) {
    super({ ...options, closeTimeout: CLOSE_TIMEOUT_MS } as ServerOptions)
  }
}

/**
 * Socket.IO on the server's own port, at its default path and namespace. A connection needs a session and an allowed
 * origin, as HTTP does: browsers do not apply CORS to WebSockets.
 */
export const socketio = fp<SocketIoOptions>(async function socketio (app, { config, cookieName, sibling, ...options }) {
  const engine = new Engine({
    wsEngine: ImpatientWebSocketServer,
    maxHttpBufferSize: MAX_PAYLOAD_BYTES,
    cors: { origin: app.origins, credentials: true },
    allowRequest: ({ headers }, decide) => { decide(null, app.isFromOurs(headers)) }
  })
  const io: LiveServer = new Server({
    serveClient: false, parser: { Encoder, Decoder: BoundedDecoder }, connectTimeout: config.SOCKET_LOGIN_TIMEOUT * 1000
  })
  io.bind(engine)
  const router = sibling === undefined ? routerOf(engine) : await routerAmong(engine, sibling)
  const serve = createSocketService({ app, config, useOf, ...options })
  const served = new WeakMap<LiveSocket['conn'], LiveSocket>()
  const guard = createSocketGuard({ config, log: app.log, cut })
  engine.on('connection', guard.watch)

  io.use(async (socket, next) => {
    try {
      const user = await app.callerOf(tokenOf(socket), { ...useOf(socket), method: 'CONNECT', route: PATH })
      if (user === undefined) throw new INVALID_TOKEN()
      guard.enter(socket.conn, user.id)
      socket.data.user = user
      next()
    } catch (error) {
      const { code, error: sentence } = options.describe(error as FastifyError)
      next(Object.assign(new Error(sentence), { data: { code, error: sentence } }))
    }
  })
  io.on('connection', socket => {
    served.set(socket.conn, socket)
    // The timeout for a token counts only until the first one: a client that leaves must not keep its connection.
    socket.once('disconnect', () => { socket.conn.close() })
    serve(socket)
  })
  app.decorate('countSockets', () => io.sockets.sockets.size)

  /** Finds the token in `auth.token`, the query, the Authorization header or the cookie. */
  function tokenOf ({ handshake: { auth, query, headers } }: LiveSocket) {
    const given = [auth['token'], query['token'], /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? '')?.[1]]
    return given.find(token => typeof token === 'string') ?? app.parseCookie(headers.cookie ?? '')[cookieName]
  }

  function useOf ({ handshake: { headers }, conn }: LiveSocket) {
    return { headers, ip: guard.senderOf(conn.request) }
  }

  function cut (connection: LiveSocket['conn']) {
    const socket = served.get(connection)
    const { code, error } = options.describe(new TOO_MANY_REQUESTS())
    socket?.emit('error', { code, error })
    connection.close()
    // A client that keeps sending may never read this. Without the timeout, its packets would be read until it closes.
    setTimeout(() => {
      connectionOf(connection)?.terminate()
      connection.close(true)
    }, CLOSE_TIMEOUT_MS).unref()
  }

  // Long polling arrives as ordinary requests, on every address that we listen on. The engine handles them.
  app.route({
    method: ['GET', 'POST'],
    url: PATH,
    config: { limit: false },
    schema: { hide: true },
    exposeHeadRoute: false,
    async onRequest (request, reply) {
      if (isHandshake(request.url)) await guard.admit(request.raw)
      reply.hijack()
      for (const [name, value] of Object.entries(SECURITY_HEADERS)) reply.raw.setHeader(name, value)
      await router.handleRequest(request.raw, reply.raw)
    },
    /* c8 ignore next -- the engine has it already */
    async handler () {}
  })

  let isClosing = false
  const upgraded = new Set<Duplex>()
  app.server.on('upgrade', async (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') return
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
    const refuse = (error: FastifyError) => answerRaw(socket, options.describe(error))
    if (isClosing || !request.url!.startsWith(PATH)) return refuse(new NOT_FOUND())
    try {
      if (isHandshake(request.url!)) await guard.admit(request)
    } catch (error) {
      return refuse(error as FastifyError)
    }
    await router.handleUpgrade(request, socket, head)
  })

  app.addHook('preClose', async () => {
    isClosing = true
    engine.close() // not `io.disconnectSockets`: clients would not reconnect by themselves to another instance
    await router.close()
    setTimeout(() => { for (const socket of upgraded) socket.destroy() }, CLOSE_TIMEOUT_MS).unref()
  })
})
