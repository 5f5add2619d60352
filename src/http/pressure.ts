import fp from 'fastify-plugin'
import underPressure from '@fastify/under-pressure'
import type { FastifyRequest } from 'fastify'
import type { Config } from '../config.ts'
import { SERVER_BUSY } from '../errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** false: requests to this route are accepted even when the server is overloaded. */
    pressure?: false
  }
}

const MIB = 1024 * 1024

/** How often at most the log says that requests are refused, in milliseconds. */
const LOG_INTERVAL_MS = 10_000

/**
 * Refuses requests while the process is overloaded, so that requests that it has accepted do not fail. The load is measured once a
 * second. Registered after `security`, so that front ends of other origins can read the error.
 */
export const pressure = fp<{ config: Config }>(async function pressure (app, { config }) {
  let told = -Infinity

  await app.register(underPressure, {
    maxEventLoopDelay: config.MAX_EVENT_LOOP_DELAY * 1000,
    maxHeapUsedBytes: config.MAX_HEAP * MIB,
    maxRssBytes: config.MAX_MEMORY * MIB,
    async pressureHandler ({ routeOptions }: FastifyRequest, _reply, limit, value) {
      if (routeOptions.config.pressure === false) return
      if (performance.now() - told > LOG_INTERVAL_MS) {
        app.log.warn({ limit, value }, 'The server is overloaded and refuses requests')
        told = performance.now()
      }
      throw new SERVER_BUSY()
    }
  })
})
