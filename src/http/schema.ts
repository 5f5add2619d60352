import { Type, type Static, type TSchema } from 'typebox'
import type { FastifyErrorConstructor } from '@fastify/error'
import * as errors from '../errors.js'

/** The pieces that the schemas of all domains are made of. */

export const Id = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })

/** A count of changes: where a reader is in a conversation's log; 0 is its beginning. */
export const Rev = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** A Date in the process, an ISO string on the wire. */
export const Timestamp = Type.Unsafe<Date>(Type.String({ format: 'date-time' }))

export const Nullable = <T extends TSchema & { type: string }>(schema: T) =>
  Type.Unsafe<Static<T> | null>({ ...schema, type: [schema.type, 'null'] })

/** A text that is trimmed before it is measured, in code points. */
export const Text = (maxLength: number, minLength = 1) => Type.String({ minLength, maxLength, 'x-trimmed': true })

/** What a client calls its own message, so that sending it twice stores it once. */
export const ClientId = Type.String({ pattern: '^[\\x20-\\x7e]{1,255}$' })

export const ClientIdHeader = Type.Object({ 'idempotency-key': Type.Optional(ClientId) })

export const PageQuery = Type.Object({
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
  cursor: Type.Optional(Type.String({ maxLength: 200, description: 'From the Link header of the page before' }))
})

export const MessageOnlySchema = Type.Object({ message: Type.String() })

export const ErrorSchema = Type.Object({
  statusCode: Type.Integer(),
  code: Type.String({ description: 'The name of the error, which never changes' }),
  error: Type.String({ description: 'A sentence that a person can read' }),
  details: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() })))
})
export type ErrorBody = Static<typeof ErrorSchema>

/** For the documentation: a route that is for users who are logged in. */
export const LOGGED_IN: Array<Record<string, string[]>> = [{ cookie: [] }, { bearer: [] }]

type ErrorClass = FastifyErrorConstructor
export type Responses = Record<number, TSchema & { description?: string }>

/**
 * A route's answers: those that succeed, and a response for each status that its errors have. Every route may answer
 * that the request is invalid, that there were too many, that something broke, that the database is away, or that the server is too busy.
 */
export function answers<R extends Record<number, TSchema>> (responses: R, failures: ErrorClass[] = [], schema: TSchema = ErrorSchema): R {
  return { ...refuse({}, [errors.INVALID_REQUEST, ...failures, errors.TOO_MANY_REQUESTS, errors.INTERNAL, errors.UNAVAILABLE, errors.SERVER_BUSY], schema), ...responses }
}

/** Adds to documented responses the errors that are not among them yet, in the same words or in others. */
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
