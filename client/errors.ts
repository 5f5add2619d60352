/** The body of a refused request. */
interface ErrorBody { code: string, error: string, details?: Fault[] }

/** A problem with one field of a request, to show beside the field of a form. */
export interface Fault { path: string, message: string }

/**
 * Why a call failed. `message` is a sentence for people. `code` never changes: it is the server's, or `UNREACHABLE` if no
 * answer of the server arrived. The documentation of each route lists its codes.
 */
export class ParleyError extends Error {
  override readonly name = 'ParleyError'
  readonly code: string
  /** The HTTP status; 0 without an answer. */
  readonly status: number
  /** When to try again, in seconds, if the server said so. */
  readonly retryAfter: number | undefined
  readonly details: Fault[]

  constructor ({ code, error, details = [] }: ErrorBody, { status = 0, retryAfter, cause }: { status?: number, retryAfter?: number | undefined, cause?: unknown } = {}) {
    super(error, { cause })
    this.code = code
    this.status = status
    this.retryAfter = retryAfter
    this.details = details
  }
}

/** Calls a listener of the app. If it throws, that is reported like an error of an event listener, and nothing else breaks off. */
export function callListener (listener: () => void) {
  try {
    listener()
  } catch (error) {
    queueMicrotask(() => { throw error })
  }
}

export function unreachable (cause: unknown, status = 0) {
  return new ParleyError({ code: 'UNREACHABLE', error: 'The server cannot be reached, please check your connection' }, { status, cause })
}

/** Reads the error of a response. A proxy may answer in place of the server, with a body of its own. */
export async function errorIn (response: Response): Promise<ParleyError> {
  const { status, headers } = response
  const body: unknown = await response.json().catch(() => undefined)
  if (!isErrorBody(body)) return unreachable(body, status)
  const seconds = headers.get('retry-after')
  return new ParleyError(body, { status, retryAfter: seconds === null ? undefined : Number(seconds) })
}

function isErrorBody (body: unknown): body is ErrorBody {
  return typeof body === 'object' && body !== null && 'code' in body && 'error' in body
}

/** Codes of status 429 that need a decision of the user, because waiting for a few seconds does not help. */
const NOT_PASSING = new Set(['TOO_MANY_REPLIES', 'BUDGET_SPENT'])

/** Whether the same call may succeed in a moment: the connection was lost, or the server is busy or away. */
export function isPassing ({ status, code }: ParleyError): boolean {
  return status === 0 || status === 429 || status === 503 || (code === 'UNREACHABLE' && status >= 500) ? !NOT_PASSING.has(code) : false
}

/** Whether nobody is signed in any more. */
export const isSignedOut = ({ code }: ParleyError) => code === 'UNAUTHORIZED'
