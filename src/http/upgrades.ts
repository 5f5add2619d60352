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
   * Makes Node parse the rest of a connection as if it were a new one. This must wait for the responses to the requests before
   * this one. Each parser has its own queue of responses, and a response in the new queue that waits for one in the old queue
   * would never be sent.
   */
  async function readAgain (socket: Answering, bytes: Buffer) {
    socket.on('error', ignore) // the parser that Node has detached did this before
    while (socket._httpMessage) await finished(socket._httpMessage)
    if (socket.destroyed) return
    socket.off('error', ignore)
    socket.removeAllListeners('timeout')
    socket.setTimeout?.(0) // a timeout of the old parser, which the new one does not know
    socket.unshift(bytes)
    server.emit('connection', socket)
  }
}

function ignore () {}

const ASKS = /^(upgrade|http2-settings)$/i
