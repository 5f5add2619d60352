import { createRequire } from 'node:module'
import { subscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { context, diag, DiagLogLevel } from '@opentelemetry/api'
import { getRPCMetadata } from '@opentelemetry/core'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { NodeSDK } from '@opentelemetry/sdk-node'
import type { FastifyBaseLogger } from 'fastify'

/** How long sending the remaining spans may take while the server closes, in milliseconds. */
const SHUTDOWN_TIMEOUT_MS = 2_000

/** How often at most the log says that traces cannot be sent, in milliseconds. The SDK tries it every few seconds. */
const LOG_INTERVAL_MS = 60_000

/**
 * Starts tracing: spans for requests, queries and calls of providers. Returns a function that stops it. The SDK reads the
 * standard `OTEL_*` variables from the environment itself. Spans contain no messages and no values of queries. Of our own URLs
 * they do not contain the query string, which may have a token, and of providers' URLs only the host.
 * @see https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
export function startTracing (log: Pick<FastifyBaseLogger, 'warn'>): () => Promise<void> {
  tellErrors(log)
  const sdk = new NodeSDK({
    resource: resourceFromAttributes({ 'service.name': 'parley' }), // unless the environment says otherwise
    metricReaders: [], // Prometheus reads /metrics
    logRecordProcessors: [],
    instrumentations: [
      new HttpInstrumentation({
        ignoreIncomingRequestHook: ({ url }) => /^\/(health|metrics|socket\.io)\b/.test(url!),
        startIncomingSpanHook: () => ({ 'url.query': undefined })
      }),
      new PgInstrumentation({ requireParentSpan: true }), // otherwise each poll would be a trace of its own
      new UndiciInstrumentation({
        startSpanHook: ({ origin }) => ({ 'url.full': String(origin), 'url.path': undefined, 'url.query': undefined }) as never
      })
    ]
  })
  sdk.start()
  patch()
  subscribe('tracing:fastify.request.handler:start', nameByRoute)
  return async () => { await Promise.race([sdk.shutdown().catch(() => { /* the collector cannot be reached, and the server closes */ }), sleep(SHUTDOWN_TIMEOUT_MS, undefined, { ref: false })]) }
}

/** Logs the errors of the SDK, which are almost always those of sending. It gives them as text. */
function tellErrors (log: Pick<FastifyBaseLogger, 'warn'>) {
  let told = -Infinity
  function tell (reason: string) {
    if (performance.now() - told < LOG_INTERVAL_MS) return
    told = performance.now()
    log.warn({ reason }, 'Traces cannot be sent, and are dropped')
  }
  // At this level the SDK calls only `error`.
  diag.setLogger({ error: tell, warn: tell, info: tell, debug: tell, verbose: tell }, DiagLogLevel.ERROR)
}

/**
 * Loads the modules to instrument with `require`, because that is when OpenTelemetry patches them. It patches them in place, and
 * our ES modules import the same objects, so no loader hook is needed.
 */
function patch () {
  const ask = createRequire(import.meta.url)
  ask('node:http')
  ask('pg')
  createRequire(ask.resolve('pg'))('pg-pool')
}

/** Names a request's span by the pattern of its route, as in the metrics. */
function nameByRoute (message: unknown) {
  const metadata = getRPCMetadata(context.active())
  if (metadata !== undefined) metadata.route = (message as { route: { url: string } }).route.url
}
