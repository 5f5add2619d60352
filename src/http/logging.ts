import { LogController, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import type { Config } from '../config.ts'

/**
 * The log is JSON, or formatted for people on a terminal. It contains no tokens, cookies, passwords or messages: of a URL it has
 * only the path, and of a failed query the error's message, but not the values of the query.
 */
export function loggerOptions ({ LOG_LEVEL }: Pick<Config, 'LOG_LEVEL'>, isTerminal: boolean): Exclude<FastifyServerOptions['logger'], boolean | undefined> {
  return {
    level: LOG_LEVEL,
    serializers: { req: describeRequest, err: describeError },
    ...isTerminal && { transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname', translateTime: 'HH:MM:ss' } } }
  }
}

/**
 * Logs one line for each request, when its response has ended or failed, or its client has disconnected. The arrival of a
 * request is logged at the level `debug`.
 */
export class OneLineLogController extends LogController {
  override incomingRequest (request: FastifyRequest, reply: FastifyReply) {
    request.log.debug({ req: request }, 'incoming request')
    // Fastify calls `requestCompleted` when the response emits 'finish' or 'error'. If the client disconnects, it only emits 'close'.
    reply.raw.once('close', () => {
      const { writableFinished, errored } = reply.raw
      if (writableFinished) return
      const what = describeResponse(request, reply)
      if (errored) request.log.error({ ...what, err: errored }, 'request errored')
      else request.log.info(what, 'request aborted')
    })
  }

  override requestCompleted (_error: unknown, request: FastifyRequest, reply: FastifyReply) {
    if (reply.raw.writableFinished) request.log.info(describeResponse(request, reply), 'request completed')
  }
}

function describeResponse (request: FastifyRequest, reply: FastifyReply) {
  return { req: request, res: reply, responseTime: reply.elapsedTime }
}

function describeRequest ({ method, url, ip }: FastifyRequest) {
  return { method, path: url.replace(/\?.*/, ''), ip }
}

/**
 * Logs the message of the innermost cause. Drizzle's own message contains the values of a query, and the field `detail` of
 * Postgres those of a row; the cause's message contains neither.
 */
function describeError (error: Error & { code?: string }): { type: string, message: string, stack: string, [key: string]: unknown } {
  if (error.cause instanceof Error) return describeError(error.cause)
  const frames = String(error.stack).split('\n').filter(line => /^\s+at /.test(line))
  return { type: error.name, message: error.message, code: error.code, stack: frames.join('\n') }
}
