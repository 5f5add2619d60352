import createError from '@fastify/error'

/**
 * Every error by name: its code, which never changes, a sentence that a person can read, its HTTP status.
 * Routes name the ones they answer with (`http/schema.ts`, `answers`), so that the API's documentation is true.
 */
export const INVALID_REQUEST = createError('INVALID_REQUEST', 'Invalid request', 400)
export const INVALID_JSON = createError('INVALID_JSON', 'The body is not valid JSON', 400)
export const INVALID_TEXT = createError('INVALID_TEXT', 'Text must not hold a NUL character or half of a surrogate pair', 400)
export const INVALID_CURSOR = createError('INVALID_CURSOR', 'This cursor is not one that the server gave out', 400)
export const INVALID_PASSWORD = createError<[string]>('INVALID_PASSWORD', '%s', 400)
export const INVALID_PHONE = createError('INVALID_PHONE', 'A phone number has 3 to 15 digits, with an optional +', 400)
export const EMPTY_INPUT = createError('EMPTY_INPUT', 'Phone number and message cannot be empty', 400)
export const MESSAGE_TOO_LONG = createError('MESSAGE_TOO_LONG', 'A message has at most 8,000 characters', 400)
export const MISSING_API_KEY = createError('MISSING_API_KEY', 'Missing API key', 400)
export const MISSING_TOKEN = createError('MISSING_TOKEN', 'Missing token', 400)
export const INVALID_LINK = createError('INVALID_LINK', 'This link is not valid any more, please ask for a new one', 400)
export const PASSWORD_REQUIRED = createError('PASSWORD_REQUIRED', 'This change needs your current password', 400)
export const USERNAME_TAKEN = createError('USERNAME_TAKEN', 'Username already exists', 400)
export const INVALID_CREDENTIALS = createError('INVALID_CREDENTIALS', 'Invalid username or password', 401)
export const UNAUTHORIZED = createError('UNAUTHORIZED', 'Please log in', 401)
export const INVALID_API_KEY = createError('INVALID_API_KEY', 'Invalid API key', 401)
export const INVALID_TOKEN = createError('INVALID_TOKEN', 'Invalid token', 401)
export const CROSS_SITE = createError('CROSS_SITE', 'Requests from this site are not allowed', 403)
export const WRONG_PASSWORD = createError('WRONG_PASSWORD', 'The password is wrong', 403)
export const NOT_FOR_GUESTS = createError('NOT_FOR_GUESTS', 'Please sign up first', 403)
export const NOT_THE_OWNER = createError('NOT_THE_OWNER', 'Only the owner of the conversation may do this', 403)
export const NOT_THE_AUTHOR = createError('NOT_THE_AUTHOR', 'Only its author may change a message', 403)
export const NOT_FOUND = createError('NOT_FOUND', 'Not found', 404)
export const CONVERSATION_NOT_FOUND = createError('CONVERSATION_NOT_FOUND', 'Conversation not found', 404)
export const SESSION_NOT_FOUND = createError('SESSION_NOT_FOUND', 'Session not found', 404)
export const MESSAGE_NOT_FOUND = createError('MESSAGE_NOT_FOUND', 'Message not found', 404)
export const BOT_NOT_FOUND = createError('BOT_NOT_FOUND', 'Bot not found', 404)
export const EMAIL_TAKEN = createError('EMAIL_TAKEN', 'This e-mail address belongs to another account', 409)
export const NOTHING_TO_VERIFY = createError('NOTHING_TO_VERIFY', 'This account has no e-mail address that waits to be verified', 409)
export const IDEMPOTENCY_MISMATCH = createError('IDEMPOTENCY_MISMATCH', 'This client id was used for another message', 409)
export const BODY_TOO_LARGE = createError('BODY_TOO_LARGE', 'The body is larger than 64 KiB', 413)
export const UNSUPPORTED_MEDIA_TYPE = createError('UNSUPPORTED_MEDIA_TYPE', 'Content-Type must be application/json', 415)
export const TOO_MANY_REQUESTS = createError('TOO_MANY_REQUESTS', 'Too many requests, please wait a little', 429)
export const INTERNAL = createError('INTERNAL', 'Something went wrong on our side', 500)
export const UNAVAILABLE = createError('UNAVAILABLE', 'The service is not available right now, please try again', 503)

/** What stops the process from starting; its sentence says what to do. Never sent to a client. */
export const CANNOT_START = createError<[string, { cause: unknown }?]>('CANNOT_START', '%s', 500)
