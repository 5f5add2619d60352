import { failure, type FailureCode } from './bot.ts'

type Failure = ReturnType<typeof failure>

/** A failure that may pass: asking again is worth it, after `retryAfter` milliseconds where the provider says so. */
export type PassingFailure = Failure & { retryAfter: number | undefined }

export const isFailure = (error: unknown): error is Failure => error instanceof Error && 'failure' in error
export const mayPass = (error: unknown): error is PassingFailure => isFailure(error) && 'retryAfter' in error

/** Nobody answered at all. What forbade the connection tells so itself. */
export function unreachable (error: unknown): Failure {
  return isFailure(error) ? error : passing('BOT_UNREACHABLE', error)
}

/** What an answer's status says, when it is no success. @see RFC 9110, section 15 */
export function refusal (status: number, headers: Pick<Headers, 'get'>, cause: unknown): Failure {
  if (status === 429) return passing('BOT_OVERLOADED', cause, retryAfter(headers))
  if (status >= 500 && status !== 501) return passing('BOT_UNREACHABLE', cause, retryAfter(headers))
  return failure('BOT_REFUSED', cause)
}

function passing (code: FailureCode, cause: unknown, retryAfter?: number): PassingFailure {
  return Object.assign(failure(code, cause), { retryAfter })
}

/** In seconds or as a date. @see RFC 9110, section 10.2.3 */
function retryAfter (headers: Pick<Headers, 'get'>) {
  const value = headers.get('retry-after')
  if (value === null) return undefined
  const after = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isNaN(after) ? undefined : Math.max(0, after)
}
