import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { INVALID_REQUEST } from '../errors.ts'

/**
 * The router's limit for parameters, longer than any URL that Node accepts. The router would refuse a longer parameter before
 * any hook runs, so without CORS and security headers. We check MAX_PARAM_LENGTH in a hook instead.
 */
export const ROUTER_PARAM_LENGTH = 64 * 1024

/** The longest parameter in a path. */
const MAX_PARAM_LENGTH = 500

const MALFORMED = '/malformed-address'

/**
 * Replaces a URL that cannot be decoded by one that no route has; `refuseMalformed` then refuses it. Fastify itself would refuse
 * it before any hook runs: without CORS and security headers, and not counted by the rate limits.
 */
export function replaceMalformed ({ url = '/' }: IncomingMessage): string {
  return isWellFormed(url) ? url : MALFORMED
}

/** Refuses malformed URLs, and requests without a Host or with several. Register it after the hooks that set headers and count requests. */
export function refuseMalformed (app: FastifyInstance) {
  app.addHook('onRequest', async ({ url, originalUrl, params, raw }) => {
    if (url === MALFORMED && originalUrl !== MALFORMED) throw Object.assign(new INVALID_REQUEST(), { message: 'The address is not valid: each % must begin an encoded character, such as %20' })
    if (!hasRightHost(raw)) throw Object.assign(new INVALID_REQUEST(), { message: 'The request needs one Host header' })
    const { '*': rest, ...others } = params as Record<string, string>
    if (Object.values(others).some(param => param.length > MAX_PARAM_LENGTH)) throw Object.assign(new INVALID_REQUEST(), { message: `A part of the address may have at most ${MAX_PARAM_LENGTH} characters` })
  })
}

/**
 * Whether a request names one host. With several, a proxy before us may have checked another one than Node takes, which is the first.
 * @see RFC 9112, section 3.2
 */
function hasRightHost ({ rawHeaders, httpVersion }: IncomingMessage) {
  const hosts = rawHeaders.filter((name, nth) => nth % 2 === 0 && name.toLowerCase() === 'host').length
  return hosts === 1 || (hosts === 0 && httpVersion === '1.0')
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
