import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import * as errors from '../errors.js'
import type { ErrorBody } from './schema.js'

/** What a dialect adds to an error's body, or says in other words. */
export type Dialect = (body: ErrorBody, request: FastifyRequest) => ErrorBody

/** A small body may break a rule ten thousand times: the answer stays small, too. */
const MOST_DETAILS = 20

/** When to try again where nothing else is known, in seconds. */
const SOON = 5

/** An error that may know after how many seconds the request will do. */
type Refusal = FastifyError & { retryAfter?: number }

/** Says every error in one shape; what broke on our side is logged and not told. */
export function createErrorHandler (isUnavailable: (error: unknown) => boolean, dialect: Dialect = body => body) {
  return function handleError (error: Refusal, request: FastifyRequest, reply: FastifyReply) {
    const body = describeError(error, isUnavailable, request.log)
    const { statusCode } = body
    if (statusCode === 429 || statusCode === 503) reply.header('retry-after', String(error.retryAfter ?? SOON))
    return reply.code(statusCode).send(dialect(body, request))
  }
}

/** What a client is told of an error, by whichever way it came. */
export function describeError (error: FastifyError, isUnavailable: (error: unknown) => boolean, log: Pick<FastifyBaseLogger, 'info' | 'error'>): ErrorBody {
  const { statusCode = 500, code, message } = translate(error, isUnavailable)
  if (statusCode >= 500 && code !== 'SERVER_BUSY') log.error({ err: error }, message)
  else log.info({ code }, message)
  const body: ErrorBody = { statusCode, code, error: message }
  if (error.validation !== undefined) body.details = error.validation.filter(({ keyword }) => keyword !== 'if').slice(0, MOST_DETAILS).map(detail)
  return body
}

/** Fastify's own errors by their status: whatever else it finds wrong with a request is an invalid one. */
const OURS: Record<number, () => FastifyError> = {
  413: () => new errors.BODY_TOO_LARGE(),
  415: () => new errors.UNSUPPORTED_MEDIA_TYPE()
}

function translate (error: FastifyError, isUnavailable: (error: unknown) => boolean): FastifyError {
  if (error.validation !== undefined) return Object.assign(new errors.INVALID_REQUEST(), { message: sentence(error) })
  if (error.code === 'FST_ERR_CTP_INVALID_JSON_BODY') return new errors.INVALID_JSON()
  if (error.code in errors) return error
  if (error.statusCode !== undefined && error.statusCode < 500) return OURS[error.statusCode]?.() ?? new errors.INVALID_REQUEST()
  return isUnavailable(error) ? new errors.UNAVAILABLE() : new errors.INTERNAL()
}

type Problem = NonNullable<FastifyError['validation']>[number]

function sentence ({ validation, validationContext }: FastifyError) {
  const { path, message } = detail(validation![0]!)
  return path === '' ? `The ${validationContext} ${message}` : `${path} ${message}`
}

/** In words for people, where Ajv's own are for programmers. */
const SAID: Record<string, string> = {
  pattern: 'has characters or a form that is not allowed here',
  not: 'has fields that exclude each other'
}

function detail ({ keyword, instancePath, params, message }: Problem) {
  const missing = params['missingProperty'] as string | undefined
  const steps = instancePath.split('/').slice(1)
  if (missing === undefined) return { path: steps.join('.'), message: SAID[keyword] ?? message! }
  return { path: [...steps, missing].join('.'), message: 'is required' }
}

/** Answers what is not even HTTP, in the same shape, on the bare socket. */
export function answerMalformed (error: NodeJS.ErrnoException, socket: Socket) {
  const { statusCode, code, message } = new errors.INVALID_REQUEST()
  const body = JSON.stringify({ statusCode, code, error: message })
  if (socket.writable) {
    socket.write(`HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`)
  }
  socket.destroy(error)
}
