import { BODY_TOO_LARGE, MESSAGE_BODY_TOO_LARGE, LARGEST_BODY_TOO_LARGE } from '../errors.ts'

const KIB = 1024

/** How large a body may be, in bytes. */
export const BODY_LIMIT = 64 * KIB

/** For bodies with a message: 100,000 code points, each escaped as `\ud83d\ude00`, take 1.2 MB. */
export const MESSAGE_BODY_LIMIT = 1.5 * KIB * KIB

/** For bodies with the whole history of a chat, which some clients send with each message. */
export const HISTORY_BODY_LIMIT = 4 * KIB * KIB

/** For webhooks from Meta. */
export const WEBHOOK_BODY_LIMIT = 4 * KIB * KIB

/** The error of a route whose body was larger than its limit. */
export function tooLarge (limit: number | undefined) {
  if (limit === WEBHOOK_BODY_LIMIT || limit === HISTORY_BODY_LIMIT) return LARGEST_BODY_TOO_LARGE
  return limit === MESSAGE_BODY_LIMIT ? MESSAGE_BODY_TOO_LARGE : BODY_TOO_LARGE
}
