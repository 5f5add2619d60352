import { createHash } from 'node:crypto'
import fp from 'fastify-plugin'
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import type { Config } from '../config.js'
import { TOO_MANY_REQUESTS } from '../errors.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What counts against an address here, beside the limit on everything; false: nothing does. */
    limit?: 'entry' | 'chat' | false
  }
  interface FastifyRequest {
    /**
     * Counts what only a body tells: an attempt to log in to an account, from this address, or a message of a phone.
     * @throws TOO_MANY_REQUESTS
     */
    limitBy: (what: 'account' | 'phone', key: string) => Promise<void>
  }
}

/**
 * How much a caller may ask for in a minute. What is by address is counted before a body is read, so that a refusal
 * costs next to nothing; registered after `security`, so that a front end may read it. A preflight is answered before,
 * since a browser that is refused one cannot tell the page why.
 */
export const limits = fp<{ config: Config }>(async function limits (app, { config }) {
  if (config.RATE_LIMITS === 'off') {
    app.decorateRequest('limitBy', async () => {})
    return
  }
  await app.register(rateLimit, { global: false, timeWindow: '1 minute' })

  /** What a request is counted by; the plugin asks for it while it counts. */
  const keys = new WeakMap<FastifyRequest, string>()
  const byAddress = {
    everything: limit(config.RATE_LIMIT),
    entry: limit(config.RATE_LIMIT_ENTRY),
    chat: limit(config.RATE_LIMIT_CHAT)
  }
  const byBody = {
    account: limit(config.RATE_LIMIT_LOGIN),
    phone: limit(config.RATE_LIMIT_PHONE)
  }

  app.addHook('onRequest', async request => {
    const { limit, url } = request.routeOptions.config
    if (limit === false) return
    const address = addressOf(request)
    await byAddress.everything(request, address)
    if (limit === 'entry') await byAddress.entry(request, `${address} ${url}`)
    if (limit === 'chat') await byAddress.chat(request, address)
  })

  app.decorateRequest('limitBy', async function limitBy (this: FastifyRequest, what: 'account' | 'phone', key: string) {
    await byBody[what](this, what === 'account' ? `${addressOf(this)} ${digest(key)}` : key)
  })

  function limit (max: number) {
    const count = app.createRateLimit({ max, keyGenerator: request => keys.get(request)! })
    return async function countAndRefuse (request: FastifyRequest, key: string) {
      keys.set(request, key)
      const counted = await count(request)
      if (!counted.isAllowed && counted.isExceeded) throw Object.assign(new TOO_MANY_REQUESTS(), { retryAfter: counted.ttlInSeconds })
    }
  }
})

/** Of IPv6 the network, which is one caller's as a whole; nothing where the caller is gone already. */
function addressOf ({ ip }: FastifyRequest) {
  return normalizeIP(ip ?? '')
}

/** A key is remembered for a minute, and what a stranger sends as one may be as long as a body. */
function digest (key: string) {
  return createHash('sha256').update(key).digest('base64')
}
