import { retryAfterMs } from '../text/retry-after.ts'
import { failure, type FailureCode } from './bot.ts'

type Failure = ReturnType<typeof failure>

/** A temporary failure: a retry may succeed, after `retryAfter` milliseconds if the provider said so. */
export type PassingFailure = Failure & { retryAfter: number | undefined }

export const isFailure = (error: unknown): error is Failure => error instanceof Error && 'failure' in error
export const mayPass = (error: unknown): error is PassingFailure => isFailure(error) && 'retryAfter' in error

/** The failure of a request that got no response. */
export function unreachable (error: unknown): PassingFailure {
  return passing('BOT_UNREACHABLE', error)
}

/** The failure that a response's status stands for. @see RFC 9110, section 15 */
export function refusal (status: number, headers: Pick<Headers, 'get'>, cause: unknown): Failure {
  if (status === 429) return passing('BOT_OVERLOADED', cause, retryAfterMs(headers))
  if (status === 408 || (status >= 500 && status !== 501)) return passing('BOT_UNREACHABLE', cause, retryAfterMs(headers))
  return failure('BOT_REFUSED', cause)
}

function passing (code: FailureCode, cause: unknown, retryAfter?: number): PassingFailure {
  return Object.assign(failure(code, cause), { retryAfter })
}
