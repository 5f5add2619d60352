import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import * as errors from '../errors.js'
import type { ErrorBody } from './schema.js'

/** What a dialect adds to an error's body, or says in other words. */
export type Dialect = (body: ErrorBody, request: FastifyRequest) => ErrorBody

/** Says every error in one shape; what broke on our side is logged and not told. */
export function createErrorHandler (isUnavailable: (error: unknown) => boolean, dialect: Dialect = body => body) {
  return function handleError (error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
    const known = translate(error, isUnavailable)
    const { statusCode = 500, code, message } = known
    if (statusCode >= 500) request.log.error({ err: error }, message)
    else request.log.info({ code }, message)
    if (statusCode === 503) reply.header('retry-after', '5')
    const body: ErrorBody = { statusCode, code, error: message }
    if (error.validation !== undefined) body.details = error.validation.map(detail)
    return reply.code(statusCode).send(dialect(body, request))
  }
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
  if (isUnavailable(error)) return new errors.UNAVAILABLE()
  const status = error.statusCode ?? 500
  return OURS[status]?.() ?? (status < 500 ? new errors.INVALID_REQUEST() : new errors.INTERNAL())
}

type Problem = NonNullable<FastifyError['validation']>[number]

function sentence ({ validation, validationContext }: FastifyError) {
  const { path, message } = detail(validation![0]!)
  return path === '' ? `The ${validationContext} ${message}` : `${path} ${message}`
}

function detail ({ instancePath, params, message = 'is invalid' }: Problem) {
  const missing = params['missingProperty'] as string | undefined
  const steps = instancePath.split('/').slice(1)
  if (missing === undefined) return { path: steps.join('.'), message }
  return { path: [...steps, missing].join('.'), message: 'is required' }
}
