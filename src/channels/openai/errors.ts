import { Type, type Static } from 'typebox'
import type { Dialect } from '../../http/error-handler.ts'
import { Nullable, type ErrorBody } from '../../http/schema.ts'

/** Errors in the format of OpenAI's API, with our own status and code beside it. */
export const OpenAiErrorSchema = Type.Object({
  statusCode: Type.Integer(),
  code: Type.String(),
  error: Type.Object({ message: Type.String(), type: Type.String(), param: Nullable(Type.String()), code: Type.String() }),
  details: Type.Optional(Type.Array(Type.Unsafe<NonNullable<ErrorBody['details']>[number]>({})))
}, { title: 'V1Error' })
export type OpenAiError = Static<typeof OpenAiErrorSchema>

/** OpenAI's codes for errors that its API has, too. Clients check some of them. */
const CODES: Record<string, string> = {
  UNAUTHORIZED: 'invalid_api_key',
  BOT_NOT_FOUND: 'model_not_found',
  BUDGET_SPENT: 'insufficient_quota',
  BOT_CONTEXT_FULL: 'context_length_exceeded',
  MESSAGE_REFUSED: 'content_filter',
  TOO_MANY_REQUESTS: 'rate_limit_exceeded',
  TOO_MANY_REPLIES: 'rate_limit_exceeded'
}

const TYPES: Record<number, string> = { 401: 'authentication_error', 403: 'permission_error', 429: 'rate_limit_error' }

export const inOpenAiWords = (({ statusCode, code, error, details }): OpenAiError => ({
  statusCode,
  code,
  error: {
    message: error,
    type: code === 'BUDGET_SPENT' ? 'insufficient_quota' : TYPES[statusCode] ?? (statusCode < 500 ? 'invalid_request_error' : 'server_error'),
    param: details?.[0]?.path || null,
    code: CODES[code] ?? code
  },
  ...details && { details }
})) satisfies Dialect
