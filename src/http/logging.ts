import { LogController, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import type { Config } from '../config.ts'

/**
 * Logs are JSON, or pretty on a terminal. They hold no token, cookie, password or message: of an address only the
 * path, of an error only what it says itself and never the values that a query was given.
 */
export function loggerOptions ({ LOG_LEVEL }: Pick<Config, 'LOG_LEVEL'>, isTerminal: boolean): Exclude<FastifyServerOptions['logger'], boolean | undefined> {
  return {
    level: LOG_LEVEL,
    serializers: { req: describeRequest, err: describeError },
    ...isTerminal && { transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname', translateTime: 'HH:MM:ss' } } }
  }
}

/**
 * One line for each request, when its response has ended, is broken, or its client has left. That it has arrived is a line of
 * the level `debug`.
 */
export class OneLineLogController extends LogController {
  override incomingRequest (request: FastifyRequest, reply: FastifyReply) {
    request.log.debug({ req: request }, 'incoming request')
    // Fastify calls `requestCompleted` when the response emits 'finish' or 'error'. One whose client has left only emits 'close'.
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

/** Drizzle puts a query's values into its message, and Postgres a row's into its `detail`: the cause's message has neither. */
function describeError (error: Error & { code?: string }): { type: string, message: string, stack: string, [key: string]: unknown } {
  if (error.cause instanceof Error) return describeError(error.cause)
  const frames = String(error.stack).split('\n').filter(line => /^\s+at /.test(line))
  return { type: error.name, message: error.message, code: error.code, stack: frames.join('\n') }
}
