import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Static, TSchema } from 'typebox'
import type { AnySchemaObject } from 'ajv'
import { COMPRESSED_BODY, INVALID_JSON, INVALID_REQUEST, INVALID_TEXT, UNSUPPORTED_MEDIA_TYPE } from '../errors.ts'
import { isCrowded, MAX_CONTAINERS } from '../text/json-scanner.ts'
import { isStorable } from '../text/text.ts'
import { invalidRequest } from './faults.ts'
import { createValidation } from './validation.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Makes a function that checks a value from another source than a request's body, by the same rules. It returns a copy that
     * contains only what the schema names. @throws INVALID_REQUEST, INVALID_TEXT, INVALID_JSON
     */
    checkOf: <T extends TSchema>(schema: T) => (value: unknown) => Static<T>
    /**
     * Creates a parser of JSON bodies for one scope. `pick` gets the parsed body and its size in bytes. It returns the body to
     * use, which may be a part of it so that nothing has to read through the rest, or an error.
     */
    createJsonParser: (pick?: (body: unknown, bytes: number) => unknown) => (request: FastifyRequest, bytes: Buffer, done: (error: Error | null, body?: unknown) => void) => void
  }
}

/**
 * Accepts request bodies: JSON in UTF-8, not compressed. An empty body counts as no body, whatever its content type, because HTTP
 * clients label an empty POST as a form. Types are strict in bodies; in URLs and headers, text is converted. A handler gets only
 * the fields that its schema names, and no body if it has no schema for one.
 */
export function acceptBodies (app: FastifyInstance) {
  const parseJson = app.getDefaultJsonParser('error', 'error')
  const utf8 = new TextDecoder('utf-8', { fatal: true })

  app.decorate('createJsonParser', (pick = body => body) => function parse (request, bytes, done) {
    if (bytes.length === 0) return done(null, undefined)
    if (isCrowded(bytes)) return done(Object.assign(new INVALID_REQUEST(), { message: `The body may have at most ${MAX_CONTAINERS.toLocaleString('en-US')} objects and lists` }))
    let text: string
    try {
      text = utf8.decode(bytes)
    } catch {
      return done(new INVALID_JSON())
    }
    parseJson(request, text, (error, body) => {
      const picked = error ?? pick(body, bytes.length)
      if (picked instanceof Error) done(picked)
      else done(null, picked)
    })
  })

  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, app.createJsonParser())
  app.addContentTypeParser('*', async ({ headers }: FastifyRequest, payload: IncomingMessage) => {
    if (headers['content-length'] !== undefined || !await isEmpty(payload)) throw new UNSUPPORTED_MEDIA_TYPE()
  })

  app.addHook('preParsing', async ({ method, headers }, reply) => {
    if (method === 'GET' || method === 'HEAD') return // nobody reads their bodies
    // Fastify refuses an unknown type with 415 before it looks whether there is a body. Without a type, the parser above decides.
    if (headers['content-length'] === '0' || !IS_JSON.test(headers['content-type'] ?? '')) delete headers['content-type']
    if (headers['content-length'] === '0') return
    const encoding = headers['content-encoding']?.trim().toLowerCase() ?? ''
    if (encoding === '' || encoding === 'identity') return
    reply.header('accept-encoding', 'identity')
    throw new COMPRESSED_BODY()
  })

  // Fastify would close the connection after it has refused a body. A client that sends its whole body before it reads would then see a
  // broken connection in place of the error. The rest is read and ignored, which REQUEST_TIMEOUT limits.
  app.addHook('onSend', async ({ raw }, reply) => {
    if (raw.complete) return
    reply.removeHeader('connection')
    raw.unpipe().resume()
  })

  app.addHook('preValidation', async request => {
    if (Buffer.isBuffer(request.body)) return // WhatsApp's webhook reads the bytes themselves
    refuseUnsafe(request.body)
    if (request.routeOptions.schema?.body === undefined) request.body = undefined
  })

  const compile = createValidation()
  app.decorate('checkOf', schema => {
    const check = compile(schema)
    return function checkOrThrow (value) {
      refuseUnsafe(value)
      const result = check(value, 'data')
      if ('error' in result) throw result.error
      return result.value as Static<typeof schema>
    }
  })

  const PLACES: Record<string, string> = { body: 'body', querystring: 'query', params: 'path', headers: 'headers' }
  app.setValidatorCompiler<AnySchemaObject>(({ schema, httpPart }) => {
    const check = compile(schema)
    const place = PLACES[httpPart!]!
    if (httpPart === 'body') return body => check(body, place)
    return part => {
      readIntegers(part, schema)
      const result = check(part, place)
      // Keep all headers: handlers need more of them than the schema names.
      return httpPart === 'headers' && 'value' in result ? true : result
    }
  })
}

const IS_JSON = /^application\/json\s*(?:;|$)/i

/** Whether a body without a `Content-Length` is empty. @throws INVALID_REQUEST when the client disconnects */
async function isEmpty (payload: IncomingMessage): Promise<boolean> {
  try {
    const chunks = payload.iterator({ destroyOnReturn: false })
    const { done } = await chunks.next()
    await chunks.return!() // removes its listener, which would keep others from reading the rest
    return done === true
  } catch (error) {
    throw Object.assign(new INVALID_REQUEST(), { cause: error })
  }
}

/** Converts text to integers where the schema has them. Only plain decimal digits are converted: `1e0`, `0x1` and ` 1` stay text. */
function readIntegers (part: Record<string, unknown>, { properties = {} }: AnySchemaObject) {
  for (const [name, { type }] of Object.entries<AnySchemaObject>(properties)) {
    const text = part[name]
    if (type === 'integer' && typeof text === 'string' && /^-?\d+$/.test(text)) part[name] = Number(text)
  }
}

/**
 * Refuses a parsed JSON value that holds text which Postgres cannot store (a NUL character, a lone surrogate), a key
 * that could change an object's prototype, or a number such as 1e999, which would be stored as null. A loop instead of
 * recursion, so that deep nesting cannot overflow the stack.
 * @throws INVALID_TEXT, INVALID_JSON, INVALID_REQUEST
 */
function refuseUnsafe (body: unknown) {
  const left = [body]
  while (left.length > 0) {
    const value = left.pop()
    if (typeof value === 'string' && !isStorable(value)) throw new INVALID_TEXT()
    if (value === Infinity || value === -Infinity) throw invalidRequest([{ path: '', message: 'has a number that is too large' }])
    if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) continue
    if (Array.isArray(value)) {
      for (const inner of value) left.push(inner) // `Object.keys` would take ten times as long
      continue
    }
    if (Object.hasOwn(value, '__proto__')) throw new INVALID_JSON()
    for (const name of Object.keys(value)) {
      if (!isStorable(name)) throw new INVALID_TEXT()
      left.push((value as Record<string, unknown>)[name])
    }
  }
}
