import { createRequire } from 'node:module'
import { subscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { context } from '@opentelemetry/api'
import { getRPCMetadata } from '@opentelemetry/core'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { NodeSDK } from '@opentelemetry/sdk-node'

/** How long what is left may take to be sent while the server closes, in milliseconds. */
const SHUTDOWN_TIMEOUT_MS = 2_000

/**
 * Traces of requests, from the door to the database and to the providers, until the function that it gives is called.
 * The SDK reads the standard `OTEL_*` variables from the environment by itself. Spans hold no text and no parameter: of
 * an address neither the query, where tokens are, nor of other people's anything but the host.
 * @see https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
export function startTracing (): () => Promise<void> {
  const sdk = new NodeSDK({
    resource: resourceFromAttributes({ 'service.name': 'parley' }), // unless the environment says otherwise
    metricReaders: [], // Prometheus reads /metrics
    logRecordProcessors: [],
    instrumentations: [
      new HttpInstrumentation({
        ignoreIncomingRequestHook: ({ url }) => /^\/(health|metrics|socket\.io)\b/.test(url!),
        startIncomingSpanHook: () => ({ 'url.query': undefined })
      }),
      new PgInstrumentation({ requireParentSpan: true }), // or all that looks for work now and then would be a trace
      new UndiciInstrumentation({
        startSpanHook: ({ origin }) => ({ 'url.full': String(origin), 'url.path': undefined, 'url.query': undefined }) as never
      })
    ]
  })
  sdk.start()
  patch()
  subscribe('tracing:fastify.request.handler:start', nameByRoute)
  return async () => { await Promise.race([sdk.shutdown().catch(() => { /* nobody is there to take it */ }), sleep(SHUTDOWN_TIMEOUT_MS, undefined, { ref: false })]) }
}

/**
 * Modules are patched when CommonJS asks for them. These are shared with the modules that imported them, and patched in place, so
 * that it is enough to ask once, and no hook into the loader is needed.
 */
function patch () {
  const ask = createRequire(import.meta.url)
  ask('node:http')
  ask('pg')
  createRequire(ask.resolve('pg'))('pg-pool')
}

/** A request is called by its route's pattern, as in the metrics. */
function nameByRoute (message: unknown) {
  const metadata = getRPCMetadata(context.active())
  if (metadata !== undefined) metadata.route = (message as { route: { url: string } }).route.url
}
