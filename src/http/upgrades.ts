import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { FastifyInstance } from 'fastify'

interface Answering extends Duplex {
  /** The response that Node writes on this connection at the moment. */
  _httpMessage?: ServerResponse | null
  setTimeout?: (milliseconds: number) => unknown
}

/**
 * Ignores `Upgrade` headers that ask for another protocol than WebSocket. Once there is a listener for upgrades, Node treats
 * every request with `Upgrade` as one; Java's client and `curl --http2` offer HTTP/2 that way with each request.
 * @see RFC 9110, 7.8: a server may ignore the field
 */
export function ignoreUpgrades ({ server }: Pick<FastifyInstance, 'server'>) {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() === 'websocket') return
    const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`]
    for (const [n, name] of request.rawHeaders.entries()) {
      if (n % 2 === 0 && !ASKS.test(name)) lines.push(`${name}: ${request.rawHeaders[n + 1]}`)
    }
    const again = Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head])
    readAgain(socket, again).catch(() => { /* the client is gone, and nobody waits for an answer */ })
  })

  /**
   * Has Node read the rest of a connection as if it were new. That must wait for the answers to the requests before this
   * one: Node keeps the order of answers in a queue for each reading, and an answer that waits in the new queue for one
   * of the old is never sent.
   */
  async function readAgain (socket: Answering, bytes: Buffer) {
    socket.on('error', ignore) // which the reading would do, that Node has ended
    while (socket._httpMessage) await finished(socket._httpMessage)
    if (socket.destroyed) return
    socket.off('error', ignore)
    socket.removeAllListeners('timeout')
    socket.setTimeout?.(0) // set by an answer before, and unknown to the new reading
    socket.unshift(bytes)
    server.emit('connection', socket)
  }
}

function ignore () {}

const ASKS = /^(upgrade|http2-settings)$/i
