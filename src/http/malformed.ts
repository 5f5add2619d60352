import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { INVALID_REQUEST } from '../errors.ts'

/**
 * For the router: longer than any address that Node accepts. The router would refuse a longer parameter before any hook
 * runs, in the way that `replaceMalformed` avoids.
 */
export const ROUTER_PARAM_LENGTH = 64 * 1024

/** How long a part of a path may be that a route takes as a parameter. */
const MAX_PARAM_LENGTH = 500

const MALFORMED = '/malformed-address'

/**
 * Fastify answers an address that cannot be decoded before any hook runs: without CORS and security headers, and
 * uncounted by the limits. Such an address is replaced by one that no route has, so that it goes the way of every other
 * request; `refuseMalformed` then refuses it.
 */
export function replaceMalformed ({ url = '/' }: IncomingMessage): string {
  return isWellFormed(url) ? url : MALFORMED
}

/** To be registered after what sets headers and counts. */
export function refuseMalformed (app: FastifyInstance) {
  app.addHook('onRequest', async ({ url, originalUrl, params }) => {
    if (url === MALFORMED && originalUrl !== MALFORMED) throw new INVALID_REQUEST()
    const { '*': rest, ...others } = params as Record<string, string>
    if (Object.values(others).some(param => param.length > MAX_PARAM_LENGTH)) throw new INVALID_REQUEST()
  })
}

function isWellFormed (url: string) {
  if (!url.includes('%')) return true
  try {
    decodeURI(url.replace(/[?#].*/s, ''))
    return true
  } catch {
    return false // a % that does not begin an encoded character
  }
}
