import { createHash } from 'node:crypto'
import fp from 'fastify-plugin'
import rateLimit from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import type { Config } from '../config.ts'
import { TOO_MANY_REQUESTS } from '../errors.ts'
import { addressOf } from './address.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Which limit by address applies to this route, in addition to RATE_LIMIT; false: none, not even RATE_LIMIT. */
    limit?: 'entry' | 'chat' | false
  }
  interface FastifyRequest {
    /**
     * Counts by a value in the body: login attempts by account and address, or messages by phone number.
     * @throws TOO_MANY_REQUESTS
     */
    limitBy: (what: 'account' | 'phone', key: string) => Promise<void>
  }
}

/**
 * Limits the requests of each caller per minute. Limits by address are checked before the body is read, so that a refusal
 * costs almost nothing. Registered after `security`, so that front ends of other origins can read the refusal. Preflights
 * are not counted: a browser does not tell the page why one was refused.
 */
export const limits = fp<{ config: Config }>(async function limits (app, { config }) {
  if (config.RATE_LIMITS === 'off') {
    app.decorateRequest('limitBy', async () => {})
    return
  }
  await app.register(rateLimit, { global: false, timeWindow: '1 minute' })

  /** The key that each request is counted by; the plugin asks for it while it counts. */
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

/** Hashes a key. Keys stay in memory for a minute, and an attacker may send keys that are as long as a body. */
function digest (key: string) {
  return createHash('sha256').update(key).digest('base64')
}
