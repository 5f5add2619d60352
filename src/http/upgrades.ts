import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'

/**
 * Answers who asks for another protocol than WebSocket as if they had not asked. Node takes every request with an
 * `Upgrade` for an upgrade once somebody listens for any; Java's client and `curl --http2` ask for HTTP/2 each time.
 * @see RFC 9110, 7.8: a server may ignore the field
 */
export function ignoreUpgrades ({ server }: Pick<FastifyInstance, 'server'>) {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() === 'websocket') return
    const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`]
    for (const [n, name] of request.rawHeaders.entries()) {
      if (n % 2 === 0 && !ASKS.test(name)) lines.push(`${name}: ${request.rawHeaders[n + 1]}`)
    }
    socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]))
    server.emit('connection', socket)
  })
}

const ASKS = /^(upgrade|http2-settings)$/i
