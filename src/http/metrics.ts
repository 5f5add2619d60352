import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import ipaddr from 'ipaddr.js'
import type { Config } from '../config.js'
import { INVALID_TOKEN, NOT_FOUND } from '../errors.js'
import type { Metrics } from '../metrics/metrics.js'
import { answers } from './schema.js'

export interface MetricsRoutesOptions { config: Pick<Config, 'METRICS_TOKEN'>, metrics: Pick<Metrics, 'scrape' | 'contentType'> }

/** What Prometheus reads: for this machine, and for whoever has METRICS_TOKEN. */
export const metricsRoutes: FastifyPluginAsyncTypebox<MetricsRoutesOptions> =
  async function metricsRoutes (app, { config: { METRICS_TOKEN: token }, metrics }) {
    app.get('/metrics', { ...Scrape, onRequest: mustBeKnown }, async (_request, reply) =>
      reply.type(metrics.contentType).send(await metrics.scrape()))

    async function mustBeKnown (request: FastifyRequest) {
      if (isLocal(request)) return
      if (token === undefined) throw new NOT_FOUND()
      if (!timingSafeEqual(digest(request.bearer ?? ''), digest(token))) throw new INVALID_TOKEN()
    }
  }

/** Counts every request with its route's pattern, when its answer begins: how long a stream is read says nothing. */
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
    /** When it came, by `performance.now()`. */
    began: number
  }
}

/** By the connection itself; whatever a proxy on this machine forwards says so, and comes from elsewhere. */
function isLocal ({ headers, socket: { remoteAddress: address } }: FastifyRequest) {
  const isForwarded = Object.keys(headers).some(name => FORWARDED.test(name))
  return !isForwarded && address !== undefined && ipaddr.process(address).range() === 'loopback'
}

const FORWARDED = /^(forwarded|via|x-forwarded-.+|x-real-ip|.+-connecting-ip|x-client-ip)$/

function digest (token: string) {
  return createHash('sha256').update(token).digest()
}

const Scrape = {
  config: { limit: false, pressure: false } as const,
  logLevel: 'warn' as const,
  exposeHeadRoute: false,
  schema: {
    summary: 'What is measured, as Prometheus reads it',
    description: 'For requests from this machine that no proxy forwarded, and for those with `METRICS_TOKEN` as Bearer token; without such a token there is nothing here for others.',
    tags: ['operation'],
    response: answers({ 200: Type.String() }, [INVALID_TOKEN, NOT_FOUND])
  }
}
