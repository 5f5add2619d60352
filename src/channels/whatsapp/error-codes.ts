/**
 * What an error is about. `message`: this message alone, which then fails. `passing`: a temporary problem, after which it
 * is tried again. `account`: our account, which can send nothing until somebody fixes the problem.
 */
export type Trouble = 'message' | 'passing' | 'account'

export interface ErrorReport {
  /** Meta's code; null if the response has none. */
  code: number | null
  /** Meta's subcode of the Graph API, for the few codes that need one. */
  subcode?: number | null
  /** Meta's field that says that trying again helps. */
  isTransient?: boolean
  /** The HTTP status of a response; left out for a status webhook. */
  status?: number
}

/**
 * Meta's error codes by what they are about. Meta asks developers to rely on the code, not on the HTTP status or the title.
 * @see https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes
 * @see https://developers.facebook.com/docs/graph-api/overview/rate-limiting for 613 and 80008
 * @see https://developers.facebook.com/docs/graph-api/reference/whats-app-business-account/ for 104
 * @see https://developers.facebook.com/docs/graph-api/guides/error-handling for 1, 2, 4, 17, 102, 341, 506 and `is_transient`
 */
const CODES: Record<Trouble, number[]> = {
  account: [
    0, // AuthException: the token has expired or was withdrawn
    3, // API Method: capability or permissions issue
    10, // Permission Denied
    33, // Parameter value is not valid: the business phone number was deleted
    102, // API Session: the token has expired
    104, // Incorrect signature
    190, // Access token has expired
    368, // Temporarily blocked for policies violations
    131005, // Access denied
    131031, // Account has been locked
    131037, // The display name of our number is not approved
    131042, // Business eligibility payment issue
    131044, // The same, of calls
    131045, // Incorrect certificate: the number is not registered as it should be
    133000, // Incomplete deregistration
    133005, // Two-step verification PIN mismatch
    133006, // Phone number re-verification needed
    133010 // Phone number not registered
  ],
  passing: [
    1, // API Unknown: possibly a server error
    2, // API Service: down or overloaded
    4, // API Too Many Calls, of the app
    17, // API User Too Many Calls
    341, // Application limit reached
    613, // Calls to this API have exceeded the rate limit
    80007, // Rate limit issues, of the account
    80008, // Too many calls to this WhatsApp Business account
    130429, // Rate limit hit, of the number
    131000, // Something went wrong
    131016, // Service unavailable
    131048, // Spam rate limit hit
    131056, // Pair rate limit hit, of one contact
    131057, // Account in maintenance mode, as when Meta upgrades it
    131064, // Messaging limit reached
    133004, // Server temporarily unavailable
    133008, // Too many two-step verification PIN guesses
    133009, // Two-step verification PIN guessed too fast
    133015, // Please wait a few minutes before registering
    133016 // Account register and deregister rate limit exceeded
  ],
  message: [
    100, // Invalid parameter
    506, // Duplicate post
    130403, // The recipient is blocked
    130472, // The recipient's number is part of an experiment
    130497, // Our account is restricted from messaging this recipient's country
    131008, // Required parameter is missing
    131009, // Parameter value is not valid
    131021, // Recipient cannot be sender
    131026, // Message undeliverable
    131030, // Recipient is not in the allowed list of a test number
    131047, // Re-engagement message: the 24 hours are over
    131049, // Not delivered, to maintain healthy ecosystem engagement
    131050, // The recipient has stopped marketing messages
    131051, // Unsupported message type
    131052, // Media download error
    131053, // Media upload error
    131062, // A user id cannot get this kind of message
    131063, // Marketing templates are disabled
    132000, // Number of template variables does not match
    132001, // Template does not exist in this language, or is not approved
    132005, // Template text is too long
    132007, // Template violates a policy
    132008, // Template variable has the wrong format
    132012, // Template variable has the wrong format
    132015, // Template is paused
    132016, // Template is disabled
    132068, // Flow is blocked
    132069, // Flow is throttled
    135000, // Generic user error, of the parameters
    137000 // The recipient's identity key does not match
  ]
}

const KNOWN = new Map((Object.entries(CODES) as Array<[Trouble, number[]]>).flatMap(([trouble, codes]) => codes.map(code => [code, trouble] as const)))

/** Subcode of code 100: the phone number id does not exist, or our token may not use it. */
const NO_SUCH_OBJECT = 33

/** HTTP statuses, for responses without a code or with an unknown one. */
const STATUSES = new Map<number, Trouble>([
  [401, 'account'], [402, 'account'], [403, 'account'], [404, 'account'], [405, 'account'], [407, 'account'],
  [408, 'passing'], [425, 'passing'], [429, 'passing']
])

/**
 * Decides what an error is about: by its code, then by `is_transient`, then by the HTTP status. Anything else concerns the
 * message. A code of the group `message` still counts as `passing` if Meta says `is_transient`.
 */
export function troubleOf ({ code, subcode, isTransient = false, status = 400 }: ErrorReport): Trouble {
  if (code === 100 && subcode === NO_SUCH_OBJECT) return 'account'
  const known = code === null ? undefined : isPermission(code) ? 'account' : KNOWN.get(code)
  if (known !== undefined && known !== 'message') return known
  if (isTransient) return 'passing'
  return known ?? (status >= 500 ? 'passing' : STATUSES.get(status) ?? 'message')
}

/** Codes 200 to 299: API Permission. */
function isPermission (code: number) {
  return code >= 200 && code < 300
}
