import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ErrorBody } from './schema.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

/** The default `Retry-After`. */
export const RETRY_AFTER_SECONDS = 5

/** Answers with an error in the usual format on a connection that Fastify does not handle, and closes it. */
export function answerRaw (socket: Duplex, body: ErrorBody) {
  const { statusCode } = body
  const json = JSON.stringify(body)
  const all = {
    ...SECURITY_HEADERS,
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(json)),
    ...(statusCode === 429 || statusCode === 503) && { 'retry-after': String(RETRY_AFTER_SECONDS) },
    connection: 'close'
  }
  const head = [`HTTP/1.1 ${statusCode} ${STATUS_CODES[statusCode]}`, ...Object.entries(all).map(([name, value]) => `${name}: ${value}`)]
  socket.on('error', () => { /* the client is gone, and 'close' follows */ })
  socket.end(`${head.join('\r\n')}\r\n\r\n${json}`, () => socket.destroy())
}
