import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible'
import { TOO_MANY_REQUESTS } from '../errors.ts'

/**
 * Counts what is not an HTTP request of a route, such as a socket's events: at most `most` for each key, such as a user or
 * an address, within `seconds` after the first one.
 */
export function createLimiter (most: number, seconds: number) {
  const limiter = new RateLimiterMemory({ points: most, duration: seconds })

  return {
    /** Counts one more. @throws TOO_MANY_REQUESTS, with `retryAfter` in seconds */
    async count (key: string | number): Promise<void> {
      await limiter.consume(key).catch(refuse)
    },

    /** Counts nothing, and refuses when `most` were counted already. @throws as `count` */
    async check (key: string | number): Promise<void> {
      const counted = await limiter.get(key)
      if (counted !== null && counted.consumedPoints >= most) refuse(counted)
    }
  }
}

/** Throws TOO_MANY_REQUESTS. The limiter rejects with its counts, and never with an error, because it works in memory. */
function refuse ({ msBeforeNext }: RateLimiterRes): never {
  throw Object.assign(new TOO_MANY_REQUESTS(), { retryAfter: Math.ceil(msBeforeNext / 1_000) })
}
