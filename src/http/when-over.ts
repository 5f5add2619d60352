import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'

const ends = new WeakMap<Socket, Set<() => void>>()

/**
 * Calls `work` once, when a request has been answered or its client has disconnected. With pipelining, a response that waits
 * behind another one on the same connection has no socket yet and emits no `close` when the connection closes. So this also
 * listens to the connection, with one listener for all of its requests.
 */
export function whenOver ({ raw, request: { raw: { socket } } }: FastifyReply, work: () => void) {
  if (raw.destroyed || socket.destroyed) return work()
  const ofSocket = ends.get(socket) ?? watch(socket)
  ofSocket.add(end)
  raw.once('close', end)

  function end () {
    if (ofSocket.delete(end)) work()
  }
}

function watch (socket: Socket) {
  const ofSocket = new Set<() => void>()
  ends.set(socket, ofSocket)
  socket.once('close', () => { for (const end of [...ofSocket]) end() })
  return ofSocket
}
