import type { IncomingHttpHeaders } from 'node:http'
import fp from 'fastify-plugin'
import type { FastifyRequest } from 'fastify'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import type { Config } from '../config.js'
import { CROSS_SITE } from '../errors.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The answer sets or clears the session cookie. */
    setsCookie?: boolean
  }
  interface FastifyInstance {
    /** Whether a page may call with what it does not add by itself: one of a listed origin, our own, or no page at all. */
    isFromOurs: (headers: IncomingHttpHeaders) => boolean
    /** The origins that CORS lists. */
    origins: string[]
  }
  interface FastifyRequest {
    /** The token in `Authorization: Bearer`, the one kind of credentials that a page must add by itself; without it the cookie pays. */
    bearer: string | undefined
  }
}

export interface SecurityOptions { config: Config, cookieName: string }

/**
 * Which pages may call. Others may still send requests, as forms do, so that what a cookie pays for, and what sets
 * one, is refused unless it comes from a listed origin or from our own page.
 * @see https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
 */
export const security = fp<SecurityOptions>(async function security (app, { config, cookieName }) {
  const listed = config.CORS_ORIGINS.split(',').map(origin => origin.trim())
  const allowed = new Set([...listed, ...ownOrigins(config)])

  await app.register(helmet, {
    contentSecurityPolicy: { directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] }, useDefaults: false },
    crossOriginResourcePolicy: { policy: 'cross-origin' },
    xFrameOptions: { action: 'deny' }
  })
  await app.register(cookie)
  await app.register(cors, {
    origin: listed,
    credentials: true,
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: ['Content-Type', 'Authorization', 'Idempotency-Key', 'Last-Event-ID', 'X-API-KEY'],
    exposedHeaders: ['Link', 'Retry-After'],
    strictPreflight: false
  })

  app.decorate('origins', listed)
  app.decorate('isFromOurs', ({ origin, 'sec-fetch-site': site }) => origin === undefined ? site !== 'cross-site' : allowed.has(origin))
  app.decorateRequest('bearer', {
    getter (this: FastifyRequest) { return /^Bearer\s(.*)/i.exec(this.headers.authorization ?? '')?.[1]?.trim() }
  })

  app.addHook('onRequest', async ({ method, headers, cookies, bearer, routeOptions }) => {
    const paidByCookie = cookies[cookieName] !== undefined && bearer === undefined
    const isWrite = !['GET', 'HEAD', 'OPTIONS'].includes(method)
    if (routeOptions.config.setsCookie !== true && !(paidByCookie && isWrite)) return
    if (!app.isFromOurs(headers)) throw new CROSS_SITE()
  })
})

function ownOrigins ({ PUBLIC_URL, PORT }: Config) {
  if (PUBLIC_URL !== undefined) return [new URL(PUBLIC_URL).origin]
  return ['localhost', '127.0.0.1'].map(host => new URL(`http://${host}:${PORT}`).origin)
}
