import { Type, type Static, type TSchema } from 'typebox'
import type { FastifyErrorConstructor } from '@fastify/error'
import * as errors from '../errors.ts'

/**
 * Schemas that all domains share. Every string in a request has a maximum length. A string with a `pattern` has the rule in
 * words in `x-rule`, as the rest of a sentence. Patterns are written as regular expressions, so that the linter finds those
 * that would take more than linear time.
 */

export const Id = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })

/** A position in a conversation's log: the number of its last change; 0 is the beginning. */
export const Rev = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** A Date in the process, an ISO string on the wire. */
export const Timestamp = Type.Unsafe<Date>(Type.String({ format: 'date-time' }))

export const Nullable = <T extends TSchema & { type: string }>(schema: T) =>
  Type.Unsafe<Static<T> | null>({ ...schema, type: [schema.type, 'null'] })

/** A text that is trimmed before it is measured, in code points. */
export const Text = (maxLength: number, minLength = 1) => Type.String({ minLength, maxLength, 'x-trimmed': true })

/** The client's own id for what it stores (a message, a conversation), so that what is sent twice is stored once. */
export const ClientId = Type.String({
  title: 'ClientId', minLength: 1, maxLength: 255, pattern: /^[\x20-\x7e]*$/.source, 'x-rule': 'may contain only printable ASCII characters'
})

export const ClientIdHeader = Type.Object({ 'idempotency-key': Type.Optional(ClientId) })

/** A JSON object of the client's own. The server keeps it, gives it back and never looks into it. */
export const Metadata = Type.Unsafe<Record<string, unknown>>({
  title: 'Metadata', type: 'object', additionalProperties: true, 'x-max-bytes': 4096, 'x-rule': 'may have at most 4 KiB as JSON, and 100 levels'
})

/** An object that is not checked any further. */
export const AnyObject = Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })

export const PageQuery = Type.Object({
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
  cursor: Type.Optional(Type.String({ maxLength: 200, description: 'From the Link header of the page before' }))
})

export const MessageOnlySchema = Type.Object({ message: Type.String() }, { title: 'MessageOnly' })

/**
 * Whether the answer is to be a stream: `Accept` names `text/event-stream`, and not with a quality of 0, which refuses it.
 * @see RFC 9110, 12.4.2 and 12.5.1
 */
export function wantsStream ({ accept = '' }: { accept?: string }): boolean {
  return accept.split(',').some(range => {
    const [type, ...parameters] = range.split(';').map(part => part.trim().toLowerCase())
    return type === 'text/event-stream' && !parameters.some(parameter => /^q\s*=\s*0(\.0*)?$/.test(parameter))
  })
}

/** The `content` of a response that is not JSON. */
export const PLAIN_TEXT = { 'text/plain': { schema: { type: 'string' } } }

export const PlainText = Type.Unsafe<string>({ description: 'Plain text', content: PLAIN_TEXT })

export const ErrorSchema = Type.Object({
  statusCode: Type.Integer(),
  code: Type.String({ description: 'The name of the error, which never changes' }),
  error: Type.String({ description: 'A sentence that a person can read' }),
  details: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() })))
}, { title: 'Error' })
export type ErrorBody = Static<typeof ErrorSchema>

/** The body of an error for clients that show it unchanged: only the sentence, as plain text. */
export const ErrorText = Type.Unsafe<string>({ content: PLAIN_TEXT })

/** For the documentation: a route that is for users who are logged in. */
export const LOGGED_IN: Array<Record<string, string[]>> = [{ cookie: [] }, { bearer: [] }]

type ErrorClass = FastifyErrorConstructor
export type Responses = Record<number, TSchema & { description?: string }>

/**
 * Documents the responses of a route: the successful ones, and one for each status of its errors. Adds the errors that every
 * route may return: INVALID_REQUEST, TOO_MANY_REQUESTS, INTERNAL, UNAVAILABLE and SERVER_BUSY.
 */
export function answers<R extends Record<number, TSchema>> (responses: R, failures: ErrorClass[] = [], schema: TSchema = ErrorSchema): R {
  return { ...refuse({}, [errors.INVALID_REQUEST, ...failures, errors.TOO_MANY_REQUESTS, errors.INTERNAL, errors.UNAVAILABLE, errors.SERVER_BUSY], schema), ...responses }
}

/** Adds errors to documented responses, except those whose code is documented already. */
export function refuse (responses: Responses, failures: ErrorClass[], schema: TSchema = ErrorSchema): Responses {
  const byStatus = { ...responses }
  for (const Failure of failures) {
    const { statusCode, code, message } = new Failure()
    const sentence = `${code}: ${message.replace('%s', 'the rule that was broken')}`
    const known = byStatus[statusCode!]?.description
    if (known?.split('; ').some(one => one.startsWith(`${code}: `))) continue
    byStatus[statusCode!] = { ...schema, description: known === undefined ? sentence : `${known}; ${sentence}` }
  }
  return byStatus
}

/** Whether a text is an existing day, such as 2026-11-21, in the years that Postgres can store. */
export function isDay (text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d$/.test(text) || text < '0001') return false
  const time = Date.parse(text)
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)
}
