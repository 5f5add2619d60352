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
  if (status === 429) return passing('BOT_OVERLOADED', cause, retryAfter(headers))
  if (status === 408 || (status >= 500 && status !== 501)) return passing('BOT_UNREACHABLE', cause, retryAfter(headers))
  return failure('BOT_REFUSED', cause)
}

function passing (code: FailureCode, cause: unknown, retryAfter?: number): PassingFailure {
  return Object.assign(failure(code, cause), { retryAfter })
}

/**
 * Reads how long to wait, in milliseconds: `Retry-After`, which is in seconds or a date, or a header of Azure and OpenAI that is
 * more exact. Some servers send fractions of seconds, or a unit. A header that a gateway has sent again counts once.
 * @see RFC 9110, section 10.2.3
 */
function retryAfter (headers: Pick<Headers, 'get'>) {
  const exact = Number.parseFloat(headers.get('retry-after-ms') ?? headers.get('x-ms-retry-after-ms') ?? '')
  if (exact >= 0) return exact
  const value = headers.get('retry-after')
  if (value === null) return undefined
  const seconds = /^(\d+(?:\.\d*)?) ?s?(?:,|$)/.exec(value)?.[1]
  const after = seconds === undefined ? Date.parse(value) - Date.now() : Number(seconds) * 1000
  return Number.isNaN(after) ? undefined : Math.max(0, after)
}
