import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/**
 * Closes connections on which no byte has arrived when the server closes. Browsers and Node's `fetch` open connections
 * before they need them. Node takes such a connection for one whose request is still arriving, so that closing the server
 * would wait until the client gives it up.
 */
export function closeUnusedConnections (app: FastifyInstance) {
  const open = new Set<Socket>()
  app.server.on('connection', socket => {
    if (open.has(socket)) return // `ignoreUpgrades` lets the server read the same connection again
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  app.addHook('preClose', async () => {
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
  })
}
