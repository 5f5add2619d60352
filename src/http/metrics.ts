import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Config } from '../config.ts'
import { INVALID_TOKEN, NOT_FOUND } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { isSameSecret } from '../text/same-secret.ts'
import { isForwarded, isLoopback, isLoopbackHost } from './host.ts'
import { nothing } from './paging.ts'
import { answers, PlainText } from './schema.ts'

export interface MetricsRoutesOptions { config: Pick<Config, 'METRICS_TOKEN'>, metrics: Pick<Metrics, 'scrape' | 'contentType'> }

/** The metrics for Prometheus. Readable from this machine, and with METRICS_TOKEN from anywhere. */
export const metricsRoutes: FastifyPluginAsyncTypebox<MetricsRoutesOptions> =
  async function metricsRoutes (app, { config: { METRICS_TOKEN: token }, metrics }) {
    app.get('/metrics', { ...Scrape, onRequest: mustBeKnown }, async ({ method }, reply) =>
      reply.type(metrics.contentType).send(method === 'HEAD' ? nothing() : await metrics.scrape()))

    async function mustBeKnown (request: FastifyRequest) {
      if (isLocal(request)) return
      if (token === undefined) throw new NOT_FOUND()
      if (!isSameSecret(request.bearer ?? '', token)) throw new INVALID_TOKEN()
    }
  }

/** Counts every request by its route's pattern when the response begins: how long a stream is read is not its latency. */
export function countRequests (app: FastifyInstance, { answered }: Pick<Metrics, 'answered'>) {
  app.decorateRequest('began', 0)
  app.addHook('onRequest', (request, _reply, done) => {
    request.began = performance.now()
    done()
  })
  app.addHook('onSend', ({ method, routeOptions, began }, { statusCode }, _payload, done) => {
    answered(method, routeOptions.url ?? 'none', statusCode, (performance.now() - began) / 1000)
    done()
  })
}

declare module 'fastify' {
  interface FastifyRequest {
    /** When the request arrived, by `performance.now()`. */
    began: number
  }
}

/**
 * Whether a program on this machine sent the request itself. A proxy on this machine connects from the loopback address,
 * too, but adds forwarding headers or passes on the client's `Host`. A foreign `Host` also gives away a web page whose name
 * resolves to 127.0.0.1 (DNS rebinding) and that reads through a browser on this machine.
 */
function isLocal ({ headers, raw, socket: { remoteAddress, localAddress = '127.0.0.1' } }: FastifyRequest) {
  // A host in the request line counts more than the header, and of several headers nobody knows which one counts.
  if (isForwarded(headers) || !raw.url!.startsWith('/') || raw.rawHeaders.filter(name => /^host$/i.test(name)).length > 1) return false
  return [remoteAddress, localAddress].every(address => address !== undefined && isLoopback(address)) && isLoopbackHost(headers.host)
}

const Scrape = {
  config: { limit: false, pressure: false } as const,
  logLevel: 'warn' as const,
  schema: {
    operationId: 'getMetrics',
    summary: 'What is measured, as Prometheus reads it',
    description: 'For requests from this machine to its loopback address, by a loopback name and without a proxy\'s headers, and for those with `METRICS_TOKEN` as Bearer token; without such a token there is nothing here for others.',
    tags: ['operation'],
    response: answers({ 200: PlainText }, [INVALID_TOKEN, NOT_FOUND])
  }
}
