/**
 * Why a bot could not reply, by a code that clients see as `failure` of a message. The sentence is the code's
 * documentation; the web page has its own in `web/src/words.ts`, and docs/bots.md explains each to operators.
 */
export const FAILURES = {
  BOT_UNREACHABLE: 'The bot\'s provider did not answer, or answered with a server error.',
  BOT_OVERLOADED: 'The bot\'s provider refused for now because it is overloaded, or it failed several times in a row.',
  BOT_REFUSED: 'The bot\'s provider refused the request.',
  BOT_SILENT: 'The bot\'s provider took too long.',
  BOT_BROKE_OFF: 'The reply broke off before it was complete.',
  BOT_NONSENSE: 'The bot\'s provider sent no text, or nothing that can be read.',
  BOT_NOT_CONFIGURED: 'The bot is not set up.',
  BOT_CONTEXT_FULL: 'The message alone is too long for the bot\'s model.',
  MESSAGE_REFUSED: 'The provider\'s content filter refused the message. Later replies are written without it.'
} as const

export type FailureCode = keyof typeof FAILURES

export const FAILURE_CODES = Object.keys(FAILURES) as FailureCode[]

/**
 * Stored as the failure of a message, of any status, that a content filter refused later, in the history of another reply.
 * Clients see it as `MESSAGE_REFUSED`.
 */
export const LEFT_OUT = 'LEFT_OUT'

/** The code for failures that have none of their own: an error that no engine expected, or a code of an older version. */
export const UNKNOWN_FAILURE: FailureCode = 'BOT_BROKE_OFF'

/** Returns a known code for any value, so that clients see only codes of this list. */
export function failureCodeOf (code: unknown): FailureCode {
  return FAILURE_CODES.find(known => known === code) ?? UNKNOWN_FAILURE
}
