import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import * as errors from '../errors.ts'
import { tooLarge } from './body-limits.ts'
import type { Fault } from './faults.ts'
import { answerRaw, RETRY_AFTER_SECONDS } from './raw-answer.ts'
import type { ErrorBody } from './schema.ts'

/** Adds fields to an error's body, or rewords it, for clients that expect another format. A string is sent as plain text. */
export type Dialect = (body: ErrorBody, request: FastifyRequest) => object | string

/** An error that may carry `Retry-After`, in seconds, and the faults of the request. */
type HttpError = FastifyError & { retryAfter?: number, details?: Fault[] }

/** Answers every error in one format. Causes of 5xx errors are logged and not shown to the client. */
export function createErrorHandler (isUnavailable: (error: unknown) => boolean, dialect: Dialect = body => body) {
  return function handleError (error: HttpError, request: FastifyRequest, reply: FastifyReply) {
    const isTooLarge = error.code === 'FST_ERR_CTP_BODY_TOO_LARGE'
    const body = describeError(isTooLarge ? new (tooLarge(request.routeOptions.bodyLimit))() : error, isUnavailable, request.log)
    const { statusCode } = body
    if (statusCode === 429 || statusCode === 503) reply.header('retry-after', String(error.retryAfter ?? RETRY_AFTER_SECONDS))
    const said = dialect(body, request)
    if (typeof said === 'string') reply.type('text/plain; charset=utf-8')
    return reply.code(statusCode).send(said)
  }
}

/** The error as clients see it, over HTTP and sockets. */
export function describeError (error: HttpError, isUnavailable: (error: unknown) => boolean, log: Pick<FastifyBaseLogger, 'info' | 'error'>): ErrorBody {
  const { statusCode = 500, code, message, details } = translate(error, isUnavailable)
  if (statusCode >= 500 && code !== 'SERVER_BUSY') log.error({ err: error }, message)
  else log.info({ code }, message)
  return { statusCode, code, error: message, ...details && { details } }
}

function translate (error: HttpError, isUnavailable: (error: unknown) => boolean): HttpError {
  if (error.code === 'FST_ERR_CTP_INVALID_JSON_BODY') return new errors.INVALID_JSON()
  if (error.code in errors) return error
  // Other errors of Fastify's own.
  if (error.statusCode !== undefined && error.statusCode < 500) return new errors.INVALID_REQUEST()
  return isUnavailable(error) ? new errors.UNAVAILABLE() : new errors.INTERNAL()
}

/** Connections on which nothing more can be read, and whose last answers are awaited. */
const ending = new WeakSet<Socket>()

/**
 * Answers a request that timed out or is not HTTP, in the same format, directly on the socket. Requests before it that are complete
 * get their answers first: their clients would take this one for theirs.
 */
export async function answerMalformed (error: NodeJS.ErrnoException, socket: Socket & { _httpMessage?: ServerResponse | null }) {
  if (ending.has(socket)) return
  ending.add(socket)
  while (!socket.destroyed && socket._httpMessage?.req.complete && !socket._httpMessage.headersSent) {
    const before = socket._httpMessage
    await new Promise(resolve => before.once('close', resolve))
  }
  const { statusCode, code, message } = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? new errors.REQUEST_TIMEOUT() : new errors.INVALID_REQUEST()
  // If a response has begun, this would be written into its body.
  if (!socket.writable || socket._httpMessage?.headersSent) return socket.destroy(error)
  answerRaw(socket, { statusCode: statusCode!, code, error: message })
}
