import type { IncomingHttpHeaders } from 'node:http'
import fp from 'fastify-plugin'
import type { FastifyRequest } from 'fastify'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import type { Config } from '../config.ts'
import { CROSS_SITE } from '../errors.ts'
import { isRebound } from './host.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The answer sets or clears the session cookie. */
    setsCookie?: boolean
  }
  interface FastifyInstance {
    /** Whether cookies may authenticate this request: it comes from a listed origin, from our own page, or from no page at all. */
    isFromOurs: (headers: IncomingHttpHeaders) => boolean
    /** The origins that CORS lists. */
    origins: string[]
  }
  interface FastifyRequest {
    /** The bearer token, if any. Unlike a cookie, the browser never adds it on its own, so a request that has one is not open to CSRF. */
    bearer: string | undefined
  }
}

/**
 * Values of `Sec-Fetch-Site` for requests of foreign pages, also those without an `Origin`, such as images. Same-site ones
 * carry the cookie: without this check a page on any sibling subdomain could log people out with an image.
 */
const OTHER_SITES = new Set<unknown>(['cross-site', 'same-site'])

/** Request headers that front ends of other origins may send. Libraries add the last three on their own. */
const REQUEST_HEADERS = [
  'Content-Type', 'Authorization', 'Idempotency-Key', 'Last-Event-ID', 'X-API-KEY', 'X-Act-As', 'X-Requested-With', 'Traceparent', 'Tracestate'
]

export interface SecurityOptions { config: Config, cookieName: string }

/**
 * CORS and CSRF protection. Pages of other origins can send requests without CORS, as forms do. So a write that a cookie
 * authenticates, or that sets a cookie, is refused unless it comes from a listed origin or from our own page.
 * @see https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
 */
export const security = fp<SecurityOptions>(async function security (app, { config, cookieName }) {
  // In the form that browsers send: a host in small letters or Punycode, without the default port.
  const listed = config.CORS_ORIGINS.split(',').map(origin => new URL(origin.trim()).origin)
  const allowed = new Set([...listed, ...ownOrigins(config)])

  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(SECURITY_HEADERS)
    done()
  })
  await app.register(cookie)
  await app.register(cors, {
    origin: listed,
    credentials: true,
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: [...REQUEST_HEADERS, ...config.CORS_HEADERS?.split(',').map(name => name.trim()) ?? []],
    exposedHeaders: ['Link', 'Retry-After'],
    strictPreflight: false
  })

  app.decorate('origins', listed)
  app.decorate('isFromOurs', ({ origin, 'sec-fetch-site': site }) => origin === undefined ? !OTHER_SITES.has(site) : allowed.has(origin))
  app.decorateRequest('bearer', {
    getter (this: FastifyRequest) { return /^Bearer\s(.*)/i.exec(this.headers.authorization ?? '')?.[1]?.trim() }
  })

  app.addHook('onRequest', async ({ method, headers, cookies, bearer, routeOptions }) => {
    const paidByCookie = cookies[cookieName] !== undefined && bearer === undefined
    const isWrite = !['GET', 'HEAD', 'OPTIONS'].includes(method)
    if (isWrite && bearer === undefined && isRebound(headers) && !app.isFromOurs(headers)) throw new CROSS_SITE()
    if (routeOptions.config.setsCookie !== true && !(paidByCookie && isWrite)) return
    if (!app.isFromOurs(headers)) throw new CROSS_SITE()
  })
})

function ownOrigins ({ PUBLIC_URL, PORT }: Config) {
  if (PUBLIC_URL !== undefined) return [new URL(PUBLIC_URL).origin]
  return ['localhost', '127.0.0.1'].map(host => new URL(`http://${host}:${PORT}`).origin)
}
