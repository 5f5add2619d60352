import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'

/**
 * Answers a request whose `Expect` header asks for something unknown as if the header were not there. Node would
 * answer it with a bare 417 before Fastify sees it, without our headers and without a body that says what is wrong.
 * @see RFC 9110, 10.1.1: a server may ignore an expectation that it does not know
 */
export function ignoreExpectations ({ server }: Pick<FastifyInstance, 'server'>) {
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    server.emit('request', request, response)
  })
}
