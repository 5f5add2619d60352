import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/**
 * Closes connections that would delay the closing of the server: those on which no byte has arrived, and those that are
 * kept alive after a response that began before. Browsers and Node's `fetch` open connections before they need them; Node
 * takes such a connection for one whose request is still arriving, and would wait until the client gives it up. It also
 * waits for the rest of a body whose request was answered long ago, such as one that was refused because it is too large.
 */
export function closeUnusedConnections (app: FastifyInstance) {
  const open = new Set<Socket>()
  /** The last request on a connection that was answered before all of its body had arrived. */
  const unread = new WeakMap<Socket, IncomingMessage>()
  app.server.on('connection', socket => {
    if (open.has(socket)) return // `ignoreUpgrades` lets the server read the same connection again
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  app.addHook('preClose', async () => {
    for (const socket of open) if (socket.bytesRead === 0 || unread.get(socket)?.complete === false) socket.destroy()
  })
  // Not with `closeIdleConnections`: it also closes connections whose response has ended and is still being sent to a slow client.
  app.addHook('onResponse', async ({ raw }) => {
    const socket: Socket & { _httpMessage?: ServerResponse | null } = raw.socket
    if (!raw.complete) unread.set(socket, raw)
    if (!app.server.listening && open.has(socket) && !socket._httpMessage) socket.destroySoon()
  })
}
