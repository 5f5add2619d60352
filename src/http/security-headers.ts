import assert from 'node:assert'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import helmet from 'helmet'

/**
 * The headers that tell browsers to be careful with a response: nothing may be loaded by it or frame it. They are the same
 * for all responses, so they are made once. Routes that serve pages replace the content security policy by their own.
 */
export const SECURITY_HEADERS = headersOf(helmet({
  contentSecurityPolicy: { directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] }, useDefaults: false },
  crossOriginResourcePolicy: { policy: 'cross-origin' },
  xFrameOptions: { action: 'deny' }
}))

/** What a middleware adds to the headers of a response. */
function headersOf (middleware: ReturnType<typeof helmet>): Record<string, string> {
  const response = new ServerResponse(new IncomingMessage(new Socket()))
  middleware(response.req, response, assert.ifError)
  return Object.fromEntries(Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]))
}
